package backbone

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A traffic is what was published during a test.
type traffic struct {
	n    *network
	from *core
	ids  []envelope.ID
}

// publish lets one envelope enter, and ms pass.
func (x *traffic) publish(ms int64) {
	x.ids = append(x.ids, x.from.publish(x.n.message(len(x.ids))))
	x.n.run(ms)
}

// arrived holds what a core was handed against what was published.
func (x *traffic) arrived(t *testing.T, c *core) {
	t.Helper()
	lost, twice := 0, 0
	for _, id := range x.ids {
		switch c.got(id) {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	if lost+twice > 0 {
		t.Errorf("%s: of %d, %d are lost and %d came twice", c.name, len(x.ids), lost, twice)
	}
}

// subscribed makes a network whose core to wants the group, and traffic of another.
func subscribed(t *testing.T, n *network, from, to string) *traffic {
	t.Helper()
	n.run(settled)
	n.core(to).want(groupTarget(), nil)
	n.run(5_000)
	return &traffic{n: n, from: n.core(from)}
}

// TestCutAndHealed is J3: what was pushed while a link was down is offered when
// the direction becomes active again, and pulled (spec §9.3, §11.1, §11.2). A cut
// may last almost as long as RECENT.
func TestCutAndHealed(t *testing.T) {
	for _, roots := range []string{"ABC", "A", "B", "C"} {
		for _, ms := range []int64{100, 2_000, 10_000, 40_000, 100_000} {
			t.Run(fmt.Sprintf("roots %s, %d ms", roots, ms), func(t *testing.T) {
				n := newNamed(t, "ABC", roots)
				n.link("AB", "BC")
				x := subscribed(t, n, "A", "C")
				x.publish(500)
				n.cut("BC")
				for passed := int64(0); passed < ms; passed += max(50, ms/20) {
					x.publish(max(50, ms/20))
				}
				n.link("BC")
				x.publish(500)
				n.run(60_000)
				x.publish(1_000)
				x.arrived(t, n.core("C"))
			})
		}
	}
}

// TestCutsInTurns: A–B and B–C are cut alternately, each for less than RECENT,
// while A publishes: all of it arrives once.
func TestCutsInTurns(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 3))
		roots := []string{"ABC", "A", "B", "C"}[seed%4]
		n := newNamed(t, "ABC", roots)
		n.link("AB", "BC")
		x := subscribed(t, n, "A", "C")
		for i := range 10 {
			pair := []string{"AB", "BC"}[i%2]
			n.cut(pair)
			for end := n.now + 500 + int64(r.IntN(60_000)); n.now < end; {
				x.publish(100 + int64(r.IntN(2_000)))
			}
			n.link(pair)
			for end := n.now + int64(r.IntN(30_000)); n.now < end; {
				x.publish(100 + int64(r.IntN(2_000)))
			}
		}
		n.run(90_000)
		x.publish(1_000)
		x.arrived(t, n.core("C"))
		if t.Failed() {
			t.Fatalf("seed %d, roots %s", seed, roots)
		}
	}
}

