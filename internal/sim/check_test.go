package sim

import (
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// The instruments are tested: a sound net of five routers passes every checker,
// and each fault that is planted in it is found by the checker that looks for it.

type links = map[string][]string

// sound is the tree R – A – (B, C), R – D in the tree of root R, which is the only
// one. B wants g, C wants and sends g, D holds h, which nobody wants.
func sound() (*Net, *keyring) {
	k := newKeyring(false)
	net := links{"R": {"A", "D"}, "A": {"R", "B", "C"}, "B": {"A"}, "C": {"A", "D"}, "D": {"R", "C"}}
	parents := map[string]string{"A": "R", "D": "R", "B": "A", "C": "A"}
	metric := map[string]int64{"R": 0, "A": 70, "D": 70, "B": 140, "C": 140}
	root := k.key("R").Address()
	var views []View
	for _, name := range []string{"R", "A", "B", "C", "D"} {
		v := View{Self: k.key(name).Address()}
		r := RootView{Root: root, Seq: 7, Metric: metric[name], FD: pair{7, metric[name]}, Reach: true, Counting: true}
		for i, peer := range net[name] {
			id := machine.LinkID(i + 1)
			v.Links = append(v.Links, LinkView{id, k.key(peer).Address(), 70})
			if parents[name] == peer {
				r.Parent, r.ParentLink = k.key(peer).Address(), id
			}
		}
		v.Roots = []RootView{r}
		views = append(views, v)
	}
	n := NewNet(views, k.name)
	n.wants(k, "B", "g", wire.Receiver)
	n.wants(k, "C", "g", wire.Receiver|wire.Sender)
	n.wants(k, "D", "h", wire.Holder)
	n.settle(root)
	return n, k
}

// wants gives a router a part in a group.
func (n *Net) wants(k *keyring, name, group string, f wire.InterestFlags) {
	root := k.key("R").Address()
	v := n.view(k.key(name).Address())
	held := 0
	if f&wire.Holder != 0 {
		held = 1
	}
	v.Locals = append(v.Locals, LocalView{
		Target: groupTarget(k, group), Primary: root, Publish: root,
		Wanted: f&wire.Receiver != 0, Sender: f&wire.Sender != 0, Held: held,
		Shown: map[identity.Address]wire.InterestFlags{root: f},
	})
}

func groupTarget(k *keyring, name string) envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: k.key(name).Address()}
}

// settle fills the tables as right routers would.
func (n *Net) settle(root identity.Address) {
	fam := n.family(root)
	for i := range n.Views {
		v := &n.Views[i]
		t := TreeView{Root: root, Up: map[envelope.Target]wire.InterestFlags{}, Elsewhere: map[envelope.Target]int8{}}
		for _, c := range fam.kids[v.Self] {
			entries := map[envelope.Target]wire.InterestFlags{}
			for g, f := range fam.interest(c) {
				entries[g] = f
			}
			t.Children = append(t.Children, ChildView{Peer: c.Self, Link: v.linkOf(c.Self), Entries: entries})
		}
		if v.Self != root {
			for g, f := range fam.interest(v) {
				t.Up[g] = f
			}
		}
		v.Trees = []TreeView{t}
	}
	all := map[envelope.Target]int{}
	for i := range n.Views {
		for _, l := range n.Views[i].Locals {
			if l.Shown[root]&wire.Receiver != 0 {
				all[l.Target]++
			}
		}
	}
	for i := range n.Views {
		v := &n.Views[i]
		below := fam.receivers(v)
		for g, f := range v.Trees[0].Up {
			if f&(wire.Sender|wire.Holder) != 0 {
				v.Trees[0].Elsewhere[g] = -1
				if all[g] > below[g] {
					v.Trees[0].Elsewhere[g] = 1
				}
			}
		}
	}
}

func (v *View) linkOf(peer identity.Address) machine.LinkID {
	for _, l := range v.Links {
		if l.Peer == peer {
			return l.Link
		}
	}
	return 0
}

// checkAll runs all checkers on a net.
func checkAll(n *Net) []string {
	wanted := func(a identity.Address, t envelope.Target) bool {
		return n.Name(t.To) == "g" && (n.Name(a) == "B" || n.Name(a) == "C")
	}
	list := CheckTrees(n, func(identity.Address) bool { return true })
	list = append(list, CheckOrder(n)...)
	list = append(list, CheckInterest(n)...)
	list = append(list, CheckGhosts(n, wanted)...)
	list = append(list, CheckElsewhere(n)...)
	return append(list, CheckShown(n)...)
}

