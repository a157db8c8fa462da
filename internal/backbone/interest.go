package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// touch notes that what is said of t, upwards or downwards, may have changed.
// Frames go when the gathering is over.
func (b *Backbone) touch(now int64, br *branch, t envelope.Target) {
	// What is so when the gathering ends is sent; what came and went is not.
	br.dirty.Set(t, struct{}{})
	if br.flushAt == 0 {
		br.flushAt = now + gather
		b.agenda.Put(br.flushAt, job{do: (*Backbone).flushDue, root: br.root})
	}
}

func (b *Backbone) flushDue(now int64, j job) {
	br, ok := b.branches.Get(j.root)
	if !ok || br.flushAt == 0 || br.flushAt > now {
		return
	}
	// A target may be mapped to this tree long after the graft: then its parent
	// becomes a direction now (J3), and what passed by before went elsewhere.
	// What is younger than interest takes to climb was pushed this way already.
	parent, begun := b.flushBranch(now, br)
	for _, t := range begun {
		if s, ok := b.subjects.Get(t); ok && s.knewBefore(now-climbing) {
			b.offerDirection(now, br, parent, t)
		}
	}
	b.tidyBranch(br)
}

// flushBranch sends what differs from what was sent: interest to the parent (J1)
// and elsewhere to the children that send (J2). It returns the parent, and the
// targets of which it has heard for the first time.
func (b *Backbone) flushBranch(now int64, br *branch) (parent machine.LinkID, begun []envelope.Target) {
	br.flushAt = 0
	parent, linked := b.forest.Parent(br.root)
	linked = linked && b.neighbours.Has(parent)
	var up []wire.InterestEntry
	down := make([][]wire.ElsewhereEntry, len(br.kids))
	for _, t := range br.dirty.Keys() {
		if linked {
			had := br.up.Has(t)
			if up = b.climb(now, br, t, up); !had && br.up.Has(t) {
				begun = append(begun, t)
			}
		}
		b.tell(br, t, down)
	}
	br.dirty.Clear()
	for ; len(up) > 0; up = up[min(len(up), wire.EntriesMax):] {
		b.desk.Send(parent, machine.Control, &wire.Interest{Root: br.root, Entries: up[:min(len(up), wire.EntriesMax)]})
	}
	for i, list := range down {
		for ; len(list) > 0; list = list[min(len(list), wire.EntriesMax):] {
			b.desk.Send(br.kids[i].link, machine.Control, &wire.Elsewhere{Root: br.root, Entries: list[:min(len(list), wire.EntriesMax)]})
		}
	}
	return parent, begun
}

// climb appends to list the entry for the parent if it is news (J1).
func (b *Backbone) climb(now int64, br *branch, t envelope.Target, list []wire.InterestEntry) []wire.InterestEntry {
	flags, grant := b.wantedBelow(now, br, t)
	old, had := br.up.Get(t)
	// Grants are compared by their end alone: the parent keeps the latest.
	if flags == old.flags && end(grant) == end(old.grant) || flags == 0 && !had {
		return list
	}
	if flags == 0 {
		// A removal is an entry like others, with no flags.
		br.up.Delete(t)
	} else {
		br.up.Set(t, upEntry{flags, grant})
	}
	// The parent's word was an answer to S and H; it will answer anew (J2).
	if flags&(wire.Sender|wire.Holder) == 0 {
		delete(br.elsewhere, t)
	}
	return append(list, wire.InterestEntry{Target: t, Flags: flags, Grant: grant})
}

// end returns when a grant ends; 0: there is none.
func end(g *wire.Grant) uint64 {
	if g == nil {
		return 0
	}
	return g.NotAfter
}

// wantedBelow is the OR of this router's own flags and its children's, and the
// grant with the latest end. An R for an address dies with its grant (J4).
func (b *Backbone) wantedBelow(now int64, br *branch, t envelope.Target) (flags wire.InterestFlags, grant *wire.Grant) {
	if s, ok := b.subjects.Get(t); ok {
		if p := s.presence(br.root); p != nil {
			flags, grant = p.flags, s.grant
		}
	}
	for _, c := range br.kids {
		if e, ok := c.entries.Get(t); ok {
			flags |= e.flags
			if e.grant != nil && (grant == nil || grant.NotAfter < e.grant.NotAfter) {
				grant = e.grant
			}
		}
	}
	// The parent would drop such an R; so it is not sent.
	if t.Kind == envelope.Address && (grant == nil || int64(grant.NotAfter) < now) {
		return flags &^ wire.Receiver, nil
	}
	if flags&wire.Receiver == 0 {
		grant = nil
	}
	return flags, grant
}

