package router

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/backbone"
	"upsycle/internal/directory"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Config is what a router is and whom it knows. It is not changed after New.
type Config struct {
	Role     wire.Role          // Core, or Edge for a router that has homes
	Services gate.Access        // which services may attach
	Edges    gate.Access        // which edge routers may attach
	Peers    []identity.Address // cores that this core links to or accepts
	Homes    []identity.Address // of an edge, the preferred one first
	CanRoot  bool               // may become an automatic root
	Limits   Limits
}

// Access says who may attach in a role; shells name it without knowing the gate.
type Access = gate.Access

// Limits are the bounds of the rooms below; zero values are their defaults.
type Limits struct {
	Gate     gate.Limits
	Home     attach.Limits
	Client   attach.ClientLimits
	Backbone backbone.Limits
}

// Errors of New.
var (
	ErrRole  = errors.New("router: a router is a core, or an edge with homes; a service is neither")
	ErrHomes = errors.New("router: an edge has homes and no peers, a core has no homes")
)

// Router is the machine of one router. See machine.Machine for the contract of
// Step and Deadline.
type Router struct {
	cfg  Config
	self identity.Address
	desk machine.Desk
	gate *gate.Gate
	home *attach.Home

	client   *attach.Client     // of an edge
	backbone *backbone.Backbone // of a core

	links   map[machine.LinkID]relation
	ledger  *backbone.Ledger // its durable part
	keys    keyMap           // checked while rows are restored
	begun   bool
	seed    uint64
	dir     *directory.Directory
	lastNow int64
}

// relation says which room a link belongs to.
type relation uint8

const (
	refused    relation = iota // closed by policy, or no link at all
	attachment                 // a client's: this router is its home
	upstream                   // to a home of this edge router
	peering                    // between two cores
)

// New returns the machine of the router self. Its life begins with the first
// Step.
func New(cfg Config, self identity.Address, seed uint64) (*Router, error) {
	switch {
	case cfg.Role != wire.Core && cfg.Role != wire.Edge:
		return nil, ErrRole
	// An edge has a home's guarantees below and needs one above; a core has the
	// backbone. Both at once would be two ways for one message.
	case (cfg.Role == wire.Edge) != (len(cfg.Homes) > 0), cfg.Role == wire.Edge && len(cfg.Peers) > 0:
		return nil, ErrHomes
	}
	// The home is there from the start: its clients need no time to be known.
	r := &Router{cfg: cfg, self: self, seed: seed, links: make(map[machine.LinkID]relation)}
	r.gate = gate.New(gate.Config{
		Self: self, Role: cfg.Role, Services: cfg.Services, Edges: cfg.Edges,
		Peers: cfg.Peers, Homes: cfg.Homes, Limits: cfg.Limits.Gate,
	}, &r.desk)
	r.dir = directory.New()
	r.ledger = backbone.NewLedger()
	r.home = attach.NewHome(attach.HomeConfig{Self: self, Role: cfg.Role, Seed: seed, Limits: cfg.Limits.Home}, &r.desk, r.gate, r.dir)
	if cfg.Role == wire.Edge {
		r.client = attach.NewClient(attach.ClientConfig{
			Self: self, Role: wire.Edge, Homes: cfg.Homes, Seed: seed, Limits: cfg.Limits.Client,
		}, &r.desk, r.gate)
		r.client.Bind(r.home)
		r.home.Bind(r.client)
	}
	return r, nil
}

// ErrRow says that a row belongs to no room, or is damaged.
var ErrRow = errors.New("router: a row of the store cannot be read")

// Restore takes one row of the store. Every row comes, in the order of keys, before
// the first Step; what the machine asked to be stored is all that it remembers of the
// life before. An error names the row: the store is damaged, or of another program.
func (r *Router) Restore(row machine.Row) error {
	if r.begun {
		panic("router: a row is restored after the first Step")
	}
	if r.keys == nil {
		r.keys = make(keyMap)
	}
	err := errors.New("no room of this router has such a table")
	switch {
	case len(row.Key) == 0:
	case strings.IndexByte(attach.HomeTables, row.Key[0]) >= 0:
		err = r.home.Restore(row)
	case r.client != nil && strings.IndexByte(attach.ClientTables, row.Key[0]) >= 0:
		err = r.client.Restore(row)
	case r.client == nil && strings.IndexByte(backbone.Tables, row.Key[0]) >= 0:
		err = r.ledger.Restore(row, r.keys)
	}
	if err != nil {
		return fmt.Errorf("%w: key %x: %w", ErrRow, row.Key, err)
	}
	return nil
}

// A keyMap checks each key once: many rows name the same few.
type keyMap map[string]identity.Address

