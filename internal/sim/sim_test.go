package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	flagSeed    = flag.Uint64("seed", 1, "the seed that TestSeed plays")
	flagRouters = flag.Int("routers", 0, "how many routers TestSeed, TestRange and TestThousandRouters play; 0: their own choice")
	flagSeeds   = flag.Int("seeds", 0, "how many seeds TestRange plays, from -from on; 0: a few")
	flagFrom    = flag.Uint64("from", 1, "the first seed of TestRange")
	flagAll     = flag.Bool("all", false, "play all small networks of five routers")
	flagDurable = flag.Bool("durable", false, "crashes of TestRange and TestSeed leave the store")
	flagUpdate  = flag.Bool("update", false, "write the output of scripts into their files")
)

// routers returns -routers, or another number without it.
func routers(other int) int {
	if *flagRouters > 0 {
		return *flagRouters
	}
	return other
}

// seedsOf returns n, or 1 under the race detector.
func seedsOf(n int) int {
	if racing {
		return 1
	}
	return n
}

// TestSeed plays one seed and tells of it:
//
//	go test ./internal/sim -run 'TestSeed$' -seed=8231 -routers=30 -v
func TestSeed(t *testing.T) {
	p := PlanOf(*flagSeed, routers(30))
	p.World.Durable = *flagDurable
	r := Simulate(p)
	var b strings.Builder
	r.Write(&b)
	t.Log("\n" + b.String())
	if !r.OK() {
		t.Fail()
	}
}

// TestSeeds plays the fixed list: every shape, every kind of clock, with and
// without crashes, bytes or not, and a few with real signatures.
func TestSeeds(t *testing.T) {
	if racing {
		play(t, []Plan{PlanOf(3, 6), PlanOf(8, 6), PlanOf(14, 6)})
		return
	}
	var plans []Plan
	for seed := range uint64(16) {
		plans = append(plans, PlanOf(seed+1, 10+int(seed%3)*5))
	}
	for seed := range uint64(3) {
		p := PlanOf(100+seed, 8)
		p.World.Ed25519, p.World.Wire, p.Churn = true, true, 40*time.Second
		plans = append(plans, p)
	}
	for n := 1; n <= 5; n++ {
		plans = append(plans, PlanOf(uint64(200+n), n))
	}
	play(t, append(plans, regressions()...))
}

// regressions are seeds that found something; each is kept for ever.
func regressions() []Plan {
	return []Plan{
		PlanOf(14, 30),  // clocks 150 s off: FRESH judged without the skew that links tolerate
		PlanOf(75, 30),  // a graft arrived after its tree was pushed out by better roots (T7)
		PlanOf(108, 30), // a target that was idle during a change of roots kept its old map (R4)
		PlanOf(289, 30), // a service left a group while it was cut off, and its home never heard of it
		PlanOf(435, 30), // a target was mapped to a tree after the graft, and nobody offered what had passed by
	}
}

// TestRange plays many seeds and prints one table:
//
//	go test ./internal/sim -run TestRange -seeds=1000 -routers=30 -timeout=60m -v
func TestRange(t *testing.T) {
	n := *flagSeeds
	if n == 0 {
		n = seedsOf(4)
	}
	var plans []Plan
	for i := range n {
		p := PlanOf(*flagFrom+uint64(i), routers(12))
		p.World.Durable = *flagDurable
		plans = append(plans, p)
	}
	play(t, plans)
}

// TestDurable plays seeds in which a crash takes the memory and not the store: what
// was acknowledged arrives, wherever the crash falls (I9 to I11).
func TestDurable(t *testing.T) {
	var plans []Plan
	for seed := range uint64(seedsOf(10)) {
		p := PlanOf(2*seed, 10)
		p.World.Durable = true
		plans = append(plans, p)
	}
	for _, seed := range []uint64{
		3, 51, // a router that had delivered an envelope, crashed, and let the pulls of others end at it
	} {
		p := PlanOf(seed, routers(30))
		p.World.Durable = true
		plans = append(plans, p)
	}
	play(t, plans)
}

