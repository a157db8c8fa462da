package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A route is what is known of the way to one root over time (S5): since when it is
// up, and until when what was pushed on its tree has certainly come by.
type route struct {
	up    bool
	since int64 // when the present reach began
}

// routeChanged keeps the coverage of a root. It does not move while the route is
// up: what a short outage hides is asked for again rather than lost.
func (b *Backbone) routeChanged(now int64, root identity.Address) {
	r := b.routes[root]
	if r == nil {
		if len(b.routes) >= routesMax {
			return
		}
		r = &route{}
		b.routes[root] = r
	}
	up := b.forest.Reach(root)
	switch {
	case up && !r.up:
		r.since = now
		b.agenda.Put(now+stable, job{do: (*Backbone).noteCoverage, root: root, due: now})
	case !up && r.up && now-r.since >= stable:
		b.ledger.covered.Set(root, now)
		b.note(coverageRow(root, now))
	}
	r.up = up
}

// noteCoverage writes every 30 s that the route is still up: after a crash it
// counts as covered until then.
func (b *Backbone) noteCoverage(now int64, j job) {
	r := b.routes[j.root]
	if r == nil || !r.up || r.since != j.due {
		return // that reach is over
	}
	b.note(coverageRow(j.root, now))
	b.agenda.Put(now+coverageEvery, j)
}

// cutOver begins S5 when p of a target becomes another root, boot included: what
// went past this router while it had no route is asked for, and what it holds is
// offered where others may have missed it.
func (b *Backbone) cutOver(now int64, s *subject) {
	covered := b.ledger.covered.At(s.primary)
	since := max(min(now-60_000, covered-30_000), 0)
	if s.wanted {
		b.askSince(now, s, max(since, s.wantedAt))
	}
	if s.held == 0 {
		return
	}
	if r := b.routes[s.primary]; r != nil && r.since-covered > gone {
		since = 0 // away for so long that whoever asked has given up: offer everything
	}
	b.agenda.Put(now+reofferAfter, job{do: (*Backbone).reoffer, at: s.target, due: since})
	b.agenda.Put(now+reofferAgain, job{do: (*Backbone).reofferOnce, at: s.target, due: since})
}

// reoffer offers deep what was exposed since an instant, and notes that it was:
// who asks for what was exposed since will find it.
func (b *Backbone) reoffer(now int64, j job) {
	s, ok := b.subjects.Get(j.at)
	if !ok || s.held == 0 {
		return
	}
	if b.offerExposed(now, s, j.due, nil) > 0 {
		b.note(b.ledger.expose(s.target, j.due, now))
	}
}

// reofferOnce repeats a reoffer, whose offers may have met the same cut.
func (b *Backbone) reofferOnce(now int64, j job) {
	if s, ok := b.subjects.Get(j.at); ok && s.held > 0 {
		b.offerExposed(now, s, j.due, nil)
	}
}

// offerExposed offers deep, on p, s and the trees in also, what is in custody and
// was exposed since an instant; it returns how many.
func (b *Backbone) offerExposed(now int64, s *subject, since int64, also []identity.Address) int {
	var ids []wire.Prefix
	for _, h := range s.own.list {
		if !h.gone && h.expires >= now && b.ledger.exposedAt(h) >= since {
			ids = append(ids, h.id)
		}
	}
	if len(ids) == 0 {
		return 0
	}
	b.offerBoth(now, s, ids)
	for _, root := range also {
		if root != s.primary && root != s.secondary {
			b.offerOn(now, s, root, ids, true)
		}
	}
	return len(ids)
}

// resyncAfter returns when the n-th request of a resync goes, after the cut: 3 to
// 5 s, then 1 min, 10 min, 1 h and 6 h, each up to a tenth earlier or later. 0:
// there are no more.
func (b *Backbone) resyncAfter(n int) int64 {
	var at int64
	switch n {
	case 0:
		return 3_000 + b.random.Int64N(2_000)
	case 1:
		at = 60_000
	case 2:
		at = 600_000
	case 3:
		at = 3_600_000
	case 4:
		at = 6 * 3_600_000
	default:
		return 0
	}
	return at - at/10 + b.random.Int64N(at/5)
}

