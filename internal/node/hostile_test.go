package node_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle/identity"
	"upsycle/internal/control"
	"upsycle/internal/envelope"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/node"
	"upsycle/internal/wire"
)

// heapBound is what a siege may take of memory beyond what stood at its beginning,
// after a collection: both routers, the honest pair with what is held for it, and
// whatever the attackers could make a router keep.
const heapBound = 160 << 20

// A siege is two real routers over TCP and unix sockets, A and B, and an honest
// pair of services whose traffic runs all the time from A through B. Raiders attack
// A. After each attack the traffic must have arrived whole and in order, memory
// stand within its bound, and nothing of the raider be left running.
type siege struct {
	t         *testing.T
	a, b      *node.Node
	tcp, unix identity.Endpoint // of A
	book      *book             // A's log
	pair      *pair
	heap      uint64 // at the beginning
	raiders   atomic.Int64
}

// Everything on the list of bad input, one after the other. What needs time to
// show runs beside the others: see long.
func TestHostile(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := newSiege(t)
	defer s.end()
	s.long(func() {
		for _, list := range [][]raid{doorRaids(), helloRaids(), frameRaids(), attachRaids(), envelopeRaids(), floodRaids()} {
			for _, r := range list {
				t.Run(r.name, func(t *testing.T) { s.raid(t, r) })
			}
		}
	})
}

// A raid is one attack.
type raid struct {
	name string
	do   func(t *testing.T, s *siege)
	// counter rises by at least one through the raid; "": nothing is counted.
	counter string
}

// raid makes one attack and looks at what it left.
func (s *siege) raid(t *testing.T, r raid) {
	running := runtime.NumGoroutine()
	before := s.a.Counters()[r.counter]
	r.do(t, s)
	s.pair.whole(t)
	await(t, "the counter "+r.counter, func() bool { return r.counter == "" || s.a.Counters()[r.counter] > before })
	s.withinHeap(t)
	await(t, "the raider's goroutines to end", func() bool { return runtime.NumGoroutine() <= running })
}

func newSiege(t *testing.T) *siege {
	var stood runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stood)
	s := &siege{t: t, book: &book{}, heap: stood.HeapAlloc}
	dir := private(t)
	unix := func(name string) identity.Endpoint {
		return identity.Endpoint{Scheme: identity.SchemeUnix, Where: filepath.Join(dir, name+".sock")}
	}
	s.a = s.start(node.Config{
		Key: key("A"), Services: node.Access{Any: true}, Accept: []identity.Address{key("B").Address()},
		Listen: []identity.Endpoint{{Scheme: identity.SchemeTLS, Where: "127.0.0.1:0"}, unix("a")},
		Log:    slog.New(slog.NewTextHandler(s.book, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	s.tcp, s.unix = s.a.Endpoints()[0], s.a.Endpoints()[1]
	s.b = s.start(node.Config{
		Key: key("B"), Services: node.Access{Any: true}, Peers: []identity.Endpoint{s.tcp},
		Listen: []identity.Endpoint{unix("b")},
	})
	for _, n := range []*node.Node{s.a, s.b} {
		eventually(t, n, func(st control.Status) bool { return len(st.Peers) == 1 && rooted(st) })
	}
	s.pair = newPair(t, s.unix, s.b.Endpoints()[0])
	return s
}

func (s *siege) start(cfg node.Config) *node.Node {
	s.t.Helper()
	n, err := node.New(cfg)
	if err == nil {
		err = n.Start(context.Background())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// end stops all; goleak looks after it.
func (s *siege) end() {
	s.pair.end()
	s.a.Stop()
	s.b.Stop()
	s.t.Logf("%d honest messages, %d raiders, counters %v", s.pair.got.Load(), s.raiders.Load(), s.a.Counters())
}

func (s *siege) withinHeap(t *testing.T) {
	t.Helper()
	var now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&now)
	if now.HeapAlloc > s.heap+heapBound {
		t.Errorf("the heap grew by %d MiB, the bound is %d", (now.HeapAlloc-s.heap)>>20, heapBound>>20)
	}
}

// await polls until ok; the test fails when patience ends before.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	over := time.After(patience)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-over:
			stacks := make([]byte, 1<<20)
			t.Logf("%s", stacks[:runtime.Stack(stacks, true)])
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A book is what a router logged.
type book struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes one line.
func (b *book) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *book) has(words string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Contains(b.text.Bytes(), []byte(words))
}

// A pair is an honest writer at A and an honest reader at B. The writer publishes
// as long as the siege lasts, one message after the other; the reader holds each
// against its number.
type pair struct {
	writer, reader *honest
	group          identity.Key
	sent, got      atomic.Uint64
	stop           chan struct{}
	ended          sync.WaitGroup

	mu    sync.Mutex
	fault string               // the first; "": none
	last  []*envelope.Envelope // the latest that were taken
}

// pairPace is how far apart the writer's messages are, at least.
const pairPace = 2 * time.Millisecond

func newPair(t *testing.T, a, b identity.Endpoint) *pair {
	p := &pair{group: key("honest group"), stop: make(chan struct{})}
	p.reader = newHonest(t, "honest reader", b, p.arrived)
	p.reader.attach(t, b.Pin)
	p.reader.subscribe(t, p.group.Address())
	p.writer = newHonest(t, "honest writer", a, nil)
	p.writer.attach(t, a.Pin)
	// Until the reader's interest has reached A, nothing says that somebody reads.
	for p.got.Load() == 0 {
		p.publish()
		select {
		case <-p.reader.tick:
		case <-time.After(200 * time.Millisecond):
		}
	}
	p.ended.Go(p.write)
	return p
}

func (p *pair) write() {
	pace := time.NewTicker(pairPace)
	defer pace.Stop()
	for {
		select {
		case <-pace.C:
			p.publish()
		case <-p.stop:
			return
		}
	}
}

// publish sends the next message until the router has it.
func (p *pair) publish() {
	h := header(envelope.Target{Kind: envelope.Group, To: p.group.Address()})
	h.First = p.sent.Load()
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{fmt.Append(nil, h.First)}), p.group)
	if err != nil {
		panic(err)
	}
	for {
		p.writer.send(machine.Bulk, &wire.Publish{Envelope: e})
		select {
		case f := <-p.writer.published:
			switch {
			case f.ID != e.ID:
				p.blame("an answer for a message that was not sent")
			case f.Code == wire.OK:
				p.sent.Add(1)
				p.remember(e)
				return
			case !f.Code.Retry():
				p.blame("an honest message was refused: " + f.Code.String())
				return
			}
		case <-p.stop:
			return
		case <-time.After(patience):
			p.blame("an honest message got no answer")
			return
		}
	}
}

func (p *pair) remember(e *envelope.Envelope) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last = append(p.last, e); len(p.last) > 5 {
		p.last = p.last[1:]
	}
}

