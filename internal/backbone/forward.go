package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

type rootKey = identity.Address

// onData relays (F2). The order of checks is part of the rule: what costs nothing
// comes first, and nothing is passed on before its verdict.
func (b *Backbone) onData(now int64, n *neighbour, f *wire.Data) {
	// The order is F2's. Up to the last line nothing was allocated or verified,
	// so what a neighbour sends to no purpose costs this router next to nothing.
	e := f.Envelope
	switch {
	case !b.isEdge(now, n, f.Root):
		b.desk.Count(machine.WrongDirection, n.link)
		return
	case e.Newer != nil:
		b.refused(n.link, e, wire.BadVersion, e.Newer.Text)
		return
	case int64(e.Time) > now+stampSkew:
		b.refused(n.link, e, wire.Clock, "the message's time is more than five minutes ahead of this router's clock")
		return
	case int64(e.Expires()) < now:
		b.refused(n.link, e, wire.Expired, "the message's time to live is over")
		return
	case f.Hops >= wire.HopsMax:
		b.refused(n.link, e, wire.NotAllowed, "more hops than any tree is deep")
		return
	case !stampFits(now, e, f.Stamp):
		b.refused(n.link, e, wire.Clock, "the stamp's time is outside of the envelope's window")
		return
	// The usual second copy ends here: one look-up.
	case b.gate.Seen(e.ID):
		b.desk.Count(machine.DuplicateDropped, n.link)
		return
	case now-int64(f.Stamp.Time) > fresh+stampSkew:
		// The stamp is the ingress's clock: without the skew that links
		// tolerate, a router two minutes ahead would push nothing on.
		b.desk.Count(machine.StaleDropped, n.link)
		if e.Flags&envelope.Live == 0 { // what is live is in nobody's cache
			b.offered(now, n, e.Target, wire.PrefixOf(e.ID))
		}
		return
	}
	b.Verdict(now, b.gate.Submit(now, gate.Case{
		Asker: machine.OwnerBackbone, Link: n.link, Envelope: e, Root: f.Root, Hops: f.Hops, Stamp: f.Stamp,
	}))
}

// stampFits checks the unsigned stamp's shape: it serves freshness and order, so
// it may not lie far from the signed time or in the future.
func stampFits(now int64, e *envelope.Envelope, s wire.Stamp) bool {
	return int64(s.Time) >= int64(e.Time)-stampSkew && int64(s.Time) <= now+stampSkew
}

// Verdict takes the gate's answer to what a neighbour brought.
func (b *Backbone) Verdict(now int64, v gate.Verdict) {
	switch v.Result {
	case gate.Accepted:
		b.accepted(now, v)
	case gate.Known:
		b.desk.Count(machine.DuplicateDropped, v.Case.Link)
	case gate.Refused:
		b.refused(v.Case.Link, v.Case.Envelope, v.Code, v.Text)
	}
}

// accepted keeps an envelope for a while, serves who waits for it, and passes a
// pushed one on. One that was pulled is not pushed: it went along an offer.
func (b *Backbone) accepted(now int64, v gate.Verdict) {
	// The gate has made this one; from here on its right to exist is not asked again.
	e := v.Admitted.Envelope()
	h := newHeld(now, v.Admitted, v.Case.Stamp)
	if s := b.passing(e.Target); s != nil {
		b.remember(now, s, h.id, false)
		if s.wanted && !b.ledger.had.has(h.id) { // it may have been pulled for others
			b.handOver(now, h)
		}
	}
	// Live envelopes are worth nothing a moment later.
	if e.Flags&envelope.Live == 0 {
		b.kept.put(h)
	}
	b.found(now, h)
	// A pulled one has no tree: it came along an offer, and who lacks it behind
	// this router was offered it too.
	if !v.Case.Root.IsZero() {
		b.spread(v.Case.Root, v.Case.Link, h, v.Case.Hops+1)
	}
}

// handOver delivers h here. It counts as delivered once it is kept for good: until
// then a crash loses it, and it must be pulled again.
func (b *Backbone) handOver(now int64, h *held) {
	if h.a.Envelope().Flags&envelope.Live != 0 {
		b.down.Deliver(now, h.a, 0)
		return
	}
	b.handedNo++
	n := b.handedNo
	b.handed[n] = h
	b.down.Deliver(now, h.a, n)
}

// Done says that what was delivered under n is kept for good. It is remembered
// until it has expired (F4).
func (b *Backbone) Done(_ int64, n uint64) {
	if h, ok := b.handed[n]; ok {
		delete(b.handed, n)
		b.note(b.ledger.had.add(h.id, h.expires)...)
	}
}

// refused reports what was not taken. Who is to blame, and whether anybody is, was
// the gate's to say.
func (b *Backbone) refused(link machine.LinkID, e *envelope.Envelope, code wire.Code, text string) {
	b.desk.Do(machine.Report{Event: machine.RelayRefused, Link: link, Code: code, ID: e.ID, Text: text})
}
