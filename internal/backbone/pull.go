package backbone

import (
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// missing is an envelope that was offered or asked for and is not here.
type missing struct {
	id        wire.Prefix
	target    envelope.Target
	hasTarget bool             // a pull names no target
	providers []machine.LinkID // who offered it, next to be asked first
	until     int64            // when the offer is forgotten

	askers []machine.LinkID // neighbours that wait for it
	asked  []machine.LinkID // neighbours that were asked: only they may answer

	by      machine.LinkID // who was the first to offer it
	wanted  bool           // somebody here wants it
	out     machine.LinkID // where a pull is under way
	outTill int64          // no second pull before that
	tried   int            // providers that were asked in this round
	hops    uint64         // left for pulls on behalf of askers
	checkAt int64          // when the next pull is due; 0: no job
}

// otherProvider returns a provider that is not the asker, or 0. An asker that is
// the only provider has been told of the id by this router's own word, or lies.
func (m *missing) otherProvider(asker machine.LinkID) machine.LinkID {
	for _, p := range m.providers {
		if p != asker {
			return p
		}
	}
	return 0
}

// lacking returns the record of a missing id, made if need be; nil: the table is
// full, or half of it with what n alone has brought.
func (b *Backbone) lacking(now int64, n *neighbour, id wire.Prefix) *missing {
	m, ok := b.missing.Get(id)
	if ok {
		return m
	}
	if b.missing.Len() >= b.bounds.missing || n.brought >= b.bounds.missing/2 {
		b.desk.Count(machine.TableFull, n.link)
		return nil
	}
	m = &missing{id: id, until: now + providerLife, by: n.link}
	n.brought++
	b.missing.Set(id, m)
	b.agenda.Put(m.until+1, job{do: (*Backbone).forget, id: id})
	return m
}

// forget drops what nobody has offered for a while; it was not to be had.
func (b *Backbone) forget(now int64, j job) {
	m, ok := b.missing.Get(j.id)
	if !ok {
		return
	}
	// It was offered again meanwhile; the same job goes on.
	if m.until >= now {
		b.agenda.Put(m.until+1, j)
		return
	}
	b.noMore(m)
}

// noMore ends the record of a missing id: it came, or it is not to be had.
func (b *Backbone) noMore(m *missing) {
	b.pullEnded(m)
	if n, ok := b.neighbours.Get(m.by); ok {
		n.brought--
	}
	b.missing.Delete(m.id)
}

// offered notes that n can provide id (S2).
func (b *Backbone) offered(now int64, n *neighbour, t envelope.Target, id wire.Prefix) {
	// Who offers what is here already is not asked for it.
	if b.kept.at[id] != nil {
		return
	}
	m := b.lacking(now, n, id)
	if m == nil {
		return
	}
	// Each offer prolongs the record: somebody still believes to have it.
	m.until = now + providerLife
	if !containsLink(m.providers, n.link) {
		m.providers = append(m.providers, n.link)
		if len(m.providers) > providersMax {
			m.providers = m.providers[1:]
		}
	}
	s := b.passing(t)
	if s == nil {
		return
	}
	// Only the first word on the target is believed. A liar can keep an id out of
	// J3's offers here that way, which its push or another relay makes good.
	if !m.hasTarget {
		m.target, m.hasTarget = t, true
		b.remember(now, s, id, false)
	}
	// The push that the offer speaks of may still be on its way: GRACE. What was
	// delivered here is not wanted again, but may be asked for by those who come
	// after: a router that crashed has it no more and must pass their pulls on.
	if s.wanted && !b.ledger.had.has(id) {
		m.wanted = true
	}
	if m.wanted && m.checkAt == 0 {
		b.checkLater(m, now+grace)
	}
	if len(m.askers) > 0 && m.outTill <= now {
		// Others have been asked for those who wait: this one is the news.
		m.providers = append([]machine.LinkID{n.link}, withoutLink(m.providers, n.link)...)
		m.tried = 0
		b.pull(now, m, 0, m.hops)
	}
}

// checkLater plans the next pull on this router's own behalf.
func (b *Backbone) checkLater(m *missing, at int64) {
	m.checkAt = at
	b.agenda.Put(at, job{do: (*Backbone).stillMissing, id: m.id})
}

// stillMissing pulls what has not come by itself, again and again, going round
// the providers (S3).
func (b *Backbone) stillMissing(now int64, j job) {
	m, ok := b.missing.Get(j.id)
	if !ok || m.checkAt == 0 || m.checkAt > now {
		return
	}
	m.checkAt = 0
	// All links that offered it have ended; a new offer begins anew.
	if len(m.providers) == 0 {
		return
	}
	// A new round: those that had nothing may have got it meanwhile.
	m.tried = 0
	if b.pull(now, m, 0, wire.HopsMax) {
		b.checkLater(m, now+pullAgain)
	} else {
		b.checkLater(m, now+batchPause)
	}
}

// pull asks the next provider but not, and reports whether it did: one pull is
// out per id, and a neighbour has so many under way at most.
func (b *Backbone) pull(now int64, m *missing, not machine.LinkID, hops uint64) bool {
	if now < m.outTill || hops == 0 {
		return false
	}
	for i, p := range m.providers {
		n, ok := b.neighbours.Get(p)
		if p == not || !ok || n.open >= b.bounds.pulls {
			continue
		}
		// The asked one goes to the end of the line, into a new array: the old one
		// is being walked.
		m.providers = append(append(m.providers[:i:i], m.providers[i+1:]...), p)
		b.pullEnded(m)
		m.out, m.outTill = p, now+pullOut
		n.open++
		// Who was once asked may answer late: the answer is good, whoever was asked
		// since.
		if !containsLink(m.asked, p) {
			m.asked = append(m.asked, p)
		}
		m.tried++
		m.hops = hops
		if len(n.pulls) == 0 {
			b.pulling = append(b.pulling, n)
		}
		n.pulls = append(n.pulls, wanted{m.id, hops})
		return true
	}
	return false
}

// pullEnded gives back the place that a pull takes at its neighbour.
func (b *Backbone) pullEnded(m *missing) {
	if n, ok := b.neighbours.Get(m.out); ok && m.out != 0 {
		n.open--
	}
	m.out, m.outTill = 0, 0
}

// flushPulls sends the pulls of one step, gathered by neighbour and, in runs, by
// hop count: an asker far away must not shorten the way of the others' pulls.
func (b *Backbone) flushPulls() {
	for _, n := range b.pulling {
		for len(n.pulls) > 0 {
			hops := n.pulls[0].hops
			ids := make([]wire.Prefix, 0, min(len(n.pulls), wire.PullMax))
			for _, w := range n.pulls[:cap(ids)] {
				if w.hops != hops {
					break
				}
				ids = append(ids, w.id)
			}
			b.desk.Send(n.link, machine.Control, &wire.Pull{Hops: hops, IDs: ids})
			b.desk.Do(machine.Report{Event: machine.Pulled, Link: n.link, Count: len(ids)})
			n.pulls = n.pulls[len(ids):]
		}
		n.pulls = nil
	}
	// The list is kept for the next step, its neighbours are not.
	clear(b.pulling)
	b.pulling = b.pulling[:0]
}

// onPull answers with what is here, looks for what is not, and says so where
// nobody is known to have it (S3).
func (b *Backbone) onPull(now int64, n *neighbour, f *wire.Pull) {
	var none []wire.Prefix
	for _, id := range f.IDs {
		if h := b.kept.at[id]; h != nil {
			if !b.mayAsk(now, n, h.target) || !b.give(n, h) {
				none = append(none, id)
			}
			continue
		}
		// A pull ends where nobody is known to have the id, where its way is over,
		// or where too many wait already: the asker tries its next provider.
		m, ok := b.missing.Get(id)
		if !ok || f.Hops <= 1 || m.otherProvider(n.link) == 0 || len(m.askers) >= b.bounds.askers {
			none = append(none, id)
			continue
		}
		// Whether the asker has a right to it is known when the target is: the
		// envelope's own, not the one that an offer claimed.
		if !containsLink(m.askers, n.link) {
			m.askers = append(m.askers, n.link)
		}
		m.tried = 0
		b.pull(now, m, n.link, f.Hops-1)
	}
	if len(none) > 0 {
		b.desk.Send(n.link, machine.Control, &wire.NoHave{IDs: none})
	}
}

// mayAsk reports whether n is, or was within a minute, a direction of t in any
// tree: a neighbour gets only what would have been pushed to it.
func (b *Backbone) mayAsk(now int64, n *neighbour, t envelope.Target) bool {
	for root, br := range b.branches.All() {
		if p, ok := b.forest.Parent(root); ok && p == n.link {
			return true
		}
		if c := br.child(n.link); c != nil {
			if e, ok := c.entries.Get(t); ok && e.flags&wire.Receiver != 0 {
				return true
			}
		}
		if e, ok := n.edges[root]; ok && e.parent != 0 && now-e.parent <= askGrace {
			return true
		}
	}
	// A child that left was offered the id while it was a direction.
	s, ok := b.subjects.Get(t)
	if !ok {
		return false
	}
	for _, l := range s.lapses {
		if l.link == n.link && l.until >= now {
			return true
		}
	}
	return false
}

// give sends one envelope in answer to a pull; false: its queue is full.
func (b *Backbone) give(n *neighbour, h *held) bool {
	if h.a.IsZero() {
		return b.fetch(n, h)
	}
	f := &wire.Pulled{Stamp: h.stamp, Envelope: h.a.Envelope()}
	// Pulled has the same bytes as data (F3). A refused asker tries another
	// provider, or this one again in three seconds.
	if n.queued+f.Weight() > b.bounds.bulk {
		return false
	}
	n.queued += f.Weight()
	b.desk.Send(n.link, machine.Repair, f)
	return true
}

// onPulled takes the answer to a pull: only from who was asked (S3). It is
// checked like everything else.
func (b *Backbone) onPulled(now int64, n *neighbour, f *wire.Pulled) {
	e := f.Envelope
	// Unasked envelopes would walk past the edges of the trees, and be verified
	// at this router's cost.
	m, ok := b.missing.Get(wire.PrefixOf(e.ID))
	if !ok || !containsLink(m.asked, n.link) || !stampFits(now, e, f.Stamp) {
		b.desk.Count(machine.FrameIgnored, n.link)
		return
	}
	b.pullEnded(m)
	b.desk.Count(machine.Repaired, n.link)
	// For neighbours that wait it is checked anew though the id is known: what goes
	// on must be these bytes, not only this id.
	v := b.gate.Submit(now, gate.Case{
		Asker: machine.OwnerBackbone, Link: n.link, Envelope: e, Stamp: f.Stamp, Recheck: len(m.askers) > 0,
	})
	if v.Result == gate.Known { // it came, and has left the cache since: nobody here misses it
		b.noMore(m)
	}
	b.Verdict(now, v)
}

// onNoHave goes on to the next provider.
func (b *Backbone) onNoHave(now int64, n *neighbour, f *wire.NoHave) {
	for _, id := range f.IDs {
		m, ok := b.missing.Get(id)
		if !ok || m.out != n.link {
			continue
		}
		b.pullEnded(m)
		// Each provider once in a round.
		if m.tried >= len(m.providers) || !b.pull(now, m, n.link, m.hops) {
			m.outTill = now + pullOut // two that have nothing must not be asked in turns
		}
	}
}

// found serves who waited for an envelope, however it came.
func (b *Backbone) found(now int64, h *held) {
	m, ok := b.missing.Get(h.id)
	if !ok {
		return
	}
	b.noMore(m)
	for _, link := range m.askers {
		// Links that ended take their questions along.
		n, up := b.neighbours.Get(link)
		if !up {
			continue
		}
		if !b.mayAsk(now, n, h.target) || !b.give(n, h) {
			b.desk.Send(link, machine.Control, &wire.NoHave{IDs: []wire.Prefix{h.id}})
		}
	}
}

// forgetProvider takes a link that ended out of all that was expected of it.
func (b *Backbone) forgetProvider(link machine.LinkID) {
	// This walks the table once for each link that ends, which is rare.
	for _, m := range b.missing.All() {
		m.providers = withoutLink(m.providers, link)
		m.askers = withoutLink(m.askers, link)
		m.asked = withoutLink(m.asked, link)
		if m.out == link {
			m.out, m.outTill = 0, 0
		}
	}
}

func containsLink(list []machine.LinkID, l machine.LinkID) bool {
	for _, x := range list {
		if x == l {
			return true
		}
	}
	return false
}

func withoutLink(list []machine.LinkID, l machine.LinkID) []machine.LinkID {
	kept := list[:0]
	for _, x := range list {
		if x != l {
			kept = append(kept, x)
		}
	}
	return kept
}
