package backbone

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/directory"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// epoch is when the tests' time begins, in Unix milliseconds.
const epoch = 1_767_225_600_000

// A network is a few cores in virtual time, joined by links with a latency of 5
// ms. Everything is real but the sockets: keys, signatures, trees, gates.
type network struct {
	t       testing.TB
	now     int64
	nodes   []*core
	queue   ordered.Agenda[func()]
	links   map[[2]int]*cable
	last    machine.LinkID
	tap     func(from, to *core, f wire.Frame) // every frame that is sent
	hold    bool                               // Stored is not answered
	clogged bool                               // Drained does not come
	slow    int64                              // milliseconds that a verification takes more
	filter  func(from, to *core, f wire.Frame) bool
}

type cable struct {
	a, b *core
	id   machine.LinkID
	up   bool
}

// A core is one backbone with what a router puts around it.
type core struct {
	net  *network
	name string
	key  identity.Key
	desk machine.Desk
	gate *gate.Gate
	dir  *directory.Directory
	b    *Backbone

	taken     map[envelope.ID]wire.Code
	delivered []envelope.ID
	counts    [machine.ReportEvents]int
	closed    []machine.Close
	paused    []machine.Pause
	withheld  []machine.Token
	asked     []machine.Store // those whose tokens are withheld
	undrained []machine.Send

	root  bool // may be one
	peers []identity.Address
	rows  map[string][]byte // what was stored, over all lives
	life  int
	down  bool
}

func (c *core) Taken(_ int64, id envelope.ID, code wire.Code, _ uint64) { c.taken[id] = code }

// Deliver keeps what comes for good, at once.
func (c *core) Deliver(now int64, a gate.Admitted, n uint64) {
	c.delivered = append(c.delivered, a.Envelope().ID)
	c.b.Done(now, n)
}

func testKey(n int) identity.Key {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1)
	k, err := identity.NewKey(seed[:])
	if err != nil {
		panic(err)
	}
	return k
}

// newNetwork makes cores A, B, C … that all know each other, may all be roots, and
// have no links yet.
func newNetwork(t testing.TB, size int) *network {
	names := "ABCDEFGHIJ"[:size]
	return newNamed(t, names, names)
}

// newNamed makes a core of each letter of names; those of roots may be roots.
func newNamed(t testing.TB, names, roots string) *network {
	n := &network{t: t, now: epoch, links: make(map[[2]int]*cable)}
	var peers []identity.Address
	for i := range names {
		peers = append(peers, testKey(i).Address())
	}
	for i, name := range names {
		c := &core{net: n, name: string(name), key: testKey(i), root: strings.ContainsRune(roots, name), peers: peers, rows: make(map[string][]byte)}
		c.begin(NewLedger())
		n.nodes = append(n.nodes, c)
		c.carryOut()
	}
	return n
}

// begin starts a life of a core: everything but its rows is new.
func (c *core) begin(l *Ledger) {
	c.dir, c.taken, c.withheld = directory.New(), make(map[envelope.ID]wire.Code), nil
	c.asked = nil
	c.life++
	c.desk = machine.Desk{}
	c.gate = gate.New(gate.Config{Self: c.key.Address(), Role: wire.Core, Peers: c.peers}, &c.desk)
	c.desk.Begin(nil)
	c.b = New(Config{Self: c.key.Address(), CanRoot: c.root, Seed: uint64(c.key.Address().Bytes()[0]) + uint64(c.life), Ledger: l}, &c.desk, c.gate, c.dir, c.net.now)
	c.b.Bind(c)
}

// crash ends a core's life with all of its links, and restart begins the next one
// from what was stored.
func (c *core) crash() {
	for _, k := range c.net.links {
		if k.up && (k.a == c || k.b == c) {
			k.up = false
			other := k.a
			if other == c {
				other = k.b
			}
			other.do(func(now int64) {
				other.b.LinkDown(now, k.id)
				other.gate.LinkDown(k.id)
			})
		}
	}
	c.down = true
	c.life++ // answers that are under way find nobody
}

func (c *core) restart() {
	l := NewLedger()
	for k, v := range c.rows {
		if err := l.Restore(machine.Row{Key: []byte(k), Value: v}, nil); err != nil {
			c.net.t.Fatalf("%s: %v", c.name, err)
		}
	}
	c.down = false
	c.begin(l)
	c.carryOut()
}

