package attach

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A town is a core router with two services, and an edge router with two more;
// every service publishes to the test group and subscribes to it.
type town struct {
	t        *rapid.T
	w        *world
	core     *proc
	edge     *proc
	services []*proc
	dials    [][2]*proc
	crashes  bool          // routers die, too
	failed   bool          // and stores fail: who dies then goes on behind what was not stored, which comes late
	sent     map[*proc]int // envelopes published so far
	stock    [][]*envelope.Envelope
}

// newTown makes the processes, links them and subscribes.
func newTown(t *rapid.T, tb testing.TB, stock [][]*envelope.Envelope) *town {
	w := newWorld(tb)
	x := &town{t: t, w: w, core: w.newCore(1, Limits{}), sent: make(map[*proc]int), stock: stock}
	x.edge = w.newEdge(2, x.core)
	x.dials = [][2]*proc{{x.edge, x.core}}
	for i := range byte(4) {
		s := w.newService(10 + i)
		x.services = append(x.services, s)
		home := x.core
		if i >= 2 {
			home = x.edge
		}
		x.dials = append(x.dials, [2]*proc{s, home})
	}
	x.heal()
	for _, s := range x.services {
		s.want(groupTarget(tb))
	}
	w.wait(100)
	// The beginning of every stream is known everywhere: what precedes the first
	// that a sequencer sees passes late, by the rule.
	for i, s := range x.services {
		s.publish(stock[i][0])
		x.sent[s]++
	}
	w.wait(100)
	return x
}

// heal dials what is not linked, as the shells of clients do.
func (x *town) heal() {
	for _, d := range x.dials {
		if !slices.ContainsFunc(x.w.links, func(l *pair) bool { return l.up && l.ends == d }) {
			x.w.link(d[0], d[1])
		}
	}
}

func (x *town) live() (list []*pair) {
	for _, l := range x.w.links {
		if l.up {
			list = append(list, l)
		}
	}
	return list
}

// act is one thing that may happen in a town.
func (x *town) act() {
	most := 9
	if x.crashes {
		most = 11
	}
	switch rapid.IntRange(0, most).Draw(x.t, "what") {
	case 0, 1, 2, 3:
		i := rapid.IntRange(0, 3).Draw(x.t, "who")
		s := x.services[i]
		for range rapid.IntRange(1, 5).Draw(x.t, "envelopes") {
			if n := x.sent[s]; n < len(x.stock[i]) {
				s.publish(x.stock[i][n])
				x.sent[s]++
			}
		}
	case 4:
		if list := x.live(); len(list) > 0 {
			x.w.cut(rapid.SampledFrom(list).Draw(x.t, "cut"))
			x.w.settle()
		}
	case 5: // within the frames that come next
		x.w.cutAt[x.w.frames+rapid.IntRange(1, 12).Draw(x.t, "cut at")] = true
	case 6:
		x.heal()
	case 7:
		s := rapid.SampledFrom(x.services).Draw(x.t, "holds")
		s.app.hold = !s.app.hold
	case 8:
		p := x.router()
		p.storeFail = rapid.IntRange(0, 3).Draw(x.t, "stores")
		x.failed = x.failed || x.crashes
	case 9:
		x.w.wait(rapid.Int64Range(1, 4000).Draw(x.t, "pause"))
	case 10:
		p := x.router()
		p.crash()
		x.w.settle()
	case 11: // before one of the effects that come next
		p := x.router()
		p.crashAt = p.effects + rapid.IntRange(1, 30).Draw(x.t, "crash at")
	}
	x.acknowledge()
}

// router is one of the two.
func (x *town) router() *proc {
	p := []*proc{x.core, x.edge}[rapid.IntRange(0, 1).Draw(x.t, "router")]
	p.survive = survivors[rapid.IntRange(0, 2).Draw(x.t, "survive")]
	return p
}

// acknowledge is what applications do that held nothing back, or not any more.
func (x *town) acknowledge() {
	for _, s := range x.services {
		if s.app.hold {
			continue
		}
		for _, r := range s.app.receipts {
			s.do(func(now int64) { s.client.Done(now, r) })
		}
		s.app.receipts = nil
	}
}

// end heals all and holds what came against what was published.
func (x *town) end() {
	x.w.cutAt = make(map[int]bool)
	x.core.storeFail, x.edge.storeFail = 0, 0
	x.core.crashAt, x.edge.crashAt = 0, 0
	for _, s := range x.services {
		s.app.hold = false
	}
	for range 4 {
		x.heal()
		x.acknowledge()
		x.w.wait(20_000)
	}
	for i, s := range x.services {
		if len(s.app.gaps) > 0 {
			x.t.Fatalf("service %d was told of gaps: %v; it got %v", i, s.app.gaps, s.app.texts())
		}
		for k, publisher := range x.services {
			var got []uint64
			for _, e := range s.app.got {
				if e.Run == (envelope.Run{byte(k)}) {
					got = append(got, e.First)
				}
			}
			if x.failed {
				slices.Sort(got)
			}
			if want := upTo(x.sent[publisher]); !slices.Equal(got, want) && len(got)+len(want) > 0 {
				x.t.Fatalf("service %d got %v of %d from %d", i, got, x.sent[publisher], k)
			}
		}
		for _, e := range x.stock[i][:x.sent[s]] {
			if !slices.Equal(s.app.taken[e.ID], []wire.Code{wire.OK}) {
				x.t.Fatalf("publish %d of service %d was answered %v", e.First, i, s.app.taken[e.ID])
			}
		}
	}
	x.nothingLeft()
}

