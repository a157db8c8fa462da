package tree

import (
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// ask is the second half of T5. The neighbours may have good ways that must not be
// taken before the root has raised its number; the two that are nearest to it are
// asked to have that done, in rounds. Whom nobody checked yet has no influence, not
// even this one: it is checked first, and asked in the same round if it passes.
func (f *Forest) ask(now int64, t *tree) {
	if now >= t.askAt {
		t.asking, t.width = false, 0 // a round begins when somebody is asked
	}
	first, second := nearest(t)
	for _, s := range [askWidth]*slot{first, second} {
		if s != nil && !t.reach {
			f.askOne(now, t, s)
		}
	}
}

func (f *Forest) askOne(now int64, t *tree, s *slot) {
	if s.advert != nil && !s.advert.checked && !s.advert.checking {
		f.check(now, s.nb, s.advert) // may be answered from memory, and lead here again
	}
	if s.advert == nil || !s.advert.checked || t.width == askWidth || t.width > 0 && s.round == t.round {
		return
	}
	if t.width == 0 {
		t.asking, t.askAt = true, now+askFirst<<min(t.asked, askDoublings)
		t.asked++
		t.round++
	}
	t.width++
	s.round = t.round
	f.desk.Send(s.nb.link, machine.Control, &wire.SeqReq{Root: t.root, Want: uint64(t.fd.seq + 1), Hops: wire.SeqReqHopsMax})
}

// nearest returns the two neighbours over which the root is nearest, feasible or
// not, or nil.
func nearest(t *tree) (first, second *slot) {
	for _, s := range t.slots {
		switch {
		case s.advert == nil:
		case first == nil || s.before(first):
			first, second = s, first
		case second == nil || s.before(second):
			second = s
		}
	}
	return first, second
}

// onSeqReq is T6.
func (f *Forest) onSeqReq(now int64, nb *neighbour, fr *wire.SeqReq) {
	t := f.byRoot[fr.Root]
	if t == nil {
		return
	}
	want := int64(fr.Want)
	if t.root == f.cfg.Self {
		f.onWant(now, want)
		return
	}
	// With the number that is wanted there is nothing to do: the announcement is
	// on its way. A question never goes back to who sent it.
	if !t.reach || t.rung.seq >= want || fr.Hops == 0 || t.parent.nb == nb || now < t.passAt {
		return
	}
	t.passAt = now + passPause
	f.desk.Send(t.parent.nb.link, machine.Control, &wire.SeqReq{Root: t.root, Want: fr.Want, Hops: fr.Hops - 1})
}
