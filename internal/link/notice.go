package link

import (
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// NoticeEvent says what a Notice tells.
type NoticeEvent uint8

// What people are told.
const (
	Linked         NoticeEvent = iota // a link is up
	LinkEnded                         // a link ended; Code and Text say why
	DialFailed                        // a dial did not become a link and is tried again after Retry
	DialStopped                       // a dial is not tried again; see Code
	StrangerFailed                    // an accepted connection did not become a link
)

// String returns the event in words.
func (e NoticeEvent) String() string {
	switch e {
	case Linked:
		return "linked"
	case LinkEnded:
		return "link ended"
	case DialFailed:
		return "dial failed"
	case DialStopped:
		return "dial stopped"
	}
	return "stranger failed"
}

// A Notice tells people about a link or a dial. Text and Hint are one sentence
// each; where Text holds a peer's words, they are quoted and cut.
type Notice struct {
	Event    NoticeEvent
	Link     machine.LinkID    // or 0
	Peer     identity.Address  // proven, or zero
	Endpoint identity.Endpoint // of a dial
	Origin   string            // the other end's address
	Dialled  bool
	Code     wire.Code     // of a close frame, by us or by the peer; OK: there was none
	ByPeer   bool          // the peer sent the close frame
	Retry    time.Duration // DialFailed: until the next try
	Text     string
	Hint     string
	Err      error
}

// String returns one line.
func (n Notice) String() string {
	return fmt.Sprintf("%v: %v %s: %s", n.Event, n.Peer, n.Origin, n.Text)
}

func (h *Hub) tellUp(l *link) {
	hybrid := l.hybrid()
	h.log.Info("linked", "link", l.id, "peer", l.peer, "role", l.hello.Role, "origin", l.origin,
		"dialled", l.dialled, "agent", quoted(l.hello.Agent), "hybrid", hybrid)
	if !hybrid {
		h.log.Warn("the key exchange of a link does not resist recording for a quantum computer",
			"link", l.id, "hint", "look for tlsmlkem=0 in GODEBUG, here and at the peer")
	}
	h.config.Notify(Notice{Event: Linked, Link: l.id, Peer: l.peer, Origin: l.origin, Dialled: l.dialled})
}

func (h *Hub) tellEnded(l *link, why *ending) {
	h.log.Info("link ended", "link", l.id, "peer", l.peer, "code", why.code, "by_peer", why.byPeer, "why", why.Error())
	n := Notice{Event: LinkEnded, Link: l.id, Peer: l.peer, Origin: l.origin, Dialled: l.dialled}
	h.config.Notify(n.because(why))
}

// because fills in why something ended.
func (n Notice) because(why *ending) Notice {
	n.Code, n.ByPeer, n.Err = why.code, why.byPeer, why
	n.Text, n.Hint = explain(n, why)
	return n
}