// apply does what a store does with rows.
func (c *core) apply(rows []machine.Row) {
	for _, r := range rows {
		switch {
		case r.End != nil:
			for k := range c.rows {
				if k >= string(r.Key) && k < string(r.End) {
					delete(c.rows, k)
				}
			}
		case r.Value == nil:
			delete(c.rows, string(r.Key))
		default:
			c.rows[string(r.Key)] = r.Value
		}
	}
}

// later is after, for this life only.
func (c *core) later(ms int64, f func(now int64)) {
	life := c.life
	c.net.after(ms, func() {
		if c.life == life && !c.down {
			c.do(f)
		}
	})
}

// do runs one input of a core and carries out what it asks for.
func (c *core) do(f func(now int64)) {
	c.desk.Begin(nil)
	f(c.net.now)
	c.b.Flush(c.net.now)
	c.carryOut()
}

func (c *core) carryOut() {
	for _, e := range c.desk.End() {
		c.effect(e)
	}
}

func (c *core) effect(e machine.Effect) {
	n := c.net
	switch e := e.(type) {
	case machine.Send:
		c.send(e)
	case machine.Verify:
		failed := -1
		for i, claim := range e.Claims {
			if !claim.Holds() {
				failed = i
				break
			}
		}
		c.later(1+n.slow, func(now int64) { c.verified(now, e.Token, failed) })
	case machine.Sign:
		sig := c.key.Sign(e.Label, e.Body)
		c.later(1, func(now int64) { c.b.Signed(now, e.Token, sig) })
	case machine.Store:
		if e.Token != 0 && n.hold {
			c.withheld = append(c.withheld, e.Token)
			c.asked = append(c.asked, e)
			return
		}
		c.apply(e.Rows)
		if e.Token != 0 {
			c.later(1, func(now int64) { c.b.Stored(now, e.Token, nil) })
		}
	case machine.Load:
		values := make([][]byte, len(e.Keys))
		for i, k := range e.Keys {
			values[i] = c.rows[string(k)]
		}
		c.later(1, func(now int64) { c.b.Loaded(now, machine.Loaded{Token: e.Token, Values: values}) })
	case machine.Report:
		c.counts[e.Event] += max(1, e.Count)
	case machine.Close:
		c.closed = append(c.closed, e)
		n.after(1, func() { n.end(e.Link) })
	case machine.Pause:
		c.paused = append(c.paused, e)
	}
}

func (c *core) verified(now int64, t machine.Token, failed int) {
	if t.Owner() != machine.OwnerGate {
		c.b.Verified(now, t, failed)
		return
	}
	for _, v := range c.gate.Verified(now, t, failed) {
		c.b.Verdict(now, v)
	}
}

// send brings a frame to the other end, encoded and decoded on the way.
func (c *core) send(e machine.Send) {
	n := c.net
	k := n.cable(e.Link)
	if k == nil || !k.up {
		return
	}
	to := k.b
	if to == c {
		to = k.a
	}
	if n.tap != nil {
		n.tap(c, to, e.Frame)
	}
	if n.filter != nil && !n.filter(c, to, e.Frame) {
		return
	}
	b := e.Frame.AppendTo(nil)
	if len(b) > e.Frame.Weight() {
		n.t.Errorf("%v weighs %d, is %d bytes", e.Frame, e.Frame.Weight(), len(b))
	}
	n.after(5, func() {
		if n.clogged {
			c.undrained = append(c.undrained, e)
		} else {
			c.do(func(now int64) { c.b.Drained(now, e.Link, e.Class, e.Frame.Weight()) })
		}
		if !k.up {
			return
		}
		f, err := wire.Decode(b, nil)
		if err != nil {
			n.t.Fatalf("%s sent what cannot be read: %v: %v", c.name, e.Frame, err)
		}
		to.do(func(now int64) { to.frame(now, e.Link, f, len(b)) })
	})
}

func (n *network) cable(id machine.LinkID) *cable {
	for _, k := range n.links {
		if k.id == id {
			return k
		}
	}
	return nil
}

func (n *network) after(ms int64, f func()) { n.queue.Put(n.now+ms, f) }

// run lets ms milliseconds pass.
func (n *network) run(ms int64) {
	end, still := n.now+ms, 0
	for {
		at, who := n.next()
		if at > end {
			break
		}
		if still++; at > n.now {
			still = 0
		} else if still > 1_000_000 {
			n.t.Fatalf("time stands still at %d: a Tick that changes nothing, or frames without end; next is %v", n.now, who)
		}
		n.now = max(n.now, at)
		if who != nil {
			who.do(who.b.Tick)
			continue
		}
		if f, ok := n.queue.Pop(n.now); ok {
			f()
		}
	}
	n.now = end
}

