package sim

import (
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/router"
	"upsycle/internal/wire"
)

// A Plan says what is played. PlanOf makes one of a seed.
type Plan struct {
	World    Config
	Asked    int // what PlanOf was asked for: together with the seed it replays the run
	Routers  int
	Shape    Shape
	Degree   int
	Edges    int
	Services int
	Groups   int
	Skew     time.Duration // clocks are wrong by up to this, either way
	Repairs  int           // single failures in the quiet network
	Churn    time.Duration // 0: none
	Crashes  bool          // whether routers crash in the churn
	// Rate is how many envelopes a second are published, by all together.
	Rate int

	spoil func(n *Node, r *router.Router) machine.Machine
}

// PlanOf returns the plan of a seed: shape, clocks and faults differ from seed to
// seed, and the same seed is the same plan for ever.
func PlanOf(seed uint64, routers int) Plan {
	p := Plan{
		World: Config{Seed: seed, StoreLate: seed%2 == 0, Overtake: seed%3 != 0, Wire: seed%8 == 0},
		Asked: routers, Routers: routers, Shape: Random, Degree: 6, Edges: min(3, routers/5), Services: routers, Groups: max(1, routers/2),
		Repairs: 2, Churn: 120 * time.Second, Crashes: seed%4 != 1, Rate: 5,
		Skew: [...]time.Duration{0, 2 * time.Second, 15 * time.Second, 150 * time.Second}[seed/4%4],
	}
	switch seed % 16 {
	case 3:
		p.Shape = Ring
	case 7:
		p.Shape = ScaleFree
	case 11:
		p.Shape = Star
	case 13:
		p.Shape = Line
	}
	if p.Shape == Line || p.Shape == Ring {
		p.Routers = min(p.Routers, wire.ChainMax-4) // a longer one does not connect
	}
	if seed%5 == 0 {
		p.World.Bandwidth = 1 << 20
	}
	return p
}

// The phases of a run.
const (
	bringUp   = 30 * time.Second // R3: from any start, trees stand within 30 s
	attaching = 40 * time.Second // SETTLE and CLEAR are over
	steady    = 30 * time.Second
	settling  = 10 * time.Second
	repairing = 12 * time.Second
	healing   = 100 * time.Second // R3 25 s, SETTLE 20 s, CLEAR 25 s, one after the other; a hole is given up after 30 s
	resyncing = 12 * time.Minute  // S5 asks for the third time ten minutes after a cut
)

// Simulate plays a plan: bring-up, attachments, steady traffic, single failures,
// churn, healing, quiet. It checks at each of these steps what must hold.
func Simulate(p Plan) *Report {
	began := wallClock()
	x := &player{Network: NewNetwork(p.World), plan: p, report: &Report{Plan: p}}
	x.spoil = p.spoil
	x.start()
	x.attach()
	x.steady()
	for range p.Repairs {
		x.failOnce()
	}
	if p.Churn > 0 {
		x.churn()
	}
	x.finish()
	x.report.Wall = wallClock().Sub(began)
	return x.report
}

// player plays a plan.
type player struct {
	*Network
	plan   Plan
	report *Report
	forger *Service
	groups []envelope.Target
	words  int // published so far

	crashed  map[*Node]int64 // when it came up again after its last crash
	churning [2]int64
}

