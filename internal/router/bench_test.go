package router

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A relay is a core with two neighbours, P which pushes and Q which receives, as
// seen from its links: frames come as bytes and leave as bytes. It is the only root.
type relay struct {
	b    *testing.B
	r    *Router
	key  identity.Key
	now  time.Time
	keys keyCache
	real bool // signatures are checked, not taken for good

	effects []machine.Effect
	sent    []byte
	frames  int // data frames that left
	pending []machine.Event
}

// keyCache stands for that of the links: a key is checked once.
type keyCache map[[identity.AddressSize]byte]identity.Address

func (c keyCache) Address(b []byte) (identity.Address, error) {
	if len(b) == identity.AddressSize {
		if a, ok := c[[identity.AddressSize]byte(b)]; ok {
			return a, nil
		}
	}
	a, err := identity.NewAddress(b)
	if err == nil {
		c[[identity.AddressSize]byte(b)] = a
	}
	return a, err
}

const linkP, linkQ machine.LinkID = 1, 2

func newRelay(b *testing.B, target envelope.Target, real bool) *relay {
	x := &relay{b: b, key: testKey(1), now: time.UnixMilli(start), keys: keyCache{}, real: real}
	p, q := testKey(2).Address(), testKey(3).Address()
	r, err := New(Config{Role: wire.Core, Peers: []identity.Address{p, q}, CanRoot: true}, x.key.Address(), 1)
	if err != nil {
		b.Fatal(err)
	}
	x.r = r
	x.settle(30 * time.Second) // it becomes a root
	x.post(machine.LinkUp{Link: linkP, Peer: p, Role: wire.Core, RTT: 1})
	x.post(machine.LinkUp{Link: linkQ, Peer: q, Role: wire.Core, RTT: 1})
	for _, link := range []machine.LinkID{linkP, linkQ} {
		x.post(machine.FrameIn{Link: link, Frame: &wire.Graft{Root: x.key.Address()}})
	}
	x.post(machine.FrameIn{Link: linkQ, Frame: &wire.Interest{Root: x.key.Address(), Entries: []wire.InterestEntry{{Target: target, Flags: wire.Receiver}}}})
	x.settle(time.Second)
	return x
}

// post steps the router with an event and everything that its effects answer.
func (x *relay) post(ev machine.Event) {
	x.step(ev)
	for len(x.pending) > 0 {
		next := x.pending[0]
		x.pending = x.pending[:copy(x.pending, x.pending[1:])]
		x.step(next)
	}
}

func (x *relay) step(ev machine.Event) {
	x.effects = x.r.Step(x.now, ev, x.effects[:0])
	for _, e := range x.effects {
		switch e := e.(type) {
		case machine.Verify:
			x.pending = append(x.pending, machine.Verified{Token: e.Token, Failed: x.check(e.Claims)})
		case machine.Sign:
			x.pending = append(x.pending, machine.Signed{Token: e.Token, Sig: x.key.Sign(e.Label, e.Body)})
		case machine.Store:
			if e.Token != 0 {
				x.pending = append(x.pending, machine.Stored{Token: e.Token})
			}
		case machine.Send:
			x.sent = e.Frame.AppendTo(x.sent[:0])
			if _, ok := e.Frame.(*wire.Data); ok {
				x.frames++
			}
			x.pending = append(x.pending, machine.Drained{Link: e.Link, Class: e.Class, Weight: e.Frame.Weight()})
		}
	}
}

func (x *relay) check(claims []identity.Claim) int {
	for i := range claims {
		if x.real && !claims[i].Holds() {
			return i
		}
	}
	return -1
}

// settle lets virtual time pass.
func (x *relay) settle(d time.Duration) {
	for end := x.now.Add(d); ; {
		at := x.r.Deadline()
		if at.IsZero() || at.After(end) {
			x.now = end
			return
		}
		if at.After(x.now) {
			x.now = at
		}
		x.post(machine.Tick{})
	}
}

