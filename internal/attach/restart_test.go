package attach

import (
	"slices"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// restart ends a process in peace: all that was asked is stored.
func (p *proc) restart() {
	p.w.t.Helper()
	p.survive = func(n int) int { return n }
	p.crash()
	p.w.settle()
}

// again attaches a raw client once more.
func (p *proc) again(h *proc, resume *wire.Resume) *pair {
	p.in = nil
	l := p.w.link(p, h)
	p.say(&wire.Attach{Homes: p.homesOf(1, h), Resume: resume})
	return l
}

// H1, H2: the same box goes on with the same numbers, and mail waits in it.
func TestRestartGoesOn(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.deliver(letters(t, 10)...)
	c.say(&wire.Delivered{N: 3, Also: []wire.Range{{First: 6, Last: 10}}})
	box := heard[*wire.Attached](c)[0].Box
	h.restart()
	if _, ok := h.core.wants[groupTarget(t)]; !ok {
		t.Error("upstream was not asked for what an absent client subscribed to")
	}
	h.deliver(numbered1(t, 10)) // while the client is away
	c.again(h, &wire.Resume{Box: box, N: 4})
	if a := heard[*wire.Attached](c)[0]; a.Box != box || a.Last != 11 || a.Epoch != 1 {
		t.Errorf("attached %+v, want box %x and 11", a, box)
	}
	if got := c.delivered(); !slices.Equal(got, []uint64{5, 11}) {
		t.Errorf("delivered %v", got)
	}
	c.say(&wire.Delivered{N: 11})
	if h.waiting() != 0 {
		t.Errorf("%d rows are left", h.waiting())
	}
	h.restart()
	c.again(h, nil)
	h.deliver(numbered1(t, 11))
	if got := c.delivered(); !slices.Equal(got, []uint64{12}) {
		t.Errorf("the next number is %v", got)
	}
}

// F4, F5 over a restart: what was delivered is a duplicate, also when it was
// acknowledged; what is ahead of a hole waits.
func TestRestartKnowsStreams(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	list := letters(t, 12)
	h.deliver(list[:5]...)
	c.say(&wire.Delivered{N: 3})
	for range 3 {
		h.restart()
		c.again(h, nil)
		if got := c.firsts(); !slices.Equal(got, []uint64{3, 4}) {
			t.Errorf("waiting: %v", got)
		}
	}
	c.in = nil
	h.deliver(list[1], list[4], list[6], list[0], list[5])
	if got := c.firsts(); !slices.Equal(got, []uint64{5, 6}) {
		t.Errorf("delivered %v", got)
	}
	h.deliver(list[9]) // a hole that is given up
	w.wait(40_000)
	c.say(&wire.Delivered{N: 99})
	h.restart()
	c.again(h, nil)
	h.deliver(list[9], list[7], list[7], list[10])
	if got := c.firsts(); !slices.Equal(got, []uint64{7, 10}) {
		t.Errorf("behind the hole: %v", got)
	}
	if z := h.home.Sizes(); z.Streams != 1 {
		t.Errorf("%+v", z)
	}
}

// What an edge router's client published stays until it is in the mailboxes there,
// though a home has it: here it waits behind a hole when the router dies.
func TestRestartBehindAHole(t *testing.T) {
	w := newWorld(t)
	h, p, s := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newService(3)
	e := w.newEdge(4, h)
	w.link(e, h)
	w.link(s, e)
	s.want(groupTarget(t))
	w.link(p, e)
	list := letters(t, 3)
	p.say(&wire.Attach{Homes: p.homesOf(1, e)}, &wire.Publish{Envelope: list[0]}, &wire.Publish{Envelope: list[2]})
	w.wait(100)
	if len(h.core.held) != 2 || e.waiting() != 1 {
		t.Fatalf("the core has %d, %d rows at the edge", len(h.core.held), e.waiting())
	}
	e.restart()
	w.link(e, h)
	w.link(s, e)
	w.link(p, e)
	p.say(&wire.Attach{Homes: p.homesOf(1, e)}, &wire.Publish{Envelope: list[1]})
	w.wait(1000)
	if got := s.app.numbers(); !slices.Equal(got, upTo(3)) || e.waiting() != 0 {
		t.Errorf("got %v, %d rows", got, e.waiting())
	}
	if z := e.client.Sizes(); z.Outbox != 0 || z.OutboxBytes != 0 {
		t.Errorf("%+v", z)
	}
}

// The same at a core, of what came over the backbone, which remembers that it was
// delivered. What waits goes on when the hole is filled or given up in another life.
func TestRestartKeepsWhatIsHeld(t *testing.T) {
	for _, filled := range []bool{true, false} {
		w := newWorld(t)
		h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
		c.join(h)
		list := letters(t, 6)
		h.deliver(list[0], list[2], list[4])
		c.say(&wire.Delivered{N: 1})
		h.restart()
		h.restart()
		c.again(h, nil)
		want := []uint64{2, 4}
		if filled {
			h.deliver(list[2], list[1], list[3], list[5])
			want = []uint64{1, 2, 3, 4, 5}
		}
		w.wait(40_000)
		if got := c.firsts(); !slices.Equal(got, want) {
			t.Errorf("filled %v: %v", filled, got)
		}
		c.say(&wire.Delivered{N: 99})
		if h.waiting() != 0 || len(h.home.holds) != 0 || len(h.home.unsafe) != 0 {
			t.Errorf("filled %v: %d rows, %d are held", filled, h.waiting(), len(h.home.holds))
		}
	}
}

// A publish is answered when it is durable for all who subscribed here as well, also
// where it waits behind a hole; a store that fails holds the answer back.
func TestPublishedIsDurableForSubscribers(t *testing.T) {
	w := newWorld(t)
	h, c, p := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	w.cut(c.join(h))
	w.link(p, h)
	p.say(&wire.Attach{Homes: p.homesOf(1, h)})
	list := letters(t, 4)
	p.say(&wire.Publish{Envelope: list[0]})
	w.trace = func(_ *proc, f wire.Frame) {
		if f, ok := f.(*wire.Published); ok && f.Code == wire.OK {
			for _, m := range list {
				if m.ID == f.ID && h.disk[string(letterKey(m.ID, int64(m.Expires())))] == nil && len(h.home.holds) == 0 {
					t.Errorf("%v was answered before it was stored for its subscriber", m.First)
				}
			}
		}
	}
	for i, m := range []*envelope.Envelope{list[2], list[3], list[1]} {
		// The custody is stored; the mail, or what holds it, fails.
		id := m.ID
		h.storeFailAt = 2
		p.in = nil
		p.say(&wire.Publish{Envelope: m})
		if got := heard[*wire.Published](p); len(got) > 0 && i < 2 {
			t.Errorf("%d was answered at once: %v", m.First, got)
		}
		w.wait(1500)
		if got := heard[*wire.Published](p); len(got) != 1 || got[0].ID != id || got[0].Code != wire.OK {
			t.Errorf("%d was answered %v", m.First, got)
		}
	}
	c.again(h, nil)
	if got := c.firsts(); !slices.Equal(got, upTo(4)) {
		t.Errorf("delivered %v", got)
	}
}

// An edge router that was cut off publishes, in order, what it took in an earlier
// life, and resumes the mailbox at its home under the document that the home knows.
func TestRestartOfAnEdgeOffline(t *testing.T) {
	w := newWorld(t)
	h, p, s := w.newCore(1, Limits{}), w.newService(2), w.newService(3)
	e := w.newEdge(4, h)
	l := w.link(e, h)
	w.link(p, e)
	w.link(s, h)
	s.want(groupTarget(t))
	var attaches []*wire.Attach
	w.trace = func(from *proc, f wire.Frame) {
		if a, ok := f.(*wire.Attach); ok && from == e {
			attaches = append(attaches, a)
		}
	}
	w.cut(l)
	list := letters(t, 5)
	p.publish(list[:3]...)
	for range 3 {
		e.restart()
	}
	w.link(p, e)
	p.publish(list[3:]...)
	verified := len(h.home.checks)
	w.link(e, h)
	w.wait(1000)
	if got := s.app.numbers(); !slices.Equal(got, upTo(5)) {
		t.Errorf("got %v", got)
	}
	if len(attaches) != 1 || attaches[0].Resume == nil || h.home.dir.Homes(e.key.Address()).Epoch != attaches[0].Homes.Epoch || verified != 0 {
		t.Errorf("attaches %+v", attaches)
	}
	for _, m := range list {
		if !slices.Equal(p.app.taken[m.ID], []wire.Code{wire.OK}) {
			t.Errorf("%v was answered %v", m.ID, p.app.taken[m.ID])
		}
	}
}

// A home that remembers a subscription which ended while its edge router was down is
// told, and its mail is acknowledged.
func TestEdgeEndsForgottenSubscriptions(t *testing.T) {
	w := newWorld(t)
	h, s := w.newCore(1, Limits{}), w.newService(3)
	e := w.newEdge(4, h)
	l := w.link(e, h)
	w.link(s, e)
	s.want(groupTarget(t))
	w.cut(l)
	w.settle()
	s.do(func(now int64) { s.client.Unwant(now, groupTarget(t)) })
	e.restart()
	w.link(e, h)
	h.deliver(letters(t, 3)...)
	w.wait(1000)
	if st := h.home.Clients()[0]; st.Waiting != 0 || slices.Contains(st.Subscriptions, groupTarget(t)) {
		t.Errorf("%+v", st)
	}
}

// H4 over a restart: a lease counts from when the client left.
func TestLeaseCountsOverRestarts(t *testing.T) {
	w := newWorld(t)
	h, c, stays := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	w.cut(c.join(h))
	stays.join(h)
	w.wait(20 * 24 * 3600_000)
	h.restart()
	if n := len(h.home.Clients()); n != 2 {
		t.Fatalf("%d clients", n)
	}
	w.wait(11 * 24 * 3600_000)
	list := h.home.Clients()
	if len(list) != 1 || list[0].Client != stays.key.Address() {
		t.Errorf("%+v", list)
	}
	for key := range h.rows {
		if key[1:33] == string(c.key.Address().Bytes()) {
			t.Errorf("row %c of a client that is gone", key[0])
		}
	}
}

// H4: the quota holds for what was restored. What may have been sent goes last; all is
// told of.
func TestQuotaAfterRestart(t *testing.T) {
	for _, x := range []struct {
		caption  string
		most     int // entries
		before   int // that were there
		after    int // that came later
		wantGaps int
		wantLost uint64
	}{
		{"what was never sent goes first", 400, 380, 40, 1, 21},
		{"all may have been sent", 100, 90, 40, 1, 31},
		{"there is room", 500, 380, 40, 0, 0},
	} {
		w := newWorld(t)
		h, c := w.newCore(1, Limits{MailboxEntries: x.most}), w.newRaw(2, wire.Service)
		w.cut(c.join(h))
		w.settle()
		h.deliver(letters(t, x.before)...)
		h.restart()
		for n := range x.after {
			h.deliver(numbered1(t, uint64(x.before+n)))
		}
		checkMailbox(t, h.home)
		h.restart()
		checkMailbox(t, h.home)
		c.again(h, nil)
		got, gaps, lost := 0, 0, uint64(0)
		for len(c.in) > 0 {
			top := uint64(0)
			for _, n := range c.delivered() {
				got, top = got+1, max(top, n)
			}
			for _, g := range heard[*wire.Gap](c) {
				gaps, lost, top = gaps+1, lost+g.Count, max(top, g.N)
			}
			c.in = nil
			c.say(&wire.Delivered{N: top})
		}
		if gaps != x.wantGaps || lost != x.wantLost || got+int(lost) != x.before+x.after {
			t.Errorf("%s: got %d, and %d gaps of %d", x.caption, got, gaps, lost)
		}
	}
}

// Mail that expires while the router is down becomes gaps, and the rows of its hour
// go together.
func TestExpiryOverRestart(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.cut(c.join(h))
	w.settle()
	for n := range uint64(300) {
		h.deliver(letterOf(t, n, func(h *envelope.Header) { h.TTL = 100 + uint64(n%3)*4000 }))
	}
	h.restart()
	w.wait(10 * 3600_000)
	for key := range h.rows {
		if key[0] == letterTable || key[0] == markTable {
			t.Fatalf("a row of table %c is left", key[0])
		}
	}
	c.again(h, nil)
	sum := uint64(0)
	for len(c.in) > 1 || sum == 0 {
		for _, g := range heard[*wire.Gap](c) {
			if g.Why != wire.WhyExpired {
				t.Errorf("%v", g)
			}
			sum += g.Count
		}
		c.in = nil
		c.say(&wire.Delivered{N: 1 << 40})
	}
	if sum != 300 {
		t.Errorf("gaps of %d items", sum)
	}
}

// A letter whose row is missing is told of as a gap, and one that nobody waits for
// goes.
func TestMissingAndOrphanedLetters(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.cut(c.join(h))
	w.settle()
	list := letters(t, 4)
	h.deliver(list...)
	delete(h.disk, string(letterKey(list[1].ID, int64(list[1].Expires()))))
	orphan := otherLetter(t, 3)
	h.disk[string(letterKey(orphan.ID, int64(orphan.Expires())))] = orphan.Raw
	h.restart()
	c.again(h, nil)
	if got := c.firsts(); !slices.Equal(got, []uint64{0, 2, 3}) {
		t.Errorf("delivered %v", got)
	}
	if g := heard[*wire.Gap](c); len(g) != 1 || g[0].N != 2 || g[0].Why != wire.WhyHole || g[0].Count != 1 {
		t.Errorf("gaps %v", g)
	}
	c.say(&wire.Delivered{N: 4})
	if h.waiting() != 0 || h.reports[machine.MailboxDropped] != 1 {
		t.Errorf("%d rows are left, reports %v", h.waiting(), h.reports)
	}
}

// Bodies beyond the bound are read again when their turn comes, in order; a store
// that fails is asked again.
func TestBodiesAreReadAgain(t *testing.T) {
	for _, fails := range []int{0, 2} {
		w := newWorld(t)
		h, c := w.newCore(1, Limits{}), w.newService(2)
		l := w.link(c, h)
		c.want(groupTarget(t))
		w.cut(l)
		w.settle()
		const n, size = 60, 100_000
		for i := range uint64(n) {
			h.deliver(sizedLetter(t, i, size))
		}
		if z := h.home.Sizes(); z.Bodies > bodiesOne+2*size || z.MailBytes < n*size {
			t.Errorf("%d bytes of %d are in memory", z.Bodies, z.MailBytes)
		}
		h.loadFail = fails
		w.link(c, h)
		w.wait(10_000)
		if got := c.app.numbers(); !slices.Equal(got, upTo(n)) || len(c.app.gaps) > 0 {
			t.Errorf("%d failures: got %v, gaps %v", fails, got, c.app.gaps)
		}
		if z := h.home.Sizes(); z.Bodies != 0 || h.loads < 3+fails {
			t.Errorf("%+v, %d loads", z, h.loads)
		}
	}
}

// An envelope that is gone from the store, or is another one, is a gap in its place.
func TestLoadedIsHeldAgainstItsID(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.cut(c.join(h))
	w.settle()
	list := letters(t, 5)
	h.deliver(list...)
	h.restart()
	key := func(i int) string { return string(letterKey(list[i].ID, int64(list[i].Expires()))) }
	delete(h.rows, key(1))
	h.rows[key(2)] = list[3].Raw
	h.rows[key(3)] = []byte("rubbish")
	c.again(h, nil)
	if got := c.firsts(); !slices.Equal(got, []uint64{0, 4}) {
		t.Errorf("delivered %v", got)
	}
	if g := heard[*wire.Gap](c); len(g) != 3 || g[0].N != 2 {
		t.Errorf("gaps %v", g)
	}
}

// A client is stored before it is attached, a subscription before it is confirmed; a
// store that fails refuses both, and leaves nothing behind.
func TestStoredBeforeAnswered(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.trace = func(from *proc, f wire.Frame) {
		switch f := f.(type) {
		case *wire.Attached:
			if f.Code == wire.OK && h.disk[string(addressKey(boxTable, c.key.Address()))] == nil {
				t.Error("attached before the client was stored")
			}
		case *wire.Subscribed:
			stored := h.disk[string(subKey(&client{address: c.key.Address()}, groupTarget(t)))] != nil
			if f.Code == wire.OK && stored != (f.Ref == 1) {
				t.Errorf("answer %d came, stored: %v", f.Ref, stored)
			}
		}
	}
	h.storeFail = 1
	w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)}, &wire.Subscribe{Ref: 1, Target: groupTarget(t)})
	if a := heard[*wire.Attached](c); len(a) != 1 || a[0].Code != wire.StorageFull || len(h.home.Clients()) != 0 || len(h.rows) != 0 {
		t.Fatalf("attached %v, %d clients, %d rows", a, len(h.home.Clients()), len(h.rows))
	}
	w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)})
	h.storeFail = 1
	c.in = nil
	c.say(&wire.Subscribe{Ref: 1, Target: groupTarget(t)})
	if s := heard[*wire.Subscribed](c); len(s) != 1 || s[0].Code != wire.StorageFull || h.home.Sizes().Targets != 0 {
		t.Fatalf("subscribed %v, %+v", s, h.home.Sizes())
	}
	c.say(&wire.Subscribe{Ref: 1, Target: groupTarget(t), HasSince: true, Since: start - 5000})
	h.restart()
	sub, _ := h.home.clients.At(c.key.Address()).subs.Get(groupTarget(t))
	if sub == nil || sub.start != start-5000 {
		t.Fatalf("restored %+v", sub)
	}
	c.again(h, nil)
	c.say(&wire.Unsubscribe{Ref: 2, Target: groupTarget(t)})
	h.restart()
	if z := h.home.Sizes(); z.Targets != 0 || z.Clients != 1 {
		t.Errorf("%+v", z)
	}
}

