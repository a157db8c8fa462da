package tree

import "upsycle/internal/machine"

// live reports whether what the neighbour announced may be used: it was checked
// and is not too old. What comes from too far in the future is not even stored.
func (s *slot) live(now int64) bool {
	return s.advert != nil && s.advert.checked && now < s.expiry()
}

// expiry is when the neighbour's announcement ends: AGE after its number was first
// heard on this link, or when the root's signature is too old.
func (s *slot) expiry() int64 {
	return min(s.heard+age, s.advert.issued()+stale+1)
}

// through is what this router would stand at with s as its parent.
func (s *slot) through() int64 { return s.advert.rung.metric + s.nb.cost }

// feasible is T1: the neighbour announced something better than this router ever
// did, so it cannot stand below it.
func (f *Forest) feasible(t *tree, r rung) bool { return f.naive || r.better(t.fd) }

// choose is T3. It runs after everything that may bear upon it.
func (f *Forest) choose(now int64, t *tree) {
	if t.root == f.cfg.Self {
		return // a root has no parent
	}
	if next := f.next(now, t); next != nil {
		f.adopt(t, next)
	}
	if t.parent != nil && t.parent.live(now) {
		f.takeOver(now, t)
		return
	}
	f.orphan(now, t)
}

// next returns the neighbour to switch to, or nil to stay.
func (f *Forest) next(now int64, t *tree) *slot {
	p := t.parent
	if p == nil || !p.live(now) {
		return f.cheapest(now, t, 0) // T3b
	}
	seq := p.advert.rung.seq
	// 20 % damp flapping; in integers, since floats differ between processors.
	if s := f.cheapest(now, t, seq); s != nil && 5*s.through() < 4*p.through() {
		return s
	}
	s := f.cheapest(now, t, seq+1)
	if !f.watch(now, t, s != nil) {
		return nil
	}
	// A parent that does not follow the root's new number within WAIT is cut off
	// or lies.
	return s
}

// watch keeps since when there has been a newer number without a break, and
// reports whether that is WAIT ago.
func (f *Forest) watch(now int64, t *tree, any bool) bool {
	switch {
	case !any:
		t.newer = 0
	case t.newer == 0:
		t.newer = now
	}
	return any && now-t.newer >= wait
}

// cheapest returns the feasible neighbour, other than the parent, over which the
// root is nearest, among those whose number is at least seq. Ties: the higher
// number, then the lower key.
func (f *Forest) cheapest(now int64, t *tree, seq int64) *slot {
	var best *slot
	for _, s := range t.slots {
		if s == t.parent || !s.live(now) || s.advert.rung.seq < seq || !f.feasible(t, s.advert.rung) {
			continue
		}
		if best == nil || s.before(best) {
			best = s
		}
	}
	return best
}

func (s *slot) before(o *slot) bool {
	if a, b := s.through(), o.through(); a != b {
		return a < b
	}
	if a, b := s.advert.rung.seq, o.advert.rung.seq; a != b {
		return a > b
	}
	return s.nb.peer.Compare(o.nb.peer) < 0
}

// adopt moves the parent pointer. What the old and the new parent must be told of
// it is backbone's (T7).
func (f *Forest) adopt(t *tree, s *slot) {
	c := Change{Kind: Parent, Root: t.root}
	if t.parent != nil {
		c.Old = t.parent.nb.link
	}
	if s != nil {
		c.New = s.nb.link
	}
	t.parent, t.newer = s, 0
	f.changed(c)
}

// takeOver is the end of T2 and T3: the parent's number, its metric and cost, and
// its chain become mine, whatever they are. Keeping a parent never makes a loop,
// and leaving one for each bad number would tear branches apart.
func (f *Forest) takeOver(now int64, t *tree) {
	a := t.parent.advert
	r := rung{a.rung.seq, t.parent.through()}
	if t.reach && t.rung == r && t.via.same(a) {
		t.via = a
		return
	}
	t.rung, t.via = r, a
	t.version++
	t.dirty = true
	f.gain(now, t)
}

// gain begins reach, if it was lost.
func (f *Forest) gain(now int64, t *tree) {
	if t.reach {
		return
	}
	t.reach, t.since, t.settled, t.left = true, now, false, false
	t.asking = false
	f.changed(Change{Kind: Reach, Root: t.root})
}

// lose ends reach. Pointer, rung and chain stay.
func (f *Forest) lose(now int64, t *tree) {
	if !t.reach {
		return
	}
	t.reach, t.lost, t.settled, t.left = false, now, false, false
	t.asked, t.askAt, t.newer = 0, now, 0
	t.version++
	t.dirty = true
	f.changed(Change{Kind: Reach, Root: t.root})
}

// orphan is T5: nobody offers a way that is safe to take. The pointer stays: the
// branch below keeps together and heals from its top.
func (f *Forest) orphan(now int64, t *tree) {
	t.newer = 0
	if t.reach {
		f.desk.Count(machine.OrphanStarted, 0)
		f.lose(now, t)
	}
	f.ask(now, t)
}
