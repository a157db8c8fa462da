package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// A subject is what this router has of a target: its own part in it (wanted,
// sent or held here) and what passed by lately.
type subject struct {
	target envelope.Target

	wanted      bool
	grant       *wire.Grant // the latest, for an address
	senderUntil int64       // counts as a sender until then
	held        int         // envelopes in this router's custody
	own         holdings
	wantedAt    int64 // since when it is wanted; 0: since before this life

	mapped             bool
	primary, secondary identity.Address
	publish            identity.Address // root that pushes go to now; zero: none
	presences          *ordered.Map[identity.Address, *presence]
	recent             []recent // what came or was offered lately, oldest first
	lapses             []lapse  // children that wanted it until lately

	asking   bool  // for what was missed in a cut (S5)
	askFrom  int64 // exposed since
	askBegun int64
	asked    int   // requests sent
	askDue   int64 // of the job

	answering  bool // to others' requests (S4)
	answerFrom int64
	answerOn   []identity.Address
	answered   int64
	tidyAt     int64 // when what passed by is looked through; 0: no job
	lookAt     int64 // when a flag that ended stops to count; 0: no job
}

// A presence is this router's own part of the interest in one tree. A flag that
// ended counts until its end (CLEAR), so that a publisher whose view is a step
// behind still finds the subscriber.
type presence struct {
	flags wire.InterestFlags
	ends  [3]int64 // for each flag that ended and still counts, until when
}

// A recent id is one that J3 offers when a direction becomes active.
type recent struct {
	id  wire.Prefix
	at  int64
	own bool
}

// A lapse is a child whose interest in a target has ended: it may still pull.
type lapse struct {
	link  machine.LinkID
	until int64
}

// subject returns the record of a target that this router's own side wants or
// sends to, made if need be, or nil if the table is full.
func (b *Backbone) subject(t envelope.Target) *subject { return b.record(t, b.bounds.targets) }

// passing is subject for what only passes by. It may fill half of the table: what
// neighbours bring must not keep a client from subscribing.
func (b *Backbone) passing(t envelope.Target) *subject { return b.record(t, b.bounds.targets/2) }

func (b *Backbone) record(t envelope.Target, most int) *subject {
	s, ok := b.subjects.Get(t)
	if ok {
		return s
	}
	if b.subjects.Len() >= most {
		b.desk.Count(machine.TableFull, 0)
		return nil
	}
	s = &subject{target: t, presences: ordered.NewMap[identity.Address, *presence](identity.Address.Compare)}
	b.subjects.Set(t, s)
	return s
}

// presence returns what s shows of itself in the tree of root, or nil.
func (s *subject) presence(root identity.Address) *presence {
	return s.presences.At(root)
}

// idle reports whether nothing is left to know. Lapses alone are not worth a record:
// who may still pull for a moment asks another.
func (s *subject) idle() bool {
	return !s.wanted && s.senderUntil == 0 && s.held == 0 && s.presences.Len() == 0 && len(s.recent) == 0
}

// tidy forgets a subject about which nothing is left to know.
func (b *Backbone) tidy(now int64, s *subject) {
	s.prune(now)
	if s.idle() {
		b.subjects.Delete(s.target)
	}
}

// prune drops what passed by too long ago, and lapses that are over.
func (s *subject) prune(now int64) {
	// In the order of arrival. An id of this router's own counts longer and holds
	// up those behind it, which the bound of the list allows for.
	k := 0
	for k < len(s.recent) && !s.recent[k].counts(now) {
		k++
	}
	s.recent = s.recent[k:]
	if len(s.recent) == 0 {
		s.recent = nil
	}
	k = 0
	for k < len(s.lapses) && s.lapses[k].until < now {
		k++
	}
	s.lapses = s.lapses[k:]
}

// counts reports whether J3 still offers the id: ten minutes for what this
// router holds, two for what passed by.
func (r recent) counts(now int64) bool {
	// The ingress is the one to ask; a relay's memory is a courtesy.
	if r.own {
		return now-r.at <= cacheLife
	}
	return now-r.at <= recently
}

// remember notes that an id came, or was offered. Of very many in a short time
// the oldest are forgotten: the repair of a cut that long is not J3's.
func (b *Backbone) remember(now int64, s *subject, id wire.Prefix, own bool) {
	if len(s.recent) >= b.bounds.recent {
		s.recent = s.recent[1:]
	}
	s.recent = append(s.recent, recent{id, now, own})
	// One job for each target, however much passes by.
	if s.tidyAt == 0 {
		s.tidyAt = now + recently + 1
		b.agenda.Put(s.tidyAt, job{do: (*Backbone).tidyDue, at: s.target})
	}
}

// tidyDue forgets what passed by too long ago, and the subject with the last of
// it if nothing else is left to know.
func (b *Backbone) tidyDue(now int64, j job) {
	s, ok := b.subjects.Get(j.at)
	if !ok {
		return
	}
	if s.tidyAt > now {
		return // the job of a subject that was forgotten and came back
	}
	s.tidyAt = 0
	b.tidy(now, s)
	if len(s.recent) > 0 {
		s.tidyAt = now + recently + 1
		b.agenda.Put(s.tidyAt, j)
	}
}

// knewBefore reports whether an id that came before an instant still counts.
func (s *subject) knewBefore(at int64) bool { return len(s.recent) > 0 && s.recent[0].at < at }

// lapsed notes that a child wants t no more, once for each child.
func (b *Backbone) lapsed(now int64, t envelope.Target, link machine.LinkID) {
	s, ok := b.subjects.Get(t)
	if !ok || !b.neighbours.Has(link) {
		return
	}
	s.prune(now)
	for i := range s.lapses {
		if s.lapses[i].link == link {
			s.lapses = append(s.lapses[:i], s.lapses[i+1:]...)
			break
		}
	}
	s.lapses = append(s.lapses, lapse{link, now + askGrace})
}