// An address's grant is restored with its subscription; one that ended meanwhile ends
// it.
func TestGrantsAreRestored(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	own := envelope.Target{Kind: envelope.Address, To: c.key.Address()}
	w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)}, &wire.Subscribe{Ref: 1, Target: own, Grant: c.grantOf(h, w.now+7*24*3600_000)})
	h.restart()
	if g := h.core.wants[own]; g == nil || g.Router != h.key.Address() {
		t.Fatalf("wanted with %v", g)
	}
	h.w.now += 8 * 24 * 3600_000
	h.restart()
	if _, ok := h.core.wants[own]; ok || h.home.Sizes().Targets != 0 {
		t.Error("a subscription outlived its grant")
	}
	for key := range h.rows {
		if key[0] == subTable {
			t.Error("its row is left")
		}
	}
}

// Rows are refused once a life has begun.
func TestRestoreComesFirst(t *testing.T) {
	w := newWorld(t)
	h := w.newCore(1, Limits{})
	e := w.newEdge(2, h)
	w.settle()
	row := machine.Row{Key: []byte("b"), Value: []byte{1}}
	if err := h.home.Restore(row); err != ErrBegun {
		t.Errorf("home: %v", err)
	}
	if err := e.client.Restore(row); err != ErrBegun {
		t.Errorf("client: %v", err)
	}
	if err := w.newService(3).client.Restore(row); err == nil {
		t.Error("a service took a row")
	}
}

