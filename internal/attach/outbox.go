package attach

import (
	"cmp"
	"slices"

	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// outbox holds what was published and no home has taken yet, in order.
type outbox struct {
	byID    map[envelope.ID]*parcel
	byTurn  *ordered.Map[uint64, *parcel]
	turn    uint64
	bytes   int
	queue   fifo[*parcel] // to be sent, in order
	halted  map[envelope.Stream]*halt
	resumed fifo[*halt] // what they held back goes before the queue
	flying  window      // sent and not answered
	current *uplink     // where it goes; nil: nowhere
	stores  map[machine.Token]*parcel
}

// parcel is one envelope of the outbox.
type parcel struct {
	envelope *envelope.Envelope
	turn     uint64
	own      bool // this process made it: Taken tells of a home's answer, not of the store's
	stored   bool
	sent     bool // on the current link
	gone     bool
}

// halt is a stream of which a home refused something for now. All of the stream
// waits with it: what follows must not overtake it by more than receivers wait.
type halt struct {
	tries   int
	until   int64 // when it goes on; 0: it does, what waits first
	waiting []*parcel
}

// durable reports whether a parcel has a row.
func (p *parcel) durable() bool { return !p.own && p.envelope.Flags&envelope.Live == 0 }

// hold lets a parcel wait, in its turn.
func (h *halt) hold(p *parcel) {
	i, _ := slices.BinarySearchFunc(h.waiting, p.turn, func(q *parcel, turn uint64) int { return cmp.Compare(q.turn, turn) })
	h.waiting = slices.Insert(h.waiting, i, p)
}

// newOutbox returns an empty outbox.
func newOutbox() outbox {
	return outbox{
		byID:   make(map[envelope.ID]*parcel),
		byTurn: ordered.NewMap[uint64, *parcel](cmp.Compare[uint64]),
		stores: make(map[machine.Token]*parcel),
		halted: make(map[envelope.Stream]*halt),
	}
}

// outboxKey is the key of a parcel's row; rows sort by turn, so a restart would find
// them in the order in which they were published.
func outboxKey(p *parcel) []byte { return numbered([]byte{outboxTable}, p.turn) }

// Publish sends what this process made and signed itself. It stays in the outbox
// until a home took it or refused it for good, which Taken tells; it is sent again
// on every attach. Two of one id are one.
func (c *Client) Publish(now int64, e *envelope.Envelope) {
	c.begin(now)
	if p, ok := c.outbox.byID[e.ID]; ok {
		p.own = true
		return
	}
	if !c.fits(e) {
		c.down.Taken(now, e.ID, wire.Quota, retryMail)
		return
	}
	p := c.keep(now, e)
	p.own, p.stored = true, true
	c.outbox.queue.push(p)
	c.flush(now)
}

// Take takes into custody what a client of this edge router published: stored,
// acknowledged, then sent to a home until that has it.
func (c *Client) Take(now int64, a gate.Admitted) {
	c.begin(now)
	e := a.Envelope()
	if c.Again(now, e) {
		return
	}
	if !c.fits(e) {
		c.down.Taken(now, e.ID, wire.Quota, retryMail)
		return
	}
	p := c.keep(now, e)
	if e.Flags&envelope.Live != 0 { // live ones are stored nowhere
		p.stored = true
		c.down.Taken(now, e.ID, wire.OK, 0)
		c.outbox.queue.push(p)
		c.flush(now)
		return
	}
	c.outbox.stores[c.desk.Store(machine.OwnerClient, machine.Row{Key: outboxKey(p), Value: e.Raw})] = p
}

// Again answers for what waits in the outbox. What a home has taken is held no
// more.
func (c *Client) Again(now int64, e *envelope.Envelope) bool {
	c.begin(now)
	p, ok := c.outbox.byID[e.ID]
	if ok && p.stored {
		c.down.Taken(now, e.ID, wire.OK, 0)
	}
	return ok
}

// Retake is Take: a home recognises what it has by the id.
func (c *Client) Retake(now int64, a gate.Admitted) { c.Take(now, a) }

// Stored acknowledges what an edge router's client published: it is durable here.
func (c *Client) Stored(now int64, t machine.Token, err error) {
	p, ok := c.outbox.stores[t]
	if !ok {
		return
	}
	delete(c.outbox.stores, t)
	if p.gone { // it expired meanwhile
		c.desk.Forget(outboxKey(p))
		return
	}
	if err != nil {
		c.desk.Do(machine.Report{Event: machine.TableFull, Code: wire.StorageFull, ID: p.envelope.ID, Text: err.Error()})
		c.remove(p)
		c.down.Taken(now, p.envelope.ID, wire.StorageFull, retryMail)
		return
	}
	p.stored = true
	c.outbox.queue.push(p)
	c.down.Taken(now, p.envelope.ID, wire.OK, 0)
	c.flush(now)
}

// fits reports whether the outbox has room. What was taken is never given up for
// what comes (spec §9.2).
func (c *Client) fits(e *envelope.Envelope) bool {
	l := &c.cfg.Limits
	return len(c.outbox.byID) < l.OutboxEnvelopes && c.outbox.bytes+len(e.Raw) <= l.OutboxBytes
}

// keep puts an envelope at the end of the outbox.
func (c *Client) keep(now int64, e *envelope.Envelope) *parcel {
	o := &c.outbox
	o.turn++
	p := &parcel{envelope: e, turn: o.turn}
	o.byID[e.ID] = p
	o.byTurn.Set(p.turn, p)
	o.bytes += len(e.Raw)
	if c.again == 0 {
		c.again = now + sweepEvery
	}
	return p
}

// remove takes out a parcel, and its row if it has one. Queues that hold it skip it.
func (c *Client) remove(p *parcel) {
	o := &c.outbox
	c.land(p)
	p.gone = true
	delete(o.byID, p.envelope.ID)
	o.byTurn.Delete(p.turn)
	o.bytes -= len(p.envelope.Raw)
	if p.stored && p.durable() {
		c.desk.Forget(outboxKey(p))
	}
}

// land takes a parcel out of the window.
func (c *Client) land(p *parcel) {
	if p.sent {
		p.sent = false
		c.outbox.flying.add(-1, len(p.envelope.Raw))
	}
}

// choose decides where to publish: at the first attached home, in their order.
// When that changes, all that was not answered goes again, in order; by its id the
// other home knows what it has.
func (c *Client) choose(now int64) {
	var best *uplink
	for _, h := range c.homes {
		if h.up != nil && h.up.attached {
			best = h.up
			break
		}
	}
	o := &c.outbox
	if best != o.current {
		o.current = best
		o.queue.clear()
		for _, p := range o.byTurn.All() {
			if h := o.halted[p.envelope.Stream()]; h != nil {
				h.waiting = nil // all goes through the queue again
			}
			if c.land(p); p.stored {
				o.queue.push(p)
			}
		}
	}
	c.flush(now)
}

// nextParcel returns what is to be sent next; nil: nothing. Of a halted stream
// nothing is, and of one that goes on nothing new before what it held back.
func (o *outbox) nextParcel() *parcel {
	for h, ok := o.resumed.peek(); ok; h, ok = o.resumed.peek() {
		if h.until == 0 && len(h.waiting) > 0 {
			p := h.waiting[0]
			h.waiting = h.waiting[1:]
			return p
		}
		o.resumed.pop()
	}
	for p, ok := o.queue.pop(); ok; p, ok = o.queue.pop() {
		if h := o.halted[p.envelope.Stream()]; h == nil || h.until == 0 {
			return p
		} else if !p.gone {
			h.hold(p)
		}
	}
	return nil
}

// flush sends within the window.
func (c *Client) flush(now int64) {
	o := &c.outbox
	for o.current != nil && o.flying.room(outWindow, outWindowBytes) {
		p := o.nextParcel()
		switch {
		case p == nil:
			return
		case p.gone || p.sent:
		case int64(p.envelope.Expires()) < now:
			c.finish(now, p, wire.Expired)
		default:
			p.sent = true
			o.flying.add(1, len(p.envelope.Raw))
			c.desk.Send(o.current.link, machine.Bulk, &wire.Publish{Envelope: p.envelope})
		}
	}
}

// onPublished takes a home's answer: in custody there, refused for good, or to be
// tried again.
func (c *Client) onPublished(now int64, f *wire.Published) {
	p, ok := c.outbox.byID[f.ID]
	switch {
	case !ok || !p.stored:
		return
	case !f.Code.Retry():
		c.finish(now, p, f.Code)
	case p.sent:
		c.desk.Do(machine.Report{Event: machine.PublishRefused, Code: f.Code, ID: f.ID, Text: "a home refused it for now"})
		c.land(p)
		c.halt(now, p, int64(min(f.RetryAfter, backoffMax)))
	}
	c.flush(now)
}

// halt holds a parcel's stream back for a while, the longer the more often.
func (c *Client) halt(now int64, p *parcel, atLeast int64) {
	s := p.envelope.Stream()
	h, ok := c.outbox.halted[s]
	if !ok {
		h = &halt{}
		c.outbox.halted[s] = h
	}
	if h.hold(p); h.until != 0 {
		return // another of its parcels was refused before
	}
	h.until = now + max(c.backoff(h.tries), atLeast)
	h.tries++
	c.agenda.Put(h.until, task{do: (*Client).goOn, stream: s})
}

// goOn sends a halted stream again, from its first parcel on.
func (c *Client) goOn(now int64, t task) {
	h, ok := c.outbox.halted[t.stream]
	if !ok || h.until == 0 || h.until > now {
		return
	}
	h.until = 0
	h.waiting = slices.DeleteFunc(h.waiting, func(p *parcel) bool { return p.gone })
	if len(h.waiting) == 0 {
		delete(c.outbox.halted, t.stream)
	}
	c.outbox.resumed.push(h)
	c.flush(now)
}

// finish ends a parcel and says how. An edge router has acknowledged it before, so
// only a refusal is news there.
func (c *Client) finish(now int64, p *parcel, code wire.Code) {
	c.remove(p)
	s := p.envelope.Stream()
	if h, ok := c.outbox.halted[s]; ok && h.until == 0 && len(h.waiting) == 0 {
		delete(c.outbox.halted, s) // the next pause is short again
	}
	if p.own || code != wire.OK {
		c.down.Taken(now, p.envelope.ID, code, 0)
	}
}

// expireOutbox ends what waited for longer than it was to live, and looks again
// in a minute while anything waits.
func (c *Client) expireOutbox(now int64) {
	for _, p := range c.outbox.byTurn.All() {
		if int64(p.envelope.Expires()) < now {
			c.finish(now, p, wire.Expired)
		}
	}
	if c.again = 0; len(c.outbox.byID) > 0 {
		c.again = now + sweepEvery
	}
}
