package gate

import (
	"testing"

	"pgregory.net/rapid"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A specimen is an envelope and whether it has its right to exist.
type specimen struct {
	e    *envelope.Envelope
	good bool
}

func specimens(t testing.TB) (list []specimen) {
	for n := range uint64(4) {
		e := newLetter(t, n).sign(t)
		list = append(list, specimen{e, true})
		for part := range 3 {
			list = append(list, specimen{forge(t, e, part), false})
		}
	}
	own := newLetter(t, 9)
	own.writer, own.cert = own.group, nil
	e := own.sign(t)
	return append(list, specimen{e, true}, specimen{forge(t, e, 1), false}, specimen{forge(t, e, 2), false})
}

// errands plays any order of submissions, answers, ends of links and time to a
// gate, and notes what became of each case.
type errands struct {
	t    *rapid.T
	b    *bench
	list []specimen
	asks []*machine.Verify
	open map[uint64]specimen // cases without a verdict, by number
	next uint64
}

func (r *errands) submit() {
	s := rapid.SampledFrom(r.list).Draw(r.t, "envelope")
	r.next++
	r.open[r.next] = s
	c := Case{
		Asker: machine.OwnerHome, N: r.next, Envelope: s.e,
		Link: machine.LinkID(rapid.SampledFrom([]byte{7, 8, 50, 90}).Draw(r.t, "link")), Recheck: rapid.Bool().Draw(r.t, "recheck"),
	}
	known := r.b.gate.Seen(s.e.ID)
	v, ask, effects := r.b.submit(c)
	if known && !c.Recheck && v.Result != Known && v.Code != wire.Expired {
		r.t.Fatalf("a known id: %v", v.Result)
	}
	r.note(ask, effects)
	if v.Result != Waiting {
		r.verdict(v)
	}
}

func (r *errands) note(ask *machine.Verify, effects []machine.Effect) {
	if ask != nil {
		r.asks = append(r.asks, ask)
	}
	for _, c := range find[machine.Close](effects) {
		r.b.gate.LinkDown(c.Link)
	}
}

// answer answers one question, of several links in any order.
func (r *errands) answer() {
	if len(r.asks) == 0 {
		return
	}
	i := rapid.IntRange(0, len(r.asks)-1).Draw(r.t, "which")
	ask := r.asks[i]
	r.asks = append(r.asks[:i:i], r.asks[i+1:]...)
	vs, effects := r.b.answer(ask)
	for _, next := range find[machine.Verify](effects) {
		r.asks = append(r.asks, &next)
	}
	r.note(nil, effects)
	for _, v := range vs {
		r.verdict(v)
	}
}

// verdict holds a verdict against what is true of the envelope.
func (r *errands) verdict(v Verdict) {
	s, ok := r.open[v.Case.N]
	if !ok {
		r.t.Fatalf("case %d has a second verdict: %v", v.Case.N, v.Result)
	}
	delete(r.open, v.Case.N)
	switch {
	case v.Result == Waiting, (v.Result == Accepted) != !v.Admitted.IsZero():
		r.t.Fatalf("%v with %v", v.Result, v.Admitted)
	case v.Result == Accepted && (!s.good || v.Admitted.Envelope() != s.e):
		r.t.Fatal("a forged envelope was admitted, or another than the one that was judged")
	case v.Result == Refused && s.good && v.Code != wire.Rate && v.Code != wire.Expired:
		r.t.Fatalf("a good envelope was refused: %v %q", v.Code, v.Text)
	case v.Result == Known && !r.b.gate.Seen(s.e.ID):
		r.t.Fatal("known, but not seen")
	}
}

// check holds the gate's counts against its tables.
func (r *errands) check() {
	g := r.b.gate
	perLink := make(map[machine.LinkID]int)
	waiting := 0
	for _, ask := range r.asks {
		k := g.checks[ask.Token]
		if k == nil || g.pending[k.c.Envelope.ID] != k {
			r.t.Fatal("a question that was asked is not noted")
		}
		perLink[k.c.Link]++
		if waiting += 1 + len(k.copies); len(k.copies) > waitersMax {
			r.t.Fatalf("%d copies wait", len(k.copies))
		}
	}
	if len(g.checks) != len(r.asks) || len(g.pending) != len(r.asks) || waiting != len(r.open) {
		r.t.Fatalf("%d checks, %d pending, %d asked; %d wait of %d", len(g.checks), len(g.pending), len(r.asks), waiting, len(r.open))
	}
	for id, l := range g.links {
		if l.checking < 0 || l.checking > perLink[id] {
			r.t.Fatalf("link %d: %d checks noted, %d asked", id, l.checking, perLink[id])
		}
	}
}

// Every case gets exactly one verdict and a true one, whatever happens between,
// and nothing is left behind.
func TestGateProperty(t *testing.T) {
	list := specimens(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := &errands{t: rt, b: newBench(t, Limits{Seen: rapid.IntRange(2, 20).Draw(rt, "seen")}), list: list, open: make(map[uint64]specimen)}
		r.b.link(7)
		r.b.link(8)
		r.b.link(50)
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			switch rapid.IntRange(0, 7).Draw(rt, "what") {
			case 0, 1, 2, 3:
				r.submit()
			case 4, 5:
				r.answer()
			case 6:
				r.b.now += rapid.Int64Range(0, 200_000).Draw(rt, "pause")
				r.b.step(func() { r.b.gate.Tick(r.b.now) })
			case 7:
				if len(r.open) == 0 && rapid.Bool().Draw(rt, "forget") {
					r.b.gate.Forget(rapid.SampledFrom(list).Draw(rt, "id").e.ID)
				} else {
					r.b.gate.LinkDown(machine.LinkID(rapid.SampledFrom([]byte{7, 8}).Draw(rt, "down")))
				}
			}
			r.check()
			if n := r.b.gate.seen.size(); n > r.b.gate.cfg.Limits.Seen {
				rt.Fatalf("%d ids are remembered", n)
			}
		}
		for len(r.asks) > 0 {
			r.answer()
		}
		if r.check(); len(r.open) != 0 {
			rt.Fatalf("%d cases without a verdict", len(r.open))
		}
	})
}

