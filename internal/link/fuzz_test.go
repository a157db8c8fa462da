package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"testing"
	"time"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// F1: a peer with a good key sends any bytes. What the core sees is exactly what a
// plain reading of the rules predicts; nothing acts before hello; the link always
// ends.
func FuzzLink(f *testing.F) {
	now := time.UnixMilli(1_800_000_000_000)
	hello := goodHello(wire.Service)
	hello.Now = uint64(now.UnixMilli())
	greeting := appendFrame(nil, hello)
	f.Add(greeting)
	f.Add(appendFrame(appendFrame(bytes.Clone(greeting), graft(1)), &wire.Ping{N: 1}))
	f.Add(appendFrame(appendFrame(appendFrame(bytes.Clone(greeting), &wire.Pong{N: 1}), publish(f, 10)), &wire.Close{Code: wire.Quota}))
	f.Add(append(bytes.Clone(greeting), 0x42, 0x81, 0x05, 0x5a, 0xff, 0xff, 0xff, 0xff))
	f.Add(appendFrame(bytes.Clone(greeting), hello))
	f.Add(appendFrame(nil, graft(1)))

	network := NewMemory()
	home := newNode(f, keyOf(1), wire.Core, network, func(c *Config) {
		c.Now = func() time.Time { return now }
		c.Limits.AcceptsPerSecond = 1 << 20
	})
	at := home.listen(f, mem("home"))
	certificate, _ := ownCertificate(keyOf(2))
	config := linkConfig(certificate, home.Self(), home.refuse)
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > pipeBuffer/4 {
			return
		}
		conn, err := network.Dial(context.Background(), at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		peer := tls.Client(conn, config)
		if err := peer.Handshake(); err != nil {
			t.Fatal(err)
		}
		home.rec.mu.Lock()
		home.rec.events, home.rec.notices = nil, nil
		home.rec.mu.Unlock()
		peer.Write(b)
		conn.(*pipe).CloseWrite()
		home.rec.await(t, "the end", func() bool {
			n := len(home.rec.notices)
			return n > 0 && home.rec.notices[n-1].Event != Linked
		})
		up, frames := predict(home.Hub, b)
		events, _ := home.rec.snapshot()
		if !up && len(events) > 0 || up && len(events) != frames+2 {
			t.Errorf("saw %v, want up %v and %d frames", events, up, frames)
		}
		if up && (events[0].(machine.LinkUp).Peer != keyOf(2).Address() || events[len(events)-1].(machine.LinkDown).Link == 0) {
			t.Errorf("saw %v", events)
		}
	})
}

// predict reads b by the rules, without a link.
func predict(h *Hub, b []byte) (up bool, frames int) {
	r := newFrameReader(bytes.NewReader(b), wire.FrameMaxHello, newBudget(64<<20))
	for {
		body, _, err := r.next()
		if err != nil {
			return up, frames
		}
		f, err := wire.Decode(body, nil)
		if err != nil {
			return up, frames
		}
		hello, greets := f.(*wire.Hello)
		if !up && (!greets || h.judge(hello) != nil) || up && greets {
			return up, frames
		}
		switch f.(type) {
		case *wire.Hello:
			up, r.limit = true, wire.FrameMax
		case *wire.Close:
			return up, frames
		case *wire.Ping, *wire.Pong:
		default:
			frames++
		}
	}
}
