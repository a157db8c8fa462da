package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"upsycle/identity"
	"upsycle/internal/link"
	"upsycle/internal/loop"
	"upsycle/internal/machine"
	"upsycle/internal/router"
	"upsycle/internal/safefile"
	"upsycle/internal/store"
	"upsycle/internal/wire"
)

// Access says who may attach in a role.
type Access = router.Access

// Config is what a node runs. The zero values of the optional fields are good.
type Config struct {
	Key      identity.Key
	Services Access              // which services may attach
	Edges    Access              // which edge routers may attach
	Listen   []identity.Endpoint // where others reach this router; no pins
	Peers    []identity.Endpoint // cores to dial, pinned
	Accept   []identity.Address  // cores that dial us and are not dialled
	Homes    []identity.Endpoint // an edge's homes, pinned, the preferred one first; makes the node an edge
	NoRoot   bool                // never become an automatic root
	Limits   router.Limits
	Store    int64 // bytes of the store, in memory or in Data; 0: 1 GiB in memory, 8 GiB on disk
	Links    int   // links at once; 0: the link room's default

	Data    string       // directory that only one router may use; "": nothing on disk
	Control string       // path of the control socket; "": none
	Network link.Network // nil: the system's
	Version string       // shown to peers and in status

	Log  *slog.Logger            // nil: silent
	Mail func(e machine.Deliver) // mail for the router itself, on the loop's goroutine; must not block; may be nil
}

const (
	storeMemory = 1 << 30 // without a data directory
	storeDisk   = 8 << 30
	drainTime   = 3 * time.Second
)

// Errors of a Config.
var (
	ErrNoKey = errors.New("node: a router needs a key")
	ErrBoth  = errors.New("node: a router has homes (an edge) or peers (a core), not both")
)

// An Error says in one sentence why a node did not start. Hint says what to do
// about it.
type Error struct {
	text, hint string
	cause      error
}

// Error returns the sentence.
func (e *Error) Error() string { return e.text }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.hint }

// Unwrap returns what was underneath.
func (e *Error) Unwrap() error { return e.cause }

// A Node is one running router. Start it once; Stop or the end of Start's context
// ends it. Its methods may be called by any goroutine.
type Node struct {
	cfg     Config
	log     *slog.Logger
	loop    *loop.Loop
	hub     *link.Hub
	machine *router.Router
	writer  *store.Writer // from openStore
	reader  *store.Reader
	counts  counters
	started time.Time

	running sync.WaitGroup // what Start began and Stop waits for
	halt    sync.Once
	cancel  context.CancelFunc // of the loop; nil: it was never begun
	ended   chan struct{}      // closed when the loop has ended
	err     error              // why it did, unless Stop ended it; after ended

	mu    sync.Mutex
	bound []identity.Endpoint
	undo  []func() // in the order of starting
}

