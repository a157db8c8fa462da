package upsycletest

import (
	"context"
	"strings"
	"testing"
	"time"

	"upsycle/internal/link"
)

// A Network is several routers of a test.
type Network struct {
	memory  *link.Memory
	routers map[string]*Router
	order   []*Router
	links   [][2]string
}

// NewNetwork starts routers with links between them and returns when each can
// reach all others. A link is written "A-B"; a name alone is a router without
// links. Any graph will do, also one with cycles. All ends with the test.
func NewNetwork(tb testing.TB, links ...string) *Network {
	tb.Helper()
	n := &Network{memory: link.NewMemory(), routers: make(map[string]*Router)}
	for _, text := range links {
		a, b, isLink := strings.Cut(text, "-")
		first := n.add(tb, a)
		if !isLink {
			continue
		}
		second := n.add(tb, b)
		first.peers = append(first.peers, second.endpoint())
		second.accept = append(second.accept, first.Address())
		n.links = append(n.links, [2]string{a, b})
	}
	for _, r := range n.order {
		r.start(tb)
	}
	n.Settle(tb)
	return n
}

func (n *Network) add(tb testing.TB, name string) *Router {
	if r := n.routers[name]; r != nil {
		return r
	}
	if name == "" {
		tb.Fatal("upsycletest: a link is written A-B, with two names")
	}
	r := newRouter(tb, name, n.memory)
	n.routers[name] = r
	n.order = append(n.order, r)
	return r
}

// Router returns the router of that name; it panics if there is none.
func (n *Network) Router(name string) *Router {
	r := n.routers[name]
	if r == nil {
		panic("upsycletest: there is no router " + name)
	}
	return r
}

// Cut breaks the link between two routers until Heal.
func (n *Network) Cut(a, b string) { n.memory.Cut(n.Router(a).name, n.Router(b).name) }

// Heal makes the link between two routers whole. They link again by themselves,
// which takes a moment: see Settle.
func (n *Network) Heal(a, b string) { n.memory.Heal(n.Router(a).name, n.Router(b).name) }

// Settle waits until all running routers that have links have found the way to
// one common root. Stored messages reach everybody in any case, at last; what is
// published to a settled network reaches them at once.
func (n *Network) Settle(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	const look = 5 * time.Millisecond
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for !n.settled(ctx) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			tb.Fatalf("upsycletest: the routers found no common root in %v", patience)
		}
	}
}

func (n *Network) settled(ctx context.Context) bool {
	if len(n.links) == 0 {
		return true
	}
	common := ""
	for _, r := range n.order {
		root, ok := r.root(ctx)
		if !ok || common != "" && root != common {
			return false
		}
		common = root
	}
	return true
}

// root returns the roots that count for the router, as one text.
func (r *Router) root(ctx context.Context) (string, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.node == nil {
		return "", false
	}
	status, err := r.node.Status(ctx)
	if err != nil {
		return "", false
	}
	var roots []string
	for _, root := range status.Roots {
		if root.Counting {
			roots = append(roots, root.Address)
		}
		if root.Counting && !root.Reach {
			return "", false
		}
	}
	return strings.Join(roots, " "), len(roots) > 0
}
