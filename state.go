package upsycle

import (
	"context"
	"fmt"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// This file is the shell of a Conn: what links tell, what the machine decides,
// and how the two reach the application. All but notice and hand runs on the
// machine's goroutine and does not block.

// notice takes what the hub tells about the link and its dials. It goes through
// the machine's inbox, behind what the link had brought before: why a link ended
// may have been said in its last frames.
func (c *Conn) notice(n link.Notice) {
	c.loop.Post(context.Background(), machine.Command{Call: thenCall{func() { c.heed(n) }}})
}

func (c *Conn) heed(n link.Notice) {
	switch n.Event {
	case link.LinkEnded:
		c.detached(n)
	case link.DialFailed:
		err := dialError(n)
		c.firstIs(err)
		c.events.tell(Event{Kind: Retrying, Router: n.Peer, Err: err})
	case link.DialStopped:
		if n.ByPeer && n.Code == wire.Superseded {
			c.superseded(n)
			return
		}
		c.firstIs(dialError(n))
	}
}

func (c *Conn) detached(n link.Notice) {
	err := dialError(n)
	c.mu.Lock()
	tell := c.attached && c.cause == nil // not of our own closing
	again := c.again
	c.attached, c.again = false, false
	c.mu.Unlock()
	if !again {
		c.firstIs(err)
	}
	if tell {
		lost := *err
		lost.lost = true
		c.events.tell(Event{Kind: Disconnected, Router: n.Peer, Err: &lost})
	}
}

// superseded ends the Conn: the hub does not dial again.
func (c *Conn) superseded(n link.Notice) {
	c.firstIs(dialError(n))
	if c.ended(ErrSuperseded) {
		c.pub.abandon(ErrSuperseded)
		c.log.Warn("another process attached with the same key and took over", "router", n.Peer,
			"hint", Hint(ErrSuperseded))
		c.events.tell(Event{Kind: Superseded, Router: n.Peer, Err: ErrSuperseded})
	}
}

func dialError(n link.Notice) *DialError {
	return &DialError{Code: n.Code, text: n.Text, hint: n.Hint, cause: n.Err}
}

// firstIs tells Dial what became of the first dial. What comes later is not its
// business any more.
func (c *Conn) firstIs(err error) {
	select {
	case c.first <- err:
	default:
	}
}

// attachedTo is told by the machine that the router has accepted the attachment,
// or says so again.
func (c *Conn) attachedTo(router identity.Address) {
	c.mu.Lock()
	again := c.attached
	c.router, c.attached = router, true
	c.mu.Unlock()
	if !again {
		c.recv.attached()
		c.firstIs(nil)
		c.events.tell(Event{Kind: Connected, Router: router})
	}
}

// attachRefused is told by the machine that the router has not. It may know a later
// homes document of this key, of a process whose clock was ahead: the client goes
// beyond that on the next link, so the first refusal of this kind is not the end.
func (c *Conn) attachRefused(code wire.Code) {
	c.mu.Lock()
	first := code == wire.NotAllowed && !c.refused
	c.refused = true
	c.again = first
	c.mu.Unlock()
	if !first {
		c.firstIs(&DialError{Code: code, text: code.Sentence(), hint: code.Hint()})
	}
}

// putOff is told by the machine that the router has no room now. It is logged once
// for each time that this begins.
func (c *Conn) putOff(id envelope.ID, code wire.Code) {
	c.pub.putOff(id, code)
	if !c.later {
		c.later = true
		c.log.Warn("the router asks to try later", "why", code.Sentence(), "hint", code.Hint())
	}
}

func (c *Conn) taken(id envelope.ID, code wire.Code, retryAfter uint64) {
	c.later = false
	c.pub.taken(id, code, retryAfter)
}

func (c *Conn) subscribed(t envelope.Target, code wire.Code) { c.recv.subscribed(t, code) }

func (c *Conn) deliver(e *envelope.Envelope, r attach.Receipt, late bool) {
	c.recv.deliver(e, r, late)
}

func (c *Conn) gap(g wire.Gap, r attach.Receipt) { c.recv.gap(g, r) }

// tell gives the machine a command without waiting. What is told is bounded by
// what the machine delivered, or by the application's own calls.
func (c *Conn) tell(call call) { c.loop.Answer(machine.Command{Call: call}) }

// hand gives the machine an envelope to publish; it waits while the machine is
// busy.
func (c *Conn) hand(e *envelope.Envelope) error {
	if c.loop.Post(context.Background(), machine.Command{Call: publishCall{e}}) != nil {
		return ErrClosed // the loop ends only after Close
	}
	return nil
}

// A shell carries out the machine's effects.
type shell struct{ *Conn }

// Do carries out one effect; see loop.Shell. The store of an end is its memory:
// it answers at once.
func (s shell) Do(e machine.Effect) {
	switch e := e.(type) {
	case machine.Send:
		s.hub.Send(e.Link, e.Class, e.Frame)
	case machine.Store:
		if e.Token != 0 {
			s.loop.Answer(machine.Stored{Token: e.Token})
		}
	case machine.Close:
		s.hub.CloseLink(e.Link, e.Code, e.Text)
	case machine.Pause:
		s.hub.Pause(e.Link, e.Until)
	case machine.Report:
		if e.Event == machine.Displaced {
			s.events.tell(Event{Kind: TookOver, Router: s.Router(), Err: errTookOver})
		}
		s.log.Debug(e.Event.String(), "code", e.Code.String(), "id", e.ID.String(), "text", e.Text)
	default:
		panic(fmt.Sprintf("upsycle: no such effect: %v", e))
	}
}
