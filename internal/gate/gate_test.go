package gate

import (
	"testing"

	"pgregory.net/rapid"
	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// spec §3.3: who may link with whom.
func TestPolicy(t *testing.T) {
	me, key, other := testKey(t, 99).Address(), testKey(t, 1).Address(), testKey(t, 2).Address()
	keys := []identity.Address{key}
	for _, x := range []struct {
		caption string
		cfg     Config
		up      machine.LinkUp
		ok      bool
		trusted bool
	}{
		{"core, peer listed", Config{Role: wire.Core, Peers: keys}, machine.LinkUp{Peer: key, Role: wire.Core}, true, true},
		{"core, peer unknown", Config{Role: wire.Core, Peers: keys}, machine.LinkUp{Peer: other, Role: wire.Core}, false, false},
		{"core, peer unknown but dialled", Config{Role: wire.Core}, machine.LinkUp{Peer: other, Role: wire.Core, Dialled: true}, false, false},
		{"core, itself", Config{Role: wire.Core, Peers: []identity.Address{me}}, machine.LinkUp{Peer: me, Role: wire.Core}, false, false},
		{"core, edge listed", Config{Role: wire.Core, Edges: Access{Keys: keys}}, machine.LinkUp{Peer: key, Role: wire.Edge}, true, true},
		{"core, edge listed as service only", Config{Role: wire.Core, Services: Access{Keys: keys}}, machine.LinkUp{Peer: key, Role: wire.Edge}, false, false},
		{"core, any edge", Config{Role: wire.Core, Edges: Access{Any: true}}, machine.LinkUp{Peer: other, Role: wire.Edge}, true, false},
		{"core, service, nothing configured", Config{Role: wire.Core}, machine.LinkUp{Peer: other, Local: true}, false, false},
		{"core, local service", Config{Role: wire.Core, Services: Access{Local: true}}, machine.LinkUp{Peer: other, Local: true}, true, false},
		{"core, local only, over TCP", Config{Role: wire.Core, Services: Access{Local: true}}, machine.LinkUp{Peer: other}, false, false},
		{"edge, service", Config{Role: wire.Edge, Services: Access{Any: true}}, machine.LinkUp{Peer: other}, true, false},
		{"edge, home", Config{Role: wire.Edge, Homes: keys}, machine.LinkUp{Peer: key, Role: wire.Core, Dialled: true}, true, true},
		{"edge, unknown core", Config{Role: wire.Edge, Homes: keys}, machine.LinkUp{Peer: other, Role: wire.Core, Dialled: true}, false, false},
		{"edge, another edge", Config{Role: wire.Edge, Edges: Access{Any: true}, Homes: keys}, machine.LinkUp{Peer: key, Role: wire.Edge}, false, false},
		{"service, whoever it dialled", Config{Role: wire.Service}, machine.LinkUp{Peer: other, Role: wire.Edge, Dialled: true}, true, true},
		{"service, a home of its list", Config{Role: wire.Service, Homes: keys}, machine.LinkUp{Peer: key, Role: wire.Core, Dialled: true}, true, true},
		{"service, not of its list", Config{Role: wire.Service, Homes: keys}, machine.LinkUp{Peer: other, Role: wire.Core, Dialled: true}, false, false},
		{"service, another service", Config{Role: wire.Service}, machine.LinkUp{Peer: other, Dialled: true}, false, false},
		{"service, not dialled", Config{Role: wire.Service}, machine.LinkUp{Peer: other, Role: wire.Core}, false, false},
	} {
		x.cfg.Self, x.up.Link = me, 1
		g := New(x.cfg, &machine.Desk{})
		code := g.LinkUp(start, x.up)
		if (code == wire.OK) != x.ok || code != wire.OK && code != wire.NotAllowed {
			t.Errorf("%s: %v", x.caption, code)
		}
		if l := g.links[1]; x.ok && l.trusted != x.trusted {
			t.Errorf("%s: trusted %v", x.caption, l.trusted)
		}
	}
}

// spec §12: a rate is enforced by reading the link more slowly.
func TestMemberAboveItsRateIsPaused(t *testing.T) {
	b := newBench(t, Limits{MemberFrames: 100, MemberBytes: 1 << 20})
	link := b.link(7)
	for _, x := range []struct {
		caption       string
		frames, bytes int
		wait          int64 // milliseconds until the Pause ends; 0: none
	}{
		{"within the burst", burst * 100, 1, 0},
		{"ten frames above", 10, 1, 100},
		{"more while it is paused", 10, 1, 0},
	} {
		var pauses []machine.Pause
		for range x.frames {
			pauses = append(pauses, find[machine.Pause](b.step(func() { b.gate.Arrived(b.now, link, x.bytes) }))...)
		}
		switch {
		case x.wait == 0 && len(pauses) > 0, x.wait > 0 && len(pauses) != 1:
			t.Errorf("%s: %d pauses", x.caption, len(pauses))
		case x.wait > 0 && milli(pauses[0].Until) != b.now+10: // the first frame above
			t.Errorf("%s: paused for %d ms", x.caption, milli(pauses[0].Until)-b.now)
		}
	}
	b.now += 10_000
	if p := find[machine.Pause](b.step(func() { b.gate.Arrived(b.now, link, 6<<20) })); len(p) != 1 || milli(p[0].Until)-b.now != 2000 {
		t.Errorf("2 MiB above the burst: %v", p)
	}
}

func TestPeerIsNotPaused(t *testing.T) {
	b := newBench(t, Limits{MemberFrames: 1})
	link := b.link(50)
	for range 1000 {
		if len(b.step(func() { b.gate.Arrived(b.now, link, 1<<20) })) > 0 {
			t.Fatal("a configured peer was paused")
		}
	}
}

// spec §12.1: twenty faults in a minute.
func TestFaultsCloseTheLink(t *testing.T) {
	for _, x := range []struct {
		caption string
		every   int64 // milliseconds between faults
		closes  int   // after how many; 0: never
	}{
		{"all at once", 0, 20},
		{"one every three seconds", 3000, 20},
		{"slower than twenty a minute", 3200, 0},
	} {
		b := newBench(t, Limits{})
		link := b.link(7)
		closed := 0
		for n := 1; n <= 40; n++ {
			effects := b.step(func() { b.gate.Charge(b.now, link, wire.BadSignature, "it does not hold") })
			if c := find[machine.Close](effects); len(c) > 0 {
				if closed != 0 || c[0].Code != wire.BadSignature {
					t.Errorf("%s: closed again, or with %v", x.caption, c[0].Code)
				}
				closed = n
			}
			if len(find[machine.Report](effects)) != 1 {
				t.Errorf("%s: fault %d was not reported once", x.caption, n)
			}
			b.now += x.every
		}
		if closed != x.closes {
			t.Errorf("%s: closed after %d faults, want %d", x.caption, closed, x.closes)
		}
	}
}

func TestBanDoublesAndEnds(t *testing.T) {
	b := newBench(t, Limits{})
	peer := testKey(t, 7).Address()
	up := machine.LinkUp{Link: 7, Peer: peer}
	for _, length := range []int64{banFirst, 2 * banFirst, 4 * banFirst} {
		link := b.link(7)
		for range FaultsMax {
			b.step(func() { b.gate.Charge(b.now, link, wire.BadSignature, "it does not hold") })
		}
		b.gate.LinkDown(link)
		b.now += length - 1
		if code := b.gate.LinkUp(b.now, up); code != wire.BadSignature {
			t.Errorf("a millisecond before the end of %d ms: %v", length, code)
		}
		b.now++
	}
	b.link(7)
}

func TestBansAreBounded(t *testing.T) {
	l := newBans()
	for i := range 40 {
		l.add(start, testKey(t, byte(i+1)).Address())
		l.add(start, testKey(t, byte(i+1)).Address())
	}
	if len(l.order) != 40 || len(l.at) != 40 {
		t.Errorf("%d and %d rows for 40 peers", len(l.order), len(l.at))
	}
}

// A fault of a link that is gone is still told.
func TestChargeWithoutALink(t *testing.T) {
	b := newBench(t, Limits{})
	if r := find[machine.Report](b.step(func() { b.gate.Charge(b.now, 3, wire.BadSignature, "late") })); len(r) != 1 {
		t.Errorf("%d reports", len(r))
	}
}

// A bucket never lets through more than its burst and its rate together, and is
// never overdrawn after the wait that it names.
func TestBucketProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Int64Range(1, 1<<27).Draw(t, "rate")
		var b bucket
		now, passed := int64(start), int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now += rapid.Int64Range(0, 5000).Draw(t, "pause")
			if wait := b.look(now, rate); wait > 0 {
				now += wait
				if b.look(now, rate) != 0 {
					t.Fatal("overdrawn after the wait it named")
				}
			}
			units := rapid.Int64Range(0, rate).Draw(t, "units")
			b.debit(now, rate, units)
			passed += units
		}
		if most := burst*rate + (now-start)*rate/1000 + 2*rate; passed > most {
			t.Fatalf("%d units passed, at most %d", passed, most)
		}
	})
}

// A queue gives back what was put in, in order, whatever is mixed.
func TestQueueProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue[int]
		in, out := 0, 0
		for range rapid.IntRange(0, 1000).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "push") {
				q.push(in)
				in++
			} else if x, ok := q.pop(); ok {
				if x != out {
					t.Fatalf("got %d, want %d", x, out)
				}
				out++
			} else if in != out {
				t.Fatal("the queue lost something")
			}
		}
	})
}