// next returns the earliest of what is due, and whose tick it is.
func (n *network) next() (int64, *core) {
	at, ok := n.queue.Next()
	if !ok {
		at = 1 << 62
	}
	var who *core
	for _, c := range n.nodes {
		if d := c.b.Deadline(); !c.down && d != 0 && d < at {
			at, who = d, c
		}
	}
	return at, who
}

func (n *network) core(name string) *core {
	for _, c := range n.nodes {
		if c.name == name {
			return c
		}
	}
	panic("no core " + name)
}

// ends returns the link of a pair, "AB".
func (n *network) ends(pair string) *cable { return n.links[[2]int{int(pair[0]), int(pair[1])}] }

// arrives brings a frame to c as if its neighbour had sent it.
func (c *core) arrives(pair string, f wire.Frame) {
	link := c.net.ends(pair).id
	c.do(func(now int64) { c.frame(now, link, f, len(f.AppendTo(nil))) })
}

func (c *core) frame(now int64, link machine.LinkID, f wire.Frame, bytes int) {
	c.gate.Arrived(now, link, bytes)
	c.b.Frame(now, link, f)
}

// link joins two cores, "AB".
func (n *network) link(pairs ...string) {
	for _, p := range pairs {
		a, b := n.core(p[:1]), n.core(p[1:])
		n.last++
		k := &cable{a: a, b: b, id: n.last, up: true}
		n.links[[2]int{int(p[0]), int(p[1])}] = k
		for _, ends := range [][2]*core{{a, b}, {b, a}} {
			ev := machine.LinkUp{Link: k.id, Peer: ends[1].key.Address(), Role: wire.Core, RTT: 10}
			ends[0].do(func(now int64) {
				if code := ends[0].gate.LinkUp(now, ev); code != wire.OK {
					n.t.Fatalf("link refused: %v", code)
				}
				ends[0].b.LinkUp(now, ev)
			})
		}
	}
}

// unclog lets all links write what waits.
func (n *network) unclog() {
	n.clogged = false
	for _, c := range n.nodes {
		for _, e := range c.undrained {
			c.do(func(now int64) { c.b.Drained(now, e.Link, e.Class, e.Frame.Weight()) })
		}
		c.undrained = nil
	}
}

// cut ends a link; both ends know at once.
func (n *network) cut(pair string) {
	n.end(n.ends(pair).id)
}

func (n *network) end(link machine.LinkID) {
	k := n.cable(link)
	if k == nil || !k.up {
		return
	}
	k.up = false
	for _, c := range []*core{k.a, k.b} {
		c.do(func(now int64) {
			c.b.LinkDown(now, k.id)
			c.gate.LinkDown(k.id)
		})
	}
}

// group is the target that most tests use; its own key signs.
var groupKey = testKey(1000)

func groupTarget() envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: groupKey.Address()}
}

// message makes the n-th envelope of the group.
func (n *network) message(i int) *envelope.Envelope {
	return n.letter(groupKey, envelope.Header{Target: groupTarget(), First: uint64(i)})
}

// letter signs an envelope of one item; h's zero fields get what is usual.
func (n *network) letter(key identity.Key, h envelope.Header) *envelope.Envelope {
	h.Count, h.Flags = 1, h.Flags|envelope.Plain
	if h.Time == 0 {
		h.Time = uint64(n.now)
	}
	if h.TTL == 0 {
		h.TTL = 86400
	}
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{fmt.Append(nil, "message ", h.First)}), key)
	if err != nil {
		n.t.Fatal(err)
	}
	return e
}

// publish gives an envelope into a core's custody, as its home would.
func (c *core) publish(e *envelope.Envelope) envelope.ID {
	c.do(func(now int64) { c.b.Take(now, c.gate.Own(e)) })
	return e.ID
}

func (c *core) want(t envelope.Target, g *wire.Grant) {
	c.do(func(now int64) { c.b.Want(now, t, g) })
}

// got counts how often an id was delivered.
func (c *core) got(id envelope.ID) int {
	n := 0
	for _, d := range c.delivered {
		if d == id {
			n++
		}
	}
	return n
}

// grant makes a grant of key to a router that ends after life milliseconds.
func grant(key identity.Key, router identity.Address, notAfter int64) *wire.Grant {
	g := &wire.Grant{Address: key.Address(), Router: router, NotAfter: uint64(notAfter)}
	g.Encode()
	g.Signed.Sig = key.Sign(identity.LabelGrant, g.Signed.Body)
	return g
}