// tell computes for each child that sends whether somebody outside of it wants t
// (J2), and gathers what it has not been told.
func (b *Backbone) tell(br *branch, t envelope.Target, down [][]wire.ElsewhereEntry) {
	// Counted once, so that each child costs the same however many there are.
	receivers := 0
	if b.wantedHere(br, t) {
		receivers++
	}
	for _, c := range br.kids {
		if e, ok := c.entries.Get(t); ok && e.flags&wire.Receiver != 0 {
			receivers++
		}
	}
	above := b.askedAbove(br, t)
	for i, c := range br.kids {
		e, ok := c.entries.Get(t)
		if !ok || e.flags&(wire.Sender|wire.Holder) == 0 {
			// When it sends again it is told again: its own memory of the answer went
			// with its S and H.
			if ok {
				e.told = 0
			}
			continue
		}
		others := receivers
		if e.flags&wire.Receiver != 0 {
			others--
		}
		told := int8(-1)
		if above || others > 0 {
			told = 1
		}
		if told != e.told {
			e.told = told
			down[i] = append(down[i], wire.ElsewhereEntry{Target: t, Yes: told > 0})
		}
	}
}

// wantedHere reports whether this router's own presence holds R.
func (b *Backbone) wantedHere(br *branch, t envelope.Target) bool {
	s, ok := b.subjects.Get(t)
	if !ok {
		return false
	}
	p := s.presence(br.root)
	return p != nil && p.flags&wire.Receiver != 0
}

// askedAbove reports whether somebody above may want t: this router is not the
// root and its parent has not said no (unknown counts as yes).
func (b *Backbone) askedAbove(br *branch, t envelope.Target) bool {
	if br.root == b.cfg.Self {
		return false
	}
	yes, known := br.elsewhere[t]
	return yes || !known
}

// onInterest takes a child's word on targets (J1). R for an address waits for
// the check of its grant; meanwhile the old entry stands.
func (b *Backbone) onInterest(now int64, n *neighbour, f *wire.Interest) {
	br, ok := b.branches.Get(f.Root)
	var c *child
	if ok {
		c = br.child(n.link)
	}
	if c == nil {
		b.desk.Count(machine.FrameIgnored, n.link)
		return
	}
	for _, e := range f.Entries {
		delete(c.waiting, e.Target) // what waits for its check is dropped when something newer comes
		if e.Target.Kind == envelope.Address && e.Flags&wire.Receiver != 0 {
			b.checkGrant(now, n, br, c, e)
			continue
		}
		// A grant that nobody needs is not looked at, so it must not be kept: it
		// could go up in place of a good one, and this router be charged for it.
		e.Grant = nil
		b.setEntry(now, br, c, e)
	}
}

// setEntry puts an entry into effect. A child that begins to receive is offered
// what passed by lately (J3).
func (b *Backbone) setEntry(now int64, br *branch, c *child, e wire.InterestEntry) {
	old, had := c.entries.Get(e.Target)
	var before wire.InterestFlags
	if had {
		before = old.flags
	}
	switch {
	case e.Flags == 0 && !had:
		return
	case e.Flags == 0:
		c.entries.Delete(e.Target)
		b.entries--
	case had:
		old.flags, old.grant = e.Flags, e.Grant
	case c.entries.Len() >= b.bounds.entriesPerChild || b.entries >= b.bounds.entries:
		b.desk.Count(machine.TableFull, c.link)
		return
	default:
		c.entries.Set(e.Target, &entry{flags: e.Flags, grant: e.Grant})
		b.entries++
	}
	b.touch(now, br, e.Target)
	if before&wire.Receiver != 0 && e.Flags&wire.Receiver == 0 {
		b.lapsed(now, e.Target, c.link)
	}
	// After the entry: the offer must not overtake the right to pull.
	if before&wire.Receiver == 0 && e.Flags&wire.Receiver != 0 {
		b.offerDirection(now, br, c.link, e.Target)
	}
}

// onElsewhere takes the parent's word (J2): only the parent's, and only for what
// was sent up with S or H. When the way up opens, what passed by lately is
// offered (J3).
func (b *Backbone) onElsewhere(now int64, n *neighbour, f *wire.Elsewhere) {
	br, ok := b.branches.Get(f.Root)
	p, linked := b.forest.Parent(f.Root)
	if !ok || !linked || p != n.link {
		b.desk.Count(machine.FrameIgnored, n.link)
		return
	}
	for _, e := range f.Entries {
		if br.up.At(e.Target).flags&(wire.Sender|wire.Holder) == 0 {
			continue
		}
		// Before a first word the way up counted as open, so only a yes after a no
		// opens it.
		old, known := br.elsewhere[e.Target]
		br.elsewhere[e.Target] = e.Yes
		if !known || old != e.Yes {
			b.touch(now, br, e.Target)
		}
		if e.Yes && known && !old {
			b.offerDirection(now, br, p, e.Target)
		}
	}
}

// directions calls do for each direction of t in the tree of root but from: the
// children that receive, and the parent unless it said that nobody is there (J3).
func (b *Backbone) directions(root identity.Address, t envelope.Target, from machine.LinkID, do func(n *neighbour)) {
	br, ok := b.branches.Get(root)
	if ok {
		for _, c := range br.kids {
			if e, has := c.entries.Get(t); has && e.flags&wire.Receiver != 0 && c.link != from {
				if n, up := b.neighbours.Get(c.link); up {
					do(n)
				}
			}
		}
	}
	p, linked := b.forest.Parent(root)
	if !linked || p == from || ok && !b.askedAbove(br, t) {
		return
	}
	if n, up := b.neighbours.Get(p); up {
		do(n)
	}
}
