package backbone

import (
	"bytes"
	"cmp"
	"math/rand/v2"
	"slices"

	"upsycle/identity"
	"upsycle/internal/directory"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/tree"
	"upsycle/internal/wire"
)

// Downstream is the router's own side: its home, with the clients' mailboxes.
type Downstream interface {
	// Taken answers Take, Again and Retake.
	Taken(now int64, id envelope.ID, code wire.Code, retryAfter uint64)
	// Deliver hands over an envelope that came from another core and that
	// somebody here wants. Done is called with n once it is kept for good.
	Deliver(now int64, a gate.Admitted, n uint64)
}

// Config says who the router is.
type Config struct {
	Self    identity.Address
	CanRoot bool   // may become an automatic root (R3)
	Seed    uint64 // of the generator for offer numbers and jitter
	Limits  Limits
	Ledger  *Ledger // what was restored; nil: nothing
}

// Backbone is the peer-to-peer half of a core router.
//
// Inputs: LinkUp, LinkDown, Frame, Drained, RTT, Verdict, Verified, Signed,
// Stored, Tick; commands: Take, Again, Retake, Want, Unwant; queries: Deadline,
// Trees, Locals, Roots. Flush ends each step of the router. It is not safe for
// concurrent use.
type Backbone struct {
	cfg    Config
	desk   *machine.Desk
	gate   *gate.Gate
	grants *directory.Directory
	forest *tree.Forest
	down   Downstream
	random *rand.Rand

	neighbours *ordered.Map[machine.LinkID, *neighbour]
	branches   *ordered.Map[identity.Address, *branch]
	subjects   *ordered.Map[envelope.Target, *subject]
	entries    int // interest entries of all children

	ledger      *Ledger
	begun       int64 // when this life began
	routes      map[identity.Address]*route
	passed      map[passedKey]passedOn
	loads       map[machine.Token]*loading
	fetching    map[wire.Prefix]machine.Token
	custodyNo   int              // envelopes in custody
	handed      map[uint64]*held // delivered, and not yet kept for good
	handedNo    uint64
	kept        keep // what can be given to neighbours
	takes       map[machine.Token]*held
	taking      map[envelope.ID]bool
	takingBytes int
	checks      map[machine.Token]*grantCheck
	missing     *ordered.Map[wire.Prefix, *missing]
	oids        oidTable
	oidsDue     bool // a job will empty it
	bounds      bounds
	agenda      ordered.Agenda[job]
	ends        ordered.Agenda[grantEnd]
	pulling     []*neighbour // who is to be sent the pulls of this step
}

// A job is something to be done at an instant: a method and what it is about.
type job struct {
	do   func(b *Backbone, now int64, j job)
	root identity.Address
	at   envelope.Target
	id   wire.Prefix
	link machine.LinkID
	due  int64 // what the job is about where that is an instant
}

// New returns the backbone of a router that starts its life at now (Unix
// milliseconds). It shares desk, gate and directory with the router's home.
func New(cfg Config, desk *machine.Desk, g *gate.Gate, dir *directory.Directory, now int64) *Backbone {
	if cfg.Limits.Custody == 0 {
		cfg.Limits.Custody = custodyDefault
	}
	most := defaults()
	if cfg.Ledger == nil {
		cfg.Ledger = NewLedger()
	}
	b := &Backbone{
		cfg: cfg, desk: desk, gate: g, grants: dir, ledger: cfg.Ledger, begun: now,
		routes:     make(map[identity.Address]*route),
		passed:     make(map[passedKey]passedOn),
		loads:      make(map[machine.Token]*loading),
		fetching:   make(map[wire.Prefix]machine.Token),
		handed:     make(map[uint64]*held),
		forest:     tree.New(tree.Config{Self: cfg.Self, CanRoot: cfg.CanRoot, Seed: cfg.Seed, Charge: g.Charge}, desk, now),
		random:     rand.New(rand.NewPCG(cfg.Seed, 0xbac)),
		neighbours: ordered.NewMap[machine.LinkID, *neighbour](cmp.Compare[machine.LinkID]),
		branches:   ordered.NewMap[identity.Address, *branch](identity.Address.Compare),
		subjects:   ordered.NewMap[envelope.Target, *subject](envelope.Target.Compare),
		kept:       newKeep(most.cache),
		takes:      make(map[machine.Token]*held),
		taking:     make(map[envelope.ID]bool),
		checks:     make(map[machine.Token]*grantCheck),
		missing:    ordered.NewMap[wire.Prefix, *missing](comparePrefix),
		oids:       newOIDTable(most.offers),
		bounds:     most,
	}
	b.resume(now)
	return b
}

// resume takes up what the Ledger brought from the life before.
func (b *Backbone) resume(now int64) {
	list := b.ledger.restored
	b.ledger.restored = nil
	slices.SortFunc(list, func(x, y *held) int {
		return cmp.Or(cmp.Compare(x.stamp.Time, y.stamp.Time), bytes.Compare(x.full[:], y.full[:]))
	})
	for _, h := range list {
		s := b.subject(h.target)
		if s == nil || b.kept.at[h.id] != nil {
			continue
		}
		h.stamp.Ingress = b.cfg.Self
		b.kept.at[h.id] = h
		b.ledger.add(h)
		b.custodyNo++
		s.own.list = append(s.own.list, h)
		s.held++
	}
	for _, s := range b.subjects.All() {
		s.own.skipAges(now)
		b.planAges(now, s)
		b.place(now, s)
	}
}