// What the outbox has and the mailboxes beside it lack, since the process died between
// two rows, is handed over there again, though its publisher never comes back.
func TestOutboxIsHandedOver(t *testing.T) {
	w := newWorld(t)
	h, p, s := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newService(3)
	e := w.newEdge(4, h)
	w.link(s, e)
	s.want(groupTarget(t))
	w.link(p, e)
	p.say(&wire.Attach{Homes: p.homesOf(1, e)}, &wire.Publish{Envelope: numbered1(t, 0)})
	e.survive = func(n int) int { return n }
	w.wait(100)
	e.crashAt = e.effects + 3 // the envelope is checked, then stored for the outbox; now for mailboxes
	p.say(&wire.Publish{Envelope: numbered1(t, 1)})
	if e.lives != 4 { // two machines in each life
		t.Fatalf("%d seeds: it should have died", e.lives)
	}
	w.link(s, e)
	if got := s.app.numbers(); !slices.Equal(got, upTo(2)) {
		t.Errorf("got %v", got)
	}
}

// An edge router notes how far it has a mailbox, not at each step: it resumes near
// there.
func TestResumeIsSaved(t *testing.T) {
	w := newWorld(t)
	h, s := w.newCore(1, Limits{}), w.newService(3)
	e := w.newEdge(4, h)
	w.link(e, h)
	w.link(s, e)
	s.want(groupTarget(t))
	w.wait(100)
	for _, m := range letters(t, 600) {
		h.deliver(m)
	}
	w.wait(1000)
	e.restart()
	var resume *wire.Resume
	w.trace = func(from *proc, f wire.Frame) {
		if a, ok := f.(*wire.Attach); ok && from == e {
			resume = a.Resume
		}
	}
	w.link(e, h)
	if resume == nil || resume.N < saveEvery || resume.N > 600 {
		t.Errorf("resumed with %+v", resume)
	}
}

