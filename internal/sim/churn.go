package sim

import (
	"time"

	"upsycle/identity"
	"upsycle/internal/wire"
)

// failOnce breaks one link, or one router, of the quiet network and measures how
// long some router lacks reach to a root that is still in its part (I17).
func (x *player) failOnce() {
	links := x.backbone()
	if len(links) == 0 {
		return
	}
	var undo func()
	if n := x.Cores[x.random.IntN(len(x.Cores))]; x.plan.Crashes && x.random.IntN(3) == 0 && x.hostless(n) {
		n.Crash()
		undo = n.Boot
	} else {
		l := x.treeEdge(links)
		l.Cut()
		undo = l.Heal
	}
	start, last := x.now, x.now
	bound := x.repairBound()
	for x.now < start+repairing.Microseconds() {
		x.Run(25 * time.Millisecond * time.Duration(1+x.plan.Routers/100))
		if x.lacking() {
			last = x.now
		} else if x.now > start+(2*time.Second).Microseconds() {
			break
		}
	}
	took := time.Duration(last-start) * time.Microsecond
	x.report.Repairs = append(x.report.Repairs, took)
	if took > bound {
		x.Fault("I17: after one failure a router lacked reach for %v, the bound is %v", took, bound)
	}
	x.checkOrder()
	undo()
	x.Run(repairing)
}

// treeEdge returns a link over which some router points at its parent, if a few
// draws find one.
func (x *player) treeEdge(links []*Link) *Link {
	n := x.Net()
	for range 50 {
		l := links[x.random.IntN(len(links))]
		for _, root := range n.roots() {
			if n.edge(root, l.A.Address(), l.B.Address()) {
				return l
			}
		}
	}
	return links[x.random.IntN(len(links))]
}

// hostless reports whether no service or edge depends on a core alone.
func (x *player) hostless(n *Node) bool {
	for _, l := range n.links {
		if l.A.Role != wire.Core {
			return false
		}
	}
	return true
}

// repairBound is I17's: detection (at most 1 s) + 2 × depth × latency + 1 s, with
// the longest latency and the deepest tree.
func (x *player) repairBound() time.Duration {
	depth, slowest := 0, time.Duration(0)
	n := x.Net()
	for i := range n.Views {
		for _, r := range n.Views[i].Roots {
			if r.Counting {
				depth = max(depth, n.depth(n.Views[i].Self, r.Root))
			}
		}
	}
	for _, l := range x.backbone() {
		slowest = max(slowest, l.Latency)
	}
	return 2*time.Second + time.Duration(2*(depth+1))*(slowest+pacing)
}

// pacing is what a router may add at each hop: at most one announcement in 50 ms
// (T4), and the answers that come late.
const pacing = 55 * time.Millisecond

func (n *Net) depth(a, root identity.Address) int {
	for d := range n.Views {
		if a == root {
			return d
		}
		if a = n.parentOf(root, a); a.IsZero() {
			return d
		}
	}
	return len(n.Views)
}

// lacking reports whether some router lacks reach to a root in its part that it
// counted or counts.
func (x *player) lacking() bool {
	n := x.Net()
	for _, part := range n.parts() {
		inside := map[identity.Address]bool{}
		for _, i := range part {
			inside[n.Views[i].Self] = true
		}
		for _, i := range part {
			for _, r := range n.Views[i].Roots {
				if inside[r.Root] && !r.Reach && n.isRoot(r.Root) {
					return true
				}
			}
		}
	}
	return false
}

// isRoot reports whether a router takes itself for a root that counts.
func (n *Net) isRoot(a identity.Address) bool {
	v := n.view(a)
	r := v.root(a)
	return r != nil && r.Counting && r.Reach
}

// churn plays failures while messages flow, then heals all and checks that what
// was promised has arrived.
func (x *player) churn() {
	p := x.plan
	x.crashed = map[*Node]int64{}
	x.churning[0] = x.now
	x.traffic(p.Churn)
	gap := time.Second * 100 / time.Duration(max(10, p.Routers))
	for at := time.Duration(0); at < p.Churn; at += gap {
		x.after(at.Microseconds()+x.between(0, gap), x.harm)
	}
	x.after(x.between(p.Churn/4, p.Churn/2), x.partition)
	x.Run(p.Churn)
	x.churning[1] = x.now
	x.healAll()
	x.Run(healing)
	if x.plan.World.Durable {
		x.Run(resyncing)
	}
	t := x.tally(x.churning[0], x.churning[1], x.promised)
	x.report.Churn = t
	if t.Lost+t.Twice > 0 {
		x.Fault("churn: %v %v", t, t.FirstLost)
	}
	x.checkQuiet("healed")
}

