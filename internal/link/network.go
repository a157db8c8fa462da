package link

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"

	"upsycle/identity"
)

// A Network makes connections. TLS, hello and all that follows are the same over
// each. Implementations are safe for concurrent use.
type Network interface {
	Dial(ctx context.Context, ep identity.Endpoint) (net.Conn, error)
	Listen(ep identity.Endpoint) (net.Listener, error)
}

// System returns the network of the operating system: tls:// over TCP and unix://.
func System() Network { return system{} }

type system struct{}

// Dial connects to a TCP port or a unix socket.
func (system) Dial(ctx context.Context, ep identity.Endpoint) (net.Conn, error) {
	kind, err := kindOf(ep)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, kind, ep.Where)
	if err != nil {
		return nil, err
	}
	tune(conn)
	return conn, nil
}

// Listen opens a TCP port or a unix socket. A socket file whose owner is gone is
// replaced; one that somebody answers on is not.
func (system) Listen(ep identity.Endpoint) (net.Listener, error) {
	kind, err := kindOf(ep)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen(kind, ep.Where)
	if errors.Is(err, syscall.EADDRINUSE) && kind == "unix" && abandoned(ep.Where) {
		if err := os.Remove(ep.Where); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		l, err = net.Listen(kind, ep.Where)
	}
	if err != nil {
		return nil, err
	}
	return tuned{l}, nil
}

func kindOf(ep identity.Endpoint) (string, error) {
	switch ep.Scheme {
	case identity.SchemeTLS:
		return "tcp", nil
	case identity.SchemeUnix:
		return "unix", nil
	}
	return "", errScheme(ep)
}

// abandoned says whether path is a socket on which nobody listens.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// A tuned listener prepares what it accepts.
type tuned struct{ net.Listener }

// Accept waits for the next connection.
func (l tuned) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		tune(conn)
	}
	return conn, err
}
