package sim

import (
	"fmt"
	"slices"

	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// A Publication is one envelope that a service published.
type Publication struct {
	ID     envelope.ID
	Stream envelope.Stream
	First  uint64
	Text   string
	By     *Service
	At     int64 // microseconds
	Forged bool
	Live   bool

	Answered bool // by the home
	Code     wire.Code
	AckedAt  int64
	Ingress  *Node  // the core that took it; nil where unknown
	life     uint32 // of Ingress
}

// An Arrival is one envelope that a service got, or a gap that it was told of.
type Arrival struct {
	ID   envelope.ID
	Text string
	At   int64
	Gap  bool
	Late bool // its number was passed over before
}

// ledger is what was published, in order.
type ledger struct {
	list []*Publication
	byID map[envelope.ID]*Publication
}

func newLedger() ledger { return ledger{byID: map[envelope.ID]*Publication{}} }

func (l *ledger) add(p *Publication) {
	l.list = append(l.list, p)
	l.byID[p.ID] = p
}

// A Membership says since when a service has wanted a target, and until when.
// Instants are microseconds; Until is 0 while it lasts.
type Membership struct{ Since, Until int64 }

// A Tally compares what was published with what arrived.
type Tally struct {
	Published, Forged, Refused int
	Expected, Delivered, Lost  int
	// Unpromised deliveries did not arrive and need not have: a router lost its
	// memory, or the subscription was too young.
	Unpromised int
	Twice      int // more than once at one service
	Disorder   int // before one that precedes it in its stream
	Late       int // passed on after a hole was given up
	Gaps       int
	FirstLost  []string
}

// tally holds the ledger against the services' arrivals. promised says whether a
// delivery had to happen.
func (x *Network) tally(from, to int64, promised func(p *Publication, s *Service) bool) Tally {
	var t Tally
	for _, p := range x.ledger.list {
		if p.At < from || p.At >= to {
			continue
		}
		switch {
		case p.Forged:
			t.Forged++
		case p.Answered && p.Code != wire.OK:
			t.Refused++
		default:
			t.Published++
			x.tallyOne(&t, p, promised)
		}
	}
	for _, s := range x.Services {
		s.countArrivals(&t, from, to)
	}
	return t
}

func (x *Network) tallyOne(t *Tally, p *Publication, promised func(*Publication, *Service) bool) {
	for _, s := range x.Services {
		if !s.wanted(p.Stream.Target, p.At) {
			continue
		}
		got := s.got[p.ID] > 0
		switch {
		case got:
			t.Expected++
			t.Delivered++
		case promised(p, s):
			t.Expected++
			t.Lost++
			if len(t.FirstLost) < 10 {
				t.FirstLost = append(t.FirstLost, fmt.Sprintf("%v %q to %s by %s at %.3fs is not at %s", p.ID, p.Text,
					x.Name(p.Stream.Target.To), p.By.Name, float64(p.At)/1e6, s.Name))
			}
		default:
			t.Unpromised++
		}
	}
}

// countArrivals counts what came twice, out of order, late, and gaps.
func (s *Service) countArrivals(t *Tally, from, to int64) {
	seen := map[envelope.ID]bool{}
	next := map[envelope.Stream]uint64{}
	for _, a := range s.Arrivals {
		if a.Gap {
			t.Gaps++
			continue
		}
		p := s.net.ledger.byID[a.ID]
		if p == nil {
			s.net.Fault("delivery: %s got %v, which nobody published", s.Name, a.ID)
			continue
		}
		inside := p.At >= from && p.At < to
		if seen[a.ID] && inside {
			t.Twice++
		}
		if p.First < next[p.Stream] && !seen[a.ID] && inside {
			t.Disorder++
		}
		seen[a.ID] = true
		next[p.Stream] = max(next[p.Stream], p.First+1)
	}
}

// wanted reports whether a service wanted a target at an instant.
func (s *Service) wanted(t envelope.Target, at int64) bool {
	return slices.ContainsFunc(s.members[t], func(m Membership) bool {
		return m.Since <= at && (m.Until == 0 || at < m.Until)
	})
}
