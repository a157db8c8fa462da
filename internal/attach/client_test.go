package attach

import (
	"slices"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// rawHome is a core played by the test, with a service attached to it.
func rawHome(t *testing.T) (w *world, h, c *proc, l *pair) {
	t.Helper()
	w = newWorld(t)
	h, c = w.newRaw(1, wire.Core), w.newService(2)
	l = w.link(c, h)
	h.say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	return w, h, c, l
}

func (p *proc) fresh() *proc { p.in = nil; return p }

// H1, in this order: the homes document, subscriptions, the outbox.
func TestClientAttaches(t *testing.T) {
	w := newWorld(t)
	h, c := w.newRaw(1, wire.Core), w.newService(2)
	c.want(groupTarget(t))
	c.publish(letters(t, 2)...)
	w.link(c, h)
	if len(h.in) != 1 {
		t.Fatalf("before attached: %v", h.in)
	}
	f := h.in[0].(*wire.Attach)
	if !f.Homes.Claim().Holds() || !f.Homes.Names(h.key.Address()) || f.Homes.Epoch != start || f.Resume != nil {
		t.Errorf("%v", f)
	}
	h.say(&wire.Deliver{N: 1, Envelope: numbered1(t, 5)}) // too early: not handled
	h.say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	if len(h.in) != 4 || h.in[1].Type() != wire.TypeSubscribe || h.in[2].Type() != wire.TypePublish {
		t.Errorf("after attached: %v", h.in[1:])
	}
	if len(c.app.got) != 0 || !slices.Equal(c.app.attached, []wire.Code{wire.OK}) {
		t.Errorf("got %v, attached %v", c.app.got, c.app.attached)
	}
}

// The outbox goes in order, at most 256 unanswered.
func TestOutboxWindow(t *testing.T) {
	_, h, c, _ := rawHome(t)
	list := letters(t, 300)
	c.publish(list...)
	c.publish(list[0]) // two of one id are one
	sent := heard[*wire.Publish](h)
	if len(sent) != outWindow {
		t.Fatalf("%d sent", len(sent))
	}
	for _, f := range sent[:10] {
		h.say(&wire.Published{ID: f.Envelope.ID})
	}
	for i, f := range heard[*wire.Publish](h) {
		if f.Envelope.First != uint64(i) {
			t.Fatalf("publish %d is %d", i, f.Envelope.First)
		}
	}
	if n := len(heard[*wire.Publish](h)); n != outWindow+10 {
		t.Errorf("%d sent after 10 answers", n)
	}
	if len(c.app.taken) != 10 {
		t.Errorf("%d taken", len(c.app.taken))
	}
}

func TestOutboxIsBounded(t *testing.T) {
	for _, l := range []ClientLimits{{OutboxEnvelopes: 3}, {OutboxBytes: 3*len(numbered1(t, 1).Raw) + 1}} {
		w := newWorld(t)
		c := w.newService(2)
		c.client.cfg.Limits = l.filled()
		list := letters(t, 4)
		c.publish(list...)
		if codes := c.app.taken[list[3].ID]; len(c.app.taken) != 1 || !slices.Equal(codes, []wire.Code{wire.Quota}) {
			t.Errorf("%+v: taken %v", l, c.app.taken)
		}
	}
}

// spec §7: some codes ask for another try, all others are final.
func TestPublishedCodes(t *testing.T) {
	for code := wire.OK; code <= wire.InternalFault; code++ {
		w, h, c, _ := rawHome(t)
		e := numbered1(t, 0)
		c.publish(e)
		h.fresh().say(&wire.Published{ID: e.ID, Code: code, RetryAfter: 5000})
		if code.Retry() {
			w.wait(4999)
			if len(h.in) != 0 || len(c.app.taken) != 0 {
				t.Errorf("%v: tried again too early, or given up: %v", code, c.app.taken)
			}
			w.wait(2)
			if len(heard[*wire.Publish](h)) != 1 {
				t.Errorf("%v: not tried again", code)
			}
			h.say(&wire.Published{ID: e.ID})
		}
		want := code
		if code.Retry() {
			want = wire.OK
		}
		if !slices.Equal(c.app.taken[e.ID], []wire.Code{want}) || c.client.Sizes().Outbox != 0 {
			t.Errorf("%v: taken %v", code, c.app.taken[e.ID])
		}
	}
}

// Without a word from the home the pauses grow.
func TestBackoff(t *testing.T) {
	w, h, c, _ := rawHome(t)
	e := numbered1(t, 0)
	c.publish(e)
	for n := range 12 {
		h.fresh().say(&wire.Published{ID: e.ID, Code: wire.Rate})
		pause := min(int64(backoffFirst)<<min(n, 10), backoffMax)
		w.wait(pause - 1)
		if len(h.in) != 0 {
			t.Fatalf("try %d came before %d ms", n+2, pause)
		}
		w.wait(pause/4 + 2)
		if len(h.in) != 1 {
			t.Fatalf("try %d did not come within 1.25 × %d ms", n+2, pause)
		}
	}
}

func TestOutboxExpires(t *testing.T) {
	w := newWorld(t)
	c := w.newService(2)
	e := letterOf(t, 0, func(h *envelope.Header) { h.TTL = 30 })
	c.publish(e)
	w.wait(2 * sweepEvery)
	if !slices.Equal(c.app.taken[e.ID], []wire.Code{wire.Expired}) || c.client.Deadline() != 0 {
		t.Errorf("taken %v, deadline %d", c.app.taken[e.ID], c.client.Deadline())
	}
}

// A link that ends takes nothing along: all that was not answered goes again.
func TestOutboxGoesAgain(t *testing.T) {
	w, h, c, l := rawHome(t)
	list := letters(t, 5)
	c.publish(list...)
	h.say(&wire.Published{ID: list[1].ID})
	w.cut(l)
	w.link(c, h)
	h.fresh().say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	var got []uint64
	for _, f := range heard[*wire.Publish](h) {
		got = append(got, f.Envelope.First)
	}
	if !slices.Equal(got, []uint64{0, 2, 3, 4}) {
		t.Errorf("sent again: %v", got)
	}
}

// Acknowledgements are coalesced: one for 64, or after 10 ms.
func TestAcknowledgementsAreCoalesced(t *testing.T) {
	w, h, _, _ := rawHome(t)
	for n := range uint64(70) {
		h.say(&wire.Deliver{N: n + 1, Envelope: numbered1(t, n)})
	}
	got := heard[*wire.Delivered](h)
	if len(got) != 1 || got[0].N != 64 {
		t.Fatalf("%v", got)
	}
	w.wait(ackDelay)
	if got = heard[*wire.Delivered](h); len(got) != 2 || got[1].N != 70 {
		t.Errorf("%v", got)
	}
}

// What is done out of order is named in ranges; what was lost with a link is
// said again when the home asks again.
func TestAcknowledgementsOutOfOrder(t *testing.T) {
	w, h, c, l := rawHome(t)
	c.app.hold = true
	for n := range uint64(6) {
		h.say(&wire.Deliver{N: n + 1, Envelope: numbered1(t, n)})
	}
	for _, i := range []int{0, 2, 3, 5} {
		c.do(func(now int64) { c.client.Done(now, c.app.receipts[i]) })
	}
	w.wait(ackDelay)
	got := heard[*wire.Delivered](h)
	want := []wire.Range{{First: 3, Last: 4}, {First: 6, Last: 6}}
	if len(got) != 1 || got[0].N != 1 || !slices.Equal(got[0].Also, want) {
		t.Errorf("%v", got)
	}
	w.cut(l)
	w.link(c, h)
	f := h.in[len(h.in)-1].(*wire.Attach)
	if f.Resume == nil || *f.Resume != (wire.Resume{Box: wire.Box{1}, N: 1}) {
		t.Errorf("resumes at %v", f.Resume)
	}
	h.fresh().say(&wire.Attached{Epoch: start, Box: wire.Box{1}, Last: 6})
	for n := uint64(2); n <= 6; n++ {
		h.say(&wire.Deliver{N: n, Envelope: numbered1(t, n-1)})
	}
	w.wait(ackDelay)
	got = heard[*wire.Delivered](h)
	if len(c.app.got) != 6 || len(got) != 1 || !slices.Equal(got[0].Also, want) {
		t.Errorf("got %d, acknowledged again %v", len(c.app.got), got)
	}
	c.do(func(now int64) { c.client.Done(now, c.app.receipts[1]) })
	c.do(func(now int64) { c.client.Done(now, c.app.receipts[1]) })
	w.wait(ackDelay)
	if got = heard[*wire.Delivered](h); got[len(got)-1].N != 4 {
		t.Errorf("%v", got)
	}
}

// An unknown box: the numbers start anew, receipts of the old one count no more,
// and what was delivered is not delivered again.
func TestNewBox(t *testing.T) {
	w, h, c, l := rawHome(t)
	c.app.hold = true
	h.say(&wire.Deliver{N: 1, Envelope: numbered1(t, 0)}, &wire.Deliver{N: 2, Envelope: numbered1(t, 1)})
	old := c.app.receipts
	w.cut(l)
	w.link(c, h)
	h.fresh().say(&wire.Attached{Epoch: start, Box: wire.Box{2}})
	c.app.hold = false
	h.say(&wire.Deliver{N: 1, Envelope: numbered1(t, 1)}, &wire.Deliver{N: 2, Envelope: numbered1(t, 2)})
	for _, r := range old {
		c.do(func(now int64) { c.client.Done(now, r) })
	}
	w.wait(ackDelay)
	if got := c.app.numbers(); !slices.Equal(got, upTo(3)) {
		t.Errorf("got %v", got)
	}
	if got := heard[*wire.Delivered](h); len(got) != 1 || got[0].N != 2 {
		t.Errorf("acknowledged %v", got)
	}
}

// An end trusts no router.
func TestForgedDelivery(t *testing.T) {
	w, h, c, _ := rawHome(t)
	w.real = true
	e := numbered1(t, 0)
	raw := slices.Clone(e.Raw)
	raw[len(e.HeaderBytes)+20] ^= 1
	forged, err := envelope.Parse(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	newer := letterOf(t, 1, func(h *envelope.Header) { h.Flags |= 1 << 20 })
	h.say(&wire.Deliver{N: 1, Envelope: forged}, &wire.Deliver{N: 2, Envelope: newer}, &wire.Deliver{N: 3, Envelope: e})
	w.wait(ackDelay)
	if got := c.app.numbers(); !slices.Equal(got, []uint64{0}) || len(c.app.gaps) != 0 {
		t.Errorf("got %v, gaps %v", got, c.app.gaps)
	}
	if c.reports[machine.RelayRefused] != 2 || c.reports[machine.FaultCharged] != 1 {
		t.Errorf("reports %v", c.reports)
	}
	if got := heard[*wire.Delivered](h); len(got) != 1 || got[0].N != 3 {
		t.Errorf("acknowledged %v", got)
	}
}

func TestExpiredDeliveryIsAGap(t *testing.T) {
	_, h, c, _ := rawHome(t)
	h.say(&wire.Deliver{N: 1, Envelope: letterOf(t, 0, func(h *envelope.Header) { h.Time, h.TTL, h.Count = start-9000, 1, 4 })})
	if len(c.app.gaps) != 1 || c.app.gaps[0].Count != 4 || c.app.gaps[0].Why != wire.WhyExpired {
		t.Errorf("gaps %v", c.app.gaps)
	}
}

// A clock that is behind: the message waits for it.
func TestDeliveryFromTheFuture(t *testing.T) {
	w, h, c, _ := rawHome(t)
	h.say(&wire.Deliver{N: 1, Envelope: letterOf(t, 0, func(h *envelope.Header) { h.Time += 301_000 })})
	if len(c.app.got) != 0 {
		t.Error("taken though it comes from the future")
	}
	w.wait(2000)
	if len(c.app.got) != 1 {
		t.Error("not taken once the clock had caught up")
	}
	if got := heard[*wire.Delivered](h); len(got) != 1 || got[0].N != 1 {
		t.Errorf("acknowledged %v", got)
	}
}

func TestGapsFromAHome(t *testing.T) {
	w, h, c, _ := rawHome(t)
	g := wire.Gap{N: 1, Target: groupTarget(t), FromTime: 1, ToTime: 2, Count: 3, Why: wire.WhyQuota}
	live := g
	live.N, live.Why = 0, wire.WhyLive
	h.say(&g, &live, &g)
	w.wait(ackDelay)
	if len(c.app.gaps) != 2 || c.app.gaps[0].N != 0 || c.app.gaps[1].Why != wire.WhyLive {
		t.Errorf("gaps %v", c.app.gaps)
	}
	if got := heard[*wire.Delivered](h); len(got) != 1 || got[0].N != 1 {
		t.Errorf("acknowledged %v", got)
	}
}

// Wild numbers of a home leave no trace.
func TestWildNumbers(t *testing.T) {
	_, h, c, _ := rawHome(t)
	c.app.hold = true
	h.say(&wire.Deliver{N: 1 << 63, Envelope: numbered1(t, 0)})
	for n := range uint64(pendingMax + 10) {
		h.say(&wire.Gap{N: 2*n + 2, Target: groupTarget(t), Count: 1, Why: wire.WhyHole})
	}
	if z := c.client.Sizes(); len(c.app.got) != 0 || z.Pending != pendingMax {
		t.Errorf("got %v, %+v", c.app.got, z)
	}
}

// H3: two homes, one copy; both hear that it is done; what is published goes to
// the first, and to the second when the first is away.
func TestTwoHomes(t *testing.T) {
	w := newWorld(t)
	h1, h2, p := w.newCore(1, Limits{}), w.newCore(2, Limits{}), w.newRaw(9, wire.Service)
	c := w.newService(3, h1, h2)
	c.want(groupTarget(t))
	w.link(c, h2)
	l1 := w.link(c, h1)
	w.link(p, h1)
	list := letters(t, 4)
	h1.deliver(list[0], list[1])
	h2.deliver(list[1], list[0], list[2])
	w.wait(100)
	if got := c.app.numbers(); !slices.Equal(got, upTo(3)) {
		t.Errorf("got %v", got)
	}
	for _, h := range []*proc{h1, h2} {
		if z := h.home.Sizes(); z.MailBytes != 0 {
			t.Errorf("left at a home: %+v", z)
		}
	}
	c.publish(list[3])
	if h1.core.takes != 1 || h2.core.takes != 0 {
		t.Errorf("published to the first %d times, to the second %d times", h1.core.takes, h2.core.takes)
	}
	w.cut(l1)
	c.publish(numbered1(t, 4))
	if h2.core.takes != 1 {
		t.Errorf("published to the second %d times", h2.core.takes)
	}
	doc1, doc2 := h1.home.dir.Homes(c.key.Address()), h2.home.dir.Homes(c.key.Address())
	if doc1.Signed.Sig != doc2.Signed.Sig || len(doc1.Homes) != 2 {
		t.Errorf("two documents: %v and %v", doc1, doc2)
	}
}

// A process that forgot its epoch, or whose clock went back, goes beyond what the
// home knows.
func TestEpochGoesBeyond(t *testing.T) {
	w := newWorld(t)
	h, c, raw := w.newCore(1, Limits{}), w.newService(2), w.newRaw(2, wire.Service)
	raw.link(h, start+day)
	w.link(c, h)
	w.wait(10)
	if !slices.Equal(c.app.attached, []wire.Code{wire.NotAllowed}) {
		t.Fatalf("attached %v", c.app.attached)
	}
	w.link(c, h)
	if !slices.Equal(c.app.attached, []wire.Code{wire.NotAllowed, wire.OK}) {
		t.Errorf("attached %v", c.app.attached)
	}
}

// link attaches a raw process with a subscription, under an epoch, and ends it.
func (p *proc) link(h *proc, epoch uint64) {
	l := p.w.link(p, h)
	p.say(&wire.Attach{Homes: p.homesOf(epoch, h)}, &wire.Subscribe{Target: groupTarget(p.w.t)})
	p.w.cut(l)
	p.w.settle()
}

// The client's own address: a grant for each home, renewed.
func TestOwnAddress(t *testing.T) {
	w := newWorld(t)
	w.real = true
	h, c := w.newCore(1, Limits{}), w.newService(2)
	own := envelope.Target{Kind: envelope.Address, To: c.key.Address()}
	c.want(own)
	w.link(c, h)
	g := h.core.wants[own]
	if g == nil || g.Router != h.key.Address() {
		t.Fatalf("wanted with %v", g)
	}
	h.deliver(letterOf(t, 0, func(h *envelope.Header) { h.Target = own }))
	if len(c.app.got) != 1 {
		t.Errorf("got %v", c.app.numbers())
	}
	w.wait(6 * day)
	if later := h.core.wants[own]; later == nil || later.NotAfter <= g.NotAfter {
		t.Errorf("after six days: %v", later)
	}
	w.wait(20 * day)
	if _, ok := h.core.wants[own]; !ok {
		t.Error("the grant ran out")
	}
}

// A subscription that is refused for want of room is tried again.
func TestSubscribeAgain(t *testing.T) {
	w, h, c, _ := rawHome(t)
	c.want(groupTarget(t))
	f := heard[*wire.Subscribe](h)[0]
	h.fresh().say(&wire.Subscribed{Ref: f.Ref, Code: wire.Quota})
	w.wait(2 * backoffFirst)
	again := heard[*wire.Subscribe](h)
	if len(again) != 1 || again[0].Ref == f.Ref {
		t.Fatalf("%v", again)
	}
	h.fresh().say(&wire.Subscribed{Ref: again[0].Ref, Code: wire.NotAllowed}, &wire.Subscribed{Ref: 999})
	w.wait(10 * backoffMax)
	if len(heard[*wire.Subscribe](h)) != 0 || !slices.Equal(c.app.subscribed, []wire.Code{wire.Quota, wire.NotAllowed}) {
		t.Errorf("%v, told of %v", h.in, c.app.subscribed)
	}
}

func TestWatchAndUnwant(t *testing.T) {
	w, h, c, l := rawHome(t)
	c.do(func(now int64) { c.client.Watch(now, groupTarget(t), nil) })
	if f := heard[*wire.Subscribe](h); len(f) != 1 || f[0].Mode != wire.WhileLinked || f[0].Grant != nil {
		t.Errorf("%v", f)
	}
	c.do(func(now int64) { c.client.Unwant(now, groupTarget(t)) })
	c.do(func(now int64) { c.client.Unwant(now, groupTarget(t)) })
	f := heard[*wire.Unsubscribe](h)
	if len(f) != 1 || f[0].Target != groupTarget(t) {
		t.Fatalf("%v", f)
	}
	h.say(&wire.Subscribed{Ref: f[0].Ref})
	w.cut(l)
	w.link(c, h)
	h.fresh().say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	if len(h.in) != 0 {
		t.Errorf("after the next attach: %v", h.in)
	}
}

// An end of a subscription that the home has not confirmed is said again at each
// attach, until it is confirmed, or wanted again, or the mailbox is another.
func TestUnwantIsRepeated(t *testing.T) {
	attach := func(w *world, h, c *proc, box byte) []*wire.Unsubscribe {
		w.link(c, h)
		h.fresh().say(&wire.Attached{Epoch: start, Box: wire.Box{box}})
		return heard[*wire.Unsubscribe](h)
	}
	for _, c := range []struct {
		caption string
		between func(w *world, h, c *proc)
		box     byte
		want    int
	}{
		{"the answer was lost", func(_ *world, _, _ *proc) {}, 1, 1},
		{"left while away", func(_ *world, _, c *proc) {
			c.want(groupTarget(t))
			c.do(func(now int64) { c.client.Unwant(now, groupTarget(t)) })
		}, 1, 1},
		{"wanted again", func(_ *world, _, c *proc) { c.want(groupTarget(t)) }, 1, 0},
		{"another mailbox", func(_ *world, _, _ *proc) {}, 2, 0},
	} {
		w, h, cl, l := rawHome(t)
		cl.want(groupTarget(t))
		cl.do(func(now int64) { cl.client.Unwant(now, groupTarget(t)) })
		w.cut(l)
		c.between(w, h, cl)
		if got := attach(w, h, cl, c.box); len(got) != c.want {
			t.Errorf("%s: %v, want %d", c.caption, got, c.want)
		}
	}
}

// On an edge router: acknowledged when stored, before any home hears of it; kept
// until a home has it; refused by a home for good: told of.
func TestEdgeCustody(t *testing.T) {
	w := newWorld(t)
	h := w.newRaw(1, wire.Core)
	e := w.newEdge(4, h)
	p := w.newService(2)
	w.link(p, e)
	p.want(groupTarget(t))
	e.storeFail = 1
	list := letters(t, 3)
	p.publish(list[0])
	if len(p.app.taken) != 0 {
		t.Fatal("acknowledged though the store failed")
	}
	p.publish(list[1])
	w.wait(2000)
	for _, m := range list[:2] {
		if !slices.Equal(p.app.taken[m.ID], []wire.Code{wire.OK}) {
			t.Errorf("taken %v", p.app.taken[m.ID])
		}
	}
	if got := p.app.numbers(); len(got) != 2 {
		t.Errorf("services here got %v", got)
	}
	w.link(e, h)
	h.say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	if n := len(heard[*wire.Publish](h)); n != 2 {
		t.Fatalf("%d in the outbox", n)
	}
	h.say(&wire.Published{ID: list[0].ID}, &wire.Published{ID: list[1].ID, Code: wire.NotAWriter})
	if z := e.client.Sizes(); z.Outbox != 0 || e.reports[machine.PublishRefused] < 1 {
		t.Errorf("%+v, reports %v", z, e.reports)
	}
	for key := range e.rows {
		if key[0] == outboxTable {
			t.Error("a row of the outbox is left")
		}
	}
}

// What an edge router's services wanted is subscribed to at its home; what comes
// is acknowledged upstream once it is stored here.
func TestEdgeRelays(t *testing.T) {
	w := newWorld(t)
	w.real = true
	h := w.newCore(1, Limits{})
	e := w.newEdge(4, h)
	a, b := w.newService(2), w.newService(3)
	w.link(e, h)
	w.link(a, e)
	b.want(envelope.Target{Kind: envelope.Address, To: b.key.Address()})
	w.link(b, e)
	a.want(groupTarget(t))
	for _, target := range []envelope.Target{
		groupTarget(t), {Kind: envelope.Address, To: b.key.Address()}, {Kind: envelope.Address, To: e.key.Address()},
	} {
		if _, ok := h.core.wants[target]; !ok {
			t.Errorf("%v is not wanted at the home", target)
		}
	}
	a.app.hold = true
	h.deliver(letters(t, 3)...)
	h.deliver(
		letterOf(t, 0, func(h *envelope.Header) { h.Target = envelope.Target{Kind: envelope.Address, To: b.key.Address()} }),
		letterOf(t, 0, func(h *envelope.Header) { h.Target = envelope.Target{Kind: envelope.Address, To: e.key.Address()} }),
	)
	w.wait(ackDelay)
	if len(a.app.got) != 3 || len(b.app.got) != 1 || len(e.mail) != 1 {
		t.Errorf("got %d, %d and %d", len(a.app.got), len(b.app.got), len(e.mail))
	}
	if z := h.home.Sizes(); z.MailBytes != 0 {
		t.Errorf("not acknowledged upstream: %+v", z)
	}
	if st := e.home.Clients(); st[0].Waiting+st[1].Waiting != 3 {
		t.Errorf("kept here: %+v", st)
	}
}

// A gap from the core reaches the edge router's services, numbered again.
func TestEdgePassesGapsOn(t *testing.T) {
	w := newWorld(t)
	h := w.newRaw(1, wire.Core)
	e := w.newEdge(4, h)
	a, b := w.newService(2), w.newRaw(3, wire.Service)
	w.link(a, e)
	a.want(groupTarget(t))
	w.link(b, e)
	b.say(&wire.Attach{Homes: b.homesOf(1, e)}, &wire.Subscribe{Target: groupTarget(t), Mode: wire.WhileLinked})
	w.link(e, h)
	h.say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	h.say(&wire.Gap{N: 1, Target: groupTarget(t), Count: 7, Why: wire.WhyQuota})
	h.say(&wire.Gap{N: 2, Target: other(t), Count: 7, Why: wire.WhyQuota})
	w.wait(ackDelay)
	if len(a.app.gaps) != 1 || a.app.gaps[0].Count != 7 {
		t.Errorf("gaps %v", a.app.gaps)
	}
	if g := heard[*wire.Gap](b); len(g) != 1 || g[0].N != 0 {
		t.Errorf("while linked: %v", g)
	}
	if got := heard[*wire.Delivered](h); len(got) != 1 || got[0].N != 2 {
		t.Errorf("acknowledged %v", got)
	}
}

// A live envelope is acknowledged and served at once, and stored nowhere.
func TestEdgeLive(t *testing.T) {
	w := newWorld(t)
	h := w.newRaw(1, wire.Core)
	e := w.newEdge(4, h)
	p := w.newService(2)
	w.link(p, e)
	p.want(groupTarget(t))
	m := letterOf(t, 0, func(h *envelope.Header) { h.Flags |= envelope.Live })
	p.publish(m)
	if len(p.app.got) != 1 || !slices.Equal(p.app.taken[m.ID], []wire.Code{wire.OK}) || e.waiting() != 0 {
		t.Errorf("got %v, taken %v, %d rows", p.app.numbers(), p.app.taken[m.ID], e.waiting())
	}
	w.link(e, h)
	h.say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	if n := len(heard[*wire.Publish](h)); n != 1 {
		t.Errorf("sent to the home %d times", n)
	}
}

// A home that restarts has forgotten everything; its clients say it again.
func TestHomeRestarts(t *testing.T) {
	w := newWorld(t)
	h, p, s := w.newCore(1, Limits{}), w.newService(2), w.newService(3)
	lp, ls := w.link(p, h), w.link(s, h)
	s.want(groupTarget(t))
	list := letters(t, 6)
	p.publish(list[:3]...)
	w.wait(50)
	for _, l := range []*pair{lp, ls} {
		w.cut(l)
	}
	w.settle()
	p.publish(list[3:5]...)
	again := w.newCore(1, Limits{})
	for range 5 { // another life has another seed
		again.home.random.Uint64()
	}
	w.link(s, again)
	w.link(p, again)
	p.publish(list[5])
	w.wait(50)
	if got := s.app.numbers(); !slices.Equal(got, upTo(6)) || len(s.app.gaps) != 0 {
		t.Errorf("got %v, gaps %v", got, s.app.gaps)
	}
	if z := again.home.Sizes(); z.MailBytes != 0 {
		t.Errorf("not acknowledged: %+v", z)
	}
}

// What was delivered is known for longer than the gate's 15 minutes.
func TestRedeliveryAfterTheGateForgot(t *testing.T) {
	w, h, c, l := rawHome(t)
	h.say(&wire.Deliver{N: 1, Envelope: numbered1(t, 0)})
	w.wait(20 * 60_000)
	w.cut(l)
	w.link(c, h)
	h.fresh().say(&wire.Attached{Epoch: start, Box: wire.Box{2}})
	h.say(&wire.Deliver{N: 1, Envelope: numbered1(t, 0)})
	w.wait(ackDelay)
	if got := heard[*wire.Delivered](h); len(c.app.got) != 1 || len(got) != 1 || got[0].N != 1 {
		t.Errorf("got %d copies, acknowledged %v", len(c.app.got), got)
	}
}

// What a home refuses for now holds back its own stream, in order, and no other.
func TestRefusalHaltsTheStream(t *testing.T) {
	w, h, c, l := rawHome(t)
	list := letters(t, 6)
	apart := letterOf(t, 0, func(h *envelope.Header) { h.Run = envelope.Run{9} })
	c.publish(list[:3]...)
	h.fresh().say(
		&wire.Published{ID: list[1].ID, Code: wire.StorageFull, RetryAfter: 3000},
		&wire.Published{ID: list[0].ID, Code: wire.StorageFull, RetryAfter: 3000},
		&wire.Published{ID: list[2].ID},
	)
	c.publish(list[3], apart, list[4])
	sent := func() (got []uint64) {
		for _, f := range heard[*wire.Publish](h) {
			got = append(got, f.Envelope.First+10*uint64(f.Envelope.Run[0]))
		}
		return got
	}
	if got := sent(); !slices.Equal(got, []uint64{90}) {
		t.Errorf("while it waits: %v", got)
	}
	w.wait(3001)
	if got := sent(); !slices.Equal(got, []uint64{90, 0, 1, 3, 4}) {
		t.Errorf("when it goes on: %v", got)
	}
	h.fresh().say(&wire.Published{ID: list[0].ID, Code: wire.Rate}, &wire.Published{ID: list[1].ID, Code: wire.Rate})
	w.cut(l)
	w.link(c, h)
	h.fresh().say(&wire.Attached{Epoch: start, Box: wire.Box{1}})
	c.publish(list[5])
	w.wait(2000)
	if got := sent(); !slices.Equal(got, []uint64{90, 0, 1, 3, 4, 5}) {
		t.Errorf("over a cut: %v", got)
	}
	for _, f := range heard[*wire.Publish](h) {
		h.say(&wire.Published{ID: f.Envelope.ID})
	}
	if o := &c.client.outbox; len(o.byID) != 0 || len(o.halted) != 0 || o.flying != (window{}) {
		t.Errorf("left: %d parcels, %d halted, %v in flight", len(o.byID), len(o.halted), o.flying)
	}
}

// What expires while its stream is halted is told, and the rest goes on.
func TestHaltedParcelExpires(t *testing.T) {
	w, h, c, _ := rawHome(t)
	short := letterOf(t, 0, func(h *envelope.Header) { h.TTL = 2 })
	c.publish(short, numbered1(t, 1))
	h.fresh().say(&wire.Published{ID: short.ID, Code: wire.Rate, RetryAfter: 5000})
	w.wait(6000)
	if !slices.Equal(c.app.taken[short.ID], []wire.Code{wire.Expired}) || len(heard[*wire.Publish](h)) != 0 {
		t.Errorf("taken %v, sent %v", c.app.taken[short.ID], h.in)
	}
}
