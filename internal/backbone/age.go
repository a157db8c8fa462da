package backbone

import (
	"upsycle/identity"
	"upsycle/internal/wire"
)

// ageOf returns the age at which S1 offers an envelope for the n-th time, counted
// from 0: 2 s, 10 s, 1 min, 10 min, 1 h, 6 h, then every day.
func ageOf(n int) int64 {
	switch n {
	case 0:
		return 2_000
	case 1:
		return 10_000
	case 2:
		return 60_000
	case 3:
		return 600_000
	case 4:
		return 3_600_000
	case 5:
		return 6 * 3_600_000
	}
	return int64(n-5) * 24 * 3_600_000
}

// agesNo is how often an envelope is offered at most: until its thirtieth day.
const agesNo = 6 + 30

// early are the steps that only fill the tree on which the push did not go; later
// ones go deep, on both.
const early = 2

// holdings are the envelopes of one target in custody, in the order of their
// stamps, and for each step of S1 how many of them it has passed.
type holdings struct {
	list  []*held
	base  int // how many were swept from the front
	steps [agesNo]int
	dueAt int64 // of the job; 0: none
}

// hold adds h to what s has in custody.
func (b *Backbone) hold(now int64, s *subject, h *held) {
	s.own.list = append(s.own.list, h)
	s.held++
	b.planAges(now, s)
}

// sweep takes those from the front that are gone.
func (s *subject) sweep() {
	o := &s.own
	k := 0
	for k < len(o.list) && o.list[k].gone {
		o.list[k] = nil
		k++
	}
	o.list, o.base = o.list[k:], o.base+k
	for i := range o.steps {
		o.steps[i] = max(o.steps[i], o.base)
	}
	if len(o.list) == 0 {
		o.list = nil
	}
}

// nextAge returns when the next offer by age is due; 0: never.
func (o *holdings) nextAge() int64 {
	var at int64
	for n, passed := range o.steps {
		if i := passed - o.base; i < len(o.list) {
			if due := int64(o.list[i].stamp.Time) + ageOf(n); at == 0 || due < at {
				at = due
			}
		}
	}
	return at
}

func (b *Backbone) planAges(now int64, s *subject) {
	at := s.own.nextAge()
	if at == 0 {
		return
	}
	at = max(at, now+batchPause)
	if s.own.dueAt != 0 && s.own.dueAt <= at {
		return
	}
	s.own.dueAt = at
	b.agenda.Put(at, job{do: (*Backbone).agesDue, at: s.target, due: at})
}

// agesDue offers what has come of age (S1). At most one frame of each kind a
// second; what does not fit waits for the next.
func (b *Backbone) agesDue(now int64, j job) {
	s, ok := b.subjects.Get(j.at)
	if !ok || s.own.dueAt != j.due {
		return
	}
	s.own.dueAt = 0
	var o offers
	for n := range s.own.steps {
		for !o.full() {
			h := s.own.step(n, now)
			if h == nil {
				break
			}
			if !h.gone && h.expires >= now {
				o.add(s, h, n)
			}
		}
	}
	b.offerOn(now, s, s.primary, o.primary, false)
	b.offerOn(now, s, s.primary, o.elsewhere, true)
	b.offerOn(now, s, s.secondary, o.secondary, false)
	b.offerBoth(now, s, o.deep)
	b.planAges(now, s)
}

// offers are the ids of one round, by where and how they are offered.
type offers struct {
	primary   []wire.Prefix // there is no secondary root, and they were pushed on p
	elsewhere []wire.Prefix // pushed on another tree than p: deep there, since relays that both trees share have them
	secondary []wire.Prefix
	deep      []wire.Prefix // later steps
}

func (o *offers) full() bool {
	return max(len(o.primary), len(o.elsewhere), len(o.secondary), len(o.deep)) >= wire.EntriesMax
}

// add puts h where step n of S1 offers it: the first two steps on the trees where
// it was not pushed, later ones deep on both.
func (o *offers) add(s *subject, h *held, n int) {
	if n >= early {
		o.deep = append(o.deep, h.id)
		return
	}
	switch {
	case h.via != s.primary:
		o.elsewhere = append(o.elsewhere, h.id)
	case s.secondary.IsZero():
		o.primary = append(o.primary, h.id)
	}
	if !s.secondary.IsZero() && h.via != s.secondary {
		o.secondary = append(o.secondary, h.id)
	}
}

// step returns the next envelope of step n if its age has come, and passes it.
func (o *holdings) step(n int, now int64) *held {
	i := o.steps[n] - o.base
	if i >= len(o.list) || int64(o.list[i].stamp.Time)+ageOf(n) > now {
		return nil
	}
	o.steps[n]++
	return o.list[i]
}

// offerBoth offers deep on p and s.
func (b *Backbone) offerBoth(now int64, s *subject, ids []wire.Prefix) {
	b.offerOn(now, s, s.primary, ids, true)
	b.offerOn(now, s, s.secondary, ids, true)
}

// offerOn offers ids in every direction of s in the tree of root.
func (b *Backbone) offerOn(now int64, s *subject, root identity.Address, ids []wire.Prefix, deep bool) {
	if root.IsZero() {
		return
	}
	for ; len(ids) > 0; ids = ids[min(len(ids), wire.EntriesMax):] {
		part := ids[:min(len(ids), wire.EntriesMax)]
		f := &wire.Offer{Root: root, Target: s.target, Deep: deep, OID: b.newOID(now, root, s.target), IDs: part}
		b.directions(root, s.target, 0, func(n *neighbour) { b.sendOffer(n.link, f) })
	}
}

// skipAges passes, after a restart, the steps whose age has come already: the step
// follows from the age, so it survives without a row.
func (o *holdings) skipAges(now int64) {
	for n := range o.steps {
		for o.step(n, now) != nil {
		}
	}
}
