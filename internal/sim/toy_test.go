package sim

import (
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// toy is a machine for tests of the world itself. It notes all events and does
// what its script says.
type toy struct {
	desk  machine.Desk
	log   []string
	on    func(t *toy, now time.Time, ev machine.Event)
	wakes time.Time
}

func (t *toy) Step(now time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
	t.desk.Begin(out)
	t.log = append(t.log, ev.String())
	if !t.wakes.IsZero() && !now.Before(t.wakes) {
		t.wakes = time.Time{}
	}
	if t.on != nil {
		t.on(t, now, ev)
	}
	return t.desk.End()
}

func (t *toy) Deadline() time.Time { return t.wakes }

// call is a Command of tests.
type call struct{ do func(t *toy, now time.Time) }

func (call) String() string { return "call" }

// obey makes a toy do what a Command says.
func obey(t *toy, now time.Time, ev machine.Event) {
	if c, ok := ev.(machine.Command); ok {
		c.Call.(call).do(t, now)
	}
}

// toys adds n nodes with toys that obey.
func toys(w *World, n int) []*Node {
	var list []*Node
	for i := range n {
		node := w.Add(fmt.Sprintf("T%d", i), wire.Core, func(uint64) machine.Machine { return &toy{on: obey} })
		node.Boot()
		list = append(list, node)
	}
	return list
}

// order tells a toy what to do now, and lets it happen.
func order(n *Node, do func(t *toy, now time.Time)) {
	n.Do(machine.Command{Call: call{do}})
	n.w.Run(0)
}

func (n *Node) toy() *toy { return n.m.(*toy) }

// linkTo returns the number of the link to a peer.
func linkTo(n, peer *Node) machine.LinkID { return n.endTo(peer).id }

func rootOf(name string, w *World) identity.Address { return w.ring.key(name).Address() }
