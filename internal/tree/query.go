package tree

import (
	"fmt"
	"slices"
	"strings"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Knows reports whether the tree of root is stored.
func (f *Forest) Knows(root identity.Address) bool { return f.byRoot[root] != nil }

// Remembers reports whether the tree of root is stored, or was pushed out by better
// roots not long ago: this router announced it, so somebody may still point here.
func (f *Forest) Remembers(root identity.Address) bool {
	return f.Knows(root) || slices.ContainsFunc(f.past.list, func(m memory) bool { return m.root == root })
}

// Parent returns the link to the parent in the tree of root, and whether there is
// one. It may be without reach (T5).
func (f *Forest) Parent(root identity.Address) (machine.LinkID, bool) {
	t := f.byRoot[root]
	if t == nil || t.parent == nil {
		return 0, false
	}
	return t.parent.nb.link, true
}

// Reach reports whether a chain of parents leads to root.
func (f *Forest) Reach(root identity.Address) bool {
	t := f.byRoot[root]
	return t != nil && t.reach
}

// Counting returns the roots that count (R2), in ascending order. The slice is
// shared and must not be changed.
func (f *Forest) Counting() []identity.Address { return f.countingKeys }

// RootState is what is known of one root, for status and tests.
type RootState struct {
	Root            identity.Address
	Class           wire.RootClass
	Seq, Metric     int64
	FDSeq, FDMetric int64            // the best that was ever announced; FDSeq -1: nothing was
	Parent          identity.Address // zero: none
	ParentLink      machine.LinkID
	Reach, Counting bool
	Depth           int // hops to the root, as of the last reach
}

// Roots returns the state of all stored roots, in ascending order.
func (f *Forest) Roots() []RootState {
	states := make([]RootState, len(f.trees))
	for i, t := range f.trees {
		states[i] = t.state()
	}
	return states
}

// String returns the whole state in lines that are the same for the same history:
// what scripts compare.
func (f *Forest) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: counting %v\n", f.cfg.Self, f.countingKeys)
	for _, t := range f.trees {
		s := t.state()
		fmt.Fprintf(&b, "  %v seq %d metric %d fd (%d, %d) parent %v reach %v counting %v depth %d\n",
			s.Root, s.Seq, s.Metric, s.FDSeq, s.FDMetric, s.Parent, s.Reach, s.Counting, s.Depth)
		for _, sl := range t.slots {
			if sl.advert != nil {
				fmt.Fprintf(&b, "    %v says seq %d metric %d\n", sl.nb.peer, sl.advert.rung.seq, sl.advert.rung.metric)
			}
		}
	}
	return b.String()
}

func (t *tree) state() RootState {
	s := RootState{
		Root: t.root, Class: wire.Automatic,
		Seq: t.rung.seq, Metric: t.rung.metric, FDSeq: t.fd.seq, FDMetric: t.fd.metric,
		Reach: t.reach, Counting: t.counting,
	}
	if t.via != nil {
		s.Depth = len(t.via.frame.Hops)
	}
	if t.parent != nil {
		s.Parent, s.ParentLink = t.parent.nb.peer, t.parent.nb.link
	}
	return s
}
