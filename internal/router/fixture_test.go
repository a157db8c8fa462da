package router

import (
	"encoding/binary"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// start is when the tests' time begins, in Unix milliseconds.
const start = 1_767_225_600_000

func testKey(n int) identity.Key {
	var seed [identity.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1)
	k, err := identity.NewKey(seed[:])
	if err != nil {
		panic(err)
	}
	return k
}

// A world runs routers, and services that the tests play, in virtual time. Links
// take 5 ms, answers to questions 1 ms; every frame is encoded and decoded.
type world struct {
	t     testing.TB
	now   int64
	procs []*proc
	queue ordered.Agenda[func()]
	last  machine.LinkID
	links map[machine.LinkID]*line
	log   []string // every effect, if trace is set
	trace bool
}

type line struct {
	a, b *proc
	up   bool
}

// A proc is a router, or without one a service.
type proc struct {
	w    *world
	key  identity.Key
	role wire.Role
	r    *Router

	got    []wire.Frame // of a service
	mail   []envelope.ID
	counts [machine.ReportEvents]int
	closed map[machine.LinkID]wire.Code
}

func newWorld(t testing.TB) *world {
	return &world{t: t, now: start, links: make(map[machine.LinkID]*line)}
}

// router makes a router that lets everybody attach; n names its key.
func (w *world) router(n int, cfg Config) *proc {
	p := &proc{w: w, key: testKey(n), role: cfg.Role, closed: make(map[machine.LinkID]wire.Code)}
	if cfg.Services.Keys == nil && !cfg.Services.Local {
		cfg.Services = gate.Access{Any: true}
	}
	cfg.Edges = gate.Access{Any: true}
	r, err := New(cfg, p.key.Address(), uint64(n))
	if err != nil {
		w.t.Fatal(err)
	}
	p.r = r
	w.procs = append(w.procs, p)
	return p
}

// cores makes size cores that know each other.
func (w *world) cores(size int) []*proc {
	var peers []identity.Address
	for i := range size {
		peers = append(peers, testKey(i).Address())
	}
	list := make([]*proc, size)
	for i := range list {
		list[i] = w.router(i, Config{Role: wire.Core, Peers: peers, CanRoot: true})
	}
	return list
}

// service makes a service of the tests.
func (w *world) service(n int) *proc {
	return &proc{w: w, key: testKey(n), role: wire.Service, closed: make(map[machine.LinkID]wire.Code)}
}

// link joins two processes and returns the link.
func (w *world) link(a, b *proc) machine.LinkID {
	w.last++
	id := w.last
	w.links[id] = &line{a, b, true}
	for _, ends := range [][2]*proc{{a, b}, {b, a}} {
		ends[0].step(machine.LinkUp{
			Link: id, Peer: ends[1].key.Address(), Role: ends[1].role, MaxFrame: wire.FrameMax, Dialled: ends[0] == a, RTT: 10,
		})
	}
	return id
}

// cut ends a link.
func (w *world) cut(id machine.LinkID) {
	l := w.links[id]
	if !l.up {
		return
	}
	l.up = false
	for _, ends := range [][2]*proc{{l.a, l.b}, {l.b, l.a}} {
		ends[0].step(machine.LinkDown{Link: id, Peer: ends[1].key.Address()})
	}
}

func (w *world) after(ms int64, f func()) { w.queue.Put(w.now+ms, f) }

// run lets time pass.
func (w *world) run(ms int64) {
	end := w.now + ms
	for {
		at, ok := w.queue.Next()
		if !ok {
			at = 1 << 62
		}
		var who *proc
		for _, p := range w.procs {
			if d := p.r.Deadline(); !d.IsZero() && d.UnixMilli() < at {
				at, who = d.UnixMilli(), p
			}
		}
		if at > end {
			w.now = end
			return
		}
		w.now = max(w.now, at)
		if who != nil {
			who.step(machine.Tick{})
		} else if f, ok := w.queue.Pop(w.now); ok {
			f()
		}
	}
}

// step hands an event to a router and carries out what it asks for.
func (p *proc) step(ev machine.Event) {
	if p.r == nil {
		return
	}
	for _, e := range p.r.Step(time.UnixMilli(p.w.now), ev, nil) {
		if p.w.trace {
			p.w.log = append(p.w.log, e.String())
		}
		p.effect(e)
	}
}

func (p *proc) effect(e machine.Effect) {
	switch e := e.(type) {
	case machine.Send:
		p.send(e.Link, e.Frame)
		p.answer(machine.Drained{Link: e.Link, Class: e.Class, Weight: e.Frame.Weight()})
	case machine.Verify:
		failed := -1
		for i := range e.Claims {
			if !e.Claims[i].Holds() {
				failed = i
				break
			}
		}
		p.answer(machine.Verified{Token: e.Token, Failed: failed})
	case machine.Sign:
		p.answer(machine.Signed{Token: e.Token, Sig: p.key.Sign(e.Label, e.Body)})
	case machine.Store:
		if e.Token != 0 {
			p.answer(machine.Stored{Token: e.Token})
		}
	case machine.Close:
		p.closed[e.Link] = e.Code
		p.w.after(2, func() { p.w.cut(e.Link) })
	case machine.Deliver:
		p.mail = append(p.mail, e.Envelope.ID)
	case machine.Report:
		p.counts[e.Event] += max(1, e.Count)
	}
}

func (p *proc) answer(ev machine.Event) { p.w.after(1, func() { p.step(ev) }) }

// send brings a frame to the other end of a link.
func (p *proc) send(link machine.LinkID, f wire.Frame) {
	l := p.w.links[link]
	if l == nil || !l.up {
		return
	}
	to := l.a
	if to == p {
		to = l.b
	}
	b := f.AppendTo(nil)
	p.w.after(5, func() {
		if !l.up {
			return
		}
		g, err := wire.Decode(b, nil)
		if err != nil {
			p.w.t.Fatalf("%v cannot be read: %v", f, err)
		}
		if to.r == nil {
			to.got = append(to.got, g)
		} else {
			to.step(machine.FrameIn{Link: link, Frame: g, Bytes: len(b)})
		}
	})
}

// attach links a service to its home and attaches it.
func (p *proc) attach(home *proc) machine.LinkID {
	id := p.w.link(p, home)
	h := &wire.Homes{Client: p.key.Address(), Epoch: uint64(p.w.now), Homes: []identity.Address{home.key.Address()}}
	h.Encode()
	h.Signed.Sig = p.key.Sign(identity.LabelHomes, h.Signed.Body)
	p.send(id, &wire.Attach{Homes: h})
	return id
}

// subscribe asks for a group, or with a grant to home for an address of the
// service's own.
func (p *proc) subscribe(link machine.LinkID, t envelope.Target, home *proc) {
	f := &wire.Subscribe{Ref: 1, Target: t}
	if t.Kind == envelope.Address {
		g := &wire.Grant{Address: t.To, Router: home.key.Address(), NotAfter: uint64(p.w.now + 3_600_000)}
		g.Encode()
		g.Signed.Sig = p.key.Sign(identity.LabelGrant, g.Signed.Body)
		f.Grant = g
	}
	p.send(link, f)
}

// publish gives an envelope to the home.
func (p *proc) publish(link machine.LinkID, t envelope.Target, n uint64, key identity.Key) envelope.ID {
	e := letter(p.w.t, p.w.now, t, n, key)
	p.send(link, &wire.Publish{Envelope: e})
	return e.ID
}

func letter(t testing.TB, now int64, to envelope.Target, n uint64, key identity.Key) *envelope.Envelope {
	e, err := envelope.Sign(envelope.Header{Target: to, First: n, Count: 1, Time: uint64(now), TTL: 86400, Flags: envelope.Plain},
		nil, envelope.PlainBody([][]byte{[]byte("hello")}), key)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// codes returns the answers to a service's publishes.
func (p *proc) codes() map[envelope.ID]wire.Code {
	m := make(map[envelope.ID]wire.Code)
	for _, f := range p.got {
		if a, ok := f.(*wire.Published); ok {
			m[a.ID] = a.Code
		}
	}
	return m
}

// delivered counts how often a service was handed an envelope, and acknowledges all.
func (p *proc) delivered(id envelope.ID) (n int) {
	for _, f := range p.got {
		if d, ok := f.(*wire.Deliver); ok && d.Envelope.ID == id {
			n++
		}
	}
	return n
}
