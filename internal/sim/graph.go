package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Shape names a kind of graph.
type Shape string

// The shapes of graphs.
const (
	Random    Shape = "random"     // connected, mean degree as asked
	Line      Shape = "line"       // 0 – 1 – 2 …
	Ring      Shape = "ring"       // a line that bites its tail
	Star      Shape = "star"       // 0 in the middle
	ScaleFree Shape = "scale-free" // newcomers prefer the well-linked
	Full      Shape = "full"       // everybody with everybody
)

// Graph returns the edges of a connected graph of n nodes, each once, the lower
// number first. degree is the mean degree of Random and ScaleFree.
func Graph(shape Shape, n, degree int, random *rand.Rand) [][2]int {
	g := &graph{has: map[[2]int]bool{}}
	switch shape {
	case Line, Ring:
		for i := 1; i < n; i++ {
			g.add(i-1, i)
		}
		if shape == Ring && n > 2 {
			g.add(0, n-1)
		}
	case Star:
		for i := 1; i < n; i++ {
			g.add(0, i)
		}
	case Full:
		for i := range n {
			for j := range i {
				g.add(j, i)
			}
		}
	case ScaleFree:
		g.prefer(n, max(1, degree/2), random)
	case Random:
		g.random(n, degree, random)
	default:
		panic(fmt.Sprintf("sim: no shape %q", shape))
	}
	return g.edges
}

type graph struct {
	edges [][2]int
	has   map[[2]int]bool
}

func (g *graph) add(a, b int) bool {
	if a > b {
		a, b = b, a
	}
	if a == b || g.has[[2]int{a, b}] {
		return false
	}
	g.has[[2]int{a, b}] = true
	g.edges = append(g.edges, [2]int{a, b})
	return true
}

// random hangs each node on an earlier one, then adds edges until the degree is
// reached.
func (g *graph) random(n, degree int, random *rand.Rand) {
	for i := 1; i < n; i++ {
		g.add(random.IntN(i), i)
	}
	want := min(n*degree/2, n*(n-1)/2)
	for len(g.edges) < want {
		g.add(random.IntN(n), random.IntN(n))
	}
}

// prefer links each newcomer to m earlier nodes, drawn by their degree.
func (g *graph) prefer(n, m int, random *rand.Rand) {
	drawn := []int{0} // each node once for each of its edges
	for i := 1; i < n; i++ {
		for k := 0; k < min(m, i); {
			if j := drawn[random.IntN(len(drawn))]; g.add(j, i) {
				drawn = append(drawn, j, i)
				k++
			}
		}
	}
}

// latency draws how long a frame takes from one core to the next.
func latency(random *rand.Rand) time.Duration {
	return 2*time.Millisecond + time.Duration(random.Int64N(int64(38*time.Millisecond)))
}
