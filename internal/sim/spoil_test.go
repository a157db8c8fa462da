package sim

import (
	"strings"
	"testing"
	"time"

	"upsycle/internal/machine"
	"upsycle/internal/router"
	"upsycle/internal/wire"
)

// spoiled is a router whose effects are tampered with on their way out: a fault of
// a router that the whole simulator, not only one checker, must see.
type spoiled struct {
	*router.Router
	spoil func(e machine.Effect) []machine.Effect
}

func (s *spoiled) Step(now time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
	start := len(out)
	all := s.Router.Step(now, ev, out)
	kept := append([]machine.Effect(nil), all[:start]...)
	for _, e := range all[start:] {
		kept = append(kept, s.spoil(e)...)
	}
	return kept
}

// spoilPlan is a small network without churn in which router R1 misbehaves.
func spoilPlan(seed uint64, spoil func(e machine.Effect) []machine.Effect) Plan {
	p := PlanOf(seed, 8)
	p.Churn, p.Repairs, p.Skew, p.Edges, p.World.Bandwidth = 0, 0, 0, 0, 0
	p.Shape = Line
	p.spoil = func(n *Node, r *router.Router) machine.Machine {
		if n.Name == "R3" { // in the middle
			return &spoiled{r, spoil}
		}
		return r
	}
	return p
}

// onFrames tampers with frames only.
func onFrames(do func(s machine.Send) []machine.Effect) func(e machine.Effect) []machine.Effect {
	return func(e machine.Effect) []machine.Effect {
		if s, ok := e.(machine.Send); ok {
			return do(s)
		}
		return []machine.Effect{e}
	}
}

func TestSpoiledRoutersAreFound(t *testing.T) {
	keep := func(s machine.Send) []machine.Effect { return []machine.Effect{s} }
	for _, c := range []struct {
		caption string
		do      func() func(s machine.Send) []machine.Effect
		want    string
	}{
		{"nothing is wrong", func() func(machine.Send) []machine.Effect { return keep }, ""},
		{"drops what it should relay", func() func(machine.Send) []machine.Effect {
			return func(s machine.Send) []machine.Effect {
				if _, ok := s.Frame.(*wire.Data); ok {
					return nil
				}
				return keep(s)
			}
		}, "lost"},
		{"sends each envelope twice", func() func(machine.Send) []machine.Effect {
			return func(s machine.Send) []machine.Effect {
				if _, ok := s.Frame.(*wire.Data); ok {
					return []machine.Effect{s, s}
				}
				return keep(s)
			}
		}, "I8"},
		{"delivers each envelope twice, with new numbers", func() func(machine.Send) []machine.Effect {
			return func(s machine.Send) []machine.Effect {
				if d, ok := s.Frame.(*wire.Deliver); ok && d.N > 0 {
					again := *d
					again.N += 1_000_000
					return []machine.Effect{s, machine.Send{Link: s.Link, Class: s.Class, Frame: &again}}
				}
				return keep(s)
			}
		}, ""}, // the client removes it by its id: nobody is hurt
		{"keeps a prune back", func() func(machine.Send) []machine.Effect {
			return func(s machine.Send) []machine.Effect {
				if _, ok := s.Frame.(*wire.Prune); ok {
					return nil
				}
				return keep(s)
			}
		}, ""}, // a line never prunes
		{"tells its parent nothing", func() func(machine.Send) []machine.Effect {
			return func(s machine.Send) []machine.Effect {
				if _, ok := s.Frame.(*wire.Interest); ok {
					return nil
				}
				return keep(s)
			}
		}, "I5"},
		{"never grafts", func() func(machine.Send) []machine.Effect {
			return func(s machine.Send) []machine.Effect {
				if _, ok := s.Frame.(*wire.Graft); ok {
					return nil
				}
				return keep(s)
			}
		}, "I5"},
		{"says no to everybody", func() func(machine.Send) []machine.Effect {
			return func(s machine.Send) []machine.Effect {
				if f, ok := s.Frame.(*wire.Elsewhere); ok {
					g := &wire.Elsewhere{Root: f.Root}
					for _, e := range f.Entries {
						g.Entries = append(g.Entries, wire.ElsewhereEntry{Target: e.Target})
					}
					s.Frame = g
				}
				return keep(s)
			}
		}, "I7"},
		{"announces numbers that fall", func() func(machine.Send) []machine.Effect {
			n := uint64(0)
			return func(s machine.Send) []machine.Effect {
				if f, ok := s.Frame.(*wire.Announce); ok {
					n++
					g := *f
					g.Seq -= n
					s.Frame = &g
				}
				return keep(s)
			}
		}, "I2"},
	} {
		r := Simulate(spoilPlan(2, onFrames(c.do())))
		all := strings.Join(r.Faults, "\n")
		if c.want == "" && len(r.Faults) > 0 || !strings.Contains(all, c.want) {
			t.Errorf("%s: want %q, found:\n%s", c.caption, c.want, strings.Join(r.Faults[:min(4, len(r.Faults))], "\n"))
		}
	}
}

// TestRouterThatForgetsUnasked: a router that acknowledges and drops is seen by the
// ledger alone.
func TestRouterThatForgetsUnasked(t *testing.T) {
	r := Simulate(spoilPlan(3, func(e machine.Effect) []machine.Effect {
		if s, ok := e.(machine.Send); ok {
			if _, ok := s.Frame.(*wire.Deliver); ok {
				return nil
			}
		}
		return []machine.Effect{e}
	}))
	if r.Steady.Lost == 0 || r.OK() {
		t.Errorf("lost %d, faults %v", r.Steady.Lost, r.Faults)
	}
}
