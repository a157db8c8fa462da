package sim

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/router"
	"upsycle/internal/wire"
)

// routing is a router, or what a test wraps around one.
type routing interface {
	machine.Machine
	Snapshot() router.Snapshot
}

// Net returns the views of all cores that are up.
func (w *World) Net() *Net {
	var views []View
	for _, n := range w.nodes {
		if r, ok := n.m.(routing); ok && n.Role == wire.Core {
			views = append(views, viewOf(r.Snapshot()))
		}
	}
	return NewNet(views, w.Name)
}

// viewOf puts a snapshot into the simulator's words.
func viewOf(s router.Snapshot) View {
	v := View{Self: s.Self}
	for _, p := range s.Peers {
		v.Links = append(v.Links, LinkView{p.Link, p.Peer, p.Cost})
	}
	for _, r := range s.Roots {
		v.Roots = append(v.Roots, RootView{
			Root: r.Root, Seq: r.Seq, Metric: r.Metric, FD: pair{r.FDSeq, r.FDMetric},
			Parent: r.Parent, ParentLink: r.ParentLink, Reach: r.Reach, Counting: r.Counting,
		})
	}
	for _, t := range s.Trees {
		tv := TreeView{Root: t.Root, Up: map[envelope.Target]wire.InterestFlags{}, Elsewhere: map[envelope.Target]int8{}}
		for _, c := range t.Children {
			cv := ChildView{Peer: c.Peer, Link: c.Link, Entries: map[envelope.Target]wire.InterestFlags{}}
			for _, e := range c.Entries {
				cv.Entries[e.Target] = e.Flags
			}
			tv.Children = append(tv.Children, cv)
		}
		for _, e := range t.Up {
			tv.Up[e.Target] = e.Flags
		}
		for _, e := range t.Elsewhere {
			tv.Elsewhere[e.Target] = e.Value
		}
		v.Trees = append(v.Trees, tv)
	}
	for _, l := range s.Local {
		lv := LocalView{
			Target: l.Target, Primary: l.Primary, Secondary: l.Secondary, Publish: l.Publish,
			Wanted: l.Wanted, Sender: l.Sender, Held: l.Held, Shown: map[identity.Address]wire.InterestFlags{},
		}
		for _, p := range l.Presences {
			lv.Shown[p.Root] = p.Flags
		}
		v.Locals = append(v.Locals, lv)
	}
	return v
}