func TestASoundNetPasses(t *testing.T) {
	n, _ := sound()
	for _, f := range checkAll(n) {
		t.Error(f)
	}
}

func TestPlantedFaultsAreFound(t *testing.T) {
	type net struct {
		*Net
		k *keyring
	}
	at := func(n net, name string) *View { return n.view(n.k.key(name).Address()) }
	address := func(n net, name string) identity.Address { return n.k.key(name).Address() }
	for _, c := range []struct {
		caption string
		plant   func(n net)
		want    string // how a fault that must be found begins
	}{
		{"a cycle of two", func(n net) {
			at(n, "A").Roots[0].Parent, at(n, "A").Roots[0].ParentLink = address(n, "B"), 2
		}, "I1: a cycle"},
		{"a parent whose fd is no better", func(n net) { at(n, "A").Roots[0].FD = pair{7, 140} }, "I2: fd of B"},
		{"a parent whose fd is older", func(n net) { at(n, "A").Roots[0].FD = pair{6, 10} }, "I2: fd of B"},
		{"no reach", func(n net) { at(n, "C").Roots[0].Reach = false }, "I4: C has no reach"},
		{"a metric that is no sum", func(n net) { at(n, "C").Roots[0].Metric++ }, "I4: C has metric 141"},
		{"a parent that is gone", func(n net) { at(n, "C").Roots[0].ParentLink = 9 }, "I4: C has reach to root R and no parent"},
		{"a root that hangs on another", func(n net) { at(n, "R").Roots[0].Parent = address(n, "A") }, "I4: root R is not its own"},
		{"a dead root that counts", func(n net) {
			for i := range n.Views {
				n.Views[i].Roots[0].Root = address(n, "gone")
			}
		}, "I4: gone is a counting root"},
		{"disagreement on the roots", func(n net) { at(n, "D").Roots[0].Counting = false }, "I4: D counts the roots []"},
		{"no root at all", func(n net) {
			for i := range n.Views {
				n.Views[i].Roots[0].Counting = false
			}
		}, "I4: R counts no root"},
		{"a child without an entry", func(n net) { at(n, "A").Trees[0].Children = at(n, "A").Trees[0].Children[:1] }, "I5: C points at A"},
		{"an entry without a child", func(n net) {
			at(n, "D").Trees[0].Children = []ChildView{{Peer: address(n, "C"), Entries: map[envelope.Target]wire.InterestFlags{}}}
		}, "I5: D has C as a child"},
		{"a flag that is missing", func(n net) { at(n, "A").Trees[0].Children[1].Entries[groupTarget(n.k, "g")] = wire.Receiver }, "I5: in tree R A knows of C: g R,"},
		{"a flag too many", func(n net) { at(n, "A").Trees[0].Children[0].Entries[groupTarget(n.k, "g")] |= wire.Holder }, "I5: in tree R A knows of B: g RH,"},
		{"an entry that is missing", func(n net) { delete(at(n, "R").Trees[0].Children[0].Entries, groupTarget(n.k, "g")) }, "I5: in tree R R knows of A: g -,"},
		{"a child that believes to have told more", func(n net) { at(n, "B").Trees[0].Up[groupTarget(n.k, "x")] = wire.Receiver }, "I5: in tree R B told A: x R,"},
		{"a ghost", func(n net) { at(n, "R").Trees[0].Children[1].Entries[groupTarget(n.k, "x")] = wire.Receiver }, "I6: a ghost: R has x of D"},
		{"interest without a client", func(n net) { at(n, "D").Locals[0].Wanted = true }, "I6: D wants h: true"},
		{"a client without interest", func(n net) { at(n, "B").Locals[0].Wanted = false }, "I6: B wants g: false"},
		{"a wrong no", func(n net) { at(n, "C").Trees[0].Elsewhere[groupTarget(n.k, "g")] = -1 }, "I7: in tree R C was told -1 of g"},
		{"a wrong yes", func(n net) { at(n, "D").Trees[0].Elsewhere[groupTarget(n.k, "h")] = 1 }, "I7: in tree R D was told +1 of h"},
		{"never told", func(n net) { delete(at(n, "A").Trees[0].Elsewhere, groupTarget(n.k, "g")) }, "I7: in tree R A was told +0 of g"},
		{"a wrong map", func(n net) { at(n, "B").Locals[0].Primary = address(n, "A") }, "R4: B maps g"},
		{"R not shown", func(n net) { at(n, "B").Locals[0].Shown = nil }, "J1: B shows - of g"},
		{"S not shown", func(n net) { at(n, "B").Locals[0].Sender = true }, "J1: B shows R of g in tree R, right is RS"},
		{"H shown in another tree", func(n net) { at(n, "D").Locals[0].Shown[address(n, "A")] = wire.Holder }, "J1: D shows H of h in tree A"},
	} {
		n, k := sound()
		c.plant(net{n, k})
		got := checkAll(n)
		found := false
		for _, f := range got {
			found = found || strings.HasPrefix(f, c.want)
		}
		if !found {
			t.Errorf("%s: found %q, want %q", c.caption, got, c.want)
		}
	}
}

