package tree

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// FuzzForest plays arbitrary sequences of frames, links, answers and time against
// one forest (I14): it must not panic, its tables must stay bounded, its deadlines
// must be met, and fd must only get better while a tree is known.
func FuzzForest(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 1, 1, 5, 1, 7, 0, 0, 40})
	random := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		script := make([]byte, 400)
		for i := range script {
			script[i] = byte(random.Uint32())
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		(&player{l: newLabOf(t, keyOf("self"), true), script: script}).play()
	})
}

// A player reads a script byte by byte.
type player struct {
	l      *lab
	script []byte
	fds    map[*tree]rung
}

func (p *player) byte() int {
	if len(p.script) == 0 {
		return 0
	}
	b := p.script[0]
	p.script = p.script[1:]
	return int(b)
}

// cast are the routers that a script has to do with; the first is the forest's
// own.
var cast = func() (keys []identity.Key) {
	for _, name := range []string{"self", "p", "q", "r", "root", "other root"} {
		keys = append(keys, keyOf(name))
	}
	for i := range 24 {
		keys = append(keys, keyOf(fmt.Sprint("crowd ", i)))
	}
	return keys
}()

func (p *player) key() identity.Key                  { return cast[p.byte()%len(cast)] }
func (p *player) link() machine.LinkID               { return machine.LinkID(p.byte()%4 + 1) }
func (p *player) metric() (m uint64)                 { return uint64(p.byte()) * 7 }
func (p *player) seq() uint64                        { return uint64(p.byte() % 16) }
func (p *player) class() wire.RootClass              { return wire.RootClass(min(p.byte()/16, 1)) ^ 1 }
func (p *player) when() (ms int64)                   { return p.l.now + int64(p.byte()-128)*6_000 }
func (p *player) peer(l machine.LinkID) identity.Key { return cast[int(l)%len(cast)] }

func (p *player) play() {
	p.fds = make(map[*tree]rung)
	p.l.holding = true
	for len(p.script) > 0 {
		p.op(p.byte() % 12)
		p.check()
	}
	p.l.holding = false
	p.l.release(len(p.l.held))
	p.l.pass(2_000)
	p.check()
}

func (p *player) op(op int) {
	l := p.l
	switch op {
	case 0:
		link := p.link()
		l.up(link, p.peer(link))
	case 1:
		l.down(p.link())
	case 2:
		l.do(func() { l.f.SetCost(l.now, p.link(), p.byte()*8-100) })
	case 3, 4:
		l.release(p.byte()%4 + 1)
	case 5:
		l.pass(1 << (p.byte() % 20))
	case 6:
		l.in(p.link(), &wire.Retract{Root: p.key().Address()})
	case 7:
		want := uint64(p.byte())
		if want > 200 {
			want += uint64(l.now / 1000)
		}
		l.in(p.link(), &wire.SeqReq{Root: p.key().Address(), Want: want, Hops: uint64(p.byte() % 33)})
	default:
		link := p.link()
		l.in(link, p.announce(link))
	}
	l.sent = nil
}

// announce makes an announcement that is right, or wrong in one of many ways.
func (p *player) announce(link machine.LinkID) *wire.Announce {
	hops := []hop{{p.key(), 0}}
	for range p.byte() % 3 {
		hops = append(hops, hop{p.key(), p.metric()})
	}
	hops = append(hops, hop{p.peer(link), 64 + p.metric()})
	fr := signed(p.seq(), p.when(), p.l.f.cfg.Self, hops...)
	switch p.byte() {
	case 0:
		fr.RootSig[p.byte()%64] ^= 1
	case 1:
		fr.Hops[p.byte()%len(fr.Hops)].Sig[0] ^= 1
	case 2:
		fr.Hops = fr.Hops[:p.byte()%(len(fr.Hops)+1)]
	case 3:
		fr.Class = p.class()
	case 4:
		fr.Hops[p.byte()%len(fr.Hops)].Metric = wire.MetricMax
	}
	return fr
}

