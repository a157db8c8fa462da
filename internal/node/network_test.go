package node_test

import (
	"context"
	"crypto/sha256"
	"os"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/control"
	"upsycle/internal/envelope"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/node"
	"upsycle/internal/wire"
)

// patience is how long a test waits for one thing.
const patience = 20 * time.Second

// key is the same for the same name.
func key(name string) identity.Key {
	seed := sha256.Sum256([]byte("node test " + name))
	k, err := identity.NewKey(seed[:])
	if err != nil {
		panic(err)
	}
	return k
}

// private returns a directory that nobody else may enter.
func private(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A network of nodes inside the test.
type network struct {
	t      *testing.T
	memory *link.Memory
}

func newNet(t *testing.T) *network { return &network{t, link.NewMemory()} }

func (w *network) endpoint(name string) identity.Endpoint {
	return identity.Endpoint{Scheme: identity.SchemeMem, Where: name}.WithPin(key(name).Address())
}

// start starts a node that admits all services, with one thing changed.
func (w *network) start(name string, change func(c *node.Config)) *node.Node {
	w.t.Helper()
	return w.startWith(context.Background(), name, change)
}

func (w *network) startWith(ctx context.Context, name string, change func(c *node.Config)) *node.Node {
	w.t.Helper()
	cfg := node.Config{
		Key: key(name), Network: w.memory.Node(name), Version: "test", Services: node.Access{Any: true},
		Listen: []identity.Endpoint{{Scheme: identity.SchemeMem, Where: name}},
	}
	if change != nil {
		change(&cfg)
	}
	n, err := node.New(cfg)
	if err == nil {
		err = n.Start(ctx)
	}
	if err != nil {
		w.t.Fatalf("node %s: %v", name, err)
	}
	w.t.Cleanup(n.Stop)
	return n
}

// A service speaks raw frames, so that a test sees what is on the wire.
type service struct {
	t       *testing.T
	key     identity.Key
	hub     *link.Hub
	ups     chan machine.LinkID
	frames  chan wire.Frame
	endings chan link.Notice
	link    machine.LinkID
}

// service dials a node, and again when the link ends.
func (w *network) service(name, at string) *service {
	w.t.Helper()
	s := &service{
		t: w.t, key: key(name), ups: make(chan machine.LinkID, 64),
		frames: make(chan wire.Frame, 64), endings: make(chan link.Notice, 64),
	}
	s.hub = link.NewHub(link.Config{Key: s.key, Role: wire.Service, Agent: "test", Handler: s, Network: w.memory.Node(name), Notify: s.notice})
	w.t.Cleanup(func() { s.hub.Close() })
	if err := s.hub.Dial(w.endpoint(at), link.DialOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return s
}

// Event takes what comes over the link.
func (s *service) Event(_ context.Context, ev machine.Event) error {
	switch ev := ev.(type) {
	case machine.LinkUp:
		s.ups <- ev.Link
	case machine.FrameIn:
		s.frames <- ev.Frame
	}
	return nil
}

// Drained does not matter here.
func (s *service) Drained(machine.Drained) {}

func (s *service) notice(n link.Notice) {
	if n.Event == link.LinkEnded {
		s.endings <- n
	}
}

// next returns the next of a channel, or fails the test.
func next[T any](t *testing.T, what string, c <-chan T) (x T) {
	t.Helper()
	select {
	case x = <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come within %v", what, patience)
	}
	return x
}

// answer returns the next frame of one kind; others are passed over.
func answer[T wire.Frame](s *service) T {
	s.t.Helper()
	for {
		if f, ok := next(s.t, "a frame", s.frames).(T); ok {
			return f
		}
	}
}

// attach waits for a link and attaches over it.
func (s *service) attach(at string) {
	s.t.Helper()
	s.link = next(s.t, "a link", s.ups)
	h := &wire.Homes{Client: s.key.Address(), Epoch: uint64(time.Now().UnixMilli()), Homes: []identity.Address{key(at).Address()}}
	h.Encode()
	h.Signed.Sig = s.key.Sign(identity.LabelHomes, h.Signed.Body)
	s.hub.Send(s.link, machine.Control, &wire.Attach{Homes: h})
	if a := answer[*wire.Attached](s); a.Code != wire.OK {
		s.t.Fatalf("attached with code %v", a.Code)
	}
}

func (s *service) subscribe(group identity.Address) {
	s.t.Helper()
	s.hub.Send(s.link, machine.Control, &wire.Subscribe{Ref: 1, Target: envelope.Target{Kind: envelope.Group, To: group}})
	if a := answer[*wire.Subscribed](s); a.Code != wire.OK {
		s.t.Fatalf("subscribed with code %v", a.Code)
	}
}

func (s *service) publish(e *envelope.Envelope) wire.Code {
	s.t.Helper()
	s.hub.Send(s.link, machine.Bulk, &wire.Publish{Envelope: e})
	return answer[*wire.Published](s).Code
}

// ending returns how the link ended.
func (s *service) ending() link.Notice {
	s.t.Helper()
	return next(s.t, "the end of the link", s.endings)
}

func header(to envelope.Target) envelope.Header {
	return envelope.Header{Target: to, Count: 1, Time: uint64(time.Now().UnixMilli()), TTL: 3600, Flags: envelope.Plain}
}

// letter is mail from one key to an address.
func letter(t *testing.T, from identity.Key, to identity.Address) *envelope.Envelope {
	t.Helper()
	h := header(envelope.Target{Kind: envelope.Address, To: to})
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{[]byte("hello")}), from)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// forged claims to be signed by a group's key, and is not.
func forged(t *testing.T, by identity.Key) *envelope.Envelope {
	t.Helper()
	group := key("group").Address()
	body := envelope.PlainBody([][]byte{[]byte("forged")})
	h := header(envelope.Target{Kind: envelope.Group, To: group})
	h.From, h.BodyHash = group, sha256.Sum256(body)
	text := h.AppendTo(nil)
	e, err := envelope.Parse(envelope.Assemble(text, by.Sign(identity.LabelEnvelope, text), nil, body), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// eventually polls the status until it is as wanted.
func eventually(t *testing.T, n *node.Node, ok func(control.Status) bool) control.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := n.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if ok(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("the status stayed at %+v", s)
		}
	}
}

// rooted reports whether the router has its way to a root that counts.
func rooted(s control.Status) bool {
	for _, r := range s.Roots {
		if r.Reach && r.Counting {
			return true
		}
	}
	return false
}
