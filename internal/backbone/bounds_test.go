package backbone

import (
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// groupNumber is a group that has no other use.
func groupNumber(i int) envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: testKey(5000 + i).Address()}
}

// entriesFor lets a child receive n groups, the first of number from.
func (x *star) entriesFor(pair string, from, n int) {
	f := &wire.Interest{Root: x.root}
	for i := range n {
		f.Entries = append(f.Entries, wire.InterestEntry{Target: groupNumber(from + i), Flags: wire.Receiver})
	}
	x.a.arrives(pair, f)
}

// TestDefaults: an instance without a test's hand on it has the constants.
func TestDefaults(t *testing.T) {
	x := newStar(t)
	want := bounds{
		entriesPerChild: 300_000, entries: 1_000_000, targets: 1_000_000, cache: 256 << 20, missing: 200_000, askers: 64,
		recent: 65_536, pulls: 1_024, offers: 200_000, bulk: 4 << 20, deferred: 65_536, checks: 65_536, custody: 1_000_000,
	}
	if x.a.b.bounds != want || x.a.b.kept.most != CacheBytesMax || x.a.b.oids.most != OffersMax {
		t.Errorf("%+v", x.a.b.bounds)
	}
	if x.a.b.Sizes().CustodyLimit != 256<<20 {
		t.Errorf("custody %d", x.a.b.Sizes().CustodyLimit)
	}
}

// TestEntriesAreBounded crosses the bound of one child and of all: what is new is
// refused and counted, what is there stays and may change, and room comes back
// (spec §12.2).
func TestEntriesAreBounded(t *testing.T) {
	x := newStar(t)
	x.a.b.bounds.entriesPerChild, x.a.b.bounds.entries = 10, 15
	x.entriesFor("AB", 0, 12)
	if x.a.b.entries != 10 || x.a.counts[machine.TableFull] != 2 {
		t.Fatalf("one child: %d entries, %d refused", x.a.b.entries, x.a.counts[machine.TableFull])
	}
	x.entriesFor("AC", 100, 8)
	if x.a.b.entries != 15 || x.a.counts[machine.TableFull] != 5 {
		t.Fatalf("all children: %d entries, %d refused", x.a.b.entries, x.a.counts[machine.TableFull])
	}
	x.a.arrives("AB", &wire.Interest{Root: x.root, Entries: []wire.InterestEntry{
		{Target: groupNumber(0), Flags: wire.Receiver | wire.Sender}, {Target: groupNumber(1)}, {Target: groupNumber(11), Flags: wire.Receiver}}})
	c := childOf(x.a, x.root, x.core("B"))
	if c.entries.At(groupNumber(0)).flags != wire.Receiver|wire.Sender || c.entries.Has(groupNumber(1)) || !c.entries.Has(groupNumber(11)) {
		t.Error("a full table does not take changes, or gives no room back")
	}
	x.cut("AC")
	if x.a.b.entries != 10 {
		t.Errorf("after the link's end: %d entries", x.a.b.entries)
	}
}

// TestTargetsAreBounded: what neighbours bring may take half of the targets; a
// client finds room until all of it is used, and is told when there is none.
func TestTargetsAreBounded(t *testing.T) {
	x := newStar(t)
	x.a.b.bounds.targets = 10
	for i := range 8 {
		key := testKey(6000 + i)
		e := x.letter(key, envelope.Header{Target: envelope.Target{Kind: envelope.Group, To: key.Address()}})
		x.a.arrives("AB", x.dataFrom("B", x.root, e))
		x.run(20)
	}
	if n := x.a.b.subjects.Len(); n != 5 || x.a.counts[machine.TableFull] != 3 || x.a.counts[machine.RelayRefused] != 0 {
		t.Fatalf("%d targets passed by, %d refused, %d envelopes refused", n, x.a.counts[machine.TableFull], x.a.counts[machine.RelayRefused])
	}
	for i := range 7 {
		x.a.want(groupNumber(i), nil)
	}
	if n := x.a.b.subjects.Len(); n != 10 || x.a.counts[machine.TableFull] != 5 {
		t.Fatalf("%d targets, %d refused", n, x.a.counts[machine.TableFull])
	}
	e := x.message(1)
	x.a.publish(e)
	x.run(20)
	if code := x.a.taken[e.ID]; code != wire.Quota || !code.Retry() {
		t.Errorf("a publish without room: %v", code)
	}
	x.run(recently + 10_000)
	if n := x.a.b.subjects.Len(); n != 5 {
		t.Errorf("%d targets are left, want the five that are wanted", n)
	}
}

