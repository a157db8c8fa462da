package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keyOf makes the same key from the same number at every run.
func keyOf(n byte) identity.Key {
	key, err := identity.NewKey(bytes.Repeat([]byte{n}, identity.SeedSize))
	if err != nil {
		panic(err)
	}
	return key
}

func mem(name string) identity.Endpoint {
	return identity.Endpoint{Scheme: identity.SchemeMem, Where: name}
}

func graft(n byte) wire.Frame { return &wire.Graft{Root: keyOf(n).Address()} }

// publish makes a frame with an envelope of about size bytes.
func publish(t testing.TB, size int) *wire.Publish {
	t.Helper()
	key := keyOf(200)
	e, err := envelope.Sign(envelope.Header{
		Target: envelope.Target{Kind: envelope.Group, To: key.Address()},
		Count:  1, Time: 1_800_000_000_000, TTL: 60, Flags: envelope.Plain,
	}, nil, envelope.PlainBody([][]byte{make([]byte, size)}), key)
	if err != nil {
		t.Fatal(err)
	}
	return &wire.Publish{Envelope: e}
}

// A recorder is a Handler that remembers what it got.
type recorder struct {
	mu      sync.Mutex
	changed sync.Cond
	events  []machine.Event
	drained map[machine.LinkID][machine.ClassesNo]int
	notices []Notice
	block   chan struct{} // not nil: Event waits for it
	onUp    func(machine.LinkUp)
	late    int // drained reports after LinkDown
}

func newRecorder() *recorder {
	r := &recorder{drained: make(map[machine.LinkID][machine.ClassesNo]int)}
	r.changed.L = &r.mu
	return r
}

func (r *recorder) Event(ctx context.Context, ev machine.Event) error {
	r.mu.Lock()
	block, onUp := r.block, r.onUp
	r.events = append(r.events, ev)
	r.changed.Broadcast()
	r.mu.Unlock()
	if up, ok := ev.(machine.LinkUp); ok && onUp != nil {
		onUp(up)
	}
	if block == nil {
		return ctx.Err()
	}
	select {
	case <-block:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *recorder) Drained(ev machine.Drained) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.drained[ev.Link]
	d[ev.Class] += ev.Weight
	r.drained[ev.Link] = d
	for _, e := range r.events {
		if down, ok := e.(machine.LinkDown); ok && down.Link == ev.Link {
			r.late++
		}
	}
	r.changed.Broadcast()
}

func (r *recorder) notify(n Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notices = append(r.notices, n)
	r.changed.Broadcast()
}

// await waits until done is true of what was recorded; done runs under the lock.
func (r *recorder) await(t testing.TB, what string, done func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(200*time.Second, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		late = true
		r.changed.Broadcast()
	})
	defer timer.Stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	for !done() {
		if late {
			t.Fatalf("waited in vain for %s; events %v; notices %v", what, r.events, r.notices)
		}
		r.changed.Wait()
	}
}

// ups, downs and frames look at the events so far. Conditions of await call them
// under the lock; tests, where nothing is under way.
func (r *recorder) ups() (list []machine.LinkUp) {
	for _, ev := range r.events {
		if up, ok := ev.(machine.LinkUp); ok {
			list = append(list, up)
		}
	}
	return list
}

func (r *recorder) downs() (n int) {
	for _, ev := range r.events {
		if _, ok := ev.(machine.LinkDown); ok {
			n++
		}
	}
	return n
}

func (r *recorder) frames() (list []wire.Frame) {
	for _, ev := range r.events {
		if in, ok := ev.(machine.FrameIn); ok {
			list = append(list, in.Frame)
		}
	}
	return list
}

func (r *recorder) awaitUp(t testing.TB, n int) machine.LinkUp {
	t.Helper()
	r.await(t, fmt.Sprintf("link-up %d", n), func() bool { return len(r.ups()) >= n })
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ups()[n-1]
}

func (r *recorder) awaitDown(t testing.TB, n int) {
	t.Helper()
	r.await(t, fmt.Sprintf("link-down %d", n), func() bool { return r.downs() >= n })
}

// awaitNotice returns the nth notice of a kind.
func (r *recorder) awaitNotice(t testing.TB, event NoticeEvent, n int) (found Notice) {
	t.Helper()
	r.await(t, fmt.Sprintf("%v %d", event, n), func() bool {
		seen := 0
		for _, notice := range r.notices {
			if notice.Event == event {
				if seen++; seen == n {
					found = notice
					return true
				}
			}
		}
		return false
	})
	return found
}

func (r *recorder) snapshot() ([]machine.Event, []Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events), slices.Clone(r.notices)
}

