package tree

import (
	"fmt"
	"testing"
)

// All connected graphs of two to four routers, each with every single fault at
// several instants: I1 to I3 throughout, I4 and I17 at the end.

// graphs yields all connected labelled graphs of n routers as lists of edges.
func graphs(n int) (all [][][2]int) {
	var edges [][2]int
	for i := range n {
		for j := range i {
			edges = append(edges, [2]int{j, i})
		}
	}
	for set := 1; set < 1<<len(edges); set++ {
		var g [][2]int
		for i, e := range edges {
			if set>>i&1 == 1 {
				g = append(g, e)
			}
		}
		if connected(n, g) {
			all = append(all, g)
		}
	}
	return all
}

func connected(n int, g [][2]int) bool {
	seen := 1
	for range n {
		for _, e := range g {
			if seen>>e[0]&1 == 1 || seen>>e[1]&1 == 1 {
				seen |= 1<<e[0] | 1<<e[1]
			}
		}
	}
	return seen == 1<<n-1
}

func TestGraphs(t *testing.T) {
	for n, want := range map[int]int{2: 1, 3: 4, 4: 38} {
		if got := len(graphs(n)); got != want {
			t.Errorf("%d connected graphs of %d routers, want %d", got, n, want)
		}
	}
}

func TestEverySingleFault(t *testing.T) {
	instants := []int64{0, 2_500, 12_000, 21_000, 40_000}
	for n := 2; n <= 4; n++ {
		for _, g := range graphs(n) {
			for fault := range len(g) + n {
				for i, when := range instants {
					for _, length := range []int64{300, 9_000, 0} {
						oneFault(t, n, g, fault, when, length, uint64(i))
					}
				}
			}
		}
	}
}

// oneFault runs a graph with one link (fault < len(g)) or router down for a while,
// or for good where length is 0.
func oneFault(t *testing.T, n int, g [][2]int, fault int, when, length int64, seed uint64) {
	caption := fmt.Sprintf("%d routers %v, fault %d at %d for %d", n, g, fault, when, length)
	w := newWorld(t, seed)
	for i := range n {
		w.add(smallName(i), true)
	}
	for _, e := range g {
		w.cable(w.routers[e[0]], w.routers[e[1]], 64+10*(e[0]+e[1]), 3+int64(e[1]))
	}
	w.bootAll()
	w.run(when)
	quiet := when >= 40_000
	if quiet {
		w.mustAgree(caption + ", before")
	}
	var undo func()
	if fault < len(g) {
		c := w.cables[fault]
		c.pull()
		undo = c.plug
	} else {
		r := w.routers[fault-len(g)]
		r.crash()
		undo = func() {
			r.boot()
			for _, c := range w.cables {
				c.plug()
			}
		}
	}
	if quiet && fault < len(g) {
		w.repairs(caption, 4)
	}
	if length > 0 {
		w.run(length)
		undo()
	}
	w.run(30_000)
	w.mustAgree(caption)
}

func smallName(i int) string { return string(rune('a' + i)) }

// repairs is I17: after one failure in a quiet network reach is back within
// detection + 2 × depth × latency + 1 s, for whoever is still connected to the
// root. A hop takes the link, a check and a signature.
func (w *world) repairs(caption string, depth int64) {
	w.t.Helper()
	hop := int64(0)
	for _, c := range w.cables {
		hop = max(hop, c.latency+2*w.jitter)
	}
	most := w.jitter + 2*depth*hop + 1_000
	began := w.now
	for _, r := range w.routers {
		if !r.up {
			continue
		}
		for _, root := range w.component(r) {
			if root.forest.own.running && !w.reaches(r, root, began+most) {
				w.t.Fatalf("%s: I17: %s has no way to %s after %d ms\n%v", caption, r.name, root.name, most, w)
			}
		}
	}
}

// reaches waits until r has reach to root and nobody has still to notice a fault.
func (w *world) reaches(r, root *router, end int64) bool {
	done := func() bool { return w.noticed() && r.forest.Reach(root.addr) }
	return done() || w.until(end, done) || done()
}

func (w *world) noticed() bool {
	for _, c := range w.cables {
		if !c.plugged && !c.settled() {
			return false
		}
	}
	return true
}