// askSince plans the requests of S5. A smaller since that still waits wins.
func (b *Backbone) askSince(now int64, s *subject, since int64) {
	if since > now-batchPause {
		return // a subscription that began just now has missed nothing
	}
	if s.asking && s.askFrom <= since {
		since = s.askFrom
	}
	s.asking, s.askFrom, s.asked, s.askBegun = true, since, 0, now
	s.askDue = now + b.resyncAfter(0)
	b.agenda.Put(s.askDue, job{do: (*Backbone).ask, at: s.target, due: s.askDue})
}

// ask sends one request on p and s, and plans the next.
func (b *Backbone) ask(now int64, j job) {
	s, ok := b.subjects.Get(j.at)
	if !ok || !s.asking || s.askDue != j.due {
		return
	}
	if !s.wanted {
		s.asking = false
		return
	}
	for i, root := range [...]identity.Address{s.primary, s.secondary} {
		if root.IsZero() || i == 1 && root == s.primary {
			continue
		}
		f := &wire.Resync{Root: root, Target: s.target, Since: uint64(s.askFrom), OID: b.newOID(now, root, s.target)}
		b.spreadResync(f, 0)
	}
	s.asked++
	next := b.resyncAfter(s.asked)
	if next == 0 {
		s.asking = false
		return
	}
	s.askDue = max(s.askBegun+next, now+batchPause)
	b.agenda.Put(s.askDue, job{do: (*Backbone).ask, at: s.target, due: s.askDue})
}

// spreadResync sends a request to every child with any flag and to the parent, not
// back (S4): holders need not be receivers.
func (b *Backbone) spreadResync(f *wire.Resync, from machine.LinkID) {
	if br, ok := b.branches.Get(f.Root); ok {
		for _, c := range br.kids {
			if c.link != from && c.entries.Has(f.Target) {
				b.desk.Send(c.link, machine.Control, f)
			}
		}
	}
	if p, ok := b.forest.Parent(f.Root); ok && p != from && b.neighbours.Has(p) {
		b.desk.Send(p, machine.Control, f)
	}
}

// onResync passes a request on, unless one for no less was passed on within 5 s,
// and answers it in any case if this router holds something: a holder is often a
// subscriber too, and its own request must not keep its answer from others (S4).
func (b *Backbone) onResync(now int64, n *neighbour, f *wire.Resync) {
	if !b.isEdge(now, n, f.Root) {
		b.desk.Count(machine.WrongDirection, n.link)
		return
	}
	if !b.firstOffer(now, oidKey{f.Root, f.Target, f.OID}) {
		return
	}
	since := int64(f.Since)
	if s, ok := b.subjects.Get(f.Target); ok && s.held > 0 {
		b.answerLater(now, s, since, f.Root)
	}
	k := passedKey{f.Root, f.Target}
	if p, ok := b.passed[k]; ok && now-p.at < passPause && p.since <= since {
		return
	}
	if len(b.passed) >= passedMax {
		b.passed = make(map[passedKey]passedOn) // forgotten early, a request is passed on once more
	}
	b.passed[k] = passedOn{now, since}
	b.spreadResync(f, n.link)
}

type passedKey struct {
	root   identity.Address
	target envelope.Target
}

type passedOn struct{ at, since int64 }

// answerLater gathers the requests for one target and answers them at most once in
// 5 s, with the smallest since that was asked for, on each tree that it came by.
func (b *Backbone) answerLater(now int64, s *subject, since int64, root identity.Address) {
	if !s.answering {
		s.answering, s.answerFrom, s.answerOn = true, since, nil
		at := max(now+b.random.Int64N(500), s.answered+passPause)
		b.agenda.Put(at, job{do: (*Backbone).answer, at: s.target})
	}
	s.answerFrom = min(s.answerFrom, since)
	if !contains(s.answerOn, root) && len(s.answerOn) < answerRootsMax {
		s.answerOn = append(s.answerOn, root)
	}
}

func (b *Backbone) answer(now int64, j job) {
	s, ok := b.subjects.Get(j.at)
	if !ok || !s.answering {
		return
	}
	s.answering, s.answered = false, now
	b.offerExposed(now, s, s.answerFrom, s.answerOn)
}