// checkOrder holds the recorded events against what the core relies on: for each
// key, up and down alternate, and nothing comes outside of them.
func (r *recorder) checkOrder(t testing.TB) {
	t.Helper()
	events, _ := r.snapshot()
	live := map[identity.Address]machine.LinkID{}
	of := map[machine.LinkID]identity.Address{}
	for _, ev := range events {
		switch ev := ev.(type) {
		case machine.LinkUp:
			if live[ev.Peer] != 0 {
				t.Errorf("%v while link #%d of the key is up", ev, live[ev.Peer])
			}
			live[ev.Peer], of[ev.Link] = ev.Link, ev.Peer
		case machine.LinkDown:
			if live[ev.Peer] != ev.Link {
				t.Errorf("%v, but #%d is up", ev, live[ev.Peer])
			}
			delete(live, ev.Peer)
		case machine.FrameIn:
			if live[of[ev.Link]] != ev.Link {
				t.Errorf("%v of a link that is not up", ev)
			}
		}
	}
	if r.late > 0 {
		t.Errorf("%d drained reports after link-down", r.late)
	}
}

// A node is a hub with its recorder.
type node struct {
	*Hub
	rec *recorder
	key identity.Key
}

// newNode makes a hub that is closed with the test.
func newNode(t testing.TB, key identity.Key, role wire.Role, network Network, change ...func(*Config)) *node {
	t.Helper()
	rec := newRecorder()
	config := Config{Key: key, Role: role, Agent: "test/1", Handler: rec, Network: network, Notify: rec.notify}
	for _, f := range change {
		f(&config)
	}
	n := &node{NewHub(config), rec, key}
	t.Cleanup(func() {
		n.Close()
		rec.checkOrder(t)
	})
	return n
}

func (n *node) listen(t testing.TB, ep identity.Endpoint) identity.Endpoint {
	t.Helper()
	bound, err := n.Listen(ep)
	if err != nil {
		t.Fatal(err)
	}
	return bound
}

func (n *node) dial(t testing.TB, ep identity.Endpoint) {
	t.Helper()
	if err := n.Dial(ep, DialOptions{}); err != nil {
		t.Fatal(err)
	}
}

// pairOf links a listening node to a dialling one over a network.
func pairOf(t testing.TB, network Network, at identity.Endpoint, roles [2]wire.Role) (home, client *node, up, down machine.LinkUp) {
	t.Helper()
	home = newNode(t, keyOf(1), roles[0], network)
	client = newNode(t, keyOf(2), roles[1], network)
	client.dial(t, home.listen(t, at))
	return home, client, home.rec.awaitUp(t, 1), client.rec.awaitUp(t, 1)
}

// A rawPeer speaks frames over TLS without a hub, so that it can misbehave.
type rawPeer struct {
	*tls.Conn
	raw net.Conn
	in  *frameReader
}

// rawDial connects to a hub with a given TLS configuration; the handshake has not
// begun yet.
func rawDial(t testing.TB, network Network, ep identity.Endpoint, config *tls.Config) *rawPeer {
	t.Helper()
	conn, err := network.Dial(context.Background(), ep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	secure := tls.Client(conn, config)
	return &rawPeer{secure, conn, newFrameReader(secure, wire.FrameMax, newBudget(1<<30))}
}

// rawConfig is what an honest peer with that key uses.
func rawConfig(t testing.TB, key identity.Key) *tls.Config {
	t.Helper()
	certificate, err := ownCertificate(key)
	if err != nil {
		t.Fatal(err)
	}
	return linkConfig(certificate, identity.Address{}, func(identity.Address) error { return nil })
}

func goodHello(role wire.Role) *wire.Hello {
	return &wire.Hello{
		Versions: []uint64{1}, Role: role, Now: uint64(time.Now().UnixMilli()),
		Boot: [8]byte{1}, MaxFrame: wire.FrameMax, Agent: "raw",
	}
}

func (p *rawPeer) send(t testing.TB, frames ...wire.Frame) {
	t.Helper()
	var b []byte
	for _, f := range frames {
		b = appendFrame(b, f)
	}
	if _, err := p.Write(b); err != nil {
		t.Errorf("cannot send: %v", err)
	}
}

// receive returns the next frame that is no ping.
func (p *rawPeer) receive(t testing.TB) wire.Frame {
	t.Helper()
	for {
		b, _, err := p.in.next()
		if err != nil {
			t.Fatalf("nothing to receive: %v", err)
		}
		f, err := wire.Decode(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, ping := f.(*wire.Ping); !ping {
			return f
		}
	}
}

// awaitClose reads until a close frame comes and checks its code.
func (p *rawPeer) awaitClose(t testing.TB, code wire.Code) *wire.Close {
	t.Helper()
	for {
		if f, ok := p.receive(t).(*wire.Close); ok {
			if f.Code != code {
				t.Errorf("closed with %v, want %v: %s", f.Code, code, f.Text)
			}
			return f
		}
	}
}

// rawLink is a raw peer that has said hello and read it.
func rawLink(t testing.TB, network Network, ep identity.Endpoint, key identity.Key, role wire.Role) *rawPeer {
	t.Helper()
	p := rawDial(t, network, ep, rawConfig(t, key))
	p.send(t, goodHello(role))
	if f, ok := p.receive(t).(*wire.Hello); !ok {
		t.Fatalf("want a hello, got %v", f)
	}
	return p
}
