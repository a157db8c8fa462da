package attach

import (
	"math/rand/v2"
	"slices"

	"upsycle/identity"
	"upsycle/internal/directory"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// HomeConfig says who the router is.
type HomeConfig struct {
	Self   identity.Address
	Role   wire.Role
	Seed   uint64 // for the names of mailboxes; another at each start of the process
	Limits Limits
}

// Home is the router's end of its attachments: sessions, mailboxes, custody.
//
// Inputs: Restore before all others; LinkUp, LinkDown, Frame, Verdict, Verified,
// Signed, Stored, Loaded, Drained, Tick; from upstream: Taken, Deliver, Gap; queries: Deadline, Clients, Sizes. It
// asks gate, directory and upstream, and lays its effects onto the desk. Times are
// Unix milliseconds. It is not safe for concurrent use.
type Home struct {
	cfg    HomeConfig
	desk   *machine.Desk
	gate   *gate.Gate
	dir    *directory.Directory
	up     Upstream
	random *rand.Rand

	sessions  map[machine.LinkID]*session
	clients   *ordered.Map[identity.Address, *client]
	audiences map[envelope.Target]*audience
	marks     map[envelope.Stream]*mark
	bytes     int    // of all mailboxes
	subs      int    // subscriptions of all clients
	bodies    int    // of the envelopes of mailboxes that are in memory
	swept     uint32 // letters of the hours up to this one are deleted

	checks     map[machine.Token]check   // attach and subscribe under verification
	opens      map[machine.Token]opening // attaches whose client is being stored
	says       map[machine.Token]saying  // subscriptions that are being stored
	unsafe     map[envelope.ID]struct{}  // what is on its way into the store and nowhere durable yet
	holds      map[envelope.ID]*holding  // what waits behind holes and is kept here
	holdStores map[machine.Token]*holding
	holdTurn   uint64
	loads      map[machine.Token]*fetching   // envelopes on their way from the store
	keys       keyring                       // of envelopes from the store
	revive     *revival                      // rows that were restored; nil: none, or it is done
	takes      map[envelope.ID]*taking       // what waits for the upstream's custody
	stores     map[machine.Token]*batch      // mail on its way to the store
	behind     map[envelope.Target][]*batch  // mail behind a Store that failed, the oldest first
	order      *Sequencer                    // of what is delivered here
	given      given                         // what got a number, or was handed on live
	source     map[envelope.ID][]*client     // edges that published what the sequencer holds
	signs      map[machine.Token]*wire.Grant // the router's own grant
	agenda     ordered.Agenda[job]           // what is due when
	begun      bool                          // the first input was
	passed     []Passed                      // scratch for the sequencer
}

// A job is something to be done at an instant: a method and what it is about.
type job struct {
	do    func(h *Home, now int64, j job)
	link  machine.LinkID
	batch *batch

	client  *client
	mark    *mark
	holding *holding
}

// NewHome returns a home without clients. It shares desk, gate and directory with
// the router's upstream.
func NewHome(cfg HomeConfig, desk *machine.Desk, g *gate.Gate, dir *directory.Directory) *Home {
	cfg.Limits = cfg.Limits.filled()
	return &Home{
		cfg: cfg, desk: desk, gate: g, dir: dir,
		random:     rand.New(rand.NewPCG(cfg.Seed, 0x40e)),
		sessions:   make(map[machine.LinkID]*session),
		clients:    ordered.NewMap[identity.Address, *client](identity.Address.Compare),
		audiences:  make(map[envelope.Target]*audience),
		marks:      make(map[envelope.Stream]*mark),
		checks:     make(map[machine.Token]check),
		opens:      make(map[machine.Token]opening),
		says:       make(map[machine.Token]saying),
		unsafe:     make(map[envelope.ID]struct{}),
		holds:      make(map[envelope.ID]*holding),
		holdStores: make(map[machine.Token]*holding),
		loads:      make(map[machine.Token]*fetching),
		keys:       make(keyring),
		takes:      make(map[envelope.ID]*taking),
		stores:     make(map[machine.Token]*batch),
		behind:     make(map[envelope.Target][]*batch),
		order:      NewSequencer(SequencerLimits{Keep: true}),
		given:      newGiven(),
		source:     make(map[envelope.ID][]*client),
		signs:      make(map[machine.Token]*wire.Grant),
	}
}

// Bind says where envelopes go and come from. It is called once, before the first
// input.
func (h *Home) Bind(up Upstream) { h.up = up }

// begin starts the home's life with its first input: what was restored takes its
// place.
func (h *Home) begin(now int64) {
	if h.begun {
		return
	}
	h.begun = true
	h.revived(now)
	h.signOwn(now, job{})
	h.agenda.Put(now+sweepEvery, job{do: (*Home).sweep})
}

// LinkUp tells of a client's link that the gate has let in.
func (h *Home) LinkUp(now int64, ev machine.LinkUp) {
	h.begin(now)
	h.sessions[ev.Link] = &session{link: ev.Link, peer: ev.Peer, role: ev.Role, maxFrame: ev.MaxFrame, replaces: ev.Replaces}
}

// LinkDown tells of the end of a client's link. Its mailbox stays.
func (h *Home) LinkDown(now int64, link machine.LinkID) {
	s, ok := h.sessions[link]
	if !ok {
		return
	}
	delete(h.sessions, link)
	if s.client != nil {
		h.detach(now, s.client)
	}
}

// Frame handles an attachment frame of a client. While an attach or subscribe of
// its link is being verified, what follows it waits: frames take effect in order.
func (h *Home) Frame(now int64, link machine.LinkID, f wire.Frame) {
	h.begin(now)
	s, ok := h.sessions[link]
	switch {
	case !ok || s.state == refused:
		h.desk.Count(machine.FrameIgnored, link)
	case s.waits != 0:
		h.enqueue(s, f)
	default:
		h.handle(now, s, f)
	}
}

// enqueue keeps a frame until the verification before it is answered. The bound is
// above what an honest client sends at once, so who passes it is cut off.
func (h *Home) enqueue(s *session, f wire.Frame) {
	if s.queue.len() >= queueFrames || s.queued+f.Weight() > queueBytes {
		h.refuse(s, wire.Rate, "too much was sent before an attach or subscribe was answered")
		return
	}
	s.queue.push(f)
	s.queued += f.Weight()
}

// resume handles what waited, until the next frame that must be verified.
func (h *Home) resume(now int64, s *session) {
	for s.waits == 0 && s.state != refused {
		f, ok := s.queue.pop()
		if !ok {
			return
		}
		s.queued -= f.Weight()
		h.handle(now, s, f)
	}
}

// handle holds a frame against the state of its session, then dispatches it.
func (h *Home) handle(now int64, s *session, fr wire.Frame) {
	f, isAttach := fr.(*wire.Attach)
	if isAttach != (s.state == fresh) { // spec §5.1
		h.refuse(s, wire.Malformed, "frames out of order: attach is the first attachment frame, once")
		return
	}
	if isAttach {
		h.onAttach(now, s, f)
		return
	}
	switch f := fr.(type) {
	case *wire.Subscribe:
		h.onSubscribe(now, s, f)
	case *wire.Unsubscribe:
		h.onUnsubscribe(now, s, f)
	case *wire.Publish:
		h.onPublish(now, s, f)
	case *wire.Delivered:
		h.onDelivered(now, s, f)
	default:
		h.desk.Count(machine.FrameIgnored, s.link)
	}
}

// refuse ends a session for what its client sent.
func (h *Home) refuse(s *session, code wire.Code, text string) {
	s.state = refused
	s.queue.clear()
	h.desk.Close(s.link, code, text)
}

// Verified takes the answer to a Verify of this room: of an attach or a subscribe.
func (h *Home) Verified(now int64, t machine.Token, failed int) {
	c, ok := h.checks[t]
	if !ok {
		return
	}
	delete(h.checks, t)
	s, ok := h.sessions[c.link]
	if !ok || s.waits != t {
		return // the link ended meanwhile
	}
	s.waits = 0
	if s.state == refused {
		return
	}
	switch f := c.frame.(type) {
	case *wire.Attach:
		h.attachVerified(now, s, f, failed < 0)
	case *wire.Subscribe:
		h.grantVerified(now, s, f, failed < 0)
	}
	h.resume(now, s)
}

// ask has a claim of a session's frame verified; Verified goes on with it.
func (h *Home) ask(s *session, f wire.Frame, claim identity.Claim) {
	s.waits = h.desk.Verify(machine.OwnerHome, s.link, claim)
	h.checks[s.waits] = check{s.link, f}
}

// Drained tells that a link's queue has room again.
func (h *Home) Drained(now int64, link machine.LinkID, class machine.Class, weight int) {
	s, ok := h.sessions[link]
	if !ok || class != machine.Bulk {
		return
	}
	s.backlog = max(0, s.backlog-weight)
	h.pumpLive(s)
	if s.client != nil {
		h.pump(now, s.client)
	}
}

// Tick does what is due.
func (h *Home) Tick(now int64) {
	h.begin(now)
	for j, ok := h.agenda.Pop(now); ok; j, ok = h.agenda.Pop(now) {
		j.do(h, now, j)
	}
	if at := h.order.Deadline(); at != 0 && at <= now {
		h.passOn(now, h.order.Tick(now, nil))
	}
}

// Deadline returns when a Tick is wanted; it never returns 0, since a home always
// has something to look for.
func (h *Home) Deadline() int64 {
	if !h.begun {
		return 1
	}
	at, _ := h.agenda.Next()
	if o := h.order.Deadline(); o != 0 && o < at {
		return o
	}
	return at
}

// signOwn asks for a grant of the router's own address to itself, so that mail
// for the router finds it; and again when two thirds of its life are over (spec
// §6.2).
func (h *Home) signOwn(now int64, _ job) {
	g := &wire.Grant{Address: h.cfg.Self, Router: h.cfg.Self, NotAfter: uint64(now + grantLife)}
	g.Encode()
	h.signs[h.desk.Sign(machine.OwnerHome, identity.LabelGrant, g.Signed.Body)] = g
	h.agenda.Put(now+grantRenew, job{do: (*Home).signOwn})
}

// Signed takes the router's own grant.
func (h *Home) Signed(now int64, t machine.Token, sig identity.Signature) {
	g, ok := h.signs[t]
	if !ok {
		return
	}
	delete(h.signs, t)
	g.Signed.Sig = sig
	h.dir.PutGrant(now, g)
	h.up.Want(now, h.own(), g)
}

// own is the target of mail for the router itself.
func (h *Home) own() envelope.Target {
	return envelope.Target{Kind: envelope.Address, To: h.cfg.Self}
}

// sweep looks for what is over.
func (h *Home) sweep(now int64, j job) {
	for _, c := range h.clients.All() {
		if h.overdue(now, c) {
			h.expire(now, c)
			h.pump(now, c)
		}
	}
	h.endHours(now)
	h.agenda.Put(now+sweepEvery, j)
}

// ClientState is what status shows of a client. It is the caller's.
type ClientState struct {
	Client        identity.Address
	Role          wire.Role
	Link          machine.LinkID // 0: away
	Box           wire.Box
	Last          uint64 // the highest number given
	Waiting       int    // entries of the mailbox
	Bytes         int    // of the mailbox
	InFlight      int    // entries sent and not acknowledged
	Subscriptions []envelope.Target
	Lease         int64 // while away: when the mailbox goes, in Unix milliseconds
}

// Clients returns the state of all clients, by address.
func (h *Home) Clients() []ClientState {
	list := make([]ClientState, 0, h.clients.Len())
	for _, c := range h.clients.All() {
		st := ClientState{
			Client: c.address, Role: c.role, Box: c.box, Last: c.last,
			Waiting: len(c.mail), Bytes: c.bytes, InFlight: c.flying.count,
			Subscriptions: c.subs.Keys(), Lease: c.lease,
		}
		if c.session != nil {
			st.Link = c.session.link
		}
		list = append(list, st)
	}
	return list
}

// HomeSizes counts the rows of a home's tables.
type HomeSizes struct {
	Clients, Targets, Held, Taking, Storing, Given int
	MailBytes                                      int // in mailboxes, by their quotas
	Bodies                                         int // bytes of it that are in memory
	Streams                                        int // whose durable numbers are known
}

// Sizes returns how full the tables are.
func (h *Home) Sizes() HomeSizes {
	held, _ := h.order.Held()
	return HomeSizes{
		Clients: h.clients.Len(), Targets: len(h.audiences), Held: held, Taking: len(h.takes), Storing: len(h.stores),
		Given: len(h.given.known), MailBytes: h.bytes, Bodies: h.bodies, Streams: len(h.marks),
	}
}

// audience is who subscribed to a target.
type audience struct {
	members []*subscription // in the order in which they came
	grant   *wire.Grant     // the one with the latest end that upstream was told of
	marks   []*mark         // of the target's streams
	told    bool            // upstream was asked for it, after a restart
}

// remove keeps the order of the others: they are served in it.
func (a *audience) remove(sub *subscription) {
	if i := slices.Index(a.members, sub); i >= 0 {
		a.members = slices.Delete(a.members, i, i+1)
	}
}
