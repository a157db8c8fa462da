package sim

import (
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// book is a ledger of three publications by a to g, at 1, 2 and 3 s, and two
// services, s and t, of which s wants g for ever and t from 2 s on.
func book() (*Network, []*Publication) {
	x := NewNetwork(Config{})
	home := x.AddCore("A", true)
	a, s, t := x.AddService("a", home), x.AddService("s", home), x.AddService("t", home)
	g := x.Group("g")
	s.members[g] = []Membership{{Since: 0}}
	t.members[g] = []Membership{{Since: 2_000_000}}
	var list []*Publication
	for i := range uint64(3) {
		p := &Publication{ID: envelope.ID{byte(i + 1)}, Stream: envelope.Stream{Target: g}, First: i, By: a, At: int64(i+1) * 1_000_000, Answered: true}
		x.ledger.add(p)
		list = append(list, p)
	}
	return x, list
}

func (s *Service) arrives(list ...*Publication) {
	for _, p := range list {
		s.got[p.ID]++
		s.Arrivals = append(s.Arrivals, Arrival{ID: p.ID})
	}
}

func TestLedgerCounts(t *testing.T) {
	always := func(*Publication, *Service) bool { return true }
	for _, c := range []struct {
		caption string
		happen  func(s, t *Service, p []*Publication)
		want    Tally
	}{
		{"all arrives", func(s, t *Service, p []*Publication) { s.arrives(p...); t.arrives(p[1:]...) },
			Tally{Published: 3, Expected: 5, Delivered: 5}},
		{"one is lost", func(s, t *Service, p []*Publication) { s.arrives(p[0], p[2]); t.arrives(p[1:]...) },
			Tally{Published: 3, Expected: 5, Delivered: 4, Lost: 1}},
		{"twice", func(s, t *Service, p []*Publication) { s.arrives(p[0], p[1], p[1], p[2]); t.arrives(p[1:]...) },
			Tally{Published: 3, Expected: 5, Delivered: 5, Twice: 1}},
		{"out of order", func(s, t *Service, p []*Publication) { s.arrives(p[0], p[2], p[1]); t.arrives(p[1:]...) },
			Tally{Published: 3, Expected: 5, Delivered: 5, Disorder: 1}},
		{"a gap", func(s, t *Service, p []*Publication) {
			s.arrives(p...)
			t.arrives(p[1:]...)
			t.Arrivals = append(t.Arrivals, Arrival{Gap: true})
		}, Tally{Published: 3, Expected: 5, Delivered: 5, Gaps: 1}},
		{"refused", func(s, t *Service, p []*Publication) {
			p[0].Code = wire.BadSignature
			s.arrives(p[1:]...)
			t.arrives(p[1:]...)
		}, Tally{Published: 2, Refused: 1, Expected: 4, Delivered: 4}},
		{"forged", func(s, t *Service, p []*Publication) {
			p[0].Forged = true
			s.arrives(p[1:]...)
			t.arrives(p[1:]...)
		}, Tally{Published: 2, Forged: 1, Expected: 4, Delivered: 4}},
	} {
		x, list := book()
		c.happen(x.Services[1], x.Services[2], list)
		got := x.tally(0, 10_000_000, always)
		if lost := len(got.FirstLost); lost != c.want.Lost {
			t.Errorf("%s: %d of the lost are named, want %d", c.caption, lost, c.want.Lost)
		}
		got.FirstLost = nil
		if got.String() != c.want.String() || got.Refused != c.want.Refused || got.Gaps != c.want.Gaps {
			t.Errorf("%s: %v, want %v", c.caption, got, c.want)
		}
	}
}

func TestLedgerLooksAtItsWindow(t *testing.T) {
	x, list := book()
	x.Services[1].arrives(list...)
	got := x.tally(1_500_000, 2_500_000, func(*Publication, *Service) bool { return false })
	if got.Published != 1 || got.Delivered != 1 || got.Unpromised != 1 || got.Lost != 0 {
		t.Errorf("%v", got)
	}
}

func TestLedgerNoticesStrangers(t *testing.T) {
	x, _ := book()
	x.Services[1].arrives(&Publication{ID: envelope.ID{99}})
	x.tally(0, 1, func(*Publication, *Service) bool { return true })
	if !found(x.World, "which nobody published") {
		t.Errorf("faults: %v", x.Faults())
	}
}

// TestPromises checks what counts as promised in churn.
func TestPromises(t *testing.T) {
	for _, c := range []struct {
		caption string
		change  func(x *player, p *Publication, s *Service)
		want    bool
	}{
		{"a calm pair", func(*player, *Publication, *Service) {}, true},
		{"a live envelope", func(_ *player, p *Publication, _ *Service) { p.Live = true }, false},
		{"the ingress crashed later", func(x *player, p *Publication, _ *Service) { x.crashed[p.By.Home] = p.At + 1 }, false},
		{"the ingress crashed long before", func(x *player, p *Publication, _ *Service) { x.crashed[p.By.Home] = p.At - grace - 1 }, true},
		{"the home crashed just before", func(x *player, p *Publication, s *Service) { x.crashed[s.Home] = p.At - grace/2 }, false},
		{"another core crashed", func(x *player, p *Publication, _ *Service) { x.crashed[x.Cores[2]] = p.At + 1 }, true},
		{"the core of the edge crashed", func(x *player, p *Publication, s *Service) { s.Home = x.Edges[0]; x.crashed[x.Cores[2]] = p.At + 1 }, false},
		{"the service left later", func(_ *player, p *Publication, s *Service) { s.members[p.Stream.Target][0].Until = p.At + 1 }, false},
		{"the service had just come", func(_ *player, p *Publication, s *Service) { s.members[p.Stream.Target][0].Since = p.At - 1 }, false},
		{"not answered by a crashed home: the outbox has it", func(x *player, p *Publication, _ *Service) {
			p.Answered = false
			x.crashed[p.By.Home] = p.At + 1
		}, true},
	} {
		x := &player{Network: NewNetwork(Config{}), crashed: map[*Node]int64{}}
		for _, name := range []string{"A", "B", "C"} {
			x.AddCore(name, true)
		}
		x.AddEdge("E", x.Cores[2])
		by, s := x.AddService("by", x.Cores[0]), x.AddService("s", x.Cores[1])
		p := &Publication{Stream: envelope.Stream{Target: x.Group("g")}, By: by, At: 1000_000_000, Answered: true}
		s.members[p.Stream.Target] = []Membership{{Since: 1}}
		c.change(x, p, s)
		if got := x.promised(p, s); got != c.want {
			t.Errorf("%s: promised %v, want %v", c.caption, got, c.want)
		}
	}
}