// start boots the cores and measures when each has reach to all roots.
func (x *player) start() {
	p := x.plan
	x.build(p.Shape, p.Routers, p.Degree)
	for _, n := range x.Cores {
		n.Skew = x.skew()
	}
	for i := range p.Edges {
		home, other := x.random.IntN(p.Routers), x.random.IntN(p.Routers)
		homes := []*Node{x.Cores[home]}
		if i%2 == 1 && other != home {
			homes = append(homes, x.Cores[other])
		}
		e := x.AddEdge(fmt.Sprintf("E%d", i), homes...)
		e.Skew = x.skew()
		x.after(x.between(0, time.Second), e.Boot)
	}
	reached := make([]time.Duration, len(x.Cores))
	rooted := make([]time.Duration, len(x.Cores))
	pause := 250 * time.Millisecond
	if p.Routers > 200 {
		pause = time.Second
	}
	for x.Now() < bringUp {
		x.Run(pause)
		n := x.Net()
		for i := range n.Views {
			k := x.Node(n.Views[i].Self).index
			note(&rooted[k], x.Now(), n.Views[i].reaches())
			note(&reached[k], x.Now(), n.Views[i].reaches() && len(n.Views[i].counting()) >= min(3, p.Routers))
		}
	}
	x.report.Rooted, x.report.Converged = rooted, reached
	x.check("after bring-up", CheckTrees(x.Net(), x.MayRoot))
	x.checkOrder()
}

func (x *player) skew() time.Duration {
	if x.plan.Skew == 0 {
		return 0
	}
	return time.Duration(x.random.Int64N(int64(2*x.plan.Skew))) - x.plan.Skew
}

// note keeps since when something has been so.
func note(since *time.Duration, now time.Duration, so bool) {
	if !so {
		*since = 0
	} else if *since == 0 {
		*since = now
	}
}

// reaches reports whether a router has reach to all roots that it counts, one at
// least.
func (v *View) reaches() bool {
	roots := 0
	for _, r := range v.Roots {
		if r.Counting {
			roots++
			if !r.Reach {
				return false
			}
		}
	}
	return roots > 0
}

func (x *player) check(when string, faults []string) {
	for _, f := range faults {
		x.Fault("%s: %s", when, f)
	}
}

func (x *player) checkOrder() {
	n := x.Net()
	x.check("order", CheckOrder(n))
	x.check("fd", x.Monitor.CheckCovered(n))
}

// checkQuiet checks all that must hold in a network that has been quiet for long.
// Even then flags end (LINGER, CLEAR) and are on their way up, several a second: what
// does not hold is looked at again, until all holds at one instant.
func (x *player) checkQuiet(when string) *Net {
	var n *Net
	var faults []string
	for range 20 {
		n = x.Net()
		faults = CheckTrees(n, x.MayRoot)
		faults = append(faults, CheckInterest(n)...)
		faults = append(faults, CheckGhosts(n, x.wantedAt)...)
		faults = append(faults, CheckElsewhere(n)...)
		faults = append(faults, CheckShown(n)...)
		if len(faults) == 0 {
			break
		}
		x.Run(170 * time.Millisecond)
	}
	x.check(when, faults)
	x.checkOrder()
	return n
}

// attach adds services to routers, most of them near the middle of the network,
// subscribes them, and lets each publish once to all that it will publish to.
func (x *player) attach() {
	p := x.plan
	for i := range p.Groups {
		x.groups = append(x.groups, x.Group(fmt.Sprintf("G%d", i)))
	}
	homes := append(append([]*Node{}, x.Cores...), x.Edges...)
	for i := range p.Services {
		s := x.AddService(fmt.Sprintf("S%d", i), homes[x.random.IntN(len(homes))])
		s.Skew = x.skew()
		s.Boot()
	}
	x.forger = x.AddService("Forger", homes[x.random.IntN(len(homes))])
	x.forger.Boot()
	x.Run(2 * time.Second)
	for _, s := range x.Services {
		s.Subscribe(x.AddressOf(s.Name))
	}
	for _, g := range x.groups {
		for range 3 + x.random.IntN(8) {
			if s := x.Services[x.random.IntN(p.Services)]; !s.wanted(g, x.now) {
				s.Subscribe(g)
			}
		}
	}
	x.Run(attaching)
	x.checkQuiet("attached")
}

