package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
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
	Store    int64 // bytes of the store in memory; 0: storeDefault
	Links    int   // links at once; 0: the link room's default

	Data    string       // directory that only one router may use; "": nothing on disk
	Control string       // path of the control socket; "": none
	Network link.Network // nil: the system's
	Version string       // shown to peers and in status

	Log  *slog.Logger            // nil: silent
	Mail func(e machine.Deliver) // mail for the router itself, on the loop's goroutine; must not block; may be nil
}

const (
	storeDefault = 1 << 30
	drainTime    = 3 * time.Second
)

// Errors of a node.
var (
	ErrNoKey = errors.New("node: a router needs a key")
	ErrBoth  = errors.New("node: a router has homes (an edge) or peers (a core), not both")
)

// A Node is one running router. Start it once; Stop or the end of Start's context
// ends it. Its methods may be called by any goroutine.
type Node struct {
	cfg     Config
	log     *slog.Logger
	loop    *loop.Loop
	hub     *link.Hub
	writer  *store.Writer
	counts  counters
	started time.Time

	mu     sync.Mutex
	bound  []identity.Endpoint
	undo   []func() // in the order of starting
	cancel context.CancelFunc
	ended  chan struct{}
	err    error
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
	if cfg.Store == 0 {
		cfg.Store = storeDefault
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
	n.loop = loop.New(loop.Config{Machine: m, Shell: n, Key: n.cfg.Key, Log: n.log})
	n.writer = store.NewWriter(store.NewMemory(n.cfg.Store), n.loop.Answer, n.cfg.Store)
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
// It returns once others can connect. If anything fails, what was begun is undone.
func (n *Node) Start(ctx context.Context) error {
	n.started = time.Now()
	if n.cfg.Data != "" {
		unlock, err := safefile.Lock(n.cfg.Data)
		if err != nil {
			return err
		}
		n.onStop(func() { unlock() })
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n.cancel = cancel
	go n.run(run)
	if err := n.open(); err != nil {
		n.Stop()
		return err
	}
	context.AfterFunc(ctx, n.Stop)
	return nil
}

// run drives the machine until the node stops. The loop's own panic, a broken
// invariant, is not caught: it ends the process, loudly.
func (n *Node) run(ctx context.Context) {
	err := n.loop.Run(ctx)
	n.mu.Lock()
	if !errors.Is(err, context.Canceled) {
		n.err = err
	}
	n.mu.Unlock()
	close(n.ended)
}

func (n *Node) open() error {
	for _, ep := range n.cfg.Listen {
		bound, err := n.hub.Listen(ep)
		if err != nil {
			return err
		}
		bound.Pin, bound.HasPin = n.cfg.Key.Address(), true
		n.mu.Lock()
		n.bound = append(n.bound, bound)
		n.mu.Unlock()
		n.log.Info("listening", "endpoint", bound.String())
	}
	for _, ep := range append(append([]identity.Endpoint(nil), n.cfg.Peers...), n.cfg.Homes...) {
		if err := n.hub.Dial(ep, link.DialOptions{}); err != nil {
			return fmt.Errorf("node: cannot dial %s: %w", ep, err)
		}
	}
	return n.openControl()
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

// Stop drains: it tells every link that the router goes, gives them a moment to
// write what waits, and ends everything. It returns when nothing is left running
// and may be called more than once.
func (n *Node) Stop() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	n.hub.Drain(ctx)
	n.hub.Close()
	n.mu.Lock()
	undo := n.undo
	n.undo = nil
	stop := n.cancel
	n.mu.Unlock()
	if stop != nil {
		stop()
		<-n.ended
	}
	n.writer.Close()
	for i := len(undo) - 1; i >= 0; i-- {
		undo[i]()
	}
}

// Wait waits until the node has stopped, by Stop or by the end of Start's
// context, and returns what ended it if that was neither.
func (n *Node) Wait() error {
	<-n.ended
	n.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}
