package backbone

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// An oracle computes from the parent pointers and from what each router shows of
// itself what every table of interest must hold. It knows nothing of frames.
type oracle struct {
	n    *network
	root identity.Address
}

// parentOf returns the core above c, or nil.
func (o oracle) parentOf(c *core) *core {
	link, ok := c.b.forest.Parent(o.root)
	if !ok {
		return nil
	}
	k := o.n.cable(link)
	if k.a == c {
		return k.b
	}
	return k.a
}

// below reports whether c is x or hangs below it.
func (o oracle) below(c, x *core) bool {
	for ; c != nil; c = o.parentOf(c) {
		if c == x {
			return true
		}
	}
	return false
}

// loc is what c shows of itself in the tree.
func (o oracle) loc(c *core, t envelope.Target) wire.InterestFlags {
	s, ok := c.b.subjects.Get(t)
	if !ok || s.presence(o.root) == nil {
		return 0
	}
	return s.presence(o.root).flags
}

// under is the OR of loc over all that hangs below x, x included.
func (o oracle) under(x *core, t envelope.Target) (f wire.InterestFlags) {
	for _, c := range o.n.nodes {
		if o.below(c, x) {
			f |= o.loc(c, t)
		}
	}
	return f
}

// outside reports whether somebody that is not below x receives.
func (o oracle) outside(x *core, t envelope.Target) bool {
	for _, c := range o.n.nodes {
		if !o.below(c, x) && o.loc(c, t)&wire.Receiver != 0 {
			return true
		}
	}
	return false
}

// check holds all tables of one target against the oracle (I5, I7).
func (o oracle) check(t envelope.Target) error {
	for _, x := range o.n.nodes {
		p := o.parentOf(x)
		for _, other := range o.n.nodes {
			c := childOf(other, o.root, x)
			if (c != nil) != (other == p) {
				return fmt.Errorf("%s has a child entry of %s: %v, its parent is that: %v", other.name, x.name, c != nil, other == p)
			}
			if c == nil {
				continue
			}
			if err := o.checkEdge(x, c, t); err != nil {
				return fmt.Errorf("%s under %s: %w", x.name, other.name, err)
			}
		}
	}
	return nil
}

// quiet is check once what is under way has arrived: a flag may have ended by
// itself a moment ago.
func (o oracle) quiet(t envelope.Target) error {
	if o.check(t) == nil {
		return nil
	}
	o.n.run(500)
	return o.check(t)
}

// checkEdge compares what x's parent knows and said of t with what is so.
func (o oracle) checkEdge(x *core, c *child, t envelope.Target) error {
	var got wire.InterestFlags
	var told int8
	if e, ok := c.entries.Get(t); ok {
		got, told = e.flags, e.told
	}
	br := x.b.branches.At(o.root)
	if want := o.under(x, t); got != want || br.up.At(t).flags != want {
		return fmt.Errorf("the parent has %v, the child sent %v, below it is %v", got, br.up.At(t).flags, want)
	}
	yes, known := br.elsewhere[t]
	if got&(wire.Sender|wire.Holder) == 0 {
		if told != 0 || known {
			return fmt.Errorf("told %d, known %v of what it does not send", told, known)
		}
		return nil
	}
	if want := o.outside(x, t); !known || yes != want || (told > 0) != want || told == 0 {
		return fmt.Errorf("elsewhere is %v, it was told %d and knows %v (%v)", want, told, yes, known)
	}
	return nil
}

// childOf returns x as a child of c, or nil.
func childOf(c *core, root identity.Address, x *core) *child {
	br, ok := c.b.branches.Get(root)
	if !ok {
		return nil
	}
	for _, k := range br.kids {
		if n, ok := c.b.neighbours.Get(k.link); ok && n.peer == x.key.Address() {
			return k
		}
	}
	return nil
}

// targets are two groups and an address, with the keys that sign.
func someTargets() ([]envelope.Target, []identity.Key) {
	keys := []identity.Key{testKey(1001), testKey(1002), testKey(1003)}
	list := make([]envelope.Target, len(keys))
	for i, k := range keys {
		list[i] = envelope.Target{Kind: envelope.Group, To: k.Address()}
	}
	list[2].Kind = envelope.Address
	return list, keys
}

