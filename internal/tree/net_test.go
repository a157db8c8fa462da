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

// settle waits until a pulled cable may be plugged again.
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

// check asserts I1, I2 and I3 around one step.
func (r *router) check(effects []machine.Effect, changes []Change) {
	for _, c := range changes {
		if c.Kind == Parent && c.New != 0 && r.inCycle(c.Root) {
			r.w.cycles++
			if !r.w.naive {
				r.w.t.Fatalf("I1: a cycle of parents\n%v", r.w)
			}
		}
		if c.Kind == Left && !r.forest.Knows(c.Root) {
			delete(r.seqs, c.Root)
			delete(r.fds, c.Root)
		}
	}
	if r.w.naive || len(effects)+len(changes) == 0 {
		return
	}
	r.checkOrder()
	r.checkAnnounced(effects)
}

// parentOf follows a pointer over a link that lives: this end has not ended, and
// the other router has not forgotten what it knew.
func (r *router) parentOf(root identity.Address) *router {
	link, ok := r.forest.Parent(root)
	if !ok {
		return nil
	}
	for _, e := range r.ends {
		if e.link == link && e.other.running() {
			return e.other.r
		}
	}
	return nil
}

func (r *router) inCycle(root identity.Address) bool {
	x := r
	for range r.w.routers {
		if x = x.parentOf(root); x == nil {
			return false
		}
		if x == r {
			return true
		}
	}
	return true // into a cycle further up
}

// checkOrder is I2 for all pointers at and of r.
func (r *router) checkOrder() {
	for _, t := range r.forest.trees {
		r.ordered(t.root)
		for _, e := range r.ends {
			if e.other.running() && e.other.r.parentOf(t.root) == r {
				e.other.r.ordered(t.root)
			}
		}
	}
}

func (r *router) ordered(root identity.Address) {
	p := r.parentOf(root)
	if p == nil {
		return
	}
	mine, theirs := r.forest.byRoot[root], p.forest.byRoot[root]
	if mine == nil || mine.parent == nil {
		return
	}
	fd := p.forest.past.look(root)
	if theirs != nil {
		fd = theirs.fd
	}
	if !fd.better(mine.fd) {
		r.w.t.Fatalf("I2: %s points at %s, but fd %v is not better than %v", r.name, p.name, fd, mine.fd)
	}
}

func (p *past) look(root identity.Address) rung {
	for _, m := range p.list {
		if m.root == root {
			return m.fd
		}
	}
	return never()
}

// checkAnnounced is I3, and of I2 that no number falls.
func (r *router) checkAnnounced(effects []machine.Effect) {
	signed := false
	for _, e := range effects {
		switch e := e.(type) {
		case machine.Sign:
			signed = signed || e.Label == identity.LabelHop
		case machine.Send:
			if fr, ok := e.Frame.(*wire.Announce); ok {
				r.announced(fr)
			}
		}
	}
	for _, t := range r.forest.trees {
		old, known := r.fds[t.root]
		if known && old != t.fd && (!signed || old.better(t.fd)) {
			r.w.t.Fatalf("I3: %s changed fd from %v to %v", r.name, old, t.fd)
		}
		r.fds[t.root] = t.fd
		for _, s := range t.slots {
			if s.token != 0 && r.forest.signing[s.token].version == t.version && t.rung.better(t.fd) {
				r.w.t.Fatalf("I3: %s signs %v, but its fd is %v", r.name, t.rung, t.fd)
			}
		}
	}
}

func (r *router) announced(fr *wire.Announce) {
	said := rung{int64(fr.Seq), int64(fr.Hops[len(fr.Hops)-1].Metric)}
	t := r.forest.byRoot[fr.Root]
	if said.better(t.fd) {
		r.w.t.Fatalf("I3: %s announces %v, but its fd is %v", r.name, said, t.fd)
	}
	if last, ok := r.seqs[fr.Root]; ok && said.seq < last {
		r.w.t.Fatalf("I2: %s announced %d after %d", r.name, said.seq, last)
	}
	r.seqs[fr.Root] = said.seq
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

// component returns the running routers that r is connected to, itself included.
func (w *world) component(r *router) []*router {
	part := []*router{r}
	for i := 0; i < len(part); i++ {
		for _, c := range w.cables {
			if !c.plugged || c.a != part[i] && c.b != part[i] {
				continue
			}
			for _, o := range []*router{c.a, c.b} {
				if !slices.Contains(part, o) {
					part = append(part, o)
				}
			}
		}
	}
	return part
}

// agreement is I4: it says what is wrong in a quiet network, or "".
func (w *world) agreement() string {
	for _, r := range w.routers {
		if !r.up {
			continue
		}
		part := w.component(r)
		if want := bestThree(part); !slices.Equal(r.forest.Counting(), want) {
			return fmt.Sprintf("%s counts %v, not %v", r.name, r.forest.Counting(), want)
		}
		for _, root := range r.forest.Counting() {
			if text := r.hangsOn(root); text != "" {
				return text
			}
		}
	}
	return ""
}

// bestThree returns who the roots of a part should be, by key.
func bestThree(part []*router) []identity.Address {
	var all []identity.Address
	for _, r := range part {
		if r.canRoot {
			all = append(all, r.addr)
		}
	}
	slices.SortFunc(all, func(a, b identity.Address) int {
		x, y := rankOf(a), rankOf(b)
		return slices.Compare(x[:], y[:])
	})
	all = all[:min(3, len(all))]
	slices.SortFunc(all, identity.Address.Compare)
	return all
}

// hangsOn checks that r has reach to root, at the sum of the costs on its chain.
func (r *router) hangsOn(root identity.Address) string {
	if !r.forest.Reach(root) {
		return fmt.Sprintf("%s has no reach to %v", r.name, root)
	}
	sum := int64(0)
	x := r
	for x.addr != root {
		link, _ := x.forest.Parent(root)
		i := slices.IndexFunc(x.ends, func(e *end) bool { return e.link == link })
		if i < 0 || !*x.ends[i].alive {
			return fmt.Sprintf("%s has no parent to %v", x.name, root)
		}
		sum += int64(x.ends[i].cable.cost)
		x = x.ends[i].other.r
	}
	if got := r.forest.byRoot[root].rung.metric; got != sum {
		return fmt.Sprintf("%s has metric %d to %v, its chain costs %d", r.name, got, root, sum)
	}
	return ""
}

func (w *world) mustAgree(caption string) {
	w.t.Helper()
	if text := w.agreement(); text != "" {
		w.t.Fatalf("%s: I4: %s\n%v", caption, text, w)
	}
}

func (w *world) String() string {
	s := ""
	for _, r := range w.routers {
		if r.up {
			s += r.name + " " + r.forest.String()
		}
	}
	return s
}

// u32 is the first word of a hash, to compare runs.
func u32(h hash.Hash) uint32 { return binary.BigEndian.Uint32(h.Sum(nil)) }
