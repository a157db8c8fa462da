package sim

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A Monitor watches all frames of a world and checks after each step what must
// hold at every instant. It sees what neighbours see, nothing inside of a router:
// a parent pointer is a graft that was sent, a feasibility distance (fd) the best
// that a router announced.
type Monitor struct {
	w      *World
	states []*tapState // by node

	Frames  [64]int // sent, by type
	Bytes   [64]int // upper bound, by type
	Reports [machine.ReportEvents]int
	// Duplicates counts copies that a core dropped and that came from a core.
	// An edge with two homes gets two copies of everything by design.
	Duplicates int
	Traces     map[envelope.ID]*Trace
	forged     map[envelope.ID]bool
	// Keep says whether traces of envelopes are kept.
	Keep bool
}

// tapState is what was seen of one life of a router.
type tapState struct {
	life    uint32
	parents map[identity.Address]*end // by root
	best    map[identity.Address]pair // by root: the best that was announced
	last    map[identity.Address]int64
}

// A Trace is the way of one envelope.
type Trace struct {
	Target envelope.Target
	Edges  []Edge // pushes, in order
	Pulled int    // copies that came by pull
}

// An Edge is one push of an envelope.
type Edge struct{ Root, From, To identity.Address }

// NewMonitor returns a monitor that watches w.
func NewMonitor(w *World) *Monitor {
	m := &Monitor{w: w, Traces: make(map[envelope.ID]*Trace), forged: make(map[envelope.ID]bool), Keep: true}
	w.Watch(m)
	return m
}

// Forged tells the monitor that an envelope must not cross a second link.
func (m *Monitor) Forged(id envelope.ID) { m.forged[id] = true }

func (m *Monitor) state(n *Node) *tapState {
	for len(m.states) <= n.index {
		m.states = append(m.states, nil)
	}
	s := m.states[n.index]
	if s == nil || s.life != n.life {
		s = &tapState{n.life, map[identity.Address]*end{}, map[identity.Address]pair{}, map[identity.Address]int64{}}
		m.states[n.index] = s
	}
	return s
}

// Stepped implements Watcher.
func (m *Monitor) Stepped(n *Node, ev machine.Event, effects []machine.Effect) {
	if down, ok := ev.(machine.LinkDown); ok {
		m.linkDown(n, down)
	}
	for _, e := range effects {
		switch x := e.(type) {
		case machine.Send:
			if end := n.end(x.Link); end != nil {
				m.sent(n, end, x.Frame)
			}
		case machine.Report:
			m.Reports[x.Event] += max(1, x.Count)
			if x.Event == machine.DuplicateDropped {
				m.countDuplicate(n, x)
			}
		}
	}
}

func (m *Monitor) countDuplicate(n *Node, r machine.Report) {
	if e := n.end(r.Link); e != nil && n.Role == wire.Core && e.peer.Role == wire.Core {
		m.Duplicates += max(1, r.Count)
	}
}

func (m *Monitor) linkDown(n *Node, ev machine.LinkDown) {
	s := m.state(n)
	for root, e := range s.parents {
		if e.id == ev.Link {
			delete(s.parents, root)
		}
	}
}

func (m *Monitor) sent(n *Node, e *end, fr wire.Frame) {
	if t := fr.Type(); t < 64 {
		m.Frames[t]++
		m.Bytes[t] += fr.Weight()
	}
	switch f := fr.(type) {
	case *wire.Announce:
		m.announced(n, f)
	case *wire.Graft:
		m.state(n).parents[f.Root] = e
		m.checkPointer(n, f.Root)
		m.checkCycle(n, f.Root)
	case *wire.Prune:
		if s := m.state(n); s.parents[f.Root] == e {
			delete(s.parents, f.Root)
		}
	case *wire.Data:
		m.crossed(n, e, f.Envelope.ID, "data")
		if t := m.trace(f.Envelope); t != nil {
			t.Edges = append(t.Edges, Edge{f.Root, n.Address(), e.peer.Address()})
		}
	case *wire.Pulled:
		m.crossed(n, e, f.Envelope.ID, "pulled")
		if t := m.trace(f.Envelope); t != nil {
			t.Pulled++
		}
	case *wire.Deliver:
		m.crossed(n, e, f.Envelope.ID, "deliver")
	case *wire.Publish:
		if n.Role != wire.Service {
			m.crossed(n, e, f.Envelope.ID, "publish")
		}
	}
}

