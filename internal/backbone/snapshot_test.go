package backbone

import (
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// TestSnapshotOfTheLine holds the plain values that status and checkers get against
// a line R–A–B of which all is known.
func TestSnapshotOfTheLine(t *testing.T) {
	n := lineToRoot(t)
	r, a, b := n.core("R"), n.core("A"), n.core("B")
	root := r.key.Address()
	b.want(groupTarget(), nil)
	n.run(1_000)
	a.publish(n.message(1))
	n.run(1_000)

	trees := a.b.Trees()
	if len(trees) != 1 || trees[0].Root != root || len(trees[0].Children) != 1 || len(trees[0].Up) != 1 {
		t.Fatalf("%+v", trees)
	}
	c := trees[0].Children[0]
	if c.Peer != b.key.Address() || c.Link != n.ends("AB").id || len(c.Entries) != 1 || c.Entries[0] != (EntryState{groupTarget(), wire.Receiver, 0}) {
		t.Errorf("the child: %+v", c)
	}
	if up := trees[0].Up[0]; up != (EntryState{groupTarget(), wire.Receiver | wire.Sender | wire.Holder, 0}) {
		t.Errorf("upwards: %+v", up)
	}
	if e := trees[0].Elsewhere; len(e) != 1 || e[0] != (ElsewhereState{groupTarget(), -1}) {
		t.Errorf("elsewhere: %+v", e)
	}
	r.want(groupTarget(), nil)
	n.run(1_000)
	if e := a.b.Trees()[0].Elsewhere; len(e) != 1 || e[0].Value != 1 {
		t.Errorf("elsewhere, after R subscribed: %+v", e)
	}
	clear(a.b.branches.At(root).elsewhere)
	if e := a.b.Trees()[0].Elsewhere; e[0].Value != 0 {
		t.Errorf("elsewhere, unknown: %+v", e)
	}
	if told := r.b.Trees()[0].Children[0].Entries[0].Told; told != 1 {
		t.Errorf("R told A %d", told)
	}

	local := a.b.Locals()
	if len(local) != 1 || local[0].Target != groupTarget() || local[0].Primary != root || local[0].Publish != root || !local[0].Secondary.IsZero() ||
		local[0].Wanted || !local[0].Sender || local[0].Held != 1 || len(local[0].Presences) != 1 ||
		local[0].Presences[0] != (PresenceState{root, wire.Sender | wire.Holder}) {
		t.Errorf("A's own part: %+v", local)
	}
	if roots := b.b.Roots(); len(roots) != 1 || roots[0].Root != root || roots[0].Depth != 2 || roots[0].Parent != a.key.Address() {
		t.Errorf("B's trees: %+v", roots)
	}
	if links := a.b.Links(); len(links) != 2 || links[0].Peer != root || links[0].Cost != costBase+10 || links[0].RTT != 10 || links[1].Peer != b.key.Address() {
		t.Errorf("A's links: %+v", links)
	}
}

// TestTreeIsLeft is T8 as far as it is this room's: after 10 min without reach the
// tree is left, what was said upwards is forgotten and children stay; after 10 min
// more, and with the last child, the branch goes (spec §8.5).
func TestTreeIsLeft(t *testing.T) {
	n := lineToRoot(t)
	a, b, root := n.core("A"), n.core("B"), n.core("R").key.Address()
	b.want(groupTarget(), nil)
	n.run(1_000)
	n.cut("RA")
	n.run(10_000)
	if br := a.b.branches.At(root); br == nil || len(br.kids) != 1 || br.kids[0].entries.Len() != 1 {
		t.Fatal("an orphan's branch must stay together")
	}
	s := n.record()
	n.run(600_000)
	if got := s.take(); !has(got, "B>A prune") {
		t.Errorf("B did not leave: %q", got)
	}
	for _, c := range []*core{a, b} {
		if br, ok := c.b.branches.Get(root); ok && br.up.Len()+len(br.elsewhere) > 0 {
			t.Errorf("%s still believes to have told its parent something", c.name)
		}
	}
	n.run(620_000)
	for _, c := range []*core{a, b} {
		if c.b.branches.Has(root) || c.b.forest.Knows(root) {
			t.Errorf("%s remembers the tree", c.name)
		}
	}
	// The root comes back as if nothing had been.
	n.link("RA")
	n.run(settled)
	x := &traffic{n: n, from: n.core("R")}
	x.publish(1_000)
	x.arrived(t, b)
}

// TestSenderLingers: S ends LINGER after the last envelope, and its end counts
// CLEAR later; H stays as long as something is held (spec §9.1, §12.2).
func TestSenderLingers(t *testing.T) {
	n := lineToRoot(t)
	b := n.core("B")
	flags := func() wire.InterestFlags {
		c := childOf(n.core("A"), n.core("R").key.Address(), b)
		if e, ok := c.entries.Get(groupTarget()); ok {
			return e.flags
		}
		return 0
	}
	b.publish(n.message(1))
	n.run(100_000)
	b.publish(n.message(2)) // looked at again, not ended
	n.run(linger + clearAfter - 1_000)
	if f := flags(); f != wire.Sender|wire.Holder {
		t.Errorf("before the end: %v", f)
	}
	n.run(2_000)
	if f := flags(); f != wire.Holder {
		t.Errorf("after LINGER and CLEAR: %v", f)
	}
	n.run(26 * anHour) // their time to live is a day
	if f := flags(); f != 0 {
		t.Errorf("when nothing is held: %v", f)
	}
	if b.b.subjects.Len() != 0 {
		t.Error("the target is remembered")
	}
	// A live sender is one too, and holds nothing.
	b.publish(n.letter(groupKey, envelope.Header{Target: groupTarget(), Flags: envelope.Live}))
	n.run(1_000)
	if f := flags(); f != wire.Sender {
		t.Errorf("a live sender: %v", f)
	}
}

// TestLiveBeforeRoots: a live envelope without a root is acknowledged, served to
// nobody else and kept by nobody; nothing panics where no root is.
func TestLiveBeforeRoots(t *testing.T) {
	n := newNetwork(t, 1)
	a := n.core("A")
	e := n.letter(groupKey, envelope.Header{Target: groupTarget(), Flags: envelope.Live})
	a.publish(e)
	if a.taken[e.ID] != wire.OK || a.b.Sizes().CacheEnvelopes+a.b.Sizes().CustodyEnvelopes != 0 {
		t.Errorf("taken %v, %+v", a.taken[e.ID], a.b.Sizes())
	}
}

// TestAskerGone: who asked and lost its link is not sent to, and the others are
// served.
func TestAskerGone(t *testing.T) {
	x := newStar(t)
	x.receives("AB", wire.Receiver)
	x.receives("AD", wire.Receiver)
	e := x.message(1)
	x.offers("AC", e)
	x.run(100)
	x.pulls("AB", 48, e)
	x.pulls("AD", 48, e)
	x.s.take()
	x.cut("AB")
	x.answers("AC", e)
	x.run(100)
	x.s.want(t, "the other", "A>D pulled 1")
}

// TestOfferOfWhatIsHere: an offer of what is here already makes no record.
func TestOfferOfWhatIsHere(t *testing.T) {
	x := newStar(t)
	e := x.message(1)
	x.a.arrives("AB", x.dataFrom("B", x.root, e))
	x.run(100)
	x.offers("AC", e)
	x.a.do(func(now int64) {
		x.a.b.offered(now, x.a.b.neighbours.At(x.ends("AC").id), groupTarget(), wire.PrefixOf(e.ID))
	})
	if x.a.b.missing.Len() != 0 {
		t.Error("what is here is missing")
	}
}

// TestManyEnvelopesLeave: custody and cache give their room back when much has
// passed through them.
func TestManyEnvelopesLeave(t *testing.T) {
	x := newStar(t)
	for i := range 300 {
		x.a.arrives("AB", x.dataFrom("B", x.root, x.message(i)))
		x.run(1_000)
	}
	x.run(cacheLife - 100_000)
	z := x.a.b.Sizes()
	if z.CacheEnvelopes == 0 || z.CacheEnvelopes > 110 {
		t.Errorf("%d are kept", z.CacheEnvelopes)
	}
	if n := len(x.a.b.kept.cache.list); n > 2*z.CacheEnvelopes+64 {
		t.Errorf("a list of %d places for %d", n, z.CacheEnvelopes)
	}
	if x.a.counts[machine.RelayRefused] != 0 {
		t.Errorf("%d refused", x.a.counts[machine.RelayRefused])
	}
}

// TestParentHearsLater: a parent that is told of a target for the first time long
// after the graft becomes a direction of it then, and is offered what passed by
// before; what is younger than interest takes to climb was pushed its way already
// (J3, spec §9.3).
func TestParentHearsLater(t *testing.T) {
	for _, c := range []struct {
		caption string
		wait    int64
		want    []string
	}{
		{"long after", climbing + 1_000, []string{"A>R interest R", "A>R offer 1", "R>A offer 1"}},
		{"at once", 100, []string{"A>R interest R", "R>A offer 1"}},
	} {
		n := lineToRoot(t)
		a := n.core("A")
		a.arrives("AB", n.dataFrom("B", n.core("R").key.Address(), n.message(1)))
		n.run(c.wait)
		s := n.record()
		a.want(groupTarget(), nil)
		n.run(200)
		s.want(t, c.caption, c.want...)
	}
}

// TestEveryFrameOfTheStory: what the two-sided story of a cut needs crosses the
// link in the order of control frames: prune and graft before interest, interest
// before the offer that it makes possible (§8.5, §9.3, §11.1).
func TestEveryFrameOfTheStory(t *testing.T) {
	n := lineToRoot(t)
	b := n.core("B")
	b.want(groupTarget(), nil)
	n.run(1_000)
	n.cut("AB")
	id := n.core("A").publish(n.message(1))
	n.run(1_000)
	s := n.record()
	n.link("AB")
	n.run(10_000)
	at := map[string]int{}
	for i, line := range s.take() {
		if _, ok := at[line]; !ok {
			at[line] = i + 1
		}
	}
	story := []string{"B>A graft", "B>A interest R", "A>B offer 1", "B>A pull 1", "A>B pulled 1"}
	for i, line := range story {
		if at[line] == 0 || i > 0 && at[line] < at[story[i-1]] {
			t.Errorf("%q is line %d of %v", line, at[line], at)
		}
	}
	if b.got(id) != 1 {
		t.Errorf("B got it %d times", b.got(id))
	}
}
