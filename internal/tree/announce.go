package tree

import (
	"slices"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A signing is a question to Sign: a root's new number, or the last hop of an
// announcement to one neighbour.
type signing struct {
	tree    *tree
	slot    *slot  // nil: the root's own signature
	version uint64 // of what is announced
	seq     int64  // the root's number
	issued  int64
}

// tellAll brings every neighbour up to date (T4). The state that is told has a
// version; a neighbour that knows the newest is left in peace.
func (f *Forest) tellAll(now int64, t *tree) {
	if telling := f.worthTelling(now, t); telling != t.telling {
		t.telling = telling
		t.version++
		t.dirty = true
	}
	if !t.dirty {
		return
	}
	t.dirty = false
	for _, s := range t.slots {
		f.tell(now, t, s)
	}
}

// worthTelling reports whether the tree is announced: it counts, or did within
// the last 10 s (R2), there is a way to its root, and the chain has room for one
// more.
func (f *Forest) worthTelling(now int64, t *tree) bool {
	return t.reach && t.via != nil && (t.counting || now < t.lingers) && len(t.via.frame.Hops) < chainMax
}

// tell starts what it takes to bring one neighbour up to date, unless it is under
// way. A retraction needs no signature and does not wait.
func (f *Forest) tell(now int64, t *tree, s *slot) {
	switch {
	case s.told == t.version:
	case !t.telling:
		f.takeBack(t, s)
	case s.token != 0: // onSigned looks again
	case now < s.saidAt+gather: // Tick looks again
	default:
		f.fix(t, s)
	}
}

func (f *Forest) takeBack(t *tree, s *slot) {
	f.abandon(s)
	s.told = t.version
	if s.announced {
		s.announced = false
		f.desk.Send(s.nb.link, machine.Control, &wire.Retract{Root: t.root})
	}
}

// fix decides what is going to be signed for one neighbour. From here on this
// router must not choose anything that is not better: fd changes here, in T4's one
// step, and never later than the sending (I3).
func (f *Forest) fix(t *tree, s *slot) {
	if t.rung.seq > t.fd.seq {
		t.fd = t.rung
	} else {
		t.fd.metric = min(t.fd.metric, t.rung.metric)
	}
	body := wire.HopBody(t.via.tail, f.cfg.Self, uint64(t.rung.metric), s.nb.peer)
	s.token = f.desk.Sign(machine.OwnerTree, identity.LabelHop, body)
	f.signing[s.token] = &signing{tree: t, slot: s, version: t.version}
}

// abandon forgets a signature that is being made.
func (f *Forest) abandon(s *slot) {
	delete(f.signing, s.token)
	s.token = 0
}

func (f *Forest) onSigned(now int64, token machine.Token, sig identity.Signature) {
	g, ok := f.signing[token]
	if !ok {
		return // the neighbour or the tree is gone, or it was told a retraction
	}
	delete(f.signing, token)
	if g.slot == nil {
		f.onRaised(now, g, sig)
		return
	}
	s, t := g.slot, g.tree
	s.token = 0
	if g.version == t.version {
		f.announce(now, t, s, sig)
		return
	}
	f.tell(now, t, s) // no longer the state: the newest is signed
}

func (f *Forest) announce(now int64, t *tree, s *slot, sig identity.Signature) {
	fr := *t.via.frame
	fr.Hops = append(slices.Grow(slices.Clone(fr.Hops), 1), wire.Hop{Key: f.cfg.Self, Metric: uint64(t.rung.metric), Sig: sig})
	s.told, s.announced, s.saidAt = t.version, true, now
	f.desk.Send(s.nb.link, machine.Control, &fr)
}
