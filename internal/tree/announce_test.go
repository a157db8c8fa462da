package tree

import (
	"testing"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// spec §8.5, T4: at most one announcement per root and neighbour in 50 ms, then the
// newest state.
func TestGather(t *testing.T) {
	root, other := keyOf("root"), keyOf("other")
	l := newLab(t)
	l.up(1, root)
	l.up(2, other)
	l.says(1, root, root, 5, 0)
	l.mustSend("the first at once", "#1 announce (5, 64), #2 announce (5, 64)")
	l.pass(10)
	l.says(1, root, root, 6, 0)
	l.pass(10)
	l.says(1, root, root, 7, 0)
	l.mustSend("20 ms later nothing", "")
	l.pass(gather - 20)
	l.mustSend("50 ms later the newest", "#1 announce (7, 64), #2 announce (7, 64)")
	l.pass(1_000)
	l.mustSend("and no more", "")
	l.says(1, root, root, 7, 0)
	l.pass(1_000)
	l.mustSend("a repetition changes nothing", "")
}

// A retraction does not wait, nor does a new neighbour.
func TestRetractDoesNotWait(t *testing.T) {
	root, other := keyOf("root"), keyOf("other")
	l := newLab(t)
	l.up(1, root)
	l.says(1, root, root, 5, 0)
	l.took()
	l.up(2, other)
	l.mustSend("a new neighbour", "#2 announce (5, 64)")
	l.in(1, &wire.Retract{Root: root.Address()})
	l.mustSend("a retraction", "#1 retract, #2 retract")
	l.in(1, &wire.Retract{Root: root.Address()})
	l.mustSend("the same again", "")
}

// An announcement that comes back signed is sent only if it is still the state,
// else the newest is signed.
func TestSignedTooLate(t *testing.T) {
	root, other := keyOf("root"), keyOf("other")
	l := newLab(t)
	l.up(1, root)
	l.says(1, root, root, 5, 0)
	l.took()
	l.holding = true
	l.up(2, other)
	first := l.held
	l.held = nil
	l.says(1, root, root, 6, 0)
	l.release(1) // the check
	l.mustSend("while signing", "")
	if fd := l.f.byRoot[root.Address()].fd; fd != (rung{5, 64}) {
		t.Errorf("fd %v before anything is fixed", fd)
	}
	l.answer(first[0])
	l.mustSend("the old signature", "")
	if fd := l.f.byRoot[root.Address()].fd; fd != (rung{6, 64}) {
		t.Errorf("fd %v does not cover what is being signed", fd)
	}
	l.release(len(l.held))
	l.mustSend("the new one", "#2 announce (6, 64)")
}

// What was being signed when reach was lost is never sent.
func TestRetractedWhileSigning(t *testing.T) {
	root, other := keyOf("root"), keyOf("other")
	l := newLab(t)
	l.up(1, root)
	l.says(1, root, root, 5, 0)
	l.took()
	l.holding = true
	l.up(2, other)
	l.in(1, &wire.Retract{Root: root.Address()})
	l.mustSend("a retraction to whom it was announced", "#1 retract")
	l.release(len(l.held))
	l.mustSend("the signature", "")
	if len(l.f.signing) != 0 {
		t.Errorf("%d signatures are still awaited", len(l.f.signing))
	}
}

// A link that ends while something is signed or checked for it leaves nothing.
func TestLinkDownWhileWaiting(t *testing.T) {
	root, peer := keyOf("root"), keyOf("peer")
	l := newLab(t)
	l.up(1, root)
	l.says(1, root, root, 5, 0)
	l.took()
	l.holding = true
	l.up(2, peer)
	fr := l.from(peer, root, 9, 70)
	fr.RootSig[0] ^= 1
	l.in(2, fr)
	l.down(2)
	l.release(len(l.held))
	l.mustSend("nothing", "")
	l.mustCharge("a link that is gone")
	l.stands("still", root, 5, 64, 1)
	if len(l.f.signing)+len(l.f.checks) != 0 {
		t.Error("something is still awaited")
	}
}

// What waits for its check is dropped when something newer comes over the same
// link for the same root: else the old would be applied after the new.
func TestCheckSuperseded(t *testing.T) {
	root := keyOf("root")
	for _, c := range []struct {
		caption string
		newer   func(l *lab)
		seq     int64 // after all, or 0 for an orphan
	}{
		{"a retraction", func(l *lab) { l.in(1, &wire.Retract{Root: root.Address()}) }, 0},
		{"a newer announcement", func(l *lab) { l.says(1, root, root, 7, 0) }, 7},
		{"one that is void", func(l *lab) {
			l.in(1, signed(7, start-stale-1, l.f.cfg.Self, hop{root, 0}))
		}, 0},
	} {
		l := newLab(t)
		l.up(1, root)
		l.says(1, root, root, 5, 0)
		l.holding = true
		l.says(1, root, root, 6, 0)
		c.newer(l)
		for range 10 {
			l.release(len(l.held))
		}
		if c.seq == 0 {
			l.orphaned(c.caption, root)
		} else {
			l.stands(c.caption, root, c.seq, 64, 1)
		}
	}
}

// What comes while a check is under way waits for it, and only the newest of it:
// a flood costs two checks. A bad signature is charged, whatever came after it.
func TestFloodOfAnnouncements(t *testing.T) {
	root := keyOf("root")
	l := newLab(t)
	l.up(1, root)
	l.says(1, root, root, 5, 0)
	l.holding = true
	bad := l.from(root, root, 6, 0)
	bad.RootSig[7] ^= 1
	l.in(1, bad)
	l.held = l.held[len(l.held)-1:] // without the signature for the first
	for seq := range uint64(1_000) {
		l.says(1, root, root, 7+seq, 0)
	}
	if len(l.held) != 1 {
		t.Errorf("%d checks are under way", len(l.held))
	}
	l.release(1)
	l.mustCharge("the first", "#1 bad signature: a signature of an announcement does not hold")
	l.stands("before", root, 5, 64, 1)
	if len(l.held) != 1 {
		t.Errorf("then %d checks are under way", len(l.held))
	}
	l.release(1)
	l.stands("the newest", root, 1_006, 64, 1)
	if len(l.f.checks) != 0 || len(l.f.neighbours[0].checks) != 0 {
		t.Error("something is still awaited")
	}
}

// An unchanged beginning of a chain is not checked twice, whoever brings it.
func TestNothingIsCheckedTwice(t *testing.T) {
	root, x, y, peer, other := keyOf("root"), keyOf("x"), keyOf("y"), keyOf("peer"), keyOf("other")
	l := newLab(t)
	l.up(1, peer)
	l.up(2, other)
	send := func(caption string, link machine.LinkID, want int, seq uint64, hops ...hop) {
		t.Helper()
		l.claims = 0
		l.in(link, signed(seq, start, l.f.cfg.Self, hops...))
		if l.claims != want {
			t.Errorf("%s: %d signatures checked, want %d", caption, l.claims, want)
		}
	}
	send("all of it", 1, 4, 5, hop{root, 0}, hop{x, 70}, hop{peer, 140})
	send("a repetition", 1, 0, 5, hop{root, 0}, hop{x, 70}, hop{peer, 140})
	send("the sender's cost changed", 1, 1, 5, hop{root, 0}, hop{x, 70}, hop{peer, 150})
	send("the way changed", 1, 3, 5, hop{root, 0}, hop{y, 70}, hop{peer, 150})
	send("the way back", 1, 0, 5, hop{root, 0}, hop{x, 70}, hop{peer, 140})
	send("not feasible, so not checked", 2, 0, 5, hop{root, 0}, hop{x, 700}, hop{other, 770})
	send("the next number", 1, 4, 6, hop{root, 0}, hop{x, 70}, hop{peer, 140})
	l.in(1, &wire.Retract{Root: root.Address()})
	send("known from before", 1, 0, 6, hop{root, 0}, hop{x, 70}, hop{peer, 140})
}

// The memory of signatures that hold is bounded and forgets the oldest.
func TestClaimSet(t *testing.T) {
	c := newClaimSet()
	of := func(i int) (h [32]byte) {
		h[0], h[1], h[2] = byte(i), byte(i>>8), byte(i>>16)
		return h
	}
	for i := range 3 * claimsKnown {
		c.add(of(i))
		c.add(of(i))
		if len(c.set) > claimsKnown || len(c.ring) > claimsKnown {
			t.Fatalf("%d remembered", len(c.set))
		}
	}
	for _, i := range []int{0, 2*claimsKnown - 1, 2 * claimsKnown, 3*claimsKnown - 1} {
		if c.has(of(i)) != (i >= 2*claimsKnown) {
			t.Errorf("%d of %d: %v", i, 3*claimsKnown, c.has(of(i)))
		}
	}
}

// spec §8.6, R2: a root that counts no more is announced 10 s longer, then
// retracted; three others took its place.
func TestCountsNoMore(t *testing.T) {
	peer, other := keyOf("peer"), keyOf("other")
	l := newLab(t)
	l.up(1, peer)
	l.up(2, other)
	keys := byRank("p", "q", "r", "s")
	for _, k := range keys[1:] {
		l.says(1, peer, k, 5, 70)
	}
	worst := keys[3].Address()
	l.pass(1_000)
	l.took()
	l.says(1, peer, keys[0], 5, 70)
	if l.f.byRoot[worst].counting || !l.f.byRoot[worst].telling {
		t.Error("the fourth must be announced but not count")
	}
	l.took()
	l.pass(linger - 1)
	l.mustSend("10 s", "")
	l.says(1, peer, keys[3], 6, 70)
	l.pass(1)
	if l.f.byRoot[worst].telling {
		t.Error("the fourth is announced after 10 s")
	}
	l.mustSend("then", "#1 announce (6, 134), #2 announce (6, 134), #1 retract, #2 retract")
	l.says(1, peer, keys[3], 7, 70)
	l.pass(1_000)
	l.mustSend("silence", "")
	l.stands("it is followed all the same", keys[3], 7, 134, 1)
}