// TestTargetVanishesWhileStored: no room for the target when the store answers is
// told to the publisher, and nothing stays in the store.
func TestTargetVanishesWhileStored(t *testing.T) {
	n := newNetwork(t, 1)
	n.run(settled)
	n.hold = true
	a := n.core("A")
	e := n.message(1)
	a.publish(e)
	a.do(func(now int64) {
		a.b.subjects.Delete(groupTarget())
		a.b.bounds.targets = 0
	})
	a.do(func(now int64) { a.b.Stored(now, a.withheld[0], nil) })
	if code := a.taken[e.ID]; code != wire.Quota || len(a.b.kept.at) != 0 {
		t.Errorf("taken %v, %d kept", code, len(a.b.kept.at))
	}
}

// TestCacheIsBounded: beyond its bytes the oldest go early, and with them the
// answers to pulls.
func TestCacheIsBounded(t *testing.T) {
	x := newStar(t)
	x.receives("AB", wire.Receiver)
	x.run(100)
	x.a.b.kept.most = 5_000
	var list []*envelope.Envelope
	for i := range 20 {
		e := x.message(i)
		list = append(list, e)
		x.a.arrives("AC", x.dataFrom("C", x.root, e))
		x.run(20)
	}
	z := x.a.b.Sizes()
	if z.CacheBytes > 5_000 || z.CacheEnvelopes == 0 || z.CacheEnvelopes >= 20 || len(x.a.b.kept.at) != z.CacheEnvelopes {
		t.Errorf("%+v, %d by name", z, len(x.a.b.kept.at))
	}
	x.s.take()
	x.pulls("AB", 48, list[0])
	x.pulls("AB", 48, list[19])
	x.s.want(t, "the oldest went, the newest is here", "A>B nohave 1", "A>B pulled 19")
}

// TestCustodyOutlivesTheCache: what an ingress acknowledged is never dropped for
// what only passes by, and custody takes over what was cached.
func TestCustodyOutlivesTheCache(t *testing.T) {
	x := newStar(t)
	mine := x.message(0)
	x.a.publish(mine)
	x.run(100)
	x.a.b.kept.most = 100
	cachedToo := x.message(1)
	x.a.b.kept.most = 5_000
	x.a.arrives("AC", x.dataFrom("C", x.root, cachedToo))
	x.run(100)
	x.a.do(func(now int64) { x.a.b.Again(now, cachedToo) })
	x.run(100)
	for i := 2; i < 30; i++ {
		x.a.arrives("AC", x.dataFrom("C", x.root, x.message(i)))
		x.run(20)
	}
	for _, e := range []*envelope.Envelope{mine, cachedToo} {
		if h := x.a.b.kept.at[wire.PrefixOf(e.ID)]; h == nil || !h.own {
			t.Errorf("message %d is not in custody", e.First)
		}
	}
	if s := x.a.b.subjects.At(groupTarget()); s.held != 2 {
		t.Errorf("%d are held", s.held)
	}
	x.run(26 * anHour) // their time to live is a day
	if s, ok := x.a.b.subjects.Get(groupTarget()); ok && s.held != 0 || len(x.a.b.kept.at) != 0 {
		t.Error("something is held for ever")
	}
}

