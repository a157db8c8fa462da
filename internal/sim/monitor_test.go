package sim

import (
	"strings"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// fullMesh is three toys, all linked, and a monitor. R is a root's key.
func fullMesh() (*World, *Monitor, []*Node) {
	w := NewWorld(Config{Seed: 11})
	m := NewMonitor(w)
	n := toys(w, 3)
	for i := range n {
		for j := range i {
			w.Connect(n[j], n[i], time.Millisecond)
		}
	}
	w.Run(time.Second)
	return w, m, n
}

func graft(from, to *Node, root identity.Address) {
	order(from, func(x *toy, _ time.Time) {
		x.desk.Send(linkTo(from, to), machine.Control, &wire.Graft{Root: root})
	})
}

func announceTo(from, to *Node, root identity.Address, seq, metric uint64) {
	order(from, func(x *toy, _ time.Time) {
		hops := []wire.Hop{{Key: root}, {Key: from.Address(), Metric: metric}}
		x.desk.Send(linkTo(from, to), machine.Control, &wire.Announce{Root: root, Seq: seq, Hops: hops})
	})
}

func found(w *World, prefix string) bool {
	for _, f := range w.Faults() {
		if strings.Contains(f, prefix) {
			return true
		}
	}
	return false
}

func TestMonitorSeesCycles(t *testing.T) {
	w, _, n := fullMesh()
	root := rootOf("root", w)
	graft(n[0], n[1], root)
	graft(n[1], n[2], root)
	if found(w, "I1") {
		t.Fatalf("a chain is no cycle: %v", w.Faults())
	}
	graft(n[2], n[0], root)
	if !found(w, "I1: a cycle of parents of root root through T2") {
		t.Errorf("the cycle was not seen: %v", w.Faults())
	}
}

func TestMonitorForgetsPointersThatEnded(t *testing.T) {
	for _, c := range []struct {
		caption string
		end     func(w *World, n []*Node, root identity.Address)
	}{
		{"pruned", func(w *World, n []*Node, root identity.Address) {
			order(n[0], func(x *toy, _ time.Time) { x.desk.Send(linkTo(n[0], n[1]), machine.Control, &wire.Prune{Root: root}) })
		}},
		{"its link ended", func(w *World, n []*Node, root identity.Address) { flap(w, w.Link(n[0], n[1])) }},
		{"its router crashed", func(w *World, n []*Node, root identity.Address) { n[0].Crash(); n[0].Boot(); w.Run(2 * time.Second) }},
		{"the parent forgot", func(w *World, n []*Node, root identity.Address) { n[1].Crash(); n[1].Boot(); w.Run(2 * time.Second) }},
	} {
		w, _, n := fullMesh()
		root := rootOf("root", w)
		graft(n[0], n[1], root)
		c.end(w, n, root)
		graft(n[1], n[0], root)
		if found(w, "I1") {
			t.Errorf("%s: %v", c.caption, w.Faults())
		}
	}
}

func TestMonitorSeesFallingNumbersAndBadParents(t *testing.T) {
	w, _, n := fullMesh()
	root := rootOf("root", w)
	announceTo(n[0], n[1], root, 5, 70)
	announceTo(n[0], n[1], root, 6, 90)
	announceTo(n[1], n[0], root, 6, 160)
	graft(n[1], n[0], root)
	if len(w.Faults()) > 0 {
		t.Fatalf("all was right: %v", w.Faults())
	}
	announceTo(n[1], n[2], root, 6, 80)
	if !found(w, "I2: T1 announced {6 80} of root root, its parent T0 only {6 90}") {
		t.Errorf("a child that announced better was not seen: %v", w.Faults())
	}
	announceTo(n[0], n[2], root, 5, 70)
	if !found(w, "I2: T0 announces root root with number 5 after 6") {
		t.Errorf("a falling number was not seen: %v", w.Faults())
	}
}

func TestMonitorSeesUncoveredAnnouncements(t *testing.T) {
	w, m, n := fullMesh()
	root := rootOf("root", w)
	announceTo(n[0], n[1], root, 5, 70)
	view := View{Self: n[0].Address(), Roots: []RootView{{Root: root, FD: pair{5, 70}}}}
	if f := m.CheckCovered(NewNet([]View{view}, w.Name)); len(f) > 0 {
		t.Errorf("covered: %v", f)
	}
	view.Roots[0].FD = pair{5, 80}
	if f := m.CheckCovered(NewNet([]View{view}, w.Name)); len(f) != 1 {
		t.Errorf("an fd worse than what was announced was not seen: %v", f)
	}
}

func TestMonitorSeesForgedEnvelopes(t *testing.T) {
	for _, c := range []struct {
		role wire.Role
		wrap func(e *envelope.Envelope) wire.Frame
		want bool
	}{
		{wire.Core, func(e *envelope.Envelope) wire.Frame { return &wire.Data{Envelope: e} }, true},
		{wire.Core, func(e *envelope.Envelope) wire.Frame { return &wire.Pulled{Envelope: e} }, true},
		{wire.Core, func(e *envelope.Envelope) wire.Frame { return &wire.Deliver{Envelope: e} }, true},
		{wire.Edge, func(e *envelope.Envelope) wire.Frame { return &wire.Publish{Envelope: e} }, true},
		{wire.Service, func(e *envelope.Envelope) wire.Frame { return &wire.Publish{Envelope: e} }, false},
	} {
		w, m, n := fullMesh()
		e := w.ring.seal(envelope.Header{Target: groupTarget(w.ring, "g"), Time: Epoch, TTL: 60}, nil, w.ring.key("g"), []byte("x"))
		m.Forged(e.ID)
		n[0].Role = c.role
		order(n[0], func(x *toy, _ time.Time) { x.desk.Send(linkTo(n[0], n[1]), machine.Bulk, c.wrap(e)) })
		if found(w, "forged") != c.want {
			t.Errorf("%v %T: %v", c.role, c.wrap(e), w.Faults())
		}
	}
}

func TestWireCatchesWhatDoesNotTravel(t *testing.T) {
	w, a, b, _ := twoToys(Config{Seed: 12, Wire: true})
	order(a, func(x *toy, _ time.Time) {
		x.desk.Send(linkTo(a, b), machine.Control, &wire.Announce{Root: rootOf("root", w)}) // no hop: does not decode
	})
	if !found(w, "does not decode") {
		t.Errorf("faults: %v", w.Faults())
	}
}

func TestSignaturesOfBothKindsHold(t *testing.T) {
	for _, real := range []bool{false, true} {
		k := newKeyring(real)
		g := k.key("g")
		h := envelope.Header{Target: groupTarget(k, "g"), Time: Epoch, TTL: 60}
		cert := k.certificate(g, k.key("writer").Address(), Epoch-1, Epoch+1)
		e := k.seal(h, cert, k.key("writer"), []byte("x"))
		if k.failed([]identity.Claim{e.Cert.Claim(), e.BodyClaim(), e.SigClaim()}) != -1 || e.Fits() != nil {
			t.Errorf("real %v: a good envelope does not hold", real)
		}
		bad := e.Sig
		bad[9] ^= 1
		if k.failed([]identity.Claim{e.BodyClaim(), k.resign(e, bad).SigClaim()}) != 1 {
			t.Errorf("real %v: a forged signature holds", real)
		}
		if k.resign(e, bad).ID != e.ID {
			t.Errorf("real %v: the id covers the signature", real)
		}
	}
}

func flap(w *World, l *Link) {
	l.Cut()
	w.Run(2 * time.Second)
	l.Heal()
	w.Run(2 * time.Second)
}
