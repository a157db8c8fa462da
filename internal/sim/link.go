package sim

import (
	"bytes"
	"time"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A Link joins two nodes for the whole run. Connections over it come and go.
type Link struct {
	A, B    *Node
	Latency time.Duration // one way

	w       *World
	cut     bool
	conn    *conn // the newest, or nil
	dialing bool
	// refusals counts connections in a row that were closed on purpose.
	refusals int
}

// A conn is one connection: from hello to its end.
type conn struct {
	link *Link
	dead bool // frames get lost; the ends may not have noticed
	// refused says that a side closed it on purpose.
	refused bool
	ends    [2]*end
}

// An end is one side of a conn, as its node sees it.
type end struct {
	conn *conn
	node *Node
	peer *Node
	far  *end
	life uint32 // of node
	id   machine.LinkID
	open bool // LinkUp was handled, LinkDown was not

	arrive      [machine.ClassesNo]int64 // when the last frame sent arrives at the far end
	depart      int64                    // when the wire is free
	drained     [machine.ClassesNo]int   // weight that has left and was not told
	drainQueued bool
	verifyAt    int64
	pausedUntil int64 // this side does not read until then
	backlog     []machine.FrameIn
}

// Connect adds a link between a and b, who dial each other from now on.
func (w *World) Connect(a, b *Node, latency time.Duration) *Link {
	l := &Link{A: a, B: b, Latency: latency, w: w}
	w.links = append(w.links, l)
	a.links, b.links = append(a.links, l), append(b.links, l)
	l.dialSoon(0, 200*time.Millisecond)
	return l
}

// Link returns the link between two nodes, or nil.
func (w *World) Link(a, b *Node) *Link {
	for _, l := range a.links {
		if a != b && (l.A == b || l.B == b) {
			return l
		}
	}
	return nil
}

// Live reports whether frames pass in both directions.
func (l *Link) Live() bool {
	c := l.conn
	return c != nil && !c.dead && c.ends[0].open && c.ends[1].open
}

// Usable reports whether the link is or soon will be live.
func (l *Link) Usable() bool { return !l.cut && l.A.Up() && l.B.Up() }

// Cut interrupts the link. Frames under way are lost; each side notices on its
// own after 0.1 to 1 s.
func (l *Link) Cut() {
	l.cut = true
	if l.conn != nil {
		l.conn.die()
	}
}

// Heal ends an interruption. The nodes dial again.
func (l *Link) Heal() {
	if l.cut {
		l.cut = false
		l.dialSoon(20*time.Millisecond, 400*time.Millisecond)
	}
}

// Slow changes the link's latency. Frames keep their order; both sides are told
// what they would measure.
func (l *Link) Slow(latency time.Duration) {
	l.Latency = latency
	if !l.Live() {
		return
	}
	for _, e := range l.conn.ends {
		e.node.post(l.w.now+(2*latency).Microseconds(), e, machine.RTT{Link: e.id, Millis: l.rtt()})
	}
}

func (l *Link) rtt() int { return int((2*l.Latency + time.Millisecond - 1) / time.Millisecond) }

// die loses what is under way and lets both sides find out.
func (c *conn) die() {
	if c.dead {
		return
	}
	c.dead = true
	w := c.link.w
	for _, e := range c.ends {
		w.after(w.between(100*time.Millisecond, time.Second), e.down)
	}
}

// down is the end of a link as its node notices it.
func (e *end) down() {
	if !e.open {
		return
	}
	e.open = false
	n := e.node
	for i, x := range n.ends {
		if x == e {
			n.ends = append(n.ends[:i:i], n.ends[i+1:]...)
			break
		}
	}
	e.conn.dead = e.conn.dead || !e.far.open
	if n.life == e.life && n.m != nil {
		n.step(machine.LinkDown{Link: e.id, Peer: e.peer.Address()})
	}
	l := e.conn.link
	if !e.conn.refused {
		l.refusals = 0
	}
	l.dialSoon(50*time.Millisecond<<l.refusals, 600*time.Millisecond<<l.refusals)
}

// close ends a link on purpose: what was sent before still arrives. Both sides
// dial again, later each time.
func (e *end) close() {
	l, w := e.conn.link, e.conn.link.w
	if !e.conn.refused {
		e.conn.refused = true
		l.refusals = min(l.refusals+1, 6)
	}
	w.after(0, e.down)
	last := w.now + l.Latency.Microseconds()
	for _, at := range e.arrive {
		last = max(last, at)
	}
	w.after(last-w.now, e.far.down)
}

// dialSoon tries to connect after a while.
func (l *Link) dialSoon(from, to time.Duration) {
	if l.dialing {
		return
	}
	l.dialing = true
	l.w.after(l.w.between(from, to), func() {
		l.dialing = false
		l.dial()
	})
}

// dial connects if there is nothing in the way and no connection in use.
func (l *Link) dial() {
	if !l.Usable() || l.conn != nil && !l.conn.dead {
		return
	}
	c := &conn{link: l}
	for i, n := range [...]*Node{l.A, l.B} {
		n.lastID++
		c.ends[i] = &end{conn: c, node: n, life: n.life, id: n.lastID}
	}
	c.ends[0].far, c.ends[1].far = c.ends[1], c.ends[0]
	c.ends[0].peer, c.ends[1].peer = l.B, l.A
	l.conn = c
	for _, e := range c.ends {
		at := l.w.now + l.Latency.Microseconds() + l.w.between(0, l.Latency/2+time.Microsecond)
		for class := range e.far.arrive {
			e.far.arrive[class] = at // nothing arrives before hello does
		}
		e.depart = at
		l.w.queue.put(at, event{do: e.up})
	}
}

// up is hello's arrival. An older link to the same peer ends first (L2).
func (e *end) up() {
	l, n := e.conn.link, e.node
	if e.conn.dead || n.m == nil || n.life != e.life {
		e.conn.die()
		l.dialSoon(100*time.Millisecond, time.Second)
		return
	}
	if old := n.endTo(e.peer); old != nil {
		old.down()
	}
	e.open = true
	n.ends = append(n.ends, e)
	n.step(machine.LinkUp{
		Link: e.id, Peer: e.peer.Address(), Role: e.peer.Role, Boot: eight(uint64(e.peer.life)), MaxFrame: wire.FrameMax,
		Dialled: e == e.conn.ends[0], Local: e.peer.local, RTT: l.rtt(),
	})
}

// takes reports whether an event that came over the link is handled now. While
// reading is paused frames wait in the backlog.
func (e *end) takes(ev machine.Event) bool {
	f, ok := ev.(machine.FrameIn)
	if !e.open || ok && e.conn.dead {
		return false
	}
	w := e.conn.link.w
	if !ok || len(e.backlog) == 0 && e.pausedUntil <= w.now {
		return true
	}
	if e.backlog = append(e.backlog, f); len(e.backlog) == 1 {
		w.after(e.pausedUntil-w.now, e.readOn)
	}
	return false
}

// readOn reads what waited.
func (e *end) readOn() {
	w := e.conn.link.w
	for e.open && !e.conn.dead && len(e.backlog) > 0 {
		if e.pausedUntil > w.now {
			w.after(e.pausedUntil-w.now, e.readOn)
			return
		}
		f := e.backlog[0]
		e.backlog = e.backlog[1:]
		e.node.step(f)
	}
}

// send puts a frame on its way. Frames of one class arrive in order; without
// Overtake all frames do.
func (e *end) send(s machine.Send) {
	l, w := e.conn.link, e.conn.link.w
	weight := s.Frame.Weight()
	f := s.Frame
	if w.cfg.Wire {
		f, weight = w.overTheWire(s.Frame)
	}
	leave := max(w.now, e.depart)
	if w.cfg.Bandwidth > 0 {
		if s.Class == machine.Control && w.cfg.Overtake {
			leave = w.now
		}
		leave += int64(weight) * 1_000_000 / int64(w.cfg.Bandwidth)
		e.depart = max(e.depart, leave)
	}
	e.leaves(leave, s.Class, s.Frame.Weight())
	if e.conn.dead {
		return
	}
	e.far.node.w.queue.put(e.arrival(leave+l.Latency.Microseconds(), s.Class), event{
		node: e.far.node, life: e.far.life, end: e.far, ev: machine.FrameIn{Link: e.far.id, Frame: f, Bytes: weight},
	})
}

// arrival says when a frame arrives that could arrive at the instant at. No frame
// overtakes a control frame; only control frames overtake others (L1).
func (e *end) arrival(at int64, class machine.Class) int64 {
	w := e.conn.link.w
	if !w.cfg.Overtake {
		class = machine.Control
	} else if class != machine.Control {
		at = max(at+w.between(0, 3*time.Millisecond), e.arrive[class])
	}
	at = max(at, e.arrive[machine.Control])
	e.arrive[class] = at
	return at
}

// leaves tells the sender of what has left its queue, gathered over a millisecond.
func (e *end) leaves(at int64, class machine.Class, weight int) {
	e.drained[class] += weight
	if e.drainQueued {
		return
	}
	e.drainQueued = true
	w := e.conn.link.w
	w.queue.put(max(at, w.now+500), event{do: e.tellDrained})
}

func (e *end) tellDrained() {
	w := e.conn.link.w
	if e.depart > w.now+1000 { // a slow wire: tell when all of it has left
		w.queue.put(e.depart, event{do: e.tellDrained})
		return
	}
	e.drainQueued = false
	for class := range e.drained {
		if n := e.drained[class]; n > 0 && e.open && e.node.m != nil {
			e.drained[class] = 0
			e.node.step(machine.Drained{Link: e.id, Class: machine.Class(class), Weight: n})
		}
	}
}

// overTheWire encodes and decodes a frame and holds both against each other.
func (w *World) overTheWire(f wire.Frame) (wire.Frame, int) {
	b := f.AppendTo(nil)
	if len(b) > f.Weight() {
		w.Fault("wire: %v has %d bytes, more than its weight of %d", f, len(b), f.Weight())
	}
	g, err := wire.Decode(b, w.ring)
	if err != nil {
		w.Fault("wire: %v does not decode: %v", f, err)
		return f, len(b)
	}
	if w.buf = g.AppendTo(w.buf[:0]); !bytes.Equal(w.buf, b) {
		w.Fault("wire: %v is encoded differently after it was decoded", f)
	}
	return g, len(b)
}
