package sim

import (
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/store"
	"upsycle/internal/wire"
)

// A Maker makes a node's machine at the start of each of its lives.
type Maker func(seed uint64) machine.Machine

// A Node is one process: a machine, its key, its store. It is up while it has a
// machine; a crash takes machine and store away.
type Node struct {
	Name string
	Role wire.Role
	// Skew is how far its clock is ahead. Change it only while it is down.
	Skew time.Duration

	w     *World
	key   identity.Key
	index int
	make  Maker
	m     machine.Machine
	life  uint32
	local bool // its links count as made over the router's own socket

	ends    []*end // by link number, open or not yet closed
	lastID  machine.LinkID
	links   []*Link
	tickAt  int64 // instant of the tick that counts; 0: none
	store   *store.Memory
	storeAt int64     // when the last Store is answered
	loadAt  int64     // when the last Load is answered
	writing []writing // asked for and not yet durable, in order
}

// writing is a Store that becomes durable at an instant. A crash before it may keep
// it or not, but never a later one without it.
type writing struct {
	at   int64
	rows []machine.Row
}

// A restorer is a machine that takes up what was stored in the life before.
type restorer interface {
	Restore(row machine.Row) error
}

// Add adds a node. It is down until Boot.
func (w *World) Add(name string, role wire.Role, mk Maker) *Node {
	n := &Node{Name: name, Role: role, w: w, key: w.ring.key(name), index: len(w.nodes), make: mk}
	w.nodes = append(w.nodes, n)
	w.byKey[n.key.Address()] = n
	return n
}

// Address returns the node's key.
func (n *Node) Address() identity.Address { return n.key.Address() }

// Up reports whether the node is alive.
func (n *Node) Up() bool { return n.m != nil }

// Machine returns the machine of the present life, nil while the node is down.
func (n *Node) Machine() machine.Machine { return n.m }

// Clock returns the node's time.
func (n *Node) Clock() time.Time {
	return time.UnixMilli(Epoch).Add(n.w.Now() + n.Skew)
}

// Boot starts a life: new memory, new boot number, no links. It dials.
func (n *Node) Boot() {
	if n.m != nil {
		return
	}
	n.life++
	n.m = n.make(n.w.random.Uint64())
	n.storeAt, n.loadAt, n.tickAt, n.ends = 0, 0, 0, nil
	if n.store == nil || !n.w.cfg.Durable {
		n.store = store.NewMemory(0)
	}
	n.restore()
	n.schedule()
	for _, l := range n.links {
		l.dialSoon(5*time.Millisecond, 500*time.Millisecond)
	}
}

// Crash ends a life at once: what was in memory is gone, neighbours notice later.
func (n *Node) Crash() {
	if n.m == nil {
		return
	}
	n.m = nil
	n.settle(0)
	if left := len(n.writing); left > 0 {
		n.settle(n.w.random.IntN(left + 1))
	}
	n.writing = nil
	for _, e := range n.ends {
		e.open = false
		e.conn.die()
	}
	n.ends = nil
}

// restore hands every stored row to the machine of a new life.
func (n *Node) restore() {
	m, ok := n.m.(restorer)
	if !ok {
		return
	}
	rows, _, err := n.store.Scan(nil, nil, 1<<30)
	if err != nil {
		panic(err)
	}
	for _, row := range rows {
		if err := m.Restore(row); err != nil {
			panic(n.Name + ": " + err.Error())
		}
	}
}

// settle makes durable what is due, and some of the rest: how many decides.
func (n *Node) settle(beyond int) {
	for len(n.writing) > 0 && (n.writing[0].at <= n.w.now || beyond > 0) {
		if n.writing[0].at > n.w.now {
			beyond--
		}
		if err := n.store.Apply(n.writing[0].rows); err != nil {
			panic(err)
		}
		n.writing = n.writing[1:]
	}
}

// Do hands an application's call to the node's machine, now.
func (n *Node) Do(c machine.Command) { n.post(n.w.now, nil, c) }

// post queues an event for the present life.
func (n *Node) post(at int64, e *end, ev machine.Event) {
	n.w.queue.put(at, event{node: n, life: n.life, end: e, ev: ev})
}