// TestPushCheckerFindsStrays checks I8: C publishes to g, which B and C want. The
// span is C – A – B.
func TestPushCheckerFindsStrays(t *testing.T) {
	n, k := sound()
	a := func(name string) identity.Address { return k.key(name).Address() }
	edge := func(from, to string) Edge { return Edge{a("R"), a(from), a(to)} }
	for _, c := range []struct {
		caption string
		edges   []Edge
		want    string // part of a fault; empty: none
	}{
		{"the span", []Edge{edge("C", "A"), edge("A", "B")}, ""},
		{"nobody but the ingress", nil, ""},
		{"up to the root", []Edge{edge("C", "A"), edge("A", "R"), edge("A", "B")}, "A–R, outside"},
		{"twice", []Edge{edge("C", "A"), edge("A", "B"), edge("A", "B")}, "A–B twice"},
		{"back", []Edge{edge("C", "A"), edge("A", "C")}, "A–C twice"},
		{"off the tree", []Edge{edge("C", "D")}, "C–D, which is no edge"},
		{"two trees", []Edge{edge("C", "A"), {a("D"), a("A"), a("B")}}, "in the trees R and D"},
	} {
		got := CheckPush(n, envelope.ID{1}, &Trace{Target: groupTarget(k, "g"), Edges: c.edges}, a("C"), false)
		if c.want == "" && len(got) > 0 || c.want != "" && !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: found %q, want %q", c.caption, got, c.want)
		}
	}
}

func TestFirstPushMayClimb(t *testing.T) {
	n, k := sound()
	a := func(name string) identity.Address { return k.key(name).Address() }
	up := &Trace{Target: groupTarget(k, "g"), Edges: []Edge{{a("R"), a("C"), a("A")}, {a("R"), a("A"), a("R")}}}
	if got := CheckPush(n, envelope.ID{1}, up, a("C"), true); len(got) > 0 {
		t.Errorf("up to the root while nobody has said that nobody is there: %v", got)
	}
	down := &Trace{Target: groupTarget(k, "g"), Edges: append(up.Edges, Edge{a("R"), a("R"), a("D")})}
	if got := CheckPush(n, envelope.ID{1}, down, a("C"), true); len(got) != 1 {
		t.Errorf("and down where nobody wants it: %v", got)
	}
}

func TestSpanCrossesTheRoot(t *testing.T) {
	n, k := sound()
	a := func(name string) identity.Address { return k.key(name).Address() }
	got := n.span(a("R"), groupTarget(k, "g"), a("D"))
	for _, name := range []string{"D", "R", "A", "B", "C"} {
		if !got[a(name)] {
			t.Errorf("%s is not in the span of D, B and C", name)
		}
	}
	got = n.span(a("R"), groupTarget(k, "nobody's"), a("B"))
	if len(got) != 1 || !got[a("B")] {
		t.Errorf("the span of B alone is %v", got)
	}
}

func TestMapAgreesWithItself(t *testing.T) {
	k := newKeyring(false)
	roots := []identity.Address{k.key("x").Address(), k.key("y").Address(), k.key("z").Address()}
	spread := map[identity.Address]int{}
	for i := range 300 {
		g := groupTarget(k, string(rune('a'+i%26))+string(rune('a'+i/26)))
		p, s := mapped(g, roots)
		if p == s || p.IsZero() || s.IsZero() || weight(g, p) < weight(g, s) {
			t.Fatalf("%v maps to %v and %v", g, p, s)
		}
		if q, _ := mapped(g, []identity.Address{s, p}); q != p {
			t.Fatalf("without the third root %v maps to %v, not %v", g, q, p)
		}
		spread[p]++
	}
	for _, r := range roots {
		if spread[r] < 60 {
			t.Errorf("%s is primary of %d of 300 targets", k.name(r), spread[r])
		}
	}
}
