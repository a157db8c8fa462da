package backbone

import (
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Take takes an envelope from a client into custody (F1): stamp, store, then
// acknowledge and push. A live one is pushed at once and stored nowhere.
func (b *Backbone) Take(now int64, a gate.Admitted) { b.take(now, a, true) }

// Retake is Take for what was pushed in an earlier life of the id: no push.
func (b *Backbone) Retake(now int64, a gate.Admitted) { b.take(now, a, false) }

// take gives the envelope its stamp, which is this router's word and nobody's
// signature: it says how long the envelope has been in the network, whatever the
// clock of its publisher says (spec §10.1).
func (b *Backbone) take(now int64, a gate.Admitted, push bool) {
	e := a.Envelope()
	h := newHeld(now, a, wire.Stamp{Ingress: b.cfg.Self, Time: uint64(now)})
	h.own, h.push = true, push
	s := b.subject(e.Target)
	if s == nil {
		b.down.Taken(now, e.ID, wire.Quota, retryFull)
		return
	}
	if e.Flags&envelope.Live != 0 {
		// Nothing is promised for a live envelope, so nothing is waited for.
		b.sending(now, s)
		b.down.Taken(now, e.ID, wire.OK, 0)
		if push {
			b.pushFirst(now, s, h)
		}
		return
	}
	b.store(now, h)
}

// store asks for h to be stored, unless custody is full with what is stored and
// what is on its way there.
func (b *Backbone) store(now int64, h *held) {
	e := h.a.Envelope()
	// What was acknowledged is never evicted to make room: the publisher keeps
	// what is refused here, and asks again.
	if b.ledger.bytes+b.takingBytes+h.bytes > b.cfg.Limits.Custody || b.custodyNo+len(b.takes) >= b.bounds.custody {
		b.down.Taken(now, e.ID, wire.StorageFull, retryFull)
		return
	}
	b.takes[b.desk.Store(machine.OwnerBackbone, custodyRow(h))] = h
	b.taking[e.ID] = true
	b.takingBytes += h.bytes
}

// Again is asked when a client publishes what is known (F1). In custody or on
// the way there: acknowledged again. Only in the cache: stored with the stamp it
// has, not pushed again. Neither: false, and the caller checks it like a new one.
func (b *Backbone) Again(now int64, e *envelope.Envelope) bool {
	// The answer of the store is under way and will be everybody's.
	if b.taking[e.ID] {
		return true
	}
	h := b.kept.at[wire.PrefixOf(e.ID)]
	// The table is keyed by prefixes, which are hints: the whole id decides.
	if h == nil || h.full != e.ID {
		return false
	}
	if h.own {
		b.down.Taken(now, e.ID, wire.OK, 0)
		return true
	}
	// A copy: neighbours may be pulling the cached one in this very step.
	own := *h
	own.own, own.push = true, false
	b.store(now, &own)
	return true
}

// Stored is the only code that acknowledges a stored envelope: durable before
// acknowledged, by construction.
func (b *Backbone) Stored(now int64, t machine.Token, err error) {
	h, ok := b.takes[t]
	if !ok {
		return
	}
	delete(b.takes, t)
	e := h.a.Envelope()
	delete(b.taking, e.ID)
	b.takingBytes -= h.bytes
	if err != nil {
		b.desk.Do(machine.Report{Event: machine.PublishRefused, Code: wire.StorageFull, ID: e.ID, Text: err.Error()})
		b.down.Taken(now, e.ID, wire.StorageFull, retryFull)
		return
	}
	// It was there when the envelope was taken; other targets may have filled the
	// table since. What is stored must not stay behind unowned.
	s := b.subject(e.Target)
	if s == nil {
		b.desk.Forget(custodyKey(h))
		b.down.Taken(now, e.ID, wire.Quota, retryFull)
		return
	}
	h.at = now
	if !s.mapped { // before it is held: what is pushed below needs no offer
		b.remap(now, s)
	}
	if b.kept.put(h) {
		b.ledger.add(h)
		b.custodyNo++
		b.remember(now, s, h.id, true)
		b.hold(now, s, h)
	}
	b.sending(now, s)
	b.down.Taken(now, e.ID, wire.OK, 0)
	if h.push {
		b.pushFirst(now, s, h)
	}
}

// sending makes this router count as a sender of s for a while (S).
func (b *Backbone) sending(now int64, s *subject) {
	// One job ends the sender, however many envelopes prolong it.
	first := s.senderUntil == 0
	s.senderUntil = now + linger
	if first {
		b.agenda.Put(s.senderUntil, job{do: (*Backbone).senderDue, at: s.target})
	}
	if first || !s.mapped || s.held == 1 {
		b.place(now, s)
	}
}

// senderDue ends a sender, or looks again when its last envelope is old enough.
func (b *Backbone) senderDue(now int64, j job) {
	s, ok := b.subjects.Get(j.at)
	if !ok {
		return
	}
	if s.senderUntil > now {
		b.agenda.Put(s.senderUntil, j)
		return
	}
	s.senderUntil = 0
	b.place(now, s)
	b.tidy(now, s)
}

// pushFirst sends an envelope that entered here along its publish root. The trees
// on which it did not go get its id soon after (S1), and whoever joined only those
// pulls it.
func (b *Backbone) pushFirst(now int64, s *subject, h *held) {
	// The roots may have changed while the store was writing.
	if !s.mapped {
		b.place(now, s)
	}
	if h.via = s.publish; !h.via.IsZero() {
		b.spread(h.via, 0, h, 0)
	}
}

// spread sends h to every direction of its target in the tree of root but from,
// the bytes as they came.
func (b *Backbone) spread(root rootKey, from machine.LinkID, h *held, hops uint64) {
	if hops >= wire.HopsMax {
		return
	}
	e := h.a.Envelope()
	// One frame for all directions: frames are never changed once made.
	f := &wire.Data{Root: root, Hops: hops, Stamp: h.stamp, Envelope: e}
	b.directions(root, e.Target, from, func(n *neighbour) { b.push(n, f) })
}
