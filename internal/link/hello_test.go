package link

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/internal/cbor"
	"upsycle/internal/wire"
)

// spec §3.3: what a hello must hold, and what each fault is answered with.
func TestHelloFaults(t *testing.T) {
	hello := func(change func(*wire.Hello)) func() []byte {
		return func() []byte {
			f := goodHello(wire.Core)
			change(f)
			return appendFrame(nil, f)
		}
	}
	frame := func(f wire.Frame) func() []byte { return func() []byte { return appendFrame(nil, f) } }
	skew := func(d time.Duration) func() []byte {
		return hello(func(f *wire.Hello) { f.Now = uint64(time.Now().Add(d).UnixMilli()) })
	}
	for _, c := range []struct {
		caption string
		bytes   func() []byte
		code    wire.Code // OK: accepted
	}{
		{"a good one", hello(func(*wire.Hello) {}), wire.OK},
		{"a later version first", hello(func(f *wire.Hello) { f.Versions = []uint64{9, 1} }), wire.OK},
		{"unknown features", hello(func(f *wire.Hello) { f.Features = []uint64{5, 77} }), wire.OK},
		{"no common version", hello(func(f *wire.Hello) { f.Versions = []uint64{2, 3} }), wire.BadVersion},
		{"no version at all", hello(func(f *wire.Hello) { f.Versions = nil }), wire.Malformed},
		{"a clock five minutes ahead", skew(300 * time.Second), wire.OK},
		{"a clock more than five minutes ahead", skew(301 * time.Second), wire.Clock},
		{"a clock an hour behind", skew(-time.Hour), wire.Clock},
		{"the end of time", hello(func(f *wire.Hello) { f.Now = 1<<48 - 1 }), wire.Clock},
		{"a router that takes small frames only", hello(func(f *wire.Hello) { f.MaxFrame = wire.FrameMax - 1 }), wire.Malformed},
		{"a service that takes small frames", hello(func(f *wire.Hello) { f.Role, f.MaxFrame = wire.Service, wire.FrameMaxService }), wire.OK},
		{"a service that takes too small frames", hello(func(f *wire.Hello) { f.Role, f.MaxFrame = wire.Service, wire.FrameMaxService-1 }), wire.Malformed},
		{"an unknown role", hello(func(f *wire.Hello) { f.Role = 3 }), wire.Malformed},
		{"a long agent", hello(func(f *wire.Hello) { f.Agent = strings.Repeat("a", 65) }), wire.Malformed},
		{"a ping before hello", frame(&wire.Ping{N: 1}), wire.Malformed},
		{"an attachment frame before hello", frame(graft(1)), wire.Malformed},
		{"an unknown frame before hello", func() []byte { return []byte{0x43, 0x81, 0x18, 0x63} }, wire.Malformed},
		{"a frame of more than 4 KiB", func() []byte { return cbor.AppendBytes(nil, make([]byte, 4097)) }, wire.TooLarge},
		{"a promise of 4 GiB", func() []byte { return []byte{0x5a, 0xff, 0xff, 0xff, 0xff} }, wire.TooLarge},
		{"HTTP inside of TLS", func() []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, wire.Malformed},
		{"garbage", func() []byte { return bytes.Repeat([]byte{0xff}, 100) }, wire.Malformed},
		{"an empty frame", func() []byte { return []byte{0x40} }, wire.Malformed},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemory()
			home := newNode(t, keyOf(1), wire.Core, network)
			home.listen(t, mem("home"))
			p := rawDial(t, network, mem("home"), rawConfig(t, keyOf(2)))
			p.Write(c.bytes())
			if f, ok := p.receive(t).(*wire.Hello); !ok || f.Role != wire.Core || !slices.Equal(f.Versions, []uint64{1}) || f.Agent != "test/1" {
				t.Fatalf("%s: the hub's own hello is %v", c.caption, f)
			}
			if c.code == wire.OK {
				home.rec.awaitUp(t, 1)
				return
			}
			if f := p.awaitClose(t, c.code); f.Text == "" {
				t.Errorf("%s: closed without a word", c.caption)
			}
			p.Close()
			n := home.rec.awaitNotice(t, StrangerFailed, 1)
			if n.Code != c.code || n.Text == "" || n.Hint == "" {
				t.Errorf("%s: told %+v", c.caption, n)
			}
			if events, _ := home.rec.snapshot(); len(events) != 0 {
				t.Errorf("%s: the core saw %v", c.caption, events)
			}
		})
	}
}

