package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A neighbour is the core at the other end of a link.
type neighbour struct {
	link   machine.LinkID
	peer   identity.Address
	rtt    int
	cost   int
	looked int64 // when the cost was last looked at

	forwarded machine.Effect // the report of a push: there is one for each, so it is made once

	queued   int        // bytes of data and pulled that the link has not written yet
	deferred []deferral // pushes that did not fit and become offers (F3)

	edges      map[identity.Address]formerEdge // by root: edges to here that ended lately
	pulls      []wanted                        // gathered in this step
	open       int                             // pulls under way
	checking   int                             // grants that are being checked
	pausedTill int64                           // it is not read until then
	paces      paces                           // what it has brought lately
	brought    int                             // records of missing envelopes that it was the first to offer
}

// A formerEdge is an edge of a tree that has ended.
type formerEdge struct {
	ended  int64 // when; data may still come for a moment
	parent int64 // when it ended as the way up, which may still pull; 0: it was not
}

// A wanted is an id to be pulled, and how far the pull may travel.
type wanted struct {
	id   wire.Prefix
	hops uint64
}

// A deferral is a push that became an offer.
type deferral struct {
	root identity.Address
	at   envelope.Target
	id   wire.Prefix
}

// RTT takes note of a link's round-trip time. The cost follows at most every 30
// seconds and only a change of more than a quarter and 16, so that a wavering
// link does not move trees (spec §8.1).
func (b *Backbone) RTT(now int64, link machine.LinkID, millis int) {
	n, ok := b.neighbours.Get(link)
	if !ok {
		return
	}
	n.rtt = millis
	// Each change moves trees, and a moved branch says all of its interest anew:
	// so only what is worth it, and not with every wave of the load.
	cost := costOf(millis)
	off := max(cost-n.cost, n.cost-cost)
	if now-n.looked < costCheck || off < 16 || off*4 <= n.cost {
		return
	}
	n.cost, n.looked = cost, now
	b.forest.SetCost(now, link, cost)
	b.follow(now)
}

// costOf is a link's cost (spec §3.4).
func costOf(rtt int) int { return costBase + min(rtt, costRTTMax) }

// push sends an envelope along a tree, or defers it when the queue is full (F3):
// a stored one becomes an offer once the queue drains, a live one is dropped.
func (b *Backbone) push(n *neighbour, f *wire.Data) {
	w := f.Weight()
	if n.queued+w <= b.bounds.bulk {
		n.queued += w
		b.desk.Send(n.link, machine.Bulk, f)
		b.desk.Do(n.forwarded)
		return
	}
	// What is live is of no use later. What cannot even be deferred is counted
	// with it: the receiver sees the hole and says so.
	if f.Envelope.Flags&envelope.Live != 0 || len(n.deferred) >= b.bounds.deferred {
		b.desk.Count(machine.LiveDropped, n.link)
		return
	}
	b.desk.Count(machine.PushDeferred, n.link)
	n.deferred = append(n.deferred, deferral{f.Root, f.Envelope.Target, wire.PrefixOf(f.Envelope.ID)})
}

// Drained makes room in a link's queue, and offers what did not fit before.
func (b *Backbone) Drained(now int64, link machine.LinkID, class machine.Class, weight int) {
	n, ok := b.neighbours.Get(link)
	if !ok || class == machine.Control {
		return
	}
	// A link's queue and this count agree; a shell that drains too much must not
	// let the count run away.
	if n.queued -= weight; n.queued < 0 {
		n.queued = 0
	}
	// Half empty, so that the answers to the offers find room.
	if len(n.deferred) > 0 && n.queued <= b.bounds.bulk/2 {
		list := n.deferred
		n.deferred = nil
		b.offerDeferred(now, n, list)
	}
}

// offerDeferred turns runs of deferrals of one root and target into offers.
func (b *Backbone) offerDeferred(now int64, n *neighbour, list []deferral) {
	for len(list) > 0 {
		// Runs suffice: a burst is of one target, and others cost one frame more.
		first, k := list[0], 1
		for k < len(list) && k < wire.EntriesMax && list[k].root == first.root && list[k].at == first.at {
			k++
		}
		ids := make([]wire.Prefix, k)
		for i := range ids {
			ids[i] = list[i].id
		}
		b.sendOffer(n.link, &wire.Offer{Root: first.root, Target: first.at, OID: b.newOID(now, first.root, first.at), IDs: ids})
		list = list[k:]
	}
}

// isEdge reports whether n is parent or child in the tree of root, or was a few
// seconds ago: what was sent before a change may arrive after it (F2).
func (b *Backbone) isEdge(now int64, n *neighbour, root identity.Address) bool {
	// Both ends see a change a moment apart.
	if p, ok := b.forest.Parent(root); ok && p == n.link {
		return true
	}
	if br, ok := b.branches.Get(root); ok && br.child(n.link) != nil {
		return true
	}
	return n.wasEdge(now, root)
}

// wasEdge reports whether n was parent or child in the tree of root a few seconds
// ago.
func (n *neighbour) wasEdge(now int64, root identity.Address) bool {
	e, ok := n.edges[root]
	return ok && now-e.ended <= edgeGrace
}

// edgeEnded remembers for a minute that an edge was there. The map holds one entry
// per root that this router knew in that minute: tree bounds those.
func (b *Backbone) edgeEnded(now int64, link machine.LinkID, root identity.Address, parent bool) {
	n, ok := b.neighbours.Get(link)
	if !ok {
		return
	}
	e, had := n.edges[root]
	if e.ended = now; parent {
		e.parent = now
	}
	n.edges[root] = e
	if !had { // each entry has one job
		b.agenda.Put(now+askGrace+1, job{do: (*Backbone).edgeOver, root: root, link: link})
	}
}

// edgeOver forgets an edge, or looks again if it ended anew meanwhile.
func (b *Backbone) edgeOver(now int64, j job) {
	n, ok := b.neighbours.Get(j.link)
	if !ok {
		return
	}
	if over := n.edges[j.root].ended + askGrace + 1; over > now {
		b.agenda.Put(over, j)
		return
	}
	delete(n.edges, j.root)
}
