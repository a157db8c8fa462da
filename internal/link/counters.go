package link

import (
	"crypto/tls"
	"sync/atomic"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// counters count since the start of the hub. None of them belongs to a key, so a
// stranger with a copied certificate moves only those of handshakes.
type counters struct {
	accepted, throttled, failed, dialFailed, up, ended atomic.Uint64
}

// Counters are numbers since the start, for status and metrics.
type Counters struct {
	Accepted        uint64 // connections taken from listeners
	Throttled       uint64 // of these, closed at once: too many handshakes at once
	HandshakeFailed uint64 // accepted connections that did not become links
	DialFailed      uint64 // dials that did not become links
	LinksUp         uint64
	LinksEnded      uint64
}

// Counters returns the present numbers.
func (h *Hub) Counters() Counters {
	c := &h.count
	return Counters{c.accepted.Load(), c.throttled.Load(), c.failed.Load(), c.dialFailed.Load(), c.up.Load(), c.ended.Load()}
}

// Info describes one link.
type Info struct {
	Link    machine.LinkID
	Peer    identity.Address
	Role    wire.Role // the peer's
	Dialled bool      // by us
	Local   bool      // a unix socket of this user
	Origin  string    // the other end's address
	Agent   string    // the peer's text: quote it
	Since   time.Time
	RTT     time.Duration // smoothed; 0 before the first pong
	Queued  int           // bytes that wait to be sent
	Hybrid  bool          // the key exchange resists recording for a quantum computer
}

// Links describes all links, by id.
func (h *Hub) Links() []Info {
	all := h.all()
	list := make([]Info, len(all))
	for i, l := range all {
		list[i] = l.info()
	}
	return list
}

func (l *link) info() Info {
	l.mu.Lock()
	srtt := l.pulse.srtt
	l.mu.Unlock()
	return Info{
		Link: l.id, Peer: l.peer, Role: l.hello.Role, Dialled: l.dialled, Local: l.local, Origin: l.origin,
		Agent: l.hello.Agent, Since: l.since, RTT: srtt, Queued: l.out.queued(), Hybrid: l.hybrid(),
	}
}

func (l *link) hybrid() bool { return l.conn.ConnectionState().CurveID == tls.X25519MLKEM768 }
