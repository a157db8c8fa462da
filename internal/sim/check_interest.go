package sim

import (
	"maps"
	"slices"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// A family is one tree as the routers' own pointers make it.
type family struct {
	root  identity.Address
	kids  map[identity.Address][]*View // by parent
	below map[identity.Address]map[envelope.Target]wire.InterestFlags
}

// family builds the tree of root from the parent pointers alone.
func (n *Net) family(root identity.Address) *family {
	fam := &family{root, map[identity.Address][]*View{}, map[identity.Address]map[envelope.Target]wire.InterestFlags{}}
	for i := range n.Views {
		v := &n.Views[i]
		if r := v.root(root); r != nil && !r.Parent.IsZero() && v.link(r.ParentLink) != nil {
			fam.kids[r.Parent] = append(fam.kids[r.Parent], v)
		}
	}
	return fam
}

// interest is what v and all below it show, recomputed from what each shows of
// itself: the OR of J1.
func (fam *family) interest(v *View) map[envelope.Target]wire.InterestFlags {
	if m, ok := fam.below[v.Self]; ok {
		return m
	}
	m := map[envelope.Target]wire.InterestFlags{}
	fam.below[v.Self] = m // also ends the walk in a cycle, which CheckOrder reports
	for i := range v.Locals {
		if f := v.Locals[i].Shown[fam.root]; f != 0 {
			m[v.Locals[i].Target] |= f
		}
	}
	for _, c := range fam.kids[v.Self] {
		for t, f := range fam.interest(c) {
			m[t] |= f
		}
	}
	return m
}

// roots returns every root that some router knows, in order.
func (n *Net) roots() []identity.Address {
	set := map[identity.Address]bool{}
	for i := range n.Views {
		for _, r := range n.Views[i].Roots {
			set[r.Root] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), identity.Address.Compare)
}

// CheckInterest checks I5 on a drained net, in both directions: a router has an
// entry for a child exactly if the child points at it over that link, and what it
// knows of the child, and what the child believes to have told it, are exactly
// what the child's subtree shows.
func CheckInterest(n *Net) []string {
	var f findings
	for _, root := range n.roots() {
		fam := n.family(root)
		for i := range n.Views {
			v := &n.Views[i]
			n.checkChildren(&f, fam, v)
			for _, c := range fam.kids[v.Self] {
				n.checkChild(&f, fam, v, c)
			}
		}
	}
	return f
}

// checkChildren looks for entries of children that are none.
func (n *Net) checkChildren(f *findings, fam *family, v *View) {
	t := v.tree(fam.root)
	if t == nil {
		return
	}
	for _, c := range t.Children {
		if !slices.ContainsFunc(fam.kids[v.Self], func(k *View) bool { return k.Self == c.Peer }) {
			f.add("I5: %s has %s as a child in tree %s, which does not point at it", n.Name(v.Self), n.Name(c.Peer), n.Name(fam.root))
		}
	}
}

func (n *Net) checkChild(f *findings, fam *family, v, c *View) {
	var have map[envelope.Target]wire.InterestFlags
	if t := v.tree(fam.root); t != nil {
		for i := range t.Children {
			if t.Children[i].Peer == c.Self {
				have = t.Children[i].Entries
			}
		}
	}
	if have == nil {
		f.add("I5: %s points at %s in tree %s, which has no such child", n.Name(c.Self), n.Name(v.Self), n.Name(fam.root))
		return
	}
	want := fam.interest(c)
	n.compare(f, fam.root, want, have, n.Name(v.Self)+" knows of "+n.Name(c.Self))
	if t := c.tree(fam.root); t != nil {
		n.compare(f, fam.root, want, t.Up, n.Name(c.Self)+" told "+n.Name(v.Self))
	}
}

// compare holds two sets of interest against each other.
func (n *Net) compare(f *findings, root identity.Address, want, have map[envelope.Target]wire.InterestFlags, who string) {
	for _, t := range targetsOf(want, have) {
		if want[t] != have[t] {
			f.add("I5: in tree %s %s: %s %v, the subtree shows %v", n.Name(root), who, n.target(t), have[t], want[t])
		}
	}
}

func (n *Net) target(t envelope.Target) string {
	if t.Kind == envelope.Address {
		return "@" + n.Name(t.To)
	}
	return n.Name(t.To)
}

// targetsOf returns the keys of maps, in order.
func targetsOf[V any](list ...map[envelope.Target]V) []envelope.Target {
	set := map[envelope.Target]bool{}
	for _, m := range list {
		for t := range m {
			set[t] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), envelope.Target.Compare)
}

// CheckGhosts checks I6: nobody has an entry for a target that no router shows, and
// no router shows a target for which wanted says that there is no reason.
func CheckGhosts(n *Net, wanted func(router identity.Address, t envelope.Target) bool) []string {
	var f findings
	shown := map[envelope.Target]bool{}
	for i := range n.Views {
		v := &n.Views[i]
		for _, l := range v.Locals {
			for _, flags := range l.Shown {
				shown[l.Target] = shown[l.Target] || flags != 0
			}
			if l.Wanted != wanted(v.Self, l.Target) {
				f.add("I6: %s wants %s: %v; its clients say otherwise", n.Name(v.Self), n.target(l.Target), l.Wanted)
			}
		}
	}
	for i := range n.Views {
		for _, t := range n.Views[i].Trees {
			n.addGhosts(&f, n.Views[i].Self, t, shown)
		}
	}
	return f
}

// addGhosts finds the entries of one router's tree that nobody shows.
func (n *Net) addGhosts(f *findings, self identity.Address, t TreeView, shown map[envelope.Target]bool) {
	for _, c := range t.Children {
		for _, target := range targetsOf(c.Entries) {
			if !shown[target] {
				f.add("I6: a ghost: %s has %s of %s in tree %s, which nobody shows", n.Name(self), n.target(target), n.Name(c.Peer), n.Name(t.Root))
			}
		}
	}
}

// CheckElsewhere checks I7 on a drained net: a router was told "nobody elsewhere"
// exactly for the targets that it sends up and that no router outside of its
// subtree shows R for.
func CheckElsewhere(n *Net) []string {
	var f findings
	for _, root := range n.roots() {
		fam := n.family(root)
		all := map[envelope.Target]int{}
		for i := range n.Views {
			for _, l := range n.Views[i].Locals {
				if l.Shown[root]&wire.Receiver != 0 && n.climbs(n.Views[i].Self, root) {
					all[l.Target]++
				}
			}
		}
		for i := range n.Views {
			v := &n.Views[i]
			if t := v.tree(root); t != nil && v.Self != root && n.climbs(v.Self, root) {
				n.checkElsewhere(&f, fam, v, t, all)
			}
		}
	}
	return f
}

func (n *Net) checkElsewhere(f *findings, fam *family, v *View, t *TreeView, all map[envelope.Target]int) {
	below := fam.receivers(v)
	for _, target := range targetsOf(t.Up) {
		if t.Up[target]&(wire.Sender|wire.Holder) == 0 {
			continue
		}
		want := int8(-1)
		if all[target] > below[target] {
			want = 1
		}
		if got := t.Elsewhere[target]; got != want {
			f.add("I7: in tree %s %s was told %+d of %s, right is %+d", n.Name(fam.root), n.Name(v.Self), got, n.target(target), want)
		}
	}
}

// receivers counts for each target the routers in v's subtree that show R.
func (fam *family) receivers(v *View) map[envelope.Target]int {
	m := map[envelope.Target]int{}
	var walk func(v *View, depth int)
	walk = func(v *View, depth int) {
		for _, l := range v.Locals {
			if l.Shown[fam.root]&wire.Receiver != 0 {
				m[l.Target]++
			}
		}
		if depth > 0 {
			for _, c := range fam.kids[v.Self] {
				walk(c, depth-1)
			}
		}
	}
	walk(v, 2*wire.ChainMax)
	return m
}
