package tree

import (
	"fmt"
	"slices"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
)

// The table of automatic roots, row by row (spec §8.6, R2 and R3).

// mesh makes n routers that may all be roots, with a link between any two.
func mesh(t testing.TB, seed uint64, n int) *world {
	w := newWorld(t, seed)
	for i := range n {
		w.add(fmt.Sprintf("%d of seed %d", i, seed), true)
	}
	for i, a := range w.routers {
		for _, b := range w.routers[i+1:] {
			w.cable(a, b, 70, 6)
		}
	}
	return w
}

// wait lets time pass until a condition holds, and returns how long it took.
func (w *world) wait(caption string, most int64, done func() bool) int64 {
	w.t.Helper()
	began := w.now
	if !done() && !w.until(began+most, done) {
		w.t.Fatalf("%s: not within %d ms\n%v", caption, most, w)
	}
	return w.now - began
}

// running counts the routers that are roots.
func (w *world) running() (n int) {
	for _, r := range w.routers {
		if r.up && r.forest.own.running {
			n++
		}
	}
	return n
}

func TestOneRouter(t *testing.T) {
	for seed := range uint64(20) {
		w := mesh(t, seed, 1)
		w.bootAll()
		took := w.wait("itself", 5_010, func() bool { return len(w.routers[0].forest.Counting()) == 1 })
		if took < 1_000 {
			t.Errorf("seed %d: a root after %d ms", seed, took)
		}
	}
}

func TestTwoRouters(t *testing.T) {
	for seed := range uint64(20) {
		w := mesh(t, seed, 2)
		w.bootAll()
		took := w.wait("both", 25_050, func() bool { return w.agreement() == "" && w.running() == 2 })
		if took < upFirst+startFew {
			t.Errorf("seed %d: the second starts after %d ms, before links had time to come up", seed, took)
		}
	}
}

func TestThreeRouters(t *testing.T) {
	for seed := range uint64(20) {
		w := mesh(t, seed, 3)
		w.bootAll()
		w.wait("all three", 25_050, func() bool { return w.agreement() == "" && w.running() == 3 })
		for _, r := range w.routers {
			for _, s := range r.forest.Roots() {
				if s.Root != r.addr && (s.Depth != 1 || s.Parent != s.Root) {
					t.Errorf("seed %d: in a full mesh %s has depth %d", seed, r.name, s.Depth)
				}
			}
		}
	}
}

func TestManyRouters(t *testing.T) {
	for seed := range uint64(5) {
		w := mesh(t, seed, 9)
		w.bootAll()
		w.run(30_000)
		w.mustAgree("best three ranks")
		if n := w.running(); n > 4 {
			t.Errorf("seed %d: %d routers became roots", seed, n)
		}
	}
}

// In a crowd that boots apart everybody is a root; three stay.
func TestCrowdMeets(t *testing.T) {
	w := mesh(t, 7, 9)
	for _, r := range w.routers {
		r.boot()
	}
	w.run(10_000)
	if n := w.running(); n != 9 {
		t.Fatalf("%d of 9 are roots by themselves", n)
	}
	for _, c := range w.cables {
		c.plug()
	}
	w.run(1_000)
	w.mustAgree("at once")
	w.run(10_000)
	if n := w.running(); n != 3 {
		t.Errorf("%d are roots 10 s after they met", n)
	}
	// Nobody hears of the others for long: after 10 s they are retracted.
	for _, r := range w.routers {
		for _, tr := range r.forest.trees {
			if tr.telling && !tr.counting {
				t.Errorf("%s still announces %v", r.name, tr.root)
			}
		}
	}
}

// A newcomer of better rank takes over some of the targets, and one root stops.
func TestNewcomer(t *testing.T) {
	w := mesh(t, 3, 4)
	best := bestThree(w.routers)
	newcomer := w.routers[slices.IndexFunc(w.routers, func(r *router) bool { return r.addr == best[0] })]
	for _, r := range w.routers {
		if r != newcomer {
			r.boot()
		}
	}
	for _, c := range w.cables {
		c.plug()
	}
	w.run(30_000)
	w.mustAgree("without the newcomer")
	newcomer.boot()
	for _, c := range w.cables {
		c.plug()
	}
	w.wait("newcomer", 25_050, func() bool { return w.agreement() == "" })
	w.wait("one stops", 12_000, func() bool { return w.running() == 3 })
}

// Isolated, a router that is no root becomes one HOLD and 1 to 5 s later; after the
// reunion the old roots count again.
func TestIsolatedAndBack(t *testing.T) {
	for seed := range uint64(10) {
		w := mesh(t, seed, 5)
		w.bootAll()
		w.run(40_000)
		best := bestThree(w.routers)
		lone := w.routers[slices.IndexFunc(w.routers, func(r *router) bool { return !slices.Contains(best, r.addr) })]
		for _, c := range w.cables {
			if c.a == lone || c.b == lone {
				c.pull()
			}
		}
		if n := len(lone.forest.Counting()); n != 3 {
			t.Errorf("seed %d: %d roots count before HOLD is over", seed, n)
		}
		took := w.wait("fallback", 8_020, func() bool { return slices.Equal(lone.forest.Counting(), []identity.Address{lone.addr}) })
		if took < hold+startAlone {
			t.Errorf("seed %d: fallback after %d ms", seed, took)
		}
		for _, c := range w.cables {
			c.plug()
		}
		w.run(1_000)
		w.mustAgree("reunion")
		w.run(12_000)
		if lone.forest.own.running {
			t.Errorf("seed %d: the fallback root goes on", seed)
		}
	}
}