// TestSmallNetworks plays every single fault of every connected graph of up to four
// routers, and of some of the 728 graphs of five; -all takes all of those.
func TestSmallNetworks(t *testing.T) {
	var games []func() *Report
	for n := 1; n <= 5; n++ {
		for i, edges := range SmallGraphs(n) {
			if *flagAll || n < 5 && !racing || i%24 == 0 {
				games = append(games, func() *Report { return SimulateSmall(n, edges, uint64(n*1000+i)) })
			}
		}
	}
	reports := playAll(games)
	var b strings.Builder
	(&Summary{reports}).Write(&b)
	t.Log("\n" + b.String())
	for _, r := range reports {
		if !r.OK() {
			t.Errorf("%d routers, seed %d: %s", r.Plan.Routers, r.Plan.World.Seed, strings.Join(r.Faults[:min(3, len(r.Faults))], "\n\t"))
		}
	}
}

func TestSmallGraphsAreAll(t *testing.T) {
	for i, want := range []int{1, 1, 4, 38, 728} {
		if got := len(SmallGraphs(i + 1)); got != want {
			t.Errorf("%d graphs of %d nodes, want %d", got, i+1, want)
		}
	}
}

// play runs plans in parallel and prints their summary; broken runs are told with
// the command that replays them.
func play(t *testing.T, plans []Plan) {
	var games []func() *Report
	for _, p := range plans {
		games = append(games, func() *Report { return Simulate(p) })
	}
	reports := playAll(games)
	var b strings.Builder
	(&Summary{reports}).Write(&b)
	t.Log("\n" + b.String())
	for _, r := range reports {
		if !r.OK() {
			t.Errorf("go test ./internal/sim -run 'TestSeed$' -seed=%d -routers=%d -v\n\t%s", r.Plan.World.Seed, r.Plan.Asked, strings.Join(r.Faults[:min(3, len(r.Faults))], "\n\t"))
		}
	}
}

// playAll runs games in parallel and returns their reports in order.
func playAll(games []func() *Report) []*Report {
	reports := make([]*Report, len(games))
	next := make(chan int, len(games))
	for i := range games {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				reports[i] = games[i]()
			}
		})
	}
	wg.Wait()
	return reports
}

// TestSameSeedSameEffects plays seeds twice and compares all that every machine
// ever wanted (I16).
func TestSameSeedSameEffects(t *testing.T) {
	for _, seed := range []uint64{2, 3, 8, 13}[:seedsOf(4)] {
		p := PlanOf(seed, 8)
		p.World.DeepHash, p.Churn = true, 30*time.Second
		a, b := Simulate(p), Simulate(p)
		if a.Hash != b.Hash || a.Events != b.Events {
			t.Errorf("seed %d: hashes %x and %x, %d and %d events", seed, a.Hash, b.Hash, a.Events, b.Events)
		}
		p.World.Seed++
		if c := Simulate(p); c.Hash == a.Hash {
			t.Errorf("seeds %d and %d give one hash", seed, seed+1)
		}
	}
}

// TestThousandRouters plays one large network; -routers=1000 makes it that large:
//
//	go test ./internal/sim -run TestThousandRouters -routers=1000 -timeout=30m -v
func TestThousandRouters(t *testing.T) {
	p := PlanOf(1, routers(60))
	if racing {
		p = PlanOf(1, 12)
	}
	p.World.Wire, p.Skew, p.Shape, p.Repairs = false, 2*time.Second, Random, 5
	p.Services, p.Groups, p.Churn, p.Crashes = p.Routers/2, p.Routers/4, 60*time.Second, true
	r := Simulate(p)
	var b strings.Builder
	r.Write(&b)
	t.Log("\n" + b.String())
	if !r.OK() {
		t.Fail()
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *flagSeeds < 0 || *flagRouters < 0 {
		fmt.Fprintln(os.Stderr, "sim: -seeds and -routers are not negative")
		os.Exit(2)
	}
	os.Exit(m.Run())
}
