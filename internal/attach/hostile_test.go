package attach

import (
	"testing"
	"time"

	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A stream with a hole before each envelope, sent backwards, is given up in one go:
// the time that it takes rises with their number, not with its square, which took
// five seconds in which the router stood still.
func TestManyHoles(t *testing.T) {
	const n = 60_000
	g := gate.New(gate.Config{}, &machine.Desk{})
	s := NewSequencer(SequencerLimits{})
	target := groupTarget(t)
	put := func(first uint64) {
		h := envelope.Header{Target: target, First: first, Count: 1, Time: start, TTL: 3600}
		s.Put(start, g.Own(&envelope.Envelope{Header: h, Raw: []byte{1}}), Receipt{}, nil)
	}
	put(0)
	for i := n; i > 0; i-- {
		put(uint64(2 * i))
	}
	began := time.Now()
	passed := 0
	for _, p := range s.Tick(start+holeWait, nil) {
		if p.Order == InOrder {
			passed++
		}
	}
	if held, _ := s.Held(); passed != n || held != 0 {
		t.Errorf("%d passed and %d are held, want all %d", passed, held, n)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

// leaps is a live message behind a hole of nine.
func leaps(t *testing.T, n uint64) *envelope.Envelope {
	return letterOf(t, 10*n, func(h *envelope.Header) { h.Flags |= envelope.Live })
}

// A writer whose numbers leap makes a gap with each message. In the mailbox of who
// is away they are one entry, whose count tells of all.
func TestGapsThatWaitAreOne(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.cut(c.join(h))
	w.settle()
	const n = 500
	for i := range uint64(n) {
		h.deliver(leaps(t, i))
	}
	if st := h.home.Clients()[0]; st.Waiting != 1 || st.Bytes != entryCost || h.home.bytes != entryCost {
		t.Errorf("%d entries of %d B wait, want one", st.Waiting, st.Bytes)
	}
	w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)})
	gaps := heard[*wire.Gap](c)
	if len(gaps) != 1 || gaps[0].Count != 9*(n-1) || gaps[0].Why != wire.WhyHole {
		t.Errorf("told %v, want one gap of %d", gaps, 9*(n-1))
	}
	// What was sent takes in nothing more: the next gap has a number of its own.
	h.deliver(leaps(t, n))
	if gaps = heard[*wire.Gap](c); len(gaps) != 2 || gaps[1].N <= gaps[0].N || gaps[1].Count != 9 {
		t.Errorf("told %v", gaps)
	}
}

// Without a mailbox gaps wait for the link's queue like the messages themselves: a
// slow reader is not closed for what a hostile writer sends.
func TestGapsWithoutAMailboxWait(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)}, &wire.Subscribe{Ref: 1, Target: groupTarget(t), Mode: wire.WhileLinked})
	var s *session
	for _, s = range h.home.sessions {
		s.backlog = backlogMax // nothing drains
	}
	for i := range uint64(100) {
		h.deliver(leaps(t, i))
	}
	if n := len(heard[*wire.Gap](c)); n != 0 || s.lost.Len() != 1 {
		t.Errorf("%d gaps were sent and %d wait, want one that waits", n, s.lost.Len())
	}
}

// Wild counts of a hostile home do not wrap around.
func TestWildCounts(t *testing.T) {
	g := &wire.Gap{FromTime: 5, ToTime: 6, Count: 3}
	widen(g, &wire.Gap{FromTime: 1, ToTime: 9, Count: 1<<64 - 2})
	if g.Count != 1<<64-1 || g.FromTime != 1 || g.ToTime != 9 {
		t.Errorf("%+v", g)
	}
}

// Acknowledgements of what is long gone cost a few bytes to send: the steps that
// they make the home take are charged, and the client is read more slowly.
func TestStaleAcknowledgementsArePaid(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	const n = 20_000
	h.deliver(letters(t, n)...)
	box, _ := h.home.clients.Get(c.key.Address())
	s := box.session
	stale := &wire.Delivered{N: 0, Also: []wire.Range{{First: 2, Last: n / 2}, {First: n/2 + 2, Last: n/2 + 3}}}
	if removed, steps := h.home.acknowledge(box, 0, stale.Also); removed != n/2+1 || steps != removed {
		t.Errorf("%d removed in %d steps, want %d in as many", removed, steps, n/2+1)
	}
	paused := 0
	for range 1000 {
		h.desk.Begin(nil)
		h.home.onDelivered(w.now, s, stale)
		for _, e := range h.desk.End() {
			if p, ok := e.(machine.Pause); ok && p.Link == s.link {
				paused++
			}
		}
	}
	if paused == 0 {
		t.Error("a thousand stale acknowledgements of ten thousand numbers cost nothing")
	}
}

// A mailbox over its quota is not walked through for each message that comes.
func TestFullMailboxRemembersWhereRoomIs(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{MailboxEntries: 400}), w.newRaw(2, wire.Service)
	c.join(h)
	h.deliver(letters(t, 600)...) // 256 are in flight
	box, _ := h.home.clients.Get(c.key.Address())
	if box.evict == nil || box.evict.sent || box.evict.gap != nil && box.evict.next == nil {
		t.Errorf("evict is %+v", box.evict)
	}
	if len(box.mail) != 400 {
		t.Errorf("%d entries", len(box.mail))
	}
	// After a new attach all is unsent: room is found from the oldest on again, but what
	// was sent on the link before goes last.
	w.cut(w.links[len(w.links)-1])
	w.settle()
	h.deliver(letterOf(t, 600, nil))
	if box.oldest.n != 1 || box.oldest.letter == nil || len(box.mail) != 400 || box.evict.n <= windowEnvelopes {
		t.Errorf("the oldest is %d of %d, want 1 of 400", box.oldest.n, len(box.mail))
	}
}

// Many keys do not help: all clients share a bound, and what one gives up another
// may have.
func TestAllSubscriptionsAreBounded(t *testing.T) {
	w := newWorld(t)
	h := w.newCore(1, Limits{AllSubscribed: 3})
	ask := func(c *proc, want wire.Code, f wire.Frame) {
		t.Helper()
		c.in = nil
		c.say(f)
		if got := heard[*wire.Subscribed](c); len(got) != 1 || got[0].Code != want {
			t.Errorf("%v: %v, want %v", f, got, want)
		}
	}
	one, two := w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	first := one.join(h)
	ask(one, wire.OK, &wire.Subscribe{Target: other(t)})
	two.join(h)
	third := envelope.Target{Kind: envelope.Group, To: testKey(t, 99).Address()}
	ask(two, wire.Quota, &wire.Subscribe{Target: third})
	ask(two, wire.OK, &wire.Subscribe{Target: groupTarget(t)}) // it has that
	ask(two, wire.OK, &wire.Unsubscribe{Target: groupTarget(t)})
	ask(two, wire.OK, &wire.Subscribe{Target: third})
	w.cut(first)
	w.settle()
	ask(two, wire.Quota, &wire.Subscribe{Target: groupTarget(t)}) // who is away keeps what it has
}