// Address returns the address of 32 bytes.
func (m keyMap) Address(b []byte) (identity.Address, error) {
	if a, ok := m[string(b)]; ok {
		return a, nil
	}
	a, err := identity.NewAddress(b)
	if err == nil {
		m[string(b)] = a
	}
	return a, err
}

// begin makes the upstream, whose life starts at now.
func (r *Router) begin(now int64) {
	r.begun, r.keys = true, nil
	if r.cfg.Role == wire.Edge {
		return
	}
	r.backbone = backbone.New(backbone.Config{
		Self: r.self, CanRoot: r.cfg.CanRoot, Seed: r.seed, Limits: r.cfg.Limits.Backbone, Ledger: r.ledger,
	}, &r.desk, r.gate, r.dir, now)
	r.backbone.Bind(homeOf{r.home})
	r.home.Bind(upstreamOf{r.backbone})
}

// homeOf and upstreamOf fit the two rooms to each other: the receipt of what comes
// over the backbone is a number without a home.
type homeOf struct{ *attach.Home }

func (h homeOf) Deliver(now int64, a gate.Admitted, n uint64) {
	h.Home.Deliver(now, a, attach.Receipt{N: n})
}

type upstreamOf struct{ *backbone.Backbone }

func (u upstreamOf) Done(now int64, r attach.Receipt) { u.Backbone.Done(now, r.N) }

// Step handles one event; see machine.Machine.
func (r *Router) Step(at time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
	// Inside there are only Unix milliseconds.
	now := at.UnixMilli()
	// A clock that goes back would let entries live longer than promised; the shell
	// has a monotonic one.
	if now < r.lastNow {
		panic("router: time went backwards")
	}
	r.lastNow = now
	// All rooms write to one desk, so effects keep the order of the decisions.
	r.desk.Begin(out)
	if !r.begun {
		r.begin(now)
	}
	r.handle(now, ev)
	if r.backbone != nil {
		// What a step gathers for a neighbour goes in one frame.
		r.backbone.Flush(now)
	}
	return r.desk.End()
}

// handle is the one switch over events; it only calls.
func (r *Router) handle(now int64, ev machine.Event) {
	switch e := ev.(type) {
	case machine.LinkUp:
		r.linkUp(now, e)
	case machine.LinkDown:
		r.linkDown(now, e)
	case machine.FrameIn:
		r.frameIn(now, e)
	case machine.Verified:
		r.verified(now, e)
	case machine.Signed:
		r.signed(now, e)
	case machine.Stored:
		r.stored(now, e)
	case machine.Loaded:
		r.loaded(now, e)
	case machine.Drained:
		r.drained(now, e)
	// An attachment's cost moves no tree.
	case machine.RTT:
		if r.links[e.Link] == peering {
			r.backbone.RTT(now, e.Link, e.Millis)
		}
	case machine.Tick:
		r.tick(now)
	case machine.Command:
		// A command comes from this process's own shell, never from a peer.
		panic("router: no command is known: " + e.String())
	}
}

// linkUp asks the gate whether a link may be, and gives it to the room of its pair
// of roles (spec §3.3). A refused link is kept until its end: what still comes over
// it is not read.
func (r *Router) linkUp(now int64, ev machine.LinkUp) {
	if code := r.gate.LinkUp(now, ev); code != wire.OK {
		r.links[ev.Link] = refused
		r.desk.Do(machine.Report{Event: machine.LinkRefused, Link: ev.Link, Code: code, Text: code.Sentence()})
		r.desk.Close(ev.Link, code, code.Sentence())
		return
	}
	switch {
	// 2–2 is the backbone; the higher role is the home of the lower.
	case ev.Role == wire.Core && r.cfg.Role == wire.Core:
		r.links[ev.Link] = peering
		r.backbone.LinkUp(now, ev)
	case ev.Role == wire.Core:
		r.links[ev.Link] = upstream
		r.client.LinkUp(now, ev)
	default:
		r.links[ev.Link] = attachment
		r.home.LinkUp(now, ev)
	}
}

// linkDown tells the room first: what it still says of the link, the gate may know.
func (r *Router) linkDown(now int64, ev machine.LinkDown) {
	switch r.links[ev.Link] {
	case peering:
		r.backbone.LinkDown(now, ev.Link)
	case upstream:
		r.client.LinkDown(now, ev.Link)
	case attachment:
		r.home.LinkDown(now, ev.Link)
	}
	r.gate.LinkDown(ev.Link)
	delete(r.links, ev.Link)
}