// New makes a node. It opens nothing yet.
func New(cfg Config) (*Node, error) {
	if cfg.Key.IsZero() {
		return nil, ErrNoKey
	}
	if len(cfg.Homes) > 0 && len(cfg.Peers)+len(cfg.Accept) > 0 {
		return nil, ErrBoth
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Network == nil {
		cfg.Network = link.System()
	}
	if cfg.Store == 0 && cfg.Data == "" {
		cfg.Store = storeMemory
	} else if cfg.Store == 0 {
		cfg.Store = storeDisk
	}
	n := &Node{cfg: cfg, log: cfg.Log, ended: make(chan struct{})}
	return n, n.assemble()
}

// assemble makes the machine, the loop, the store and the hub.
func (n *Node) assemble() error {
	m, err := router.New(n.routerConfig(), n.cfg.Key.Address(), seed())
	if err != nil {
		return err
	}
	n.machine = m
	n.loop = loop.New(loop.Config{Machine: m, Shell: n, Key: n.cfg.Key, Log: n.log})
	n.hub = link.NewHub(link.Config{
		Key: n.cfg.Key, Role: n.role(), Agent: "upsycle " + n.cfg.Version,
		Handler: events{n.loop}, Network: n.cfg.Network, Log: n.log, Limits: link.Limits{Links: n.cfg.Links},
	})
	return nil
}

func (n *Node) role() wire.Role {
	if len(n.cfg.Homes) > 0 {
		return wire.Edge
	}
	return wire.Core
}

func (n *Node) routerConfig() router.Config {
	c := router.Config{
		Role: n.role(), Services: n.cfg.Services, Edges: n.cfg.Edges,
		Peers: append(pins(n.cfg.Peers), n.cfg.Accept...), Homes: pins(n.cfg.Homes),
		CanRoot: !n.cfg.NoRoot, Limits: n.cfg.Limits,
	}
	return c
}

func pins(list []identity.Endpoint) []identity.Address {
	var keys []identity.Address
	for _, ep := range list {
		keys = append(keys, ep.Pin)
	}
	return keys
}

// seed is fresh chance for the machine, which has none of its own.
func seed() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// events hands what happens on links to the loop. Post blocks while the inbox is
// full, so a link is read no faster than the machine decides.
type events struct{ loop *loop.Loop }

func (e events) Event(ctx context.Context, ev machine.Event) error { return e.loop.Post(ctx, ev) }
func (e events) Drained(ev machine.Drained)                        { e.loop.Answer(ev) }

// Start brings the router up: data directory, machine, listeners, dials, control.
// It returns once others can connect. The end of ctx stops the router like Stop
// does. If anything fails, what was begun is undone; the error has a Hint where
// somebody can do something about it.
func (n *Node) Start(ctx context.Context) error {
	n.started = time.Now()
	if err := n.begin(ctx); err != nil {
		n.Stop()
		return err
	}
	stopWatching := context.AfterFunc(ctx, n.Stop)
	n.onStop(func() { stopWatching() })
	return nil
}

func (n *Node) begin(ctx context.Context) error {
	if n.cfg.Data != "" {
		unlock, err := safefile.Lock(n.cfg.Data)
		if err != nil {
			return err
		}
		n.onStop(unlock)
	}
	if err := n.openStore(); err != nil {
		return err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	go n.run(run)
	return n.open()
}

// run drives the machine until the node stops. The loop's own panic, a broken
// invariant, is not caught: it ends the process, loudly.
func (n *Node) run(ctx context.Context) {
	n.err = n.loop.Run(ctx)
	close(n.ended)
}

// open makes the router reachable. The control socket comes first: who asks for
// the state of a router that listens gets an answer.
func (n *Node) open() error {
	if err := n.openControl(); err != nil {
		return err
	}
	for _, ep := range n.cfg.Listen {
		bound, err := n.hub.Listen(ep)
		if err != nil {
			return listenError(err)
		}
		n.mu.Lock()
		n.bound = append(n.bound, bound)
		n.mu.Unlock()
	}
	for _, ep := range slices.Concat(n.cfg.Peers, n.cfg.Homes) {
		if err := n.hub.Dial(ep, link.DialOptions{}); err != nil {
			return dialError(err)
		}
	}
	return nil
}

func listenError(err error) error {
	var l *link.ListenError
	if errors.As(err, &l) {
		return &Error{l.Text, l.Hint, err}
	}
	return err
}

func dialError(err error) error {
	var d *link.DialError
	if errors.As(err, &d) {
		return &Error{d.Text, d.Hint, err}
	}
	return err
}

func (n *Node) onStop(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.undo = append(n.undo, f)
}

// Endpoints returns where the router listens, pinned with its key.
func (n *Node) Endpoints() []identity.Endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]identity.Endpoint(nil), n.bound...)
}

// Address returns the router's address.
func (n *Node) Address() identity.Address { return n.cfg.Key.Address() }

// Stop drains: it tells every link that the router goes (close 15), gives them a
// moment to write what waits, and ends everything. It returns when nothing is left
// running and may be called more than once, by several goroutines.
func (n *Node) Stop() { n.halt.Do(n.stop) }

func (n *Node) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	n.hub.Drain(ctx) // its error says that not all took the time: they are cut
	n.hub.Close()
	if n.cancel != nil {
		n.cancel()
		<-n.ended
	}
	if n.writer != nil {
		n.writer.Close()
		n.reader.Close()
	}
	n.mu.Lock()
	undo := n.undo
	n.undo = nil
	n.mu.Unlock()
	for _, f := range slices.Backward(undo) {
		f()
	}
	n.running.Wait()
}

// Wait waits until a node that was started has stopped, by Stop or by the end of
// Start's context, and returns what ended it if that was neither.
func (n *Node) Wait() error {
	<-n.ended
	n.Stop()
	return n.err
}
