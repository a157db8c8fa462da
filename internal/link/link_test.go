package link

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/internal/cbor"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// What a linked peer may do wrong, each with its code; another link does not
// notice.
func TestFaultsOfALinkedPeer(t *testing.T) {
	raw := func(b ...byte) []byte { return cbor.AppendBytes(nil, b) }
	for _, c := range []struct {
		caption string
		bytes   []byte
		code    wire.Code
	}{
		{"a second hello", appendFrame(nil, goodHello(wire.Core)), wire.Malformed},
		{"not a byte string", []byte{0x81, 1}, wire.Malformed},
		{"an indefinite byte string", []byte{0x5f}, wire.Malformed},
		{"a length not in its shortest form", []byte{0x58, 1, 0}, wire.Malformed},
		{"a frame that promises 4 GiB", []byte{0x5a, 0xff, 0xff, 0xff, 0xff}, wire.TooLarge},
		{"one byte above max-frame", cbor.AppendBytesHead(nil, wire.FrameMax+1), wire.TooLarge},
		{"an empty array", raw(0x80), wire.Malformed},
		{"a map", raw(0xa0), wire.Malformed},
		{"a number that is not in its shortest form", raw(0x82, 1, 0x18, 3), wire.Malformed},
		{"something after the frame", raw(0x82, 1, 3, 0), wire.Malformed},
		{"a field too many", raw(0x83, 1, 3, 0), wire.Malformed},
		{"a small-order key", appendFrame(nil, liarGraft{}), wire.Malformed},
		{"a flipped bit in an envelope's form", flipped(t), wire.Malformed},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemory()
			home := newNode(t, keyOf(1), wire.Core, network)
			at := home.listen(t, mem("home"))
			bystander := newNode(t, keyOf(3), wire.Core, network)
			bystander.dial(t, at)
			up := home.rec.awaitUp(t, 1)
			p := rawLink(t, network, at, keyOf(2), wire.Core)
			bad := home.rec.awaitUp(t, 2)
			p.send(t, graft(5))
			p.Write(c.bytes)
			if f := p.awaitClose(t, c.code); f.Text == "" {
				t.Errorf("%s: closed without a word", c.caption)
			}
			p.Close()
			home.rec.awaitDown(t, 1)
			events, _ := home.rec.snapshot()
			if last := events[len(events)-1]; last != (machine.LinkDown{Link: bad.Link, Peer: keyOf(2).Address()}) {
				t.Errorf("%s: the last event is %v", c.caption, last)
			}
			if len(home.rec.frames()) != 1 {
				t.Errorf("%s: frames %v, want the good one", c.caption, home.rec.frames())
			}
			checkAlive(t, home, up.Link, bystander, 1)
		})
	}
}

// liarGraft is a graft whose root is the neutral element.
type liarGraft struct{ wire.Frame }

func (liarGraft) Weight() int { return 40 }
func (liarGraft) AppendTo(b []byte) []byte {
	return append(append(b, 0x82, 0x18, 35, 0x58, 32, 1), make([]byte, 31)...)
}

// flipped is a publish whose envelope has another version of CBOR in it.
func flipped(t *testing.T) []byte {
	b := appendFrame(nil, publish(t, 100))
	i := bytes.Index(b, []byte{0x58, 0x40}) // the head of the signature
	b[i] ^= 0x20                            // a text string now
	return b
}

// spec §3.2: unknown frame types are handed on, for the gate to count.
func TestUnknownFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		p := rawLink(t, network, at, keyOf(2), wire.Core)
		p.Write(cbor.AppendBytes(nil, []byte{0x82, 0x18, 99, 0}))
		p.Write(cbor.AppendBytes(nil, []byte{0x81, 5}))
		home.rec.await(t, "both frames", func() bool { return len(home.rec.frames()) == 2 })
		for i, number := range []wire.Type{99, 5} {
			if f, ok := home.rec.frames()[i].(*wire.Unknown); !ok || f.Number != number {
				t.Errorf("frame %d is %v", i, home.rec.frames()[i])
			}
		}
		if in := home.rec.events[1].(machine.FrameIn); in.Bytes != 5 {
			t.Errorf("%d bytes on the wire, want 5", in.Bytes)
		}
	})
}

