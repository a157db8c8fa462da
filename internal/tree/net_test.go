package tree

import (
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"testing"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// world is a network of forests in virtual time. It checks I1, I2 and I3 after
// every step of every router.
type world struct {
	t       testing.TB
	now     int64
	random  *rand.Rand
	queue   eventQueue
	turn    int
	routers []*router
	cables  []*cable
	lastID  machine.LinkID
	real    bool // Ed25519 instead of a keyed hash
	naive   bool
	jitter  int64     // the longest time that a signature or its check takes, and that a lost link is noticed in
	cycles  int       // seen; fatal unless naive
	trace   hash.Hash // of all effects, or nil
	log     []string  // of what was sent, if logging
	logging bool
	sends   int
}

const start = int64(1_800_000_000_000)

// router is one forest and what carries out its effects.
type router struct {
	w       *world
	name    string
	key     identity.Key
	addr    identity.Address
	canRoot bool
	up      bool
	life    int
	desk    machine.Desk
	forest  *Forest
	ends    []*end // of links that are up here
	tickAt  int64
	free    map[machine.LinkID]int64 // when the link's last question is answered
	charged []string
	seqs    map[identity.Address]int64 // the highest number that it announced
	fds     map[identity.Address]rung
	changes []Change // all of this life
}

// cable is where two routers may have a link.
type cable struct {
	a, b    *router
	cost    int
	latency int64
	ends    [2]*end // of the present link
	plugged bool
}

// end is one router's view of a link.
type end struct {
	r     *router
	link  machine.LinkID
	other *end
	cable *cable
	up    bool // between LinkUp and LinkDown
	alive *bool
	life  int // of r
}

func newWorld(t testing.TB, seed uint64) *world {
	return &world{t: t, now: start, random: rand.New(rand.NewPCG(seed, 1)), jitter: 3}
}

// add makes a router that is not running yet.
func (w *world) add(name string, canRoot bool) *router {
	r := &router{w: w, name: name, key: keyOf(name), canRoot: canRoot}
	r.addr = r.key.Address()
	w.routers = append(w.routers, r)
	return r
}

// keyOf returns a key that belongs to a name.
func keyOf(name string) identity.Key {
	seed := sha256.Sum256([]byte("tree test " + name))
	k, err := identity.NewKey(seed[:])
	if err != nil {
		panic(err)
	}
	return k
}

func (w *world) cable(a, b *router, cost int, latency int64) *cable {
	c := &cable{a: a, b: b, cost: cost, latency: latency}
	w.cables = append(w.cables, c)
	return c
}

// between returns the cable of two routers.
func (w *world) between(a, b *router) *cable {
	for _, c := range w.cables {
		if c.a == a && c.b == b || c.a == b && c.b == a {
			return c
		}
	}
	return nil
}

// boot starts a router without any memory.
func (r *router) boot() {
	r.up, r.life, r.tickAt = true, r.life+1, 0
	r.ends, r.changes = nil, nil
	r.free = make(map[machine.LinkID]int64)
	r.seqs = make(map[identity.Address]int64)
	r.fds = make(map[identity.Address]rung)
	r.step(func() {
		r.forest = New(Config{Self: r.addr, CanRoot: r.canRoot, Seed: uint64(r.life), Charge: r.charge}, &r.desk, r.w.now)
		r.forest.naive = r.w.naive
	})
}

func (r *router) charge(_ int64, link machine.LinkID, code wire.Code, text string) {
	r.charged = append(r.charged, fmt.Sprintf("%v: %s", code, text))
}

// crash ends a router and, for its neighbours, its links.
func (r *router) crash() {
	r.up = false
	for _, c := range r.w.cables {
		if c.a == r || c.b == r {
			c.pull()
		}
	}
}

// plug makes a link, if both routers run and both have noticed the end of the
// last one (L2).
func (c *cable) plug() {
	if c.plugged || !c.a.up || !c.b.up || c.ends[0] != nil && (c.ends[0].up || c.ends[1].up) {
		return
	}
	w := c.a.w
	c.plugged = true
	alive := true
	a, b := &end{r: c.a, cable: c, alive: &alive, life: c.a.life}, &end{r: c.b, cable: c, alive: &alive, life: c.b.life}
	a.other, b.other = b, a
	c.ends = [2]*end{a, b}
	for _, e := range c.ends {
		w.lastID++
		e.link = w.lastID
	}
	a.linkUp()
	w.after(c.latency, b.linkUp)
}

func (e *end) running() bool { return e.r.up && e.r.life == e.life }

func (e *end) linkUp() {
	if !*e.alive || !e.running() {
		return
	}
	e.up = true
	e.r.ends = append(e.r.ends, e)
	e.r.step(func() { e.r.forest.LinkUp(e.r.w.now, e.link, e.other.r.addr, e.cable.cost) })
}

// pull cuts the link; what is under way is lost. Each end notices for itself.
func (c *cable) pull() {
	if !c.plugged {
		return
	}
	c.plugged = false
	w := c.a.w
	*c.ends[0].alive = false
	for _, e := range c.ends {
		if !e.r.up {
			e.up = false
			continue
		}
		w.after(w.random.Int64N(w.jitter+1), e.linkDown)
	}
}

func (e *end) linkDown() {
	if !e.up {
		return
	}
	e.up = false
	if !e.running() {
		return
	}
	e.r.ends = slices.DeleteFunc(e.r.ends, func(o *end) bool { return o == e })
	e.r.step(func() { e.r.forest.LinkDown(e.r.w.now, e.link) })
}

// settled reports whether both ends have noticed that the cable was pulled, so that
// it may be plugged again.
func (c *cable) settled() bool { return c.ends[0] == nil || !c.ends[0].up && !c.ends[1].up }

// step lets the forest handle one input, checks the invariants and carries out the
// effects.
func (r *router) step(input func()) {
	r.desk.Begin(nil)
	input()
	effects := r.desk.End()
	changes := r.forest.Changes()
	r.changes = append(r.changes, changes...)
	r.check(effects, changes)
	for _, e := range effects {
		if r.w.trace != nil {
			fmt.Fprintln(r.w.trace, r.w.now, r.name, e)
		}
		r.do(e)
	}
	r.plan()
}

func (r *router) do(e machine.Effect) {
	w := r.w
	switch e := e.(type) {
	case machine.Send:
		w.sends++
		r.send(e)
	case machine.Verify:
		at := max(r.free[e.Link], w.now+w.random.Int64N(w.jitter+1))
		r.free[e.Link] = at // one link's answers come in the order asked
		failed := slices.IndexFunc(e.Claims, func(c identity.Claim) bool { return !w.holds(c) })
		r.later(at, func() { r.forest.Verified(w.now, e.Token, failed) })
	case machine.Sign:
		sig := w.sign(r.key, e.Label, e.Body)
		r.later(w.now+w.random.Int64N(w.jitter+1), func() { r.forest.Signed(w.now, e.Token, sig) })
	case machine.Report:
	default:
		w.t.Fatalf("%s: unexpected effect %v", r.name, e)
	}
}

// later steps at an instant, unless the router has crashed by then.
func (r *router) later(at int64, input func()) {
	life := r.life
	r.w.at(at, func() {
		if r.up && r.life == life {
			r.step(input)
		}
	})
}

func (r *router) send(e machine.Send) {
	i := slices.IndexFunc(r.ends, func(o *end) bool { return o.link == e.Link })
	if i < 0 {
		r.w.t.Fatalf("%s sends on a link that is down: %v", r.name, e)
	}
	from := r.ends[i]
	to := from.other
	if r.w.logging {
		r.w.log = append(r.w.log, fmt.Sprintf("%s→%s %s", r.name, to.r.name, short(e.Frame)))
	}
	if !*from.alive {
		return
	}
	r.w.after(from.cable.latency, func() {
		if *to.alive && to.up && to.running() {
			to.r.step(func() { to.r.forest.Frame(r.w.now, to.link, e.Frame) })
		}
	})
}

func short(fr wire.Frame) string {
	switch fr := fr.(type) {
	case *wire.Announce:
		return fmt.Sprintf("announce (%d, %d)", fr.Seq, fr.Hops[len(fr.Hops)-1].Metric)
	case *wire.Retract:
		return "retract"
	case *wire.SeqReq:
		return fmt.Sprintf("seqreq %d", fr.Want)
	}
	return fr.String()
}

// plan makes sure that a Tick comes by the forest's deadline.
func (r *router) plan() {
	d := r.forest.Deadline()
	if d == 0 || r.tickAt != 0 && r.tickAt <= d {
		return
	}
	r.tickAt = d
	life := r.life
	r.w.at(d, func() {
		if !r.up || r.life != life || r.tickAt != d {
			return
		}
		r.tickAt = 0
		if r.forest.Deadline() > r.w.now {
			r.plan()
			return
		}
		r.step(func() { r.forest.Tick(r.w.now) })
		if next := r.forest.Deadline(); next != 0 && next <= r.w.now {
			r.w.t.Fatalf("%s: a deadline is not met by Tick\n%v", r.name, r.forest)
		}
	})
}

// sign is a fast keyed hash, or the real thing.
func (w *world) sign(k identity.Key, label identity.Label, body []byte) identity.Signature {
	if w.real {
		return k.Sign(label, body)
	}
	return fastSign(k.Address(), label, body)
}

func (w *world) holds(c identity.Claim) bool {
	if w.real {
		return c.Holds()
	}
	return fastSign(c.Key, c.Label, c.Body) == c.Sig
}

func fastSign(a identity.Address, label identity.Label, body []byte) (sig identity.Signature) {
	var buf [256]byte
	sum := sha256.Sum256(append(a.AppendTo(append(buf[:0], label...)), body...))
	copy(sig[:], sum[:])
	copy(sig[32:], sum[:])
	return sig
}

// event is something that happens at an instant.
type event struct {
	at   int64
	turn int
	do   func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].turn < q[j].turn
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*q = old[:len(old)-1]
	return e
}

func (w *world) at(at int64, do func()) {
	w.turn++
	heap.Push(&w.queue, event{at, w.turn, do})
}

func (w *world) after(ms int64, do func()) { w.at(w.now+ms, do) }

// run lets ms milliseconds pass.
func (w *world) run(ms int64) {
	end := w.now + ms
	w.until(end, func() bool { return false })
	w.now = end
}

// until lets time pass until end, or until a condition holds after an event.
func (w *world) until(end int64, done func() bool) bool {
	for len(w.queue) > 0 && w.queue[0].at <= end {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
		if done() {
			return true
		}
	}
	return false
}

// bootAll starts every router and plugs every cable.
func (w *world) bootAll() {
	for _, r := range w.routers {
		r.boot()
	}
	for _, c := range w.cables {
		c.plug()
	}
}

// u32 is the first word of a hash, to compare runs.
func u32(h hash.Hash) uint32 { return binary.BigEndian.Uint32(h.Sum(nil)) }
