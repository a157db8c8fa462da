package backbone

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/tree"
	"upsycle/internal/wire"
)

// TreeState is one branch, for status and checkers.
type TreeState struct {
	Root      identity.Address
	Children  []ChildState
	Up        []EntryState     // what the parent was told, by target
	Elsewhere []ElsewhereState // what the parent said, for targets in Up with S or H
}

// ChildState is one child of a branch.
type ChildState struct {
	Link    machine.LinkID
	Peer    identity.Address
	Entries []EntryState // by target
}

// EntryState is the interest in one target. Told is what the child was told of
// elsewhere: 0 nothing, -1 no, +1 yes.
type EntryState struct {
	Target envelope.Target
	Flags  wire.InterestFlags
	Told   int8
}

// ElsewhereState is what a parent said: 0 nothing, -1 no, +1 yes.
type ElsewhereState struct {
	Target envelope.Target
	Value  int8
}

// LocalState is this router's own part in a target.
type LocalState struct {
	Target                      envelope.Target
	Primary, Secondary, Publish identity.Address
	Wanted                      bool
	Sender                      bool
	Held                        int // envelopes in custody
	Presences                   []PresenceState
}

// PresenceState is the flags that this router shows of itself in one tree.
type PresenceState struct {
	Root  identity.Address
	Flags wire.InterestFlags
}

// Sizes are the fill of this room's tables.
type Sizes struct {
	Entries, Subjects, Missing, Offers       int
	CacheEnvelopes, CacheBytes, CustodyBytes int
	CustodyEnvelopes, GrantChecks            int
	CustodyLimit                             int // bytes
}

// Trees returns the branches by root. The result is the caller's.
func (b *Backbone) Trees() []TreeState {
	var list []TreeState
	for root, br := range b.branches.All() {
		t := TreeState{Root: root}
		for _, c := range br.kids {
			t.Children = append(t.Children, b.childState(c))
		}
		for target, u := range br.up.All() {
			t.Up = append(t.Up, EntryState{Target: target, Flags: u.flags})
			if u.flags&(wire.Sender|wire.Holder) != 0 {
				t.Elsewhere = append(t.Elsewhere, ElsewhereState{target, br.said(target)})
			}
		}
		list = append(list, t)
	}
	return list
}

// said is what the parent said of t, as a number: 0 nothing, -1 no, +1 yes.
func (br *branch) said(t envelope.Target) int8 {
	yes, known := br.elsewhere[t]
	switch {
	case !known:
		return 0
	case yes:
		return 1
	}
	return -1
}

// childState leaves out who the peer is where its link is just ending.
func (b *Backbone) childState(c *child) ChildState {
	s := ChildState{Link: c.link}
	if n, ok := b.neighbours.Get(c.link); ok {
		s.Peer = n.peer
	}
	for t, e := range c.entries.All() {
		s.Entries = append(s.Entries, EntryState{t, e.flags, e.told})
	}
	return s
}

// Locals returns this router's own part in each target, by target.
func (b *Backbone) Locals() []LocalState {
	var list []LocalState
	for t, s := range b.subjects.All() {
		l := LocalState{Target: t, Primary: s.primary, Secondary: s.secondary, Publish: s.publish,
			Wanted: s.wanted, Sender: s.senderUntil != 0, Held: s.held}
		for root, p := range s.presences.All() {
			l.Presences = append(l.Presences, PresenceState{root, p.flags})
		}
		list = append(list, l)
	}
	return list
}

// Roots returns the state of the trees.
func (b *Backbone) Roots() []tree.RootState { return b.forest.Roots() }

// LinkState is one link to another core.
type LinkState struct {
	Link   machine.LinkID
	Peer   identity.Address
	RTT    int // milliseconds
	Cost   int
	Queued int // bytes of envelopes
}

// Links returns the links to other cores, by number.
func (b *Backbone) Links() []LinkState {
	var list []LinkState
	for _, n := range b.neighbours.All() {
		list = append(list, LinkState{n.link, n.peer, n.rtt, n.cost, n.queued})
	}
	return list
}

// Sizes returns the fill of the tables.
func (b *Backbone) Sizes() Sizes {
	return Sizes{
		Entries: b.entries, Subjects: b.subjects.Len(), Missing: b.missing.Len(), Offers: len(b.oids.list),
		CacheEnvelopes: len(b.kept.cache.list) - b.kept.cache.head, CacheBytes: b.kept.cache.bytes,
		CustodyEnvelopes: b.custodyNo, CustodyBytes: b.ledger.bytes,
		GrantChecks: len(b.checks), CustodyLimit: b.cfg.Limits.Custody,
	}
}