// spec §4.4: the edges of time, a millisecond to either side.
func TestEdgesOfTime(t *testing.T) {
	for _, x := range []struct {
		caption string
		skew    int64 // our clock against the message's
		ttl     uint64
		code    wire.Code
	}{
		{"clock exact", 0, 600, wire.OK},
		{"five minutes behind", -300_000, 600, wire.OK},
		{"and a millisecond", -300_001, 600, wire.Clock},
		{"an hour behind", -3600_000, 600, wire.Clock},
		{"at the end of its life", 600_000, 600, wire.OK},
		{"and a millisecond later", 600_001, 600, wire.Expired},
		{"an hour ahead", 3600_000, 600, wire.Expired},
		{"the shortest life", 1000, 1, wire.OK},
		{"and a millisecond", 1001, 1, wire.Expired},
		{"the longest life", 30 * 24 * 3600_000, envelope.TTLMax, wire.OK},
		{"and a millisecond more", 30*24*3600_000 + 1, envelope.TTLMax, wire.Expired},
	} {
		b := newBench(t, Limits{})
		link := b.link(7)
		l := newLetter(t, 0)
		l.header.TTL = x.ttl
		b.now = start + x.skew
		if v := b.judge(Case{Link: link, Envelope: l.sign(t)}); v.Code != x.code {
			t.Errorf("%s: %v, want %v", x.caption, v.Code, x.code)
		}
		if b.gate.links[link].faults != nil {
			t.Errorf("%s: a clock was charged", x.caption)
		}
	}
}

// spec §9.3: what only a newer program could have made is charged to nobody, as
// often as it comes.
func TestNewerIsNeverCharged(t *testing.T) {
	b := newBench(t, Limits{})
	link := b.link(7)
	l := newLetter(t, 0)
	l.header.Flags |= 1 << 40
	e := l.sign(t)
	for range 3 * FaultsMax {
		v, ask, effects := b.submit(Case{Link: link, Envelope: e})
		if v.Code != wire.BadVersion || ask != nil || len(effects) != 0 {
			t.Fatalf("%v %v", v.Code, effects)
		}
	}
}

// FuzzGate: an envelope that was changed anywhere is refused, or is another one.
func FuzzGate(f *testing.F) {
	e := newLetter(f, 0).sign(f)
	for _, at := range []int{0, 3, 40, 80, 150, 200, 260, len(e.Raw) - 1} {
		f.Add(at, byte(1))
	}
	f.Fuzz(func(t *testing.T, at int, mask byte) {
		raw := append([]byte(nil), e.Raw...)
		if at < 0 || at >= len(raw) || mask == 0 {
			return
		}
		raw[at] ^= mask
		changed, err := envelope.Parse(raw, nil)
		if err != nil {
			return
		}
		b := newBench(t, Limits{})
		if v := b.judge(Case{Link: b.link(7), Envelope: changed}); v.Result != Refused {
			t.Fatalf("byte %d changed by %#x: %v", at, mask, v.Result)
		}
		if z := b.gate.Sizes(); z.Seen+z.Writers+z.Certificates+z.Checking != 0 {
			t.Fatalf("byte %d changed by %#x left %+v", at, mask, z)
		}
	})
}

// P1 over every bit of one envelope: refused, whatever bit is flipped.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	e := newLetter(t, 0).sign(t)
	for i := range 8 * len(e.Raw) {
		raw := append([]byte(nil), e.Raw...)
		raw[i/8] ^= 1 << (i % 8)
		changed, err := envelope.Parse(raw, nil)
		if err != nil {
			continue
		}
		b := newBench(t, Limits{})
		if v := b.judge(Case{Link: b.link(7), Envelope: changed}); v.Result != Refused {
			t.Errorf("bit %d: %v", i, v.Result)
		}
	}
}
