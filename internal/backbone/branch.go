package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/tree"
	"upsycle/internal/wire"
)

// A branch is what this router knows of the tree of one root: who hangs below
// it and what was said upwards.
type branch struct {
	root identity.Address
	kids []*child // by link

	up        *ordered.Map[envelope.Target, upEntry]
	elsewhere map[envelope.Target]bool // what the parent said of targets sent up with S or H

	dirty   *ordered.Map[envelope.Target, struct{}] // whose interest or elsewhere may have to be sent
	flushAt int64
}

// An upEntry is what the parent knows of a target from here.
type upEntry struct {
	flags wire.InterestFlags
	grant *wire.Grant
}

// A child is a neighbour that grafted itself to this router.
type child struct {
	link    machine.LinkID
	entries *ordered.Map[envelope.Target, *entry]
	waiting map[envelope.Target]machine.Token // entries whose grant is being checked
}

// An entry is what a child said of a target, and what it was told.
type entry struct {
	flags wire.InterestFlags
	grant *wire.Grant
	told  int8 // elsewhere: 0 nothing yet, -1 no, +1 yes
}

// branch returns the branch of a tree, made if need be.
func (b *Backbone) branch(root identity.Address) *branch {
	br, ok := b.branches.Get(root)
	if !ok {
		br = &branch{
			root:      root,
			up:        ordered.NewMap[envelope.Target, upEntry](envelope.Target.Compare),
			elsewhere: make(map[envelope.Target]bool),
			dirty:     ordered.NewMap[envelope.Target, struct{}](envelope.Target.Compare),
		}
		b.branches.Set(root, br)
	}
	return br
}

// child returns the child at a link, or nil. A router has as many children as it has
// links at most, and few in most trees.
func (br *branch) child(link machine.LinkID) *child {
	for _, c := range br.kids {
		if c.link == link {
			return c
		}
	}
	return nil
}

// onGraft makes an empty child (T7). It is ignored if the sender is this
// router's own parent, whose prune is under way, or the tree is unknown. A tree
// that was pushed out while the graft was under way is not: its child keeps
// pointing here, and would not graft again if the tree came back.
func (b *Backbone) onGraft(now int64, n *neighbour, f *wire.Graft) {
	if p, ok := b.forest.Parent(f.Root); ok && p == n.link || !b.forest.Remembers(f.Root) {
		b.desk.Count(machine.FrameIgnored, n.link)
		return
	}
	// A graft means a new beginning: the sender says all of its interest anew.
	br := b.branch(f.Root)
	b.dropChild(now, br, n.link)
	c := &child{
		link:    n.link,
		entries: ordered.NewMap[envelope.Target, *entry](envelope.Target.Compare),
		waiting: make(map[envelope.Target]machine.Token),
	}
	// By link, so that what is sent to several children has one order (I16).
	i := 0
	for i < len(br.kids) && br.kids[i].link < n.link {
		i++
	}
	br.kids = append(br.kids[:i], append([]*child{c}, br.kids[i:]...)...)
}

// onPrune ends a child (T7). It may have ended already, with the sender having become
// this router's parent.
func (b *Backbone) onPrune(now int64, n *neighbour, f *wire.Prune) {
	if br, ok := b.branches.Get(f.Root); ok {
		b.dropChild(now, br, n.link)
		b.tidyBranch(br)
	}
}

// dropChild ends a child entry: by prune, by its link's end, or because it became
// this router's parent. Its targets are computed anew (J1, J2).
func (b *Backbone) dropChild(now int64, br *branch, link machine.LinkID) {
	c := br.child(link)
	if c == nil {
		return
	}
	for i := range br.kids {
		if br.kids[i] == c {
			br.kids = append(br.kids[:i], br.kids[i+1:]...)
			break
		}
	}
	// Data that the child sent before it left may still be on its way (F2).
	b.edgeEnded(now, link, br.root, false)
	b.entries -= c.entries.Len()
	c.waiting = nil // answers that come late find no child
	for t, e := range c.entries.All() {
		// It may still pull what it was offered while it hung here.
		if e.flags&wire.Receiver != 0 {
			b.lapsed(now, t, link)
		}
		b.touch(now, br, t)
	}
}

// newParent carries out T7: prune the old parent, graft to the new one, and tell
// it everything that is wanted below.
func (b *Backbone) newParent(now int64, c tree.Change) {
	br := b.branch(c.Root)
	if c.Old != 0 {
		// A link that has ended took the child entry at its other end along.
		if b.neighbours.Has(c.Old) {
			b.desk.Send(c.Old, machine.Control, &wire.Prune{Root: c.Root})
		}
		b.edgeEnded(now, c.Old, c.Root, true)
	}
	b.desk.Count(machine.ParentChanged, c.New)
	br.up.Clear()
	clear(br.elsewhere)
	if c.New != 0 {
		b.dropChild(now, br, c.New)
		b.desk.Send(c.New, machine.Control, &wire.Graft{Root: c.Root})
	}
	for _, t := range b.active(br) {
		b.touch(now, br, t)
	}
	parent, begun := b.flushBranch(now, br)
	for _, t := range begun {
		b.offerDirection(now, br, parent, t)
	}
}

// left empties what was said upwards in a tree that this router has left (T8);
// children stay until they prune.
func (b *Backbone) left(now int64, root identity.Address) {
	br, ok := b.branches.Get(root)
	if !ok {
		return
	}
	br.up.Clear()
	clear(br.elsewhere)
	b.tidyBranch(br)
}

// tidyBranch forgets a branch of a tree that is not known any more, once nobody
// hangs below and nothing waits to be sent. What a child says of such a tree is
// kept until it prunes: if the tree becomes known again, it would not repeat it.
func (b *Backbone) tidyBranch(br *branch) {
	if len(br.kids) == 0 && br.up.Len() == 0 && br.flushAt == 0 && !b.forest.Knows(br.root) {
		b.branches.Delete(br.root)
	}
}

// active returns the targets that may have to be told upwards, in order.
func (b *Backbone) active(br *branch) []envelope.Target {
	// Neither what was said upwards nor downwards counts here: only what is (J1).
	set := ordered.NewMap[envelope.Target, struct{}](envelope.Target.Compare)
	for _, c := range br.kids {
		for t := range c.entries.All() {
			set.Set(t, struct{}{})
		}
	}
	for t, s := range b.subjects.All() {
		if s.presence(br.root) != nil {
			set.Set(t, struct{}{})
		}
	}
	return set.Keys()
}