// step lets the machine handle one event and carries out what it wants.
func (n *Node) step(ev machine.Event) {
	w := n.w
	if _, ok := ev.(machine.Tick); ok {
		if n.tickAt != w.now {
			return // an earlier tick took its place
		}
		n.tickAt = 0
	}
	w.Events++
	now := n.Clock()
	out := n.m.Step(now, ev, w.out[:0])
	for i := range out {
		w.mixEffect(n, out[i])
		n.carryOut(now, out[i])
	}
	for _, x := range w.watchers {
		x.Stepped(n, ev, out)
	}
	clear(out)
	w.out = out[:0]
	n.schedule()
}

// schedule queues the tick that the machine wants.
func (n *Node) schedule() {
	if n.m == nil {
		return
	}
	d := n.m.Deadline()
	if d.IsZero() {
		return
	}
	in := d.Sub(time.UnixMilli(Epoch).Add(n.Skew))
	at := max(n.w.now, (in + time.Microsecond - 1).Microseconds()) // never before it
	if n.tickAt == 0 || at < n.tickAt {
		n.tickAt = at
		n.post(at, nil, machine.Tick{})
	}
}

// carryOut does what the shells do.
func (n *Node) carryOut(now time.Time, e machine.Effect) {
	w := n.w
	switch x := e.(type) {
	case machine.Send:
		if end := n.end(x.Link); end != nil {
			end.send(x)
		}
	case machine.Verify:
		n.verify(x)
	case machine.Sign:
		sig := w.ring.sign(n.key, x.Label, x.Body)
		n.post(w.now+w.between(20*time.Microsecond, 400*time.Microsecond), nil, machine.Signed{Token: x.Token, Sig: sig})
	case machine.Store:
		n.keep(x)
	case machine.Load:
		n.load(x)
	case machine.Close:
		if end := n.end(x.Link); end != nil {
			end.close()
		}
	case machine.Pause:
		if end := n.end(x.Link); end != nil {
			end.pausedUntil = max(end.pausedUntil, w.now+x.Until.Sub(now).Microseconds())
		}
	case machine.Deliver, machine.Report:
	}
}

// verify answers in the order asked of one link; links do not wait for each
// other.
func (n *Node) verify(x machine.Verify) {
	w := n.w
	at := w.now + w.between(20*time.Microsecond, 300*time.Microsecond)
	if e := n.end(x.Link); e != nil {
		at = max(at, e.verifyAt)
		e.verifyAt = at
	}
	n.post(at, nil, machine.Verified{Token: x.Token, Failed: w.ring.failed(x.Claims)})
}

// keep makes rows durable after a while and answers then, in the order asked.
func (n *Node) keep(x machine.Store) {
	w := n.w
	n.settle(0)
	at := w.now
	if w.cfg.StoreLate {
		at += w.between(200*time.Microsecond, 5*time.Millisecond)
	}
	n.storeAt = max(n.storeAt, at)
	n.writing = append(n.writing, writing{n.storeAt, x.Rows})
	if x.Token != 0 {
		n.post(n.storeAt, nil, machine.Stored{Token: x.Token})
	}
}

// load answers with what is durable; what is not yet is in the machine's memory.
func (n *Node) load(x machine.Load) {
	w := n.w
	n.settle(0)
	values := make([][]byte, len(x.Keys))
	var err error
	for i, k := range x.Keys {
		if values[i], err = n.store.Get(k); err != nil {
			break
		}
	}
	at := w.now + w.between(20*time.Microsecond, 2*time.Millisecond)
	n.loadAt = max(n.loadAt, at)
	n.post(n.loadAt, nil, machine.Loaded{Token: x.Token, Values: values, Err: err})
}

// end returns the open end of a link, or nil.
func (n *Node) end(id machine.LinkID) *end {
	for _, e := range n.ends {
		if e.id == id {
			return e
		}
	}
	return nil
}

// endTo returns the open end to a peer, or nil.
func (n *Node) endTo(peer *Node) *end {
	for _, e := range n.ends {
		if e.peer == peer {
			return e
		}
	}
	return nil
}
