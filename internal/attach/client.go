package attach

import (
	"math/rand/v2"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// ClientConfig says who attaches, and where.
type ClientConfig struct {
	Self   identity.Address
	Role   wire.Role          // Service or Edge
	Homes  []identity.Address // the preferred one first, at most 4; none: whoever we dialled
	Seed   uint64
	Limits ClientLimits
}

// Client is the client's end of attachments: what it publishes waits in an outbox
// until a home has it; what it wants is subscribed to at every home; what homes
// deliver is judged by the gate, since an end trusts no router, and acknowledged
// once it is done. It implements Upstream.
//
// Inputs: Restore before all others; LinkUp, LinkDown, Frame, Verdict, Verified, Signed, Stored, Drained,
// Tick; commands: Publish, Take, Again, Retake, Want, Watch, Unwant, Done,
// Flush; query: Deadline, Sizes. Times are Unix milliseconds. It is not safe for concurrent use.
type Client struct {
	cfg      ClientConfig
	desk     *machine.Desk
	gate     *gate.Gate
	down     Downstream
	observer Observer // nil: nobody is interested
	random   *rand.Rand

	links map[machine.LinkID]*uplink
	homes []*home // in the order of cfg.Homes, else as they were met
	wants *ordered.Map[envelope.Target, *want]
	refs  uint64
	epoch uint64 // of the newest homes document
	plan  *plan  // the homes document of a fixed list
	signs map[machine.Token]func(now int64, sig identity.Signature)

	given  given // what was delivered
	outbox outbox
	keys   keyring            // of rows
	former []identity.Address // homes of which there are rows and that are configured no more
	begun  bool               // the first input was
	agenda ordered.Agenda[task]
	again  int64 // when the outbox is looked through; 0: not needed
}

// A task is something to be done at an instant: a method and what it is about.
type task struct {
	do     func(c *Client, now int64, t task)
	home   *home
	target envelope.Target
	stream envelope.Stream
	deal   gate.Case
}

// home is what the client knows of one home. It outlives the link.
type home struct {
	address identity.Address
	up      *uplink // nil while there is no link
	plan    *plan   // the homes document for it
	box     wire.Box
	known   bool // box is known
	tally   tally
	left    *ordered.Map[envelope.Target, uint64] // unsubscribed with this ref (0: not said yet) and not answered
	grant   *wire.Grant                           // of the client's own address to this home
	signing bool                                  // that grant is being signed
	acks    int64                                 // when acknowledgements are due; 0: none wait
	saved   uint64                                // tally.all as it stands in the store
}

// uplink is a link to a home.
type uplink struct {
	link     machine.LinkID
	home     *home
	attached bool
	asked    map[uint64]envelope.Target // subscriptions by ref, not answered yet
	quit     map[uint64]envelope.Target // the same of ends of subscriptions
}

// plan is a homes document and whether it is signed.
type plan struct {
	doc     *wire.Homes
	signed  bool
	signing bool
}

// NewClient returns a client without links.
func NewClient(cfg ClientConfig, desk *machine.Desk, g *gate.Gate) *Client {
	cfg.Limits = cfg.Limits.filled()
	c := &Client{
		cfg: cfg, desk: desk, gate: g,
		random: rand.New(rand.NewPCG(cfg.Seed, 0xc11e)),
		links:  make(map[machine.LinkID]*uplink),
		wants:  ordered.NewMap[envelope.Target, *want](envelope.Target.Compare),
		signs:  make(map[machine.Token]func(int64, identity.Signature)),
		given:  newGiven(),
		keys:   make(keyring),
		outbox: newOutbox(),
	}
	for _, a := range cfg.Homes {
		c.homes = append(c.homes, newHome(a))
	}
	return c
}

func newHome(a identity.Address) *home {
	return &home{address: a, tally: newTally(), left: ordered.NewMap[envelope.Target, uint64](envelope.Target.Compare)}
}

// Bind says who takes what comes. It is called once, before the first input.
func (c *Client) Bind(down Downstream) {
	c.down = down
	c.observer, _ = down.(Observer)
}

// LinkUp tells of a link to a home that the gate has let in.
func (c *Client) LinkUp(now int64, ev machine.LinkUp) {
	c.begin(now)
	h := c.homeOf(ev.Peer)
	h.up = &uplink{link: ev.Link, home: h, asked: make(map[uint64]envelope.Target), quit: make(map[uint64]envelope.Target)}
	c.links[ev.Link] = h.up
	c.attach(now, h)
}

// homeOf finds what is known of a home. Homes are few, at most 4 where they are
// configured, so a list serves as a table in the order of preference.
func (c *Client) homeOf(a identity.Address) *home {
	for _, h := range c.homes {
		if h.address == a {
			return h
		}
	}
	h := newHome(a)
	c.homes = append(c.homes, h)
	return h
}

// LinkDown tells of the end of a link to a home. What was on its way goes again.
func (c *Client) LinkDown(now int64, link machine.LinkID) {
	c.begin(now)
	u, ok := c.links[link]
	if !ok {
		return
	}
	delete(c.links, link)
	if u.home.up == u {
		u.home.up, u.home.acks = nil, 0
	}
	c.choose(now)
}

// attach says who we are: first the homes document, signed once for each epoch;
// all else follows when the home has answered (H1).
func (c *Client) attach(now int64, h *home) {
	if h.plan == nil {
		h.plan = c.planFor(now, h)
	}
	p := h.plan
	switch {
	case p.signed:
		var resume *wire.Resume
		if h.known {
			resume = &wire.Resume{Box: h.box, N: h.tally.all}
		}
		c.desk.Send(h.up.link, machine.Control, &wire.Attach{Homes: p.doc, Resume: resume})
	case !p.signing:
		p.signing = true
		c.sign(identity.LabelHomes, p.doc.Signed.Body, func(now int64, sig identity.Signature) {
			p.doc.Signed.Sig, p.signed, p.signing = sig, true, false
			for _, other := range c.homes {
				if other.plan == p {
					c.save(other)
				}
				if other.plan == p && other.up != nil && !other.up.attached {
					c.attach(now, other)
				}
			}
		})
	}
}

// planFor makes the homes document: of all homes, if they are configured, else of
// the one that we dialled. Its epoch is later than any before, in this life by
// counting, over lives by the clock.
func (c *Client) planFor(now int64, h *home) *plan {
	if len(c.cfg.Homes) > 0 && c.plan != nil {
		return c.plan
	}
	list := c.cfg.Homes
	if len(list) == 0 {
		list = []identity.Address{h.address}
	}
	c.epoch = max(c.epoch+1, uint64(now))
	doc := &wire.Homes{Client: c.cfg.Self, Epoch: c.epoch, Homes: list[:min(len(list), homesInDocument)]}
	doc.Encode()
	p := &plan{doc: doc}
	if len(c.cfg.Homes) > 0 {
		c.plan = p
	}
	return p
}

// sign asks for a signature and notes how to go on.
func (c *Client) sign(label identity.Label, body []byte, then func(now int64, sig identity.Signature)) {
	c.signs[c.desk.Sign(machine.OwnerClient, label, body)] = then
}

// Signed takes the answer to a Sign of this room.
func (c *Client) Signed(now int64, t machine.Token, sig identity.Signature) {
	c.begin(now)
	if then, ok := c.signs[t]; ok {
		delete(c.signs, t)
		then(now, sig)
	}
}

// Verified takes the answer to a Verify of this room, which asks for none: what
// homes deliver is the gate's to check.
func (c *Client) Verified(int64, machine.Token, int) {}

// Drained tells that a link's queue has room again. What is published is bounded
// by what homes have not answered, so nothing waits for it.
func (c *Client) Drained(int64, machine.LinkID, machine.Class, int) {}

// Frame handles an attachment frame of a home.
func (c *Client) Frame(now int64, link machine.LinkID, fr wire.Frame) {
	c.begin(now)
	u, ok := c.links[link]
	if _, isAttached := fr.(*wire.Attached); !ok || !isAttached && !u.attached {
		c.desk.Count(machine.FrameIgnored, link)
		return
	}
	switch f := fr.(type) {
	case *wire.Attached:
		c.onAttached(now, u, f)
	case *wire.Subscribed:
		c.onSubscribed(now, u, f)
	case *wire.Published:
		c.onPublished(now, f)
	case *wire.Deliver:
		c.onDeliver(now, u, f)
	case *wire.Gap:
		c.onGap(now, u, f)
	default:
		c.desk.Count(machine.FrameIgnored, link)
	}
}

// onAttached goes on once the home has opened the mailbox. An unknown box begins
// its numbers anew.
func (c *Client) onAttached(now int64, u *uplink, f *wire.Attached) {
	h := u.home
	if f.Code != wire.OK {
		c.attachRefused(now, u, f)
		return
	}
	if !h.known || h.box != f.Box {
		h.box, h.known = f.Box, true
		h.tally.restart()
		h.left.Clear() // a new mailbox has no subscriptions
		c.save(h)
	}
	if u.attached {
		return // it comes again every minute
	}
	u.attached = true
	if f.Displaced {
		c.desk.Count(machine.Displaced, u.link)
	}
	if c.observer != nil {
		c.observer.Attached(now, h.address, wire.OK)
	}
	// All of them at every attach, though a known box needs only what changed: a
	// subscription that a broken link kept from the home is caught by it.
	for t := range h.left.All() {
		c.unsubscribe(h, t)
	}
	for _, w := range c.wants.All() {
		c.subscribe(now, h, w)
	}
	c.flushAcks(h)
	c.choose(now)
}

// attachRefused notes a higher epoch that the home knows: the next attach goes
// beyond it. The home closes the link.
func (c *Client) attachRefused(now int64, u *uplink, f *wire.Attached) {
	h := u.home
	c.desk.Do(machine.Report{Event: machine.LinkRefused, Link: u.link, Code: f.Code, Text: "the home refused to attach us"})
	if f.Code == wire.NotAllowed && h.plan != nil && f.Epoch >= h.plan.doc.Epoch && f.Epoch < 1<<63 {
		c.epoch, c.plan = max(c.epoch, f.Epoch), nil
		for _, other := range c.homes {
			other.plan = nil
		}
	}
	if c.observer != nil {
		c.observer.Attached(now, h.address, f.Code)
	}
}

// Tick does what is due.
func (c *Client) Tick(now int64) {
	c.begin(now)
	for t, ok := c.agenda.Pop(now); ok; t, ok = c.agenda.Pop(now) {
		t.do(c, now, t)
	}
	for _, h := range c.homes {
		if h.acks != 0 && h.acks <= now {
			c.flushAcks(h)
		}
	}
	if c.again != 0 && c.again <= now {
		c.expireOutbox(now)
	}
}

// Deadline returns when a Tick is wanted; 0: never.
func (c *Client) Deadline() int64 {
	if !c.begun && c.outbox.turn > 0 {
		return 1 // there is something to go on with
	}
	at, _ := c.agenda.Next()
	at = earlier(at, c.again)
	for _, h := range c.homes {
		at = earlier(at, h.acks)
	}
	return at
}

// earlier returns the earlier of two deadlines, of which 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// backoff returns the pause before the n-th repetition: doubled each time, and a
// random part of a quarter, so that many clients do not come in step.
func (c *Client) backoff(n int) int64 {
	pause := int64(backoffMax)
	if n < 8 {
		pause = min(int64(backoffFirst)<<n, backoffMax)
	}
	return pause + c.random.Int64N(pause/4)
}

// ClientSizes counts the rows of a client's tables.
type ClientSizes struct{ Outbox, OutboxBytes, Wants, Homes, Pending int }

// Sizes returns how full the tables are.
func (c *Client) Sizes() ClientSizes {
	z := ClientSizes{Outbox: len(c.outbox.byID), OutboxBytes: c.outbox.bytes, Wants: c.wants.Len(), Homes: len(c.homes)}
	for _, h := range c.homes {
		z.Pending += len(h.tally.pending)
	}
	return z
}

var _ Upstream = (*Client)(nil)
var _ Downstream = (*Home)(nil)
