package tree

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Config says who the router is.
type Config struct {
	Self    identity.Address
	CanRoot bool   // may become an automatic root (R3)
	Seed    uint64 // of the jitter of refreshes; the same seed and inputs give the same effects
	// Charge is told of a fault that every honest router would have refused: a
	// chain that is no chain, a signature that does not hold. Nil: nobody is told.
	Charge func(now int64, link machine.LinkID, code wire.Code, text string)
}

// ChangeKind says what a Change is about.
type ChangeKind uint8

// What may change. See Change.
const (
	Parent   ChangeKind = iota + 1 // the pointer moved from Old to New
	Reach                          // reach of Root was gained or lost; see Forest.Reach
	Counting                       // the set of roots that count: targets map anew
	Settled                        // Root has had reach for SETTLE: it may be published on
	Left                           // T8: Root's tree was left, or forgotten; see Forest.Knows
)

// A Change is something that whoever builds on the trees must act on in the same
// step. Old and New are the links to the parents before and after, 0 for none; they
// are set for Parent only, and a link that has ended may still be Old.
type Change struct {
	Kind     ChangeKind
	Root     identity.Address // zero for Counting
	Old, New machine.LinkID
}

// A Forest is one router's place in the trees of all roots.
//
// Inputs: LinkUp, LinkDown, SetCost, Frame, Verified, Signed, Tick, in the order in
// which things happen, with a now (Unix milliseconds) that never goes back. Output:
// effects on the Desk, and Changes. Queries: Deadline, Knows, Parent, Reach,
// Counting, Map, PublishRoot, Roots, String. It is not safe for concurrent use.
type Forest struct {
	cfg    Config
	desk   *machine.Desk
	random *rand.Rand
	boot   int64 // start of this life

	neighbours []*neighbour // by link
	trees      []*tree      // by root
	byRoot     map[identity.Address]*tree
	past       past // of trees that were pushed out

	counting     []*tree            // R2, by root, as of the last recount
	countingKeys []identity.Address // the same; never changed in place
	ballot       ballot             // R3
	own          ownRoot            // this router as a root

	checks  map[machine.Token]*check   // asked of Verify
	signing map[machine.Token]*signing // asked of Sign
	proven  claimSet

	changes  []Change
	deadline int64 // as of the last input, unless outdated
	outdated bool

	// naive makes every live announcement feasible: a plain path vector. Tests
	// set it to see that their check for cycles is not blind.
	naive bool
}

// A neighbour is the core router at the other end of a link.
type neighbour struct {
	link   machine.LinkID
	peer   identity.Address
	cost   int64
	gone   bool
	checks map[identity.Address]*check // under way, by root
}

// A rung is how far a router stands from a root: the number that the root gave out
// and the sum of costs since.
type rung struct{ seq, metric int64 }

// better is the strict order on which the absence of cycles rests.
func (a rung) better(b rung) bool { return a.seq > b.seq || a.seq == b.seq && a.metric < b.metric }

// never is the fd of who has announced nothing yet.
func never() rung { return rung{-1, wire.MetricMax} }

// A tree is this router's state for one root (spec §8).
type tree struct {
	root   identity.Address
	rank   identity.Hash
	slots  []*slot // one for each neighbour, by link
	parent *slot   // kept when reach ends (T5); nil: none
	reach  bool
	rung   rung    // taken over from the parent, its cost added; kept when reach ends
	via    *advert // what the parent announced, which this router continues; a root: its own signature
	fd     rung    // the best that was ever announced
	since  int64   // when reach began
	lost   int64   // when it ended, or the tree became known
	newer  int64   // T3: since when another neighbour has a newer number; 0: none has

	settled  bool  // Settled was told
	left     bool  // T8: left, not yet forgotten
	usable   bool  // R2, as of the last recount
	counting bool  // R2, as of the last recount
	lingers  int64 // R2: announced until then, though it counts no more

	telling bool   // whether neighbours are told of this tree at all
	version uint64 // of what they are told
	dirty   bool   // some may be behind

	asking bool   // T5: the next round of questions is planned at askAt
	asked  int    // rounds since reach was lost
	askAt  int64  // no round before
	width  int    // neighbours asked in the present round
	round  uint64 // its number
	passAt int64  // T6: no question is passed on before
}

// A slot is what one neighbour and this router told each other in one tree.
type slot struct {
	nb     *neighbour
	advert *advert // nil: nothing, or taken back
	seq    int64   // the highest number that it announced on this link
	heard  int64   // and when first

	round     uint64        // T5: of the last question to it
	told      uint64        // the version that it knows
	announced bool          // whether it was told more than a retraction
	saidAt    int64         // when it was last told
	token     machine.Token // of the signature that is being made for it; 0: none
	gone      bool          // the link or the tree has ended
}

// New returns the forest of a router whose life starts at now. Its effects go to
// desk.
func New(cfg Config, desk *machine.Desk, now int64) *Forest {
	f := &Forest{
		cfg: cfg, desk: desk, boot: now,
		random:  rand.New(rand.NewPCG(cfg.Seed, 0x7ee)),
		byRoot:  make(map[identity.Address]*tree),
		checks:  make(map[machine.Token]*check),
		signing: make(map[machine.Token]*signing),
		proven:  newClaimSet(),
	}
	f.ballot.rank = rankOf(cfg.Self)
	f.ballot.share = shareOf(f.ballot.rank)
	f.finish(now)
	return f
}

