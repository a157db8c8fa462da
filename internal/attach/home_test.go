package attach

import (
	"fmt"
	"slices"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

const day = 24 * 3600_000

// spec §5.1: who may attach.
func TestAttach(t *testing.T) {
	for _, x := range []struct {
		caption string
		doc     func(c, h, other *proc) *wire.Homes
		code    wire.Code
		charged int
	}{
		{"first contact", func(c, h, _ *proc) *wire.Homes { return c.homesOf(5, h) }, wire.OK, 0},
		{"the document of before", func(c, h, _ *proc) *wire.Homes { return c.homesOf(4, h) }, wire.OK, 0},
		{"a higher epoch", func(c, h, _ *proc) *wire.Homes { return c.homesOf(9, h) }, wire.OK, 0},
		{"two homes", func(c, h, o *proc) *wire.Homes { return c.homesOf(9, o, h) }, wire.OK, 0},
		{"a lower epoch", func(c, h, _ *proc) *wire.Homes { return c.homesOf(3, h) }, wire.NotAllowed, 0},
		{"the same epoch with other content", func(c, h, o *proc) *wire.Homes { return c.homesOf(4, h, o) }, wire.NotAllowed, 0},
		{"another client's document", func(_, h, o *proc) *wire.Homes { return o.homesOf(9, h) }, wire.NotAllowed, 0},
		{"this home is not named", func(c, _, o *proc) *wire.Homes { return c.homesOf(9, o) }, wire.NotAllowed, 0},
		{"a forged signature", func(c, h, _ *proc) *wire.Homes {
			d := c.homesOf(9, h)
			d.Signed.Sig[9] ^= 1
			return d
		}, wire.BadSignature, 1},
	} {
		w := newWorld(t)
		w.real = true
		h, c, other := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
		if x.caption != "first contact" {
			w.link(c, h)
			c.say(&wire.Attach{Homes: c.homesOf(4, h)}, &wire.Subscribe{Ref: 1, Target: groupTarget(t)})
			w.cut(w.links[0])
			c.in = nil
		}
		w.link(c, h)
		c.say(&wire.Attach{Homes: x.doc(c, h, other)})
		got := heard[*wire.Attached](c)
		if len(got) != 1 || got[0].Code != x.code {
			t.Errorf("%s: %v, want %v", x.caption, got, x.code)
			continue
		}
		if closed := len(h.closes) > 0; closed != (x.code != wire.OK) {
			t.Errorf("%s: closed %v", x.caption, h.closes)
		}
		if x.code == wire.NotAllowed && got[0].Epoch != 4 {
			t.Errorf("%s: epoch %d, want the known one", x.caption, got[0].Epoch)
		}
		if h.reports[machine.FaultCharged] != x.charged {
			t.Errorf("%s: charged %d times", x.caption, h.reports[machine.FaultCharged])
		}
	}
}

// spec §5.1: attach is the first attachment frame, and comes once.
func TestFramesOutOfOrder(t *testing.T) {
	for _, x := range []struct {
		caption string
		frames  func(c, h *proc) []wire.Frame
	}{
		{"publish first", func(*proc, *proc) []wire.Frame { return []wire.Frame{&wire.Publish{Envelope: numbered1(t, 0)}} }},
		{"delivered first", func(*proc, *proc) []wire.Frame { return []wire.Frame{&wire.Delivered{N: 1}} }},
		{"subscribe first", func(*proc, *proc) []wire.Frame { return []wire.Frame{&wire.Subscribe{Target: groupTarget(t)}} }},
		{"attach twice", func(c, h *proc) []wire.Frame {
			return []wire.Frame{&wire.Attach{Homes: c.homesOf(1, h)}, &wire.Attach{Homes: c.homesOf(2, h)}}
		}},
	} {
		w := newWorld(t)
		h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
		w.link(c, h)
		c.say(append(x.frames(c, h), &wire.Publish{Envelope: numbered1(t, 1)})...)
		if len(h.closes) != 1 || h.closes[0].Code != wire.Malformed || h.core.takes != 0 {
			t.Errorf("%s: %v, %d envelopes taken", x.caption, h.closes, h.core.takes)
		}
	}
}

// What follows an attach at once is handled after it, in order.
func TestFramesBehindAnAttachWait(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.link(c, h)
	c.say(
		&wire.Attach{Homes: c.homesOf(1, h)}, &wire.Subscribe{Ref: 7, Target: groupTarget(t)},
		&wire.Publish{Envelope: numbered1(t, 0)}, &wire.Unsubscribe{Ref: 8, Target: groupTarget(t)},
	)
	var kinds []string
	for _, f := range c.in {
		kinds = append(kinds, fmt.Sprintf("%T", f))
	}
	want := []string{"*wire.Attached", "*wire.Subscribed", "*wire.Subscribed", "*wire.Published"}
	if !slices.Equal(kinds, want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
}

func TestQueueBehindAnAttachIsBounded(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.link(c, h)
	frames := []wire.Frame{&wire.Attach{Homes: c.homesOf(1, h)}}
	for i := range uint64(queueFrames + 2) {
		frames = append(frames, &wire.Delivered{N: i})
	}
	c.say(frames...)
	if len(h.closes) != 1 || h.closes[0].Code != wire.Rate {
		t.Errorf("%v", h.closes)
	}
}

func TestClientsAreBounded(t *testing.T) {
	w := newWorld(t)
	h := w.newCore(1, Limits{Clients: 2})
	for i := range 3 {
		c := w.newRaw(byte(10+i), wire.Service)
		c.join(h)
		want := wire.OK
		if i == 2 {
			want = wire.Quota
		}
		if got := heard[*wire.Attached](c); len(got) != 1 || got[0].Code != want {
			t.Errorf("client %d: %v, want %v", i, got, want)
		}
	}
	if n := len(h.home.Clients()); n != 2 {
		t.Errorf("%d clients", n)
	}
}

// spec §5.2, §6.2: an address is subscribed to with its grant.
func TestGrants(t *testing.T) {
	type procs struct{ c, h, other *proc }
	own := func(p procs) *proc { return p.c }
	foreign := func(p procs) *proc { return p.other }
	for _, x := range []struct {
		caption string
		target  func(procs) *proc
		grant   func(procs) *wire.Grant
		code    wire.Code
	}{
		{"own, names the home", own, func(p procs) *wire.Grant { return p.c.grantOf(p.h, start+day) }, wire.OK},
		{"own, names another router", own, func(p procs) *wire.Grant { return p.c.grantOf(p.other, start+day) }, wire.NoGrant},
		{"own, without", own, func(procs) *wire.Grant { return nil }, wire.NoGrant},
		{"another's, names the client", foreign, func(p procs) *wire.Grant { return p.other.grantOf(p.c, start+day) }, wire.OK},
		{"another's, names the home", foreign, func(p procs) *wire.Grant { return p.other.grantOf(p.h, start+day) }, wire.NoGrant},
		{"another's, with its own grant", foreign, func(p procs) *wire.Grant { return p.c.grantOf(p.h, start+day) }, wire.NoGrant},
		{"ends now", own, func(p procs) *wire.Grant { return p.c.grantOf(p.h, start) }, wire.OK},
		{"has ended", own, func(p procs) *wire.Grant { return p.c.grantOf(p.h, start-1) }, wire.NoGrant},
		{"eight days and five minutes", own, func(p procs) *wire.Grant { return p.c.grantOf(p.h, start+8*day+300_000) }, wire.OK},
		{"a millisecond more", own, func(p procs) *wire.Grant { return p.c.grantOf(p.h, start+8*day+300_001) }, wire.NoGrant},
		{"forged", own, func(p procs) *wire.Grant {
			g := p.c.grantOf(p.h, start+day)
			g.Signed.Sig[3] ^= 1
			return g
		}, wire.BadSignature},
	} {
		w := newWorld(t)
		w.real = true
		h := w.newCore(1, Limits{})
		p := procs{w.newRaw(2, wire.Edge), h, w.newRaw(3, wire.Service)}
		p.c.join(h)
		p.c.in = nil
		target := envelope.Target{Kind: envelope.Address, To: x.target(p).key.Address()}
		p.c.say(&wire.Subscribe{Ref: 4, Target: target, Grant: x.grant(p)})
		got := heard[*wire.Subscribed](p.c)
		if len(got) != 1 || got[0].Ref != 4 || got[0].Code != x.code {
			t.Errorf("%s: %v, want %v", x.caption, got, x.code)
		}
		if g, ok := h.core.wants[target]; ok != (x.code == wire.OK) || ok && g == nil {
			t.Errorf("%s: upstream was told %v %v", x.caption, ok, g)
		}
	}
}

func TestGrantEndsAndIsRenewed(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	own := envelope.Target{Kind: envelope.Address, To: c.key.Address()}
	c.say(&wire.Subscribe{Ref: 2, Target: own, Grant: c.grantOf(h, start+3600_000)})
	w.wait(1800_000)
	c.say(&wire.Subscribe{Ref: 3, Target: own, Grant: c.grantOf(h, start+7200_000)})
	if g := h.core.wants[own]; g == nil || g.NotAfter != start+7200_000 {
		t.Fatalf("upstream was told of %v", g)
	}
	w.wait(3600_000)
	if _, ok := h.core.wants[own]; !ok {
		t.Error("ended with the grant that was renewed")
	}
	w.wait(3600_000)
	if _, ok := h.core.wants[own]; ok {
		t.Error("outlived its last grant by half an hour")
	}
	if _, ok := h.core.wants[groupTarget(t)]; !ok {
		t.Error("the end of a grant took another subscription along")
	}
}

// Upstream hears of the first subscriber of a target and of the last one's end.
func TestWantAndUnwant(t *testing.T) {
	w := newWorld(t)
	h, a, b := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	a.join(h)
	b.join(h)
	for i, c := range []*proc{a, b} {
		if _, ok := h.core.wants[groupTarget(t)]; !ok {
			t.Fatalf("not wanted before unsubscribe %d", i)
		}
		c.say(&wire.Unsubscribe{Ref: 9, Target: groupTarget(t)})
		if got := heard[*wire.Subscribed](c); got[len(got)-1].Ref != 9 || got[len(got)-1].Code != wire.OK {
			t.Errorf("unsubscribe was answered %v", got)
		}
	}
	if _, ok := h.core.wants[groupTarget(t)]; ok {
		t.Error("still wanted")
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{Subscriptions: 2}), w.newRaw(2, wire.Service)
	c.join(h)
	for ref, want := range []wire.Code{wire.OK, wire.Quota} {
		c.in = nil
		to := envelope.Target{Kind: envelope.Group, To: testKey(t, byte(40+ref)).Address()}
		c.say(&wire.Subscribe{Ref: 5, Target: to})
		if got := heard[*wire.Subscribed](c); len(got) != 1 || got[0].Code != want {
			t.Errorf("subscription %d: %v, want %v", ref+2, got, want)
		}
	}
	c.in = nil
	c.say(&wire.Subscribe{Ref: 6, Target: groupTarget(t), Mode: wire.WhileLinked})
	if got := heard[*wire.Subscribed](c); got[0].Code != wire.OK {
		t.Errorf("a full table refused a change of what it holds: %v", got)
	}
}

// spec §5.3: each refusal has its code, and nothing refused goes upstream.
func TestPublishRefused(t *testing.T) {
	forged := *numbered1(t, 0)
	raw := slices.Clone(forged.Raw)
	raw[len(forged.HeaderBytes)+20] ^= 1 // within the signature
	bad, err := envelope.Parse(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		caption string
		e       *envelope.Envelope
		code    wire.Code
		charged int
	}{
		{"forged", bad, wire.BadSignature, 1},
		{"expired", letterOf(t, 0, func(h *envelope.Header) { h.Time, h.TTL = start-2000, 1 }), wire.Expired, 0},
		{"from the future", letterOf(t, 0, func(h *envelope.Header) { h.Time += 400_000 }), wire.Clock, 0},
		{"of a newer kind", letterOf(t, 0, func(h *envelope.Header) { h.Flags |= 1 << 20 }), wire.BadVersion, 0},
	} {
		w := newWorld(t)
		w.real = true
		h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
		c.join(h)
		c.say(&wire.Publish{Envelope: x.e})
		got := heard[*wire.Published](c)
		if len(got) != 1 || got[0].Code != x.code || got[0].ID != x.e.ID {
			t.Errorf("%s: %v, want %v", x.caption, got, x.code)
		}
		if h.core.takes != 0 || h.reports[machine.PublishRefused] != 1 || h.reports[machine.FaultCharged] != x.charged {
			t.Errorf("%s: %d taken, reports %v", x.caption, h.core.takes, h.reports)
		}
	}
}

// An envelope that upstream refused counts as unseen: the next try is pushed.
func TestRefusedByUpstreamThenTaken(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.core.refuse = wire.StorageFull
	c.say(&wire.Publish{Envelope: numbered1(t, 0)})
	h.core.refuse = wire.OK
	c.say(&wire.Publish{Envelope: numbered1(t, 0)})
	got := heard[*wire.Published](c)
	if len(got) != 2 || got[0].Code != wire.StorageFull || got[0].RetryAfter != 700 || got[1].Code != wire.OK {
		t.Errorf("%v", got)
	}
	if h.core.retook != 0 || len(heard[*wire.Deliver](c)) != 1 {
		t.Errorf("retaken %d times, delivered %d times", h.core.retook, len(heard[*wire.Deliver](c)))
	}
}

// F1: what is known is answered by who holds it; what nobody holds any more is
// checked and kept again, without a push.
func TestPublishAgain(t *testing.T) {
	w := newWorld(t)
	w.real = true
	h, a, b := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	a.join(h)
	b.join(h)
	e := numbered1(t, 0)
	a.say(&wire.Publish{Envelope: e}, &wire.Publish{Envelope: e})
	b.say(&wire.Publish{Envelope: e})
	if h.core.takes != 1 || h.core.retook != 0 {
		t.Errorf("taken %d times, retaken %d times", h.core.takes, h.core.retook)
	}
	delete(h.core.held, e.ID)
	b.say(&wire.Publish{Envelope: e})
	if h.core.retook != 1 {
		t.Errorf("retaken %d times, want once", h.core.retook)
	}
	for name, c := range map[string]*proc{"first": a, "second": b} {
		got := heard[*wire.Published](c)
		if len(got) != 2 || got[0].Code != wire.OK || got[1].Code != wire.OK {
			t.Errorf("%s publisher: %v", name, got)
		}
		if n := len(heard[*wire.Deliver](c)); n != 1 {
			t.Errorf("%s publisher was delivered to %d times", name, n)
		}
	}
}

func TestLivePublishAgain(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	e := letterOf(t, 0, func(h *envelope.Header) { h.Flags |= envelope.Live })
	c.say(&wire.Publish{Envelope: e})
	c.say(&wire.Publish{Envelope: e})
	if got := heard[*wire.Published](c); len(got) != 2 || got[1].Code != wire.OK || h.core.takes != 1 {
		t.Errorf("%v, taken %d times", got, h.core.takes)
	}
}

// H2: a service gets its own, an edge router does not get back what it published.
func TestOwnEnvelopes(t *testing.T) {
	for role, want := range map[wire.Role]int{wire.Service: 1, wire.Edge: 0} {
		w := newWorld(t)
		h, c := w.newCore(1, Limits{}), w.newRaw(2, role)
		c.join(h)
		c.say(&wire.Publish{Envelope: numbered1(t, 0)})
		if n := len(heard[*wire.Deliver](c)); n != want {
			t.Errorf("%v: delivered %d times, want %d", role, n, want)
		}
	}
}

// Mail for the router itself goes to its shell; the router wants it by a grant
// of its own, which it renews.
func TestMailForTheRouter(t *testing.T) {
	w := newWorld(t)
	w.real = true
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	own := envelope.Target{Kind: envelope.Address, To: h.key.Address()}
	g := h.core.wants[own]
	if g == nil || !g.Claim().Holds() || g.Router != h.key.Address() {
		t.Fatalf("wanted with %v", g)
	}
	e := letterOf(t, 0, func(h *envelope.Header) { h.Target = own })
	c.say(&wire.Publish{Envelope: e})
	if len(h.mail) != 1 || h.mail[0].ID != e.ID || h.reports[machine.RouterMail] != 1 {
		t.Errorf("mail %v, reports %v", h.mail, h.reports)
	}
	w.wait(5 * day)
	if later := h.core.wants[own]; later.NotAfter <= g.NotAfter {
		t.Error("the grant was not renewed at two thirds of its life")
	}
}

// H1: attached comes again, with the highest number.
func TestAttachedRepeats(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.deliver(letters(t, 3)...)
	w.wait(2*attachedEvery + 1)
	got := heard[*wire.Attached](c)
	if len(got) != 3 || got[0].Last != 0 || got[2].Last != 3 || got[0].Box != got[2].Box {
		t.Errorf("%v", got)
	}
	w.cut(w.links[0])
	w.wait(5 * attachedEvery)
	if len(heard[*wire.Attached](c)) != 3 {
		t.Error("attached came after the link's end")
	}
}

// H4: the lease.
func TestLease(t *testing.T) {
	w := newWorld(t)
	h, c, idle := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	w.link(idle, h)
	idle.say(&wire.Attach{Homes: idle.homesOf(1, h)}, &wire.Subscribe{Target: groupTarget(t), Mode: wire.WhileLinked})
	w.cut(w.links[0])
	w.settle()
	if n := len(h.home.Clients()); n != 0 {
		t.Errorf("%d clients: one for which nothing is kept needs no lease", n)
	}
	l := c.join(h)
	w.cut(l)
	w.wait(29 * day)
	h.deliver(numbered1(t, 0))
	if got := h.home.Clients(); len(got) != 1 || got[0].Waiting != 1 || got[0].Lease != start+leaseTime {
		t.Fatalf("after 29 days: %+v", got)
	}
	w.wait(2 * day)
	if z := h.home.Sizes(); z.Clients != 0 || z.MailBytes != 0 || len(h.core.wants) != 1 {
		t.Errorf("after 31 days: %+v, wants %d", z, len(h.core.wants))
	}
	c.in = nil
	c.join(h)
	if got := heard[*wire.Attached](c); len(got) != 1 || got[0].Code != wire.OK || got[0].Last != 0 {
		t.Errorf("back after the lease: %v", got)
	}
}

// A second link of the same key takes the mailbox over.
func TestSecondLinkTakesOver(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	first := c.join(h)
	h.deliver(numbered1(t, 0))
	c.in = nil
	c.join(h)
	if got := heard[*wire.Deliver](c); len(got) != 1 || got[0].N != 1 {
		t.Errorf("redelivered %v", got)
	}
	w.cut(first)
	w.settle()
	if got := h.home.Clients(); len(got) != 1 || got[0].Link == 0 {
		t.Errorf("%+v", got)
	}
}

func TestUnknownLinkAndFrames(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.do(func(now int64) { h.home.Frame(now, 999, &wire.Delivered{}) })
	c.say(&wire.Subscribed{Ref: 1})
	if h.reports[machine.FrameIgnored] != 2 || len(h.closes) != 0 {
		t.Errorf("reports %v, closes %v", h.reports, h.closes)
	}
}