// TestTwiceInCustody: an envelope that gets into custody twice is counted once, or
// the target would count as held for ever.
func TestTwiceInCustody(t *testing.T) {
	n := newNetwork(t, 1)
	n.run(settled)
	a, e := n.core("A"), n.message(1)
	a.publish(e)
	n.run(10)
	a.do(func(now int64) { a.b.Retake(now, a.gate.Own(e)) })
	n.run(10)
	if s := a.b.subjects.At(groupTarget()); s.held != 1 {
		t.Errorf("held %d times", s.held)
	}
	n.run(26 * anHour) // its time to live is a day
	if a.b.subjects.Len() != 0 {
		t.Error("the target is remembered for ever")
	}
}

// TestMissingAreBounded: one neighbour may name half of what is missing, all
// together the whole; an honest one finds room beside a liar.
func TestMissingAreBounded(t *testing.T) {
	x := newStar(t)
	x.a.b.bounds.missing = 20
	lie := func(pair string, from, n int) {
		x.oid++
		f := &wire.Offer{Root: x.root, Target: groupTarget(), OID: [8]byte{x.oid}}
		for i := range n {
			f.IDs = append(f.IDs, wire.Prefix{byte(from + i), 7})
		}
		x.a.arrives(pair, f)
	}
	lie("AB", 0, 15)
	if x.a.b.missing.Len() != 10 || x.a.counts[machine.TableFull] != 5 {
		t.Fatalf("%d are missing, %d refused", x.a.b.missing.Len(), x.a.counts[machine.TableFull])
	}
	lie("AC", 0, 10) // named already: one more provider of each
	lie("AC", 100, 8)
	lie("AD", 200, 8)
	if x.a.b.missing.Len() != 20 || x.a.counts[machine.TableFull] != 11 {
		t.Errorf("%d are missing, %d refused", x.a.b.missing.Len(), x.a.counts[machine.TableFull])
	}
	x.run(providerLife + 1_000)
	for _, nb := range x.a.b.neighbours.All() {
		if nb.brought != 0 {
			t.Errorf("link %d has brought %d", nb.link, nb.brought)
		}
	}
	if x.a.b.missing.Len() != 0 {
		t.Errorf("%d are missing for ever", x.a.b.missing.Len())
	}
}

// TestProvidersAreBounded: of more than eight the oldest goes.
func TestProvidersAreBounded(t *testing.T) {
	n := newNamed(t, "ABCDEFGHIJ", "A")
	names := "BCDEFGHIJ"
	for _, c := range names {
		n.link("A" + string(c))
	}
	n.run(settled)
	a, e := n.core("A"), n.message(1)
	for i, c := range names {
		a.arrives("A"+string(c), &wire.Offer{Root: a.key.Address(), Target: groupTarget(), OID: [8]byte{byte(i)}, IDs: []wire.Prefix{wire.PrefixOf(e.ID)}})
	}
	m := a.b.missing.At(wire.PrefixOf(e.ID))
	if len(m.providers) != providersMax || containsLink(m.providers, n.ends("AB").id) || !containsLink(m.providers, n.ends("AJ").id) {
		t.Errorf("providers %v", m.providers)
	}
}

// TestRecentAreBounded: of very many ids of one target the oldest are forgotten,
// and of an offer each id stands once in frames of 512.
func TestRecentAreBounded(t *testing.T) {
	x := newStar(t)
	x.a.b.bounds.recent = 3
	for i := range 5 {
		x.a.arrives("AC", x.dataFrom("C", x.root, x.message(i)))
		x.run(20)
	}
	if s := x.a.b.subjects.At(groupTarget()); len(s.recent) != 3 {
		t.Fatalf("%d are remembered", len(s.recent))
	}
	x.s.take()
	x.receives("AB", wire.Receiver)
	x.s.want(t, "what is remembered is offered", "A>B offer 3")
	x.run(recently + 1_000)
	x.receives("AD", wire.Receiver)
	if got := x.s.take(); len(got) != 0 {
		t.Errorf("after RECENT: %q", got)
	}
}