// publish lets a random service say something to a random target: five times of
// six to a group.
func (x *player) publish() {
	s := x.Services[x.random.IntN(x.plan.Services)]
	if !s.Up() {
		return
	}
	x.words++
	text := fmt.Sprintf("w%d", x.words)
	if x.random.IntN(6) == 0 {
		s.Publish(x.AddressOf(x.Services[x.random.IntN(x.plan.Services)].Name), text, Plainly)
		return
	}
	how := [...]How{Plainly, Plainly, Plainly, Certified, Certified, Certified, Certified, Fleeting}[x.random.IntN(8)]
	s.Publish(x.groups[x.random.IntN(len(x.groups))], text, how)
}

// traffic publishes at the plan's rate from now on until an instant.
func (x *player) traffic(d time.Duration) {
	gap := time.Second / time.Duration(max(1, x.plan.Rate))
	for at := time.Duration(0); at < d; at += gap {
		x.after(at.Microseconds()+x.between(0, gap), x.publish)
	}
}

// steady plays traffic in a quiet network, twice the same senders and targets: the
// first round makes each of them known as a sender, the second is measured.
func (x *player) steady() {
	for _, s := range x.Services[:x.plan.Services] {
		for _, g := range x.groups {
			if x.random.IntN(len(x.groups)) < 2 {
				s.Publish(g, "first "+s.Name+x.Name(g.To), Plainly)
			}
		}
	}
	x.Run(settling)
	from := x.now
	before, frames := x.Monitor.Duplicates, x.Monitor.Frames
	x.traffic(steady)
	for range 5 {
		x.after(x.between(0, steady), x.forge)
	}
	x.Run(steady + settling)
	for t := range frames {
		x.report.SteadyFrames[t] = x.Monitor.Frames[t] - frames[t]
	}
	t := x.tally(0, x.now, func(*Publication, *Service) bool { return true })
	x.report.Steady = t
	if t.Lost+t.Twice+t.Disorder+t.Gaps+t.Refused > 0 {
		x.Fault("steady: %v %v", t, t.FirstLost)
	}
	n := x.checkQuiet("steady")
	x.checkPushes(n, from)
	if d := x.Monitor.Duplicates - before; d > 0 && x.plan.Skew <= 15*time.Second {
		x.Fault("steady: %d duplicates between cores", d)
	}
}

// forge publishes an envelope that must be refused.
func (x *player) forge() {
	x.words++
	x.forger.Publish(x.groups[x.random.IntN(len(x.groups))], fmt.Sprintf("forged %d", x.words), Forgery)
}

// asking is how long a sender may take to learn whether somebody is elsewhere.
const asking = 2_000_000

// checkPushes checks I8 for what was published since an instant, and counts sends.
func (x *player) checkPushes(n *Net, from int64) {
	type sender struct {
		ingress identity.Address
		target  envelope.Target
	}
	began := map[sender]int64{} // when it was first heard of
	for _, p := range x.ledger.list {
		t := x.Monitor.Traces[p.ID]
		if p.Forged || !p.Answered {
			continue
		}
		ingress := x.ingressOf(p)
		who := sender{ingress, p.Stream.Target}
		if _, ok := began[who]; !ok {
			began[who] = p.At
		}
		if p.At < from {
			continue
		}
		x.report.Receivers += n.receivers(p.Stream.Target, ingress)
		if t == nil {
			continue
		}
		x.report.Sends += len(t.Edges)
		if x.plan.Skew <= 15*time.Second {
			x.check("steady", CheckPush(n, p.ID, t, ingress, p.At < began[who]+asking))
		}
	}
}

// ingressOf is the core that pushed an envelope first.
func (x *player) ingressOf(p *Publication) identity.Address {
	if t := x.Monitor.Traces[p.ID]; t != nil && len(t.Edges) > 0 {
		return t.Edges[0].From
	}
	return p.By.Home.Address()
}

// receivers counts the cores, the ingress apart, that want a target.
func (n *Net) receivers(t envelope.Target, ingress identity.Address) int {
	k := 0
	for i := range n.Views {
		if l := n.Views[i].local(t); l != nil && l.Wanted && n.Views[i].Self != ingress {
			k++
		}
	}
	return k
}