func (p *player) check() {
	f, t := p.l.f, p.l.t
	if len(f.trees) > rootsStored+1 || len(f.byRoot) != len(f.trees) || len(f.counting) > rootsCounting {
		t.Fatalf("%d roots stored, %d counting", len(f.trees), len(f.counting))
	}
	if len(f.past.list) > pastMax || len(f.proven.set) > claimsKnown {
		t.Fatal("a table outgrew its bound")
	}
	if len(f.checks)+len(f.signing) > len(p.l.held) {
		t.Fatalf("%d answers awaited, %d held", len(f.checks)+len(f.signing), len(p.l.held))
	}
	for _, tr := range f.trees {
		if len(tr.slots) != len(f.neighbours) {
			t.Fatal("slots and neighbours differ")
		}
		if old, ok := p.fds[tr]; ok && old.better(tr.fd) {
			t.Fatalf("fd fell from %v to %v", old, tr.fd)
		}
		p.fds[tr] = tr.fd
		if tr.reach && tr.root != f.cfg.Self && (tr.parent == nil || tr.parent.gone || !tr.parent.live(p.l.now)) {
			t.Fatal("reach without a parent")
		}
		if tr.parent != nil && tr.parent.gone {
			t.Fatal("a pointer outlived its link")
		}
	}
	// An answer that came late may make something due at once; a Tick does it.
	if d := f.Deadline(); d != 0 && d < p.l.now {
		p.l.do(func() { f.Tick(p.l.now) })
	}
	if d := f.Deadline(); d != 0 && d < p.l.now {
		t.Fatalf("a deadline %d ms ago\n%v", p.l.now-d, f)
	}
	if f.String() == "" || len(f.Roots()) != len(f.trees) {
		t.Fatal("no state")
	}
	f.Map(envelope.Target{})
}

// FuzzFrames feeds whatever decodes to a forest that has a parent.
func FuzzFrames(f *testing.F) {
	root, peer := keyOf("root"), keyOf("peer")
	to := keyOf("self").Address()
	whole := signed(11, start, to, hop{root, 0}, hop{peer, 140})
	for _, fr := range []wire.Frame{whole, &wire.Retract{Root: root.Address()}, &wire.SeqReq{Root: root.Address(), Want: 12, Hops: 3}} {
		f.Add(fr.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := wire.Decode(b, nil)
		if err != nil {
			return
		}
		l := newLab(t)
		l.up(1, peer)
		l.says(1, peer, root, 10, 140)
		l.in(1, fr)
		l.pass(10_000)
		for _, s := range l.f.Roots() {
			if s.Root != root.Address() || s.Seq != 10 && s.Seq != 11 {
				t.Errorf("believed in %+v", s)
			}
		}
	})
}

// BenchmarkAnnounce is how many announcements of a parent, each with a new number
// and nine hops, a router with six neighbours takes in and passes on per second,
// signatures apart: they are made and checked elsewhere.
func BenchmarkAnnounce(b *testing.B) {
	l := newLab(b)
	root := keyOf("root")
	hops := []hop{{root, 0}}
	for i := range 8 {
		hops = append(hops, hop{keyOf(fmt.Sprint("hop ", i)), uint64(70 * (i + 1))})
	}
	l.up(1, hops[8].key)
	for i := range 5 {
		l.up(machine.LinkID(i+2), keyOf(fmt.Sprint("neighbour ", i)))
	}
	sig := identity.Signature{}
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		b.StopTimer()
		seq++
		fr := signed(seq, l.now, l.f.cfg.Self, hops...)
		binary.LittleEndian.PutUint64(sig[:], seq)
		b.StartTimer()
		answerAll(l, fr, sig)
		l.now += gather
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "announcements/s")
}

func answerAll(l *lab, fr *wire.Announce, sig identity.Signature) {
	l.desk.Begin(nil)
	l.f.Frame(l.now, 1, fr)
	effects := l.desk.End()
	for len(effects) > 0 {
		l.desk.Begin(nil)
		for _, e := range effects {
			switch e := e.(type) {
			case machine.Verify:
				l.f.Verified(l.now, e.Token, -1)
			case machine.Sign:
				l.f.Signed(l.now, e.Token, sig)
			}
		}
		effects = l.desk.End()
	}
	l.f.Changes()
	l.f.Deadline()
}

// BenchmarkEcho is an announcement that leads through this router: what a parent
// hears of each child.
func BenchmarkEcho(b *testing.B) {
	l := newLab(b)
	l.up(1, keyOf("child"))
	fr := signed(5, start, l.f.cfg.Self, hop{keyOf("root"), 0}, hop{keyOf("self"), 70}, hop{keyOf("child"), 140})
	b.ReportAllocs()
	for b.Loop() {
		l.f.Frame(l.now, 1, fr)
	}
}

// BenchmarkMap is what a target costs when the roots that count have changed.
func BenchmarkMap(b *testing.B) {
	w := mesh(b, 1, 3)
	w.bootAll()
	w.run(60_000)
	f := w.routers[0].forest
	target := envelope.Target{Kind: 1, To: w.routers[1].addr}
	b.ReportAllocs()
	for b.Loop() {
		f.Map(target)
	}
}
