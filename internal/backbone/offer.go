package backbone

import (
	"encoding/binary"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// An oidTable remembers the numbers of offers for a minute, so that each is
// passed on once. When it is full, the oldest go: a late second copy costs a few
// frames and is cut by who has the ids.
type oidTable struct {
	seen map[oidKey]struct{}
	list []oidSeen
	most int
}

type oidKey struct {
	root   identity.Address
	target envelope.Target
	oid    [8]byte
}

type oidSeen struct {
	key   oidKey
	until int64
}

func newOIDTable(most int) oidTable { return oidTable{seen: make(map[oidKey]struct{}), most: most} }

// first reports whether k is new, and remembers it.
func (t *oidTable) first(now int64, k oidKey) bool {
	// A number counts for a minute from its first sight: an offer that is still
	// under way after that is lost or a replay.
	t.expire(now)
	if _, ok := t.seen[k]; ok {
		return false
	}
	if len(t.list) >= t.most {
		t.pop()
	}
	t.seen[k] = struct{}{}
	t.list = append(t.list, oidSeen{k, now + oidLife})
	return true
}

// expire forgets what is over.
func (t *oidTable) expire(now int64) {
	for len(t.list) > 0 && t.list[0].until < now {
		t.pop()
	}
	if len(t.list) == 0 {
		t.list = nil
	}
}

// pop forgets the oldest.
func (t *oidTable) pop() {
	delete(t.seen, t.list[0].key)
	t.list = t.list[1:]
}

// firstOffer is first, and sees to it that the table empties by itself.
func (b *Backbone) firstOffer(now int64, k oidKey) bool {
	// One job as long as there is anything: a table of numbers that nobody will
	// see again would stay for ever in a quiet network.
	quiet := len(b.oids.list) == 0
	first := b.oids.first(now, k)
	if quiet && !b.oidsDue {
		b.oidsDue = true
		b.agenda.Put(now+oidLife+1, job{do: (*Backbone).oidsOver})
	}
	return first
}

// oidsOver forgets the numbers of a minute ago, and looks again while some are left.
func (b *Backbone) oidsOver(now int64, j job) {
	b.oids.expire(now)
	if b.oidsDue = len(b.oids.list) > 0; b.oidsDue {
		b.agenda.Put(b.oids.list[0].until+1, j)
	}
}

// newOID makes the number of an offer that begins here, and notes it: it is known
// when it comes back round a changed tree. Numbers are chance, so two routers do
// not meet on one.
func (b *Backbone) newOID(now int64, root identity.Address, t envelope.Target) (oid [8]byte) {
	binary.BigEndian.PutUint64(oid[:], b.random.Uint64())
	b.firstOffer(now, oidKey{root, t, oid})
	return oid
}

// sendOffer sends an offer in the order of control frames: after the interest that
// made the direction, before whatever follows.
func (b *Backbone) sendOffer(link machine.LinkID, f *wire.Offer) {
	b.desk.Send(link, machine.Control, f)
	b.desk.Count(machine.OfferSent, link)
}

// offerDirection offers one neighbour what came lately, or was offered lately
// and may be had from here, when its direction becomes active (J3): what was
// pushed while the branch was between two parents passed it by. Ids that were
// only offered are included, since their own offer may have met a cut here and
// nobody would repeat it.
func (b *Backbone) offerDirection(now int64, br *branch, link machine.LinkID, t envelope.Target) {
	s, ok := b.subjects.Get(t)
	if !ok {
		return
	}
	// What nobody could pull from here any more is not offered.
	s.prune(now)
	ids := b.serveable(now, s, link)
	for ; len(ids) > 0; ids = ids[min(len(ids), wire.EntriesMax):] {
		part := ids[:min(len(ids), wire.EntriesMax)]
		b.sendOffer(link, &wire.Offer{Root: br.root, Target: t, OID: b.newOID(now, br.root, t), IDs: part})
	}
}

// serveable lists what s still counts as recent and asker could pull, once each.
func (b *Backbone) serveable(now int64, s *subject, asker machine.LinkID) []wire.Prefix {
	if len(s.recent) == 0 {
		return nil
	}
	ids := make([]wire.Prefix, 0, len(s.recent))
	// An id may have come twice: offered first, then pulled.
	listed := make(map[wire.Prefix]bool, len(s.recent))
	for _, r := range s.recent {
		if !listed[r.id] && r.counts(now) && b.canServe(r.id, asker) {
			listed[r.id] = true
			ids = append(ids, r.id)
		}
	}
	return ids
}

// canServe reports whether a pull of id by asker could be answered.
func (b *Backbone) canServe(id wire.Prefix, asker machine.LinkID) bool {
	// From the cache, or on the asker's behalf from somebody else: but not from
	// the asker itself, or two caches without it would send each other round.
	if b.kept.at[id] != nil {
		return true
	}
	m, ok := b.missing.Get(id)
	return ok && m.otherProvider(asker) != 0
}

// onOffer takes an offer from parent or child in its tree (S2): what is unknown
// is remembered with its provider, and pulled if somebody here wants it; then the
// offer goes on to all other directions, once, without what this router has
// unless it is deep (S1).
func (b *Backbone) onOffer(now int64, n *neighbour, f *wire.Offer) {
	if !b.isEdge(now, n, f.Root) {
		b.desk.Count(machine.WrongDirection, n.link)
		return
	}
	if !b.firstOffer(now, oidKey{f.Root, f.Target, f.OID}) {
		return
	}
	// An offer is believed for one thing only: whom to ask. What comes of it is
	// checked like everything else.
	pass := make([]wire.Prefix, 0, len(f.IDs))
	for _, id := range f.IDs {
		if b.kept.at[id] != nil {
			if f.Deep {
				pass = append(pass, id)
			}
			continue
		}
		b.offered(now, n, f.Target, id)
		pass = append(pass, id)
	}
	if len(pass) == 0 {
		return
	}
	g := &wire.Offer{Root: f.Root, Target: f.Target, Deep: f.Deep, OID: f.OID, IDs: pass}
	b.directions(f.Root, f.Target, n.link, func(n *neighbour) { b.sendOffer(n.link, g) })
}
