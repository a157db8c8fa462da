package sim

import (
	"fmt"
	"slices"

	"upsycle/identity"
)

// report gathers faults; a checker that finds many says only the first few.
type findings []string

const findingsMax = 20

func (f *findings) add(format string, args ...any) {
	if len(*f) < findingsMax {
		*f = append(*f, fmt.Sprintf(format, args...))
	}
}

// CheckTrees checks I4 on a quiet net: the routers of each connected part agree on
// the counting roots, which are among them, and each has reach to each, one parent
// that is a neighbour, and a metric that is the sum of costs along its chain. A
// part without any root that may be one is left alone: mayRoot says who may.
func CheckTrees(n *Net, mayRoot func(identity.Address) bool) []string {
	var f findings
	for _, part := range n.parts() {
		first := &n.Views[part[0]]
		roots := first.counting()
		if len(roots) == 0 && slices.ContainsFunc(part, func(i int) bool { return mayRoot(n.Views[i].Self) }) {
			f.add("I4: %s counts no root", n.Name(first.Self))
		}
		for _, i := range part {
			v := &n.Views[i]
			if got := v.counting(); !slices.Equal(got, roots) {
				f.add("I4: %s counts the roots %s, %s counts %s", n.Name(v.Self), n.names(got), n.Name(first.Self), n.names(roots))
			}
		}
		for _, root := range roots {
			n.checkRoot(&f, part, root)
		}
	}
	return f
}

func (n *Net) names(list []identity.Address) string {
	s := ""
	for i, a := range list {
		if i > 0 {
			s += " "
		}
		s += n.Name(a)
	}
	return "[" + s + "]"
}

func (n *Net) checkRoot(f *findings, part []int, root identity.Address) {
	if i, ok := n.at[root]; !ok || !slices.Contains(part, i) {
		f.add("I4: %s is a counting root and not in the part of %s", n.Name(root), n.Name(n.Views[part[0]].Self))
		return
	}
	for _, i := range part {
		v := &n.Views[i]
		r := v.root(root)
		switch {
		case r == nil:
			f.add("I4: %s knows no root %s", n.Name(v.Self), n.Name(root))
		case v.Self == root:
			if !r.Reach || r.Metric != 0 || !r.Parent.IsZero() {
				f.add("I4: root %s is not its own: reach %v, metric %d, parent %s", n.Name(root), r.Reach, r.Metric, n.Name(r.Parent))
			}
		default:
			n.checkParent(f, v, r)
		}
	}
}

// checkParent checks one router's pointer, metric and way to the root.
func (n *Net) checkParent(f *findings, v *View, r *RootView) {
	l, p := v.link(r.ParentLink), n.view(r.Parent)
	switch {
	case !r.Reach:
		f.add("I4: %s has no reach to root %s", n.Name(v.Self), n.Name(r.Root))
		return
	case l == nil || p == nil || l.Peer != r.Parent:
		f.add("I4: %s has reach to root %s and no parent that is a neighbour", n.Name(v.Self), n.Name(r.Root))
		return
	}
	if pr := p.root(r.Root); pr == nil || pr.Metric+int64(l.Cost) != r.Metric {
		f.add("I4: %s has metric %d to root %s, not its parent %s's plus %d", n.Name(v.Self), r.Metric, n.Name(r.Root), n.Name(p.Self), l.Cost)
	}
	if !n.climbs(v.Self, r.Root) {
		f.add("I4: from %s the parents do not lead to root %s", n.Name(v.Self), n.Name(r.Root))
	}
}

// climbs reports whether the parents lead from a to root.
func (n *Net) climbs(a, root identity.Address) bool {
	for range n.Views {
		if a == root {
			return true
		}
		v := n.view(a)
		if v == nil {
			return false
		}
		r := v.root(root)
		if r == nil || r.Parent.IsZero() {
			return false
		}
		a = r.Parent
	}
	return a == root
}

// CheckOrder checks I1 and I2 on snapshots: along each pointer over a link that
// both sides have, the parent's fd is better; so pointers form no cycle.
func CheckOrder(n *Net) []string {
	var f findings
	for i := range n.Views {
		v := &n.Views[i]
		for _, r := range v.Roots {
			p := n.view(r.Parent)
			if p == nil || !p.linked(v.Self) {
				continue
			}
			// A parent that stores too many roots may have pushed this one out;
			// it remembers the fd where no snapshot shows it.
			if pr := p.root(r.Root); r.FD.Seq >= 0 && pr != nil && !pr.FD.better(r.FD) {
				f.add("I2: fd of %s for root %s is %v, its parent %s has none that is better", n.Name(v.Self), n.Name(r.Root), r.FD, n.Name(p.Self))
			}
			if n.cycle(v.Self, r.Root) {
				f.add("I1: a cycle of parents of root %s through %s", n.Name(r.Root), n.Name(v.Self))
			}
		}
	}
	return f
}

func (v *View) linked(peer identity.Address) bool {
	return slices.ContainsFunc(v.Links, func(l LinkView) bool { return l.Peer == peer })
}

func (n *Net) cycle(from, root identity.Address) bool {
	a := from
	for range n.Views {
		v := n.view(a)
		if v == nil {
			return false
		}
		r := v.root(root)
		if r == nil || r.Parent.IsZero() {
			return false
		}
		if a = r.Parent; a == from {
			return true
		}
	}
	return false
}
