package attach

import (
	"encoding/binary"
	"maps"
	"slices"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// seed differs from life to life, as that of a process does.
func (p *proc) seed() uint64 {
	p.lives++
	return uint64(p.key.Address().Bytes()[0])<<16 + uint64(p.lives)
}

// onDisk notes that a Store was answered: it and all before it stay.
func (p *proc) onDisk(t machine.Token) {
	i := slices.IndexFunc(p.asked, func(s machine.Store) bool { return s.Token == t })
	for _, s := range p.asked[:i+1] {
		apply(p.disk, s.Rows)
	}
	p.asked = p.asked[i+1:]
}

// crash ends the process and begins it anew with what its disk has: all Stores that
// were answered, and some of those that were not, in order.
func (p *proc) crash() {
	w := p.w
	for _, l := range w.links {
		if l.up && slices.Contains(l.ends[:], p) {
			w.cut(l)
		}
	}
	w.events = slices.DeleteFunc(w.events, func(x posted) bool { return x.to == p })
	n := 0
	if p.survive != nil {
		n = p.survive(len(p.asked))
	}
	for _, s := range p.asked[:n] {
		apply(p.disk, s.Rows)
	}
	p.asked = nil
	p.rows = maps.Clone(p.disk)
	p.desk = machine.Desk{}
	p.build()
	p.restore()
	w.post(p, machine.Tick{})
	if p.core != nil {
		w.events = append(w.events, posted{to: p, do: p.core.handOver})
	}
}

// restore hands all rows to the machines, in the order of keys.
func (p *proc) restore() {
	p.w.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(p.rows)) {
		row := machine.Row{Key: []byte(key), Value: p.rows[key]}
		var err error
		switch key[0] {
		case 'c':
			e, _ := envelope.Parse(row.Value, nil)
			p.core.held[e.ID] = true
			p.core.restored = append(p.core.restored, e)
			p.core.turn = binary.BigEndian.Uint64(row.Key[1:])
		case homeTable, outboxTable:
			err = p.client.Restore(row)
		default:
			err = p.home.Restore(row)
		}
		if err != nil {
			p.w.t.Fatalf("row %x: %v", key, err)
		}
	}
}

// handOver gives the home again what is in custody here: it may have been answered
// before it was in mailboxes.
func (c *core) handOver(now int64) {
	for _, e := range c.restored {
		c.p.home.Deliver(now, c.p.gate.Own(e), Receipt{})
	}
	c.restored = nil
}

// plot is a publisher and two subscribers at one core; or with an edge router, at
// which the publisher and one of them are.
type plot struct {
	t       testing.TB
	w       *world
	core    *proc
	edge    *proc // nil: none
	pub     *proc
	subs    []*proc
	dials   [][2]*proc
	numbers map[number]envelope.ID
	boxes   map[[2]*proc]wire.Box
}

// number is one of a mailbox, by its home and client.
type number struct {
	ends [2]*proc
	box  wire.Box
	n    uint64
}

func newPlot(t testing.TB, edge bool) *plot {
	w := newWorld(t)
	x := &plot{t: t, w: w, core: w.newCore(1, Limits{}), numbers: make(map[number]envelope.ID), boxes: make(map[[2]*proc]wire.Box)}
	w.watch = x.watch
	x.pub = w.newService(2)
	x.subs = []*proc{w.newService(3), w.newService(4)}
	x.dials = [][2]*proc{{x.pub, x.core}, {x.subs[0], x.core}, {x.subs[1], x.core}}
	if edge {
		x.edge = w.newEdge(5, x.core)
		x.dials = [][2]*proc{{x.edge, x.core}, {x.pub, x.edge}, {x.subs[0], x.core}, {x.subs[1], x.edge}}
	}
	return x
}

// watch looks for a number that comes again with other content.
func (x *plot) watch(from, to *proc, f wire.Frame) {
	ends := [2]*proc{from, to}
	switch f := f.(type) {
	case *wire.Attached:
		x.boxes[ends] = f.Box
	case *wire.Deliver:
		k := number{ends, x.boxes[ends], f.N}
		if id, ok := x.numbers[k]; ok && id != f.Envelope.ID && f.N > 0 {
			x.t.Errorf("number %d came twice in one box, with different content", f.N)
		}
		x.numbers[k] = f.Envelope.ID
	}
}

// heal dials what is not linked.
func (x *plot) heal() {
	for _, d := range x.dials {
		if !slices.ContainsFunc(x.w.links, func(l *pair) bool { return l.up && l.ends == d }) {
			x.w.link(d[0], d[1])
		}
	}
}

