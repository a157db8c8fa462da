package router

import (
	"errors"
	"slices"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

var groupKey = testKey(500)

func group() envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: groupKey.Address()}
}

func addressOf(p *proc) envelope.Target {
	return envelope.Target{Kind: envelope.Address, To: p.key.Address()}
}

// settled is long enough for automatic roots to be chosen and to settle.
const settled = 60_000

func TestNew(t *testing.T) {
	self, other := testKey(1).Address(), testKey(2).Address()
	list := []identity.Address{other}
	for _, c := range []struct {
		caption string
		cfg     Config
		want    error
	}{
		{"a core", Config{Role: wire.Core}, nil},
		{"a core with peers", Config{Role: wire.Core, Peers: list}, nil},
		{"an edge", Config{Role: wire.Edge, Homes: list}, nil},
		{"a service", Config{Role: wire.Service}, ErrRole},
		{"an unknown role", Config{Role: 9}, ErrRole},
		{"an edge without homes", Config{Role: wire.Edge}, ErrHomes},
		{"an edge with peers", Config{Role: wire.Edge, Homes: list, Peers: list}, ErrHomes},
		{"a core with homes", Config{Role: wire.Core, Homes: list}, ErrHomes},
	} {
		r, err := New(c.cfg, self, 1)
		if !errors.Is(err, c.want) || (r == nil) != (err != nil) {
			t.Errorf("%s: %v, want %v", c.caption, err, c.want)
		}
	}
}

// TestBeginning: a router wants a first Step at once; time never goes back.
func TestBeginning(t *testing.T) {
	r, err := New(Config{Role: wire.Core, CanRoot: true}, testKey(1).Address(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if at := r.Deadline(); at.IsZero() || at.After(time.UnixMilli(0)) {
		t.Errorf("the first Tick is wanted at %v", at)
	}
	r.Step(time.UnixMilli(start), machine.Tick{}, nil)
	if at := r.Deadline(); at.IsZero() || !at.After(time.UnixMilli(start)) {
		t.Errorf("the next Tick is wanted at %v", at)
	}
}

type call string

func (c call) String() string { return string(c) }

// TestPanics: only a fault of the process itself makes the machine panic.
func TestPanics(t *testing.T) {
	for _, c := range []struct {
		caption string
		at      int64
		ev      machine.Event
	}{
		{"time goes back", start - 1, machine.Tick{}},
		{"a command that nobody knows", start, machine.Command{Call: call("fly")}},
	} {
		r, err := New(Config{Role: wire.Core}, testKey(1).Address(), 1)
		if err != nil {
			t.Fatal(err)
		}
		r.Step(time.UnixMilli(start), machine.Tick{}, nil)
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", c.caption)
				}
			}()
			r.Step(time.UnixMilli(c.at), c.ev, nil)
		}()
	}
}

// TestStepAppends: effects come behind what the caller had.
func TestStepAppends(t *testing.T) {
	r, err := New(Config{Role: wire.Core}, testKey(1).Address(), 1)
	if err != nil {
		t.Fatal(err)
	}
	first := machine.Report{Event: machine.TableFull}
	out := r.Step(time.UnixMilli(start), machine.LinkUp{Link: 1, Peer: testKey(1).Address(), Role: wire.Core}, []machine.Effect{first})
	if len(out) < 2 || out[0] != machine.Effect(first) {
		t.Errorf("%v", out)
	}
}

