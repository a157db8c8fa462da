package sim

import (
	"fmt"
	"time"
)

// SmallGraphs returns every connected graph of n numbered nodes: 1, 1, 4, 38 and
// 728 for one to five. Numbers matter, since keys and so ranks differ.
func SmallGraphs(n int) [][][2]int {
	var all [][2]int
	for i := range n {
		for j := range i {
			all = append(all, [2]int{j, i})
		}
	}
	var graphs [][][2]int
	for mask := range 1 << len(all) {
		var edges [][2]int
		for i, e := range all {
			if mask>>i&1 == 1 {
				edges = append(edges, e)
			}
		}
		if connected(n, edges) {
			graphs = append(graphs, edges)
		}
	}
	return graphs
}

func connected(n int, edges [][2]int) bool {
	reached := 1 // bits
	for range n {
		for _, e := range edges {
			if reached>>e[0]&1 == 1 || reached>>e[1]&1 == 1 {
				reached |= 1<<e[0] | 1<<e[1]
			}
		}
	}
	return reached == 1<<n-1
}

// SimulateSmall plays every single fault of a small network, one after the other:
// each link is cut, each router crashes, for five seconds. Everybody publishes to
// everybody just before, just after, and while the others still find out; in the
// end all must have arrived but what a lost memory excuses.
func SimulateSmall(n int, edges [][2]int, seed uint64) *Report {
	began := wallClock()
	p := Plan{World: Config{Seed: seed, Overtake: seed%2 == 0, StoreLate: seed%3 == 0, Wire: seed%5 == 0}, Routers: n, Services: n, Groups: 1, Shape: "small"}
	x := &player{Network: NewNetwork(p.World), plan: p, report: &Report{Plan: p}, crashed: map[*Node]int64{}}
	for i := range n {
		x.after(x.between(0, time.Second), x.AddCore(fmt.Sprintf("R%d", i), true).Boot)
	}
	for _, e := range edges {
		x.Connect(x.Cores[e[0]], x.Cores[e[1]], latency(x.random))
	}
	g := x.Group("G")
	for i := range n {
		s := x.AddService(fmt.Sprintf("S%d", i), x.Cores[i])
		s.Boot()
		s.Subscribe(g)
		s.Subscribe(x.AddressOf(s.Name))
	}
	x.Run(80 * time.Second) // roots, SETTLE, CLEAR
	x.checkQuiet("quiet")
	from := x.now
	for _, l := range x.backbone() {
		x.fault(l.Cut, l.Heal)
	}
	for _, c := range x.Cores {
		x.fault(func() { x.crashed[c] = 1 << 62; c.Crash() }, func() { x.revive(c) })
	}
	x.Run(healing)
	x.report.Churn = x.tally(from, x.now, x.promised)
	if t := x.report.Churn; t.Lost+t.Twice > 0 {
		x.Fault("small: %v %v", t, t.FirstLost)
	}
	x.checkQuiet("healed")
	x.finish()
	x.report.Wall = wallClock().Sub(began)
	return x.report
}

// fault breaks something for five seconds while everybody speaks.
func (x *player) fault(harm, undo func()) {
	x.report.Failures++
	x.chorus()
	x.Run(time.Duration(x.between(0, 100*time.Millisecond)) * time.Microsecond)
	harm()
	x.chorus()
	x.Run(time.Duration(x.between(0, 1500*time.Millisecond)) * time.Microsecond)
	x.chorus()
	x.Run(5 * time.Second)
	x.chorus()
	undo()
	x.Run(10 * time.Second)
}

// chorus lets each service publish to the group and to one other service.
func (x *player) chorus() {
	for i, s := range x.Services {
		x.words++
		s.Publish(x.Group("G"), fmt.Sprintf("w%d", x.words), Plainly)
		other := x.Services[(i+1+x.random.IntN(len(x.Services)))%len(x.Services)]
		s.Publish(x.AddressOf(other.Name), fmt.Sprintf("a%d", x.words), Plainly)
	}
}
