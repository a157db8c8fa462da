package tree

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// lab is one forest among neighbours that the test plays. Questions are answered
// at once, or, while holding, when the test says so.
type lab struct {
	t       testing.TB
	f       *Forest
	desk    machine.Desk
	now     int64
	holding bool
	held    []machine.Effect
	sent    []machine.Send
	claims  int // asked of Verify
	charged []string
	changes []Change
	reports []machine.ReportEvent
}

func newLab(t testing.TB) *lab { return newLabOf(t, keyOf("self"), false) }

func newLabOf(t testing.TB, self identity.Key, canRoot bool) *lab {
	l := &lab{t: t, now: start}
	l.f = New(Config{Self: self.Address(), CanRoot: canRoot, Seed: 1, Charge: l.charge}, &l.desk, l.now)
	return l
}

func (l *lab) charge(_ int64, link machine.LinkID, code wire.Code, text string) {
	l.charged = append(l.charged, fmt.Sprintf("#%d %v: %s", link, code, text))
}

// do handles one input and what follows from it.
func (l *lab) do(input func()) {
	l.desk.Begin(nil)
	input()
	effects := l.desk.End()
	l.changes = append(l.changes, l.f.Changes()...)
	for _, e := range effects {
		switch e := e.(type) {
		case machine.Send:
			l.sent = append(l.sent, e)
			continue
		case machine.Report:
			l.reports = append(l.reports, e.Event)
			continue
		case machine.Verify:
			l.claims += len(e.Claims)
		}
		l.held = append(l.held, e)
	}
	if !l.holding {
		l.release(len(l.held))
	}
}

// release answers the first n questions that are held.
func (l *lab) release(n int) {
	for ; n > 0 && len(l.held) > 0; n-- {
		e := l.held[0]
		l.held = l.held[1:]
		l.answer(e)
	}
}

func (l *lab) answer(e machine.Effect) {
	switch e := e.(type) {
	case machine.Verify:
		failed := slices.IndexFunc(e.Claims, func(c identity.Claim) bool { return fastSign(c.Key, c.Label, c.Body) != c.Sig })
		l.do(func() { l.f.Verified(l.now, e.Token, failed) })
	case machine.Sign:
		sig := fastSign(l.f.cfg.Self, e.Label, e.Body)
		l.do(func() { l.f.Signed(l.now, e.Token, sig) })
	}
}

func (l *lab) up(link machine.LinkID, peer identity.Key) {
	l.do(func() { l.f.LinkUp(l.now, link, peer.Address(), 64) })
}
func (l *lab) down(link machine.LinkID) { l.do(func() { l.f.LinkDown(l.now, link) }) }
func (l *lab) in(link machine.LinkID, fr wire.Frame) {
	l.do(func() { l.f.Frame(l.now, link, fr) })
}

// pass lets time pass, with a Tick whenever one is wanted.
func (l *lab) pass(ms int64) {
	end := l.now + ms
	for d := l.f.Deadline(); d != 0 && d <= end; d = l.f.Deadline() {
		if d < l.now {
			l.t.Fatalf("a deadline %d ms ago", l.now-d)
		}
		l.now = d
		l.do(func() { l.f.Tick(d) })
		if l.f.Deadline() == d {
			l.t.Fatalf("Tick leaves its deadline\n%v", l.f)
		}
	}
	l.now = end
}

// took returns what was sent since the last call, in short.
func (l *lab) took() string {
	var lines []string
	for _, s := range l.sent {
		lines = append(lines, fmt.Sprintf("#%d %s", s.Link, short(s.Frame)))
	}
	l.sent = nil
	return strings.Join(lines, ", ")
}

func (l *lab) mustSend(caption, want string) {
	l.t.Helper()
	if got := l.took(); got != want {
		l.t.Errorf("%s: sent %q, want %q", caption, got, want)
	}
}

func (l *lab) mustCharge(caption string, want ...string) {
	l.t.Helper()
	if !slices.Equal(l.charged, want) {
		l.t.Errorf("%s: charged %q, want %q", caption, l.charged, want)
	}
	l.charged = nil
}

// stands asserts number, metric and parent of the tree of root.
func (l *lab) stands(caption string, root identity.Key, seq, metric int64, parent machine.LinkID) {
	l.t.Helper()
	t := l.f.byRoot[root.Address()]
	if t == nil {
		l.t.Fatalf("%s: an unknown root", caption)
	}
	got, _ := l.f.Parent(t.root)
	if t.rung != (rung{seq, metric}) || got != parent || !t.reach {
		l.t.Errorf("%s: at %v below #%d, reach %v; want (%d, %d) below #%d", caption, t.rung, got, t.reach, seq, metric, parent)
	}
}

func (l *lab) orphaned(caption string, root identity.Key) {
	l.t.Helper()
	if l.f.Reach(root.Address()) {
		l.t.Errorf("%s: there is reach\n%v", caption, l.f)
	}
}

// A hop is one router of a chain that a test signs.
type hop struct {
	key    identity.Key
	metric uint64
}

// signed makes an announcement as its routers would.
func signed(seq uint64, issued int64, to identity.Address, hops ...hop) *wire.Announce {
	root := hops[0].key.Address()
	fr := &wire.Announce{Root: root, Seq: seq, Issued: uint64(issued), Class: wire.Automatic}
	body := wire.RootBody(root, seq, fr.Issued, fr.Class)
	fr.RootSig = fastSign(root, identity.LabelRoot, body)
	prev := wire.ChainHash(body, fr.RootSig)
	for i, h := range hops {
		next := to
		if i+1 < len(hops) {
			next = hops[i+1].key.Address()
		}
		body = wire.HopBody(prev, h.key.Address(), h.metric, next)
		sig := fastSign(h.key.Address(), identity.LabelHop, body)
		fr.Hops = append(fr.Hops, wire.Hop{Key: h.key.Address(), Metric: h.metric, Sig: sig})
		prev = wire.ChainHash(body, sig)
	}
	return fr
}

// says has a neighbour announce a root that is one hop above it.
func (l *lab) says(link machine.LinkID, peer, root identity.Key, seq, metric uint64) {
	l.in(link, l.from(peer, root, seq, metric))
}

func (l *lab) from(peer, root identity.Key, seq, metric uint64) *wire.Announce {
	if peer.Address() == root.Address() {
		return signed(seq, start, l.f.cfg.Self, hop{root, 0})
	}
	return signed(seq, start, l.f.cfg.Self, hop{root, 0}, hop{peer, metric})
}