// nothingLeft says that all was acknowledged and forgotten.
func (x *town) nothingLeft() {
	for _, p := range []*proc{x.core, x.edge} {
		checkMailbox(x.t, p.home)
		if z := p.home.Sizes(); z.MailBytes != 0 || z.Held != 0 || z.Taking != 0 || z.Storing != 0 {
			x.t.Fatalf("left at %v: %+v", p.role, z)
		}
		for key := range p.rows {
			if key[0] == mailTable || key[0] == letterTable || key[0] == outboxTable {
				x.t.Fatalf("a row of table %c is left at %v", key[0], p.role)
			}
		}
	}
	if z := x.edge.client.Sizes(); z.Outbox != 0 || z.Pending != 0 {
		x.t.Fatalf("left in the edge's client: %+v", z)
	}
}

// Custody, end to end: whatever links, stores and applications do, once all is
// healed each service has each envelope once, each stream in order, no gap was
// told of, each publish was answered once, and nothing is left behind.
func TestTownProperty(t *testing.T) { towns(t, false) }

// The same where routers die between any two effects, and keep any part of what they
// had asked to be stored and that was not answered.
func TestTownOfMortals(t *testing.T) { towns(t, true) }

func towns(t *testing.T, crashes bool) {
	var stock [][]*envelope.Envelope
	for k := range byte(4) {
		var list []*envelope.Envelope
		for n := range uint64(30) {
			list = append(list, letterOf(t, n, func(h *envelope.Header) { h.Run = envelope.Run{k} }))
		}
		stock = append(stock, list)
	}
	rapid.Check(t, func(rt *rapid.T) {
		x := newTown(rt, t, stock)
		x.crashes = crashes
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			x.act()
		}
		x.end()
	})
}

// Invariant I16 for this room: the same seeds and events give the same frames.
func TestSameRunSameFrames(t *testing.T) {
	list := letters(t, 20)
	run := func() (log []string) {
		w := newWorld(t)
		w.trace = func(from *proc, f wire.Frame) {
			log = append(log, fmt.Sprintf("%d %v %v", w.now, from.key.Address(), f))
		}
		h := w.newCore(1, Limits{MailboxEntries: 8})
		p, a, b := w.newService(2), w.newService(3), w.newService(4)
		for _, s := range []*proc{p, a, b} {
			w.link(s, h)
		}
		a.want(groupTarget(t))
		b.want(groupTarget(t))
		a.app.hold = true
		for i, e := range list {
			p.publish(e)
			if i == 9 {
				w.cut(w.links[1])
			}
			w.wait(7)
		}
		w.link(a, h)
		w.wait(70_000)
		return log
	}
	first := run()
	for range 3 {
		if again := run(); !slices.Equal(first, again) {
			t.Fatal("two runs of the same events differ")
		}
	}
	if len(first) < 60 {
		t.Errorf("only %d frames", len(first))
	}
}

// An application that acknowledges nothing stops its own mail at the window; its
// neighbours at the same home get theirs.
func TestIdleApplication(t *testing.T) {
	w := newWorld(t)
	h, p, idle, busy := w.newCore(1, Limits{}), w.newService(2), w.newService(3), w.newService(4)
	for _, s := range []*proc{p, idle, busy} {
		w.link(s, h)
	}
	idle.want(groupTarget(t))
	busy.want(groupTarget(t))
	idle.app.hold = true
	p.publish(letters(t, 400)...)
	w.wait(1000)
	if len(busy.app.got) != 400 || len(idle.app.got) != windowEnvelopes {
		t.Errorf("busy got %d, idle got %d", len(busy.app.got), len(idle.app.got))
	}
	for len(idle.app.receipts) > 0 {
		r := idle.app.receipts[0]
		idle.app.receipts = idle.app.receipts[1:]
		idle.do(func(now int64) { idle.client.Done(now, r) })
		w.wait(1)
	}
	w.wait(1000)
	if got := idle.app.numbers(); !slices.Equal(got, upTo(400)) {
		t.Errorf("in the end idle got %d", len(got))
	}
}

// An end that is slow in taking what it wants is no reason to lose what it
// publishes, and the other way round: both directions of one link go on.
func TestBothDirections(t *testing.T) {
	w := newWorld(t)
	h, a, b := w.newCore(1, Limits{}), w.newService(2), w.newService(3)
	la := w.link(a, h)
	w.link(b, h)
	a.want(groupTarget(t))
	la.mute[1] = true // nothing that the home sends to a drains
	var big []*envelope.Envelope
	for n := range uint64(8) {
		big = append(big, sizedLetter(t, n, 900_000))
	}
	b.publish(big...)
	mine := letterOf(t, 0, func(h *envelope.Header) { h.Run = envelope.Run{7} })
	a.publish(mine)
	if !slices.Equal(a.app.taken[mine.ID], []wire.Code{wire.OK}) || len(a.app.got) >= 8 {
		t.Errorf("taken %v, got %d", a.app.taken[mine.ID], len(a.app.got))
	}
	for range 10 {
		la.drain(1)
		w.wait(100)
	}
	if len(a.app.got) != 9 || h.reports[machine.Delivered] != 9 {
		t.Errorf("got %d, %d were sent", len(a.app.got), h.reports[machine.Delivered])
	}
}
