package attach

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// want is what somebody here subscribed to.
type want struct {
	target envelope.Target
	mode   wire.Mode
	grant  *wire.Grant // of an address that is not our own
	tries  int         // subscriptions that were refused for now
}

// Want subscribes to t at every home, now and after each attach. For another
// address than our own it needs a grant that names us; of ours we sign one for
// each home ourselves.
func (c *Client) Want(now int64, t envelope.Target, grant *wire.Grant) {
	c.want(now, t, grant, wire.Durable)
}

// Watch is Want without a mailbox: what comes while there is no link is missed.
func (c *Client) Watch(now int64, t envelope.Target, grant *wire.Grant) {
	c.want(now, t, grant, wire.WhileLinked)
}

// want notes a subscription and says it to all homes that are attached. Saying it
// again is harmless and renews the grant.
func (c *Client) want(now int64, t envelope.Target, grant *wire.Grant, mode wire.Mode) {
	c.begin(now)
	w, ok := c.wants.Get(t)
	if !ok {
		w = &want{target: t}
		c.wants.Set(t, w)
	}
	w.mode = mode
	if grant != nil && (w.grant == nil || grant.NotAfter > w.grant.NotAfter) {
		w.grant = grant
	}
	for _, h := range c.homes {
		h.left.Delete(t)
		if h.up != nil && h.up.attached {
			c.subscribe(now, h, w)
		}
	}
}

// Unwant ends a subscription at every home. A home that does not hear of it now, or
// whose answer is lost, hears of it at the next attach: else it would collect mail
// until the lease of the mailbox ends.
func (c *Client) Unwant(_ int64, t envelope.Target) {
	if !c.wants.Delete(t) {
		return
	}
	for _, h := range c.homes {
		c.quit(h, t)
	}
}

// quit ends a subscription at one home: after a restart also one of which only the
// home knows.
func (c *Client) quit(h *home, t envelope.Target) {
	if h.left.Len() < SubscriptionsMax {
		h.left.Set(t, 0)
	}
	if h.up != nil && h.up.attached {
		c.unsubscribe(h, t)
	}
}

// unsubscribe says to one home what is wanted no more.
func (c *Client) unsubscribe(h *home, t envelope.Target) {
	c.refs++
	if h.left.Has(t) {
		h.left.Set(t, c.refs)
	}
	h.up.quit[c.refs] = t
	c.desk.Send(h.up.link, machine.Control, &wire.Unsubscribe{Ref: c.refs, Target: t})
}

// subscribe says to one home what is wanted.
func (c *Client) subscribe(now int64, h *home, w *want) {
	grant := w.grant
	if c.isOwn(w.target) {
		if grant = c.ownGrant(now, h); grant == nil {
			return // being signed; then it goes on
		}
	}
	c.refs++
	h.up.asked[c.refs] = w.target
	f := &wire.Subscribe{Ref: c.refs, Target: w.target, Mode: w.mode}
	if w.target.Kind == envelope.Address {
		f.Grant = grant
	}
	c.desk.Send(h.up.link, machine.Control, f)
}

// isOwn reports whether t is our own address, for which grants are ours to sign.
func (c *Client) isOwn(t envelope.Target) bool {
	return t == envelope.Target{Kind: envelope.Address, To: c.cfg.Self}
}

// ownGrant returns the grant by which a home may receive for our own address. It
// is signed when first wanted, and again when two thirds of its life are over.
func (c *Client) ownGrant(now int64, h *home) *wire.Grant {
	renew := int64(grantLife - grantRenew)
	if h.grant != nil && int64(h.grant.NotAfter)-now > renew {
		return h.grant
	}
	if h.signing {
		return nil
	}
	h.signing = true
	g := &wire.Grant{Address: c.cfg.Self, Router: h.address, NotAfter: uint64(now + grantLife)}
	g.Encode()
	c.sign(identity.LabelGrant, g.Signed.Body, func(now int64, sig identity.Signature) {
		g.Signed.Sig, h.grant, h.signing = sig, g, false
		c.agenda.Put(int64(g.NotAfter)-renew, task{do: (*Client).renewOwn, home: h})
		c.renewOwn(now, task{home: h})
	})
	return nil
}

// renewOwn subscribes to our own address with a grant that lasts.
func (c *Client) renewOwn(now int64, t task) {
	own := envelope.Target{Kind: envelope.Address, To: c.cfg.Self}
	if w, ok := c.wants.Get(own); ok && t.home.up != nil && t.home.up.attached {
		c.subscribe(now, t.home, w)
	}
}

// onSubscribed takes a home's answer. What was refused for want of room is tried
// again.
func (c *Client) onSubscribed(now int64, u *uplink, f *wire.Subscribed) {
	if t, ok := u.quit[f.Ref]; ok {
		delete(u.quit, f.Ref)
		if u.home.left.At(t) == f.Ref && f.Code == wire.OK {
			u.home.left.Delete(t) // and no later one is under way
		}
		return
	}
	t, ok := u.asked[f.Ref]
	if !ok {
		return
	}
	delete(u.asked, f.Ref)
	w, ok := c.wants.Get(t)
	if !ok {
		return
	}
	if c.observer != nil {
		c.observer.Subscribed(now, t, f.Code)
	}
	if f.Code == wire.OK {
		w.tries = 0
		return
	}
	c.desk.Do(machine.Report{Event: machine.FrameIgnored, Link: u.link, Code: f.Code, Text: "a home refused a subscription"})
	if f.Code.Retry() {
		c.agenda.Put(now+c.backoff(w.tries), task{do: (*Client).subscribeAgain, home: u.home, target: t})
		w.tries++
	}
}

// subscribeAgain repeats what was refused for now, if it is still wanted.
func (c *Client) subscribeAgain(now int64, t task) {
	if w, ok := c.wants.Get(t.target); ok && t.home.up != nil && t.home.up.attached {
		c.subscribe(now, t.home, w)
	}
}
