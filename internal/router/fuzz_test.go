package router

import (
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A player lets a router meet whatever the fuzzer's bytes say: links of all roles
// come and go, frames of all types come over them, answers come late, wrong or
// never, and time passes. It keeps the contract of the shell and no other.
type player struct {
	t     testing.TB
	r     *Router
	role  wire.Role
	key   identity.Key
	now   int64
	input []byte

	last   machine.LinkID
	links  []playedLink
	asked  []machine.Event // answers to come, in order
	frames []wire.Frame    // what may be sent
}

type playedLink struct {
	id   machine.LinkID
	peer int
}

// peersOf are who may link, by number: cores, an edge, services, a stranger.
var peerRoles = [...]wire.Role{wire.Core, wire.Core, wire.Edge, wire.Service, wire.Service, wire.Core}

const strangerPeer = 5

func newPlayer(t testing.TB, input []byte) *player {
	x := &player{t: t, key: testKey(1), now: start, input: input, role: wire.Core}
	cfg := Config{Role: wire.Core, Services: gate.Access{Any: true}, Edges: gate.Access{Any: true}, CanRoot: true}
	known := []identity.Address{peerKey(0).Address(), peerKey(1).Address()}
	if x.next()%3 == 0 {
		x.role, cfg.Role, cfg.CanRoot, cfg.Homes = wire.Edge, wire.Edge, false, known
	} else {
		cfg.Peers = known
	}
	r, err := New(cfg, x.key.Address(), 5)
	if err != nil {
		t.Fatal(err)
	}
	x.r = r
	x.frames = catalogue(t)
	x.step(machine.Tick{})
	return x
}

func peerKey(i int) identity.Key { return testKey(10 + i) }

func (x *player) next() int {
	if len(x.input) == 0 {
		return 0
	}
	b := x.input[0]
	x.input = x.input[1:]
	return int(b)
}

// catalogue is a frame or more of each type, true ones and false ones.
func catalogue(t testing.TB) []wire.Frame {
	var list []wire.Frame
	signed := func(k identity.Key, label identity.Label, s *envelope.Signed, good bool) {
		if s.Sig = k.Sign(label, s.Body); !good {
			s.Sig[0] ^= 1
		}
	}
	grant := func(k identity.Key, good bool) *wire.Grant {
		g := &wire.Grant{Address: k.Address(), Router: testKey(1).Address(), NotAfter: start + 100_000}
		g.Encode()
		signed(k, identity.LabelGrant, &g.Signed, good)
		return g
	}
	for i := range 5 {
		k := peerKey(i)
		own := envelope.Target{Kind: envelope.Address, To: k.Address()}
		for _, good := range []bool{true, false} {
			h := &wire.Homes{Client: k.Address(), Epoch: start + uint64(btoi(good)), Homes: []identity.Address{testKey(1).Address()}}
			h.Encode()
			signed(k, identity.LabelHomes, &h.Signed, good)
			e := letter(t, start, group(), uint64(i), groupKey)
			if !good {
				e, _ = envelope.Parse(envelope.Assemble(e.HeaderBytes, identity.Signature{1}, nil, e.Body), nil)
			}
			stamp := wire.Stamp{Ingress: k.Address(), Time: start}
			list = append(list,
				&wire.Attach{Homes: h}, &wire.Attach{Homes: h, Resume: &wire.Resume{N: uint64(i)}},
				&wire.Subscribe{Ref: uint64(i), Target: own, Grant: grant(k, good)}, &wire.Subscribe{Ref: 1, Target: group()},
				&wire.Publish{Envelope: e}, &wire.Deliver{N: uint64(i), Envelope: e},
				&wire.Data{Root: k.Address(), Stamp: stamp, Envelope: e}, &wire.Data{Root: testKey(1).Address(), Hops: 47, Stamp: stamp, Envelope: e},
				&wire.Pulled{Stamp: stamp, Envelope: e}, &wire.Published{ID: e.ID, Code: wire.Code(i)},
				&wire.Offer{Root: testKey(1).Address(), Target: group(), OID: [8]byte{byte(i)}, Deep: good, IDs: []wire.Prefix{wire.PrefixOf(e.ID), {byte(i)}}},
				&wire.Pull{Hops: uint64(i), IDs: []wire.Prefix{wire.PrefixOf(e.ID), {byte(i)}}}, &wire.NoHave{IDs: []wire.Prefix{wire.PrefixOf(e.ID)}},
				&wire.Interest{Root: testKey(1).Address(), Entries: []wire.InterestEntry{
					{Target: own, Flags: wire.InterestFlags(i), Grant: grant(k, good)}, {Target: group(), Flags: 7}}},
				&wire.Announce{Root: k.Address(), Seq: start / 1000, Issued: start, Class: wire.Automatic, Hops: []wire.Hop{{Key: k.Address()}}},
			)
		}
		list = append(list, &wire.Graft{Root: k.Address()}, &wire.Prune{Root: k.Address()}, &wire.Retract{Root: k.Address()},
			&wire.SeqReq{Root: testKey(1).Address(), Want: start/1000 + uint64(i), Hops: 3},
			&wire.Elsewhere{Root: k.Address(), Entries: []wire.ElsewhereEntry{{Target: group()}, {Target: own, Yes: true}}},
			&wire.Delivered{N: uint64(i)}, &wire.Delivered{N: 1 << 62, Also: []wire.Range{{First: 3, Last: 5}}}, &wire.Gap{N: uint64(i), Target: group(), Count: 1})
	}
	return append(list, &wire.Graft{Root: testKey(1).Address()}, &wire.Prune{Root: testKey(1).Address()},
		&wire.Unsubscribe{Ref: 1, Target: group()}, &wire.Attached{Epoch: 1}, &wire.Attached{Code: wire.NotAllowed},
		&wire.Subscribed{Ref: 1}, &wire.Unknown{Number: 30}, &wire.Unknown{Number: 60}, &wire.Ping{N: 1}, &wire.Close{})
}

// play does what the input says until it ends.
func (x *player) play() {
	for len(x.input) > 0 {
		switch x.next() % 8 {
		case 0:
			x.linkUp(x.next() % len(peerRoles))
		case 1:
			if len(x.links) > 0 {
				x.linkDown(x.next() % len(x.links))
			}
		case 2:
			x.pass(int64(x.next()) * int64(x.next()) / 4)
		case 3:
			for range 1 + x.next()%4 {
				x.answer(x.next()%8 > 0)
			}
		case 4:
			if len(x.links) > 0 {
				x.step(machine.RTT{Link: x.links[x.next()%len(x.links)].id, Millis: 4 * x.next()})
			}
		case 5:
			x.raw(x.next())
		default:
			if len(x.links) > 0 {
				x.frame(x.links[x.next()%len(x.links)].id, x.frames[(x.next()<<8|x.next())%len(x.frames)])
			}
		}
	}
}

func (x *player) linkUp(peer int) {
	for i := range x.links { // one link per key: the older one ends first
		if x.links[i].peer == peer {
			x.linkDown(i)
			break
		}
	}
	x.last++
	x.links = append(x.links, playedLink{x.last, peer})
	x.step(machine.LinkUp{Link: x.last, Peer: peerKey(peer).Address(), Role: peerRoles[peer], MaxFrame: wire.FrameMaxService, Dialled: true})
}

func (x *player) linkDown(i int) {
	l := x.links[i]
	x.links = append(x.links[:i], x.links[i+1:]...)
	x.step(machine.LinkDown{Link: l.id, Peer: peerKey(l.peer).Address()})
}

func (x *player) frame(link machine.LinkID, f wire.Frame) {
	x.step(machine.FrameIn{Link: link, Frame: f, Bytes: f.Weight()})
}

// raw hands over bytes as a link's reader would: only what can be read.
func (x *player) raw(n int) {
	n = min(n, len(x.input))
	f, err := wire.Decode(x.input[:n], nil)
	x.input = x.input[n:]
	if err == nil && len(x.links) > 0 {
		x.frame(x.links[0].id, f)
	}
}

// pass lets time pass, with a Tick where one is wanted.
func (x *player) pass(ms int64) {
	end, ticks := x.now+ms, 0
	for {
		at := x.r.Deadline()
		if at.IsZero() || at.UnixMilli() > end {
			break
		}
		if ticks++; ticks > 100_000 {
			x.t.Fatalf("a Tick at %d does not move the deadline on", x.now)
		}
		x.now = max(x.now, at.UnixMilli())
		x.step(machine.Tick{})
	}
	x.now = end
}

// answer gives the oldest answer that is due, the good one or the other.
func (x *player) answer(good bool) {
	if len(x.asked) == 0 {
		return
	}
	ev := x.asked[0]
	x.asked = x.asked[1:]
	switch a := ev.(type) {
	case machine.Verified:
		if !good {
			a.Failed = 0
		}
		ev = a
	case machine.Stored:
		if !good {
			a.Err = errDisk
		}
		ev = a
	}
	x.step(ev)
}

type diskError struct{}

func (diskError) Error() string { return "the disk is gone" }

var errDisk error = diskError{}

// step hands over an event and holds what comes back against what a shell may
// expect of it.
func (x *player) step(ev machine.Event) {
	for _, e := range x.r.Step(time.UnixMilli(x.now), ev, nil) {
		switch e := e.(type) {
		case machine.Send:
			b := e.Frame.AppendTo(nil)
			if len(b) > e.Frame.Weight() {
				x.t.Errorf("%v weighs %d and has %d bytes", e.Frame, e.Frame.Weight(), len(b))
			}
			if _, err := wire.Decode(b, nil); err != nil {
				x.t.Errorf("%v cannot be read: %v", e.Frame, err)
			}
			if e.Link == 0 || e.Link > x.last {
				x.t.Errorf("%v over a link that never was", e)
			}
			x.asked = append(x.asked, machine.Drained{Link: e.Link, Class: e.Class, Weight: e.Frame.Weight()})
		case machine.Verify:
			if len(e.Claims) == 0 || e.Token == 0 {
				x.t.Errorf("%v asks nothing", e)
			}
			failed := -1
			for i := range e.Claims {
				if !e.Claims[i].Holds() {
					failed = i
					break
				}
			}
			x.asked = append(x.asked, machine.Verified{Token: e.Token, Failed: failed})
		case machine.Sign:
			x.asked = append(x.asked, machine.Signed{Token: e.Token, Sig: x.key.Sign(e.Label, e.Body)})
		case machine.Store:
			if e.Token != 0 {
				x.asked = append(x.asked, machine.Stored{Token: e.Token})
			}
		case machine.Pause:
			if e.Until.UnixMilli() < x.now {
				x.t.Errorf("%v is over already", e)
			}
		}
		if e.String() == "" {
			x.t.Errorf("%T has no words", e)
		}
	}
}

// check: every table is within its bound, and the router still works for an honest
// service that attaches now.
func (x *player) check() {
	x.settle()
	for _, table := range x.r.Snapshot().Tables {
		if table.Used < 0 || table.Limit > 0 && table.Used > table.Limit {
			x.t.Errorf("%s: %d of %d", table.Name, table.Used, table.Limit)
		}
	}
	const honest = strangerPeer + 1
	x.last++
	link, key := x.last, peerKey(honest)
	x.step(machine.LinkUp{Link: link, Peer: key.Address(), Role: wire.Service, MaxFrame: wire.FrameMax, Dialled: true})
	h := &wire.Homes{Client: key.Address(), Epoch: uint64(x.now), Homes: []identity.Address{x.key.Address()}}
	h.Encode()
	h.Signed.Sig = key.Sign(identity.LabelHomes, h.Signed.Body)
	e := letter(x.t, x.now, envelope.Target{Kind: envelope.Group, To: key.Address()}, 0, key)
	for _, f := range []wire.Frame{&wire.Attach{Homes: h}, &wire.Subscribe{Ref: 9, Target: e.Target}, &wire.Publish{Envelope: e}} {
		x.frame(link, f)
		x.settle()
	}
	if c := x.r.home.Clients(); !hasClient(c, key.Address()) {
		x.t.Error("an honest service is not attached")
	}
	if !x.r.gate.Seen(e.ID) {
		x.t.Error("an honest message was not admitted")
	}
}

// settle gives all answers that are due, the good ones.
func (x *player) settle() {
	for len(x.asked) > 0 {
		x.answer(true)
	}
}

// FuzzRouter feeds a router arbitrary sequences of events and frames: no panic, no
// effect that a shell could not carry out, tables within bounds, and an honest
// service is served afterwards.
func FuzzRouter(f *testing.F) {
	for seed := range 12 {
		f.Add(noise(seed, 400))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		x := newPlayer(t, input[:min(len(input), 2_000)])
		x.play()
		x.check()
	})
}

func noise(seed, n int) []byte {
	b := make([]byte, n)
	v := uint32(seed)
	for i := range b {
		v = v*1664525 + 1013904223
		b[i] = byte(v >> 24)
	}
	return b
}

// TestAnything is FuzzRouter with bytes of a generator.
func TestAnything(t *testing.T) {
	for seed := range 150 {
		x := newPlayer(t, noise(1_000+seed, 1_000))
		x.play()
		x.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func hasClient(list []attach.ClientState, who identity.Address) bool {
	for _, c := range list {
		if c.Client == who {
			return true
		}
	}
	return false
}
