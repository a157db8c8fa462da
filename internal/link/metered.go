package link

import (
	"errors"
	"net"
)

// errHandshakeSize ends a handshake that sends more than handshakeBytes. Go's own
// bound for a certificate message alone is 256 KiB.
var errHandshakeSize = errors.New("link: the handshake is longer than 16 KiB")

// A meteredConn refuses to read more than a number of bytes until free is
// called. Reads and free belong to one goroutine.
type meteredConn struct {
	net.Conn
	left    int
	metered bool
}

func newMetered(conn net.Conn) *meteredConn {
	return &meteredConn{Conn: conn, left: handshakeBytes, metered: true}
}

// free lifts the bound: the peer has proved its key.
func (c *meteredConn) free() { c.metered = false }

// Read reads at most what is left of the bound.
func (c *meteredConn) Read(p []byte) (int, error) {
	if !c.metered {
		return c.Conn.Read(p)
	}
	if c.left <= 0 {
		return 0, errHandshakeSize
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
