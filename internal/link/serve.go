package link

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"time"

	"upsycle/identity"
)

// A caller is how a connection came about.
type caller struct {
	config  *tls.Config
	dialled bool
	origin  string // the other end's address, for people
	// trust is asked for the proven key of an unpinned dial; nil: not asked.
	trust func(identity.Address) error
	// greeted is called when hello was exchanged or has failed: the connection is
	// no longer a stranger's.
	greeted func()
	// joined is called when the link is one of the hub's.
	joined func(*link)
}

// serve is the life of a connection, from its first byte to its last. It returns
// why it ended; up is false if it never became a link.
func (h *Hub) serve(conn net.Conn, c caller) (why *ending, up bool) {
	if !h.meet(conn) {
		conn.Close()
		c.greeted()
		return &ending{cause: errHubClosed}, false
	}
	l, before, why := h.introduce(conn, c)
	h.part(conn)
	c.greeted()
	if why != nil {
		conn.Close()
		return why, false
	}
	c.joined(l)
	h.count.up.Add(1)
	h.tellUp(l)
	why = l.run(before)
	h.count.ended.Add(1)
	h.tellEnded(l, why)
	return why, true
}

// introduce takes a connection as far as a link that has joined the hub. Until
// Handshake has returned nil nothing here has an effect (spec §3.1).
func (h *Hub) introduce(conn net.Conn, c caller) (l, before *link, why *ending) {
	metered := newMetered(conn)
	secure := tls.Server(metered, c.config)
	if c.dialled {
		secure = tls.Client(metered, c.config)
	}
	secure.SetDeadline(time.Now().Add(handshakeTime))
	if err := secure.Handshake(); err != nil {
		return nil, nil, &ending{cause: &handshakeError{err}}
	}
	metered.free()
	// Checked once more rather than carried over: the callback saw a claim.
	peer, err := claimedPeer(secure.ConnectionState())
	if err != nil {
		return nil, nil, broke(err)
	}
	if c.trust != nil {
		if err := c.trust(peer); err != nil {
			return nil, nil, &ending{cause: &untrustedError{err}}
		}
	}
	in := newFrameReader(secure, helloLimit, h.shares)
	hello, why := h.greet(secure, in)
	if why == nil {
		l = h.newLink(secure, conn, peer, hello)
		l.in, l.dialled, l.origin, l.local = in, c.dialled, c.origin, sameUser(conn)
		before, why = h.join(l)
	}
	if why != nil {
		refuseLink(secure, conn, why)
		return nil, nil, why
	}
	return l, before, nil
}

// refuseLink tells a peer that has proved its key why it gets no link.
func refuseLink(secure *tls.Conn, conn net.Conn, why *ending) {
	if !why.say {
		return
	}
	secure.SetWriteDeadline(time.Now().Add(flushTime))
	if _, err := secure.Write(appendFrame(nil, why.closeFrame())); err == nil {
		secure.CloseWrite()
		lingerOn(conn)
	}
}

// A handshakeError marks an error of the TLS handshake: the peer has proved
// nothing.
type handshakeError struct{ err error }

// Error returns the reason as TLS gave it.
func (e *handshakeError) Error() string { return "TLS handshake: " + e.err.Error() }

// Unwrap returns the error of TLS.
func (e *handshakeError) Unwrap() error { return e.err }

// An untrustedError says that the user does not want a proven key.
type untrustedError struct{ err error }

// Error returns the user's reason.
func (e *untrustedError) Error() string { return "the key was not trusted: " + e.err.Error() }

// Unwrap returns what TrustOnFirstUse returned.
func (e *untrustedError) Unwrap() error { return e.err }

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
