package attach

import (
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
	flying  window        // sent and not answered
	current *uplink       // where it goes; nil: nowhere
	stores  map[machine.Token]*parcel
}

// parcel is one envelope of the outbox.
type parcel struct {
	envelope *envelope.Envelope
	turn     uint64
	own      bool // this process made it: Taken tells of a home's answer, not of the store's
	stored   bool
	sent     bool // on the current link
	paused   bool // waits to be tried again
	tries    int
	gone     bool
}

func newOutbox() outbox {
	return outbox{
		byID:   make(map[envelope.ID]*parcel),
		byTurn: ordered.NewMap[uint64, *parcel](compareTurn),
		stores: make(map[machine.Token]*parcel),
	}
}

func compareTurn(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func outboxKey(p *parcel) []byte { return numbered([]byte{outboxTable}, p.turn) }

// Publish sends what this process made and signed itself. It stays in the outbox
// until a home took it or refused it for good, which Taken tells; it is sent again
// on every attach. Two of one id are one.
func (c *Client) Publish(now int64, e *envelope.Envelope) {
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

func (c *Client) fits(e *envelope.Envelope) bool {
	l := &c.cfg.Limits
	return len(c.outbox.byID) < l.OutboxEnvelopes && c.outbox.bytes+len(e.Raw) <= l.OutboxBytes
}

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

func (c *Client) remove(p *parcel) {
	o := &c.outbox
	c.land(p)
	p.gone = true
	delete(o.byID, p.envelope.ID)
	o.byTurn.Delete(p.turn)
	o.bytes -= len(p.envelope.Raw)
	if p.stored && !p.own && p.envelope.Flags&envelope.Live == 0 {
		c.desk.Forget(outboxKey(p))
	}
}

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
			c.land(p)
			if p.stored && !p.paused {
				o.queue.push(p)
			}
		}
	}
	c.flush(now)
}

// flush sends within the window.
func (c *Client) flush(now int64) {
	o := &c.outbox
	for o.current != nil && o.flying.room(outWindow, outWindowBytes) {
		p, ok := o.queue.pop()
		if !ok {
			return
		}
		switch {
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
		p.paused = true
		wait := max(c.backoff(p.tries), int64(min(f.RetryAfter, backoffMax)))
		p.tries++
		c.agenda.Put(now+wait, task{do: (*Client).tryAgain, parcel: p})
	}
	c.flush(now)
}

func (c *Client) tryAgain(now int64, t task) {
	if t.parcel.paused = false; !t.parcel.gone {
		c.outbox.queue.push(t.parcel)
		c.flush(now)
	}
}

// finish ends a parcel and says how. An edge router has acknowledged it before, so
// only a refusal is news there.
func (c *Client) finish(now int64, p *parcel, code wire.Code) {
	c.remove(p)
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
