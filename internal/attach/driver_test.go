package attach

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"upsycle/identity"
	"upsycle/internal/directory"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

const start = 1_767_225_600_000 // 2026-01-01

func testKey(t testing.TB, seed byte) identity.Key {
	t.Helper()
	k, err := identity.NewKey(bytes.Repeat([]byte{seed}, identity.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// group is the key of the group that tests publish to.
func group(t testing.TB) identity.Key { return testKey(t, 200) }

func groupTarget(t testing.TB) envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: group(t).Address()}
}

// letterOf signs a message to the test group with one thing changed.
func letterOf(t testing.TB, n uint64, change func(h *envelope.Header)) *envelope.Envelope {
	t.Helper()
	h := envelope.Header{
		Target: groupTarget(t), First: n, Count: 1, Time: start, TTL: 30 * 24 * 3600, Flags: envelope.Plain,
	}
	if change != nil {
		change(&h)
	}
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{{byte(n)}}), group(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func numbered1(t testing.TB, n uint64) *envelope.Envelope { return letterOf(t, n, nil) }

// A world runs processes and the links between them in virtual time. Everything
// that is asked is answered, in order; every frame is encoded and decoded again.
type world struct {
	t        testing.TB
	now      int64
	procs    []*proc
	events   []posted
	links    []*pair
	lastLink machine.LinkID
	frames   int // sent so far
	cutAt    map[int]bool
	real     bool // check signatures, instead of trusting all but `forged`
	trace    func(from *proc, f wire.Frame)
	watch    func(from, to *proc, f wire.Frame)
}

type posted struct {
	to *proc
	ev machine.Event
	do func(now int64) // in place of an event
}

// pair is a link: the two processes and their names for it.
type pair struct {
	ends [2]*proc
	ids  [2]machine.LinkID
	up   bool
	mute [2]bool // Drained is kept from this end
	due  [2]int  // the weight that was kept
}

func newWorld(t testing.TB) *world {
	return &world{t: t, now: start, cutAt: make(map[int]bool)}
}

// A proc is one process: a home, a client, or both on an edge router.
type proc struct {
	w      *world
	key    identity.Key
	role   wire.Role
	desk   machine.Desk
	gate   *gate.Gate
	home   *Home
	client *Client
	core   *core // the upstream of a home without a client
	app    *app  // the downstream of a client without a home

	raw       bool // no machine: the test plays it
	in        []wire.Frame
	frameMax  int
	storeFail int // so many Stores fail
	loadFail  int // so many Loads fail

	storeFailAt int // the so-and-so-many-th Store from here fails
	loads       int // Loads that were asked
	reports     map[machine.ReportEvent]int
	closes      []machine.Close
	mail        []*envelope.Envelope // for the router itself
	rows        map[string][]byte

	build   func() // makes the machines
	lives   int
	disk    map[string][]byte // what was answered, and all before it
	asked   []machine.Store   // what was asked since
	effects int               // carried out so far
	crashAt int               // the process dies before this effect
	survive func(n int) int   // how many of n Stores that were not answered survive a crash
}

// waiting is how many rows hold mail, or wait in the outbox.
func (p *proc) waiting() (n int) {
	for key := range p.rows {
		if key[0] == letterTable || key[0] == mailTable || key[0] == outboxTable || key[0] == holdTable {
			n++
		}
	}
	return n
}

func (w *world) proc(seed byte, role wire.Role) *proc {
	p := &proc{
		w: w, key: testKey(w.t, seed), role: role, frameMax: wire.FrameMax,
		reports: make(map[machine.ReportEvent]int), rows: make(map[string][]byte), disk: make(map[string][]byte),
	}
	w.procs = append(w.procs, p)
	return p
}

// newCore makes a core router; seed names its key.
func (w *world) newCore(seed byte, l Limits) *proc {
	p := w.proc(seed, wire.Core)
	p.build = func() {
		p.gate = gate.New(gate.Config{
			Self: p.key.Address(), Role: wire.Core, Services: gate.Access{Any: true}, Edges: gate.Access{Any: true},
		}, &p.desk)
		p.home = NewHome(HomeConfig{Self: p.key.Address(), Role: wire.Core, Seed: p.seed(), Limits: l}, &p.desk, p.gate, directory.New())
		p.core = &core{p: p, held: make(map[envelope.ID]bool), wants: make(map[envelope.Target]*wire.Grant), stores: make(map[machine.Token]gate.Admitted)}
		p.home.Bind(p.core)
	}
	p.build()
	w.post(p, machine.Tick{})
	return p
}

// newService makes a service with an application that takes note.
func (w *world) newService(seed byte, homes ...*proc) *proc {
	p := w.proc(seed, wire.Service)
	p.gate = gate.New(gate.Config{Self: p.key.Address(), Role: wire.Service}, &p.desk)
	p.client = NewClient(ClientConfig{Self: p.key.Address(), Role: wire.Service, Homes: addresses(homes), Seed: uint64(seed)}, &p.desk, p.gate)
	p.app = &app{p: p, taken: make(map[envelope.ID][]wire.Code)}
	p.client.Bind(p.app)
	return p
}

// newEdge makes an edge router with its homes.
func (w *world) newEdge(seed byte, homes ...*proc) *proc {
	p := w.proc(seed, wire.Edge)
	p.build = func() {
		p.gate = gate.New(gate.Config{
			Self: p.key.Address(), Role: wire.Edge, Services: gate.Access{Any: true}, Homes: addresses(homes),
		}, &p.desk)
		p.home = NewHome(HomeConfig{Self: p.key.Address(), Role: wire.Edge, Seed: p.seed()}, &p.desk, p.gate, directory.New())
		p.client = NewClient(ClientConfig{Self: p.key.Address(), Role: wire.Edge, Homes: addresses(homes), Seed: p.seed()}, &p.desk, p.gate)
		p.client.Bind(p.home)
		p.home.Bind(p.client)
	}
	p.build()
	w.post(p, machine.Tick{})
	return p
}

// newRaw makes a process that is played by the test.
func (w *world) newRaw(seed byte, role wire.Role) *proc {
	p := w.proc(seed, role)
	p.raw = true
	return p
}

// say sends frames over the last link of a raw process, all before any is handled.
func (p *proc) say(list ...wire.Frame) {
	p.w.t.Helper()
	for _, l := range slices.Backward(p.w.links) {
		if i := slices.Index(l.ends[:], p); i >= 0 {
			for _, f := range list {
				p.send(machine.Send{Link: l.ids[i], Class: machine.Control, Frame: f})
			}
			break
		}
	}
	p.w.settle()
}

// heard returns the frames of one kind that a raw process got.
func heard[T wire.Frame](p *proc) (list []T) {
	for _, f := range p.in {
		if x, ok := f.(T); ok {
			list = append(list, x)
		}
	}
	return list
}

// homesOf is a signed homes document of p.
func (p *proc) homesOf(epoch uint64, homes ...*proc) *wire.Homes {
	h := &wire.Homes{Client: p.key.Address(), Epoch: epoch, Homes: addresses(homes)}
	h.Encode()
	h.Signed.Sig = p.key.Sign(identity.LabelHomes, h.Signed.Body)
	return h
}

// grantOf is a signed grant of p to a router.
func (p *proc) grantOf(router *proc, notAfter int64) *wire.Grant {
	g := &wire.Grant{Address: p.key.Address(), Router: router.key.Address(), NotAfter: uint64(notAfter)}
	g.Encode()
	g.Signed.Sig = p.key.Sign(identity.LabelGrant, g.Signed.Body)
	return g
}

// join links and attaches a raw client and subscribes it to the test group.
func (p *proc) join(h *proc) *pair {
	l := p.w.link(p, h)
	p.say(&wire.Attach{Homes: p.homesOf(1, h)}, &wire.Subscribe{Ref: 1, Target: groupTarget(p.w.t)})
	return l
}

// deliver gives a home what came over the backbone.
func (p *proc) deliver(list ...*envelope.Envelope) {
	p.w.t.Helper()
	for _, e := range list {
		p.do(func(now int64) { p.home.Deliver(now, p.gate.Own(e), Receipt{}) })
	}
}

func addresses(list []*proc) (out []identity.Address) {
	for _, p := range list {
		out = append(out, p.key.Address())
	}
	return out
}

// do runs something within a step of p, then all that follows from it.
func (p *proc) do(f func(now int64)) {
	p.w.t.Helper()
	p.step(func() { f(p.w.now) })
	p.w.settle()
}

func (p *proc) step(f func()) {
	p.desk.Begin(nil)
	f()
	for _, e := range p.desk.End() {
		if p.effects++; p.effects == p.crashAt {
			p.crash()
			return
		}
		p.carryOut(e)
	}
}

func (w *world) post(p *proc, ev machine.Event) { w.events = append(w.events, posted{to: p, ev: ev}) }

// settle runs all events that are posted, without a move of time.
func (w *world) settle() {
	for n := 0; len(w.events) > 0; n++ {
		if n > 2_000_000 {
			w.t.Fatal("the world does not come to rest")
		}
		x := w.events[0]
		w.events = w.events[1:]
		if x.do != nil {
			x.to.step(func() { x.do(w.now) })
			continue
		}
		x.to.step(func() { x.to.handle(x.ev) })
	}
	w.events = nil
}

// wait lets time pass, with a Tick at every deadline.
func (w *world) wait(ms int64) {
	end := w.now + ms
	for w.settle(); ; w.settle() {
		next := end
		for _, p := range w.procs {
			if d := p.deadline(); d != 0 && d < next {
				next = d
			}
		}
		w.now = max(w.now, next)
		for _, p := range w.procs {
			if d := p.deadline(); d != 0 && d <= w.now {
				w.post(p, machine.Tick{})
			}
		}
		if w.settle(); w.now >= end {
			return
		}
	}
}

func (p *proc) deadline() int64 {
	if p.raw {
		return 0
	}
	d := p.gate.Deadline()
	if p.home != nil {
		d = earlier(d, p.home.Deadline())
	}
	if p.client != nil {
		d = earlier(d, p.client.Deadline())
	}
	return d
}

// link makes a link from client c to home h.
func (w *world) link(c, h *proc) *pair {
	l := &pair{ends: [2]*proc{c, h}, ids: [2]machine.LinkID{w.lastLink + 1, w.lastLink + 2}, up: true}
	w.lastLink += 2
	w.links = append(w.links, l)
	for i, p := range l.ends {
		other := l.ends[1-i]
		ev := machine.LinkUp{Link: l.ids[i], Peer: other.key.Address(), Role: other.role, MaxFrame: other.frameMax, Dialled: i == 0}
		w.post(p, ev)
	}
	w.settle()
	return l
}

// cut ends a link: what is under way is lost.
func (w *world) cut(l *pair) {
	for i, p := range l.ends {
		w.events = slices.DeleteFunc(w.events, func(x posted) bool {
			f, ok := x.ev.(machine.FrameIn)
			return ok && x.to == p && f.Link == l.ids[i]
		})
	}
	w.shut(l)
}

// shut ends a link after what is under way has arrived.
func (w *world) shut(l *pair) {
	if !l.up {
		return
	}
	l.up = false
	for i, p := range l.ends {
		w.post(p, machine.LinkDown{Link: l.ids[i], Peer: l.ends[1-i].key.Address()})
	}
}

func (p *proc) handle(ev machine.Event) {
	now := p.w.now
	if f, ok := ev.(machine.FrameIn); ok && p.raw {
		p.in = append(p.in, f.Frame)
	}
	if p.raw {
		return
	}
	switch e := ev.(type) {
	case machine.LinkUp:
		if code := p.gate.LinkUp(now, e); code != wire.OK {
			p.desk.Close(e.Link, code, "not let in")
		} else if p.isUpstream(e.Role) {
			p.client.LinkUp(now, e)
		} else {
			p.home.LinkUp(now, e)
		}
	case machine.LinkDown:
		if p.client != nil {
			p.client.LinkDown(now, e.Link)
		}
		if p.home != nil {
			p.home.LinkDown(now, e.Link)
		}
		p.gate.LinkDown(e.Link)
	case machine.FrameIn:
		p.gate.Arrived(now, e.Link, e.Bytes)
		if p.client != nil && p.client.links[e.Link] != nil {
			p.client.Frame(now, e.Link, e.Frame)
		} else if p.home != nil {
			p.home.Frame(now, e.Link, e.Frame)
		}
	case machine.Drained:
		if p.home != nil {
			p.home.Drained(now, e.Link, e.Class, e.Weight)
		}
	case machine.Tick:
		p.gate.Tick(now)
		if p.home != nil {
			p.home.Tick(now)
		}
		if p.client != nil {
			p.client.Tick(now)
		}
	default:
		p.answered(now, ev)
	}
}

// answered hands on the answers to effects.
func (p *proc) answered(now int64, ev machine.Event) {
	switch e := ev.(type) {
	case machine.Verified:
		if e.Token.Owner() == machine.OwnerHome {
			p.home.Verified(now, e.Token, e.Failed)
			return
		}
		for _, v := range p.gate.Verified(now, e.Token, e.Failed) {
			if v.Case.Asker == machine.OwnerHome {
				p.home.Verdict(now, v)
			} else {
				p.client.Verdict(now, v)
			}
		}
	case machine.Signed:
		if e.Token.Owner() == machine.OwnerHome {
			p.home.Signed(now, e.Token, e.Sig)
		} else {
			p.client.Signed(now, e.Token, e.Sig)
		}
	case machine.Loaded:
		p.home.Loaded(now, e.Token, e.Values, e.Err)
	case machine.Stored:
		p.onDisk(e.Token)
		switch e.Token.Owner() {
		case machine.OwnerHome:
			p.home.Stored(now, e.Token, e.Err)
		case machine.OwnerClient:
			p.client.Stored(now, e.Token, e.Err)
		default:
			p.core.stored(now, e.Token, e.Err)
		}
	}
}

func (p *proc) isUpstream(peer wire.Role) bool {
	return p.role == wire.Service || p.role == wire.Edge && peer == wire.Core
}

var errDisk = errors.New("the disk is full")

func (p *proc) carryOut(e machine.Effect) {
	w := p.w
	switch e := e.(type) {
	case machine.Send:
		p.send(e)
	case machine.Verify:
		w.post(p, machine.Verified{Token: e.Token, Failed: w.judge(e.Claims)})
	case machine.Sign:
		w.post(p, machine.Signed{Token: e.Token, Sig: p.key.Sign(e.Label, e.Body)})
	case machine.Store:
		p.store(e)
	case machine.Load:
		p.load(e)
	case machine.Close:
		p.closes = append(p.closes, e)
		if l, _ := w.find(p, e.Link); l != nil {
			w.shut(l)
		}
	case machine.Report:
		p.reports[e.Event] += max(1, e.Count)
	case machine.Deliver:
		p.mail = append(p.mail, e.Envelope)
	}
}

func (p *proc) store(e machine.Store) {
	var err error
	if p.storeFailAt > 0 && e.Token != 0 {
		if p.storeFailAt--; p.storeFailAt == 0 {
			err = errDisk
		}
	}
	if p.storeFail > 0 && e.Token != 0 {
		p.storeFail--
		err = errDisk
	}
	if err == nil {
		apply(p.rows, e.Rows)
		p.asked = append(p.asked, e)
	}
	if e.Token != 0 {
		p.w.post(p, machine.Stored{Token: e.Token, Err: err})
	}
}

// apply commits rows to a map.
func apply(rows map[string][]byte, list []machine.Row) {
	for _, r := range list {
		switch {
		case r.End != nil:
			for key := range rows { // each alone
				if key >= string(r.Key) && key < string(r.End) {
					delete(rows, key)
				}
			}
		case r.Value == nil:
			delete(rows, string(r.Key))
		default:
			rows[string(r.Key)] = r.Value
		}
	}
}

// load answers from what was stored.
func (p *proc) load(e machine.Load) {
	p.loads++
	if p.loadFail > 0 {
		p.loadFail--
		p.w.post(p, machine.Loaded{Token: e.Token, Err: errDisk})
		return
	}
	var values [][]byte
	for _, k := range e.Keys {
		values = append(values, p.rows[string(k)])
	}
	p.w.post(p, machine.Loaded{Token: e.Token, Values: values})
}

// judge checks claims: for real, or by a mark that forged signatures bear.
func (w *world) judge(claims []identity.Claim) int {
	for i, c := range claims {
		if w.real && !c.Holds() || !w.real && !c.Key.IsZero() && c.Sig == (identity.Signature{}) {
			return i
		}
	}
	return -1
}

func (w *world) find(p *proc, id machine.LinkID) (*pair, int) {
	for _, l := range w.links {
		for i := range l.ends {
			if l.ends[i] == p && l.ids[i] == id && l.up {
				return l, i
			}
		}
	}
	return nil, 0
}

// send carries a frame over its link, or cuts the link in its place.
func (p *proc) send(e machine.Send) {
	w := p.w
	l, i := w.find(p, e.Link)
	if l == nil {
		return
	}
	if w.frames++; w.cutAt[w.frames] {
		w.cut(l)
		return
	}
	b := e.Frame.AppendTo(nil)
	if len(b) > e.Frame.Weight() || len(b) > l.ends[1-i].frameMax {
		w.t.Fatalf("%v: %d bytes, weight %d, the peer takes %d", e.Frame, len(b), e.Frame.Weight(), l.ends[1-i].frameMax)
	}
	f, err := wire.Decode(b, nil)
	if err != nil {
		w.t.Fatalf("%v does not decode: %v", e.Frame, err)
	}
	if w.trace != nil {
		w.trace(p, f)
	}
	if w.watch != nil {
		w.watch(p, l.ends[1-i], f)
	}
	w.post(l.ends[1-i], machine.FrameIn{Link: l.ids[1-i], Frame: f, Bytes: len(b)})
	if l.mute[i] {
		l.due[i] += e.Frame.Weight()
		return
	}
	w.post(p, machine.Drained{Link: e.Link, Class: e.Class, Weight: e.Frame.Weight()})
}

// drain tells an end that what it sent has left.
func (l *pair) drain(end int) {
	w := l.ends[0].w
	weight := l.due[end]
	l.due[end] = 0
	w.post(l.ends[end], machine.Drained{Link: l.ids[end], Class: machine.Bulk, Weight: weight})
	w.settle()
}

// core is the upstream of a core router's home: custody in memory, no backbone.
type core struct {
	p        *proc
	held     map[envelope.ID]bool
	stores   map[machine.Token]gate.Admitted
	restored []*envelope.Envelope
	wants    map[envelope.Target]*wire.Grant
	turn     uint64
	takes    int
	retook   int
	refuse   wire.Code // of what comes
}

func (c *core) Take(now int64, a gate.Admitted) {
	c.takes++
	e := a.Envelope()
	switch {
	case c.refuse != wire.OK:
		c.p.home.Taken(now, e.ID, c.refuse, 700)
	case e.Flags&envelope.Live != 0 || c.held[e.ID]:
		c.p.home.Taken(now, e.ID, wire.OK, 0)
	default:
		c.turn++
		c.stores[c.p.desk.Store(machine.OwnerBackbone, machine.Row{Key: numbered([]byte{'c'}, c.turn), Value: e.Raw})] = a
	}
}

func (c *core) Retake(now int64, a gate.Admitted) {
	c.retook++
	c.Take(now, a)
}

func (c *core) stored(now int64, t machine.Token, err error) {
	id := c.stores[t].Envelope().ID
	delete(c.stores, t)
	if err != nil {
		c.p.home.Taken(now, id, wire.StorageFull, 700)
		return
	}
	c.held[id] = true
	c.p.home.Taken(now, id, wire.OK, 0)
}

func (c *core) Again(now int64, e *envelope.Envelope) bool {
	if c.held[e.ID] {
		c.p.home.Taken(now, e.ID, wire.OK, 0)
	}
	return c.held[e.ID]
}

func (c *core) Want(_ int64, t envelope.Target, g *wire.Grant) { c.wants[t] = g }
func (c *core) Unwant(_ int64, t envelope.Target)              { delete(c.wants, t) }
func (c *core) Done(int64, Receipt)                            {}

// app is the application of a service: it acknowledges at once unless told not to.
type app struct {
	p          *proc
	got        []*envelope.Envelope
	gaps       []wire.Gap
	receipts   []Receipt // not acknowledged yet
	hold       bool      // keep receipts
	taken      map[envelope.ID][]wire.Code
	attached   []wire.Code
	subscribed []wire.Code
}

func (a *app) Taken(_ int64, id envelope.ID, code wire.Code, _ uint64) {
	a.taken[id] = append(a.taken[id], code)
}

func (a *app) Deliver(now int64, x gate.Admitted, r Receipt) {
	a.got = append(a.got, x.Envelope())
	a.done(now, r)
}

func (a *app) Gap(now int64, g wire.Gap, r Receipt) {
	a.gaps = append(a.gaps, g)
	a.done(now, r)
}

func (a *app) done(now int64, r Receipt) {
	if a.hold {
		a.receipts = append(a.receipts, r)
		return
	}
	a.p.client.Done(now, r)
}

func (a *app) Attached(_ int64, _ identity.Address, code wire.Code) {
	a.attached = append(a.attached, code)
}

func (a *app) Subscribed(_ int64, _ envelope.Target, code wire.Code) {
	a.subscribed = append(a.subscribed, code)
}

// numbers returns the first numbers of what came, in order.
func (a *app) numbers() []uint64 {
	list := []uint64{}
	for _, e := range a.got {
		list = append(list, e.First)
	}
	return list
}

// texts returns run and number of what came, in order.
func (a *app) texts() (list []string) {
	for _, e := range a.got {
		list = append(list, fmt.Sprintf("%d:%d", e.Run[0], e.First))
	}
	return list
}

// upTo is 0, 1 … n-1.
func upTo(n int) []uint64 {
	list := []uint64{}
	for i := range n {
		list = append(list, uint64(i))
	}
	return list
}

func (p *proc) publish(list ...*envelope.Envelope) {
	p.w.t.Helper()
	for _, e := range list {
		p.do(func(now int64) { p.client.Publish(now, e) })
	}
}

func (p *proc) want(t envelope.Target) {
	p.w.t.Helper()
	p.do(func(now int64) { p.client.Want(now, t, nil) })
}

func letters(t testing.TB, n int) []*envelope.Envelope {
	list := make([]*envelope.Envelope, n)
	for i := range list {
		list[i] = numbered1(t, uint64(i))
	}
	return list
}
