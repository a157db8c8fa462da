package backbone

import (
	"slices"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A star is A, the only root, with the children B, C, D and E, which are puppets:
// nothing that A sends them arrives; the test answers in their place.
type star struct {
	*network
	a    *core
	root identity.Address
	s    *script
	oid  byte
}

func newStar(t *testing.T) *star {
	n := newNamed(t, "ABCDE", "A")
	n.link("AB", "AC", "AD", "AE")
	n.run(settled)
	a := n.core("A")
	n.filter = func(from, _ *core, _ wire.Frame) bool { return from != a }
	return &star{network: n, a: a, root: a.key.Address(), s: n.record()}
}

// offers lets a child offer ids of the group.
func (x *star) offers(pair string, es ...*envelope.Envelope) {
	x.oid++
	f := &wire.Offer{Root: x.root, Target: groupTarget(), OID: [8]byte{x.oid}}
	for _, e := range es {
		f.IDs = append(f.IDs, wire.PrefixOf(e.ID))
	}
	x.a.arrives(pair, f)
}

// answers lets a child answer a pull.
func (x *star) answers(pair string, e *envelope.Envelope) {
	x.a.arrives(pair, &wire.Pulled{Stamp: wire.Stamp{Ingress: x.core("B").key.Address(), Time: uint64(x.now)}, Envelope: e})
}

func (x *star) pulls(pair string, hops uint64, es ...*envelope.Envelope) {
	f := &wire.Pull{Hops: hops}
	for _, e := range es {
		f.IDs = append(f.IDs, wire.PrefixOf(e.ID))
	}
	x.a.arrives(pair, f)
}

func (x *star) nohave(pair string, e *envelope.Envelope) {
	x.a.arrives(pair, &wire.NoHave{IDs: []wire.Prefix{wire.PrefixOf(e.ID)}})
}

// receives lets a child say that it wants the group.
func (x *star) receives(pair string, flags wire.InterestFlags) {
	x.a.arrives(pair, &wire.Interest{Root: x.root, Entries: []wire.InterestEntry{{Target: groupTarget(), Flags: flags}}})
}

// TestPullAfterGrace: what was offered and has not come by itself within GRACE is
// pulled, one provider after another, one pull out at a time (S2, S3, spec §11.1,
// §11.2).
func TestPullAfterGrace(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	e := x.message(1)
	for _, pair := range []string{"AB", "AC", "AD"} {
		x.offers(pair, e)
	}
	x.run(grace - 1)
	x.s.want(t, "a push may still come")
	x.run(10)
	x.s.want(t, "after GRACE", "A>B pull 1")
	x.run(pullAgain - 20)
	x.s.want(t, "one pull is out")
	x.run(30)
	x.s.want(t, "the next provider", "A>C pull 1")
	x.run(2 * pullAgain)
	x.s.want(t, "and round again", "A>D pull 1", "A>B pull 1")
	x.answers("AD", e) // late, but it was asked
	x.run(100)
	if x.a.got(e.ID) != 1 || x.a.counts[machine.Repaired] != 1 || x.a.b.missing.Len() != 0 {
		t.Errorf("delivered %d times, repaired %d, missing %d", x.a.got(e.ID), x.a.counts[machine.Repaired], x.a.b.missing.Len())
	}
	x.answers("AB", e)
	x.run(2 * pullAgain)
	x.s.want(t, "it is here, and is not pushed")
	for _, nb := range x.a.b.neighbours.All() {
		if nb.open != 0 || nb.brought != 0 {
			t.Errorf("link %d: %d pulls open, %d ids brought", nb.link, nb.open, nb.brought)
		}
	}
}

// TestPushBeforeGrace: what comes by itself is not pulled.
func TestPushBeforeGrace(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	e := x.message(1)
	x.offers("AB", e)
	x.run(500)
	x.a.arrives("AC", x.dataFrom("C", x.root, e))
	x.run(10_000)
	x.s.want(t, "no pull")
	if x.a.got(e.ID) != 1 || x.a.counts[machine.Pulled] != 0 {
		t.Errorf("delivered %d times, %d pulls", x.a.got(e.ID), x.a.counts[machine.Pulled])
	}
}

// TestNobodyWants: what nobody here wants is remembered with its provider, and not
// pulled.
func TestNobodyWants(t *testing.T) {
	x := newStar(t)
	x.offers("AB", x.message(1))
	x.run(20_000)
	x.s.want(t, "no pull")
	if x.a.b.missing.Len() != 1 {
		t.Error("the provider is not remembered")
	}
	x.run(providerLife)
	if x.a.b.missing.Len() != 0 {
		t.Error("the provider is remembered for ever")
	}
}

// TestNoHave: the next provider is asked at once; when none has it, a pause
// follows. Two that have nothing are not asked in turns as fast as they answer.
func TestNoHave(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	e := x.message(1)
	x.offers("AB", e)
	x.offers("AC", e)
	x.run(grace + 10)
	x.s.want(t, "first", "A>B pull 1")
	x.nohave("AC", e) // was not asked
	x.s.want(t, "nothing")
	x.nohave("AB", e)
	x.s.want(t, "the next", "A>C pull 1")
	for range 100 {
		x.nohave("AC", e)
		x.nohave("AB", e)
	}
	x.s.want(t, "a pause")
	x.run(pullAgain)
	if got := x.s.take(); len(got) != 1 {
		t.Errorf("after the pause: %q, want one pull", got)
	}
}

// TestPulledUnasked: an envelope from who was not asked is ignored, even a good
// one; a forged answer is charged, and the next provider is asked (S3).
func TestPulledUnasked(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	e := x.message(1)
	x.answers("AB", e)
	x.offers("AB", e)
	x.offers("AC", e)
	x.answers("AC", e)
	x.run(grace + 10)
	x.answers("AC", e)
	if x.a.counts[machine.FrameIgnored] != 3 || len(x.a.delivered) != 0 {
		t.Errorf("%d ignored, %d delivered", x.a.counts[machine.FrameIgnored], len(x.a.delivered))
	}
	forged, err := envelope.Parse(envelope.Assemble(e.HeaderBytes, identity.Signature{1}, nil, e.Body), nil)
	if err != nil {
		t.Fatal(err)
	}
	x.answers("AB", forged)
	x.run(pullAgain)
	if x.a.counts[machine.FaultCharged] != 1 || len(x.a.delivered) != 0 {
		t.Errorf("charged %d, delivered %d", x.a.counts[machine.FaultCharged], len(x.a.delivered))
	}
	x.s.want(t, "the next provider", "A>B pull 1", "A>C pull 1")
	f := &wire.Pulled{Stamp: wire.Stamp{Ingress: x.root, Time: uint64(x.now + 2*stampSkew)}, Envelope: e}
	x.a.arrives("AC", f)
	x.answers("AC", e)
	x.run(100)
	if x.a.got(e.ID) != 1 || x.a.counts[machine.FrameIgnored] != 4 {
		t.Errorf("delivered %d times, %d ignored", x.a.got(e.ID), x.a.counts[machine.FrameIgnored])
	}
}

// TestPullOnBehalf: a relay that lacks what it is asked for pulls it from a
// provider other than the asker, with one hop less, and hands it on, but only to
// who is a direction of the target (S3).
func TestPullOnBehalf(t *testing.T) {
	x := newStar(t)
	x.receives("AB", wire.Receiver)
	e := x.message(1)
	x.offers("AC", e)
	x.run(100)
	x.s.want(t, "the offer goes on to who receives", "A>B offer 1")
	var hops []uint64
	x.tap = chain(x.tap, func(from, _ *core, f wire.Frame) {
		if p, ok := f.(*wire.Pull); ok && from == x.a {
			hops = append(hops, p.Hops)
		}
	})
	x.pulls("AB", 20, e)
	x.pulls("AD", 20, e) // no direction of the group
	x.pulls("AB", 20, e)
	x.s.want(t, "one pull", "A>C pull 1")
	x.answers("AC", e)
	x.run(100)
	x.s.want(t, "the asker is served, who has no right is refused", "A>B pulled 1", "A>D nohave 1")
	if !slices.Equal(hops, []uint64{19}) || len(x.a.delivered) != 0 {
		t.Errorf("hops %v, delivered %d", hops, len(x.a.delivered))
	}
	x.pulls("AB", 20, e)
	x.s.want(t, "from the cache now", "A>B pulled 1")
}

func chain(a, b func(from, to *core, f wire.Frame)) func(from, to *core, f wire.Frame) {
	return func(from, to *core, f wire.Frame) {
		a(from, to, f)
		b(from, to, f)
	}
}

// TestPullRefused is the table of pulls that are answered with nohave.
func TestPullRefused(t *testing.T) {
	for _, c := range []struct {
		caption string
		before  func(x *star, e *envelope.Envelope)
		pull    func(x *star, e *envelope.Envelope)
		want    []string
	}{
		{"nobody is known to have it", func(*star, *envelope.Envelope) {},
			func(x *star, e *envelope.Envelope) { x.pulls("AB", 48, e) }, []string{"A>B nohave 1"}},
		{"only the asker has it", func(x *star, e *envelope.Envelope) { x.offers("AB", e) },
			func(x *star, e *envelope.Envelope) { x.pulls("AB", 48, e) }, []string{"A>B nohave 1"}},
		{"no hop is left", func(x *star, e *envelope.Envelope) { x.offers("AC", e) },
			func(x *star, e *envelope.Envelope) { x.pulls("AB", 1, e); x.pulls("AB", 0, e) }, []string{"A>B nohave 1", "A>B nohave 1"}},
		{"it is here, but the asker is no direction", cached,
			func(x *star, e *envelope.Envelope) { x.pulls("AD", 48, e) }, []string{"A>D nohave 1"}},
		{"it is here, and the asker is one", cached,
			func(x *star, e *envelope.Envelope) { x.pulls("AB", 48, e) }, []string{"A>B pulled 1"}},
		{"it is here, and the asker was one a minute ago", cached,
			func(x *star, e *envelope.Envelope) {
				x.receives("AB", 0)
				x.run(askGrace - 100)
				x.s.take()
				x.pulls("AB", 48, e)
			}, []string{"A>B pulled 1"}},
		{"it is here, and the asker was one longer ago", cached,
			func(x *star, e *envelope.Envelope) {
				x.receives("AB", 0)
				x.run(askGrace + 100)
				x.s.take()
				x.pulls("AB", 48, e)
			}, []string{"A>B nohave 1"}},
		{"the queue is full", cached,
			func(x *star, e *envelope.Envelope) { x.a.b.bounds.bulk = 10; x.pulls("AB", 48, e) }, []string{"A>B nohave 1"}},
		{"the askers are too many", func(x *star, e *envelope.Envelope) { x.offers("AC", e); x.a.b.bounds.askers = 1 },
			func(x *star, e *envelope.Envelope) { x.pulls("AB", 48, e); x.pulls("AD", 48, e) }, []string{"A>C pull 1", "A>D nohave 1"}},
	} {
		x := newStar(t)
		e := x.message(1)
		c.before(x, e)
		x.s.take()
		c.pull(x, e)
		x.s.want(t, c.caption, c.want...)
	}
}

// cached puts an envelope of the group, which B receives, into A's cache.
func cached(x *star, e *envelope.Envelope) {
	x.receives("AB", wire.Receiver)
	x.a.arrives("AC", x.dataFrom("C", x.root, e))
	x.run(100)
}

// TestFormerParentMayPull: who was the way up within a minute was offered what
// passed by, and may still pull it.
func TestFormerParentMayPull(t *testing.T) {
	for _, c := range []struct {
		wait int64
		want string
	}{{askGrace - 10_000, "pulled 1"}, {askGrace + 10_000, "nohave 1"}} {
		n := newNamed(t, "RABC", "R")
		n.link("RA", "RB", "AC", "BC")
		n.run(settled)
		core := n.core("C")
		e := n.message(1)
		core.publish(e)
		n.run(100)
		p, _ := core.b.forest.Parent(n.core("R").key.Address())
		old := "AC"
		if p == n.ends("BC").id {
			old = "BC"
		}
		core.do(func(now int64) { core.b.RTT(now, p, 900) })
		n.run(c.wait)
		s := n.record()
		core.arrives(old, &wire.Pull{Hops: 48, IDs: []wire.Prefix{wire.PrefixOf(e.ID)}})
		s.want(t, "the former parent pulls", "C>"+old[:1]+" "+c.want)
	}
}

// TestPullsAreBounded crosses the bound of open pulls at one neighbour: the others
// wait for an answer, and all come in the end.
func TestPullsAreBounded(t *testing.T) {
	x := newStar(t)
	x.a.b.bounds.pulls = 2
	x.a.want(groupTarget(), nil)
	var list []*envelope.Envelope
	for i := range 5 {
		list = append(list, x.message(i))
	}
	x.offers("AB", list...)
	x.run(grace + 10)
	x.s.want(t, "two at once", "A>B pull 2")
	if nb := x.a.b.neighbours.At(x.ends("AB").id); nb.open != 2 {
		t.Errorf("%d open", nb.open)
	}
	for range 20 {
		for _, e := range list {
			x.answers("AB", e) // of what was not asked the answers are ignored
		}
		x.run(batchPause)
	}
	for _, e := range list {
		if x.a.got(e.ID) != 1 {
			t.Errorf("delivered %d times", x.a.got(e.ID))
		}
	}
}

// TestPullFrames: a pull names at most 256 ids; those on behalf of others keep
// their own hops.
func TestPullFrames(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	x.receives("AD", wire.Receiver)
	var list []*envelope.Envelope
	for i := range wire.PullMax + 5 {
		list = append(list, x.message(i))
	}
	x.offers("AB", list...)
	far := x.message(1000)
	x.offers("AB", far)
	x.run(grace - 10)
	x.s.take()
	var frames []*wire.Pull
	x.tap = func(from, _ *core, f wire.Frame) {
		if p, ok := f.(*wire.Pull); ok && from == x.a {
			frames = append(frames, p)
		}
	}
	x.a.do(func(now int64) { // in one step with the pulls of its own
		x.now += 20
		x.a.b.Frame(now, x.ends("AD").id, &wire.Pull{Hops: 3, IDs: []wire.Prefix{wire.PrefixOf(far.ID)}})
		x.a.b.Tick(x.now)
	})
	var got []int
	for _, p := range frames {
		if (p.Hops == 2) != (len(p.IDs) == 1) || p.Hops != 2 && p.Hops != wire.HopsMax {
			t.Errorf("%d ids with %d hops", len(p.IDs), p.Hops)
		}
		got = append(got, len(p.IDs))
	}
	if !slices.Equal(got, []int{1, wire.PullMax, 5}) {
		t.Errorf("frames of %v ids", got)
	}
}

// TestProviderGone: a link that ends takes its offers along, and who waited for
// its answer asks another.
func TestProviderGone(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	e := x.message(1)
	x.offers("AB", e)
	x.offers("AC", e)
	x.run(grace + 10)
	x.s.want(t, "first", "A>B pull 1")
	x.cut("AB")
	x.run(pullAgain)
	x.s.want(t, "the other", "A>C pull 1")
	x.cut("AC")
	x.run(pullAgain)
	x.s.want(t, "nobody is left")
	x.offers("AD", e)
	x.run(pullAgain)
	x.s.want(t, "a new provider", "A>D pull 1")
	x.answers("AD", e)
	x.run(100)
	if x.a.got(e.ID) != 1 {
		t.Errorf("delivered %d times", x.a.got(e.ID))
	}
}

// TestAskerIsServedLater: an asker whose provider had nothing is served when
// another offers it.
func TestAskerIsServedLater(t *testing.T) {
	x := newStar(t)
	x.receives("AB", wire.Receiver)
	e := x.message(1)
	x.offers("AC", e)
	x.pulls("AB", 48, e)
	x.nohave("AC", e)
	x.run(pullOut + 10)
	x.s.take()
	x.offers("AD", e)
	x.s.want(t, "at once", "A>B offer 1", "A>D pull 1")
	x.answers("AD", e)
	x.run(100)
	x.s.want(t, "served", "A>B pulled 1")
}

// TestKnownButNotHeld: what was delivered here and has left the cache is not pulled
// again for this router; but it remembers who has it, and passes on the pulls of
// those who come after (F4, S3; the simulator's durable seeds 3 and 51).
func TestKnownButNotHeld(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	x.receives("AD", wire.Receiver)
	x.run(100)
	x.s.take()
	e := x.message(1)
	x.a.arrives("AB", x.dataFrom("B", x.root, e))
	x.run(cacheLife + 1_000)
	x.s.take()
	x.offers("AB", e)
	x.run(grace + 10)
	x.s.want(t, "it is offered on, and not pulled", "A>D offer 1")
	x.pulls("AD", 48, e)
	x.run(10)
	x.s.want(t, "a pull is passed on", "A>B pull 1")
	x.answers("AB", e)
	x.run(1_000)
	x.s.want(t, "and answered", "A>D pulled 1")
	if x.a.got(e.ID) != 1 {
		t.Errorf("delivered %d times", x.a.got(e.ID))
	}
}

// TestOfferIsPassedOn once for each number, to all other directions, without what
// is here unless it is deep; only from parent or child (spec §11.1).
func TestOfferIsPassedOn(t *testing.T) {
	x := newStar(t)
	x.receives("AB", wire.Receiver)
	x.receives("AD", wire.Receiver|wire.Sender)
	x.run(100)
	x.s.take()
	here, missing := x.message(1), x.message(2)
	x.a.arrives("AC", x.dataFrom("C", x.root, here))
	x.run(100)
	x.s.take()
	f := &wire.Offer{Root: x.root, Target: groupTarget(), OID: [8]byte{200}, IDs: []wire.Prefix{wire.PrefixOf(here.ID), wire.PrefixOf(missing.ID)}}
	x.a.arrives("AD", f)
	x.s.want(t, "what is missing goes on", "A>B offer 1")
	x.a.arrives("AD", f)
	x.a.arrives("AC", f)
	x.s.want(t, "once")
	deep := *f
	deep.Deep, deep.OID = true, [8]byte{201}
	x.a.arrives("AD", &deep)
	x.s.want(t, "deep: all of it", "A>B offer 2")
	x.run(oidLife + 10)
	x.a.arrives("AD", f)
	x.s.want(t, "a minute later it counts as another", "A>B offer 1")
	only := *f
	only.OID, only.IDs = [8]byte{202}, f.IDs[:1]
	x.a.arrives("AD", &only)
	x.s.want(t, "all of it is here: nothing to say")
	x.a.arrives("AE", &wire.Prune{Root: x.root})
	x.run(edgeGrace + 10)
	f2 := *f
	f2.OID = [8]byte{203}
	x.a.arrives("AE", &f2)
	if x.s.want(t, "no edge"); x.a.counts[machine.WrongDirection] != 1 {
		t.Errorf("%d in the wrong direction", x.a.counts[machine.WrongDirection])
	}
}

// TestStaleIsPulledNotPushed: data with an old stamp is an offer of its id (F2).
func TestStaleIsPulledNotPushed(t *testing.T) {
	x := newStar(t)
	x.a.want(groupTarget(), nil)
	x.receives("AC", wire.Receiver)
	x.run(100)
	x.s.take()
	e := x.message(1)
	live := x.letter(groupKey, envelope.Header{Target: groupTarget(), Flags: envelope.Live})
	f := x.dataFrom("B", x.root, e)
	g := x.dataFrom("B", x.root, live)
	x.run(fresh + stampSkew + 1)
	x.s.take()
	x.a.arrives("AB", f)
	x.a.arrives("AB", g)
	x.run(grace + 10)
	x.s.want(t, "pulled from who pushed it", "A>B pull 1")
	x.answers("AB", e)
	x.run(100)
	x.s.want(t, "and not pushed on")
	if x.a.got(e.ID) != 1 || x.a.counts[machine.StaleDropped] != 2 || x.a.b.missing.Len() != 0 {
		t.Errorf("delivered %d times, %d stale, %d missing", x.a.got(e.ID), x.a.counts[machine.StaleDropped], x.a.b.missing.Len())
	}
}

// TestLateSubscriberPullsNothing: who subscribes later gets what comes from then
// on; what was offered before is not pulled for it.
func TestLateSubscriberPullsNothing(t *testing.T) {
	x := newStar(t)
	x.offers("AB", x.message(1))
	x.a.want(groupTarget(), nil)
	x.run(20_000)
	if got := strings.Join(x.s.take(), " "); strings.Contains(got, "pull") {
		t.Errorf("pulled: %s", got)
	}
}
