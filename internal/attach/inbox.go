package attach

import (
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// onDeliver judges what a home delivers. A number that is done already is
// acknowledged again; one that is on its way downwards is not delivered twice.
func (c *Client) onDeliver(now int64, u *uplink, f *wire.Deliver) {
	n, ok := c.admitNumber(now, u, f.N)
	if !ok {
		return
	}
	c.Verdict(now, c.gate.Submit(now, gate.Case{
		Asker: machine.OwnerClient, Link: u.link, Envelope: f.Envelope, N: n, Root: u.home.address,
	}))
}

// onGap passes on that items will not come. A gap has a number like an envelope.
func (c *Client) onGap(now int64, u *uplink, f *wire.Gap) {
	n, ok := c.admitNumber(now, u, f.N)
	if !ok {
		return
	}
	g := *f
	g.N = 0
	c.down.Gap(now, g, receipt(u.home, n))
}

// admitNumber turns a mailbox number into one of this client's life, and says
// whether it is to be handled. Number 0 is of live envelopes: 0 and true.
func (c *Client) admitNumber(now int64, u *uplink, number uint64) (uint64, bool) {
	t := &u.home.tally
	switch {
	case number == 0:
		return 0, true
	case number > 1<<48: // no honest home comes that far
		c.desk.Count(machine.FrameIgnored, u.link)
		return 0, false
	case t.has(number):
		t.again(number)
		c.ackSoon(now, u.home)
		return 0, false
	case t.isPending(number) || len(t.pending) >= pendingMax:
		return 0, false
	}
	t.pending[number] = struct{}{}
	return t.base + number, true
}

// receipt names a number to whoever takes the envelope; live ones need none.
func receipt(h *home, n uint64) Receipt {
	if n == 0 {
		return Receipt{}
	}
	return Receipt{h.address, n}
}

// Verdict takes the gate's answer to what a home delivered. The link may have
// ended meanwhile: what was admitted is delivered all the same, since the gate
// knows its id now.
func (c *Client) Verdict(now int64, v gate.Verdict) {
	c.begin(now)
	h := c.homeOf(v.Case.Root)
	r := receipt(h, v.Case.N)
	switch {
	case v.Result == gate.Waiting:
	case v.Result == gate.Refused:
		c.refused(now, h, v)
	case v.Result == gate.Accepted && h.left.Has(v.Case.Envelope.Target):
		c.Done(now, r) // sent before the home heard that it is wanted no more
	case v.Result == gate.Accepted && c.strange(v.Case.Envelope.Target):
		c.quit(h, v.Case.Envelope.Target)
		c.Done(now, r)
	case v.Result == gate.Accepted && c.given.add(v.Case.Envelope.ID):
		c.down.Deliver(now, v.Admitted, r)
	default: // it came from another home, or from an earlier mailbox
		c.desk.Count(machine.DuplicateDropped, v.Case.Link)
		c.Done(now, r)
	}
}

// strange reports whether an edge router gets what nobody behind it wants: its home
// remembers a subscription that ended while this router was down. A service may be
// about to subscribe again, and mail for the router itself needs no subscription.
func (c *Client) strange(t envelope.Target) bool {
	return c.cfg.Role == wire.Edge && !c.wants.Has(t) && !c.isOwn(t)
}

// refused drops what a home should not have delivered. It is acknowledged, else
// it would stand in the window for ever; where it is told of without doubt, as a
// gap. What may pass later is tried again.
func (c *Client) refused(now int64, h *home, v gate.Verdict) {
	e := v.Case.Envelope
	c.desk.Do(machine.Report{Event: machine.RelayRefused, Link: v.Case.Link, Code: v.Code, ID: e.ID, Text: v.Text})
	r := receipt(h, v.Case.N)
	switch {
	case v.Code.Retry():
		if v.Case.N != 0 {
			wait := max(int64(v.RetryAfter), backoffFirst)
			c.agenda.Put(now+wait, task{do: (*Client).judgeAgain, deal: v.Case})
		}
	case v.Code == wire.Expired:
		c.down.Gap(now, *gapOf(e, wire.WhyExpired), r)
	default: // forged or of a newer version: no evidence of what is missing
		c.Done(now, r)
	}
}

// judgeAgain asks the gate once more. The number stays pending meanwhile, so the
// home's window holds.
func (c *Client) judgeAgain(now int64, t task) {
	if t.deal.N <= c.homeOf(t.deal.Root).tally.base {
		return // of an earlier mailbox, whose window does not bound it any more
	}
	c.Verdict(now, c.gate.Submit(now, t.deal))
}

// Done says that what came with a receipt was delivered for good. Its home hears
// of it soon, together with others.
func (c *Client) Done(now int64, r Receipt) {
	if r == (Receipt{}) {
		return
	}
	h := c.homeOf(r.Home)
	if r.N <= h.tally.base {
		return // of an earlier mailbox
	}
	if h.tally.done(r.N - h.tally.base) {
		c.ackSoon(now, h)
	}
}

// ackSoon sends the acknowledgements that wait, at once if they are many.
func (c *Client) ackSoon(now int64, h *home) {
	if len(h.tally.fresh) >= ackEvery {
		c.flushAcks(h)
		return
	}
	if h.acks == 0 && h.up != nil && h.up.attached {
		h.acks = now + ackDelay
	}
}

// Flush tells the homes now of all that is done, instead of a moment later: for a
// process that is about to end.
func (c *Client) Flush() {
	for _, h := range c.homes {
		c.flushAcks(h)
	}
}

// flushAcks tells a home what is done and it was not told of.
func (c *Client) flushAcks(h *home) {
	h.acks = 0
	if h.up == nil || !h.up.attached {
		return
	}
	for _, f := range h.tally.frames() {
		c.desk.Send(h.up.link, machine.Control, f)
	}
	if h.tally.all >= h.saved+saveEvery {
		c.save(h)
	}
}
