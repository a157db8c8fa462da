package sim

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A View is what checkers see of one router: its snapshot in the simulator's own
// words. Views are plain values; tests write them by hand.
type View struct {
	Self   identity.Address
	Links  []LinkView
	Roots  []RootView
	Trees  []TreeView
	Locals []LocalView
}

// LinkView is a link to another core.
type LinkView struct {
	Link machine.LinkID
	Peer identity.Address
	Cost int
}

// RootView is a router's state in one tree.
type RootView struct {
	Root            identity.Address
	Seq, Metric     int64
	FD              pair
	Parent          identity.Address
	ParentLink      machine.LinkID
	Reach, Counting bool
}

// A pair is what announcements compare by: a higher sequence number is better,
// then a lower metric.
type pair struct {
	Seq    int64 // -1: none
	Metric int64
}

func (p pair) better(q pair) bool { return p.Seq > q.Seq || p.Seq == q.Seq && p.Metric < q.Metric }

// TreeView is what a router knows of who hangs below it in one tree.
type TreeView struct {
	Root      identity.Address
	Children  []ChildView
	Up        map[envelope.Target]wire.InterestFlags
	Elsewhere map[envelope.Target]int8 // 0 unknown, -1 no, +1 yes
}

// ChildView is one child.
type ChildView struct {
	Peer    identity.Address
	Link    machine.LinkID
	Entries map[envelope.Target]wire.InterestFlags
}

// LocalView is a router's own part in a target. Shown is what it shows of itself
// in each tree, with what ended and still counts (CLEAR).
type LocalView struct {
	Target                      envelope.Target
	Primary, Secondary, Publish identity.Address
	Wanted, Sender              bool
	Held                        int
	Shown                       map[identity.Address]wire.InterestFlags
}

func (v *View) root(a identity.Address) *RootView {
	for i := range v.Roots {
		if v.Roots[i].Root == a {
			return &v.Roots[i]
		}
	}
	return nil
}

func (v *View) tree(a identity.Address) *TreeView {
	for i := range v.Trees {
		if v.Trees[i].Root == a {
			return &v.Trees[i]
		}
	}
	return nil
}

func (v *View) link(id machine.LinkID) *LinkView {
	for i := range v.Links {
		if v.Links[i].Link == id {
			return &v.Links[i]
		}
	}
	return nil
}

func (v *View) local(t envelope.Target) *LocalView {
	for i := range v.Locals {
		if v.Locals[i].Target == t {
			return &v.Locals[i]
		}
	}
	return nil
}

func (v *View) counting() []identity.Address {
	var list []identity.Address
	for _, r := range v.Roots {
		if r.Counting {
			list = append(list, r.Root)
		}
	}
	return list
}

// A Net is all routers that are up, as they were at one instant.
type Net struct {
	Views []View
	Name  func(identity.Address) string
	at    map[identity.Address]int
}

// NewNet returns the net of views.
func NewNet(views []View, name func(identity.Address) string) *Net {
	n := &Net{Views: views, Name: name, at: make(map[identity.Address]int)}
	for i := range views {
		n.at[views[i].Self] = i
	}
	return n
}

// view returns the view of a router, or nil if it is not up.
func (n *Net) view(a identity.Address) *View {
	if i, ok := n.at[a]; ok {
		return &n.Views[i]
	}
	return nil
}

// parts returns the connected parts of the net, as indexes into Views.
func (n *Net) parts() [][]int {
	var parts [][]int
	seen := make([]bool, len(n.Views))
	for i := range n.Views {
		if seen[i] {
			continue
		}
		part := []int{i}
		seen[i] = true
		for k := 0; k < len(part); k++ {
			for _, l := range n.Views[part[k]].Links {
				if j, ok := n.at[l.Peer]; ok && !seen[j] {
					seen[j] = true
					part = append(part, j)
				}
			}
		}
		parts = append(parts, part)
	}
	return parts
}
