package backbone

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// heldOf makes an envelope record with a body of some size; nobody checks it.
func heldOf(n, size int, at int64, own bool) *held {
	e := &envelope.Envelope{Raw: make([]byte, size)}
	e.ID[0], e.ID[1] = byte(n), byte(n>>8)
	return &held{a: (&gate.Gate{}).Own(e), id: wire.PrefixOf(e.ID), bytes: size, at: at, own: own}
}

// TestKeepAgainstModel: whatever is put in, custody is complete until it expires,
// the cache is within its bytes, and each name leads to what is queued (F1, §10.2).
func TestKeepAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKeep(10_000)
		custody := map[wire.Prefix]*held{}
		now := int64(0)
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				h := heldOf(rapid.IntRange(0, 40).Draw(t, "id"), rapid.IntRange(1, 900).Draw(t, "size"), now, rapid.Bool().Draw(t, "own"))
				old := k.at[h.id]
				took := k.put(h)
				if want := old == nil || h.own && !old.own; took != want {
					t.Fatalf("put %v over %v: %v", h.own, old, took)
				}
				if took && h.own {
					custody[h.id] = h
				}
			},
			"expire": func(t *rapid.T) {
				now += rapid.Int64Range(0, 10).Draw(t, "ms")
				for h := k.cache.front(); h != nil && now-h.at > 30; h = k.cache.front() {
					k.drop(k.cache.pop())
				}
				for h := k.warm.front(); h != nil && now-h.at > 30; h = k.warm.front() {
					k.cool()
				}
			},
			"": func(t *rapid.T) {
				if k.cache.bytes > 10_000 || k.cache.bytes < 0 || k.warm.bytes > 10_000 || k.warm.bytes < 0 {
					t.Fatalf("%d and %d bytes", k.cache.bytes, k.warm.bytes)
				}
				bytes := 0
				for id, h := range custody {
					if k.at[id] != h {
						t.Fatalf("custody lost %x", id)
					}
					if !h.a.IsZero() {
						bytes += h.size()
					}
				}
				if bytes != k.warm.bytes {
					t.Fatalf("%d bytes in memory count as %d", bytes, k.warm.bytes)
				}
				if next := k.next(); (next == 0) != (k.cache.front() == nil && k.warm.front() == nil) {
					t.Fatalf("next at %d", next)
				}
				for id, h := range k.at {
					if h.id != id || !h.own && h.at < now-cacheLife {
						t.Fatalf("%x leads to %x", id, h.id)
					}
				}
			},
		})
	})
}

// TestOfferNumbersAgainstModel: a number is new once in a minute, as long as the
// table has room (§11.1).
func TestOfferNumbersAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := newOIDTable(1_000)
		last := map[oidKey]int64{}
		now := int64(1)
		t.Repeat(map[string]func(*rapid.T){
			"see": func(t *rapid.T) {
				k := oidKey{oid: [8]byte{byte(rapid.IntRange(0, 20).Draw(t, "oid"))}, root: testKey(rapid.IntRange(0, 2).Draw(t, "root")).Address()}
				at, seen := last[k]
				want := !seen || now > at+oidLife
				if table.first(now, k) != want {
					t.Fatalf("%v at %d, last new at %d", k.oid, now, at)
				}
				if want {
					last[k] = now
				}
			},
			"wait": func(t *rapid.T) { now += rapid.Int64Range(0, oidLife/2).Draw(t, "ms") },
			"": func(t *rapid.T) {
				if len(table.list) != len(table.seen) {
					t.Fatalf("%d numbers, %d places", len(table.list), len(table.seen))
				}
			},
		})
	})
}

// TestFlagsAgainstModel: a flag of this router's own shows at once, and is seen
// until CLEAR after the last instant at which it was true (J1, §9.1).
func TestFlagsAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &presence{}
		var want wire.InterestFlags
		var ended [3]int64 // when a flag ended; -1: it has not, or never was
		for i := range ended {
			ended[i] = -1
		}
		now := int64(1)
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				next := wire.InterestFlags(rapid.IntRange(0, 7).Draw(t, "flags"))
				for i := range ended {
					switch bit := wire.InterestFlags(1) << i; {
					case next&bit != 0:
						ended[i] = -1
					case want&bit != 0:
						ended[i] = now
					}
				}
				want = next
			},
			"wait": func(t *rapid.T) { now += rapid.Int64Range(0, clearAfter).Draw(t, "ms") },
			"": func(t *rapid.T) {
				for i := range p.ends {
					p.settle(now, i, want)
					bit := wire.InterestFlags(1) << i
					shown := want&bit != 0 || ended[i] >= 0 && now < ended[i]+clearAfter
					if p.flags&bit != 0 != shown {
						t.Fatalf("flag %v shows %v, want %v", bit, p.flags&bit != 0, shown)
					}
					if (p.ends[i] != 0) != (shown && want&bit == 0) {
						t.Fatalf("flag %v: its end is planned for %d", bit, p.ends[i])
					}
				}
			},
		})
	})
}

// meshOf joins a random connected graph and returns its pairs.
func meshOf(n *network, r *rand.Rand) []string {
	var pairs []string
	for i := 1; i < len(n.nodes); i++ {
		pairs = append(pairs, n.nodes[r.IntN(i)].name+n.nodes[i].name)
	}
	for range len(n.nodes) {
		i, j := r.IntN(len(n.nodes)), r.IntN(len(n.nodes))
		if p := n.nodes[min(i, j)].name + n.nodes[max(i, j)].name; i != j && !has(pairs, p) {
			pairs = append(pairs, p)
		}
	}
	n.link(pairs...)
	return pairs
}