// latest returns what was taken just now.
func (p *pair) latest() []*envelope.Envelope {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.last)
}

// arrived is called by the reader's link.
func (p *pair) arrived(f wire.Frame) {
	d, ok := f.(*wire.Deliver)
	if !ok {
		if g, is := f.(*wire.Gap); is {
			p.blame("the reader got a gap: " + g.String())
		}
		return
	}
	if want := p.got.Load(); d.Envelope.First != want {
		p.blame(fmt.Sprintf("message %d came where %d was due", d.Envelope.First, want))
	}
	p.got.Store(d.Envelope.First + 1)
	p.reader.send(machine.Control, &wire.Delivered{N: d.N})
	select {
	case p.reader.tick <- struct{}{}:
	default:
	}
}

func (p *pair) blame(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault == "" {
		p.fault = what
	}
}

// whole waits until all that was published has arrived, and a little more: so the
// traffic goes on, too. Neither link may have ended meanwhile.
func (p *pair) whole(t *testing.T) {
	t.Helper()
	want := p.sent.Load() + 3
	await(t, "the honest traffic", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.fault != "" || p.got.Load() >= want
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault != "" {
		t.Error(p.fault)
		p.fault = ""
	}
	for _, h := range []*honest{p.writer, p.reader} {
		if n := h.links.Load(); n != 1 {
			t.Errorf("an honest service was linked %d times", n)
			h.links.Store(1)
		}
	}
}

func (p *pair) end() {
	close(p.stop)
	p.ended.Wait()
	p.writer.hub.Close()
	p.reader.hub.Close()
}

// An honest service keeps to the protocol.
type honest struct {
	key       identity.Key
	hub       *link.Hub
	link      atomic.Uint64
	links     atomic.Int64 // how many there were
	up        chan struct{}
	tick      chan struct{}
	published chan *wire.Published
	answers   chan wire.Frame
	arrived   func(wire.Frame)
}

func newHonest(t *testing.T, name string, at identity.Endpoint, arrived func(wire.Frame)) *honest {
	h := &honest{
		key: key(name), up: make(chan struct{}, 64), tick: make(chan struct{}, 1),
		published: make(chan *wire.Published, 64), answers: make(chan wire.Frame, 64), arrived: arrived,
	}
	h.hub = link.NewHub(link.Config{Key: h.key, Role: wire.Service, Agent: "honest", Handler: h, Network: link.System()})
	if err := h.hub.Dial(at, link.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// Event takes what the link brings.
func (h *honest) Event(_ context.Context, ev machine.Event) error {
	switch ev := ev.(type) {
	case machine.LinkUp:
		h.link.Store(uint64(ev.Link))
		h.links.Add(1)
		h.up <- struct{}{}
	case machine.FrameIn:
		switch f := ev.Frame.(type) {
		case *wire.Published:
			h.published <- f
		case *wire.Deliver, *wire.Gap:
			h.arrived(f)
		case *wire.Subscribed:
			h.answers <- f
		case *wire.Attached:
			select { // it comes again every minute
			case h.answers <- f:
			default:
			}
		}
	}
	return nil
}

// Drained does not matter here.
func (h *honest) Drained(machine.Drained) {}

func (h *honest) send(class machine.Class, f wire.Frame) {
	h.hub.Send(machine.LinkID(h.link.Load()), class, f)
}

func (h *honest) attach(t *testing.T, home identity.Address) {
	t.Helper()
	next(t, "a link of an honest service", h.up)
	h.send(machine.Control, &wire.Attach{Homes: homes(h.key, home, nil)})
	if a := next(t, "attached", h.answers).(*wire.Attached); a.Code != wire.OK {
		t.Fatalf("an honest service was attached with %v", a.Code)
	}
}

func (h *honest) subscribe(t *testing.T, group identity.Address) {
	t.Helper()
	h.send(machine.Control, &wire.Subscribe{Ref: 1, Target: envelope.Target{Kind: envelope.Group, To: group}})
	if a := next(t, "subscribed", h.answers).(*wire.Subscribed); a.Code != wire.OK {
		t.Fatalf("an honest service was subscribed with %v", a.Code)
	}
}
