package link

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

func ownUser() int { return os.Geteuid() }

// peerUser returns the user of the process at the other end of a unix socket, as
// it was when that process connected or listened (SO_PEERCRED).
func peerUser(conn net.Conn) (uid int, known bool) {
	socket, ok := conn.(*net.UnixConn)
	if !ok {
		return -1, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, false
	}
	var cred *unix.Ucred
	if raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}) != nil || err != nil {
		return -1, false
	}
	return int(cred.Uid), true
}

// unsentMax bounds what the kernel takes from us before it can send it: what
// waits there can no longer be overtaken by a control frame.
const unsentMax = 128 << 10

// tune prepares a TCP connection. Failures cost only speed.
func tune(conn net.Conn) {
	socket, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentMax)
		})
	}
}
