package demo

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// forgeries is how many forged envelopes the forger sends.
const forgeries = 3

// A forger is a service that may attach but not write. It speaks raw frames, since
// the SDK refuses to do what it does.
type forger struct {
	key     identity.Key
	hub     *link.Hub
	up      chan machine.LinkUp
	answers chan *wire.Published
}

// Event takes what happens on the forger's link.
func (f *forger) Event(_ context.Context, ev machine.Event) error {
	switch e := ev.(type) {
	case machine.LinkUp:
		f.up <- e
	case machine.FrameIn:
		if p, ok := e.Frame.(*wire.Published); ok {
			f.answers <- p
		}
	}
	return nil
}

// Drained is of no interest to a forger.
func (f *forger) Drained(machine.Drained) {}

// close ends the forger's link and all that belongs to it.
func (f *forger) close() { f.hub.Close() }

// forge attaches a forger to router A and lets it try to speak in the group. The
// first router must refuse each attempt with its code, and the others must never
// see it.
func (s *stage) forge(ctx context.Context) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	f := &forger{key: key, up: make(chan machine.LinkUp, 4), answers: make(chan *wire.Published, forgeries)}
	f.hub = link.NewHub(link.Config{Key: key, Role: wire.Service, Agent: "forger", Handler: f, Network: link.System()})
	s.forger = f
	a := s.routers[0]
	if err := f.hub.Dial(a.at, link.DialOptions{}); err != nil {
		return err
	}
	var up machine.LinkUp
	select {
	case up = <-f.up:
	case <-time.After(patience):
		return fmt.Errorf("the forger could not attach")
	case <-ctx.Done():
		return ctx.Err()
	}
	before, err := s.seenElsewhere(ctx)
	if err != nil {
		return err
	}
	f.hub.Send(up.Link, machine.Control, f.attach(a.key.Address()))
	for i, forged := range f.envelopes(s.group.Address()) {
		if err := s.tryForged(ctx, up.Link, i, forged); err != nil {
			return err
		}
	}
	after, err := s.seenElsewhere(ctx)
	s.forgedCrossed = int(after - before)
	return err
}

// tryForged sends one forgery and waits for the router's answer to it.
func (s *stage) tryForged(ctx context.Context, l machine.LinkID, i int, forged []byte) error {
	e, err := envelope.Parse(forged, nil)
	if err != nil {
		return fmt.Errorf("the forgery %d has not even the right form: %w", i, err)
	}
	s.forger.hub.Send(l, machine.Bulk, &wire.Publish{Envelope: e})
	select {
	case p := <-s.forger.answers:
		if p.ID == e.ID && p.Code != wire.OK {
			s.forgedRefused++
			s.say("forged message %d: refused, code %d: %s", i+1, uint64(p.Code), p.Code.Sentence())
		}
	case <-time.After(patience):
		s.say("forged message %d was not answered", i+1)
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// seenElsewhere counts the envelopes that B and C refused: forged ones that came
// as far as them.
func (s *stage) seenElsewhere(ctx context.Context) (uint64, error) {
	var n uint64
	for _, r := range s.routers[1:] {
		st, err := r.node.Status(ctx)
		if err != nil {
			return 0, err
		}
		n += st.Counters[machine.RelayRefused.String()]
	}
	return n, nil
}

// attach makes the first frame of a client, as the protocol wants it.
func (f *forger) attach(home identity.Address) *wire.Attach {
	h := &wire.Homes{Client: f.key.Address(), Epoch: uint64(time.Now().UnixMilli()), Homes: []identity.Address{home}}
	h.Encode()
	h.Signed.Sig = f.key.Sign(identity.LabelHomes, h.Signed.Body)
	return &wire.Attach{Homes: h}
}

// envelopes makes three forgeries for a group: a message whose certificate the
// forger signed itself, one that claims to be signed by the group's own key, and
// one with a body that was exchanged.
func (f *forger) envelopes(group identity.Address) [forgeries][]byte {
	now := uint64(time.Now().UnixMilli())
	body := envelope.PlainBody([][]byte{[]byte("forged")})
	h := envelope.Header{
		Target: envelope.Target{Kind: envelope.Group, To: group}, From: f.key.Address(),
		Count: 1, Time: now, TTL: 3600, Flags: envelope.Plain, BodyHash: sha256.Sum256(body), HasCert: true,
	}
	own := envelope.IssueCertificate(f.key, f.key.Address(), now, now+3_600_000, envelope.MayStore)
	own.Group = group
	own.Encode()
	h.CertHash = sha256.Sum256(own.Signed.Body)
	first := h.AppendTo(nil)

	h.From, h.HasCert, h.Run = group, false, envelope.Run{1}
	second := h.AppendTo(nil)
	h.Run = envelope.Run{2}
	third := h.AppendTo(nil)
	other := envelope.PlainBody([][]byte{[]byte("exchanged")})
	return [forgeries][]byte{
		envelope.Assemble(first, f.key.Sign(identity.LabelEnvelope, first), own, body),
		envelope.Assemble(second, f.key.Sign(identity.LabelEnvelope, second), nil, body),
		envelope.Assemble(third, f.key.Sign(identity.LabelEnvelope, third), nil, other),
	}
}
