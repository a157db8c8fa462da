package attach

import (
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// taking is an envelope that waits for the upstream's custody, and who published
// it.
type taking struct {
	isNew   bool // the gate saw it for the first time
	custody bool // upstream has it
	serving bool // the subscribers here are about to be served
	takers  []machine.LinkID
	edges   []*client // takers that are edge routers
}

// onPublish has an envelope judged; Verdict goes on with it (F1).
func (h *Home) onPublish(now int64, s *session, f *wire.Publish) {
	h.Verdict(now, h.gate.Submit(now, gate.Case{Asker: machine.OwnerHome, Link: s.link, Envelope: f.Envelope}))
}

// Verdict takes the gate's answer to what a client published.
func (h *Home) Verdict(now int64, v gate.Verdict) {
	h.begin(now)
	switch v.Result {
	case gate.Accepted:
		h.accepted(now, v)
	case gate.Known:
		h.known(now, v)
	case gate.Refused:
		h.refusePublish(v.Case.Link, v.Case.Envelope.ID, v.Code, v.RetryAfter, v.Text)
	}
}

// refusePublish tells a publisher and the operator why an envelope was refused.
func (h *Home) refusePublish(link machine.LinkID, id envelope.ID, code wire.Code, after uint64, text string) {
	h.desk.Do(machine.Report{Event: machine.PublishRefused, Link: link, Code: code, ID: id, Text: text})
	h.published(link, id, code, after)
}

// published answers a publisher, if its link is still there. If not, it publishes
// again, and the id tells that it is known.
func (h *Home) published(link machine.LinkID, id envelope.ID, code wire.Code, after uint64) {
	if _, ok := h.sessions[link]; ok {
		h.desk.Send(link, machine.Control, &wire.Published{ID: id, Code: code, RetryAfter: after})
	}
}

// accepted hands an envelope upstream and to who subscribed here, in one commit of
// the store: what is acknowledged is in custody and in all mailboxes of this router.
// Upstream's answer may come within the call; what it refuses there is not served.
func (h *Home) accepted(now int64, v gate.Verdict) {
	id := v.Case.Envelope.ID
	t := h.taking(v.Case)
	t.isNew, t.serving = !v.Case.Recheck, true
	if v.Case.Recheck {
		// It was asked for because nothing is held any more: it goes into custody again,
		// but not through the network.
		h.up.Retake(now, v.Admitted)
	} else {
		h.up.Take(now, v.Admitted)
	}
	if h.takes[id] != t {
		return
	}
	h.serve(now, v.Admitted, Receipt{}, t.edges)
	t.serving = false
	h.answerTakers(id)
}

// known answers a publish of what was admitted before: whoever holds it says so
// again. Is nothing held of it any more, it is checked like a new one.
func (h *Home) known(now int64, v gate.Verdict) {
	e := v.Case.Envelope
	h.desk.Do(machine.Report{Event: machine.PublishAgain, Link: v.Case.Link, ID: e.ID})
	_, waits := h.takes[e.ID]
	switch {
	case e.Flags&envelope.Live != 0 && !waits: // nobody holds live ones
		h.published(v.Case.Link, e.ID, wire.OK, 0)
		return
	case waits:
		h.taking(v.Case)
		return
	}
	h.taking(v.Case)
	if h.up.Again(now, e) {
		return
	}
	delete(h.takes, e.ID)
	c := v.Case
	c.Recheck = true
	h.Verdict(now, h.gate.Submit(now, c))
}

// taking notes a publisher of an id.
func (h *Home) taking(c gate.Case) *taking {
	id := c.Envelope.ID
	t, ok := h.takes[id]
	if !ok {
		t = &taking{}
		h.takes[id] = t
	}
	if len(t.takers) >= takersMax {
		h.published(c.Link, id, wire.Rate, retryMail)
		return t
	}
	t.takers = append(t.takers, c.Link)
	if s, ok := h.sessions[c.Link]; ok && s.client != nil && s.role == wire.Edge {
		t.edges = append(t.edges, s.client)
	}
	return t
}

// Taken takes the upstream's answer: only with OK the publishers hear that the
// envelope is in custody. After a refusal the id counts as unseen, else the next try
// would not be pushed any more.
func (h *Home) Taken(now int64, id envelope.ID, code wire.Code, retryAfter uint64) {
	h.begin(now)
	t, ok := h.takes[id]
	switch {
	case !ok && code == wire.OK:
	case !ok: // a home refused what this edge router had taken
		h.desk.Do(machine.Report{Event: machine.PublishRefused, Code: code, ID: id, Text: "a home refused it"})
	case code == wire.OK:
		t.custody = true
		h.answerTakers(id)
	default:
		delete(h.takes, id)
		if t.isNew {
			h.gate.Forget(id)
		}
		for _, link := range t.takers {
			h.refusePublish(link, id, code, retryAfter, code.Sentence())
		}
	}
}

// answerTakers tells publishers that an envelope is safe: in custody upstream, and
// durable for all who subscribed here.
func (h *Home) answerTakers(id envelope.ID) {
	t, ok := h.takes[id]
	if !ok || !t.custody || t.serving {
		return
	}
	if _, ok := h.unsafe[id]; ok {
		return
	}
	delete(h.takes, id)
	for _, link := range t.takers {
		h.desk.Do(machine.Report{Event: machine.PublishAccepted, Link: link, ID: id})
		h.published(link, id, wire.OK, 0)
	}
}

// Deliver takes an envelope from upstream that somebody here wants.
func (h *Home) Deliver(now int64, a gate.Admitted, r Receipt) {
	h.begin(now)
	h.serve(now, a, r, nil)
}

// serve brings an envelope to who subscribed here, in the order of its stream.
// edges published it: they have it already.
func (h *Home) serve(now int64, a gate.Admitted, r Receipt, edges []*client) {
	e := a.Envelope()
	if _, ok := h.audiences[e.Target]; !ok && e.Target != h.own() {
		h.done(now, r)
		return
	}
	// The gate knows ids for 15 minutes; a replay that comes later ends here, before
	// it gets a number (F4).
	if !h.given.add(e.ID) {
		h.desk.Do(machine.Report{Event: machine.DuplicateDropped, ID: e.ID})
		h.done(now, r)
		return
	}
	if len(edges) > 0 {
		h.source[e.ID] = edges
	}
	h.passed = h.order.Put(now, a, r, h.passed[:0])
	if r == (Receipt{}) && len(h.members(e.Target)) > 0 && !passed(h.passed, e.ID) {
		h.keepHeld(e)
	}
	h.passOn(now, h.passed)
	clear(h.passed)
}

// passOn brings what the sequencer let through to who subscribed.
func (h *Home) passOn(now int64, list []Passed) {
	for i := range list {
		switch p := &list[i]; p.Order {
		case Hole:
			h.desk.Do(machine.Report{Event: machine.HoleGivenUp, Count: int(min(p.Gap.Count, 1<<31)), Text: "a hole in a stream was not repaired"})
			h.spreadGap(now, &p.Gap, Receipt{})
		case Duplicate:
			delete(h.source, p.Admitted.Envelope().ID)
			if hd := h.unhold(p.Admitted.Envelope().ID); hd != nil {
				h.desk.Forget(hd.key())
			}
			h.desk.Do(machine.Report{Event: machine.DuplicateDropped, ID: p.Admitted.Envelope().ID})
			h.done(now, p.Receipt)
		default:
			h.spread(now, p.Admitted.Envelope(), p.Receipt)
		}
	}
}

// spread gives an envelope to all who subscribed: to durable subscriptions through
// their mailboxes, all of them in one Store; live ones, and what is subscribed to
// while linked, directly.
func (h *Home) spread(now int64, e *envelope.Envelope, r Receipt) {
	edges := h.source[e.ID]
	delete(h.source, e.ID)
	if e.Target == h.own() {
		h.desk.Do(machine.Report{Event: machine.RouterMail, ID: e.ID})
		h.desk.Do(machine.Deliver{Envelope: e})
	}
	var b *batch
	var l *letter
	for _, sub := range h.members(e.Target) {
		c := sub.client
		switch {
		case has(edges, c): // its services have it (H2)
		case e.Flags&envelope.Live != 0 || sub.mode == wire.WhileLinked:
			h.sendLive(c.session, e)
		default:
			if b == nil {
				l = newLetter(e, h.markOf(h.audiences[e.Target], e))
				b = &batch{target: e.Target, letter: l, receipt: r, rows: []machine.Row{letterRow(l)}}
			}
			h.enter(c, b, e.Target, &entry{letter: l, size: l.size + entryCost})
		}
	}
	hd := h.unhold(e.ID)
	if b == nil {
		if hd != nil {
			h.desk.Forget(hd.key())
		}
		h.done(now, r)
		return
	}
	if hd != nil { // what held it goes with the Store that takes its place
		b.held = hd
		b.rows = append(b.rows, machine.Row{Key: hd.key()})
	}
	if hd == nil || !hd.stored {
		h.unsafe[e.ID] = struct{}{}
	}
	h.store(b)
}

// members are who subscribed to a target; nobody changes the list while it is
// served.
func (h *Home) members(t envelope.Target) []*subscription {
	if a, ok := h.audiences[t]; ok {
		return a.members
	}
	return nil
}

// has reports whether c is in a list, which is short: the edges of one envelope.
func has(list []*client, c *client) bool {
	for _, x := range list {
		if x == c {
			return true
		}
	}
	return false
}

// Gap takes word from upstream that items of a target will not come.
func (h *Home) Gap(now int64, g wire.Gap, r Receipt) {
	h.begin(now)
	h.order.Excuse(g.Target, g.Count)
	h.spreadGap(now, &g, r)
}

// spreadGap tells all who subscribed to a target of a gap: it takes a number in a
// mailbox, since it must not get lost either; or the last of the target and reason
// that waits there takes it in, since a hostile writer makes as many as envelopes.
func (h *Home) spreadGap(now int64, g *wire.Gap, r Receipt) {
	var b *batch
	for _, sub := range h.members(g.Target) {
		if sub.mode == wire.WhileLinked {
			if s := sub.client.session; s != nil && s.state == attached {
				s.miss(g)
				h.pumpLive(s)
			}
			continue
		}
		if b == nil {
			b = &batch{target: g.Target, receipt: r}
		}
		if l := sub.client.lanes[g.Target]; l != nil && l.gaps[slot(g.Why)] != nil {
			e := l.gaps[slot(g.Why)]
			widen(e.gap, g)
			b.widened = append(b.widened, place{sub.client, e})
			b.rows = append(b.rows, mailRow(sub.client, e))
			continue
		}
		own := *g // each mailbox may add to its own
		own.N = 0
		h.enter(sub.client, b, g.Target, &entry{gap: &own, size: entryCost})
	}
	if b == nil {
		h.done(now, r)
		return
	}
	h.store(b)
}

// sendLive sends an envelope without a number. Under pressure the oldest go,
// counted and told of (F3).
func (h *Home) sendLive(s *session, e *envelope.Envelope) {
	if s == nil || s.state != attached {
		return
	}
	if len(e.Raw)+deliverHead > s.maxFrame {
		h.lose(s, e, wire.WhyTooLarge)
		h.pumpLive(s)
		return
	}
	s.live.push(&wire.Deliver{Envelope: e})
	s.liveBytes += len(e.Raw)
	h.pumpLive(s)
	for s.liveBytes > liveMax || s.live.len() > liveEntries {
		f, _ := s.live.pop()
		s.liveBytes -= len(f.Envelope.Raw)
		h.lose(s, f.Envelope, wire.WhyLive)
	}
}

// lose counts an envelope that will not be sent. The gap goes before whatever of
// its target is sent next.
func (h *Home) lose(s *session, e *envelope.Envelope, why wire.Why) {
	h.desk.Do(machine.Report{Event: machine.MailboxDropped, Link: s.link, ID: e.ID})
	s.miss(gapOf(e, why))
}

// miss notes a gap without a number, to be sent when there is room.
func (s *session) miss(g *wire.Gap) {
	if s.lost == nil {
		s.lost = ordered.NewMap[envelope.Target, *wire.Gap](envelope.Target.Compare)
	}
	if known, ok := s.lost.Get(g.Target); ok {
		widen(known, g)
		return
	}
	own := *g
	own.N = 0
	s.lost.Set(g.Target, &own)
}

// pumpLive sends what waits without numbers, gaps first.
func (h *Home) pumpLive(s *session) {
	for s.backlog < backlogMax {
		if s.lost != nil && s.lost.Len() > 0 {
			for _, g := range s.lost.All() {
				h.bulk(s, g)
			}
			s.lost = nil
		}
		f, ok := s.live.pop()
		if !ok {
			return
		}
		s.liveBytes -= len(f.Envelope.Raw)
		h.bulk(s, f)
		h.desk.Do(machine.Report{Event: machine.Delivered, Link: s.link, ID: f.Envelope.ID})
	}
}