// TestOffersOfManyIDs: a long absence is told in frames of 512 ids.
func TestOffersOfManyIDs(t *testing.T) {
	x := newStar(t)
	s := x.a.b.subject(groupTarget())
	x.a.do(func(now int64) {
		for i := range wire.EntriesMax + 7 {
			id := wire.Prefix{byte(i), byte(i >> 8), 1}
			x.a.b.remember(now, s, id, false)
			x.a.b.remember(now, s, id, true) // came twice: offered once
			m := x.a.b.lacking(now, x.a.b.neighbours.At(x.ends("AC").id), id)
			m.providers = append(m.providers, x.ends("AC").id)
		}
	})
	x.receives("AB", wire.Receiver)
	x.s.want(t, "two frames", "A>B offer 512", "A>B offer 7")
	x.receives("AC", wire.Receiver)
	x.s.want(t, "who is the only one to have it is offered nothing")
}

// TestOfferNumbersAreBounded: the oldest go, and with time all.
func TestOfferNumbersAreBounded(t *testing.T) {
	x := newStar(t)
	x.a.b.oids.most = 5
	for i := range 12 {
		x.offers("AB", x.message(i))
	}
	if len(x.a.b.oids.list) != 5 || len(x.a.b.oids.seen) != 5 {
		t.Errorf("%d numbers, %d places", len(x.a.b.oids.list), len(x.a.b.oids.seen))
	}
	x.run(oidLife + 10)
	if len(x.a.b.oids.list) != 0 || len(x.a.b.oids.seen) != 0 || x.a.b.oidsDue {
		t.Error("the table does not empty by itself")
	}
	x.offers("AB", x.message(100))
	if !x.a.b.oidsDue || len(x.a.b.oids.list) != 1 {
		t.Error("it does not begin again")
	}
}

// TestFlappingMakesNoHeap: who wants and unwants, grafts and prunes, receives and
// not again and again leaves no job for each time.
func TestFlappingMakesNoHeap(t *testing.T) {
	x := newStar(t)
	x.receives("AC", wire.Receiver|wire.Sender)
	x.a.want(groupTarget(), nil)
	x.run(100)
	for range 2_000 {
		x.a.do(func(now int64) { x.a.b.Unwant(now, groupTarget()) })
		x.a.want(groupTarget(), nil)
		x.receives("AB", wire.Receiver)
		x.receives("AB", 0)
		x.a.arrives("AD", &wire.Prune{Root: x.root})
		x.a.arrives("AD", &wire.Graft{Root: x.root})
		x.run(1)
	}
	s := x.a.b.subjects.At(groupTarget())
	if n := x.a.b.agenda.Len(); n > 50 || len(s.lapses) > 4 {
		t.Errorf("%d jobs, %d lapses", n, len(s.lapses))
	}
}

// TestForgottenTree: a branch of a tree that is pushed out stays while somebody
// hangs below it, and goes with the last child.
func TestForgottenTree(t *testing.T) {
	x := newStar(t)
	lost := testKey(88).Address()
	br := x.a.b.branch(lost)
	x.a.do(func(now int64) {
		c := &child{link: x.ends("AB").id, entries: x.a.b.branches.At(x.root).kids[0].entries}
		br.kids = append(br.kids, c)
	})
	x.a.do(func(now int64) { x.a.b.left(now, lost) })
	if !x.a.b.branches.Has(lost) {
		t.Fatal("a child was forgotten: it would not say again what it wants")
	}
	x.a.arrives("AB", &wire.Prune{Root: lost})
	x.run(100)
	if x.a.b.branches.Has(lost) {
		t.Error("the branch stays for ever")
	}
	x.a.do(func(now int64) { x.a.b.left(now, lost) }) // is not there: nothing
	// The end of the link does the same.
	br = x.a.b.branch(lost)
	br.kids = append(br.kids, &child{link: x.ends("AC").id, entries: x.a.b.branches.At(x.root).kids[1].entries})
	x.cut("AC")
	x.run(100)
	if x.a.b.branches.Has(lost) {
		t.Error("the branch outlives the link")
	}
}
