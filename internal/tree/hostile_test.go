package tree

import (
	"fmt"
	"testing"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// spec §8.1: what is refused, and what of it is charged.
func TestRefusedAnnouncements(t *testing.T) {
	root, x, y, peer, self := keyOf("root"), keyOf("x"), keyOf("y"), keyOf("peer"), keyOf("self")
	to := self.Address()
	good := func(seq uint64) *wire.Announce {
		return signed(seq, start, to, hop{root, 0}, hop{x, 70}, hop{peer, 140})
	}
	const badSig = "#1 bad signature: a signature of an announcement does not hold"
	const shape = "#1 malformed: "
	for _, c := range []struct {
		caption string
		frame   func() *wire.Announce
		charge  string
		kept    bool // what the neighbour said before still holds
	}{
		{"forged by somebody who is not the root", func() *wire.Announce {
			fr := good(11)
			fr.RootSig[0] ^= 1
			return fr
		}, badSig, false},
		{"a number that the root did not sign", func() *wire.Announce {
			fr := good(11)
			fr.Seq++
			return fr
		}, badSig, false},
		{"a time that the root did not sign", func() *wire.Announce {
			fr := good(11)
			fr.Issued++
			return fr
		}, badSig, false},
		{"a hop with a signature of somebody else", func() *wire.Announce {
			fr := good(11)
			fr.Hops[1].Sig = fr.Hops[0].Sig
			return fr
		}, badSig, false},
		{"a shortened metric", func() *wire.Announce {
			fr := good(11)
			fr.Hops[2].Metric -= 5
			return fr
		}, badSig, false},
		{"a hop cut out", func() *wire.Announce {
			fr := good(11)
			fr.Hops = append(fr.Hops[:1:1], fr.Hops[2])
			return fr
		}, badSig, false},
		{"a truncated chain that ends before its sender", func() *wire.Announce {
			fr := good(11)
			fr.Hops = fr.Hops[:2]
			return fr
		}, shape + "an announcement does not end at its sender", false},
		{"signed for another receiver", func() *wire.Announce {
			return signed(11, start, y.Address(), hop{root, 0}, hop{x, 70}, hop{peer, 140})
		}, badSig, false},
		{"replayed from another neighbour", func() *wire.Announce {
			return signed(11, start, to, hop{root, 0}, hop{x, 70}, hop{y, 140})
		}, shape + "an announcement does not end at its sender", false},
		{"a chain of another root", func() *wire.Announce {
			fr := signed(11, start, to, hop{x, 0}, hop{peer, 70})
			fr.Root = root.Address()
			return fr
		}, shape + "an announcement does not start at its root", false},
		{"a root with a metric", func() *wire.Announce {
			return signed(11, start, to, hop{root, 1}, hop{x, 70}, hop{peer, 140})
		}, shape + "an announcement does not start at its root", false},
		{"a metric that hardly rises", func() *wire.Announce {
			return signed(11, start, to, hop{root, 0}, hop{x, 70}, hop{peer, 133})
		}, shape + "a metric rises by less than 64 in a hop", false},
		{"a metric that falls", func() *wire.Announce {
			return signed(11, start, to, hop{root, 0}, hop{x, 140}, hop{peer, 70})
		}, shape + "a metric rises by less than 64 in a hop", false},
		{"a router twice", func() *wire.Announce {
			return signed(11, start, to, hop{root, 0}, hop{x, 70}, hop{y, 140}, hop{x, 210}, hop{peer, 280})
		}, shape + "a router is twice in a chain", false},
		{"no hops", func() *wire.Announce {
			fr := good(11)
			fr.Hops = nil
			return fr
		}, shape + "an announcement has 1 to 24 hops", false},
		{"25 hops", func() *wire.Announce { return long(25, peer, to) }, shape + "an announcement has 1 to 24 hops", false},
		{"my own key in the chain", func() *wire.Announce {
			return signed(11, start, to, hop{root, 0}, hop{self, 70}, hop{peer, 140})
		}, "", false},
		{"a root's signature of 12 minutes ago", func() *wire.Announce {
			return signed(11, start-stale-1, to, hop{root, 0}, hop{x, 70}, hop{peer, 140})
		}, "", false},
		{"a root's signature 6 minutes ahead", func() *wire.Announce {
			return signed(11, start+ahead+1, to, hop{root, 0}, hop{x, 70}, hop{peer, 140})
		}, "", false},
		{"a lower number than before", func() *wire.Announce { return good(9) }, "", false},
		{"a metric that leaves no room", func() *wire.Announce {
			return signed(11, start, to, hop{root, 0}, hop{x, 70}, hop{peer, wire.MetricMax - 100})
		}, "", false},
		{"a pinned root, which nobody configured", func() *wire.Announce {
			fr := good(11)
			fr.Class = wire.Pinned
			return fr
		}, "", true},
	} {
		l := newLab(t)
		l.up(1, peer)
		l.in(1, good(10))
		l.stands(c.caption, root, 10, 204, 1)
		l.took()
		fr := c.frame()
		l.in(1, fr)
		if c.charge == "" {
			l.mustCharge(c.caption)
		} else {
			l.mustCharge(c.caption, c.charge)
		}
		if fr.Root != root.Address() {
			continue
		}
		if c.kept {
			l.stands(c.caption, root, 10, 204, 1)
			continue
		}
		l.orphaned(c.caption, root)
		l.mustSend(c.caption, "#1 retract")
		l.in(1, good(12))
		l.stands(c.caption+", then the truth", root, 12, 204, 1)
	}
}

// long makes a chain of n hops that ends at peer.
func long(n int, peer identity.Key, to identity.Address) *wire.Announce {
	hops := make([]hop, n)
	for i := range hops {
		hops[i] = hop{keyOf(fmt.Sprint("hop ", i)), uint64(70 * i)}
	}
	hops[0].key = keyOf("root")
	hops[n-1].key = peer
	return signed(11, start, to, hops...)
}

// spec §8: chains have at most 24 keys. The 25th router still has reach, but
// nobody below it.
func TestLongestChain(t *testing.T) {
	root, peer, other := keyOf("root"), keyOf("peer"), keyOf("other")
	l := newLab(t)
	l.up(1, peer)
	l.up(2, other)
	l.in(1, long(23, peer, l.f.cfg.Self))
	l.stands("23 hops", root, 11, 22*70+64, 1)
	l.mustSend("23 hops", "#1 announce (11, 1604), #2 announce (11, 1604)")
	fd := l.f.byRoot[root.Address()].fd
	l.pass(gather)
	l.in(1, long(24, peer, l.f.cfg.Self))
	l.stands("24 hops", root, 11, 23*70+64, 1)
	l.mustSend("24 hops", "#1 retract, #2 retract")
	if l.f.byRoot[root.Address()].fd != fd {
		t.Error("fd changed without an announcement")
	}
	l.mustCharge("24 hops")
}

// A flipped bit anywhere in a frame is refused: charged, ignored or taken as a
// retraction, but never believed.
func TestFlippedBits(t *testing.T) {
	root, x, peer := keyOf("root"), keyOf("x"), keyOf("peer")
	to := keyOf("self").Address()
	whole := signed(11, start, to, hop{root, 0}, hop{x, 70}, hop{peer, 140}).AppendTo(nil)
	for i := range whole {
		bent := append([]byte(nil), whole...)
		bent[i] ^= 1 << (i % 8)
		fr, err := wire.Decode(bent, nil)
		if err != nil {
			continue // the link's reader closes it
		}
		l := newLab(t)
		l.up(1, peer)
		l.in(1, fr)
		for _, s := range l.f.Roots() {
			t.Errorf("byte %d flipped: believed as %+v", i, s)
		}
	}
}

// What is not known to be signed by its root is not stored: strangers cost
// nothing but their check.
func TestStrangersNeedSignatures(t *testing.T) {
	peer := keyOf("peer")
	l := newLab(t)
	l.up(1, peer)
	for i := range 50 {
		fr := l.from(peer, keyOf(fmt.Sprint("crowd ", i)), 1, 70)
		fr.Hops[1].Sig[3] ^= 1
		l.in(1, fr)
	}
	if n := len(l.f.Roots()); n != 0 {
		t.Errorf("%d roots are stored", n)
	}
	if len(l.charged) != 50 {
		t.Errorf("%d of 50 charged", len(l.charged))
	}
}

// Of one neighbour at most 32 announcements of unknown roots wait at a time.
func TestStrangersWaiting(t *testing.T) {
	peer := keyOf("peer")
	l := newLab(t)
	l.holding = true
	l.up(1, peer)
	for i := range 100 {
		l.says(1, peer, keyOf(fmt.Sprint("crowd ", i)), 1, 70)
	}
	if len(l.held) != waitingMax || len(l.f.checks) != waitingMax {
		t.Errorf("%d checks wait", len(l.held))
	}
	if n := count(l.reports, machine.TableFull); n != 100-waitingMax {
		t.Errorf("%d refusals are counted", n)
	}
}

func count(all []machine.ReportEvent, e machine.ReportEvent) (n int) {
	for _, o := range all {
		if o == e {
			n++
		}
	}
	return n
}

// spec §8.6, R1: 16 automatic roots are stored; the worst rank goes first, and its
// fd is remembered as long as somebody may point here.
func TestCrowdOfRoots(t *testing.T) {
	peer, other := keyOf("peer"), keyOf("other")
	l := newLab(t)
	l.up(1, peer)
	l.up(2, other)
	var keys []identity.Key
	for i := range 40 {
		k := keyOf(fmt.Sprint("crowd ", i))
		keys = append(keys, k)
		l.says(1, peer, k, 5, 70)
		l.pass(gather)
		if n := len(l.f.Roots()); n > rootsStored {
			t.Fatalf("%d roots are stored", n)
		}
	}
	kept, refused := 0, 0
	for _, k := range keys {
		if l.f.Knows(k.Address()) {
			kept++
			continue
		}
		refused++
		for _, o := range keys {
			if l.f.Knows(o.Address()) && outranks(rankOf(k.Address()), rankOf(o.Address())) {
				t.Errorf("a better rank was forgotten before a worse one")
			}
		}
	}
	if kept != rootsStored || refused != 40-rootsStored {
		t.Errorf("%d kept, %d not", kept, refused)
	}
	if len(l.f.Counting()) != rootsCounting {
		t.Errorf("%d count", len(l.f.Counting()))
	}
}

// A root that was pushed out and comes back finds its fd: the old echo is still
// not taken. 20 minutes later it is forgotten.
func TestPushedOutKeepsFD(t *testing.T) {
	peer, other := keyOf("peer"), keyOf("other")
	keys := make([]identity.Key, 0, 17)
	for i := range 17 {
		keys = append(keys, keyOf(fmt.Sprint("crowd ", i)))
	}
	worst := keys[0]
	for _, k := range keys {
		if outranks(rankOf(worst.Address()), rankOf(k.Address())) {
			worst = k
		}
	}
	l := newLab(t)
	l.up(1, peer)
	l.up(2, other)
	l.says(1, peer, worst, 5, 70)
	l.took()
	for _, k := range keys {
		if k.Address() != worst.Address() {
			l.says(1, peer, k, 5, 70)
		}
	}
	if l.f.Knows(worst.Address()) {
		t.Fatal("the worst of 17 is stored")
	}
	left := false
	for _, c := range l.changes {
		left = left || c == Change{Kind: Left, Root: worst.Address()}
	}
	if !left {
		t.Error("nobody is told that the tree was left")
	}
	if fd := l.f.past.look(worst.Address()); fd != (rung{5, 134}) {
		t.Errorf("remembered fd %v", fd)
	}
	// Another root ends, so there is a place again.
	l.in(1, &wire.Retract{Root: keys[1].Address()})
	l.f.uproot(l.f.byRoot[keys[1].Address()])
	l.says(2, other, worst, 5, 134)
	if l.f.Reach(worst.Address()) {
		t.Error("an echo was taken")
	}
	l.says(2, other, worst, 6, 134)
	l.stands("a new number", worst, 6, 198, 2)
	l.pass(2*gone + 1)
	l.f.past.expire(l.now)
	if len(l.f.past.list) != 0 {
		t.Error("fds are remembered for ever")
	}
}

// The table of fds is bounded; a full one refuses new roots.
func TestPastIsBounded(t *testing.T) {
	var p past
	for i := range pastMax {
		p.put(keyOf(fmt.Sprint("past ", i)).Address(), rung{1, 1}, int64(i))
	}
	if p.room() {
		t.Error("there is room in a full table")
	}
	p.expire(int64(pastMax / 2))
	if !p.room() || len(p.list) != pastMax/2-1 {
		t.Errorf("%d remembered", len(p.list))
	}
}

// Frames that make no sense are counted, not answered.
func TestIgnored(t *testing.T) {
	l := newLab(t)
	l.up(1, keyOf("peer"))
	l.in(9, &wire.Retract{Root: keyOf("root").Address()})
	l.in(1, &wire.Graft{Root: keyOf("root").Address()})
	if n := count(l.reports, machine.FrameIgnored); n != 2 {
		t.Errorf("%d frames are counted as ignored", n)
	}
	l.in(1, &wire.Retract{Root: keyOf("root").Address()})
	l.in(1, &wire.SeqReq{Root: keyOf("root").Address(), Want: 1, Hops: 3})
	l.down(77)
	l.do(func() { l.f.SetCost(l.now, 77, 100) })
	l.do(func() { l.f.Verified(l.now, 12345, 0) })
	l.do(func() { l.f.Signed(l.now, 12345, identity.Signature{}) })
	l.mustSend("nothing of it", "")
	l.mustCharge("nothing of it")
}

// L2 is the link room's promise; should it fail, the old link is taken as ended.
func TestSecondLinkOfOnePeer(t *testing.T) {
	root := keyOf("root")
	l := newLab(t)
	l.up(1, root)
	l.says(1, root, root, 5, 0)
	l.stands("first link", root, 5, 64, 1)
	l.up(2, root)
	l.orphaned("second link", root)
	l.says(2, root, root, 5, 0)
	l.stands("second link", root, 5, 64, 2)
}