// randomStep lets something happen to a random core.
func randomStep(n *network, r *rand.Rand, i int) {
	targets, keys := someTargets()
	c, k := n.nodes[r.IntN(len(n.nodes))], r.IntN(len(targets))
	switch r.IntN(3) {
	case 0:
		var g *wire.Grant
		if targets[k].Kind == envelope.Address {
			g = grant(keys[k], c.key.Address(), n.now+3_600_000)
		}
		c.want(targets[k], g)
	case 1:
		c.do(func(now int64) { c.b.Unwant(now, targets[k]) })
	case 2:
		c.publish(n.letter(keys[k], envelope.Header{Target: targets[k], First: uint64(i)}))
	}
}

// TestExactOnRandomTrees: on random trees with one root, whatever is subscribed,
// sent and ended, every table is exact once frames have arrived: flags are the OR
// of what is below (J1), elsewhere is yes iff somebody outside receives (J2)
// (spec §9.1, §9.2).
func TestExactOnRandomTrees(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		size := 2 + r.IntN(6)
		n := newNamed(t, "ABCDEFGH"[:size], "A")
		for i := 1; i < size; i++ {
			n.link(string([]byte{byte('A' + r.IntN(i)), byte('A' + i)}))
		}
		n.run(settled)
		o := oracle{n, n.core("A").key.Address()}
		targets, _ := someTargets()
		for i := range 25 {
			randomStep(n, r, i)
			if r.IntN(3) == 0 {
				n.run(int64(r.IntN(40_000)))
			}
			n.run(500) // frames, 20 ms a hop of gathering
			for _, x := range targets {
				if err := o.quiet(x); err != nil {
					t.Fatalf("seed %d, step %d, %v: %v", seed, i, x, err)
				}
			}
		}
	}
}

// TestExactAfterCuts is the same on graphs with cycles whose links come and go, so
// that branches move (T7): exact once the trees are.
func TestExactAfterCuts(t *testing.T) {
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 2))
		size := 3 + r.IntN(4)
		n := newNamed(t, "ABCDEFGH"[:size], "A")
		var pairs []string
		for i := 1; i < size; i++ {
			pairs = append(pairs, string([]byte{byte('A' + r.IntN(i)), byte('A' + i)}))
		}
		for i := 2; i < size; i++ { // chords
			if p := string([]byte{byte('A' + i - 2), byte('A' + i)}); n.links[[2]int{int(p[0]), int(p[1])}] == nil && !has(pairs, p) {
				pairs = append(pairs, p)
			}
		}
		n.link(pairs...)
		n.run(settled)
		o := oracle{n, n.core("A").key.Address()}
		targets, _ := someTargets()
		for i := range 15 {
			for range r.IntN(4) {
				randomStep(n, r, i)
			}
			p := pairs[r.IntN(len(pairs))]
			n.cut(p)
			n.run(int64(r.IntN(3_000)))
			randomStep(n, r, 100+i)
			n.link(p)
			n.run(10_000) // orphans have asked the root for a new number
			for _, x := range targets {
				if err := o.quiet(x); err != nil {
					t.Fatalf("seed %d, step %d, %v: %v", seed, i, x, err)
				}
			}
		}
	}
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// TestOracleSees plants faults: an oracle that sees nothing would prove nothing.
func TestOracleSees(t *testing.T) {
	targets, keys := someTargets()
	for _, c := range []struct {
		caption string
		spoil   func(n *network)
	}{
		{"a lost entry", func(n *network) {
			childOf(n.core("A"), n.core("A").key.Address(), n.core("B")).entries.Delete(targets[0])
		}},
		{"a flag too many", func(n *network) {
			childOf(n.core("A"), n.core("A").key.Address(), n.core("B")).entries.At(targets[0]).flags |= wire.Receiver
		}},
		{"a wrong no", func(n *network) { n.core("B").b.branches.At(n.core("A").key.Address()).elsewhere[targets[0]] = false }},
		{"a child that is none", func(n *network) { n.core("A").b.branches.At(n.core("A").key.Address()).kids = nil }},
	} {
		n := newNamed(t, "AB", "A")
		n.link("AB")
		n.run(settled)
		n.core("A").want(targets[0], nil)
		n.core("B").publish(n.letter(keys[0], envelope.Header{Target: targets[0]}))
		n.run(1_000)
		o := oracle{n, n.core("A").key.Address()}
		if err := o.check(targets[0]); err != nil {
			t.Fatal(err)
		}
		c.spoil(n)
		if o.check(targets[0]) == nil {
			t.Errorf("%s is not seen", c.caption)
		}
	}
}
