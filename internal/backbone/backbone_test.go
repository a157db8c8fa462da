package backbone

import (
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// settled is long enough for automatic roots to be chosen and to settle (R3, R4).
const settled = 60_000

// TestPushReachesAll is F1 and F2 on the smallest graphs: every subscriber gets
// what is published anywhere, once, whatever the cycles.
func TestPushReachesAll(t *testing.T) {
	for _, g := range []struct {
		name  string
		size  int
		links []string
	}{
		{"one router", 1, nil},
		{"two", 2, []string{"AB"}},
		{"a line of three", 3, []string{"AB", "BC"}},
		{"a triangle", 3, []string{"AB", "BC", "AC"}},
		{"a ring of four", 4, []string{"AB", "BC", "CD", "AD"}},
		{"a full mesh of four", 4, []string{"AB", "AC", "AD", "BC", "BD", "CD"}},
	} {
		t.Run(g.name, func(t *testing.T) {
			n := newNetwork(t, g.size)
			n.link(g.links...)
			n.run(settled)
			for _, c := range n.nodes {
				c.want(groupTarget(), nil)
			}
			n.run(1_000)
			crossed := crossings(n)
			for i, c := range n.nodes {
				id := c.publish(n.message(i))
				n.run(1_000)
				if c.taken[id] != wire.OK {
					t.Errorf("%s: not taken: %v", c.name, c.taken[id])
				}
				for _, other := range n.nodes {
					if want := btoi(other != c); other.got(id) != want {
						t.Errorf("%s published, %s got it %d times, want %d", c.name, other.name, other.got(id), want)
					}
				}
				for edge, times := range *crossed {
					if edge.id == id && times > 1 {
						t.Errorf("the envelope crossed %s→%s %d times (I8)", edge.from, edge.to, times)
					}
				}
			}
		})
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

type crossing struct {
	id       envelope.ID
	from, to string
}

// crossings counts data frames by envelope and direction.
func crossings(n *network) *map[crossing]int {
	m := make(map[crossing]int)
	n.tap = func(from, to *core, f wire.Frame) {
		if d, ok := f.(*wire.Data); ok {
			m[crossing{d.Envelope.ID, from.name, to.name}]++
		}
	}
	return &m
}

// TestNobodyWantsIt: without a subscriber an envelope does not leave its ingress
// once the way up has said no (J2).
func TestNobodyWantsIt(t *testing.T) {
	n := newNetwork(t, 3)
	n.link("AB", "BC")
	n.run(settled)
	n.core("A").publish(n.message(0))
	n.run(1_000)
	crossed := crossings(n)
	n.core("A").publish(n.message(1))
	n.run(1_000)
	if len(*crossed) != 0 {
		t.Errorf("crossed %v, want nothing", *crossed)
	}
}

// TestAcknowledgedOnlyWhenStored is the promise of F1 (spec §10.2): no published before Stored,
// and no push either.
func TestAcknowledgedOnlyWhenStored(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	n.core("B").want(groupTarget(), nil)
	n.run(1_000)
	n.hold = true
	a := n.core("A")
	e := n.message(0)
	id := a.publish(e)
	n.run(5_000)
	if _, answered := a.taken[id]; answered || n.core("B").got(id) != 0 {
		t.Fatal("acknowledged or pushed before it was stored")
	}
	a.do(func(now int64) {
		if !a.b.Again(now, e) {
			t.Error("a second publish of what is on its way into the store must wait for it")
		}
	})
	a.do(func(now int64) { a.b.Stored(now, a.withheld[0], nil) })
	n.run(1_000)
	if a.taken[id] != wire.OK || n.core("B").got(id) != 1 {
		t.Errorf("after Stored: taken %v, B got it %d times", a.taken[id], n.core("B").got(id))
	}
}

// TestStoreFails: what could not be stored is refused with a code that asks for
// another try, and is not pushed.
func TestStoreFails(t *testing.T) {
	n := newNetwork(t, 1)
	n.run(settled)
	n.hold = true
	a := n.core("A")
	id := a.publish(n.message(0))
	a.do(func(now int64) { a.b.Stored(now, a.withheld[0], errDisk) })
	if code := a.taken[id]; code != wire.StorageFull || !code.Retry() {
		t.Errorf("taken %v, want storage full", code)
	}
	if a.b.Sizes().CustodyEnvelopes != 0 {
		t.Error("it is in custody all the same")
	}
}

type diskError struct{}

func (diskError) Error() string { return "the disk is gone" }

var errDisk error = diskError{}

// TestAgain is F1's table of what is known already.
func TestAgain(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	a, b := n.core("A"), n.core("B")
	b.want(groupTarget(), nil)
	n.run(1_000)
	e := n.message(0)
	id := a.publish(e)
	n.run(1_000)
	again := func(c *core) (known bool) {
		delete(c.taken, id)
		c.do(func(now int64) { known = c.b.Again(now, e) })
		n.run(10)
		return known
	}
	if !again(a) || a.taken[id] != wire.OK {
		t.Error("in custody: acknowledge again")
	}
	crossed := crossings(n)
	if !again(b) || b.taken[id] != wire.OK || b.b.Sizes().CustodyEnvelopes != 1 {
		t.Error("only in the cache: store with the stamp it has, acknowledge")
	}
	n.run(1_000)
	if len(*crossed) != 0 {
		t.Error("it was pushed again")
	}
	n.run(26 * anHour) // its time to live is a day
	if again(a) {
		t.Error("neither held nor cached: the caller must check it like a new one")
	}
	a.do(func(now int64) { a.b.Retake(now, a.gate.Own(e)) })
	n.run(10)
	if a.taken[id] != wire.OK || len(*crossed) != 0 {
		t.Error("retaken: stored, acknowledged, not pushed")
	}
}

// TestCustodyIsBounded crosses Limits.Custody: what is beyond is refused, what was
// acknowledged stays, and room comes back when it is released.
func TestCustodyIsBounded(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.core("A")
	a.b.cfg.Limits.Custody = 1_000
	n.run(settled)
	accepted := 0
	for i := range 10 {
		id := a.publish(n.message(i))
		n.run(10)
		switch a.taken[id] {
		case wire.OK:
			accepted++
		case wire.StorageFull:
		default:
			t.Fatalf("taken %v", a.taken[id])
		}
	}
	z := a.b.Sizes()
	if accepted == 0 || accepted == 10 || z.CustodyBytes > 1_000 || z.CustodyEnvelopes != accepted {
		t.Fatalf("%d accepted, %+v", accepted, z)
	}
	n.run(26 * anHour)
	if id := a.publish(n.message(11)); true {
		n.run(10)
		if a.taken[id] != wire.OK {
			t.Errorf("after the release: %v", a.taken[id])
		}
	}
}

// TestLiveIsNeverStored: a live envelope is pushed and kept nowhere.
func TestLiveIsNeverStored(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	n.core("B").want(groupTarget(), nil)
	n.run(1_000)
	e, err := envelope.Sign(envelope.Header{Target: groupTarget(), Count: 1, Time: uint64(n.now), TTL: 60, Flags: envelope.Plain | envelope.Live},
		nil, envelope.PlainBody([][]byte{[]byte("cursor")}), groupKey)
	if err != nil {
		t.Fatal(err)
	}
	n.hold = true // any Store would never be answered
	n.core("A").publish(e)
	n.run(1_000)
	if n.core("B").got(e.ID) != 1 || n.core("A").taken[e.ID] != wire.OK {
		t.Error("a live envelope did not arrive")
	}
	for _, c := range n.nodes {
		if z := c.b.Sizes(); z.CacheEnvelopes+z.CustodyEnvelopes != 0 {
			t.Errorf("%s keeps it: %+v", c.name, z)
		}
	}
}

// TestForgedDiesAtTheFirstRouter: what a neighbour forges is charged to it, goes
// no further, and does not hide the real one that shares its id (F2).
func TestForgedDiesAtTheFirstRouter(t *testing.T) {
	n := newNetwork(t, 3)
	n.link("AB", "BC")
	n.run(settled)
	n.core("C").want(groupTarget(), nil)
	n.run(1_000)
	real := n.message(0)
	sig := real.Sig
	sig[0] ^= 1
	forged, err := envelope.Parse(envelope.Assemble(real.HeaderBytes, sig, nil, real.Body), nil)
	if err != nil {
		t.Fatal(err)
	}
	root := primary(n.core("C"))
	b, a := n.core("B"), n.core("A")
	link := n.links[[2]int{'A', 'B'}].id
	f := &wire.Data{Root: root, Stamp: wire.Stamp{Ingress: a.key.Address(), Time: uint64(n.now)}, Envelope: forged}
	b.do(func(now int64) { b.b.Frame(now, link, f) })
	n.run(1_000)
	if b.counts[machine.RelayRefused] != 1 || b.counts[machine.FaultCharged] != 1 || n.core("C").got(real.ID) != 0 {
		t.Fatalf("refused %d, charged %d, C got it %d times", b.counts[machine.RelayRefused], b.counts[machine.FaultCharged], n.core("C").got(real.ID))
	}
	a.publish(real)
	n.run(1_000)
	if n.core("C").got(real.ID) != 1 {
		t.Error("the forged copy hid the real one")
	}
}

// primary returns the root of the group's primary tree as c sees it.
func primary(c *core) rootKey {
	p, _ := c.b.forest.Map(groupTarget())
	return p
}

// TestDataOnlyOverEdges: data over a link that is no edge of the named tree, with
// too many hops, or with a stamp that does not fit, goes nowhere and blames
// nobody.
func TestDataOnlyOverEdges(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(n *network, f *wire.Data)
		want  machine.ReportEvent
	}{
		{"an unknown tree", func(_ *network, f *wire.Data) { f.Root = testKey(77).Address() }, machine.WrongDirection},
		{"48 hops", func(_ *network, f *wire.Data) { f.Hops = wire.HopsMax }, machine.RelayRefused},
		{"a stamp in the future", func(n *network, f *wire.Data) { f.Stamp.Time = uint64(n.now + stampSkew + 1) }, machine.RelayRefused},
		{"a stamp before the message", func(n *network, f *wire.Data) { f.Stamp.Time = f.Envelope.Time - stampSkew - 1 }, machine.RelayRefused},
		{"a stale stamp", func(n *network, f *wire.Data) {
			n.now -= fresh + stampSkew + 1
			f.Envelope, f.Stamp.Time = n.message(0), uint64(n.now)
			n.now += fresh + stampSkew + 1
		}, machine.StaleDropped},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newNetwork(t, 2)
			n.link("AB")
			n.run(settled)
			b := n.core("B")
			b.want(groupTarget(), nil)
			n.run(1_000)
			f := &wire.Data{Root: primary(b), Stamp: wire.Stamp{Ingress: testKey(0).Address(), Time: uint64(n.now)}, Envelope: n.message(0)}
			c.spoil(n, f)
			b.do(func(now int64) { b.b.Frame(now, n.links[[2]int{'A', 'B'}].id, f) })
			n.run(500)
			if b.counts[c.want] != 1 || b.counts[machine.FaultCharged] != 0 || len(b.delivered) != 0 {
				t.Errorf("%v %d times, charged %d, delivered %d", c.want, b.counts[c.want], b.counts[machine.FaultCharged], len(b.delivered))
			}
		})
	}
}
