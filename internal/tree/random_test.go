package tree

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"testing"
)

var seeds = flag.Uint64("seeds", 10, "how many seeds the random networks run")

// network makes a random connected graph: a tree that prefers nobody, and as many
// links again that go anywhere.
func network(t testing.TB, seed uint64, n int) *world {
	w := newWorld(t, seed)
	w.jitter = 3 + w.random.Int64N(40)
	for i := range n {
		w.add(fmt.Sprintf("r%d", i), w.random.IntN(8) != 0)
	}
	w.routers[0].canRoot = true
	for i := 1; i < n; i++ {
		w.join(i, w.random.IntN(i))
	}
	for range n {
		if i, j := w.random.IntN(n), w.random.IntN(n); i != j && w.between(w.routers[i], w.routers[j]) == nil {
			w.join(i, j)
		}
	}
	return w
}

func (w *world) join(i, j int) {
	latency := 1 + w.random.Int64N(60)
	w.cable(w.routers[i], w.routers[j], 64+2*int(latency), latency)
}

// trouble makes things happen for a while: links flap, routers crash and come
// back, the network falls apart along a random line, costs change.
func (w *world) trouble(ms int64) {
	end := w.now + ms
	for w.now < end {
		w.run(w.random.Int64N(3_000))
		switch w.random.IntN(10) {
		case 0, 1, 2, 3, 4, 5:
			w.flap(w.cables[w.random.IntN(len(w.cables))])
		case 6, 7:
			w.restart(w.routers[w.random.IntN(len(w.routers))])
		case 8:
			w.partition()
		default:
			w.reprice(w.cables[w.random.IntN(len(w.cables))])
		}
	}
}

func (w *world) flap(c *cable) {
	c.pull()
	w.after(w.random.Int64N(8_000), c.plug)
}

func (w *world) restart(r *router) {
	if !r.up {
		return
	}
	r.crash()
	w.after(w.random.Int64N(20_000), func() {
		if !r.up {
			r.boot()
			w.replug()
		}
	})
}

func (w *world) partition() {
	cut := w.random.Uint64()
	for i, c := range w.cables {
		if cut>>(i%64)&1 == 1 {
			w.flap(c)
		}
	}
}

func (w *world) reprice(c *cable) {
	c.cost = 64 + w.random.IntN(200)
	for _, e := range c.ends {
		if e != nil && e.up && e.running() {
			e.r.step(func() { e.r.forest.SetCost(w.now, e.link, c.cost) })
		}
	}
}

func (w *world) replug() {
	for _, c := range w.cables {
		c.plug()
	}
}

// quieten lets everything come back.
func (w *world) quieten() {
	w.run(20_000)
	for _, r := range w.routers {
		if !r.up {
			r.boot()
		}
	}
	w.run(2 * w.jitter)
	w.replug()
}

func TestRandomNetworks(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := network(t, seed, 10+int(seed%6)*10)
			w.bootAll()
			w.trouble(60_000)
			w.quieten()
			w.run(30_000)
			w.mustAgree("after trouble")
		})
	}
}

// I17 on random graphs: one link breaks in a quiet network.
func TestRandomRepairs(t *testing.T) {
	for seed := range *seeds {
		w := network(t, seed+1_000, 20)
		w.bootAll()
		w.run(60_000)
		w.mustAgree("at first")
		for range 10 {
			c := w.cables[w.random.IntN(len(w.cables))]
			c.pull()
			w.repairs(fmt.Sprintf("seed %d, %s–%s", seed, c.a.name, c.b.name), 8)
			w.run(5_000)
			c.plug()
			w.run(35_000)
			w.mustAgree("afterwards")
		}
	}
}

// The same with Ed25519 instead of a keyed hash.
func TestRealSignatures(t *testing.T) {
	w := network(t, 77, 8)
	w.real = true
	w.bootAll()
	w.trouble(20_000)
	w.quieten()
	w.run(30_000)
	w.mustAgree("after trouble")
}

// Without T1, a plain path vector, there must be cycles: or the check is blind.
func TestNaiveFails(t *testing.T) {
	cycles := 0
	for seed := range uint64(5) {
		w := network(t, seed, 30)
		w.naive = true
		w.bootAll()
		w.trouble(60_000)
		cycles += w.cycles
	}
	if cycles == 0 {
		t.Error("I1 holds without T1: the check sees nothing")
	}
	t.Logf("%d cycles of parents without T1", cycles)
}

// I16: the same seed and inputs give the same effects.
func TestReplay(t *testing.T) {
	run := func(seed uint64) uint32 {
		w := network(t, seed, 20)
		w.trace = sha256.New()
		w.bootAll()
		w.trouble(30_000)
		fmt.Fprint(w.trace, w)
		return u32(w.trace)
	}
	if a, b := run(5), run(5); a != b {
		t.Errorf("two runs of one seed differ: %08x, %08x", a, b)
	}
	if run(5) == run(6) {
		t.Error("two seeds gave one run")
	}
}
