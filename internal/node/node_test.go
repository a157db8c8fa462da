package node_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle/identity"
	"upsycle/internal/control"
	"upsycle/internal/machine"
	"upsycle/internal/node"
	"upsycle/internal/safefile"
	"upsycle/internal/wire"
)

// A node that was stopped has left nothing behind, whatever it had begun.
func TestNothingIsLeft(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	net := newNet(t)
	dir := private(t)
	n := net.start("A", func(c *node.Config) { c.Data, c.Control = dir, filepath.Join(dir, "control.sock") })
	s := net.service("s", "A")
	s.attach("A")
	var stops sync.WaitGroup
	for range 3 {
		stops.Go(n.Stop)
	}
	stops.Wait()
	if err := n.Wait(); err != nil {
		t.Errorf("Wait: %v", err)
	}
	s.hub.Close()
	if _, err := os.Lstat(filepath.Join(dir, "control.sock")); err == nil {
		t.Error("the control socket is still there")
	}
}

// A node that was made and never started has nothing running once it is stopped.
func TestStopWithoutStart(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	n, err := node.New(node.Config{Key: key("A")})
	if err != nil {
		t.Fatal(err)
	}
	n.Stop()
}

// The end of the context is what SIGTERM is to a process: clients are told with
// close 15 and come back by themselves.
func TestContextDrains(t *testing.T) {
	net := newNet(t)
	ctx, cancel := context.WithCancel(t.Context())
	n := net.startWith(ctx, "A", nil)
	s := net.service("s", "A")
	s.attach("A")
	cancel()
	if err := n.Wait(); err != nil {
		t.Errorf("Wait: %v", err)
	}
	told := s.ending()
	if told.Code != wire.ShuttingDown || !told.ByPeer {
		t.Errorf("the client was told %+v, want close 15", told)
	}
	net.start("A", nil)
	s.attach("A") // dialled again without anybody's doing
}

func TestWrongConfig(t *testing.T) {
	a := identity.Endpoint{Scheme: identity.SchemeMem, Where: "A"}.WithPin(key("A").Address())
	for _, c := range []struct {
		caption string
		cfg     node.Config
		want    error
	}{
		{"no key", node.Config{}, node.ErrNoKey},
		{"homes and peers", node.Config{Key: key("B"), Homes: []identity.Endpoint{a}, Peers: []identity.Endpoint{a}}, node.ErrBoth},
		{"homes and accepted peers", node.Config{Key: key("B"), Homes: []identity.Endpoint{a}, Accept: []identity.Address{key("C").Address()}}, node.ErrBoth},
	} {
		if _, err := node.New(c.cfg); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.caption, err, c.want)
		}
	}
}

// Whatever keeps a node from starting is one sentence and a hint, and what was
// begun before is undone.
func TestStartFails(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	tls := func(where string) []identity.Endpoint {
		return []identity.Endpoint{{Scheme: identity.SchemeTLS, Where: where}}
	}
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		caption    string
		cfg        node.Config
		want, hint string
	}{
		{"a port in use", node.Config{Listen: tls(busy.Addr().String())}, "another program uses it", "another port"},
		{"not our interface", node.Config{Listen: tls("203.0.113.1:7420")}, "no interface of this machine", "an address of this machine"},
		{"no directory for the socket", node.Config{Listen: []identity.Endpoint{{Scheme: identity.SchemeUnix, Where: filepath.Join(open, "none", "s")}}}, "does not exist", "Make the directory"},
		{"a peer that is itself", node.Config{Peers: []identity.Endpoint{identity.Endpoint{Scheme: identity.SchemeTLS, Where: "127.0.0.1:1"}.WithPin(key("A").Address())}}, "my own key", "another router"},
		{"no data directory", node.Config{Data: filepath.Join(open, "none")}, "cannot open the lock file", "check the path"},
		{"a control socket for everybody", node.Config{Control: filepath.Join(open, "c.sock")}, "open to others", "chmod 700"},
	} {
		c.cfg.Key = key("A")
		if c.cfg.Data == "" {
			c.cfg.Data = private(t)
		}
		n, err := node.New(c.cfg)
		if err != nil {
			t.Fatalf("%s: %v", c.caption, err)
		}
		err = n.Start(t.Context())
		var hinted interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), c.hint) {
			t.Errorf("%s: %v (%v), want %q and the hint %q", c.caption, err, hinted, c.want, c.hint)
		}
		if unlock, err := safefile.Lock(c.cfg.Data); err == nil {
			unlock()
		} else if c.caption != "no data directory" {
			t.Errorf("%s: the data directory is still locked: %v", c.caption, err)
		}
	}
}