func (m *Monitor) trace(e *envelope.Envelope) *Trace {
	if !m.Keep {
		return nil
	}
	t := m.Traces[e.ID]
	if t == nil {
		t = &Trace{Target: e.Target}
		m.Traces[e.ID] = t
	}
	return t
}

// crossed checks that no forged envelope is passed on.
func (m *Monitor) crossed(n *Node, e *end, id envelope.ID, frame string) {
	if m.forged[id] {
		m.w.Fault("forged: %v passes the forged envelope %v on to %v in a %s frame", n.Name, id, e.peer.Name, frame)
	}
}

// announced keeps fd as neighbours know it and checks that sequence numbers never
// fall (I2).
func (m *Monitor) announced(n *Node, f *wire.Announce) {
	s := m.state(n)
	if last, ok := s.last[f.Root]; ok && int64(f.Seq) < last {
		m.w.Fault("I2: %v announces root %v with number %d after %d", n.Name, m.w.Name(f.Root), f.Seq, last)
	}
	s.last[f.Root] = int64(f.Seq)
	p := pair{int64(f.Seq), int64(f.Hops[len(f.Hops)-1].Metric)}
	if best, ok := s.best[f.Root]; ok && !p.better(best) {
		return
	}
	s.best[f.Root] = p
	m.checkPointer(n, f.Root)
}

// parent returns the node that n points at over a link on which neither side has
// lost its memory.
func (m *Monitor) parent(n *Node, root identity.Address) *Node {
	e := m.state(n).parents[root]
	if e == nil || !e.open || !e.peer.Up() || e.peer.life != e.far.life {
		return nil
	}
	return e.peer
}

// checkPointer checks I2 for n's pointer: its parent announced better than it did.
func (m *Monitor) checkPointer(n *Node, root identity.Address) {
	p := m.parent(n, root)
	if p == nil {
		return
	}
	mine, announced := m.state(n).best[root]
	if !announced {
		return
	}
	theirs, ok := m.state(p).best[root]
	if !ok || !theirs.better(mine) {
		m.w.Fault("I2: %v announced %v of root %v, its parent %v only %v", n.Name, mine, m.w.Name(root), p.Name, theirs)
	}
}

// checkCycle walks from a router that changed its parent (I1).
func (m *Monitor) checkCycle(n *Node, root identity.Address) {
	x := n
	for range m.w.nodes {
		if x = m.parent(x, root); x == nil {
			return
		}
		if x == n {
			m.w.Fault("I1: a cycle of parents of root %v through %v", m.w.Name(root), n.Name)
			return
		}
	}
	m.w.Fault("I1: a cycle of parents of root %v above %v", m.w.Name(root), n.Name)
}

// CheckCovered checks what of I3 is visible: each fd covers all that was announced.
// A router that forgot a tree (T8) starts anew.
func (m *Monitor) CheckCovered(n *Net) (faults []string) {
	for i := range n.Views {
		v := &n.Views[i]
		s := m.state(m.w.Node(v.Self))
		for _, r := range v.Roots {
			if best, ok := s.best[r.Root]; ok && r.FD.Seq >= 0 && best.better(r.FD) {
				faults = append(faults, "I3: "+n.Name(v.Self)+" announced better than its fd of root "+n.Name(r.Root))
			}
		}
		for root := range s.best {
			if v.root(root) == nil {
				delete(s.best, root)
			}
		}
	}
	return faults
}