// TestRingWithRotatingCuts: in a ring one link is always down, another one each
// time; everybody gets everything once, and nothing goes round (I8).
func TestRingWithRotatingCuts(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 4))
		n := newNamed(t, "ABCD", []string{"ABCD", "A", "BD"}[seed%3])
		ring := []string{"AB", "BC", "CD", "AD"}
		n.link(ring...)
		x := subscribed(t, n, "A", "C")
		n.core("B").want(groupTarget(), nil)
		n.core("D").want(groupTarget(), nil)
		n.run(5_000)
		for i := range 16 {
			n.cut(ring[i%4])
			for end := n.now + 200 + int64(r.IntN(20_000)); n.now < end; {
				x.publish(50 + int64(r.IntN(800)))
			}
			n.link(ring[i%4])
			if r.IntN(2) == 0 {
				n.run(int64(r.IntN(1_000)))
			}
		}
		n.run(90_000)
		for _, name := range []string{"B", "C", "D"} {
			x.arrived(t, n.core(name))
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestHealedAcrossRoots: each half has roots of its own while the line is cut in
// the middle; after the reunion targets map anew, join before use, and what was
// published meanwhile crosses (R4).
func TestHealedAcrossRoots(t *testing.T) {
	for seed := range uint64(2) {
		n := newNetwork(t, 4)
		n.link("AB", "BC", "CD")
		x := subscribed(t, n, "A", "D")
		n.cut("BC")
		for range 20 {
			x.publish(1_000 + int64(seed)*700)
		}
		n.link("BC")
		for range 40 {
			x.publish(1_000)
		}
		n.run(60_000)
		x.arrived(t, n.core("D"))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestJoinBeforeUse: with three roots, and one that vanishes and comes back, what
// is published at any moment of it reaches the subscriber, pushed or offered, and
// the publish root moves only to a root that has settled (R4, spec §9.1).
func TestJoinBeforeUse(t *testing.T) {
	for i := range 6 {
		n := newNetwork(t, 5)
		n.link("AB", "BC", "CD", "DE", "AE", "AC")
		x := subscribed(t, n, "A", "D")
		p := primary(n.core("A"))
		gone := ""
		for _, c := range n.nodes {
			if c.key.Address() == p {
				gone = c.name
			}
		}
		if gone == "A" || gone == "D" {
			gone = []string{"B", "C", "E"}[i%3]
		}
		pairs := linksOf(n, gone)
		for _, pair := range pairs {
			n.cut(pair)
		}
		for range 60 {
			x.publish(250)
			checkPublishRoot(t, n)
		}
		n.link(pairs...)
		for range 120 {
			x.publish(500)
			checkPublishRoot(t, n)
		}
		n.run(30_000)
		x.arrived(t, n.core("D"))
	}
}

// checkPublishRoot: pushes go to a root that the subscriber has joined, as far as
// one's own view tells.
func checkPublishRoot(t *testing.T, n *network) {
	t.Helper()
	for _, c := range n.nodes {
		s, ok := c.b.subjects.Get(groupTarget())
		if !ok || !s.mapped || !s.wanted && s.held == 0 {
			continue
		}
		p, second := c.b.forest.Map(groupTarget())
		publish, _ := c.b.forest.PublishRoot(n.now, groupTarget())
		if s.primary != p || s.secondary != second || s.publish != publish {
			t.Fatalf("%s maps the group to another root than its trees say", c.name)
		}
		for _, root := range [...]rootKey{p, second} {
			if s.wanted && !root.IsZero() && s.presence(root).flags&wire.Receiver == 0 {
				t.Fatalf("%s has not joined %v", c.name, root)
			}
		}
	}
}

func linksOf(n *network, name string) (pairs []string) {
	for _, a := range n.nodes {
		for _, b := range n.nodes {
			if k := n.ends(a.name + b.name); k != nil && k.up && (a.name == name || b.name == name) {
				pairs = append(pairs, a.name+b.name)
			}
		}
	}
	return pairs
}

// TestMappedAnewOnReturn: a target that had no part here while the roots changed
// is mapped to the present ones when somebody wants it again.
func TestMappedAnewOnReturn(t *testing.T) {
	n := newNetwork(t, 2)
	n.run(settled)
	b := n.core("B")
	b.want(groupTarget(), nil)
	b.do(func(now int64) { b.b.Unwant(now, groupTarget()) })
	n.run(clearAfter + 1_000)
	b.do(func(now int64) { // it is known, but nobody wants it
		s := b.b.subject(groupTarget())
		b.b.remember(now, s, wire.Prefix{1}, false)
		b.b.place(now, s)
	})
	n.link("AB")
	n.run(settled)
	b.do(func(now int64) { b.b.remember(now, b.b.subject(groupTarget()), wire.Prefix{2}, false) })
	b.want(groupTarget(), nil)
	s := b.b.subjects.At(groupTarget())
	if p, second := b.b.forest.Map(groupTarget()); s.primary != p || s.secondary != second || second.IsZero() {
		t.Errorf("mapped to %v and %v, the trees say %v and %v", s.primary, s.secondary, p, second)
	}
}

// TestNoGhosts: after the last Unwant, CLEAR, LINGER, and the life of what was
// kept, no table of any core holds anything (I6).
func TestNoGhosts(t *testing.T) {
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 5))
		n := newNetwork(t, 4)
		pairs := []string{"AB", "BC", "CD", "AD", "AC"}
		n.link(pairs...)
		n.run(settled)
		for i := range 60 {
			randomStep(n, r, i)
			if r.IntN(4) == 0 {
				p := pairs[r.IntN(len(pairs))]
				n.cut(p)
				n.run(int64(r.IntN(5_000)))
				randomStep(n, r, 1000+i)
				n.link(p)
			}
			n.run(int64(r.IntN(4_000)))
		}
		targets, _ := someTargets()
		for _, c := range n.nodes {
			for _, x := range targets {
				c.do(func(now int64) { c.b.Unwant(now, x) })
			}
		}
		n.run(26*anHour + linger + clearAfter + 10_000)
		for _, c := range n.nodes {
			noGhosts(t, c)
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// noGhosts scans every table.
func noGhosts(t *testing.T, c *core) {
	t.Helper()
	b := c.b
	for caption, left := range map[string]int{
		"subjects": b.subjects.Len(), "entries": b.entries, "envelopes": len(b.kept.at), "takes": len(b.takes),
		"ids being taken": len(b.taking), "bytes being taken": b.takingBytes, "checks": len(b.checks), "missing": b.missing.Len(),
		"offer numbers": len(b.oids.list) + len(b.oids.seen), "bytes": b.kept.cache.bytes + b.kept.warm.bytes,
		"custody": b.custodyNo, "bytes in custody": b.ledger.bytes, "hours": b.ledger.hours.Len(), "delivered": len(b.ledger.had.ids),
		"exposures": len(b.ledger.exposed), "loads": len(b.loads) + len(b.fetching), "pulls": len(b.pulling),
		// Coverage is looked at as long as there are routes; a note about the next
		// offer of what has expired lies until its day.
		"jobs": max(0, b.agenda.Len()-3*len(b.routes)),
	} {
		if left != 0 {
			t.Errorf("%s: %d %s are left", c.name, left, caption)
		}
	}
	for root, br := range b.branches.All() {
		for _, k := range br.kids {
			if k.entries.Len()+len(k.waiting) != 0 {
				t.Errorf("%s: a child in the tree of %v has %d entries", c.name, root, k.entries.Len())
			}
		}
		if br.up.Len()+len(br.elsewhere)+br.dirty.Len() != 0 {
			t.Errorf("%s: something is left upwards in the tree of %v", c.name, root)
		}
		if !b.forest.Knows(root) {
			t.Errorf("%s: a branch of a tree that nobody knows", c.name)
		}
	}
	for _, n := range b.neighbours.All() {
		if n.open+n.checking+n.brought+n.queued+len(n.deferred)+len(n.edges)+len(n.pulls) != 0 {
			t.Errorf("%s: a neighbour has something left: %+v", c.name, *n)
		}
	}
}

// TestSameSeedSameEffects is I16: the same inputs give the same effects.
func TestSameSeedSameEffects(t *testing.T) {
	run := func() (lines []string) {
		r := rand.New(rand.NewPCG(9, 6))
		n := newNetwork(t, 5)
		n.tap = func(from, to *core, f wire.Frame) {
			lines = append(lines, fmt.Sprintf("%d %s>%s %x", n.now, from.name, to.name, f.AppendTo(nil)))
		}
		n.link("AB", "BC", "CD", "DE", "AE", "BD")
		n.run(settled)
		for i := range 40 {
			randomStep(n, r, i)
			if i%7 == 3 {
				n.cut("BC")
				n.run(int64(r.IntN(8_000)))
				n.link("BC")
			}
			n.run(int64(r.IntN(2_000)))
		}
		for _, c := range n.nodes {
			for e := range machine.ReportEvents {
				lines = append(lines, fmt.Sprintf("%s %v %d", c.name, e, c.counts[e]))
			}
		}
		return lines
	}
	a, b := run(), run()
	if len(a) != len(b) {
		t.Fatalf("%d lines, then %d", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("line %d:\n%.200s\n%.200s", i, a[i], b[i])
		}
	}
}
