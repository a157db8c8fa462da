package gate

import (
	"slices"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Access says who may attach in a role.
type Access struct {
	Keys  []identity.Address // these keys, as trusted
	Local bool               // processes of the router's own user, over a unix socket
	Any   bool               // everybody, as members
}

// Config says who asks and whom it lets in. It is not changed after New.
type Config struct {
	Self     identity.Address
	Role     wire.Role // of this process
	Services Access
	Edges    Access             // at a core: which edge routers may attach
	Peers    []identity.Address // at a core: which cores may link, either way
	Homes    []identity.Address // of a client: its homes; none at a service: whoever it dialled
	Limits   Limits
}

// Gate is the one place where the right to exist is decided. Inputs: LinkUp,
// LinkDown, Arrived, Worked, Charge, Submit, Verified, Forget, Tick; queries: Seen,
// Deadline, Sizes. Times are Unix milliseconds. It is not safe for concurrent
// use.
type Gate struct {
	cfg  Config
	desk *machine.Desk
	now  int64 // of the last input

	links    map[machine.LinkID]*link
	bans     bans
	seen     seen
	writers  writers
	certs    certificates
	checks   map[machine.Token]*check
	pending  map[envelope.ID]*check
	verdicts []Verdict // of the last answer
}

// link is what the gate knows of a link.
type link struct {
	peer     identity.Address
	trusted  bool
	frames   bucket
	bytes    bucket
	paused   int64 // until when it is not read
	checking int   // verifications under way
	checked  int   // bytes of these
	faults   []int64
	closing  bool
}

// New returns a gate whose effects go onto desk.
func New(cfg Config, desk *machine.Desk) *Gate {
	cfg.Limits = cfg.Limits.filled()
	return &Gate{
		cfg: cfg, desk: desk,
		links:   make(map[machine.LinkID]*link),
		bans:    newBans(),
		seen:    newSeen(),
		writers: newWriters(),
		certs:   newCertificates(),
		checks:  make(map[machine.Token]*check),
		pending: make(map[envelope.ID]*check),
	}
}

// LinkUp says whether a link may be: wire.OK, or the code with which to close it
// (spec §3.3). Only NotAllowed and BadSignature (closed for its faults a short
// while ago) come.
func (g *Gate) LinkUp(now int64, ev machine.LinkUp) wire.Code {
	g.now = now
	if g.bans.holds(now, ev.Peer) {
		return wire.BadSignature
	}
	allowed, trusted := g.policy(ev)
	if !allowed {
		return wire.NotAllowed
	}
	g.links[ev.Link] = &link{peer: ev.Peer, trusted: trusted}
	return wire.OK
}

// policy holds the pair of roles and the peer's key against the configuration.
// Links are 0–1, 0–2, 1–2 (attachments) and 2–2 (backbone).
func (g *Gate) policy(ev machine.LinkUp) (allowed, trusted bool) {
	self, peer := g.cfg.Role, ev.Role
	switch {
	case ev.Peer == g.cfg.Self: // we dialled ourselves
		return false, false
	case self == wire.Core && peer == wire.Core:
		listed := slices.Contains(g.cfg.Peers, ev.Peer)
		return listed, listed
	case self == wire.Core && peer == wire.Edge:
		return g.cfg.Edges.admits(ev)
	case self != wire.Service && peer == wire.Service:
		return g.cfg.Services.admits(ev)
	case self == wire.Edge && peer == wire.Core:
		listed := slices.Contains(g.cfg.Homes, ev.Peer)
		return listed, listed
	case self == wire.Service && peer != wire.Service:
		home := ev.Dialled && (len(g.cfg.Homes) == 0 || slices.Contains(g.cfg.Homes, ev.Peer))
		return home, home
	}
	return false, false
}

// admits says whether ev's peer may attach, and whether as trusted.
func (a Access) admits(ev machine.LinkUp) (allowed, trusted bool) {
	trusted = slices.Contains(a.Keys, ev.Peer)
	return trusted || a.Any || a.Local && ev.Local, trusted
}

// LinkDown forgets a link. Checks of what it brought go on: an envelope's right
// to exist does not end with the link.
func (g *Gate) LinkDown(link machine.LinkID) { delete(g.links, link) }

// Tick forgets old ids.
func (g *Gate) Tick(now int64) {
	g.now = now
	g.seen.forget(now, forgetStep)
}

// Deadline returns when a Tick is wanted; 0: never.
func (g *Gate) Deadline() int64 { return g.seen.deadline() }

// Sizes returns how full the tables are.
func (g *Gate) Sizes() Sizes {
	return Sizes{
		Seen: len(g.seen.at), SeenLimit: g.cfg.Limits.Seen, Checking: len(g.checks),
		Writers: len(g.writers.at), Certificates: len(g.certs.known), Bans: len(g.bans.at),
	}
}

// Sizes counts the rows of the gate's tables.
type Sizes struct{ Seen, SeenLimit, Checking, Writers, Certificates, Bans int }
