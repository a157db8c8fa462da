package control

import (
	"net"

	"golang.org/x/sys/unix"
)

// peerUser returns the user of the process at the other end.
func peerUser(c net.Conn) (int, bool) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, false
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, false
	}
	uid := -1
	err = raw.Control(func(fd uintptr) {
		if cred, e := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); e == nil {
			uid = int(cred.Uid)
		}
	})
	return uid, err == nil && uid >= 0
}