// TestSteadyState is I8 on random graphs with three roots: in the steady state an
// envelope crosses each edge at most once, goes only where the tree of its publish
// root spans ingress and members, and is a duplicate nowhere (§10.1).
func TestSteadyState(t *testing.T) {
	for seed := range uint64(15) {
		r := rand.New(rand.NewPCG(seed, 7))
		n := newNetwork(t, 4+r.IntN(6))
		meshOf(n, r)
		n.run(settled)
		members := map[string]bool{}
		for _, c := range n.nodes {
			if r.IntN(2) == 0 {
				members[c.name] = true
				c.want(groupTarget(), nil)
			}
		}
		sender := n.nodes[r.IntN(len(n.nodes))]
		sender.publish(n.message(0))
		n.run(15_000) // elsewhere is known, offers are over
		crossed := crossings(n)
		for i := range 5 {
			id := sender.publish(n.message(1 + i))
			n.run(1_000)
			o := oracle{n, sender.b.subjects.At(groupTarget()).publish}
			for edge, times := range *crossed {
				if edge.id != id {
					continue
				}
				if times != 1 {
					t.Fatalf("seed %d: crossed %s→%s %d times", seed, edge.from, edge.to, times)
				}
				if !o.needed(n.core(edge.from), n.core(edge.to), sender, members) {
					t.Fatalf("seed %d: crossed %s→%s, behind which is no member", seed, edge.from, edge.to)
				}
			}
			for _, c := range n.nodes {
				if got := c.got(id); got != btoi(members[c.name] && c != sender) {
					t.Fatalf("seed %d: %s got it %d times", seed, c.name, got)
				}
			}
		}
	}
}

// needed reports whether a member is on to's side of the tree edge from–to.
func (o oracle) needed(from, to, sender *core, members map[string]bool) bool {
	for _, c := range o.n.nodes {
		if !members[c.name] || c == sender {
			continue
		}
		down := o.parentOf(to) == from
		if down && o.below(c, to) || !down && o.parentOf(from) == to && !o.below(c, from) {
			return true
		}
	}
	return false
}

// TestWhoSeesATarget is I13: a neighbour is shown a target only as the parent in
// the tree of one of its roots, or if it showed it itself (§9.1, §9.2).
func TestWhoSeesATarget(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 8))
		n := newNetwork(t, 4+r.IntN(4))
		meshOf(n, r)
		n.run(settled)
		spoken := map[[3]any]bool{}
		n.tap = func(from, to *core, f wire.Frame) {
			for _, x := range targetsIn(f) {
				spoken[[3]any{from.name, to.name, x}] = true
				asParent := false
				for root := range from.b.branches.All() {
					if p, ok := from.b.forest.Parent(root); ok && n.cable(p) == n.cable(linkBetween(n, from, to)) {
						asParent = true
					}
				}
				if !asParent && !spoken[[3]any{to.name, from.name, x}] {
					t.Errorf("seed %d: %s shows %v to %s in %v", seed, from.name, x, to.name, f)
				}
			}
		}
		for i := range 40 {
			randomStep(n, r, i)
			n.run(int64(r.IntN(3_000)))
		}
		if t.Failed() {
			return
		}
	}
}

// targetsIn lists the targets that a frame shows.
func targetsIn(f wire.Frame) (list []envelope.Target) {
	switch f := f.(type) {
	case *wire.Interest:
		for _, e := range f.Entries {
			list = append(list, e.Target)
		}
	case *wire.Elsewhere:
		for _, e := range f.Entries {
			list = append(list, e.Target)
		}
	case *wire.Data:
		list = append(list, f.Envelope.Target)
	case *wire.Offer:
		list = append(list, f.Target)
	}
	return list
}

func linkBetween(n *network, a, b *core) (id machine.LinkID) {
	for _, k := range n.links {
		if k.up && (k.a == a && k.b == b || k.a == b && k.b == a) {
			return k.id
		}
	}
	return 0
}

// TestRootsOfATarget: the trees in which a target has a part are those of its
// roots, each once, in the order of their keys or as they were.
func TestRootsOfATarget(t *testing.T) {
	n := newNetwork(t, 1)
	a, keys := n.core("A"), []identity.Address{testKey(1).Address(), testKey(2).Address(), testKey(3).Address()}
	for _, c := range []struct {
		caption string
		p, s, u int // primary, secondary, publish; -1: none
		shown   []int
		want    int
	}{
		{"no root", -1, -1, -1, nil, 0},
		{"one root", 0, -1, 0, nil, 1},
		{"pushed on the secondary", 0, 1, 1, nil, 2},
		{"pushed on a third", 0, 1, 2, nil, 3},
		{"was shown elsewhere", 0, 1, 0, []int{2}, 3},
		{"was shown there already", 0, 1, 0, []int{0, 1}, 2},
	} {
		s := a.b.subject(groupNumber(c.want))
		at := func(i int) (k identity.Address) {
			if i >= 0 {
				k = keys[i]
			}
			return k
		}
		s.primary, s.secondary, s.publish = at(c.p), at(c.s), at(c.u)
		s.presences.Clear()
		for _, i := range c.shown {
			s.presences.Set(keys[i], &presence{flags: wire.Receiver})
		}
		got := a.b.rootsOf(s)
		seen := map[identity.Address]bool{}
		for _, root := range got {
			if root.IsZero() || seen[root] {
				t.Errorf("%s: %v", c.caption, got)
			}
			seen[root] = true
		}
		if len(got) != c.want {
			t.Errorf("%s: %d roots, want %d", c.caption, len(got), c.want)
		}
	}
}
