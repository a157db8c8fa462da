package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// A grantCheck is an interest entry that waits for its grant's signature.
type grantCheck struct {
	br    *branch
	child *child
	entry wire.InterestEntry
}

// A grantEnd is the instant at which a grant may end: of a child's entry, or, with
// link 0, of what is wanted here.
type grantEnd struct {
	root   identity.Address
	target envelope.Target
	link   machine.LinkID
}

// checkGrant applies J4: a grant that is missing, ended, too long or for another
// address drops R and blames nobody; a verified one is not verified again.
func (b *Backbone) checkGrant(now int64, n *neighbour, br *branch, c *child, e wire.InterestEntry) {
	g := e.Grant
	// Flags that need no grant stay, as if they had come alone.
	if g == nil || g.Address != e.Target.To || int64(g.NotAfter) < now || int64(g.NotAfter) > now+grantLife+stampSkew {
		e.Flags &^= wire.Receiver
		e.Grant = nil
		b.setEntry(now, br, c, e)
		return
	}
	if old, ok := c.entries.Get(e.Target); ok && old.grant != nil && old.grant.NotAfter > g.NotAfter {
		e.Grant = old.grant // parent and child keep the one with the latest end
		b.setEntry(now, br, c, e)
		return
	}
	if b.grants.HasGrant(g) {
		b.grantGood(now, br, c, e)
		return
	}
	if len(b.checks) >= b.bounds.checks {
		b.desk.Count(machine.TableFull, c.link)
		return
	}
	// The old entry stands until the answer: a renewal must not make a hole.
	t := b.desk.Verify(machine.OwnerBackbone, c.link, g.Claim())
	b.checks[t] = &grantCheck{br, c, e}
	c.waiting[e.Target] = t
	if n.checking++; n.checking >= checksPerLink {
		b.slow(now, n, checkPause)
	}
}

// grantChecked takes the answer. Who sent the entry may have said something newer
// meanwhile, or be gone: then only the signature's truth is worth keeping.
func (b *Backbone) grantChecked(now int64, t machine.Token, failed int) {
	w, ok := b.checks[t]
	if !ok {
		return
	}
	delete(b.checks, t)
	if n, up := b.neighbours.Get(w.child.link); up {
		n.checking--
	}
	current := w.child.waiting[w.entry.Target] == t
	if current {
		delete(w.child.waiting, w.entry.Target)
	}
	if failed >= 0 {
		// Every honest router would have refused these bytes (spec §12.1).
		b.gate.Charge(now, w.child.link, wire.BadSignature, "a grant's signature does not hold")
		return
	}
	// Also where the entry is no longer wanted: the next one with this grant
	// costs nothing.
	b.grants.PutGrant(now, w.entry.Grant)
	if current {
		b.grantGood(now, w.br, w.child, w.entry)
	}
}

// grantGood puts an entry with a verified grant into effect, until the grant ends.
func (b *Backbone) grantGood(now int64, br *branch, c *child, e wire.InterestEntry) {
	if int64(e.Grant.NotAfter) < now { // it ended while it was being checked
		e.Flags &^= wire.Receiver
		e.Grant = nil
	}
	b.setEntry(now, br, c, e)
	if e.Grant != nil {
		b.endsAt(e.Grant, grantEnd{br.root, e.Target, c.link})
	}
}

// endsAt notes when a grant ends. Notes of entries that are gone, or were renewed,
// are left in place until they are the greater part: somebody who lets entries
// come and go must not fill the memory with instants that are days away.
func (b *Backbone) endsAt(g *wire.Grant, e grantEnd) {
	if b.ends.Len() > endsSpare+2*(b.entries+b.subjects.Len()) {
		b.rebuildEnds()
	}
	b.ends.Put(int64(g.NotAfter)+1, e)
}

// rebuildEnds notes the ends of all grants that there are, and no others.
func (b *Backbone) rebuildEnds() {
	b.ends = ordered.Agenda[grantEnd]{}
	for root, br := range b.branches.All() {
		for _, c := range br.kids {
			for t, e := range c.entries.All() {
				if e.grant != nil {
					b.ends.Put(int64(e.grant.NotAfter)+1, grantEnd{root, t, c.link})
				}
			}
		}
	}
	for t, s := range b.subjects.All() {
		if s.grant != nil {
			b.ends.Put(int64(s.grant.NotAfter)+1, grantEnd{target: t})
		}
	}
}

// grantsOver lets R die with its grant (J4).
func (b *Backbone) grantsOver(now int64) {
	for e, ok := b.ends.Pop(now); ok; e, ok = b.ends.Pop(now) {
		if e.link == 0 {
			b.ownGrantOver(now, e.target)
			continue
		}
		br, known := b.branches.Get(e.root)
		if !known {
			continue
		}
		// The note outlived its child.
		c := br.child(e.link)
		if c == nil {
			continue
		}
		if x, has := c.entries.Get(e.target); has && x.grant != nil && int64(x.grant.NotAfter) < now {
			b.setEntry(now, br, c, wire.InterestEntry{Target: e.target, Flags: x.flags &^ wire.Receiver})
		}
	}
}

// ownGrantOver ends R of what is wanted here. The parent has a job of its own for
// it; it is told all the same, so that both sides know the same.
func (b *Backbone) ownGrantOver(now int64, t envelope.Target) {
	s, ok := b.subjects.Get(t)
	if !ok || s.grant == nil || int64(s.grant.NotAfter) >= now {
		return
	}
	// A later Want brings the renewal.
	s.grant = nil
	b.place(now, s)
	for root := range s.presences.All() {
		b.touch(now, b.branch(root), t)
	}
	b.tidy(now, s)
}