// Want says that somebody here wants t from now on; again with a later grant.
func (b *Backbone) Want(now int64, t envelope.Target, grant *wire.Grant) {
	s := b.subject(t)
	if s == nil {
		return
	}
	// Again and again with the same target is how renewals come.
	if !s.wanted {
		s.wanted, s.wantedAt = true, now
		if now == b.begun {
			s.wantedAt = 0 // it was wanted in the life before
		}
	}
	if grant != nil && (s.grant == nil || s.grant.NotAfter < grant.NotAfter) {
		s.grant = grant
		b.endsAt(grant, grantEnd{target: t})
	}
	b.place(now, s)
}

// Unwant says that nobody here wants t any more.
func (b *Backbone) Unwant(now int64, t envelope.Target) {
	// Not at once: a publisher may look at the roots as they were (CLEAR).
	if s, ok := b.subjects.Get(t); ok {
		s.wanted = false
		b.place(now, s)
		b.tidy(now, s)
	}
}

// remapAll computes the map anew for every subject that has a part here (R4), at
// once: subscribers join a new root before publishers use it. The others are
// mapped when they get a part.
func (b *Backbone) remapAll(now int64) {
	for _, s := range b.subjects.All() {
		s.mapped = false
		if s.wanted || s.senderUntil > 0 || s.held > 0 || s.presences.Len() > 0 {
			b.place(now, s)
		}
	}
}

// place computes where s stands: its roots, its flags in each tree, and what
// that changes upwards.
func (b *Backbone) place(now int64, s *subject) {
	if !s.mapped {
		b.remap(now, s)
	}
	for _, root := range b.rootsOf(s) {
		b.appear(now, s, root)
	}
}

// remap asks the trees for s's roots. When the primary one becomes another, what
// was missed is asked for and what is held is offered again (S5).
func (b *Backbone) remap(now int64, s *subject) {
	s.mapped = true
	before := s.primary
	s.primary, s.secondary = b.forest.Map(s.target)
	// Who joins a root joins at once; who publishes waits until the root has
	// settled. So two routers whose views are one step apart share a root.
	s.publish, _ = b.forest.PublishRoot(now, s.target)
	if s.primary != before && !s.primary.IsZero() {
		b.cutOver(now, s)
	}
}

// rootsOf returns the roots in whose trees s has or may get flags, in order.
func (b *Backbone) rootsOf(s *subject) []identity.Address {
	// Also where it was: there its flags must end.
	roots := s.presences.Keys()
	for _, r := range [...]identity.Address{s.primary, s.secondary, s.publish} {
		if !r.IsZero() && !s.presences.Has(r) && !contains(roots, r) {
			roots = append(roots, r)
		}
	}
	return roots
}

func contains(list []identity.Address, a identity.Address) bool {
	for _, x := range list {
		if x == a {
			return true
		}
	}
	return false
}

// loc is what J1 calls loc: this router's own flags for s in the tree of root.
func (s *subject) loc(now int64, root identity.Address) wire.InterestFlags {
	// R on both roots, S and H where pushes and offers set out (J1).
	var f wire.InterestFlags
	granted := s.target.Kind == envelope.Group || s.grant != nil && int64(s.grant.NotAfter) >= now
	if s.wanted && granted && (root == s.primary || root == s.secondary) {
		f |= wire.Receiver
	}
	if root == s.primary || root == s.publish {
		if s.senderUntil > now {
			f |= wire.Sender
		}
		if s.held > 0 {
			f |= wire.Holder
		}
	}
	return f
}

// appear brings s's presence in one tree up to date. What ended counts CLEAR
// longer.
func (b *Backbone) appear(now int64, s *subject, root identity.Address) {
	want := s.loc(now, root)
	// No record of nothing.
	p := s.presence(root)
	if p == nil {
		if want == 0 {
			return
		}
		p = &presence{}
		s.presences.Set(root, p)
	}
	before := p.flags
	for i := range p.ends {
		p.settle(now, i, want)
		b.look(now, s, p.ends[i])
	}
	if p.flags == 0 {
		s.presences.Delete(root)
	}
	// Of an address the grant may be another, which the parent must be told.
	if p.flags != before || want&wire.Receiver != 0 && s.target.Kind == envelope.Address {
		b.touch(now, b.branch(root), s.target)
	}
}

// settle brings flag i of a presence up to date.
func (p *presence) settle(now int64, i int, want wire.InterestFlags) {
	flag := wire.InterestFlags(1) << i
	switch {
	case want&flag != 0: // true: it shows at once, and an end that was planned is off
		p.flags |= flag
		p.ends[i] = 0
	case p.flags&flag == 0:
	case p.ends[i] == 0: // it has just ended
		p.ends[i] = now + clearAfter
	case p.ends[i] <= now: // CLEAR is over
		p.flags &^= flag
		p.ends[i] = 0
	}
}

// look plans another look at s at an instant; 0: none is wanted. One job is enough,
// since each look plans the next: who wants and unwants in turn makes no heap.
func (b *Backbone) look(now int64, s *subject, at int64) {
	if at == 0 || s.lookAt > now && s.lookAt <= at {
		return
	}
	s.lookAt = at
	b.agenda.Put(at, job{do: (*Backbone).placeAgain, at: s.target})
}

func (b *Backbone) placeAgain(now int64, j job) {
	if s, ok := b.subjects.Get(j.at); ok && s.lookAt <= now {
		s.lookAt = 0
		b.place(now, s)
		b.tidy(now, s)
	}
}
