package tree

import (
	"slices"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// An advert is an announcement as it was received, or, at a root, the root's own
// signature, which its announcements continue.
type advert struct {
	frame    *wire.Announce
	rung     rung          // of who announced it
	tail     identity.Hash // names all of it in the signature of the next hop; set with the check
	checked  bool          // all signatures hold
	checking bool          // a check is under way
}

func newAdvert(fr *wire.Announce) *advert {
	return &advert{frame: fr, rung: rung{int64(fr.Seq), int64(fr.Hops[len(fr.Hops)-1].Metric)}}
}

func (a *advert) issued() int64 { return int64(a.frame.Issued) }

// same reports whether two adverts say the same, to the last signature.
func (a *advert) same(b *advert) bool {
	if a == b {
		return true
	}
	x, y := a.frame, b.frame
	return x.Seq == y.Seq && x.Issued == y.Issued && x.RootSig == y.RootSig && slices.Equal(x.Hops, y.Hops)
}

// A verdict is what can be said of an announcement without a signature check.
type verdict uint8

const (
	sound   verdict = iota // worth a look
	foreign                // of a root that is not eligible here: ignored
	void                   // takes back what the neighbour announced before
	faulty                 // no honest router would have sent it: charged, and void
)

// onAnnounce is the first half of T2. The second, onProven, runs when the check is
// back; what waits for its check is dropped as soon as something newer comes over
// the same link for the same root, or the old would be applied after the new.
func (f *Forest) onAnnounce(now int64, nb *neighbour, fr *wire.Announce) {
	v, text := f.judge(now, nb, fr)
	if v == foreign {
		f.desk.Count(machine.FrameIgnored, nb.link)
		return
	}
	f.supersede(nb, fr.Root)
	if v != sound {
		if v == faulty {
			f.charge(now, nb, wire.Malformed, text)
		}
		f.withdraw(now, nb, fr.Root)
		return
	}
	a := newAdvert(fr)
	t := f.byRoot[fr.Root]
	if t == nil {
		f.onStranger(now, nb, a)
		return
	}
	s := t.slot(nb.link)
	if s.advert != nil && s.advert.checked && s.advert.same(a) {
		return // an exact repetition says nothing
	}
	if s == t.parent || f.feasible(t, a.rung) {
		f.check(now, nb, a)
		return
	}
	// Not feasible, and so of no use but to be asked (T5): it is checked then. It
	// replaces what the neighbour said before, which holds no longer.
	f.store(now, t, s, a)
}

// onStranger handles a root that is not known here. Nothing is stored for it
// before its signatures hold.
func (f *Forest) onStranger(now int64, nb *neighbour, a *advert) {
	if len(nb.checks) >= waitingMax || !f.room(now, a.frame.Root) {
		f.desk.Count(machine.TableFull, nb.link)
		return
	}
	f.check(now, nb, a)
}

// judge checks the shape of an announcement, and whether it may count at all.
func (f *Forest) judge(now int64, nb *neighbour, fr *wire.Announce) (verdict, string) {
	if fr.Class != wire.Automatic {
		return foreign, "" // R1: no roots are pinned here
	}
	// My own key in the chain: it leads through me, which is what a parent hears
	// of its children.
	for i := range fr.Hops {
		if fr.Hops[i].Key == f.cfg.Self {
			return void, ""
		}
	}
	if text := misshapen(nb.peer, fr); text != "" {
		return faulty, text
	}
	a := newAdvert(fr)
	if a.issued()+stale < now || a.issued() > now+ahead || a.rung.metric > metricMax {
		return void, ""
	}
	return sound, ""
}

// misshapen says what is wrong with a chain, or "".
func misshapen(peer identity.Address, fr *wire.Announce) string {
	n := len(fr.Hops)
	switch {
	case n == 0 || n > chainMax:
		return "an announcement has 1 to 24 hops"
	case fr.Hops[0].Key != fr.Root || fr.Hops[0].Metric != 0:
		return "an announcement does not start at its root"
	case fr.Hops[n-1].Key != peer:
		return "an announcement does not end at its sender"
	}
	for i := 1; i < n; i++ {
		if fr.Hops[i].Metric < fr.Hops[i-1].Metric+costMin {
			return "a metric rises by less than 64 in a hop"
		}
		if slices.ContainsFunc(fr.Hops[:i], func(h wire.Hop) bool { return h.Key == fr.Hops[i].Key }) {
			return "a router is twice in a chain"
		}
	}
	return ""
}

// onProven is the second half of T2: an announcement whose signatures hold.
func (f *Forest) onProven(now int64, nb *neighbour, a *advert) {
	t := f.byRoot[a.frame.Root]
	if t == nil {
		if !f.makeRoom(now, a.frame.Root) {
			f.desk.Count(machine.TableFull, nb.link)
			return
		}
		t = f.plant(now, a.frame.Root)
	}
	f.store(now, t, t.slot(nb.link), a)
}

// store puts an announcement in its neighbour's slot and chooses anew. A number
// never falls with honest routers; one that does is as good as a retraction, or a
// root's death could be hidden for ever behind old announcements.
func (f *Forest) store(now int64, t *tree, s *slot, a *advert) {
	if a.rung.seq > s.seq {
		s.seq, s.heard = a.rung.seq, now
	}
	fell := a.rung.seq < s.seq || s == t.parent && a.rung.seq < t.rung.seq
	s.advert = a
	if fell || now >= s.expiry() { // it may have ended while it was being checked
		s.advert = nil
	}
	f.choose(now, t)
}

// onRetract takes back what nb announced.
func (f *Forest) onRetract(now int64, nb *neighbour, root identity.Address) {
	f.supersede(nb, root)
	f.withdraw(now, nb, root)
}

func (f *Forest) withdraw(now int64, nb *neighbour, root identity.Address) {
	t := f.byRoot[root]
	if t == nil {
		return
	}
	s := t.slot(nb.link)
	if s.advert == nil {
		return
	}
	s.advert = nil
	f.choose(now, t)
}
