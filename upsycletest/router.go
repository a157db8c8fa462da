package upsycletest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/link"
	"upsycle/internal/node"
)

// patience is how long anything here may take before the test fails.
const patience = 20 * time.Second

// A Router is one router of a test. Its methods may be called by any goroutine.
type Router struct {
	name    string
	key     identity.Key
	network *link.Memory
	peers   []identity.Endpoint // that it dials
	accept  []identity.Address  // that dial it
	closed  bool                // only the services in admit may attach
	admit   []identity.Address

	mu   sync.Mutex
	node *node.Node // nil while it is stopped
}

// A RouterOption changes what NewRouter starts.
type RouterOption func(*Router)

// Admit makes the router admit the services with these keys only. Others see what
// a stranger sees at a router that was configured so.
func Admit(services ...identity.Address) RouterOption {
	return func(r *Router) { r.admit, r.closed = services, true }
}

// NewRouter starts a router that ends with the test.
func NewRouter(tb testing.TB, opts ...RouterOption) *Router {
	tb.Helper()
	r := newRouter(tb, "router", link.NewMemory())
	for _, o := range opts {
		o(r)
	}
	r.start(tb)
	return r
}

func newRouter(tb testing.TB, name string, network *link.Memory) *Router {
	tb.Helper()
	return &Router{name: name, key: Key(tb, "router "+name), network: network}
}

// Address returns the router's address.
func (r *Router) Address() identity.Address { return r.key.Address() }

// Endpoint returns the router's endpoint, pinned. It is one inside this process:
// Dial of this package knows how to reach it.
func (r *Router) Endpoint() string { return r.endpoint().String() }

func (r *Router) endpoint() identity.Endpoint {
	return identity.Endpoint{Scheme: identity.SchemeMem, Where: r.name}.WithPin(r.Address())
}

// Dial attaches a service with a fresh key and closes it with the test.
func (r *Router) Dial(tb testing.TB, opts ...upsycle.Option) *upsycle.Conn {
	tb.Helper()
	return r.DialKey(tb, identity.Key{}, opts...)
}

// DialKey attaches the service with that key and closes it with the test.
func (r *Router) DialKey(tb testing.TB, key identity.Key, opts ...upsycle.Option) *upsycle.Conn {
	tb.Helper()
	conn, err := r.TryDial(tb.Context(), key, opts...)
	if err != nil {
		tb.Fatalf("upsycletest: %v (hint: %s)", err, upsycle.Hint(err))
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// TryDial is DialKey for tests that want to see the error. The Conn is the
// caller's to close.
func (r *Router) TryDial(ctx context.Context, key identity.Key, opts ...upsycle.Option) (*upsycle.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return upsycle.Dial(ctx, r.Endpoint(), key, append([]upsycle.Option{r.Dialer()}, opts...)...)
}

// Dialer is the option with which upsycle.Dial reaches Endpoint, for tests of code
// that dials by itself.
func (r *Router) Dialer() upsycle.Option {
	network := r.network.Node(r.clients())
	return upsycle.WithDialer(func(ctx context.Context, ep identity.Endpoint) (net.Conn, error) {
		return network.Dial(ctx, ep)
	})
}

// clients is the place in the network where this router's services are.
func (r *Router) clients() string { return "services-of-" + r.name }

// CutServices breaks the links of all services of this router, which cannot come
// back until HealServices.
func (r *Router) CutServices() { r.network.Cut(r.clients(), r.name) }

// HealServices ends CutServices. The services attach again by themselves.
func (r *Router) HealServices() { r.network.Heal(r.clients(), r.name) }

// Stop stops the router as an operator would. What it held in memory is gone.
func (r *Router) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.node != nil {
		r.node.Stop()
		r.node = nil
	}
}

// Start starts the router again, with the same key and place.
func (r *Router) Start(tb testing.TB) {
	tb.Helper()
	r.start(tb)
}

func (r *Router) start(tb testing.TB) {
	tb.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.node != nil {
		tb.Fatalf("upsycletest: router %s runs already", r.name)
	}
	cfg := node.Config{
		Key: r.key, Network: r.network.Node(r.name), Peers: r.peers, Accept: r.accept, Version: "test",
		Listen: []identity.Endpoint{{Scheme: identity.SchemeMem, Where: r.name}},
	}
	cfg.Services.Keys, cfg.Services.Any = r.admit, !r.closed
	n, err := node.New(cfg)
	if err == nil {
		err = n.Start(context.WithoutCancel(tb.Context()))
	}
	if err != nil {
		tb.Fatalf("upsycletest: router %s: %v", r.name, err)
	}
	r.node = n
	tb.Cleanup(r.Stop)
}