// A clock that is off by less than the limit is warned about.
func TestHelloWarnsOfSkew(t *testing.T) {
	for _, c := range []struct {
		skew time.Duration
		warn bool
	}{{30 * time.Second, false}, {31 * time.Second, true}, {-299 * time.Second, true}} {
		synctest.Test(t, func(t *testing.T) {
			var log syncBuffer
			network := NewMemory()
			home := newNode(t, keyOf(1), wire.Core, network, func(config *Config) { config.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			home.listen(t, mem("home"))
			client := newNode(t, keyOf(2), wire.Core, network, func(config *Config) {
				config.Now = func() time.Time { return time.Now().Add(c.skew) }
			})
			client.dial(t, mem("home").WithPin(home.Self()))
			home.rec.awaitUp(t, 1)
			if warned := strings.Contains(log.String(), "clock"); warned != c.warn {
				t.Errorf("%v: warned %v: %s", c.skew, warned, log.String())
			}
		})
	}
}

// Slow peers before hello: 10 s for the handshake, then 5 s to hello; a peer that
// closes instead is told of with its own words.
func TestHelloSlow(t *testing.T) {
	for _, c := range []struct {
		caption string
		peer    func(*testing.T, *rawPeer)
		after   time.Duration
		text    string
	}{
		{"says nothing at all", func(*testing.T, *rawPeer) {}, handshakeTime, "did not finish"},
		{"drips a handshake", func(t *testing.T, p *rawPeer) {
			for _, b := range append([]byte{22, 3, 1, 1, 0, 1}, make([]byte, 24)...) {
				p.raw.Write([]byte{b})
				time.Sleep(time.Second)
			}
		}, handshakeTime, "did not finish"},
		{"stops after the handshake", func(t *testing.T, p *rawPeer) { p.Handshake() }, helloTime, ""},
		{"drips its hello", func(t *testing.T, p *rawPeer) {
			for _, b := range appendFrame(nil, goodHello(wire.Core)) {
				p.Write([]byte{b})
				time.Sleep(time.Second)
			}
		}, helloTime, ""},
		{"hangs up in the handshake", func(t *testing.T, p *rawPeer) { p.raw.Write([]byte{22, 3, 1}); p.raw.Close() }, 0, "hung up"},
		{"hangs up before hello", func(t *testing.T, p *rawPeer) { p.Handshake(); p.Close() }, 0, ""},
		{"closes instead", func(t *testing.T, p *rawPeer) { p.send(t, &wire.Close{Code: wire.Quota, Text: "no\u00adroom"}) }, 0, `quota: "no`},
		{"speaks HTTP", func(t *testing.T, p *rawPeer) { p.raw.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, 0, "but HTTP"},
		{"sends garbage", func(t *testing.T, p *rawPeer) { p.raw.Write(bytes.Repeat([]byte{0xa5}, 4096)) }, 0, "does not speak TLS"},
		{"floods the handshake", func(t *testing.T, p *rawPeer) {
			p.raw.Write(append([]byte{22, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff}, make([]byte, 60_000)...))
		}, 0, "longer than 16 KiB"},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemory()
			home := newNode(t, keyOf(1), wire.Core, network)
			home.listen(t, mem("home"))
			p := rawDial(t, network, mem("home"), rawConfig(t, keyOf(2)))
			began := time.Now()
			go c.peer(t, p)
			n := home.rec.awaitNotice(t, StrangerFailed, 1)
			if time.Since(began) != c.after || !strings.Contains(n.Text, c.text) || n.Hint == "" {
				t.Errorf("%s: after %v (want %v) told %q, hint %q", c.caption, time.Since(began), c.after, n.Text, n.Hint)
			}
			if home.door.inside != 0 || len(home.strangers) != 0 {
				t.Errorf("%s: something is still held", c.caption)
			}
			p.raw.Close()
			time.Sleep(time.Minute)
		})
	}
}
