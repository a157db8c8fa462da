package link

import (
	"context"
	"fmt"
	"testing"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A meter is a Handler that counts frames and lets a sender keep a window.
type meter struct {
	ups  chan machine.LinkUp
	got  chan struct{} // one token each 64 frames
	room chan int
	n    int
}

func newMeter() *meter {
	return &meter{ups: make(chan machine.LinkUp, 1), got: make(chan struct{}, 1<<20), room: make(chan int, 1<<20)}
}

func (m *meter) Event(_ context.Context, ev machine.Event) error {
	switch ev := ev.(type) {
	case machine.LinkUp:
		m.ups <- ev
	case machine.FrameIn:
		if m.n++; m.n%64 == 0 {
			m.got <- struct{}{}
		}
	}
	return nil
}

func (m *meter) Drained(ev machine.Drained) { m.room <- ev.Weight }

// BenchmarkFrames sends envelopes one way, with 4 MiB under way as the core
// would; frames/s counts them as decoded on the other side.
func BenchmarkFrames(b *testing.B) {
	for _, c := range []struct {
		name    string
		network Network
		unix    bool
	}{{"memory", NewMemory(), false}, {"loopback", System(), false}} {
		for _, size := range []int{100, 1000, 16_000, 500_000} {
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				at := loopback
				if c.name == "memory" {
					at = mem(fmt.Sprint("home-", size))
				}
				benchFrames(b, c.network, at.String(), size)
			})
		}
	}
}

func benchFrames(b *testing.B, network Network, at string, size int) {
	receive, send := newMeter(), newMeter()
	home := NewHub(Config{Key: keyOf(1), Role: wire.Core, Handler: receive, Network: network})
	defer home.Close()
	client := NewHub(Config{Key: keyOf(2), Role: wire.Core, Handler: send, Network: network})
	defer client.Close()
	ep := loopback
	if at != loopback.String() {
		ep = mem(at[len("mem:"):])
	}
	bound, err := home.Listen(ep)
	if err != nil {
		b.Fatal(err)
	}
	if err := client.Dial(bound, DialOptions{}); err != nil {
		b.Fatal(err)
	}
	up := <-send.ups
	<-receive.ups
	f := publish(b, size)
	b.SetBytes(int64(f.Weight()))
	b.ReportAllocs()
	b.ResetTimer()
	under := 0
	for range b.N {
		for under > 4<<20 {
			under -= <-send.room
		}
		client.Send(up.Link, machine.Bulk, f)
		under += f.Weight()
	}
	for range b.N / 64 {
		<-receive.got
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
}
