package attach

import (
	"math/rand/v2"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A tape turns bytes into choices; at its end all choices are 0.
type tape struct{ b []byte }

func (x *tape) more() bool { return len(x.b) > 0 }

func (x *tape) next() int {
	if len(x.b) == 0 {
		return 0
	}
	c := x.b[0]
	x.b = x.b[1:]
	return int(c)
}

func (x *tape) choose(n int) int { return x.next() % n }

// pool is envelopes of all sorts, the same for every run.
func pool(t testing.TB) (list []*envelope.Envelope) {
	for i := range uint64(24) {
		list = append(list, letterOf(t, i, func(h *envelope.Header) {
			h.First, h.Run = i%8, envelope.Run{byte(i / 8)}
			switch {
			case i%5 == 4:
				h.Flags |= envelope.Live
			case i%7 == 6:
				h.TTL = 30
			case i == 3:
				h.Time += 301_000
			case i == 11:
				h.Time, h.TTL = start-5000, 1
			case i == 13:
				h.Flags |= 1 << 30
			}
		}))
	}
	for i := range uint64(6) {
		list = append(list, otherLetter(t, i*i))
	}
	forged := *list[0]
	raw := append([]byte(nil), forged.Raw...)
	for i := range 64 { // a signature of zeros does not hold in these tests
		raw[len(forged.HeaderBytes)+5+i] = 0
	}
	if e, err := envelope.Parse(raw, nil); err == nil {
		list = append(list, e)
	} else {
		t.Fatal(err)
	}
	return append(list, sizedLetter(t, 9, 70_000), sizedLetter(t, 10, 900_000))
}

// homeRun plays frames of three clients, and what upstream and store may do, to a
// home, and holds its tables against their bounds after each.
type homeRun struct {
	*tape
	t       testing.TB
	w       *world
	h       *proc
	clients []*proc
	links   map[*proc]*pair
	pool    []*envelope.Envelope
}

func playHome(t testing.TB, data []byte, envelopes []*envelope.Envelope) {
	w := newWorld(t)
	r := &homeRun{tape: &tape{data}, t: t, w: w, links: make(map[*proc]*pair), pool: envelopes}
	r.h = w.newCore(1, Limits{Clients: 2, Subscriptions: 3, MailboxEntries: 12, MailboxBytes: 1_000_000, TotalBytes: 1_500_000})
	for i, role := range []wire.Role{wire.Service, wire.Edge, wire.Service} {
		c := w.newRaw(byte(10+i), role)
		c.frameMax = 1_000_000 - 450_000*i
		r.clients = append(r.clients, c)
	}
	for r.more() {
		r.act(r.clients[r.choose(3)])
		r.check()
	}
	w.wait(100_000)
	r.check()
}

func (r *homeRun) act(c *proc) {
	switch r.choose(13) {
	case 12:
		r.h.survive = survivors[r.choose(3)]
		r.h.crash()
		r.w.settle()
	case 0:
		r.cut(c)
		r.links[c] = r.w.link(c, r.h)
		c.say(&wire.Attach{Homes: c.homesOf(1, r.h)}, &wire.Subscribe{Ref: 1, Target: groupTarget(r.t), Mode: wire.Mode(r.choose(2))})
	case 1:
		c.say(r.attach(c))
	case 2, 3:
		c.say(r.frame(c))
	case 4:
		c.say(r.frame(c), r.frame(c), r.frame(c))
	case 5:
		r.h.deliver(r.envelope())
	case 6:
		g := wire.Gap{Target: r.target(c), Count: uint64(r.next()), Why: wire.Why(r.choose(9))}
		r.h.do(func(now int64) { r.h.home.Gap(now, g, Receipt{}) })
	case 7:
		r.w.wait(int64(r.next()) * int64(1+999*r.choose(2)))
	case 8:
		r.h.storeFail = r.choose(4)
	case 9:
		r.cut(c)
	case 10:
		if l := r.links[c]; l != nil && l.up {
			l.mute[1] = !l.mute[1]
			l.drain(1)
		}
	case 11:
		r.h.core.refuse = wire.Code(r.choose(2) * r.choose(13))
		delete(r.h.core.held, r.envelope().ID)
	}
}

func (r *homeRun) cut(c *proc) {
	if l := r.links[c]; l != nil {
		r.w.cut(l)
		r.w.settle()
	}
	c.in = nil
}

func (r *homeRun) envelope() *envelope.Envelope { return r.pool[r.choose(len(r.pool))] }

func (r *homeRun) target(c *proc) envelope.Target {
	switch r.choose(5) {
	case 0:
		return groupTarget(r.t)
	case 1:
		return other(r.t)
	case 2:
		return envelope.Target{Kind: envelope.Address, To: c.key.Address()}
	case 3:
		return envelope.Target{Kind: envelope.Address, To: r.h.key.Address()}
	}
	return envelope.Target{Kind: envelope.Group, To: testKey(r.t, byte(60+r.choose(6))).Address()}
}

func (r *homeRun) attach(c *proc) wire.Frame {
	f := &wire.Attach{Homes: c.homesOf(uint64(r.choose(3)), r.h)}
	switch r.choose(4) {
	case 0:
		f.Homes.Signed.Sig = identity.Signature{}
	case 1:
		f.Homes = r.clients[0].homesOf(5, r.h)
	case 2:
		f.Resume = &wire.Resume{N: uint64(r.next())}
		if a := heard[*wire.Attached](c); len(a) > 0 {
			f.Resume.Box = a[0].Box
		}
	}
	return f
}

func (r *homeRun) frame(c *proc) wire.Frame {
	switch r.choose(7) {
	case 0:
		f := &wire.Subscribe{Ref: uint64(r.next()), Target: r.target(c), Mode: wire.Mode(r.choose(2))}
		if f.Target.Kind == envelope.Address {
			f.Grant = c.grantOf(r.h, r.w.now+int64(r.next())*1000)
			if r.choose(3) == 0 {
				f.Grant.Signed.Sig = identity.Signature{}
			}
		}
		return f
	case 1:
		return &wire.Unsubscribe{Ref: uint64(r.next()), Target: r.target(c)}
	case 2, 3:
		return &wire.Publish{Envelope: r.envelope()}
	case 4:
		f := &wire.Delivered{N: uint64(r.choose(40))}
		if r.choose(2) == 0 {
			first := f.N + 2 + uint64(r.choose(9))
			f.Also = []wire.Range{{First: first, Last: first + uint64(r.next())<<(r.choose(8)*7)}}
		}
		return f
	case 5:
		return r.attach(c)
	}
	return &wire.Published{ID: r.envelope().ID, Code: wire.Code(r.choose(20))}
}

// check holds the home's tables against their bounds.
func (r *homeRun) check() {
	h := r.h.home
	checkMailbox(r.t, h)
	l := h.cfg.Limits
	z := h.Sizes()
	// Entries over the limit are gaps, one for each target, and what is in flight.
	if z.Clients > l.Clients || z.Targets > l.Clients*l.Subscriptions || z.Taking > 40 || len(h.checks) > 3 {
		r.t.Fatalf("%+v, %d checks", z, len(h.checks))
	}
	for _, c := range h.clients.All() {
		if c.subs.Len() > l.Subscriptions || c.unsent.len() > 200 {
			r.t.Fatalf("%d subscriptions, %d unsent", c.subs.Len(), c.unsent.len())
		}
		if c.session != nil && (c.session.client != c || c.session.backlog > backlogMax+(1<<20)) {
			r.t.Fatalf("a backlog of %d", c.session.backlog)
		}
	}
	for t, a := range h.audiences { // independent of each other
		if len(a.members) == 0 {
			r.t.Fatalf("%v has an audience of nobody", t)
		}
	}
}

// clientRun plays frames of two homes, and an application, to a client.
type clientRun struct {
	*tape
	t     testing.TB
	w     *world
	c     *proc
	homes []*proc
	links map[*proc]*pair
	pool  []*envelope.Envelope
}

func playClient(t testing.TB, data []byte, envelopes []*envelope.Envelope) {
	w := newWorld(t)
	r := &clientRun{tape: &tape{data}, t: t, w: w, links: make(map[*proc]*pair), pool: envelopes}
	r.homes = []*proc{w.newRaw(1, wire.Core), w.newRaw(2, wire.Core)}
	r.c = w.newService(3, r.homes[:1+r.choose(2)]...)
	r.c.client.cfg.Limits = ClientLimits{OutboxEnvelopes: 10, OutboxBytes: 1_000_000}
	r.c.app.hold = true
	for r.more() {
		r.act(r.homes[r.choose(2)])
		r.check()
	}
	w.wait(100_000)
	r.check()
}

func (r *clientRun) act(h *proc) {
	c := r.c
	switch r.choose(9) {
	case 0:
		r.cut(h)
		r.links[h] = r.w.link(c, h)
		h.say(&wire.Attached{Epoch: start, Box: wire.Box{byte(r.choose(3))}})
	case 1:
		r.cut(h)
	case 2:
		e := r.envelope()
		c.do(func(now int64) { c.client.Publish(now, e) })
	case 3:
		target := []envelope.Target{groupTarget(r.t), other(r.t), {Kind: envelope.Address, To: c.key.Address()}}[r.choose(3)]
		if r.choose(3) == 0 {
			c.do(func(now int64) { c.client.Unwant(now, target) })
		} else {
			c.want(target)
		}
	case 4:
		if n := len(c.app.receipts); n > 0 {
			i := r.choose(n)
			c.do(func(now int64) { c.client.Done(now, c.app.receipts[i]) })
		}
	case 5:
		r.w.wait(int64(r.next()) * int64(1+999*r.choose(2)))
	default:
		h.say(r.frame(h), r.frame(h))
	}
}

func (r *clientRun) cut(h *proc) {
	if l := r.links[h]; l != nil {
		r.w.cut(l)
		r.w.settle()
	}
	h.in = nil
}

func (r *clientRun) envelope() *envelope.Envelope { return r.pool[r.choose(len(r.pool))] }

func (r *clientRun) frame(h *proc) wire.Frame {
	switch r.choose(7) {
	case 0:
		return &wire.Attached{Epoch: uint64(start + r.next()), Box: wire.Box{byte(r.choose(3))}, Code: wire.Code(r.choose(3) / 2 * 9)}
	case 1:
		return &wire.Subscribed{Ref: uint64(r.choose(20)), Code: wire.Code(r.choose(17))}
	case 2:
		return &wire.Published{ID: r.envelope().ID, Code: wire.Code(r.choose(18)), RetryAfter: uint64(r.next())}
	case 3:
		return &wire.Gap{N: r.number(), Target: groupTarget(r.t), Count: uint64(r.next()), Why: wire.WhyQuota}
	case 4:
		return &wire.Delivered{N: 3}
	}
	return &wire.Deliver{N: r.number(), Envelope: r.envelope()}
}

func (r *clientRun) number() uint64 {
	if n := uint64(r.choose(60)); n < 59 {
		return n
	}
	return uint64(r.next()) << 56
}

// check holds the client's tables against their sums and bounds.
func (r *clientRun) check() {
	c := r.c.client
	o := &c.outbox
	bytes, flying := 0, window{}
	for _, p := range o.byTurn.All() {
		bytes += len(p.envelope.Raw)
		if p.sent {
			flying.add(1, len(p.envelope.Raw))
		}
		if o.byID[p.envelope.ID] != p || p.gone {
			r.t.Fatalf("parcel %d is out of place", p.turn)
		}
	}
	if bytes != o.bytes || flying != o.flying || len(o.byID) != o.byTurn.Len() || len(o.byID) > 10 {
		r.t.Fatalf("%d bytes, %v in flight, %d rows; noted %d, %v, %d", bytes, flying, o.byTurn.Len(), o.bytes, o.flying, len(o.byID))
	}
	for _, h := range c.homes {
		last := h.tally.all
		for _, x := range h.tally.above {
			if x.First < last+2 || x.Last < x.First {
				r.t.Fatalf("ranges %v above %d", h.tally.above, h.tally.all)
			}
			last = x.Last
		}
		if len(h.tally.pending) > pendingMax {
			r.t.Fatalf("%d pending", len(h.tally.pending))
		}
	}
	seen := make(map[envelope.ID]bool)
	for _, e := range r.c.app.got {
		if seen[e.ID] {
			r.t.Fatalf("%v was delivered twice", e.ID)
		}
		seen[e.ID] = true
	}
	if len(c.links) > 2 || r.c.reports[machine.FaultCharged] > 0 && len(r.pool) == 0 {
		r.t.Fatalf("%d links", len(c.links))
	}
}

// FuzzHome: no frames in whatever order bring a home out of its bounds.
func FuzzHome(f *testing.F) {
	envelopes := pool(f)
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { playHome(t, data[:min(len(data), 400)], envelopes) })
}

// FuzzClient: the same for a client.
func FuzzClient(f *testing.F) {
	envelopes := pool(f)
	for _, b := range seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) { playClient(t, data[:min(len(data), 400)], envelopes) })
}

// seeds are 60 tapes of chance.
func seeds() (list [][]byte) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		b := make([]byte, 300)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		list = append(list, b)
	}
	return list
}