// frameIn hands a frame to the room whose number it bears (spec §3.2): backbone
// frames count only between two cores, attachment frames only on attachments.
func (r *Router) frameIn(now int64, ev machine.FrameIn) {
	rel := r.links[ev.Link]
	if rel == refused {
		return // its close frame is under way
	}
	// The frame has arrived, so it is paid for, whatever it is good for.
	r.gate.Arrived(now, ev.Link, ev.Bytes)
	t := ev.Frame.Type()
	// A newer peer may say more than this version knows; nobody is to blame.
	if _, unknown := ev.Frame.(*wire.Unknown); unknown {
		r.desk.Count(machine.UnknownFrame, ev.Link)
		return
	}
	switch {
	case rel == peering && t >= 32:
		r.backbone.Frame(now, ev.Link, ev.Frame)
	// From a home only answers and deliveries make sense; the client knows them.
	case rel == upstream && t < 32:
		r.client.Frame(now, ev.Link, ev.Frame)
	case rel == attachment && t < 32:
		r.home.Frame(now, ev.Link, ev.Frame)
	default:
		r.desk.Count(machine.FrameIgnored, ev.Link)
	}
}

// verified brings an answer to who asked: the token says it. Envelopes are the
// gate's question, whoever brought them; documents are asked by their rooms.
func (r *Router) verified(now int64, ev machine.Verified) {
	switch ev.Token.Owner() {
	case machine.OwnerGate:
		for _, v := range r.gate.Verified(now, ev.Token, ev.Failed) {
			r.verdict(now, v)
		}
	case machine.OwnerTree, machine.OwnerBackbone:
		r.backbone.Verified(now, ev.Token, ev.Failed)
	case machine.OwnerHome:
		r.home.Verified(now, ev.Token, ev.Failed)
	case machine.OwnerClient:
		r.client.Verified(now, ev.Token, ev.Failed)
	}
}

// verdict hands the gate's answer to the room that asked. A link that ended
// meanwhile does not matter: what was admitted has its right to exist.
func (r *Router) verdict(now int64, v gate.Verdict) {
	switch v.Case.Asker {
	case machine.OwnerBackbone:
		r.backbone.Verdict(now, v)
	case machine.OwnerHome:
		r.home.Verdict(now, v)
	case machine.OwnerClient:
		r.client.Verdict(now, v)
	}
}

// signed: the trees sign announcements, the home its grant, the client documents.
func (r *Router) signed(now int64, ev machine.Signed) {
	switch ev.Token.Owner() {
	case machine.OwnerTree:
		r.backbone.Signed(now, ev.Token, ev.Sig)
	case machine.OwnerHome:
		r.home.Signed(now, ev.Token, ev.Sig)
	case machine.OwnerClient:
		r.client.Signed(now, ev.Token, ev.Sig)
	}
}

// stored: here acknowledgements begin, and nowhere else.
func (r *Router) stored(now int64, ev machine.Stored) {
	switch ev.Token.Owner() {
	case machine.OwnerBackbone:
		r.backbone.Stored(now, ev.Token, ev.Err)
	case machine.OwnerHome:
		r.home.Stored(now, ev.Token, ev.Err)
	case machine.OwnerClient:
		r.client.Stored(now, ev.Token, ev.Err)
	}
}

func (r *Router) loaded(now int64, ev machine.Loaded) {
	switch ev.Token.Owner() {
	case machine.OwnerBackbone:
		r.backbone.Loaded(now, ev)
	case machine.OwnerHome:
		r.home.Loaded(now, ev.Token, ev.Values, ev.Err)
	}
}

// drained tells of room in a link's queue. One that was refused had no room to fill.
func (r *Router) drained(now int64, ev machine.Drained) {
	switch r.links[ev.Link] {
	case peering:
		r.backbone.Drained(now, ev.Link, ev.Class, ev.Weight)
	case upstream:
		r.client.Drained(now, ev.Link, ev.Class, ev.Weight)
	case attachment:
		r.home.Drained(now, ev.Link, ev.Class, ev.Weight)
	}
}

// tick lets every room do what is due; the gate first, since the others ask it.
func (r *Router) tick(now int64) {
	r.gate.Tick(now)
	r.home.Tick(now)
	if r.client != nil {
		r.client.Tick(now)
	} else {
		r.backbone.Tick(now)
	}
}

// Deadline returns when a Tick is wanted; see machine.Machine. Before the first
// Step it is the beginning of time: a router wants to begin.
func (r *Router) Deadline() time.Time {
	if !r.begun {
		return time.UnixMilli(0)
	}
	// The earliest of the rooms' deadlines: the shell keeps one timer.
	at := r.home.Deadline()
	var above int64
	if r.client != nil {
		above = r.client.Deadline()
	} else {
		above = r.backbone.Deadline()
	}
	for _, o := range [...]int64{r.gate.Deadline(), above} {
		// 0 is never.
		if o != 0 && (at == 0 || o < at) {
			at = o
		}
	}
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMilli(at)
}

var _ machine.Machine = (*Router)(nil)
