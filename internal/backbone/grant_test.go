package backbone

import (
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// mailKey is the address whose grants the tests show.
var mailKey = testKey(1100)

func mailTarget() envelope.Target {
	return envelope.Target{Kind: envelope.Address, To: mailKey.Address()}
}

// lineToRoot is R–A–B, R the only root, settled.
func lineToRoot(t *testing.T) *network {
	n := newNamed(t, "RAB", "R")
	n.link("RA", "AB")
	n.run(settled)
	return n
}

// claims lets B say to A that it receives for the address, with a grant.
func (n *network) claims(g *wire.Grant) {
	n.core("A").arrives("AB", &wire.Interest{Root: n.core("R").key.Address(),
		Entries: []wire.InterestEntry{{Target: mailTarget(), Flags: wire.Receiver, Grant: g}}})
}

// flagsAt is what a core has of the address from a child.
func flagsAt(n *network, name, child string) (wire.InterestFlags, *wire.Grant) {
	c := childOf(n.core(name), n.core("R").key.Address(), n.core(child))
	if e, ok := c.entries.Get(mailTarget()); ok {
		return e.flags, e.grant
	}
	return 0, nil
}

func forgedGrant(router identity.Address, notAfter int64) *wire.Grant {
	g := grant(mailKey, router, notAfter)
	g.Signed.Sig[3] ^= 1
	return g
}

// TestGrants is J4's table: without a grant that holds, R for an address is not
// taken; only a signature that does not hold is charged (spec §9.3, §12.1).
func TestGrants(t *testing.T) {
	router := testKey(2).Address()
	for _, c := range []struct {
		caption string
		grant   func(now int64) *wire.Grant
		taken   bool
		charged int
	}{
		{"good", func(now int64) *wire.Grant { return grant(mailKey, router, now+60_000) }, true, 0},
		{"of the longest life", func(now int64) *wire.Grant { return grant(mailKey, router, now+grantLife) }, true, 0},
		{"missing", func(int64) *wire.Grant { return nil }, false, 0},
		{"ended", func(now int64) *wire.Grant { return grant(mailKey, router, now-1) }, false, 0},
		{"of another address", func(now int64) *wire.Grant { return grant(testKey(1101), router, now+60_000) }, false, 0},
		{"too long", func(now int64) *wire.Grant { return grant(mailKey, router, now+grantLife+stampSkew+1) }, false, 0},
		{"a bad signature", func(now int64) *wire.Grant { return forgedGrant(router, now+60_000) }, false, 1},
	} {
		t.Run(c.caption, func(t *testing.T) {
			n := lineToRoot(t)
			n.claims(c.grant(n.now))
			n.run(1_000)
			for _, edge := range [][2]string{{"A", "B"}, {"R", "A"}} {
				flags, _ := flagsAt(n, edge[0], edge[1])
				if (flags == wire.Receiver) != c.taken {
					t.Errorf("%s has %v of %s, taken: want %v", edge[0], flags, edge[1], c.taken)
				}
			}
			if a, r := n.core("A"), n.core("R"); a.counts[machine.FaultCharged] != c.charged || r.counts[machine.FaultCharged] != 0 {
				t.Errorf("charged %d and, further up, %d; want %d and 0", a.counts[machine.FaultCharged], r.counts[machine.FaultCharged], c.charged)
			}
			if n.core("A").b.Sizes().GrantChecks != 0 {
				t.Error("a check is left")
			}
		})
	}
}

// TestGrantIsCached: what was verified is not verified again; another signature
// over the same body is.
func TestGrantIsCached(t *testing.T) {
	n := lineToRoot(t)
	router := n.core("B").key.Address()
	end := n.now + 600_000
	n.claims(grant(mailKey, router, end))
	n.run(100)
	a := n.core("A")
	a.arrives("AB", &wire.Interest{Root: n.core("R").key.Address(), Entries: []wire.InterestEntry{{Target: mailTarget()}}})
	n.claims(grant(mailKey, router, end))
	if flags, _ := flagsAt(n, "A", "B"); flags != wire.Receiver || len(a.b.checks) != 0 {
		t.Errorf("a known grant: %v at once, %d checks", flags, len(a.b.checks))
	}
	n.claims(forgedGrant(router, end))
	n.run(100)
	if a.counts[machine.FaultCharged] != 1 {
		t.Errorf("another signature over the same body: charged %d", a.counts[machine.FaultCharged])
	}
	if flags, g := flagsAt(n, "A", "B"); flags != wire.Receiver || g == nil {
		t.Errorf("the forged renewal took the good entry away: %v", flags)
	}
}

// TestGrantEnds: R dies with its grant on the whole way up, other flags stay, and
// a renewal in time carries it on (spec §9.3).
func TestGrantEnds(t *testing.T) {
	for _, renewed := range []bool{false, true} {
		n := lineToRoot(t)
		b := n.core("B")
		first := grant(mailKey, b.key.Address(), n.now+60_000)
		b.want(mailTarget(), first)
		n.run(30_000)
		if renewed {
			b.want(mailTarget(), grant(mailKey, b.key.Address(), n.now+300_000))
		}
		b.publish(n.letter(testKey(1200), envelope.Header{Target: mailTarget()}))
		n.run(40_000)
		for _, edge := range [][2]string{{"A", "B"}, {"R", "A"}} {
			flags, g := flagsAt(n, edge[0], edge[1])
			if flags&wire.Receiver != 0 != renewed || (g != nil) != renewed || flags&wire.Holder == 0 {
				t.Errorf("renewed %v: %s has %v of %s", renewed, edge[0], flags, edge[1])
			}
			if renewed && g.NotAfter == first.NotAfter {
				t.Errorf("%s did not hear of the renewal", edge[0])
			}
		}
		up := b.b.branches.At(n.core("R").key.Address()).up.At(mailTarget())
		if (up.flags&wire.Receiver != 0) != renewed {
			t.Errorf("renewed %v: B believes that it told %v", renewed, up.flags)
		}
	}
}

// TestLatestGrantStays: parent and child keep the one with the latest end.
func TestLatestGrantStays(t *testing.T) {
	n := lineToRoot(t)
	router := n.core("B").key.Address()
	late := n.now + 600_000
	n.claims(grant(mailKey, router, late))
	n.run(100)
	n.claims(grant(mailKey, router, n.now+1_000))
	n.run(10_000)
	for _, edge := range [][2]string{{"A", "B"}, {"R", "A"}} {
		if flags, g := flagsAt(n, edge[0], edge[1]); flags != wire.Receiver || int64(g.NotAfter) != late {
			t.Errorf("%s has %v, %v", edge[0], flags, g)
		}
	}
}

// TestTwoChildrenOneAddress: of two receivers of one address the grant with the
// latest end goes up, and when that one leaves, the other's.
func TestTwoChildrenOneAddress(t *testing.T) {
	n := newNamed(t, "RABC", "R")
	n.link("RA", "AB", "AC")
	n.run(settled)
	b, c := n.core("B"), n.core("C")
	b.want(mailTarget(), grant(mailKey, b.key.Address(), n.now+3_600_000))
	c.want(mailTarget(), grant(mailKey, c.key.Address(), n.now+7_200_000))
	n.run(1_000)
	if _, g := flagsAt(n, "R", "A"); g == nil || g.Router != c.key.Address() {
		t.Errorf("R has %v, want C's", g)
	}
	c.do(func(now int64) { c.b.Unwant(now, mailTarget()) })
	n.run(clearAfter + 1_000)
	if flags, _ := flagsAt(n, "R", "A"); flags != wire.Receiver {
		t.Errorf("R has %v of A after C left", flags)
	}
}

// TestUncheckedGrantGoesNowhere: a grant that comes where none is needed, with a
// group or without R, was verified by nobody. Sent up in place of a good one it
// would make the next router charge this one.
func TestUncheckedGrantGoesNowhere(t *testing.T) {
	n := newNamed(t, "RABC", "R")
	n.link("RA", "AB", "AC")
	n.run(settled)
	root := n.core("R").key.Address()
	c := n.core("C")
	c.want(mailTarget(), grant(mailKey, c.key.Address(), n.now+3_600_000))
	n.run(1_000)
	forged := forgedGrant(n.core("B").key.Address(), n.now+grantLife)
	n.core("A").arrives("AB", &wire.Interest{Root: root, Entries: []wire.InterestEntry{
		{Target: mailTarget(), Flags: wire.Sender, Grant: forged},
		{Target: groupTarget(), Flags: wire.Receiver, Grant: forged},
	}})
	seen := 0
	n.tap = func(from, to *core, f wire.Frame) {
		if i, ok := f.(*wire.Interest); ok && from.name == "A" {
			for _, e := range i.Entries {
				seen++
				if e.Grant != nil && e.Grant.Signed.Sig == forged.Signed.Sig {
					t.Errorf("A passed on a grant that nobody verified, with %v", e.Target)
				}
			}
		}
	}
	n.run(1_000)
	if seen != 2 || n.core("R").counts[machine.FaultCharged] != 0 {
		t.Errorf("%d entries went up, A was charged %d", seen, n.core("R").counts[machine.FaultCharged])
	}
}

// TestWaitingEntryIsDropped: an entry that waits for its grant's check is dropped
// when something newer comes: another entry, prune, a new graft, or the end of the
// link. Otherwise the old would be applied after the new.
func TestWaitingEntryIsDropped(t *testing.T) {
	remove := []wire.InterestEntry{{Target: mailTarget()}}
	for _, c := range []struct {
		caption string
		newer   func(n *network, a *core, root identity.Address)
	}{
		{"a removal", func(_ *network, a *core, root identity.Address) {
			a.arrives("AB", &wire.Interest{Root: root, Entries: remove})
		}},
		{"an entry without R", func(_ *network, a *core, root identity.Address) {
			a.arrives("AB", &wire.Interest{Root: root, Entries: []wire.InterestEntry{{Target: mailTarget(), Flags: wire.Sender}}})
		}},
		{"an entry whose grant has ended", func(n *network, a *core, root identity.Address) {
			a.arrives("AB", &wire.Interest{Root: root, Entries: []wire.InterestEntry{
				{Target: mailTarget(), Flags: wire.Receiver, Grant: grant(mailKey, n.core("B").key.Address(), n.now-1)}}})
		}},
		{"prune", func(_ *network, a *core, root identity.Address) { a.arrives("AB", &wire.Prune{Root: root}) }},
		{"prune and graft", func(_ *network, a *core, root identity.Address) {
			a.arrives("AB", &wire.Prune{Root: root})
			a.arrives("AB", &wire.Graft{Root: root})
		}},
		{"graft", func(_ *network, a *core, root identity.Address) { a.arrives("AB", &wire.Graft{Root: root}) }},
		{"the link's end", func(n *network, _ *core, _ identity.Address) { n.cut("AB") }},
	} {
		n := lineToRoot(t)
		n.slow = 1_000
		a, root := n.core("A"), n.core("R").key.Address()
		n.claims(grant(mailKey, n.core("B").key.Address(), n.now+600_000))
		if len(a.b.checks) != 1 {
			t.Fatalf("%s: %d checks", c.caption, len(a.b.checks))
		}
		n.run(10)
		c.newer(n, a, root)
		n.run(5_000)
		for _, br := range a.b.branches.All() {
			for _, k := range br.kids {
				if e, ok := k.entries.Get(mailTarget()); ok && e.flags&wire.Receiver != 0 {
					t.Errorf("%s: the entry came back", c.caption)
				}
			}
		}
		if len(a.b.checks) != 0 {
			t.Errorf("%s: %d checks are left", c.caption, len(a.b.checks))
		}
	}
}

// TestGrantEndsWhileChecked: an entry whose grant ended during its check is not
// taken, or nothing would take it away again.
func TestGrantEndsWhileChecked(t *testing.T) {
	n := lineToRoot(t)
	n.slow = 1_000
	n.claims(grant(mailKey, n.core("B").key.Address(), n.now+500))
	n.run(5_000)
	if flags, _ := flagsAt(n, "A", "B"); flags != 0 {
		t.Errorf("A has %v", flags)
	}
}

// TestManyChecksSlowTheLink: grants cost a signature check each, so a link with
// many under way is read more slowly; beyond the table's bound entries are refused.
func TestManyChecksSlowTheLink(t *testing.T) {
	n := lineToRoot(t)
	n.slow = 60_000
	a, root := n.core("A"), n.core("R").key.Address()
	a.b.bounds.checks = checksPerLink + 10
	g := grant(mailKey, n.core("B").key.Address(), n.now+3_600_000)
	entries := make([]wire.InterestEntry, wire.EntriesMax)
	for i := range entries {
		entries[i] = wire.InterestEntry{Target: mailTarget(), Flags: wire.Receiver, Grant: g}
	}
	for range checksPerLink/wire.EntriesMax + 1 {
		a.arrives("AB", &wire.Interest{Root: root, Entries: entries})
	}
	if len(a.b.checks) != checksPerLink+10 || a.counts[machine.TableFull] != wire.EntriesMax-10 {
		t.Errorf("%d checks, %d refused", len(a.b.checks), a.counts[machine.TableFull])
	}
	if len(a.paused) != 1 || a.paused[0].Link != n.ends("AB").id || a.paused[0].Until.UnixMilli() != n.now+checkPause {
		t.Errorf("pauses: %v", a.paused)
	}
	n.run(120_000)
	if x := a.b.neighbours.At(n.ends("AB").id); x.checking != 0 || len(a.b.checks) != 0 {
		t.Errorf("%d and %d checks are left", x.checking, len(a.b.checks))
	}
}

// TestEndsAreSweptOut: entries that come and go with grants of days must not leave
// a note each: memory is bounded by what there is.
func TestEndsAreSweptOut(t *testing.T) {
	n := lineToRoot(t)
	a, root := n.core("A"), n.core("R").key.Address()
	g := grant(mailKey, n.core("B").key.Address(), n.now+1_800_000)
	n.claims(g)
	n.run(100)
	other := grant(testKey(1102), n.core("A").key.Address(), n.now+900_000)
	mine := envelope.Target{Kind: envelope.Address, To: other.Address}
	a.want(mine, other)
	for range 10 * endsSpare {
		a.arrives("AB", &wire.Interest{Root: root, Entries: []wire.InterestEntry{{Target: mailTarget()}}})
		n.claims(g)
	}
	if a.b.ends.Len() > endsSpare+100 {
		t.Errorf("%d notes of one grant", a.b.ends.Len())
	}
	n.run(1_000_000)
	if s, ok := a.b.subjects.Get(mine); ok && s.grant != nil {
		t.Error("the sweep lost the note of a grant of this router's own")
	}
	n.run(1_000_000)
	if flags, _ := flagsAt(n, "A", "B"); flags != 0 || a.b.ends.Len() != 0 {
		t.Errorf("after the grant: %v, %d notes", flags, a.b.ends.Len())
	}
}