// LinkUp tells of a link to another core. LinkDown of an older link to the same
// peer comes first (L2); where it did not, the older link counts as ended here.
func (f *Forest) LinkUp(now int64, link machine.LinkID, peer identity.Address, cost int) {
	for _, old := range f.neighbours {
		if old.peer == peer || old.link == link {
			f.LinkDown(now, old.link)
			break
		}
	}
	nb := &neighbour{link: link, peer: peer, cost: clampCost(cost), checks: make(map[identity.Address]*check)}
	i, _ := f.find(link)
	f.neighbours = slices.Insert(f.neighbours, i, nb)
	for _, t := range f.trees {
		t.open(nb)
	}
	f.finish(now)
}

// LinkDown tells of a link's end. An unknown link is none of this room's.
func (f *Forest) LinkDown(now int64, link machine.LinkID) {
	i, ok := f.find(link)
	if !ok {
		return
	}
	nb := f.neighbours[i]
	nb.gone = true
	clear(nb.checks)
	f.neighbours = slices.Delete(f.neighbours, i, i+1)
	for _, t := range f.trees {
		f.closeSlot(now, t, link)
	}
	f.finish(now)
}

// SetCost tells of a link's new cost.
func (f *Forest) SetCost(now int64, link machine.LinkID, cost int) {
	i, ok := f.find(link)
	if !ok || f.neighbours[i].cost == clampCost(cost) {
		return
	}
	f.neighbours[i].cost = clampCost(cost)
	for _, t := range f.trees {
		f.choose(now, t)
	}
	f.finish(now)
}

// Frame handles *wire.Announce, *wire.Retract or *wire.SeqReq; others are ignored
// and counted.
func (f *Forest) Frame(now int64, link machine.LinkID, fr wire.Frame) {
	i, ok := f.find(link)
	if !ok {
		f.desk.Count(machine.FrameIgnored, link)
		return
	}
	nb := f.neighbours[i]
	switch fr := fr.(type) {
	case *wire.Announce:
		f.onAnnounce(now, nb, fr)
	case *wire.Retract:
		f.onRetract(now, nb, fr.Root)
	case *wire.SeqReq:
		f.onSeqReq(now, nb, fr)
	default:
		f.desk.Count(machine.FrameIgnored, link)
	}
	f.finish(now)
}

// Verified answers a Verify of OwnerTree; failed is the first claim that does not
// hold, -1 if all do.
func (f *Forest) Verified(now int64, t machine.Token, failed int) {
	f.onVerified(now, t, failed)
	f.finish(now)
}

// Signed answers a Sign of OwnerTree.
func (f *Forest) Signed(now int64, t machine.Token, sig identity.Signature) {
	f.onSigned(now, t, sig)
	f.finish(now)
}

// Changes returns what changed since the last call, in order. The slice is the
// caller's.
func (f *Forest) Changes() []Change {
	c := f.changes
	f.changes = nil
	return c
}

// finish ends every input: whatever follows from it for elections and for what
// neighbours must be told is done in the same step.
func (f *Forest) finish(now int64) {
	f.recount(now)
	if f.elect(now) {
		f.recount(now)
	}
	for _, t := range f.trees {
		f.tellAll(now, t)
	}
	f.outdated = true
}

func (f *Forest) find(link machine.LinkID) (int, bool) {
	return slices.BinarySearchFunc(f.neighbours, link, func(nb *neighbour, l machine.LinkID) int { return cmp.Compare(nb.link, l) })
}

func (f *Forest) changed(c Change) { f.changes = append(f.changes, c) }

// charge tells the gate of a fault of nb, unless its link has ended meanwhile.
func (f *Forest) charge(now int64, nb *neighbour, code wire.Code, text string) {
	if f.cfg.Charge != nil && !nb.gone {
		f.cfg.Charge(now, nb.link, code, text)
	}
}

// plant stores a new tree. Its fd is what this router remembers of an earlier one.
func (f *Forest) plant(now int64, root identity.Address) *tree {
	t := &tree{root: root, rank: rankOf(root), fd: f.past.take(root), lost: now, left: true, version: 1}
	for _, nb := range f.neighbours {
		t.open(nb)
	}
	i, _ := slices.BinarySearchFunc(f.trees, root, func(t *tree, r identity.Address) int { return t.root.Compare(r) })
	f.trees = slices.Insert(f.trees, i, t)
	f.byRoot[root] = t
	return t
}

// open adds the slot of a new neighbour, who must be told (T4).
func (t *tree) open(nb *neighbour) {
	i, _ := t.find(nb.link)
	t.slots = slices.Insert(t.slots, i, &slot{nb: nb, seq: -1, saidAt: -gather})
	t.dirty = true
}

// slot returns the slot of a link, or nil.
func (t *tree) slot(link machine.LinkID) *slot {
	if i, ok := t.find(link); ok {
		return t.slots[i]
	}
	return nil
}

func (t *tree) find(link machine.LinkID) (int, bool) {
	return slices.BinarySearchFunc(t.slots, link, func(s *slot, l machine.LinkID) int { return cmp.Compare(s.nb.link, l) })
}

// closeSlot ends one neighbour's part in a tree. The pointer at a link that has
// ended lives until T3 has looked for another, so that one Change tells of both.
func (f *Forest) closeSlot(now int64, t *tree, link machine.LinkID) {
	i, ok := t.find(link)
	if !ok {
		return
	}
	s := t.slots[i]
	s.gone, s.advert = true, nil
	f.abandon(s)
	t.slots = slices.Delete(t.slots, i, i+1)
	f.choose(now, t)
	if t.parent == s {
		f.adopt(t, nil)
	}
}

func clampCost(cost int) int64 { return int64(min(max(cost, costMin), costMax)) }