// A gap that took in another one is stored again when the store failed.
func TestWidenedGapIsStoredAgain(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.cut(c.join(h))
	w.settle()
	tell := func(count uint64) {
		g := wire.Gap{Target: groupTarget(t), FromTime: start, ToTime: start, Count: count, Why: wire.WhyQuota}
		h.do(func(now int64) { h.home.Gap(now, g, Receipt{}) })
	}
	tell(3)
	h.storeFail = 1
	tell(4)
	w.wait(3 * retryMail)
	h.restart()
	c.again(h, nil)
	if g := heard[*wire.Gap](c); len(g) != 1 || g[0].Count != 7 {
		t.Errorf("gaps %v", g)
	}
}

// What held an envelope goes with the Store that takes its place, also at the second
// try.
func TestHoldingGoesWithItsBatch(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.deliver(numbered1(t, 0), numbered1(t, 2))
	h.storeFailAt = 2 // the first is of what fills the hole
	h.deliver(numbered1(t, 1))
	if h.waiting() == 0 {
		t.Fatal("nothing is held")
	}
	w.wait(3 * retryMail)
	for key := range h.rows {
		if key[0] == holdTable {
			t.Error("a row of what was held is left")
		}
	}
	if got := c.firsts(); !slices.Equal(got, upTo(3)) {
		t.Errorf("delivered %v", got)
	}
}

// A home's streams are known while anything of them may come again; those of an end
// are not.
func TestStreamsAreKept(t *testing.T) {
	for _, keep := range []bool{true, false} {
		s := NewSequencer(SequencerLimits{Keep: keep})
		of := func(run byte, first uint64) (out []outcome) {
			a := admitted(t, func(h *envelope.Header) { h.Run, h.First, h.TTL = envelope.Run{run}, first, 24*3600 })
			return outcomes(s.Put(start+int64(run)*3_000_000, a, Receipt{}, nil))
		}
		of(1, 0)
		of(1, 1)
		of(2, 0) // 50 minutes later
		of(3, 0) // over an hour: others are looked at
		want := InOrder
		if keep {
			want = Duplicate
		}
		if got := of(1, 1); len(got) != 1 || got[0].order != want && keep {
			t.Errorf("keep %v: %v", keep, got)
		}
		_, known := s.streams[envelope.Stream{Target: groupTarget(t), From: group(t).Address(), Run: envelope.Run{1}}]
		if !known {
			t.Errorf("keep %v: the stream is not known", keep)
		}
	}
}