// spec §3.4: a peer that is silent is down after 15 s between cores, 90 s on
// attachments, and its end is told with a reason.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		roles    [2]wire.Role
		patience time.Duration
	}{{[2]wire.Role{wire.Core, wire.Core}, 15 * time.Second}, {[2]wire.Role{wire.Core, wire.Edge}, 90 * time.Second}, {[2]wire.Role{wire.Edge, wire.Service}, 90 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemory()
			home := newNode(t, keyOf(1), c.roles[0], network.Node("home"))
			client := newNode(t, keyOf(2), c.roles[1], network.Node("client"))
			client.dial(t, home.listen(t, mem("x")))
			home.rec.awaitUp(t, 1)
			client.rec.awaitUp(t, 1)
			time.Sleep(10 * time.Minute)
			if home.rec.downs() > 0 {
				t.Fatalf("%v: an idle link went down: %v", c.roles, home.rec.notices)
			}
			network.Freeze("home", "client")
			began := time.Now()
			n := home.rec.awaitNotice(t, LinkEnded, 1)
			took := time.Since(began)
			if took > c.patience || took < c.patience-c.patience/3-time.Second {
				t.Errorf("%v: down after %v, want at most %v", c.roles, took, c.patience)
			}
			if !strings.Contains(n.Text, "pong") || n.Hint == "" {
				t.Errorf("%v: told %+v", c.roles, n)
			}
			network.Heal("home", "client")
			home.rec.awaitUp(t, 2)
		})
	}
}

// A link whose connection breaks is down at once.
func TestBrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network.Node("home"))
		client := newNode(t, keyOf(2), wire.Core, network.Node("client"))
		client.dial(t, home.listen(t, mem("x")))
		home.rec.awaitUp(t, 1)
		client.rec.awaitUp(t, 1)
		began := time.Now()
		network.Cut("client", "home")
		home.rec.awaitDown(t, 1)
		client.rec.awaitDown(t, 1)
		if time.Since(began) != 0 {
			t.Errorf("down after %v", time.Since(began))
		}
		time.Sleep(time.Minute)
		network.Heal("client", "home")
		home.rec.awaitUp(t, 2)
		if time.Since(began) > time.Minute+backoffMax {
			t.Errorf("linked again after %v", time.Since(began))
		}
	})
}

// L8: a peer that closes one direction has ended the link.
func TestHalfClose(t *testing.T) {
	for name, network := range networks(t) {
		t.Run(name, func(t *testing.T) {
			home := newNode(t, keyOf(1), wire.Core, network)
			at := home.listen(t, network.at)
			p := rawLink(t, network, at, keyOf(2), wire.Core)
			home.rec.awaitUp(t, 1)
			p.CloseWrite()
			home.rec.awaitDown(t, 1)
			q := rawLink(t, network, at, keyOf(2), wire.Core)
			home.rec.awaitUp(t, 2)
			q.raw.(interface{ CloseWrite() error }).CloseWrite() // without a word of TLS
			home.rec.awaitDown(t, 2)
		})
	}
}

// A round-trip time is told when it is known and when it has changed enough.
func TestRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		p := rawLink(t, network, at, keyOf(2), wire.Core)
		var delay atomic.Int64 // nanoseconds
		go func() {
			for {
				b, _, err := p.in.next()
				if err != nil {
					return
				}
				if f, err := wire.Decode(b, nil); err == nil && f.Type() == wire.TypePing {
					time.Sleep(time.Duration(delay.Load()))
					p.Write(appendFrame(nil, &wire.Pong{N: f.(*wire.Ping).N}))
				}
			}
		}()
		rtts := func() (list []int) {
			events, _ := home.rec.snapshot()
			for _, ev := range events {
				if rtt, ok := ev.(machine.RTT); ok {
					list = append(list, rtt.Millis)
				}
			}
			return list
		}
		home.rec.awaitUp(t, 1)
		time.Sleep(time.Minute)
		if got := rtts(); len(got) != 0 {
			t.Errorf("told %v of a link without delay", got)
		}
		delay.Store(int64(200 * time.Millisecond))
		time.Sleep(10 * time.Minute)
		got := rtts()
		if len(got) < 2 || len(got) > 12 || got[len(got)-1] < 150 || got[len(got)-1] > 201 {
			t.Errorf("told %v, want a few steps up to 200", got)
		}
		if rtt := home.Links()[0].RTT; rtt < 195*time.Millisecond || rtt > 201*time.Millisecond {
			t.Errorf("status shows %v", rtt)
		}
		p.Close()
		time.Sleep(time.Second)
	})
}

