package node

import (
	"context"
	"net/http"
	"time"

	"upsycle/identity"
	"upsycle/internal/control"
	"upsycle/internal/machine"
	"upsycle/internal/router"
	"upsycle/internal/wire"
)

// openControl serves the control API, where the configuration wants it.
func (n *Node) openControl() error {
	if n.cfg.Control == "" {
		return nil
	}
	l, err := control.Listen(n.cfg.Control)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: control.Handler(n), ReadHeaderTimeout: 5 * time.Second, MaxHeaderBytes: 16 << 10}
	n.running.Go(func() { srv.Serve(l) })
	n.onStop(func() { srv.Close() })
	return nil
}

// Status answers the control API.
func (n *Node) Status(ctx context.Context) (control.Status, error) {
	var snap router.Snapshot
	err := n.loop.Call(ctx, func(m machine.Machine) { snap = m.(*router.Router).Snapshot() })
	if err != nil {
		return control.Status{}, err
	}
	s := control.Status{
		Version: n.cfg.Version, Address: n.Address().Text(identity.RouterText), Role: snap.Role.String(),
		UptimeMs: time.Since(n.started).Milliseconds(), Encryption: "plaintext", Counters: n.Counters(),
		// Never null in JSON: a script may walk them without asking.
		Endpoints: []string{}, Peers: []control.Peer{}, Roots: []control.Root{},
		Clients: []control.Mailbox{}, Targets: []control.Target{}, Tables: []control.Table{},
	}
	for _, ep := range n.Endpoints() {
		s.Endpoints = append(s.Endpoints, ep.String())
	}
	for _, t := range snap.Tables {
		s.Tables = append(s.Tables, control.Table{Name: t.Name, Used: t.Used, Limit: t.Limit})
	}
	addNeighbours(&s, snap)
	addTargets(&s, snap)
	return s, nil
}

func addNeighbours(s *control.Status, snap router.Snapshot) {
	for _, p := range snap.Peers {
		s.Peers = append(s.Peers, control.Peer{Address: p.Peer.Text(identity.RouterText), RTTMs: p.RTT, Cost: p.Cost, Queued: p.Queued})
	}
	children := make(map[identity.Address]int)
	for _, t := range snap.Trees {
		children[t.Root] = len(t.Children)
	}
	for _, r := range snap.Roots {
		root := control.Root{
			Address: r.Root.Text(identity.RouterText), Seq: uint64(r.Seq), Metric: uint64(r.Metric),
			Reach: r.Reach, Counting: r.Counting, Children: children[r.Root],
		}
		if !r.Parent.IsZero() {
			root.Parent = r.Parent.Text(identity.RouterText)
		}
		s.Roots = append(s.Roots, root)
	}
}

func addTargets(s *control.Status, snap router.Snapshot) {
	for _, l := range snap.Local {
		t := control.Target{
			Kind: "group", Address: l.Target.To.Text(identity.GroupText),
			Wanted: l.Wanted, Sender: l.Sender, Held: l.Held,
		}
		if l.Target.Kind != 0 {
			t.Kind, t.Address = "address", l.Target.To.Text(identity.ServiceText)
		}
		if l.Target.To == snap.Self { // mail for this router itself
			t.Address = snap.Self.Text(identity.RouterText)
		}
		if !l.Primary.IsZero() {
			t.Primary = l.Primary.Text(identity.RouterText)
		}
		s.Targets = append(s.Targets, t)
	}
	for _, c := range snap.Clients {
		text := identity.ServiceText
		if c.Role == wire.Edge {
			text = identity.RouterText
		}
		s.Clients = append(s.Clients, control.Mailbox{
			Address: c.Client.Text(text), Role: c.Role.String(), Attached: c.Link != 0,
			Subscriptions: len(c.Subscriptions), Waiting: c.Waiting, WaitingBytes: c.Bytes,
		})
	}
}
