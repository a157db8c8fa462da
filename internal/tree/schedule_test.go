package tree

import (
	"fmt"
	"slices"
	"testing"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// byRank returns the keys of names, the best rank first.
func byRank(names ...string) []identity.Key {
	var keys []identity.Key
	for _, n := range names {
		keys = append(keys, keyOf(n))
	}
	slices.SortFunc(keys, func(a, b identity.Key) int {
		x, y := rankOf(a.Address()), rankOf(b.Address())
		return slices.Compare(x[:], y[:])
	})
	return keys
}

// spec §8.5, T3a: 20 % damp flapping.
func TestTwentyPercent(t *testing.T) {
	for _, c := range []struct {
		metric uint64
		moves  bool
	}{{200, false}, {176, false}, {175, true}, {100, true}} {
		root, p, q := keyOf("root"), keyOf("p"), keyOf("q")
		l := newLab(t)
		l.up(1, p)
		l.up(2, q)
		l.says(1, p, root, 5, 236) // stands at 300
		// fd is 300, so all that q says is feasible.
		l.says(2, q, root, 5, c.metric)
		moved := false
		if link, _ := l.f.Parent(root.Address()); link == 2 {
			moved = true
		}
		if moved != c.moves {
			t.Errorf("%d + 64 against 300: moved %v", c.metric, moved)
		}
	}
}

// spec §8.5, T3: ties go to the higher number, then to the lower key.
func TestTies(t *testing.T) {
	root := keyOf("root")
	low, high := keyOf("p"), keyOf("q")
	if low.Address().Compare(high.Address()) > 0 {
		low, high = high, low
	}
	choose := func(seqLow, seqHigh uint64) machine.LinkID {
		l := newLab(t)
		l.up(1, high)
		l.up(2, low)
		l.up(3, keyOf("parent"))
		l.says(3, keyOf("parent"), root, 5, 1_000)
		l.f.byRoot[root.Address()].fd = rung{4, 0} // so that both are feasible later
		l.holding = true
		l.says(1, high, root, seqHigh, 1_100)
		l.says(2, low, root, seqLow, 1_100)
		l.release(2)
		l.holding = false
		l.in(3, &wire.Retract{Root: root.Address()})
		link, _ := l.f.Parent(root.Address())
		return link
	}
	if got := choose(5, 5); got != 2 {
		t.Errorf("a tie of keys went to #%d", got)
	}
	if got := choose(5, 6); got != 1 {
		t.Errorf("a tie of numbers went to #%d", got)
	}
}

// spec §8.5, T3a: a parent that does not follow the root's new number within 2 s is
// left, if another has had one without a break.
func TestWait(t *testing.T) {
	root, p, q := keyOf("root"), keyOf("p"), keyOf("q")
	setup := func() *lab {
		l := newLab(t)
		l.up(1, p)
		l.up(2, q)
		l.says(1, p, root, 5, 100)
		l.says(2, q, root, 6, 1_000)
		return l
	}
	l := setup()
	l.pass(wait - 1)
	l.stands("patience", root, 5, 164, 1)
	l.pass(1)
	l.stands("no more", root, 6, 1_064, 2)

	l = setup()
	l.pass(wait - 1)
	l.says(1, p, root, 6, 100)
	l.pass(10_000)
	l.stands("the parent followed in time", root, 6, 164, 1)

	l = setup()
	l.pass(wait - 1)
	l.in(2, &wire.Retract{Root: root.Address()})
	l.says(2, q, root, 6, 1_000)
	l.pass(wait - 1)
	l.stands("a break", root, 5, 164, 1)
	l.pass(1)
	l.stands("2 s after the break", root, 6, 1_064, 2)
}

// spec §8.5, T2: a parent may become worse than what was announced; it is followed.
func TestParentGetsWorse(t *testing.T) {
	root, p := keyOf("root"), keyOf("p")
	l := newLab(t)
	l.up(1, p)
	l.says(1, p, root, 5, 100)
	l.pass(100)
	l.took()
	l.says(1, p, root, 5, 10_000)
	l.stands("worse", root, 5, 10_064, 1)
	l.mustSend("no break in between", "#1 announce (5, 10064)")
	if fd := l.f.byRoot[root.Address()].fd; fd != (rung{5, 164}) {
		t.Errorf("fd %v", fd)
	}
	l.do(func() { l.f.SetCost(l.now, 1, 200) })
	l.stands("a cost", root, 5, 10_200, 1)
	l.do(func() { l.f.SetCost(l.now, 1, 1) })
	l.stands("the least cost", root, 5, 10_064, 1)
}

// spec §8.5, T5: questions go to the two nearest at 0, 0.5, 1, 2, 4 and 4 s.
func TestAskSchedule(t *testing.T) {
	root, p := keyOf("root"), keyOf("p")
	others := byRank("x", "y", "z")
	l := newLab(t)
	l.up(1, p)
	l.says(1, p, root, 5, 100)
	for i, o := range others {
		l.up(machine.LinkID(i+2), o)
		l.says(machine.LinkID(i+2), o, root, 5, uint64(1_000-100*i))
	}
	l.took()
	l.claims = 0
	l.in(1, &wire.Retract{Root: root.Address()})
	if l.claims != 4 {
		t.Errorf("%d signatures were checked, not two hops of each that is asked", l.claims)
	}
	l.mustSend("at once", "#1 retract, #2 retract, #3 retract, #4 retract, #4 seqreq 6, #3 seqreq 6")
	began := l.now
	var times []int64
	for l.now < began+16_000 {
		l.pass(100)
		if l.took() != "" {
			times = append(times, l.now-began)
		}
	}
	if want := []int64{500, 1_500, 3_500, 7_500, 11_500, 15_500}; !slices.Equal(times, want) {
		t.Errorf("asked again after %v, want %v", times, want)
	}
	for i := range others {
		l.in(machine.LinkID(i+2), &wire.Retract{Root: root.Address()})
	}
	l.pass(10_000)
	l.mustSend("nobody left", "")
	l.says(3, others[1], root, 5, 900)
	l.mustSend("at once when there is somebody", "#3 seqreq 6")
	l.says(3, others[1], root, 6, 900)
	l.stands("and the answer", root, 6, 964, 3)
	l.says(2, others[0], root, 6, 2_000)
	l.took()
	l.in(3, &wire.Retract{Root: root.Address()})
	l.mustSend("the next time at once again", "#1 retract, #2 retract, #3 retract, #4 retract, #2 seqreq 7")
	l.pass(500)
	l.mustSend("and half a second later", "#2 seqreq 7")
}

// An orphan checks whom it asks. A forgery is charged and nobody is asked.
func TestAskedAreChecked(t *testing.T) {
	root, p, q := keyOf("root"), keyOf("p"), keyOf("q")
	l := newLab(t)
	l.up(1, p)
	l.up(2, q)
	l.says(1, p, root, 5, 100)
	fr := l.from(q, root, 5, 500)
	fr.Hops[1].Sig[1] ^= 1
	l.in(2, fr)
	l.mustCharge("while it is of no use")
	l.took()
	l.in(1, &wire.Retract{Root: root.Address()})
	l.mustCharge("when it is", "#2 bad signature: a signature of an announcement does not hold")
	l.mustSend("and nobody is asked", "#1 retract, #2 retract")
	l.pass(20_000)
	l.mustSend("later", "")
}

// spec §8.5, T6: who passes a question on, and when not.
func TestPassingOn(t *testing.T) {
	root, p, q := keyOf("root"), keyOf("p"), keyOf("q")
	l := newLab(t)
	l.up(1, p)
	l.up(2, q)
	l.says(1, p, root, 5, 100)
	l.pass(100)
	l.took()
	ask := func(link machine.LinkID, want, hops uint64) {
		l.in(link, &wire.SeqReq{Root: root.Address(), Want: want, Hops: hops})
	}
	ask(2, 5, 32)
	l.mustSend("the number is there", "")
	ask(2, 6, 0)
	l.mustSend("no hops left", "")
	ask(1, 6, 32)
	l.mustSend("not back to who asks", "")
	ask(2, 6, 32)
	if len(l.sent) != 1 || *l.sent[0].Frame.(*wire.SeqReq) != (wire.SeqReq{Root: root.Address(), Want: 6, Hops: 31}) {
		t.Errorf("passed on %v", l.sent)
	}
	l.mustSend("to the parent", "#1 seqreq 6")
	ask(2, 6, 32)
	l.pass(passPause - 1)
	ask(2, 6, 32)
	l.mustSend("one in 300 ms", "")
	l.pass(1)
	ask(2, 6, 32)
	l.mustSend("then the next", "#1 seqreq 6")
	l.pass(1_000)
	l.in(1, &wire.Retract{Root: root.Address()})
	l.took()
	ask(2, 6, 32)
	l.mustSend("without reach", "")
}

// rooted makes a lab whose forest is a root.
func rooted(t *testing.T) (*lab, *tree) {
	self := keyOf("self")
	l := newLabOf(t, self, true)
	l.up(1, keyOf("p"))
	l.pass(5_010)
	if !l.f.own.running {
		t.Fatal("no root")
	}
	l.pass(61_000) // the start does not count among the raises of the last minute
	l.took()
	return l, l.f.byRoot[self.Address()]
}

// spec §8.5, T6: the root raises its number once a second, and every 2 s after ten
// in a minute; never far ahead of the clock.
func TestRaising(t *testing.T) {
	l, tr := rooted(t)
	ask := func(want int64) {
		l.in(1, &wire.SeqReq{Root: tr.root, Want: uint64(want), Hops: 5})
	}
	base := tr.rung.seq
	ask(base)
	ask(l.now/1000 + wantAhead + 1)
	l.pass(1_000)
	l.mustSend("nothing to do", "")
	ask(base + 1)
	l.mustSend("at once", fmt.Sprintf("#1 announce (%d, 0)", base+1))
	ask(base + 7)
	l.pass(raisePause - 1)
	l.mustSend("not within a second", "")
	l.pass(1)
	l.mustSend("then what is wanted", fmt.Sprintf("#1 announce (%d, 0)", base+7))
	var times []int64
	last := l.now
	for len(times) < 12 {
		ask(tr.rung.seq + 1)
		l.pass(100)
		if l.took() != "" {
			times = append(times, l.now-last)
			last = l.now
		}
	}
	want := []int64{1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 2_000, 2_000, 2_000, 2_000}
	if !slices.Equal(times, want) {
		t.Errorf("raised after %v, want %v", times, want)
	}
}

// spec §8.5, T8: a root raises its number every 120 s at the latest.
func TestRefresh(t *testing.T) {
	l, tr := rooted(t)
	first := tr.rung.seq
	if first < start/1000 || first > l.now/1000 {
		t.Errorf("the first number %d is not the clock's", first)
	}
	l.pass(10 * refresh)
	if n := tr.rung.seq - first; n < 10 || n > 11 {
		t.Errorf("raised %d times in %d s", n, 10*refresh/1000)
	}
	if n := len(l.sent); n < 10 || n > 11 {
		t.Errorf("%d announcements", n)
	}
}

// A root that stops retracts; when it starts again its number has risen.
func TestStopAndStart(t *testing.T) {
	l, tr := rooted(t)
	p := keyOf("p")
	before := tr.rung.seq
	var better []identity.Key
	for i := 0; len(better) < 3; i++ {
		if k := keyOf(fmt.Sprint("better ", i)); outranks(rankOf(k.Address()), tr.rank) {
			better = append(better, k)
		}
	}
	issued := l.now
	for _, k := range better {
		l.in(1, signed(1, issued, tr.root, hop{k, 0}, hop{p, 70}))
	}
	l.pass(stopMany - 1)
	if !l.f.own.running {
		t.Fatal("stopped too early")
	}
	l.took()
	l.pass(1)
	if l.f.own.running || l.f.Reach(tr.root) {
		t.Fatal("not stopped")
	}
	l.mustSend("it counted no more for as long", "#1 retract")
	l.down(1)
	l.pass(hold + 5_010)
	if !l.f.own.running || tr.rung.seq <= before {
		t.Errorf("running %v at %d, before at %d", l.f.own.running, tr.rung.seq, before)
	}
	if n := count(l.reports, machine.RootStarted); n != 2 || count(l.reports, machine.RootStopped) != 1 {
		t.Errorf("%d starts", n)
	}
}

// The wanted number of a signature that comes after the stop is of no use.
func TestStoppedWhileSigning(t *testing.T) {
	l, tr := rooted(t)
	l.holding = true
	l.in(1, &wire.SeqReq{Root: tr.root, Want: uint64(tr.rung.seq + 1), Hops: 1})
	before := tr.rung
	l.do(func() { l.f.stop(l.now); l.f.own.running = false; l.f.finish(l.now) })
	l.release(1)
	if tr.rung != before {
		t.Errorf("a stopped root moved to %v", tr.rung)
	}
}

// spec §12.2, AGE: a number is worth six minutes. A parent that is silent, but whose
// link lives, is an orphan's.
func TestAge(t *testing.T) {
	root, p := keyOf("root"), keyOf("p")
	l := newLab(t)
	l.up(1, p)
	l.says(1, p, root, 5, 100)
	l.pass(age - 1_000)
	l.says(1, p, root, 5, 120) // no new number: no new life
	l.stands("just before", root, 5, 184, 1)
	l.pass(999)
	l.stands("just before", root, 5, 184, 1)
	l.pass(1)
	l.orphaned("6 min", root)
	l.says(1, p, root, 5, 120)
	l.orphaned("the same number again", root)
	l.in(1, &wire.Retract{Root: root.Address()})
	l.says(1, p, root, 5, 100)
	l.orphaned("after a retraction", root)
	l.in(1, signed(6, l.now, l.f.cfg.Self, hop{root, 0}, hop{p, 100}))
	l.stands("a new number", root, 6, 164, 1)
}

// A root's old signature ends by its own time, whenever it was first heard.
func TestIssuedEnds(t *testing.T) {
	root := keyOf("root")
	l := newLab(t)
	l.up(1, root)
	l.in(1, signed(5, start-stale+10_000, l.f.cfg.Self, hop{root, 0}))
	l.stands("old, but not too old", root, 5, 64, 1)
	l.pass(10_000)
	l.stands("at the last instant", root, 5, 64, 1)
	l.pass(1)
	l.orphaned("12 min", root)
}

// spec §8.5, T8: 10 min without reach and the tree is left; 10 min later it is
// forgotten, and an old number is as good as any.
func TestLeaveAndForget(t *testing.T) {
	root, p := keyOf("root"), keyOf("p")
	l := newLab(t)
	l.up(1, p)
	l.says(1, p, root, 5, 100)
	l.in(1, &wire.Retract{Root: root.Address()})
	l.changes = nil
	l.pass(gone - 1)
	if link, ok := l.f.Parent(root.Address()); !ok || link != 1 {
		t.Error("the pointer is not kept")
	}
	l.pass(1)
	want := []Change{{Kind: Counting}, {Parent, root.Address(), 1, 0}, {Kind: Left, Root: root.Address()}}
	if !slices.Equal(l.changes, want) {
		t.Errorf("left: %v", l.changes)
	}
	if !l.f.Knows(root.Address()) || l.f.byRoot[root.Address()].fd != (rung{5, 164}) {
		t.Error("fd is forgotten too early")
	}
	l.in(1, signed(5, l.now, l.f.cfg.Self, hop{root, 0}, hop{p, 200}))
	l.orphaned("an old number", root)
	l.in(1, &wire.Retract{Root: root.Address()})
	l.changes = nil
	l.pass(gone)
	if l.f.Knows(root.Address()) || !slices.Equal(l.changes, []Change{{Kind: Left, Root: root.Address()}}) {
		t.Errorf("forgotten: %v", l.changes)
	}
	l.in(1, signed(5, l.now, l.f.cfg.Self, hop{root, 0}, hop{p, 200}))
	l.stands("from the beginning", root, 5, 264, 1)
}

// A tree that was left is joined again by any feasible way.
func TestJoinAgain(t *testing.T) {
	root, p := keyOf("root"), keyOf("p")
	l := newLab(t)
	l.up(1, p)
	l.says(1, p, root, 5, 100)
	l.in(1, &wire.Retract{Root: root.Address()})
	l.pass(gone + 1_000)
	l.changes = nil
	l.in(1, signed(6, l.now, l.f.cfg.Self, hop{root, 0}, hop{p, 200}))
	l.stands("again", root, 6, 264, 1)
	want := []Change{{Parent, root.Address(), 0, 1}, {Kind: Reach, Root: root.Address()}, {Kind: Counting}}
	if !slices.Equal(l.changes, want) {
		t.Errorf("changes %v", l.changes)
	}
	l.pass(2 * gone)
	if !l.f.Knows(root.Address()) {
		t.Error("forgotten, though it was joined again; its age ended meanwhile")
	}
}

// One Change tells of a parent that is lost and of its successor.
func TestChangeOfParent(t *testing.T) {
	root, p, q := keyOf("root"), keyOf("p"), keyOf("q")
	l := newLab(t)
	l.up(1, p)
	l.up(2, q)
	l.says(1, p, root, 5, 100)
	l.says(2, q, root, 5, 110)
	l.changes = nil
	l.down(1)
	if want := []Change{{Parent, root.Address(), 1, 2}}; !slices.Equal(l.changes, want) {
		t.Errorf("changes %v", l.changes)
	}
	l.changes = nil
	l.down(2)
	if want := []Change{{Kind: Reach, Root: root.Address()}, {Parent, root.Address(), 2, 0}}; !slices.Equal(l.changes, want) {
		t.Errorf("changes %v", l.changes)
	}
}
