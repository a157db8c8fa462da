package link

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"

	"upsycle/identity"
)

// Memory is a network inside the process, for tests and demonstrations: mem:name
// endpoints, buffered pipes, no sockets. Its nodes are named, and the way between
// two of them can be cut, frozen and healed. It is safe for concurrent use and
// works inside testing/synctest.
type Memory struct {
	mu        sync.Mutex
	listeners map[string]*memoryListener
	conns     map[*pipe]between // the dialling ends
	ways      map[between]way
	named     int // names that were given out
}

// NewMemory makes an empty network.
func NewMemory() *Memory {
	return &Memory{
		listeners: make(map[string]*memoryListener),
		conns:     make(map[*pipe]between),
		ways:      make(map[between]way),
	}
}

// Node returns the network as the node of that name sees it. What listens through
// it belongs to the node, whatever the listener's own name.
func (m *Memory) Node(name string) Network { return memoryNode{m, name} }

// Dial connects as a node without a name, which cannot be cut off.
func (m *Memory) Dial(ctx context.Context, ep identity.Endpoint) (net.Conn, error) {
	return m.Node("").Dial(ctx, ep)
}

// Listen makes a listener whose node is called like the listener. An empty name
// is replaced by one that is free.
func (m *Memory) Listen(ep identity.Endpoint) (net.Listener, error) { return m.Node("").Listen(ep) }

// Cut breaks all connections between two nodes and refuses new ones until Heal.
func (m *Memory) Cut(a, b string) { m.change(a, b, cut) }

// Freeze lets nothing pass between two nodes and does not tell them, until Heal:
// connections stay, dials wait. So a machine behaves whose cable was pulled.
func (m *Memory) Freeze(a, b string) { m.change(a, b, frozen) }

// Heal makes the way between two nodes whole. Frozen connections go on, cut ones
// stay broken.
func (m *Memory) Heal(a, b string) { m.change(a, b, whole) }

// A way is the state of the network between two nodes.
type way uint8

const (
	whole way = iota
	cut
	frozen
)

// between names two nodes in the order of their names.
type between [2]string

func pair(a, b string) between {
	if b < a {
		a, b = b, a
	}
	return between{a, b}
}

// errCut is what connections report that were cut.
var errCut = fmt.Errorf("link: the way was cut: %w", syscall.ECONNRESET)

func (m *Memory) change(a, b string, to way) {
	m.mu.Lock()
	defer m.mu.Unlock()
	ends := pair(a, b)
	m.ways[ends] = to
	for p, of := range m.conns {
		if of != ends {
			continue
		}
		if to == cut {
			p.fail(errCut)
		}
		p.freeze(to == frozen)
	}
}

// memoryNode is the network as one node sees it.
type memoryNode struct {
	net  *Memory
	name string
}

// Dial connects to a listener. It waits for nothing: the listener's backlog is
// unbounded.
func (n memoryNode) Dial(ctx context.Context, ep identity.Endpoint) (net.Conn, error) {
	if ep.Scheme != identity.SchemeMem {
		return nil, errScheme(ep)
	}
	n.net.mu.Lock()
	l := n.net.listeners[ep.Where]
	if l == nil {
		n.net.mu.Unlock()
		return nil, fmt.Errorf("link: mem:%s: %w", ep.Where, syscall.ECONNREFUSED)
	}
	ends := pair(n.name, l.node)
	state := n.net.ways[ends]
	if state == cut {
		n.net.mu.Unlock()
		return nil, fmt.Errorf("link: mem:%s: %w", ep.Where, syscall.EHOSTUNREACH)
	}
	if state == frozen {
		n.net.mu.Unlock()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	near, far := n.net.connect(n.name, l, ends)
	n.net.mu.Unlock()
	if !l.offer(far) {
		near.Close()
		return nil, fmt.Errorf("link: mem:%s: %w", ep.Where, syscall.ECONNREFUSED)
	}
	return near, nil
}

// connect makes a connection and remembers it until both ends are closed. The
// caller holds mu.
func (m *Memory) connect(from string, l *memoryListener, ends between) (near, far *pipe) {
	open := 2
	forget := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if open--; open == 0 {
			delete(m.conns, near)
		}
	}
	near, far = newPipe(memoryAddr(from), memoryAddr(l.name), forget)
	m.conns[near] = ends
	return near, far
}

// Listen takes a free name.
func (n memoryNode) Listen(ep identity.Endpoint) (net.Listener, error) {
	if ep.Scheme != identity.SchemeMem {
		return nil, errScheme(ep)
	}
	n.net.mu.Lock()
	defer n.net.mu.Unlock()
	name := ep.Where
	for name == "" || ep.Where == "" && n.net.listeners[name] != nil {
		n.net.named++
		name = fmt.Sprintf("memory-%d", n.net.named)
	}
	if n.net.listeners[name] != nil {
		return nil, fmt.Errorf("link: mem:%s: %w", name, syscall.EADDRINUSE)
	}
	l := &memoryListener{net: n.net, name: name, node: n.name}
	if l.node == "" {
		l.node = name
	}
	l.changed.L = &l.mu
	n.net.listeners[name] = l
	return l, nil
}

// A memoryListener waits for dials.
type memoryListener struct {
	net        *Memory
	name, node string

	mu      sync.Mutex
	changed sync.Cond
	waiting []*pipe
	closed  bool
}

func (l *memoryListener) offer(p *pipe) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.waiting = append(l.waiting, p)
	l.changed.Signal()
	return true
}

// Accept waits for the next connection.
func (l *memoryListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) == 0 && !l.closed {
		l.changed.Wait()
	}
	if l.closed {
		return nil, net.ErrClosed
	}
	p := l.waiting[0]
	l.waiting = l.waiting[1:]
	return p, nil
}

// Close frees the name and closes what was not accepted.
func (l *memoryListener) Close() error {
	l.net.mu.Lock()
	if l.net.listeners[l.name] == l {
		delete(l.net.listeners, l.name)
	}
	l.net.mu.Unlock()
	l.mu.Lock()
	l.closed = true
	waiting := l.waiting
	l.waiting = nil
	l.changed.Broadcast()
	l.mu.Unlock()
	for _, p := range waiting {
		p.Close()
	}
	return nil
}

// Addr returns the listener's name.
func (l *memoryListener) Addr() net.Addr { return memoryAddr(l.name) }

// memoryAddr is the name of an end.
type memoryAddr string

// Network returns "mem".
func (a memoryAddr) Network() string { return "mem" }

// String returns the name, or "memory" for an end without one.
func (a memoryAddr) String() string {
	if a == "" {
		return "memory"
	}
	return string(a)
}
