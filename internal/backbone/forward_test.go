package backbone

import (
	"bytes"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// dataFrom makes a push of e that its ingress X stamped a moment ago.
func (n *network) dataFrom(x string, root identity.Address, e *envelope.Envelope) *wire.Data {
	return &wire.Data{Root: root, Stamp: wire.Stamp{Ingress: n.core(x).key.Address(), Time: uint64(n.now)}, Envelope: e}
}

// TestRelayedAsItCame: a relay changes nothing but the hops, sends nothing back,
// and sends nothing before the verdict (F2, spec §10.1).
func TestRelayedAsItCame(t *testing.T) {
	n := newNamed(t, "RABC", "R")
	n.link("RA", "AB", "AC")
	n.run(settled)
	for _, name := range []string{"R", "B", "C"} {
		n.core(name).want(groupTarget(), nil)
	}
	n.run(1_000)
	a, root := n.core("A"), n.core("R").key.Address()
	var out []*wire.Data
	to := map[string]int{}
	n.tap = func(from, dest *core, f wire.Frame) {
		if d, ok := f.(*wire.Data); ok && from == a {
			out = append(out, d)
			to[dest.name]++
		}
	}
	n.slow = 500
	f := n.dataFrom("B", root, n.message(1))
	f.Hops, f.Stamp.Time = 7, f.Stamp.Time-1_234
	a.arrives("AB", f)
	n.run(400)
	if len(out) != 0 || len(a.delivered) != 0 {
		t.Fatal("passed on before its check")
	}
	n.run(200)
	if to["B"] != 0 || to["R"] != 1 || to["C"] != 1 {
		t.Errorf("sent to %v, want once to R and C", to)
	}
	for _, d := range out {
		if d.Hops != 8 || d.Stamp != f.Stamp || d.Root != root || !bytes.Equal(d.Envelope.Raw, f.Envelope.Raw) {
			t.Errorf("changed on its way: %v", d)
		}
	}
}

// TestCopiesWhileChecked: a copy from another side that comes during the check is
// a duplicate afterwards, and nothing crosses twice (F2, F4).
func TestCopiesWhileChecked(t *testing.T) {
	n := newNamed(t, "RABC", "R")
	n.link("RA", "AB", "AC")
	n.run(settled)
	a, root := n.core("A"), n.core("R").key.Address()
	a.want(groupTarget(), nil)
	n.run(100)
	n.slow = 50
	e := n.message(1)
	for _, from := range []string{"AB", "AC", "RA"} {
		a.arrives(from, n.dataFrom("B", root, e))
	}
	n.run(500)
	a.arrives("AC", n.dataFrom("B", root, e))
	if a.got(e.ID) != 1 || a.counts[machine.DuplicateDropped] != 3 {
		t.Errorf("delivered %d times, %d duplicates dropped", a.got(e.ID), a.counts[machine.DuplicateDropped])
	}
}

// TestLastHop: what came over 47 links is delivered and goes no further: the next
// router would refuse it.
func TestLastHop(t *testing.T) {
	n := lineToRoot(t)
	for _, c := range n.nodes {
		c.want(groupTarget(), nil)
	}
	n.run(1_000)
	a := n.core("A")
	f := n.dataFrom("R", n.core("R").key.Address(), n.message(1))
	f.Hops = wire.HopsMax - 1
	s := n.record()
	a.arrives("RA", f)
	n.run(500)
	s.want(t, "nothing is sent on")
	if len(a.delivered) != 1 {
		t.Errorf("delivered %d times", len(a.delivered))
	}
}

// TestRefusedOnItsWay is the rest of F2's table: who is not to blame is not
// charged, and nothing goes on.
func TestRefusedOnItsWay(t *testing.T) {
	newer := func(n *network) *envelope.Envelope {
		e := n.message(1)
		h := bytes.Clone(e.HeaderBytes)
		h[1] = 2 // the version
		x, err := envelope.Parse(envelope.Assemble(h, e.Sig, nil, e.Body), nil)
		if err != nil || x.Newer == nil {
			t.Fatal("the test's envelope is not of a newer version: ", err)
		}
		return x
	}
	for _, c := range []struct {
		caption string
		make    func(n *network) *envelope.Envelope
		charged int
	}{
		{"of a newer version", newer, 0},
		{"expired", func(n *network) *envelope.Envelope {
			return n.letter(groupKey, envelope.Header{Target: groupTarget(), Time: uint64(n.now - 10_000), TTL: 9})
		}, 0},
		{"of the future", func(n *network) *envelope.Envelope {
			return n.letter(groupKey, envelope.Header{Target: groupTarget(), Time: uint64(n.now + stampSkew + 1_000)})
		}, 0},
		{"with a changed body", func(n *network) *envelope.Envelope {
			e := n.message(1)
			x, err := envelope.Parse(envelope.Assemble(e.HeaderBytes, e.Sig, nil, append([]byte{0}, e.Body...)), nil)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}, 1},
	} {
		n := lineToRoot(t)
		for _, x := range n.nodes {
			x.want(groupTarget(), nil)
		}
		n.run(1_000)
		a := n.core("A")
		s := n.record()
		a.arrives("AB", n.dataFrom("B", n.core("R").key.Address(), c.make(n)))
		n.run(500)
		s.want(t, c.caption)
		if a.counts[machine.RelayRefused] != 1 || a.counts[machine.FaultCharged] != c.charged || len(a.delivered) != 0 {
			t.Errorf("%s: refused %d, charged %d, delivered %d", c.caption, a.counts[machine.RelayRefused], a.counts[machine.FaultCharged], len(a.delivered))
		}
	}
}

// TestDataAfterTheEdgeEnded: what was queued before a change may arrive up to five
// seconds after it, not later (F2).
func TestDataAfterTheEdgeEnded(t *testing.T) {
	for _, c := range []struct {
		caption string
		end     func(n *network, root identity.Address)
	}{
		{"a child pruned", func(n *network, root identity.Address) { n.core("A").arrives("AB", &wire.Prune{Root: root}) }},
		{"twice", func(n *network, root identity.Address) {
			for range 2 {
				n.core("A").arrives("AB", &wire.Graft{Root: root})
				n.run(1_000)
				n.core("A").arrives("AB", &wire.Prune{Root: root})
			}
		}},
	} {
		n := lineToRoot(t)
		a, root := n.core("A"), n.core("R").key.Address()
		a.want(groupTarget(), nil)
		c.end(n, root)
		n.run(edgeGrace)
		a.arrives("AB", n.dataFrom("B", root, n.message(1)))
		n.run(100)
		a.arrives("AB", n.dataFrom("B", root, n.message(2)))
		n.run(100)
		if len(a.delivered) != 1 || a.counts[machine.WrongDirection] != 1 {
			t.Errorf("%s: %d delivered, %d refused", c.caption, len(a.delivered), a.counts[machine.WrongDirection])
		}
		n.run(askGrace)
		if x := a.b.neighbours.At(n.ends("AB").id); len(x.edges) != 0 {
			t.Errorf("%s: %d former edges are remembered", c.caption, len(x.edges))
		}
	}
}

// TestUnknownLink: frames, drains and measurements of links that ended or are none
// do nothing.
func TestUnknownLink(t *testing.T) {
	n := lineToRoot(t)
	a := n.core("A")
	a.do(func(now int64) {
		a.b.Frame(now, 999, &wire.Graft{Root: n.core("R").key.Address()})
		a.b.Frame(now, n.ends("AB").id, &wire.Ping{})
		a.b.Drained(now, 999, machine.Bulk, 10)
		a.b.RTT(now, 999, 10)
		a.b.LinkDown(now, 999)
		a.b.Stored(now, 12345, nil)
		a.b.Verified(now, machine.Token(uint64(machine.OwnerBackbone)<<56|77), 0)
	})
	if a.counts[machine.FrameIgnored] != 2 || a.counts[machine.FaultCharged] != 0 {
		t.Errorf("%d ignored, %d charged", a.counts[machine.FrameIgnored], a.counts[machine.FaultCharged])
	}
}

// TestCostFollowsTheRoundTrip: at most every 30 s, and only by more than a quarter
// and 16, so that a wavering link moves no tree (spec §3.4).
func TestCostFollowsTheRoundTrip(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	a, link := n.core("A"), n.ends("AB").id
	for _, c := range []struct {
		caption string
		wait    int64
		rtt     int
		want    int
	}{
		{"too soon", 29_000, 500, 74},
		{"a change of 16", 2_000, 25, 74},
		{"less than a quarter", 0, 28, 74},
		{"more", 0, 40, 104},
		{"soon again", 10_000, 10, 104},
		{"back", 20_000, 10, 74},
		{"beyond a second counts as a second", 30_000, 5_000, 1_064},
	} {
		n.run(c.wait)
		a.do(func(now int64) { a.b.RTT(now, link, c.rtt) })
		if got := a.b.Links()[0]; got.Cost != c.want || got.RTT != c.rtt {
			t.Errorf("%s: cost %d, want %d", c.caption, got.Cost, c.want)
		}
	}
}

// TestFullQueue is F3: a stored push that does not fit becomes an offer of its id
// once the queue drains, and is pulled; a live one is dropped and counted (spec
// §10.3).
func TestFullQueue(t *testing.T) {
	n := newNamed(t, "RA", "R")
	n.link("RA")
	x := subscribed(t, n, "R", "A")
	r := n.core("R")
	r.b.bounds.bulk = 2_000
	n.clogged = true
	for range 20 {
		x.publish(10)
	}
	live := n.letter(groupKey, envelope.Header{Target: groupTarget(), Flags: envelope.Live})
	r.publish(live)
	n.run(2_000)
	fitted := len(n.core("A").delivered)
	if fitted == 0 || fitted > 6 || r.counts[machine.PushDeferred] != 20-fitted || r.counts[machine.LiveDropped] != 1 {
		t.Fatalf("%d fitted, %d deferred, %d live dropped", fitted, r.counts[machine.PushDeferred], r.counts[machine.LiveDropped])
	}
	if q := r.b.Links()[0].Queued; q > 2_000 || q == 0 {
		t.Errorf("%d bytes are queued", q)
	}
	s := n.record()
	n.unclog()
	n.run(100)
	if got := s.take(); len(got) != 1 || r.b.Links()[0].Queued != 0 {
		t.Errorf("after the drain: %q, %d bytes queued; want one offer", got, r.b.Links()[0].Queued)
	}
	n.run(30_000)
	x.arrived(t, n.core("A"))
	if n.core("A").got(live.ID) != 0 {
		t.Error("a dropped live envelope came")
	}
}

// TestDeferredAreBounded: beyond the bound pushes are dropped and counted, never
// in silence.
func TestDeferredAreBounded(t *testing.T) {
	n := newNamed(t, "RA", "R")
	n.link("RA")
	x := subscribed(t, n, "R", "A")
	r := n.core("R")
	r.b.bounds.bulk, r.b.bounds.deferred = 500, 3
	n.clogged = true
	for range 10 {
		x.publish(10)
	}
	fitted := len(n.core("A").delivered)
	if got := r.counts[machine.PushDeferred] + r.counts[machine.LiveDropped]; r.counts[machine.PushDeferred] != 3 || got != 10-fitted {
		t.Errorf("%d fitted, %d deferred, %d dropped", fitted, r.counts[machine.PushDeferred], r.counts[machine.LiveDropped])
	}
}

// TestOfferPerTarget: deferred pushes of several targets become one offer for each
// run of one target, of at most 512 ids.
func TestOfferPerTarget(t *testing.T) {
	n := newNamed(t, "RA", "R")
	n.link("RA")
	n.run(settled)
	r := n.core("R")
	targets, _ := someTargets()
	var list []deferral
	for i := range wire.EntriesMax + 2 {
		list = append(list, deferral{r.key.Address(), targets[0], wire.Prefix{byte(i), byte(i >> 8)}})
	}
	list = append(list, deferral{r.key.Address(), targets[1], wire.Prefix{1}})
	s := n.record()
	r.do(func(now int64) {
		x := r.b.neighbours.At(n.ends("RA").id)
		x.deferred = list
		r.b.Drained(now, x.link, machine.Control, 10) // says nothing of the envelopes
		r.b.Drained(now, x.link, machine.Repair, 10)
	})
	s.want(t, "three offers", "R>A offer 512", "R>A offer 2", "R>A offer 1")
}

// TestWithoutRoot: without a usable root an envelope is stored and acknowledged,
// and offered as soon as there is one (F1, spec §10.2).
func TestWithoutRoot(t *testing.T) {
	n := newNetwork(t, 2)
	a, b := n.core("A"), n.core("B")
	b.want(groupTarget(), nil)
	id := a.publish(n.message(1))
	n.run(100)
	if a.taken[id] != wire.OK {
		t.Fatalf("taken %v", a.taken[id])
	}
	n.link("AB")
	n.run(settled)
	if b.got(id) != 1 {
		t.Errorf("B got it %d times", b.got(id))
	}
}

// TestOfferedOnPrimary: while a new primary root has not settled, pushes go to
// another one; who joined the primary tree alone learns of them by an offer there,
// 2 and 10 s later (R4, spec §10.2).
func TestOfferedOnPrimary(t *testing.T) {
	n := newNetwork(t, 3)
	n.link("AB")
	n.run(settled)
	n.link("BC")
	n.run(5_000)
	a, c := n.core("A"), n.core("C")
	var key identity.Key
	var target envelope.Target
	for i := 3000; ; i++ { // a group whose primary root is the newcomer
		key = testKey(i)
		target = envelope.Target{Kind: envelope.Group, To: key.Address()}
		if p, _ := a.b.forest.Map(target); p == c.key.Address() {
			break
		}
	}
	if p, _ := a.b.forest.PublishRoot(n.now, target); p == c.key.Address() {
		t.Fatal("the newcomer has settled already; the test comes too late")
	}
	c.want(target, nil)
	n.run(200)
	var when []int64
	start := n.now
	n.tap = func(from, to *core, f wire.Frame) {
		if o, ok := f.(*wire.Offer); ok && from == a && o.Deep && o.Root == c.key.Address() {
			when = append(when, n.now-start)
		}
	}
	id := a.publish(n.letter(key, envelope.Header{Target: target}))
	n.run(settled)
	if len(when) < 2 || when[0] < offerFirst || when[0] > offerFirst+100 || when[1] < offerSecond || when[1] > offerSecond+100 {
		t.Errorf("offered at %v", when)
	}
	if a.taken[id] != wire.OK || c.got(id) != 1 {
		t.Errorf("taken %v, C got it %d times", a.taken[id], c.got(id))
	}
}

// TestLiveAgain: a live envelope that is published again is acknowledged, not
// pushed again, and kept by nobody.
func TestLiveAgain(t *testing.T) {
	n := newNamed(t, "RA", "R")
	n.link("RA")
	n.run(settled)
	n.core("A").want(groupTarget(), nil)
	n.run(100)
	r := n.core("R")
	e := n.letter(groupKey, envelope.Header{Target: groupTarget(), Flags: envelope.Live})
	r.publish(e)
	n.run(100)
	s := n.record()
	delete(r.taken, e.ID)
	r.do(func(now int64) {
		if r.b.Again(now, e) {
			t.Error("a live envelope is said to be held")
		}
		r.b.Retake(now, r.gate.Own(e))
	})
	n.run(1_000)
	if r.taken[e.ID] != wire.OK || n.core("A").got(e.ID) != 1 {
		t.Errorf("taken %v, A got it %d times", r.taken[e.ID], n.core("A").got(e.ID))
	}
	s.want(t, "no push")
}

// TestUnicast: mail for an address goes to the one router that receives for it, on
// any way, and to no other (spec §10.1).
func TestUnicast(t *testing.T) {
	n := newNetwork(t, 4)
	n.link("AB", "BC", "CD", "AD")
	n.run(settled)
	c := n.core("C")
	c.want(mailTarget(), grant(mailKey, c.key.Address(), n.now+3_600_000))
	own := grant(n.core("D").key, n.core("D").key.Address(), n.now+3_600_000)
	n.core("D").want(envelope.Target{Kind: envelope.Address, To: own.Address}, own)
	n.run(1_000)
	x := n.letter(testKey(1200), envelope.Header{Target: mailTarget()})
	y := n.letter(testKey(1200), envelope.Header{Target: envelope.Target{Kind: envelope.Address, To: own.Address}})
	n.core("A").publish(x)
	n.core("B").publish(y)
	n.run(1_000)
	for _, r := range n.nodes {
		if r.got(x.ID) != btoi(r.name == "C") || r.got(y.ID) != btoi(r.name == "D") {
			t.Errorf("%s got %d and %d", r.name, r.got(x.ID), r.got(y.ID))
		}
	}
}