// A core that takes no events, or pauses a link, must not take its own silence
// for the peer's.
func TestHeldUpReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		p := rawLink(t, network, at, keyOf(2), wire.Core)
		up := home.rec.awaitUp(t, 1)
		block := make(chan struct{})
		home.rec.mu.Lock()
		home.rec.block = block
		home.rec.mu.Unlock()
		p.send(t, graft(1), &wire.Pong{N: 1})
		time.Sleep(time.Minute)
		home.rec.mu.Lock()
		home.rec.block = nil
		home.rec.mu.Unlock()
		close(block)
		p.send(t, graft(2))
		home.rec.await(t, "the second frame", func() bool { return len(home.rec.frames()) == 2 })

		home.Pause(up.Link, time.Now().Add(3*time.Second))
		began := time.Now()
		p.send(t, graft(3))
		home.rec.await(t, "the third frame", func() bool { return len(home.rec.frames()) == 3 })
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("the pause took %v", took)
		}
		home.Pause(up.Link, time.Now().Add(time.Hour))
		p.send(t, graft(4))
		home.rec.await(t, "the fourth frame", func() bool { return len(home.rec.frames()) == 4 })
		if took := time.Since(began); took != 8*time.Second {
			t.Errorf("a pause of an hour was cut to %v", took-3*time.Second)
		}
		home.Pause(up.Link, time.Now().Add(time.Hour))
		p.send(t, graft(5))
		synctest.Wait()
		home.CloseLink(up.Link, wire.Quota, "enough")
		synctest.Wait()
		if home.rec.downs() != 1 || len(home.rec.frames()) != 4 {
			t.Error("a paused link did not end at once")
		}
		p.awaitClose(t, wire.Quota)
	})
}

// A peer that does not read: 16 MiB of control frames, or 30 s without progress,
// end the link, and only this one.
func TestPeerThatDoesNotRead(t *testing.T) {
	for _, c := range []struct {
		caption string
		load    func(*node, machine.LinkID)
		after   time.Duration
	}{
		{"too many control frames", func(n *node, id machine.LinkID) {
			f := graft(1)
			for range 16<<20/40 + pipeBuffer/40 + 10_000 {
				n.Send(id, machine.Control, f)
			}
		}, 0},
		{"no progress", func(n *node, id machine.LinkID) { n.Send(id, machine.Bulk, publish(t, 1<<20-200)) }, stallTime},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemory()
			home := newNode(t, keyOf(1), wire.Core, network)
			at := home.listen(t, mem("home"))
			p := rawLink(t, network, at, keyOf(2), wire.Service)
			up := home.rec.awaitUp(t, 1)
			began := time.Now()
			c.load(home, up.Link)
			n := home.rec.awaitNotice(t, LinkEnded, 1)
			if took := time.Since(began) - c.after; took < 0 || took > flushTime+lingerTime || n.Code != wire.Rate {
				t.Errorf("%s: after %v: %+v", c.caption, time.Since(began), n)
			}
			p.Close()
		})
	}
}

// A peer that pings without reading the pongs is stopped.
func TestPingFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		p := rawLink(t, network, at, keyOf(2), wire.Service)
		home.rec.awaitUp(t, 1)
		var flood []byte
		for n := range 100_000 {
			flood = appendFrame(flood, &wire.Ping{N: uint64(n)})
		}
		p.Write(flood)
		if n := home.rec.awaitNotice(t, LinkEnded, 1); n.Code != wire.Rate {
			t.Errorf("told %+v", n)
		}
	})
}

