package backbone

import (
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A liar is the neighbour B of A, which sends whatever the fuzzer's bytes say:
// frames that are well-formed but false, what honest routers once sent, and
// garbage. A also links C and D, which are honest.
type liar struct {
	n      *network
	a      *core
	seen   []wire.Frame // what honest routers sent, to be replayed
	input  []byte
	forged *envelope.Envelope
}

func newLiar(t testing.TB, input []byte) *liar {
	n := newNamed(t, "ABCD", "ABCD")
	x := &liar{n: n, a: n.core("A"), input: input}
	n.tap = func(_, _ *core, f wire.Frame) {
		if len(x.seen) < 250 {
			x.seen = append(x.seen, f)
		}
	}
	n.link("AB", "AC", "AD")
	n.run(settled)
	n.core("D").want(groupTarget(), nil)
	n.core("B").want(groupTarget(), nil)
	n.run(500)
	n.core("C").publish(n.message(1))
	n.run(500)
	e := n.message(77)
	forged, err := envelope.Parse(envelope.Assemble(e.HeaderBytes, identity.Signature{9}, nil, e.Body), nil)
	if err != nil {
		t.Fatal(err)
	}
	x.forged = forged
	return x
}

// next takes one byte of the input; the end reads as 0.
func (x *liar) next() int {
	if len(x.input) == 0 {
		return 0
	}
	b := x.input[0]
	x.input = x.input[1:]
	return int(b)
}

func (x *liar) root() identity.Address {
	return testKey([]int{0, 1, 2, 3, 77}[x.next()%5]).Address()
}

func (x *liar) target() envelope.Target {
	switch i := x.next(); i % 4 {
	case 0, 1:
		return groupTarget()
	case 2:
		return mailTarget()
	default:
		return envelope.Target{Kind: envelope.Kind(i / 4 % 2), To: testKey(4000 + i/8).Address()}
	}
}

func (x *liar) grant() *wire.Grant {
	router := x.n.core("B").key.Address()
	switch x.next() % 4 {
	case 0:
		return grant(mailKey, router, x.n.now+int64(x.next())*1_000)
	case 1:
		return forgedGrant(router, x.n.now+60_000)
	case 2:
		return grant(testKey(1101), router, x.n.now+grantLife)
	}
	return nil
}

func (x *liar) ids() []wire.Prefix {
	list := make([]wire.Prefix, 1+x.next()%20)
	for i := range list {
		switch v := x.next(); v % 3 {
		case 0:
			list[i] = wire.Prefix{byte(v)}
		case 1:
			list[i] = wire.PrefixOf(x.n.message(1).ID)
		default:
			list[i] = wire.PrefixOf(x.forged.ID)
		}
	}
	return list
}

func (x *liar) envelope() *envelope.Envelope {
	switch i := x.next(); i % 3 {
	case 0:
		return x.forged
	case 1:
		return x.n.message(100 + i)
	default:
		key, target := testKey(4000+i/8), x.target()
		if target.Kind == envelope.Group { // a group of its own
			target.To = key.Address()
		}
		return x.n.letter(key, envelope.Header{Target: target, First: uint64(i), Flags: envelope.Flags(i / 128)})
	}
}

func (x *liar) stamp() wire.Stamp {
	return wire.Stamp{Ingress: x.root(), Time: uint64(x.n.now - int64(x.next())*4_000)}
}

// frame makes the next frame, or nil.
func (x *liar) frame() wire.Frame {
	switch x.next() % 13 {
	case 0:
		return &wire.Graft{Root: x.root()}
	case 1:
		return &wire.Prune{Root: x.root()}
	case 2:
		f := &wire.Interest{Root: x.root()}
		for range 1 + x.next()%5 {
			f.Entries = append(f.Entries, wire.InterestEntry{Target: x.target(), Flags: wire.InterestFlags(x.next() % 8), Grant: x.grant()})
		}
		return f
	case 3:
		return &wire.Elsewhere{Root: x.root(), Entries: []wire.ElsewhereEntry{{Target: x.target(), Yes: x.next()%2 > 0}}}
	case 4:
		return &wire.Data{Root: x.root(), Hops: uint64(x.next() % 49), Stamp: x.stamp(), Envelope: x.envelope()}
	case 5:
		return &wire.Offer{Root: x.root(), Target: x.target(), Deep: x.next()%2 > 0, OID: [8]byte{byte(x.next())}, IDs: x.ids()}
	case 6:
		return &wire.Pull{Hops: uint64(x.next() % 49), IDs: x.ids()}
	case 7:
		return &wire.Pulled{Stamp: x.stamp(), Envelope: x.envelope()}
	case 8:
		return &wire.NoHave{IDs: x.ids()}
	case 9:
		return &wire.Retract{Root: x.root()}
	case 10:
		return &wire.SeqReq{Root: x.root(), Want: uint64(x.n.now/1000) + uint64(x.next()), Hops: uint64(x.next() % 33)}
	case 11: // a replay, perhaps of what another said
		return x.seen[x.next()%len(x.seen)]
	}
	k := min(x.next(), len(x.input)) // garbage; mostly no frame
	f, err := wire.Decode(x.input[:k], nil)
	x.input = x.input[k:]
	if err != nil {
		return nil
	}
	return f
}

// speak sends the frames that the input says, with pauses between.
func (x *liar) speak() {
	link := x.n.ends("AB").id
	for len(x.input) > 0 && x.n.ends("AB").up {
		if f := x.frame(); f != nil && f.Type() >= 32 {
			if _, unknown := f.(*wire.Unknown); !unknown {
				x.a.do(func(now int64) { x.a.frame(now, link, f, f.Weight()) })
			}
		}
		if p := x.next(); p%4 == 0 {
			x.n.run(int64(p) * int64(p) / 2)
		}
	}
}

// check: tables are within bounds, and honest traffic through A still flows: every
// message from C to D, once (I14).
func (x *liar) check(t testing.TB) {
	var ids []envelope.ID
	for i := range 3 {
		ids = append(ids, x.n.core("C").publish(x.n.message(1_000+i)))
		x.n.run(500)
	}
	x.n.run(40_000)
	for i, id := range ids {
		if got := x.n.core("D").got(id); got != 1 {
			t.Errorf("honest message %d came %d times", i, got)
		}
	}
	for _, name := range []string{"C", "D"} {
		if c := x.n.core(name); c.counts[machine.FaultCharged] != 0 {
			t.Errorf("%s charged A, which was only made to pass something on: %d", name, c.counts[machine.FaultCharged])
		}
	}
	for _, c := range x.n.nodes {
		withinBounds(t, c)
	}
}

// withinBounds holds every table of a core against its bound, and counters against
// what they count.
func withinBounds(t testing.TB, c *core) {
	b, z := c.b, c.b.Sizes()
	for _, table := range []struct {
		caption    string
		used, most int
	}{
		{"entries", z.Entries, b.bounds.entries}, {"subjects", z.Subjects, b.bounds.targets}, {"missing", z.Missing, b.bounds.missing},
		{"offers", z.Offers, b.bounds.offers}, {"cache", z.CacheBytes, b.bounds.cache}, {"checks", z.GrantChecks, b.bounds.checks},
		{"custody", z.CustodyBytes, z.CustodyLimit}, {"ends of grants", b.ends.Len(), endsSpare + 2*(b.entries+b.subjects.Len()) + 1},
		{"branches", b.branches.Len(), 40}, {"places of offers", len(b.oids.seen), b.bounds.offers},
	} {
		if table.used < 0 || table.used > table.most {
			t.Errorf("%s: %s has %d of %d", c.name, table.caption, table.used, table.most)
		}
	}
	entries := 0
	for _, br := range b.branches.All() {
		for _, k := range br.kids {
			entries += k.entries.Len()
		}
	}
	if entries != b.entries {
		t.Errorf("%s: %d entries are counted as %d", c.name, entries, b.entries)
	}
	open, brought := 0, 0
	for _, m := range b.missing.All() {
		if len(m.providers) > providersMax || len(m.askers) > b.bounds.askers {
			t.Errorf("%s: a missing id has %d providers and %d askers", c.name, len(m.providers), len(m.askers))
		}
		open += btoi(m.out != 0)
		brought += btoi(b.neighbours.Has(m.by))
	}
	for _, n := range b.neighbours.All() {
		open, brought = open-n.open, brought-n.brought
		if n.open < 0 || n.open > b.bounds.pulls || n.queued < 0 || n.checking < 0 || len(n.deferred) > b.bounds.deferred {
			t.Errorf("%s: a neighbour's counters: %+v", c.name, *n)
		}
	}
	if open != 0 || brought != 0 {
		t.Errorf("%s: %d pulls and %d records are counted wrongly", c.name, open, brought)
	}
}

// FuzzFrames lets one neighbour send anything (spec §12.1): no panic, tables within
// their bounds, and honest traffic flows.
func FuzzFrames(f *testing.F) {
	for seed := range 12 {
		b := make([]byte, 300)
		v := uint32(seed)
		for i := range b {
			v = v*1664525 + 1013904223
			b[i] = byte(v >> 24)
		}
		f.Add(b)
	}
	f.Add([]byte{0, 0, 2, 0, 4, 0, 7, 0, 1, 0, 4, 0, 1, 0, 0, 1})
	f.Fuzz(func(t *testing.T, input []byte) {
		x := newLiar(t, input[:min(len(input), 2_000)])
		x.speak()
		x.check(t)
	})
}

// TestLiars is FuzzFrames with bytes of a generator.
func TestLiars(t *testing.T) {
	for seed := range 40 {
		b := make([]byte, 600)
		v := uint32(seed + 1_000)
		for i := range b {
			v = v*1664525 + 1013904223
			b[i] = byte(v >> 24)
		}
		x := newLiar(t, b)
		x.speak()
		x.check(t)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