// BenchmarkRelay is the data path of a core: the bytes of a push are decoded,
// judged, verified and encoded for the next neighbour. One operation is one
// envelope of N items of 100 bytes. "free" answers each Verify at once: what is
// left is what the core itself costs.
func BenchmarkRelay(b *testing.B) {
	for _, mode := range []string{"ed25519", "free"} {
		for _, items := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/N=%d", mode, items), func(b *testing.B) { benchRelay(b, items, mode == "ed25519") })
		}
	}
}

func benchRelay(b *testing.B, items int, real bool) {
	key := testKey(9)
	target := envelope.Target{Kind: envelope.Group, To: key.Address()}
	x := newRelay(b, target, real)
	frames := x.pushes(target, key, items)
	b.SetBytes(int64(len(frames[0])))
	b.ReportAllocs()
	var m mallocs
	m.start()
	b.ResetTimer()
	for i := range b.N {
		if i > 0 && i%len(frames) == 0 { // the same envelopes are new again a while later
			b.StopTimer()
			m.stop()
			x.settle(40 * time.Minute)
			frames = x.restamped(frames)
			m.start()
			b.StartTimer()
		}
		x.receive(frames[i%len(frames)])
	}
	b.StopTimer()
	m.stop()
	if x.frames != b.N {
		b.Fatalf("%d of %d envelopes were relayed", x.frames, b.N)
	}
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(b.N)/seconds, "envelopes/s")
	b.ReportMetric(float64(b.N*items)/seconds, "items/s")
	b.ReportMetric(float64(m.sum)/float64(b.N*items), "allocs/item")
}

// mallocs counts allocations between start and stop, as testing counts those of an
// operation.
type mallocs struct {
	from, sum uint64
	stats     runtime.MemStats
}

func (m *mallocs) start() {
	runtime.ReadMemStats(&m.stats)
	m.from = m.stats.Mallocs
}

func (m *mallocs) stop() {
	runtime.ReadMemStats(&m.stats)
	m.sum += m.stats.Mallocs - m.from
}

// receive is what a link's reader and the loop do with a frame's bytes.
func (x *relay) receive(template []byte) {
	frame := make([]byte, len(template)) // a frame's bytes are its own
	copy(frame, template)
	f, err := wire.Decode(frame, x.keys)
	if err != nil {
		x.b.Fatal(err)
	}
	x.post(machine.FrameIn{Link: linkP, Frame: f, Bytes: len(frame)})
}

// pushes makes the frames of distinct envelopes.
func (x *relay) pushes(target envelope.Target, key identity.Key, items int) [][]byte {
	payload := make([][]byte, items)
	for i := range payload {
		payload[i] = make([]byte, 100)
	}
	body := envelope.PlainBody(payload)
	frames := make([][]byte, min(4096, (64<<20)/len(body)))
	for i := range frames {
		e, err := envelope.Sign(envelope.Header{
			Target: target, First: uint64(i * items), Count: items, Time: start, TTL: 30 * 24 * 3600, Flags: envelope.Plain,
		}, nil, body, key)
		if err != nil {
			x.b.Fatal(err)
		}
		f := &wire.Data{Root: x.key.Address(), Hops: 1, Stamp: wire.Stamp{Ingress: testKey(2).Address(), Time: uint64(x.now.UnixMilli())}, Envelope: e}
		frames[i] = f.AppendTo(nil)
	}
	return frames
}

// restamped returns the frames with the present time in their stamps.
func (x *relay) restamped(frames [][]byte) [][]byte {
	for i := range frames {
		f, err := wire.Decode(frames[i], x.keys)
		if err != nil {
			x.b.Fatal(err)
		}
		d := *f.(*wire.Data)
		d.Stamp.Time = uint64(x.now.UnixMilli())
		frames[i] = d.AppendTo(nil)
	}
	return frames
}