// A large frame that drips in holds its share of memory for 30 s at most.
func TestSlowFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		p := rawLink(t, network, at, keyOf(2), wire.Service)
		home.rec.awaitUp(t, 1)
		began := time.Now()
		p.Write(cbor.AppendBytesHead(nil, 1<<20))
		go func() {
			for range 100 {
				p.Write(make([]byte, 10))
				time.Sleep(time.Second)
			}
		}()
		p.awaitClose(t, wire.Rate)
		if took := time.Since(began); took != assemblyTime {
			t.Errorf("closed after %v", took)
		}
		p.Close()
		home.rec.awaitDown(t, 1)
		if home.shares.free != 64<<20 {
			t.Error("the share was not given back")
		}
		time.Sleep(2 * time.Minute)
	})
}

// Memory stays bounded whatever a hundred linked peers promise.
func TestPromisesCostNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network, func(c *Config) {
			c.Limits.AcceptsPerSecond, c.Limits.HandshakesPerSource = 1000, 1000
		})
		at := home.listen(t, mem("home"))
		var peers []*rawPeer
		for n := range 100 {
			peers = append(peers, rawLink(t, network, at, keyOf(byte(100+n)), wire.Service))
		}
		home.rec.awaitUp(t, 100)
		grown := bytesAllocated(func() {
			for _, p := range peers {
				p.Write(append(cbor.AppendBytesHead(nil, wire.FrameMax), make([]byte, 1000)...))
			}
			synctest.Wait()
		})
		if grown > 100*100<<10 {
			t.Errorf("%d bytes allocated for promises of %d", grown, 100*wire.FrameMax)
		}
		// A router's large frame does not wait for what clients promised.
		core := rawLink(t, network, at, keyOf(250), wire.Core)
		large := append([]byte{0x82, 0x18, 99}, cbor.AppendBytes(nil, make([]byte, 2*bigFrame))...)
		core.Write(cbor.AppendBytes(nil, large))
		home.rec.await(t, "a router's large frame", func() bool { return len(home.rec.frames()) == 1 })
		home.shares.mu.Lock()
		defer home.shares.mu.Unlock()
		if held := 64<<20 - home.shares.free; held > 64<<20 || len(home.shares.waiters) != 100-64<<20/wire.FrameMax {
			t.Errorf("%d bytes are held, %d links wait", held, len(home.shares.waiters))
		}
	})
}

// Drain tells everybody 15, and waits for their end.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, client, up, _ := pairOf(t, NewMemory(), mem("home"), [2]wire.Role{wire.Core, wire.Service})
		home.Send(up.Link, machine.Control, graft(1))
		if err := home.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		n := client.rec.awaitNotice(t, LinkEnded, 1)
		if n.Code != wire.ShuttingDown || !n.ByPeer || len(client.rec.frames()) != 1 {
			t.Errorf("the client was told %+v after %d frames", n, len(client.rec.frames()))
		}
		if home.rec.downs() != 1 || len(home.Links()) != 0 {
			t.Error("drained, but not all links are down")
		}
		if _, err := home.Listen(mem("late")); err == nil {
			t.Error("a drained hub listens")
		}
		if err := home.Dial(mem("late").WithPin(keyOf(9).Address()), DialOptions{}); err == nil {
			t.Error("a drained hub dials")
		}
		if n := client.rec.awaitNotice(t, DialFailed, 1); n.Retry == 0 {
			t.Error("the client gave up")
		}
		home.Close()
		home.Close()
	})
}

// Close does not wait for ever for a Handler that has stopped, nor for a peer
// that does not read.
func TestCloseOfAStuckHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		p := rawLink(t, network, at, keyOf(2), wire.Service)
		up := home.rec.awaitUp(t, 1)
		home.rec.mu.Lock()
		home.rec.block = make(chan struct{})
		home.rec.mu.Unlock()
		p.send(t, graft(1))
		home.Send(up.Link, machine.Bulk, publish(t, 1<<20-200))
		synctest.Wait()
		began := time.Now()
		home.Close()
		if took := time.Since(began); took > closeGrace {
			t.Errorf("closed after %v", took)
		}
	})
}
