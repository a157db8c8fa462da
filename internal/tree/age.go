package tree

import (
	"slices"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Tick does what is due at now.
func (f *Forest) Tick(now int64) {
	f.raiseDue(now)
	for _, t := range slices.Clone(f.trees) {
		f.tickTree(now, t)
	}
	f.finish(now)
}

// Deadline returns when a Tick is wanted at the latest, in Unix milliseconds; 0:
// never. Between two inputs it costs nothing.
func (f *Forest) Deadline() int64 {
	if !f.outdated {
		return f.deadline
	}
	e := earliest(0)
	e.add(f.electAt())
	e.add(f.own.raiseAt())
	for _, t := range f.trees {
		t.deadlines(&e)
	}
	f.deadline, f.outdated = int64(e), false
	return f.deadline
}

// earliest is the least of the instants that were added; 0 stands for none.
type earliest int64

func (e *earliest) add(at int64) {
	if at != 0 && (*e == 0 || at < int64(*e)) {
		*e = earliest(at)
	}
}

// tickTree does what is due in one tree: the ends of announcements (AGE), WAIT and
// the next question (both by choose), gather, SETTLE, and T8. HOLD and the end of
// announcing are finish's.
func (f *Forest) tickTree(now int64, t *tree) {
	for _, s := range t.slots {
		if s.advert != nil && now >= s.expiry() {
			s.advert = nil
		}
	}
	f.choose(now, t)
	t.dirty = true // somebody may have waited for the end of gather
	if t.reach && !t.settled && now >= t.since+settle {
		t.settled = true
		f.changed(Change{Kind: Settled, Root: t.root})
	}
	if !t.reach && !t.left && now >= t.lost+gone {
		f.leave(t)
	}
	if !t.reach && now >= t.lost+2*gone {
		f.uproot(t)
		f.changed(Change{Kind: Left, Root: t.root})
	}
}

// deadlines adds all instants at which something is due in the tree.
func (t *tree) deadlines(e *earliest) {
	for _, s := range t.slots {
		if s.advert != nil {
			e.add(s.expiry())
		}
		// Who waits for a signature needs no Tick: Signed comes.
		if t.telling && s.told != t.version && s.token == 0 {
			e.add(s.saidAt + gather)
		}
	}
	if t.newer != 0 {
		e.add(t.newer + wait)
	}
	if t.telling && !t.counting {
		e.add(t.lingers)
	}
	if t.reach {
		if !t.settled {
			e.add(t.since + settle)
		}
		return
	}
	if t.usable {
		e.add(t.lost + hold)
	}
	if t.asking {
		e.add(t.askAt)
	}
	if !t.left {
		e.add(t.lost + gone)
	}
	e.add(t.lost + 2*gone)
}

// leave is the first half of T8: a tree without reach for 10 min is left. fd stays
// for as long again: an orphan's children lost reach when it did, so every pointer
// at this router is gone before it forgets the number that protects them.
func (f *Forest) leave(t *tree) {
	t.left = true
	if t.parent != nil {
		f.adopt(t, nil)
	}
	f.changed(Change{Kind: Left, Root: t.root})
}

// uproot removes a tree from all tables. Signatures that are being made for it
// will find nobody.
func (f *Forest) uproot(t *tree) {
	for _, s := range t.slots {
		s.gone = true
		f.abandon(s)
	}
	f.trees = slices.DeleteFunc(f.trees, func(o *tree) bool { return o == t })
	delete(f.byRoot, t.root)
}

// room reports whether a new root may be stored: there is a free place, or one
// whose rank is worse (R1).
func (f *Forest) room(now int64, root identity.Address) bool {
	f.past.expire(now)
	if len(f.trees) < rootsStored {
		return true
	}
	worst := f.worst()
	return outranks(rankOf(root), worst.rank) && f.past.room()
}

// makeRoom is room, and pushes the worst out if it must. Nobody is pushed out for
// what was not checked.
func (f *Forest) makeRoom(now int64, root identity.Address) bool {
	if !f.room(now, root) {
		return false
	}
	if len(f.trees) >= rootsStored {
		f.pushOut(now, f.worst())
	}
	return true
}

// worst returns the stored root of worst rank, this router apart.
func (f *Forest) worst() *tree {
	var worst *tree
	for _, t := range f.trees {
		if t.root != f.cfg.Self && (worst == nil || outranks(worst.rank, t.rank)) {
			worst = t
		}
	}
	return worst
}

// pushOut forgets a tree but not its fd: somebody may still point here.
func (f *Forest) pushOut(now int64, t *tree) {
	for _, s := range t.slots {
		if s.announced {
			f.desk.Send(s.nb.link, machine.Control, &wire.Retract{Root: t.root})
		}
	}
	if t.parent != nil {
		f.adopt(t, nil)
	}
	f.uproot(t)
	f.past.put(t.root, t.fd, now+2*gone)
	f.changed(Change{Kind: Left, Root: t.root})
}

// A past holds the fds of trees that were pushed out, the next to end first: all
// live equally long. A root that is stored again takes its fd back, so a crowd of
// would-be roots cannot make this router forget what it announced.
type past struct {
	list []memory
}

type memory struct {
	root  identity.Address
	fd    rung
	until int64
}

func (p *past) room() bool { return len(p.list) < pastMax }

func (p *past) put(root identity.Address, fd rung, until int64) {
	p.list = append(p.list, memory{root, fd, until})
}

// take returns what is remembered of root, and forgets it here: the tree has it.
func (p *past) take(root identity.Address) rung {
	i := slices.IndexFunc(p.list, func(m memory) bool { return m.root == root })
	if i < 0 {
		return never()
	}
	fd := p.list[i].fd
	p.list = slices.Delete(p.list, i, i+1)
	return fd
}

func (p *past) expire(now int64) {
	n := 0
	for n < len(p.list) && p.list[n].until <= now {
		n++
	}
	p.list = slices.Delete(p.list, 0, n)
}