// A router that may not be a root never is one.
func TestCannotRoot(t *testing.T) {
	w := newWorld(t, 1)
	w.add("meek", false)
	w.bootAll()
	w.run(100_000)
	r := w.routers[0]
	if d := r.forest.Deadline(); d != 0 || len(r.forest.Roots()) != 0 {
		t.Errorf("deadline %d, roots %v", d, r.forest.Roots())
	}
	if p, s := r.forest.Map(envelope.Target{}); !p.IsZero() || !s.IsZero() {
		t.Errorf("a map to %v and %v", p, s)
	}
	if _, ok := r.forest.PublishRoot(w.now, envelope.Target{}); ok {
		t.Error("a publish root")
	}
}

// spec §8.6, R4: everybody maps a target to the same two roots; each is primary for
// some.
func TestMap(t *testing.T) {
	w := mesh(t, 1, 5)
	w.bootAll()
	w.run(60_000)
	primaries := make(map[identity.Address]int)
	for i := range 300 {
		target := envelope.Target{Kind: envelope.Kind(i % 2), To: keyOf(fmt.Sprint("target ", i)).Address()}
		p, s := w.routers[0].forest.Map(target)
		primaries[p]++
		if p.IsZero() || s.IsZero() || p == s {
			t.Fatalf("target %d: p %v, s %v", i, p, s)
		}
		for _, r := range w.routers {
			if p2, s2 := r.forest.Map(target); p2 != p || s2 != s {
				t.Fatalf("target %d: %s has %v and %v, not %v and %v", i, r.name, p2, s2, p, s)
			}
			if pub, ok := r.forest.PublishRoot(w.now, target); !ok || pub != p {
				t.Fatalf("target %d: publish root %v, not %v", i, pub, p)
			}
			if weight(target, p) <= weight(target, s) {
				t.Fatalf("target %d: the secondary weighs more", i)
			}
		}
	}
	if len(primaries) != 3 {
		t.Errorf("%d roots are primary", len(primaries))
	}
	for _, n := range primaries {
		if n < 60 {
			t.Errorf("a root has %d of 300 targets", n)
		}
	}
}

// spec §8.6, R4: publishers use a root SETTLE after subscribers have joined it.
func TestSettle(t *testing.T) {
	w := mesh(t, 2, 1)
	w.bootAll()
	f := w.routers[0].forest
	target := envelope.Target{To: w.routers[0].addr}
	w.wait("itself", 6_000, func() bool { return len(f.Counting()) == 1 })
	if r, ok := f.PublishRoot(w.now, target); !ok || r != w.routers[0].addr {
		t.Error("with nothing settled the primary must do")
	}
	p, s := f.Map(target)
	if p != w.routers[0].addr || !s.IsZero() {
		t.Errorf("with one root p is %v and s %v", p, s)
	}
	began := w.now
	w.wait("settled", settle+10, func() bool {
		return slices.Contains(w.routers[0].changes, Change{Kind: Settled, Root: p})
	})
	if w.now-began < settle-5 {
		t.Errorf("settled after %d ms", w.now-began)
	}
}

// While a better root is not settled, envelopes leave on the next best.
func TestPublishRootWaits(t *testing.T) {
	w := mesh(t, 5, 2)
	w.bootAll()
	w.run(60_000)
	f := w.routers[0].forest
	target := envelope.Target{}
	for i := 0; ; i++ {
		target.To = keyOf(fmt.Sprint("target ", i)).Address()
		if p, _ := f.Map(target); p == w.routers[1].addr {
			break
		}
	}
	c := w.cables[0]
	c.pull()
	w.run(1_000)
	if p, _ := f.Map(target); p != w.routers[1].addr {
		t.Error("mapped anew before HOLD was over")
	}
	if p, _ := f.PublishRoot(w.now, target); p != w.routers[0].addr {
		t.Error("published on a tree without reach")
	}
	c.plug()
	w.run(1_000)
	if p, _ := f.PublishRoot(w.now, target); p != w.routers[0].addr {
		t.Error("published on a root that is not settled")
	}
	w.run(settle)
	if p, _ := f.PublishRoot(w.now, target); p != w.routers[1].addr {
		t.Error("not published on the root of highest weight")
	}
}

// The hot path allocates nothing.
func TestQueriesDoNotAllocate(t *testing.T) {
	w := mesh(t, 1, 3)
	w.bootAll()
	w.run(60_000)
	f := w.routers[0].forest
	target := envelope.Target{Kind: 1, To: w.routers[1].addr}
	for caption, query := range map[string]func(){
		"Map":         func() { f.Map(target) },
		"PublishRoot": func() { f.PublishRoot(w.now, target) },
		"Parent":      func() { f.Parent(w.routers[1].addr) },
		"Reach":       func() { f.Reach(w.routers[1].addr) },
		"Knows":       func() { f.Knows(w.routers[1].addr) },
		"Counting":    func() { f.Counting() },
		"Deadline":    func() { f.Deadline() },
	} {
		if n := testing.AllocsPerRun(100, query); n != 0 {
			t.Errorf("%s allocates %v times", caption, n)
		}
	}
}