// begin subscribes and waits until all homes know.
func (x *plot) begin() {
	x.heal()
	for _, s := range x.subs {
		s.want(groupTarget(x.t))
	}
	for range 3 {
		x.w.wait(100)
		x.heal()
	}
}

// play publishes and heals until all is done.
func (x *plot) play(list []*envelope.Envelope) {
	for i, e := range list {
		x.pub.publish(e)
		if i%2 == 1 {
			x.w.wait(5)
		}
	}
	for range 5 {
		x.w.wait(1000)
		x.heal()
	}
	x.w.wait(5_000)
}

// check holds what came against what was published.
func (x *plot) check(list []*envelope.Envelope, caption ...any) {
	x.t.Helper()
	for i, s := range x.subs {
		if got := s.app.numbers(); !slices.Equal(got, upTo(len(list))) {
			x.t.Errorf("%v: subscriber %d got %v", caption, i, got)
		}
		if len(s.app.gaps) > 0 {
			x.t.Errorf("%v: subscriber %d was told of gaps %v", caption, i, s.app.gaps)
		}
	}
	for i, e := range list {
		if !slices.Equal(x.pub.app.taken[e.ID], []wire.Code{wire.OK}) {
			x.t.Errorf("%v: publish %d was answered %v", caption, i, x.pub.app.taken[e.ID])
		}
	}
	for _, p := range []*proc{x.core, x.edge} {
		if p == nil {
			continue
		}
		checkMailbox(x.t, p.home)
		if n := p.waiting(); n > 0 {
			x.t.Errorf("%v: %d rows are left at %v", caption, n, p.role)
		}
	}
}

// survivors are choices of what stays of Stores that were not answered.
var survivors = []func(n int) int{
	func(int) int { return 0 },
	func(n int) int { return (n + 1) / 2 },
	func(n int) int { return n },
}

// crashes plays a story with a crash before each effect of a process, each with
// several ways to lose what was not answered.
func crashes(t *testing.T, edge bool, who func(x *plot) *proc, list []*envelope.Envelope) {
	t.Helper()
	x := newPlot(t, edge)
	x.begin()
	first := who(x).effects
	x.play(list)
	x.check(list, "no crash")
	last := who(x).effects
	for k := first + 1; k <= last; k++ {
		for how, survive := range survivors {
			x := newPlot(t, edge)
			p := who(x)
			p.crashAt, p.survive = k, survive
			x.begin()
			x.play(list)
			x.check(list, "edge", edge, "crash at", k, "survivors", how)
			if t.Failed() {
				return
			}
		}
	}
}

func theCore(x *plot) *proc { return x.core }
func theEdge(x *plot) *proc { return x.edge }

// Invariant I10: whichever effect a home dies before, and whatever of its last Stores
// stays, each message arrives once and in order.
func TestCrashOfACore(t *testing.T) {
	crashes(t, false, theCore, letters(t, 5))
	crashes(t, true, theCore, letters(t, 4))
}

// The same of an edge router, which is both ends of attachments.
func TestCrashOfAnEdge(t *testing.T) { crashes(t, true, theEdge, letters(t, 5)) }

// Both sides of an attachment die, the second within the repair of the first.
func TestCrashOfBoth(t *testing.T) {
	list := letters(t, 3)
	x := newPlot(t, true)
	x.begin()
	first := [2]int{x.core.effects, x.edge.effects}
	x.play(list)
	last := [2]int{x.core.effects, x.edge.effects}
	for k := first[0] + 1; k <= last[0]; k++ {
		for m := first[1] + 1 + k%3; m <= last[1]+10; m += 3 {
			x := newPlot(t, true)
			x.core.crashAt, x.core.survive = k, survivors[m%2*2]
			x.edge.crashAt, x.edge.survive = m, survivors[k%3]
			x.begin()
			x.play(list)
			x.check(list, "the core at", k, "the edge at", m)
			if t.Failed() {
				return
			}
		}
	}
}

// A process that dies again and again while it begins.
func TestCrashAtEveryBeginning(t *testing.T) {
	list := letters(t, 4)
	for every := 7; every < 40; every += 3 {
		x := newPlot(t, true)
		x.begin()
		for i, e := range list {
			x.pub.publish(e)
			for _, p := range []*proc{x.core, x.edge} {
				p.survive = survivors[i%3]
				p.crashAt = p.effects + every
			}
			x.w.wait(300)
			x.heal()
		}
		x.core.crashAt, x.edge.crashAt = 0, 0
		x.play(nil)
		x.check(list, "every", every)
	}
}