// harm is one failure: mostly a link that flaps, sometimes a router that crashes.
func (x *player) harm() {
	x.report.Failures++
	links := x.backbone()
	switch k := x.random.IntN(20); {
	case k < 14 && len(links) > 0:
		l := links[x.random.IntN(len(links))]
		l.Cut()
		x.after(x.between(0, 40*time.Second), l.Heal)
	case k >= 15 && k < 18 && x.plan.Crashes:
		x.crash()
	case k == 14 && len(links) > 0:
		links[x.random.IntN(len(links))].Slow(time.Duration(x.between(time.Millisecond, 80*time.Millisecond)) * time.Microsecond)
	case k == 18 && len(x.Services) > 1:
		s := x.Services[x.random.IntN(x.plan.Services)]
		l := s.links[0]
		l.Cut()
		x.after(x.between(0, 20*time.Second), l.Heal)
	default:
		x.resubscribe()
	}
}

// crash ends a life of a core, or of an edge, for 2 to 30 s.
func (x *player) crash() {
	n := x.Cores[x.random.IntN(len(x.Cores))]
	if k := x.random.IntN(8 + len(x.Edges)); k < len(x.Edges) {
		n = x.Edges[k]
	}
	n.Crash()
	x.crashed[n] = 1 << 62
	x.after(x.between(2*time.Second, 30*time.Second), func() { x.revive(n) })
}

func (x *player) revive(n *Node) {
	if !n.Up() {
		n.Boot()
		x.crashed[n] = x.now
	}
}

// resubscribe lets a service join or leave a group.
func (x *player) resubscribe() {
	s := x.Services[x.random.IntN(x.plan.Services)]
	g := x.groups[x.random.IntN(len(x.groups))]
	if s.wanted(g, x.now) {
		s.Unsubscribe(g)
	} else {
		s.Subscribe(g)
	}
}

// partition cuts half of the cores off from the other half for up to 40 s.
func (x *player) partition() {
	x.report.Failures++
	half := map[*Node]bool{}
	for _, n := range x.Cores {
		half[n] = x.random.IntN(2) == 0
	}
	var cut []*Link
	for _, l := range x.backbone() {
		if half[l.A] != half[l.B] && !l.cut {
			l.Cut()
			cut = append(cut, l)
		}
	}
	x.after(x.between(10*time.Second, 40*time.Second), func() {
		for _, l := range cut {
			l.Heal()
		}
	})
}

func (x *player) healAll() {
	for _, n := range x.Cores {
		x.revive(n)
	}
	for _, n := range x.Edges {
		x.revive(n)
	}
	for _, l := range x.links {
		l.Heal()
	}
}

// promised says which deliveries stage 1 promises in churn. A memory that was lost
// takes with it what its router held for others: the custody of an ingress, the
// mailboxes of a home. And a subscription counts once its interest has had time to
// travel, and if it lasts: who leaves while it is cut off has left.
func (x *player) promised(p *Publication, s *Service) bool {
	if p.Live {
		return false
	}
	if !p.Answered {
		return true // its outbox still has it: by now it was answered
	}
	for _, home := range [...]*Node{p.By.Home, s.Home} {
		if x.plan.World.Durable {
			break // what was stored is there again
		}
		if at := x.crashed[home]; at != 0 && at+grace > p.At {
			return false
		}
		for _, l := range home.links { // the cores of an edge
			if core := l.B; home.Role == wire.Edge && l.A == home && x.crashed[core] != 0 && x.crashed[core]+grace > p.At {
				return false
			}
		}
	}
	for _, m := range s.members[p.Stream.Target] {
		if m.Since <= p.At-grace && m.Until == 0 {
			return true
		}
	}
	return false
}

// grace is how long interest may take to travel, roots to be agreed on included.
const grace = 45_000_000

// finish fills the report.
func (x *player) finish() {
	r := x.report
	r.Faults, r.Events, r.Hash, r.Virtual = x.Faults(), x.Events, x.Hash, x.Now()
	r.Frames, r.Bytes, r.Reports = x.Monitor.Frames, x.Monitor.Bytes, x.Monitor.Reports
	r.Tables = map[string]int{}
	for _, n := range x.Cores {
		if n.Up() {
			for _, t := range x.Router(n).Tables {
				r.Tables[t.Name] = max(r.Tables[t.Name], t.Used)
			}
		}
	}
}

// wallClock is real time, for the report alone.
func wallClock() time.Time { return time.Now() }
