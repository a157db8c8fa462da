//go:build !linux

package control

import (
	"net"
	"os"
)

// peerUser trusts the modes of socket and directory, where this system gives no
// credentials that we read.
func peerUser(net.Conn) (int, bool) { return os.Getuid(), true }
