package attach

import (
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// BenchmarkPublishToDeliver is the whole path of an envelope through a home: from
// a publisher's frame over gate, custody, mailbox and store to the subscriber's
// frame and its acknowledgement. Signatures are not counted: they are the shell's.
func BenchmarkPublishToDeliver(b *testing.B) {
	w := newWorld(b)
	h, p, s := w.newCore(1, Limits{}), w.newRaw(2, wire.Edge), w.newRaw(3, wire.Service)
	from := p.join(h).ids[1]
	to := s.join(h).ids[1]
	list := make([]*wire.Publish, 4096)
	for i := range list {
		list[i] = &wire.Publish{Envelope: numbered1(b, uint64(i))}
	}
	p.say(&wire.Unsubscribe{Ref: 9, Target: groupTarget(b)})
	var effects []machine.Effect
	n := uint64(0)
	step := func(f func()) {
		h.desk.Begin(effects[:0])
		f()
		effects = h.desk.End()
	}
	b.ReportAllocs()
	for b.Loop() {
		f := list[n%4096]
		if n%4096 == 0 { // the same envelopes again, as if they were new
			h.home.given = newGiven()
			h.home.order = NewSequencer(SequencerLimits{})
		}
		n++
		now := start + int64(n)/10 // within the writer's budget
		h.gate.Forget(f.Envelope.ID)
		delete(h.core.held, f.Envelope.ID)
		step(func() { h.home.Frame(now, from, f) })
		verify := last[machine.Verify](effects)
		step(func() {
			for _, v := range h.gate.Verified(now, verify.Token, -1) {
				h.home.Verdict(now, v)
			}
		})
		var custody, mail machine.Store
		for _, e := range effects {
			if s, ok := e.(machine.Store); ok && s.Token.Owner() == machine.OwnerBackbone {
				custody = s
			} else if ok {
				mail = s
			}
		}
		step(func() { h.core.stored(now, custody.Token, nil) })
		step(func() { h.home.Stored(now, mail.Token, nil) })
		sent := last[machine.Send](effects)
		step(func() { h.home.Drained(now, to, machine.Bulk, sent.Frame.Weight()) })
		step(func() { h.home.Frame(now, to, &wire.Delivered{N: n}) })
	}
}

// last returns the last effect of a kind.
func last[T machine.Effect](effects []machine.Effect) (x T) {
	for _, e := range effects {
		if y, ok := e.(T); ok {
			x = y
		}
	}
	return x
}

// BenchmarkDeliverToEnd is the path through a client: from the home's frame over
// the gate to the application, and its share of an acknowledgement.
func BenchmarkDeliverToEnd(b *testing.B) {
	w := newWorld(b)
	h, c := w.newRaw(1, wire.Core), w.newService(2)
	link := w.link(c, h).ids[0]
	h.say(&wire.Attached{Box: wire.Box{1}})
	list := make([]*envelope.Envelope, 4096)
	for i := range list {
		list[i] = numbered1(b, uint64(i))
	}
	var effects []machine.Effect
	step := func(f func()) {
		c.desk.Begin(effects[:0])
		f()
		effects = c.desk.End()
	}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		e := list[n%4096]
		if n%4096 == 0 {
			c.client.given = newGiven()
			c.app.got = c.app.got[:0]
		}
		n++
		c.gate.Forget(e.ID)
		step(func() { c.client.Frame(start, link, &wire.Deliver{N: n, Envelope: e}) })
		verify := last[machine.Verify](effects)
		step(func() {
			for _, v := range c.gate.Verified(start, verify.Token, -1) {
				c.client.Verdict(start, v)
			}
		})
	}
}
