package attach

import (
	"bytes"

	"upsycle/identity"
	"upsycle/internal/directory"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// session is a client's link.
type session struct {
	link     machine.LinkID
	peer     identity.Address
	role     wire.Role
	maxFrame int
	state    sessionState
	client   *client // while attached

	replaces bool // another process's link gave way to it, which is still to be told

	waits  machine.Token // the verification, or the Store of its client, that holds up the frames behind it
	queue  fifo[wire.Frame]
	queued int // bytes

	backlog   int // bytes of bulk in the link's queue
	live      fifo[*wire.Deliver]
	liveBytes int
	lost      *ordered.Map[envelope.Target, *wire.Gap] // live envelopes dropped, not told yet
}

type sessionState uint8

const (
	fresh    sessionState = iota // nothing came yet
	attached                     // the client's mailbox is open
	refused                      // a close is under way
)

// check is a frame whose claim is being verified.
type check struct {
	link  machine.LinkID
	frame wire.Frame
}

// client is the mailbox of one client, and what it subscribes to. It outlives the
// link for the time of its lease.
type client struct {
	address identity.Address
	role    wire.Role
	box     wire.Box
	homes   *wire.Homes
	storing int      // Stores of the client that an attach waits for
	stored  bool     // the store has role, box and homes document as they are
	session *session // nil while away
	lease   int64    // while away: when the mailbox goes
	since   int64    // away since then, as it stands in the store; 0: attached
	saved   uint64   // the store knows that numbers up to this one were given

	grantEnd int64 // not after the earliest end of a subscription's grant; 0: none
	subs     *ordered.Map[envelope.Target, *subscription]
	mailbox
}

// subscription is one client's interest in one target.
type subscription struct {
	client *client
	target envelope.Target
	mode   wire.Mode
	start  uint64      // what is older is not wanted, Unix milliseconds
	grant  *wire.Grant // of an address
	turn   int         // counts what changed
	saved  bool        // the store has it as it is
}

// opening is an attach that waits until its client is stored.
type opening struct {
	link   machine.LinkID
	client *client
	frame  *wire.Attach
}

// saying is an answer that waits until a subscription, or its end, is stored.
type saying struct {
	link  machine.LinkID
	ref   uint64
	sub   *subscription // nil: its end
	turn  int
	isNew bool
}

// onAttach opens the mailbox of a client (H1). Its homes document must be the
// client's own and name this home; of two epochs the higher counts.
func (h *Home) onAttach(now int64, s *session, f *wire.Attach) {
	doc := f.Homes
	standing := h.dir.Judge(doc)
	switch {
	case doc.Client != s.peer:
		h.refuseAttach(s, doc, wire.NotAllowed, "the homes document is another client's")
	case !doc.Names(h.cfg.Self):
		h.refuseAttach(s, doc, wire.NotAllowed, "the homes document does not name this router")
	case standing == directory.Older || standing == directory.Conflict:
		h.refuseAttach(s, doc, wire.NotAllowed, "another homes document of the same or a later epoch is known")
	case standing == directory.Known:
		h.open(now, s, f)
	default:
		h.ask(s, f, doc.Claim())
	}
}

// attachVerified goes on with an attach whose signature was checked. The document is
// judged again: two links of one client may have been verified side by side.
func (h *Home) attachVerified(now int64, s *session, f *wire.Attach, holds bool) {
	switch {
	case !holds:
		h.gate.Charge(now, s.link, wire.BadSignature, "the signature of a homes document does not hold")
		h.refuseAttach(s, f.Homes, wire.BadSignature, "the signature of the homes document does not hold")
	case !h.dir.PutHomes(f.Homes):
		h.refuseAttach(s, f.Homes, wire.Quota, "this router has as many clients as it may")
	case h.dir.Judge(f.Homes) > directory.Resigned: // another came while this was verified
		h.refuseAttach(s, f.Homes, wire.NotAllowed, "another homes document of the same or a later epoch is known")
	default:
		h.open(now, s, f)
	}
}

// refuseAttach answers with the epoch that is known, so that a client which
// forgot its own can go beyond it.
func (h *Home) refuseAttach(s *session, doc *wire.Homes, code wire.Code, text string) {
	epoch := doc.Epoch
	if known := h.dir.Homes(s.peer); known != nil {
		epoch = known.Epoch
	}
	h.desk.Send(s.link, machine.Control, &wire.Attached{Epoch: epoch, Code: code})
	h.desk.Do(machine.Report{Event: machine.LinkRefused, Link: s.link, Code: code, Text: text})
	h.refuse(s, code, text)
}

// open finds the mailbox of a client, or makes one. What is new of a client, of
// its homes document or its role, is stored before it is answered: after a restart the
// same box goes on.
func (h *Home) open(now int64, s *session, f *wire.Attach) {
	c, ok := h.clients.Get(s.peer)
	if !ok {
		if h.clients.Len() >= h.cfg.Limits.Clients {
			h.dir.ForgetHomes(s.peer)
			h.desk.Do(machine.Report{Event: machine.TableFull, Link: s.link, Text: "as many clients as the limit allows"})
			h.refuseAttach(s, f.Homes, wire.Quota, "this router has as many clients as it may")
			return
		}
		c = newClient(s.peer, h.newBox())
		h.clients.Set(s.peer, c)
	}
	if c.stored && c.storing == 0 && c.role == s.role && sameHomes(c.homes, f.Homes) {
		if c.since != 0 {
			c.since = 0
			h.desk.Do(machine.Store{Rows: []machine.Row{c.boxRow()}})
		}
		h.enroll(now, s, c, f)
		return
	}
	c.role, c.homes, c.since = s.role, f.Homes, 0
	c.stored = false
	c.storing++
	if c.session == nil {
		c.lease = now + leaseTime
	}
	s.waits = h.desk.Store(machine.OwnerHome, c.boxRow())
	h.opens[s.waits] = opening{s.link, c, f}
}

// sameHomes reports whether two documents are one, signature included.
func sameHomes(a, b *wire.Homes) bool {
	return a.Signed.Sig == b.Signed.Sig && bytes.Equal(a.Signed.Body, b.Signed.Body)
}

// newClient returns the mailbox of a client that was not here yet.
func newClient(a identity.Address, box wire.Box) *client {
	return &client{
		address: a, box: box,
		subs:    ordered.NewMap[envelope.Target, *subscription](envelope.Target.Compare),
		mailbox: newMailbox(),
	}
}

// opened goes on with an attach whose client was stored, or was not.
func (h *Home) opened(now int64, t machine.Token, o opening, err error) {
	c := o.client
	if c.storing--; err != nil {
		h.desk.Do(machine.Report{Event: machine.TableFull, Link: o.link, Code: wire.StorageFull, Text: err.Error()})
	} else if c.storing == 0 {
		c.stored = true
	}
	s, ok := h.sessions[o.link]
	if ok = ok && s.waits == t; ok {
		s.waits = 0
		ok = s.state != refused
	}
	switch {
	case ok && err == nil:
		h.enroll(now, s, c, o.frame)
		h.resume(now, s)
		return
	case ok:
		h.refuseAttach(s, o.frame.Homes, wire.StorageFull, wire.StorageFull.Sentence())
	}
	if c.session == nil && c.storing == 0 {
		h.leave(now, c)
	}
}

// enroll attaches a session to its mailbox.
func (h *Home) enroll(now int64, s *session, c *client, f *wire.Attach) {
	if old := c.session; old != nil { // an older link of the same key is on its way out
		old.state, old.client = refused, nil
		h.part(now, c)
	}
	s.state, s.client = attached, c
	c.session, c.lease = s, 0
	if f.Resume != nil && f.Resume.Box == c.box {
		h.acknowledge(c, f.Resume.N, nil)
	}
	h.sayAttached(now, job{link: s.link})
	h.pump(now, c)
}

// newBox names a mailbox by chance, so that a home which forgot everything does not
// seem to go on with the old numbers.
func (h *Home) newBox() (b wire.Box) {
	n := h.random.Uint64()
	for i := range b {
		b[i] = byte(n >> (8 * i))
	}
	return b
}

// sayAttached answers an attach, and comes again every minute: a client that
// acknowledged all up to Last knows then that it has caught up (H5).
func (h *Home) sayAttached(now int64, j job) {
	s, ok := h.sessions[j.link]
	if !ok || s.client == nil {
		return
	}
	epoch := uint64(0)
	if doc := h.dir.Homes(s.peer); doc != nil {
		epoch = doc.Epoch
	}
	h.desk.Send(s.link, machine.Control, &wire.Attached{Epoch: epoch, Box: s.client.box, Last: s.client.last, Displaced: s.replaces})
	s.replaces = false
	h.agenda.Put(now+attachedEvery, job{do: (*Home).sayAttached, link: j.link})
}

// part ends a client's session: what was sent and not acknowledged is sent again
// at the next attach, and subscriptions that live with the link are over.
func (h *Home) part(now int64, c *client) {
	c.session = nil
	c.rewind()
	if h.bodies > bodiesAway {
		for e := c.oldest; e != nil; e = e.next {
			h.trim(c, e)
		}
	}
	for _, sub := range c.subs.All() {
		if sub.mode == wire.WhileLinked {
			h.unsubscribe(now, sub)
		}
	}
}

// detach parts with a client whose link is gone.
func (h *Home) detach(now int64, c *client) {
	h.part(now, c)
	h.leave(now, c)
}

// leave notes since when a client is away; its lease counts from then, over restarts
// as well. If nothing is kept for it there is nothing that needs a lease.
func (h *Home) leave(now int64, c *client) {
	if c.subs.Len() == 0 && len(c.mail) == 0 {
		h.forget(now, c)
		return
	}
	c.lease = now + leaseTime
	c.since = now
	h.desk.Do(machine.Store{Rows: []machine.Row{c.boxRow()}})
}

// overdue ends what of a client is over: its mailbox, if it stayed away for too
// long (H4), and subscriptions whose grant was not renewed (J4). Mail that came
// while a grant held stays. It reports whether the client is still there.
func (h *Home) overdue(now int64, c *client) bool {
	if c.session == nil && c.lease <= now {
		h.desk.Do(machine.Report{Event: machine.MailboxDropped, Count: max(1, len(c.mail)), Text: "the lease of a mailbox ended"})
		h.forget(now, c)
		return false
	}
	if c.grantEnd == 0 || c.grantEnd >= now {
		return true
	}
	c.grantEnd = 0
	for _, sub := range c.subs.All() {
		switch {
		case sub.grant == nil:
		case int64(sub.grant.NotAfter) < now:
			h.unsubscribe(now, sub)
			h.desk.Forget(subKey(c, sub.target))
		default:
			c.grantUntil(sub.grant)
		}
	}
	return true
}

// grantUntil notes when a client's grants must be looked at.
func (c *client) grantUntil(g *wire.Grant) {
	if end := int64(g.NotAfter); c.grantEnd == 0 || end < c.grantEnd {
		c.grantEnd = end
	}
}

// forget drops a client and all that is kept for it.
func (h *Home) forget(now int64, c *client) {
	for _, sub := range c.subs.All() {
		h.unsubscribe(now, sub)
	}
	x := &erasure{whole: true}
	h.drop(c, x, func(*entry) bool { return true })
	x.put(machine.Row{Key: addressKey(boxTable, c.address)})
	x.put(allUnder(addressKey(mailTable, c.address)))
	x.put(allUnder(addressKey(subTable, c.address)))
	h.commit(c, x)
	h.clients.Delete(c.address)
	h.dir.ForgetHomes(c.address)
}

// onSubscribe notes a client's interest. An address wants its grant (spec §5.2).
func (h *Home) onSubscribe(now int64, s *session, f *wire.Subscribe) {
	_, again := s.client.subs.Get(f.Target)
	switch {
	case !again && (s.client.subs.Len() >= h.cfg.Limits.Subscriptions || h.subs >= h.cfg.Limits.AllSubscribed):
		h.desk.Count(machine.TableFull, s.link)
		h.answer(s, f.Ref, wire.Quota)
	case f.Target.Kind == envelope.Group:
		h.subscribe(now, s, f)
	case !h.grantFits(now, s, f):
		h.answer(s, f.Ref, wire.NoGrant)
	case h.dir.HasGrant(f.Grant):
		h.subscribe(now, s, f)
	default:
		h.ask(s, f, f.Grant.Claim())
	}
}

// grantFits holds a grant against who brings it: for its own address a client
// names this home, for another that it speaks for the address names the client
// (spec §5.2). The signature apart.
func (h *Home) grantFits(now int64, s *session, f *wire.Subscribe) bool {
	g := f.Grant
	if g == nil || g.Address != f.Target.To {
		return false
	}
	router := s.peer
	if g.Address == s.peer {
		router = h.cfg.Self
	}
	end := int64(g.NotAfter)
	return g.Router == router && end >= now && end <= now+wire.GrantLifeMax+clockSkew
}

// grantVerified goes on with a subscribe whose grant was checked.
func (h *Home) grantVerified(now int64, s *session, f *wire.Subscribe, holds bool) {
	if !holds {
		h.gate.Charge(now, s.link, wire.BadSignature, "the signature of a grant does not hold")
		h.answer(s, f.Ref, wire.BadSignature)
		return
	}
	h.dir.PutGrant(now, f.Grant)
	h.subscribe(now, s, f)
}

// answer answers a subscribe or unsubscribe.
func (h *Home) answer(s *session, ref uint64, code wire.Code) {
	h.desk.Send(s.link, machine.Control, &wire.Subscribed{Ref: ref, Code: code})
}

// subscribe makes or renews a subscription. Upstream hears of the first one of a
// target, and of a grant that lasts longer than the last it was told of.
func (h *Home) subscribe(now int64, s *session, f *wire.Subscribe) {
	c, t := s.client, f.Target
	sub, ok := c.subs.Get(t)
	a, had := h.audiences[t]
	if !had {
		a = &audience{}
		h.audiences[t] = a
	}
	if !ok {
		sub = &subscription{client: c, target: t}
		c.subs.Set(t, sub)
		h.subs++
		a.members = append(a.members, sub)
	}
	h.amend(now, sub, f)
	later := sub.grant != nil && (a.grant == nil || sub.grant.NotAfter > a.grant.NotAfter)
	if later {
		a.grant = sub.grant
	}
	if !had {
		h.order.Since(now, t)
	}
	if !had || later {
		h.up.Want(now, t, a.grant)
	}
	h.keepSubscription(s, sub, f.Ref, !ok)
}

// amend takes over what a subscribe says.
func (h *Home) amend(now int64, sub *subscription, f *wire.Subscribe) {
	was := *sub
	sub.mode = f.Mode
	switch {
	case f.HasSince:
		sub.start = f.Since
	case sub.start == 0:
		sub.start = uint64(now)
	}
	if g := f.Grant; g != nil && f.Target.Kind == envelope.Address && (sub.grant == nil || g.NotAfter > sub.grant.NotAfter) {
		sub.grant = g
		sub.client.grantUntil(g)
	}
	if was.mode != sub.mode || was.start != sub.start || was.grant != sub.grant {
		sub.turn++
		sub.saved = false
	}
}

// keepSubscription answers a subscribe: once it is stored, unless it lives with the
// link.
func (h *Home) keepSubscription(s *session, sub *subscription, ref uint64, isNew bool) {
	switch {
	case sub.saved:
		h.answer(s, ref, wire.OK)
	case sub.mode == wire.WhileLinked:
		if sub.saved = true; !isNew { // it may have been durable
			h.desk.Forget(subKey(sub.client, sub.target))
		}
		h.answer(s, ref, wire.OK)
	default:
		t := h.desk.Store(machine.OwnerHome, sub.row())
		h.says[t] = saying{link: s.link, ref: ref, sub: sub, turn: sub.turn, isNew: isNew}
	}
}

// answered takes the store's answer to what is not mail.
func (h *Home) answered(now int64, t machine.Token, err error) {
	if o, ok := h.opens[t]; ok {
		delete(h.opens, t)
		h.opened(now, t, o, err)
		return
	}
	if hd, ok := h.holdStores[t]; ok {
		delete(h.holdStores, t)
		h.heldStored(now, hd, err)
		return
	}
	y, ok := h.says[t]
	if !ok {
		return
	}
	delete(h.says, t)
	code := wire.OK
	if err != nil {
		code = wire.StorageFull
		h.desk.Do(machine.Report{Event: machine.TableFull, Link: y.link, Code: code, Text: err.Error()})
	}
	if sub := y.sub; sub != nil && sub.client.subs.At(sub.target) == sub {
		switch {
		case err == nil:
			sub.saved = sub.turn == y.turn
		case y.isNew && sub.turn == y.turn:
			h.unsubscribe(now, sub)
		}
	}
	if s, ok := h.sessions[y.link]; ok && s.state == attached {
		h.answer(s, y.ref, code)
	}
}

// onUnsubscribe ends a subscription. Mail for it that was not delivered goes
// without a gap: the client does not want it.
func (h *Home) onUnsubscribe(now int64, s *session, f *wire.Unsubscribe) {
	c := s.client
	sub, ok := c.subs.Get(f.Target)
	if !ok {
		h.answer(s, f.Ref, wire.OK)
		return
	}
	h.unsubscribe(now, sub)
	x := &erasure{}
	if c.lanes[f.Target] != nil {
		left := h.drop(c, x, func(e *entry) bool { return e.lane.target == f.Target })
		h.gate.Worked(now, s.link, left)
	}
	if sub.mode == wire.Durable {
		x.put(machine.Row{Key: subKey(c, f.Target)})
	}
	if rows := x.seal(c); len(rows) == 0 {
		h.answer(s, f.Ref, wire.OK)
	} else {
		h.says[h.desk.Store(machine.OwnerHome, rows...)] = saying{link: s.link, ref: f.Ref}
	}
	h.pump(now, c)
}

// unsubscribe takes a subscription out of its audience. With the last one upstream
// hears of it, and the streams of the target are forgotten: whoever subscribes later
// must not wait for what nobody wanted meanwhile.
func (h *Home) unsubscribe(now int64, sub *subscription) {
	sub.client.subs.Delete(sub.target)
	h.subs--
	a := h.audiences[sub.target]
	if a.remove(sub); len(a.members) > 0 {
		return
	}
	delete(h.audiences, sub.target)
	h.forgetMarks(a, sub.target)
	if sub.target == h.own() {
		return // the router itself still wants it
	}
	h.passOn(now, h.order.Forget(sub.target, nil))
	h.up.Unwant(now, sub.target)
}