// Two routers on one data directory would be two with one key.
func TestDataDirectoryIsLocked(t *testing.T) {
	net := newNet(t)
	dir := private(t)
	first := net.start("A", func(c *node.Config) { c.Data = dir })
	second, err := node.New(node.Config{Key: key("A"), Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = second.Start(t.Context())
	var refused *safefile.Error
	if !errors.As(err, &refused) || !errors.Is(err, safefile.ErrInUse) || refused.PID != os.Getpid() {
		t.Fatalf("got %v, want ErrInUse with pid %d", err, os.Getpid())
	}
	first.Stop()
	net.start("A", func(c *node.Config) { c.Data = dir }) // given back
}

// A dead router's socket is replaced, a living one's is not.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(private(t), "router.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close() // as a killed process leaves it
	start := func(name string) (*node.Node, error) {
		n, err := node.New(node.Config{Key: key(name), Listen: []identity.Endpoint{{Scheme: identity.SchemeUnix, Where: path}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(n.Stop)
		return n, n.Start(t.Context())
	}
	n, err := start("A")
	if err != nil {
		t.Fatalf("beside a dead socket: %v", err)
	}
	if _, err := start("B"); err == nil || !strings.Contains(err.Error(), "another program uses it") {
		t.Errorf("beside a living socket: %v", err)
	}
	n.Stop()
	if _, err := os.Lstat(path); err == nil {
		t.Error("a router that was stopped left its socket")
	}
}

// The status tells of the router itself, its neighbours, trees and clients.
func TestStatus(t *testing.T) {
	net := newNet(t)
	dir := private(t)
	a := net.start("A", func(c *node.Config) {
		c.Accept = []identity.Address{key("B").Address()}
		c.Control = filepath.Join(dir, "control.sock")
	})
	net.start("B", func(c *node.Config) { c.Peers = []identity.Endpoint{net.endpoint("A")} })
	s := net.service("s", "A")
	s.attach("A")
	s.subscribe(key("group").Address())
	st := eventually(t, a, func(s control.Status) bool { return len(s.Peers) == 1 && rooted(s) })
	over, err := control.NewClient(filepath.Join(dir, "control.sock")).Status(t.Context())
	if err != nil || over.Address != st.Address || len(over.Peers) != 1 {
		t.Errorf("over the control socket: %+v, %v", over, err)
	}
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"version", st.Version, "test"},
		{"role", st.Role, "core"},
		{"address", st.Address, key("A").Address().Text(identity.RouterText)},
		{"endpoint", st.Endpoints[0], net.endpoint("A").String()},
		{"encryption", st.Encryption, "plaintext"},
		{"peer", st.Peers[0].Address, key("B").Address().Text(identity.RouterText)},
		{"clients", len(st.Clients), 1},
		{"client", st.Clients[0].Address, s.key.Address().Text(identity.ServiceText)},
		{"client's role", st.Clients[0].Role, "service"},
		{"attached", st.Clients[0].Attached, true},
		{"target", wanted(st), key("group").Address().Text(identity.GroupText)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	if len(st.Tables) == 0 {
		t.Error("no tables")
	}
	own := a.Address().Text(identity.RouterText)
	if !slices.ContainsFunc(st.Targets, func(x control.Target) bool { return x.Kind == "address" && x.Address == own }) {
		t.Errorf("the router's own address is not among %v", st.Targets)
	}
	a.Stop()
	if _, err := a.Status(t.Context()); err == nil {
		t.Error("a stopped router has a status")
	}
}

func wanted(s control.Status) string {
	for _, t := range s.Targets {
		if t.Kind == "group" && t.Wanted {
			return t.Address
		}
	}
	return ""
}

// An edge router says so, and shows its client's address as a router's.
func TestEdge(t *testing.T) {
	net := newNet(t)
	a := net.start("A", func(c *node.Config) { c.Edges.Any = true })
	e := net.start("E", func(c *node.Config) { c.Homes = []identity.Endpoint{net.endpoint("A")} })
	st := eventually(t, a, func(s control.Status) bool { return len(s.Clients) == 1 && s.Clients[0].Attached })
	if got, want := st.Clients[0].Address, key("E").Address().Text(identity.RouterText); got != want || st.Clients[0].Role != "edge" {
		t.Errorf("the core sees %+v, want the edge router %s", st.Clients[0], want)
	}
	own, err := e.Status(t.Context())
	if err != nil || own.Role != "edge" || own.Roots == nil || len(own.Roots) != 0 {
		t.Errorf("the edge says %+v, %v", own, err)
	}
}

// What is refused is counted by its name, and told to who asked.
func TestForgeryIsCounted(t *testing.T) {
	net := newNet(t)
	a := net.start("A", nil)
	s := net.service("s", "A")
	s.attach("A")
	if code := s.publish(forged(t, s.key)); code != wire.BadSignature {
		t.Errorf("the answer was %v", code)
	}
	counters := a.Counters()
	if counters[machine.PublishRefused.String()] != 1 || counters[machine.FaultCharged.String()] != 1 {
		t.Errorf("counters %v", counters)
	}
}

// Mail to the router's own address comes to whoever embeds the node.
func TestMail(t *testing.T) {
	net := newNet(t)
	got := make(chan machine.Deliver, 1)
	net.start("A", func(c *node.Config) { c.Mail = func(d machine.Deliver) { got <- d } })
	s := net.service("s", "A")
	s.attach("A")
	e := letter(t, s.key, key("A").Address())
	if code := s.publish(e); code != wire.OK {
		t.Fatalf("the answer was %v", code)
	}
	select {
	case d := <-got:
		if d.Envelope.ID != e.ID {
			t.Errorf("another envelope came: %v", d)
		}
	case <-time.After(patience):
		t.Fatal("no mail")
	}
}

// Who may not attach is told why, and the router stays as it was.
func TestAccess(t *testing.T) {
	net := newNet(t)
	a := net.start("A", func(c *node.Config) { c.Services = node.Access{Keys: []identity.Address{key("friend").Address()}} })
	stranger := net.service("stranger", "A")
	if told := stranger.ending(); told.Code != wire.NotAllowed {
		t.Errorf("a stranger was told %+v", told)
	}
	net.service("friend", "A").attach("A")
	if n := a.Counters()[machine.LinkRefused.String()]; n == 0 {
		t.Error("a refused link was not counted")
	}
}