// TestRefusedLinks: a link that policy forbids is closed with its code, what still
// comes over it is not read, and its end leaves nothing (spec §3.3, §7).
func TestRefusedLinks(t *testing.T) {
	peer := testKey(2).Address()
	core := Config{Role: wire.Core, Peers: []identity.Address{peer}, Services: gate.Access{Local: true}}
	edge := Config{Role: wire.Edge, Homes: []identity.Address{peer}, Services: gate.Access{Local: true}}
	for _, c := range []struct {
		caption string
		cfg     Config
		up      machine.LinkUp
		allowed bool
	}{
		{"a core's peer", core, machine.LinkUp{Peer: peer, Role: wire.Core}, true},
		{"a core that is no peer", core, machine.LinkUp{Peer: testKey(3).Address(), Role: wire.Core}, false},
		{"a local service", core, machine.LinkUp{Peer: testKey(3).Address(), Role: wire.Service, Local: true}, true},
		{"a service from elsewhere", core, machine.LinkUp{Peer: testKey(3).Address(), Role: wire.Service}, false},
		{"an edge that nobody named", core, machine.LinkUp{Peer: testKey(3).Address(), Role: wire.Edge}, false},
		{"itself", core, machine.LinkUp{Peer: testKey(1).Address(), Role: wire.Core}, false},
		{"an edge's home", edge, machine.LinkUp{Peer: peer, Role: wire.Core}, true},
		{"a core that is no home", edge, machine.LinkUp{Peer: testKey(3).Address(), Role: wire.Core}, false},
		{"an edge of an edge", edge, machine.LinkUp{Peer: peer, Role: wire.Edge}, false},
	} {
		w := newWorld(t)
		p := &proc{w: w, key: testKey(1), closed: make(map[machine.LinkID]wire.Code)}
		r, err := New(c.cfg, p.key.Address(), 1)
		if err != nil {
			t.Fatal(err)
		}
		p.r = r
		c.up.Link = 7
		w.links[7] = &line{}
		p.step(c.up)
		code, closed := p.closed[7]
		if closed == c.allowed || closed && code != wire.NotAllowed || p.counts[machine.LinkRefused] != btoi(closed) {
			t.Errorf("%s: closed %v with %v, %d refusals", c.caption, closed, code, p.counts[machine.LinkRefused])
		}
		p.step(machine.FrameIn{Link: 7, Frame: &wire.Graft{Root: peer}, Bytes: 40})
		if closed && p.counts[machine.FrameIgnored] != 0 {
			t.Errorf("%s: a frame was looked at", c.caption)
		}
		p.step(machine.RTT{Link: 7, Millis: 5})
		p.step(machine.Drained{Link: 7, Class: machine.Bulk, Weight: 9})
		p.step(machine.LinkDown{Link: 7, Peer: c.up.Peer})
		if len(r.links) != 0 {
			t.Errorf("%s: the link is remembered", c.caption)
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestDispatch is the table of frames and links: backbone frames count only
// between two cores, attachment frames only on attachments and the other way
// round; unknown types are skipped and counted (spec §3.2).
func TestDispatch(t *testing.T) {
	key := testKey(9).Address()
	e := letter(t, start, group(), 0, groupKey)
	attachment := []wire.Frame{
		&wire.Unsubscribe{Ref: 1, Target: group()}, &wire.Publish{Envelope: e}, &wire.Delivered{N: 1},
	}
	fromHome := []wire.Frame{
		&wire.Attached{Epoch: 1}, &wire.Subscribed{Ref: 1}, &wire.Published{ID: e.ID}, &wire.Deliver{N: 1, Envelope: e},
	}
	stamp := wire.Stamp{Ingress: key, Time: start}
	backbone := []wire.Frame{
		&wire.Retract{Root: key}, &wire.SeqReq{Root: key, Want: 1, Hops: 2}, &wire.Graft{Root: key}, &wire.Prune{Root: key},
		&wire.Interest{Root: key, Entries: []wire.InterestEntry{{Target: group()}}},
		&wire.Elsewhere{Root: key, Entries: []wire.ElsewhereEntry{{Target: group()}}},
		&wire.Data{Root: key, Stamp: stamp, Envelope: e}, &wire.Offer{Root: key, Target: group(), IDs: []wire.Prefix{{1}}},
		&wire.Pull{IDs: []wire.Prefix{{1}}}, &wire.Pulled{Stamp: stamp, Envelope: e}, &wire.NoHave{IDs: []wire.Prefix{{1}}},
	}
	link := []wire.Frame{&wire.Ping{N: 1}, &wire.Pong{N: 1}, &wire.Hello{}, &wire.Close{}}
	all := slices.Concat(attachment, fromHome, backbone, link)
	for _, c := range []struct {
		caption string
		role    wire.Role // of the router
		peer    wire.Role
		read    []wire.Frame // handed to a room; all others are ignored here
	}{
		{"between cores", wire.Core, wire.Core, backbone},
		{"a service at a core", wire.Core, wire.Service, slices.Concat(attachment, fromHome, link)},
		{"a service at an edge", wire.Edge, wire.Service, slices.Concat(attachment, fromHome, link)},
		{"an edge at its home", wire.Edge, wire.Core, slices.Concat(attachment, fromHome, link)},
	} {
		for _, f := range all {
			cfg := Config{Role: c.role, Services: gate.Access{Any: true}}
			peer := testKey(2).Address()
			if c.role == wire.Edge {
				cfg.Homes = []identity.Address{peer}
			} else {
				cfg.Peers = []identity.Address{peer}
			}
			p := &proc{w: newWorld(t), key: testKey(1), closed: make(map[machine.LinkID]wire.Code)}
			p.r, _ = New(cfg, p.key.Address(), 1)
			p.step(machine.LinkUp{Link: 1, Peer: peer, Role: c.peer, Dialled: true})
			p.step(machine.FrameIn{Link: 1, Frame: f, Bytes: 100})
			if !slices.Contains(c.read, f) && p.counts[machine.FrameIgnored] != 1 {
				t.Errorf("%s: %v was not ignored", c.caption, f)
			}
			if p.counts[machine.FaultCharged] != 0 {
				t.Errorf("%s: %v was charged", c.caption, f)
			}
			p.step(machine.FrameIn{Link: 1, Frame: &wire.Unknown{Number: 99}, Bytes: 100})
			if p.counts[machine.UnknownFrame] != 1 || p.counts[machine.FaultCharged] != 0 {
				t.Errorf("%s: an unknown type is counted %d times", c.caption, p.counts[machine.UnknownFrame])
			}
			p.step(machine.FrameIn{Link: 55, Frame: f, Bytes: 100}) // no link
		}
	}
}

// TestThreeCores: a triangle with a service at each; a group, an address and a
// router's own address are reached across cores, once, and acknowledged.
func TestThreeCores(t *testing.T) {
	w := newWorld(t)
	cores := w.cores(3)
	w.link(cores[0], cores[1])
	w.link(cores[1], cores[2])
	w.link(cores[0], cores[2])
	w.run(settled)
	a, c := w.service(100), w.service(101)
	la, lc := a.attach(cores[0]), c.attach(cores[2])
	w.run(100)
	c.subscribe(lc, group(), cores[2])
	c.subscribe(lc, addressOf(c), cores[2])
	w.run(1_000)
	toGroup := a.publish(la, group(), 1, groupKey)
	toService := a.publish(la, addressOf(c), 2, a.key)
	toRouter := a.publish(la, addressOf(cores[1]), 3, a.key)
	w.run(1_000)
	codes := a.codes()
	for _, id := range []envelope.ID{toGroup, toService, toRouter} {
		if code, answered := codes[id]; !answered || code != wire.OK {
			t.Errorf("published %v: %v, answered %v", id, code, answered)
		}
	}
	if c.delivered(toGroup) != 1 || c.delivered(toService) != 1 {
		t.Errorf("C's service got %d and %d", c.delivered(toGroup), c.delivered(toService))
	}
	if !slices.Equal(cores[1].mail, []envelope.ID{toRouter}) || len(cores[0].mail)+len(cores[2].mail) != 0 {
		t.Errorf("the router's mail: %v", cores[1].mail)
	}
}

// TestForgedStopsAtTheFirst: a forged publish gets its code from the first router
// and crosses no link.
func TestForgedStopsAtTheFirst(t *testing.T) {
	w := newWorld(t)
	cores := w.cores(2)
	w.link(cores[0], cores[1])
	w.run(settled)
	a, b := w.service(100), w.service(101)
	la, lb := a.attach(cores[0]), b.attach(cores[1])
	w.run(100)
	b.subscribe(lb, group(), cores[1])
	w.run(1_000)
	e := letter(t, w.now, group(), 1, groupKey)
	forged, err := envelope.Parse(envelope.Assemble(e.HeaderBytes, identity.Signature{5}, nil, e.Body), nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := cores[0].counts[machine.Forwarded]
	a.send(la, &wire.Publish{Envelope: forged})
	w.run(1_000)
	if code := a.codes()[e.ID]; code != wire.BadSignature || cores[0].counts[machine.Forwarded] != sent {
		t.Errorf("answered %v, forwarded %d", code, cores[0].counts[machine.Forwarded]-sent)
	}
	a.send(la, &wire.Publish{Envelope: e})
	w.run(1_000)
	if code := a.codes()[e.ID]; code != wire.OK || b.delivered(e.ID) != 1 {
		t.Errorf("the real one: %v, delivered %d times", code, b.delivered(e.ID))
	}
}

// TestEdge: services of an edge router reach each other without its home, and
// everybody else with it.
func TestEdge(t *testing.T) {
	w := newWorld(t)
	cores := w.cores(2)
	w.link(cores[0], cores[1])
	edge := w.router(50, Config{Role: wire.Edge, Homes: []identity.Address{cores[0].key.Address()}})
	w.run(settled)
	a, b, far := w.service(100), w.service(101), w.service(102)
	la, lb, lf := a.attach(edge), b.attach(edge), far.attach(cores[1])
	w.run(100)
	b.subscribe(lb, group(), edge)
	far.subscribe(lf, group(), cores[1])
	w.run(1_000)
	first := a.publish(la, group(), 1, groupKey)
	w.run(1_000)
	if code, answered := a.codes()[first]; !answered || code != wire.OK || b.delivered(first) != 1 || far.delivered(first) != 0 {
		t.Errorf("without a home: %v, %d here, %d far away", code, b.delivered(first), far.delivered(first))
	}
	up := w.link(edge, cores[0])
	w.run(2_000)
	second := a.publish(la, group(), 2, groupKey)
	back := far.publish(lf, group(), 3, groupKey) // one writer, so one stream
	w.run(2_000)
	if far.delivered(first) != 1 || far.delivered(second) != 1 || b.delivered(second) != 1 || b.delivered(back) != 1 {
		t.Errorf("with a home: far %d and %d, here %d, back %d", far.delivered(first), far.delivered(second), b.delivered(second), b.delivered(back))
	}
	w.cut(up)
	third := a.publish(la, group(), 4, groupKey)
	w.run(1_000)
	w.link(edge, cores[0])
	w.run(10_000)
	if far.delivered(third) != 1 {
		t.Errorf("after the home came back: %d", far.delivered(third))
	}
}

// TestSnapshot shows what status is made of.
func TestSnapshot(t *testing.T) {
	w := newWorld(t)
	cores := w.cores(2)
	w.link(cores[0], cores[1])
	edge := w.router(50, Config{Role: wire.Edge, Homes: []identity.Address{cores[0].key.Address()}})
	w.link(edge, cores[0])
	w.run(settled)
	a := w.service(100)
	la := a.attach(cores[0])
	w.run(100)
	a.subscribe(la, group(), cores[0])
	a.publish(la, group(), 1, groupKey)
	w.run(1_000)
	s := cores[0].r.Snapshot()
	if s.Self != cores[0].key.Address() || s.Role != wire.Core || len(s.Peers) != 1 || len(s.Roots) != 2 || len(s.Clients) != 2 {
		t.Errorf("%+v", s)
	}
	names := map[string]TableState{}
	for _, table := range s.Tables {
		names[table.Name] = table
		if table.Limit != 0 && table.Used > table.Limit {
			t.Errorf("%s: %d of %d", table.Name, table.Used, table.Limit)
		}
	}
	if names["envelopes in custody"].Used != 1 || names["targets"].Used == 0 {
		t.Errorf("tables: %+v", s.Tables)
	}
	if e := edge.r.Snapshot(); e.Role != wire.Edge || e.Trees != nil || e.Peers != nil {
		t.Errorf("an edge shows a backbone: %+v", e)
	}
}

// TestSameSeedSameEffects: the same events give the same effects (I16).
func TestSameSeedSameEffects(t *testing.T) {
	run := func() []string {
		w := newWorld(t)
		w.trace = true
		cores := w.cores(3)
		w.link(cores[0], cores[1])
		bc := w.link(cores[1], cores[2])
		w.link(cores[0], cores[2])
		w.run(30_000)
		a, c := w.service(100), w.service(101)
		la, lc := a.attach(cores[0]), c.attach(cores[2])
		w.run(100)
		c.subscribe(lc, group(), cores[2])
		for i := range uint64(20) {
			a.publish(la, group(), i, groupKey)
			if i == 7 {
				w.cut(bc)
			}
			w.run(700)
		}
		return w.log
	}
	x, y := run(), run()
	if len(x) < 100 || !slices.Equal(x, y) {
		t.Errorf("%d and %d effects, which differ", len(x), len(y))
	}
}

// TestVerdictAfterTheLink: what was admitted has its right to exist, though the
// link that brought it has ended.
func TestVerdictAfterTheLink(t *testing.T) {
	w := newWorld(t)
	cores := w.cores(2)
	w.link(cores[0], cores[1])
	w.run(settled)
	a, b := w.service(100), w.service(101)
	la, lb := a.attach(cores[0]), b.attach(cores[1])
	w.run(100)
	b.subscribe(lb, group(), cores[1])
	w.run(1_000)
	e := letter(t, w.now, group(), 1, groupKey)
	cores[0].step(machine.FrameIn{Link: la, Frame: &wire.Publish{Envelope: e}, Bytes: len(e.Raw)})
	w.cut(la)
	w.run(1_000)
	if b.delivered(e.ID) != 1 {
		t.Errorf("delivered %d times", b.delivered(e.ID))
	}
}
