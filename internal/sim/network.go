package sim

import (
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/router"
	"upsycle/internal/wire"
)

// A Network is a world of real routers and services, its monitor, and the ledger
// of what was published and what arrived.
type Network struct {
	*World
	Monitor  *Monitor
	Cores    []*Node
	Edges    []*Node
	Services []*Service

	noRoot   map[*Node]bool
	spoil    func(n *Node, r *router.Router) machine.Machine // tests break routers with it
	coreKeys []identity.Address                              // all cores: whoever has a link may use it
	ledger   ledger
}

// NewNetwork returns an empty network.
func NewNetwork(cfg Config) *Network {
	x := &Network{World: NewWorld(cfg), noRoot: map[*Node]bool{}, ledger: newLedger()}
	x.Monitor = NewMonitor(x.World)
	return x
}

// AddCore adds a core router, which is down until it is booted. All cores must be
// added before the first boots. One without canRoot never becomes a root.
func (x *Network) AddCore(name string, canRoot bool) *Node {
	n := x.Add(name, wire.Core, nil)
	n.make = func(seed uint64) machine.Machine { return x.newRouter(n, seed, nil) }
	x.noRoot[n] = !canRoot
	x.Cores = append(x.Cores, n)
	x.coreKeys = append(x.coreKeys, n.Address())
	return n
}

// AddEdge adds an edge router with its links to its homes.
func (x *Network) AddEdge(name string, homes ...*Node) *Node {
	n := x.Add(name, wire.Edge, nil)
	var keys []identity.Address
	for _, h := range homes {
		keys = append(keys, h.Address())
		x.Connect(n, h, 3*time.Millisecond)
	}
	n.make = func(seed uint64) machine.Machine { return x.newRouter(n, seed, keys) }
	x.Edges = append(x.Edges, n)
	return n
}

func (x *Network) newRouter(n *Node, seed uint64, homes []identity.Address) machine.Machine {
	cfg := router.Config{Role: n.Role, Services: gate.Access{Any: true}, Homes: homes}
	if n.Role == wire.Core {
		cfg.Edges, cfg.Peers, cfg.CanRoot = gate.Access{Any: true}, x.coreKeys, !x.noRoot[n]
	}
	r, err := router.New(cfg, n.Address(), seed)
	if err != nil {
		panic(fmt.Sprintf("sim: %v: %v", n.Name, err))
	}
	if x.spoil != nil {
		return x.spoil(n, r)
	}
	return r
}

// MayRoot reports whether a core may become a root.
func (x *Network) MayRoot(a identity.Address) bool {
	n := x.Node(a)
	return n != nil && n.Role == wire.Core && !x.noRoot[n]
}

// Router returns the snapshot of a router that is up.
func (x *Network) Router(n *Node) router.Snapshot { return n.m.(routing).Snapshot() }

// build adds cores, in the shape of a graph, and boots them within a second.
func (x *Network) build(shape Shape, n, degree int) {
	for i := range n {
		x.AddCore(fmt.Sprintf("R%d", i), true)
	}
	for _, e := range Graph(shape, n, degree, x.random) {
		x.Connect(x.Cores[e[0]], x.Cores[e[1]], latency(x.random))
	}
	for _, c := range x.Cores {
		x.after(x.between(0, time.Second), c.Boot)
	}
}

// backbone returns the links between cores.
func (x *Network) backbone() []*Link {
	var list []*Link
	for _, l := range x.links {
		if l.A.Role == wire.Core && l.B.Role == wire.Core {
			list = append(list, l)
		}
	}
	return list
}
