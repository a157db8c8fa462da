//go:build !linux

package link

import "net"

func ownUser() int { return -2 }

// peerUser knows nothing here: nobody is local, so access needs a listed key.
func peerUser(net.Conn) (uid int, known bool) { return -1, false }

func tune(net.Conn) {}
