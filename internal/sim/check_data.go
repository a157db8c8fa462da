package sim

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// CheckPush checks I8 for one envelope in the steady state: it crossed each edge
// at most once, only edges of the tree that it was pushed in, and only the part
// spanned by its ingress and the routers that show R. The first envelopes of a
// sender, until it was told whether somebody is elsewhere, may also climb to the root.
func CheckPush(n *Net, id envelope.ID, t *Trace, ingress identity.Address, first bool) []string {
	var f findings
	crossed := map[[2]identity.Address]bool{}
	for _, e := range t.Edges {
		key := [2]identity.Address{e.From, e.To}
		back := [2]identity.Address{e.To, e.From}
		if crossed[key] || crossed[back] {
			f.add("I8: %v crossed %s–%s twice", id, n.Name(e.From), n.Name(e.To))
		}
		crossed[key] = true
	}
	if len(t.Edges) == 0 {
		return f
	}
	root := t.Edges[0].Root
	span := n.span(root, t.Target, ingress)
	for a, k := ingress, 0; first && !a.IsZero() && k <= len(n.Views); k++ {
		span[a] = true
		a = n.parentOf(root, a)
	}
	for _, e := range t.Edges {
		switch {
		case e.Root != root:
			f.add("I8: %v was pushed in the trees %s and %s", id, n.Name(root), n.Name(e.Root))
		case !n.edge(root, e.From, e.To):
			f.add("I8: %v crossed %s–%s, which is no edge of tree %s", id, n.Name(e.From), n.Name(e.To), n.Name(root))
		case !span[e.From] || !span[e.To]:
			f.add("I8: %v crossed %s–%s, outside of what ingress and members span in tree %s", id, n.Name(e.From), n.Name(e.To), n.Name(root))
		}
	}
	return f
}

// edge reports whether one of two routers is the other's parent.
func (n *Net) edge(root, a, b identity.Address) bool {
	return n.parentOf(root, a) == b || n.parentOf(root, b) == a
}

func (n *Net) parentOf(root, a identity.Address) (p identity.Address) {
	if v := n.view(a); v != nil {
		if r := v.root(root); r != nil {
			p = r.Parent
		}
	}
	return p
}

// span returns the routers on the paths between the ingress and all routers that
// show R for a target, in the tree of root.
func (n *Net) span(root identity.Address, t envelope.Target, ingress identity.Address) map[identity.Address]bool {
	ends := map[identity.Address]bool{ingress: true}
	for i := range n.Views {
		if l := n.Views[i].local(t); l != nil && l.Shown[root]&wire.Receiver != 0 {
			ends[n.Views[i].Self] = true
		}
	}
	under := map[identity.Address]int{} // ends in the subtree of each router
	for a := range ends {
		for range n.Views {
			under[a]++
			if a = n.parentOf(root, a); a.IsZero() {
				break
			}
		}
	}
	span := map[identity.Address]bool{}
	for a, k := range under {
		// Above the lowest common ancestor all ends are below: such a router
		// is in the span only if one of its children is not on the only way.
		if k < len(ends) || n.forks(root, a, under, len(ends)) || ends[a] {
			span[a] = true
		}
	}
	return span
}

// forks reports whether a router that has all ends below it is where they meet:
// no child of it has them all.
func (n *Net) forks(root, a identity.Address, under map[identity.Address]int, all int) bool {
	for i := range n.Views {
		c := n.Views[i].Self
		if under[c] == all && n.parentOf(root, c) == a {
			return false
		}
	}
	return true
}
