package tree

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The worked examples of spec §8: one root R, and what two other routers do when a
// link breaks.

// example makes the routers R, A and B with links of the given costs (0: none),
// and runs until all have found R.
func example(t *testing.T, ra, rb, ab int) (w *world, r, a, b *router) {
	w = newWorld(t, 1)
	w.jitter = 0
	r, a, b = w.add("R", true), w.add("A", false), w.add("B", false)
	for _, c := range []struct {
		x, y *router
		cost int
	}{{r, a, ra}, {r, b, rb}, {a, b, ab}} {
		if c.cost > 0 {
			w.cable(c.x, c.y, c.cost, 6)
		}
	}
	w.bootAll()
	w.run(10_000)
	w.mustAgree("at first")
	w.logging = true
	return w, r, a, b
}

// at asserts where a router stands, relative to the number base.
func at(t *testing.T, x, root *router, base, seq, metric int64, parent *router) {
	t.Helper()
	tr := x.forest.byRoot[root.addr]
	if got := tr.rung; got != (rung{base + seq, metric}) {
		t.Errorf("%s stands at (%d, %d), want (%d, %d)", x.name, got.seq-base, got.metric, seq, metric)
	}
	if got := x.parentOf(root.addr); got != parent {
		t.Errorf("%s has the wrong parent", x.name)
	}
}

// said asserts that the log holds the lines in this order, and clears it.
func (w *world) said(t *testing.T, lines ...string) {
	t.Helper()
	rest := w.log
	for _, l := range lines {
		i := slices.Index(rest, l)
		if i < 0 {
			t.Fatalf("%q was not said, or not in this order; this was:\n%s", l, strings.Join(w.log, "\n"))
		}
		rest = rest[i+1:]
	}
	w.log = nil
}

// spec §8.5, T5: a line R–A–B. The branch below keeps together.
func TestLineOfThree(t *testing.T) {
	w, r, a, b := example(t, 70, 0, 70)
	base := a.forest.byRoot[r.addr].rung.seq
	at(t, a, r, base, 0, 70, r)
	at(t, b, r, base, 0, 140, a)

	w.between(r, a).pull()
	w.run(10_000)
	w.said(t, "A→B retract", "B→A retract")
	if a.forest.Reach(r.addr) || b.forest.Reach(r.addr) {
		t.Error("there is still reach")
	}
	at(t, b, r, base, 0, 140, a) // pointer, metric and chain are kept
	if _, ok := a.forest.Parent(r.addr); ok {
		t.Error("a pointer outlived its link")
	}
	if strings.Contains(strings.Join(w.log, "\n"), "seqreq") {
		t.Error("somebody was asked, though there is nobody to ask")
	}

	b.changes = nil
	w.between(r, a).plug()
	w.run(1_000)
	at(t, a, r, base, 0, 70, r)
	at(t, b, r, base, 0, 140, a)
	for _, c := range b.changes {
		if c.Kind == Parent {
			t.Error("B moved its pointer; its interest was at A all the time")
		}
	}
	w.mustAgree("at last")
}

// spec §8.5, T3b: in a triangle the way round is found without a question, if it is
// better than what was announced.
func TestTriangleFeasible(t *testing.T) {
	w, r, a, b := example(t, 70, 100, 70)
	base := a.forest.byRoot[r.addr].rung.seq
	at(t, a, r, base, 0, 70, r)
	at(t, b, r, base, 0, 100, r)

	w.between(r, b).pull()
	began := w.now
	if !w.until(w.now+1_000, func() bool { return b.parentOf(r.addr) == a }) || w.now != began {
		t.Errorf("B needed %d ms", w.now-began)
	}
	w.run(1_000)
	at(t, b, r, base, 0, 140, a)
	for _, l := range w.log {
		if strings.Contains(l, "seqreq") || l == "B→A retract" {
			t.Errorf("%s", l)
		}
	}
	w.mustAgree("at last")
}

// spec §8.5, T5 and T6: what may be an echo of one's own is not taken; the root
// raises its number, in one round trip.
func TestTriangleAsks(t *testing.T) {
	w, r, a, b := example(t, 70, 100, 70)
	base := a.forest.byRoot[r.addr].rung.seq
	number := func(seq, metric int64) string { return fmt.Sprintf("announce (%d, %d)", base+seq, metric) }

	w.between(r, a).pull()
	began := w.now
	w.until(w.now+1_000, func() bool { return a.parentOf(r.addr) == b })
	if took := w.now - began; took != 4*6 {
		t.Errorf("A needed %d ms, not one round trip A–B–R", took)
	}
	w.run(1_000)
	at(t, b, r, base, 1, 100, r)
	at(t, a, r, base, 1, 170, b)
	w.said(t, "A→B retract", "A→B "+want(base+1), "B→R "+want(base+1), "R→B "+number(1, 0), "B→A "+number(1, 100), "A→B "+number(1, 170))
	w.mustAgree("at last")
}

func want(seq int64) string { return fmt.Sprintf("seqreq %d", seq) }