// Bind says who takes what comes. It is called once, before the first input.
func (b *Backbone) Bind(down Downstream) { b.down = down }

// LinkUp tells of a link to another core.
func (b *Backbone) LinkUp(now int64, ev machine.LinkUp) {
	n := &neighbour{link: ev.Link, peer: ev.Peer, rtt: ev.RTT, looked: now, edges: make(map[identity.Address]formerEdge)}
	n.cost = costOf(ev.RTT)
	n.forwarded = machine.Report{Event: machine.Forwarded, Link: ev.Link}
	b.neighbours.Set(ev.Link, n)
	b.forest.LinkUp(now, ev.Link, ev.Peer, n.cost)
	b.follow(now)
}

// LinkDown tells of the end of a link to another core.
func (b *Backbone) LinkDown(now int64, link machine.LinkID) {
	if !b.neighbours.Delete(link) {
		return
	}
	// Its children go first: what a new parent is told must not hold them.
	for _, br := range b.branches.All() {
		b.dropChild(now, br, link)
		b.tidyBranch(br)
	}
	b.forest.LinkDown(now, link)
	b.follow(now)
	b.forgetProvider(link)
}

// Frame handles a backbone frame of another core. Others are ignored and counted.
func (b *Backbone) Frame(now int64, link machine.LinkID, fr wire.Frame) {
	n, ok := b.neighbours.Get(link)
	if !ok {
		b.desk.Count(machine.FrameIgnored, link)
		return
	}
	// The frame is taken all the same: only what follows it is read later.
	b.slow(now, n, n.paces.charge(now, fr))
	switch f := fr.(type) {
	case *wire.Announce, *wire.Retract, *wire.SeqReq:
		b.forest.Frame(now, link, fr)
		b.follow(now)
	case *wire.Graft:
		b.onGraft(now, n, f)
	case *wire.Prune:
		b.onPrune(now, n, f)
	case *wire.Interest:
		b.onInterest(now, n, f)
	case *wire.Elsewhere:
		b.onElsewhere(now, n, f)
	case *wire.Data:
		b.onData(now, n, f)
	case *wire.Offer:
		b.onOffer(now, n, f)
	case *wire.Pull:
		b.onPull(now, n, f)
	case *wire.Pulled:
		b.onPulled(now, n, f)
	case *wire.NoHave:
		b.onNoHave(now, n, f)
	case *wire.Resync:
		b.onResync(now, n, f)
	default:
		b.desk.Count(machine.FrameIgnored, link)
	}
}

// Verified handles the answer to a Verify of this room or of its trees.
func (b *Backbone) Verified(now int64, t machine.Token, failed int) {
	// Two rooms ask under this roof; the token says which.
	if t.Owner() == machine.OwnerTree {
		b.forest.Verified(now, t, failed)
		b.follow(now)
		return
	}
	b.grantChecked(now, t, failed)
}

// Signed handles the answer to a Sign of the trees.
func (b *Backbone) Signed(now int64, t machine.Token, sig identity.Signature) {
	b.forest.Signed(now, t, sig)
	b.follow(now)
}

// Tick does what is due.
func (b *Backbone) Tick(now int64) {
	// Trees first: what is due below must see the parents of this instant.
	b.forest.Tick(now)
	b.follow(now)
	b.expire(now)
	b.grantsOver(now)
	// A job may plan others for now; they run in the same Tick, and each of them
	// is later than what made it.
	for j, ok := b.agenda.Pop(now); ok; j, ok = b.agenda.Pop(now) {
		j.do(b, now, j)
	}
}

// Deadline returns when a Tick is wanted, in Unix milliseconds; 0: never.
func (b *Backbone) Deadline() int64 {
	at := b.forest.Deadline()
	ends, _ := b.ends.Next()
	for _, other := range [...]int64{b.nextJob(), b.kept.next(), b.ledger.next(), b.ledger.had.next(), ends} {
		if other != 0 && (at == 0 || other < at) {
			at = other
		}
	}
	return at
}

func (b *Backbone) nextJob() int64 {
	at, _ := b.agenda.Next()
	return at
}

// Flush sends what was gathered during a step: pulls, by neighbour.
func (b *Backbone) Flush(int64) { b.flushPulls() }

// follow carries out what changed in the trees, in order (T7, R4).
func (b *Backbone) follow(now int64) {
	// Acting on a change may make the trees change again.
	for changes := b.forest.Changes(); len(changes) > 0; changes = b.forest.Changes() {
		// Mapping looks at the state after all changes, so once is enough.
		remap := false
		for _, c := range changes {
			if c.Kind == tree.Reach {
				b.routeChanged(now, c.Root)
			}
			switch c.Kind {
			case tree.Parent:
				b.newParent(now, c)
			case tree.Left:
				b.left(now, c.Root)
			case tree.Counting, tree.Reach, tree.Settled:
				remap = true
			}
		}
		if remap {
			b.remapAll(now)
		}
	}
}

// comparePrefix orders ids, so that tables of them are visited alike in each run.
func comparePrefix(a, b wire.Prefix) int {
	for i := range a {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}
