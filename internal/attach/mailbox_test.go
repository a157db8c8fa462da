package attach

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// other is a second target: the test group's key as an address.
func other(t testing.TB) envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: testKey(t, 201).Address()}
}

// otherLetter is a message to the second target.
func otherLetter(t testing.TB, n uint64) *envelope.Envelope {
	t.Helper()
	h := envelope.Header{Target: other(t), First: n, Count: 1, Time: start, TTL: 3600, Flags: envelope.Plain}
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{{1}}), testKey(t, 201))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// sized is a message whose body has about size bytes.
func sizedLetter(t testing.TB, n uint64, size int) *envelope.Envelope {
	t.Helper()
	h := envelope.Header{Target: groupTarget(t), First: n, Count: 1, Time: start, TTL: 3600, Flags: envelope.Plain}
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{bytes.Repeat([]byte{7}, size)}), group(t))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// delivered are the mailbox numbers that a raw client got.
func (p *proc) delivered() (list []uint64) {
	for _, f := range heard[*wire.Deliver](p) {
		list = append(list, f.N)
	}
	return list
}

func (p *proc) firsts() (list []uint64) {
	for _, f := range heard[*wire.Deliver](p) {
		list = append(list, f.Envelope.First)
	}
	return list
}

// spec §5.4: at most 256 envelopes unacknowledged per target; another target of
// the same client goes on.
func TestWindowOfATarget(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	c.say(&wire.Subscribe{Ref: 2, Target: other(t)})
	h.deliver(letters(t, 300)...)
	h.deliver(otherLetter(t, 0), otherLetter(t, 1))
	got := c.delivered()
	want := append(slices.Collect(numbers(1, 256)), 301, 302)
	if !slices.Equal(got, want) {
		t.Fatalf("%d delivered, the last %v", len(got), got[max(0, len(got)-3):])
	}
	c.in = nil
	c.say(&wire.Delivered{N: 0, Also: []wire.Range{{First: 3, Last: 12}}})
	if got := c.delivered(); !slices.Equal(got, slices.Collect(numbers(257, 266))) {
		t.Errorf("after an acknowledgement of 10: %v", got)
	}
	c.in = nil
	c.say(&wire.Delivered{N: 256})
	if got := c.delivered(); !slices.Equal(got, slices.Collect(numbers(267, 300))) {
		t.Errorf("the rest: %v", got)
	}
	c.say(&wire.Delivered{N: 302})
	if st := h.home.Clients()[0]; st.Waiting != 0 || st.InFlight != 0 || st.Bytes != 0 {
		t.Errorf("left: %+v", st)
	}
}

func numbers(from, to uint64) func(func(uint64) bool) {
	return func(yield func(uint64) bool) {
		for n := from; n <= to && yield(n); n++ {
		}
	}
}

func TestWindowInBytes(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	for n := range uint64(10) {
		h.deliver(sizedLetter(t, n, 900_000))
	}
	if got := c.delivered(); len(got) != 5 { // the fifth passes 4 MiB
		t.Errorf("%d delivered", len(got))
	}
}

// spec §5.4: at most 4,096 envelopes unacknowledged per client.
func TestWindowOfAClient(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	for k := range byte(17) {
		key := testKey(t, 100+k)
		c.say(&wire.Subscribe{Ref: 9, Target: envelope.Target{Kind: envelope.Group, To: key.Address()}})
		for n := range uint64(250) {
			e, err := envelope.Sign(envelope.Header{
				Target: envelope.Target{Kind: envelope.Group, To: key.Address()}, First: n, Count: 1, Time: start, TTL: 3600, Flags: envelope.Plain,
			}, nil, envelope.PlainBody([][]byte{{1}}), key)
			if err != nil {
				t.Fatal(err)
			}
			h.deliver(e)
		}
	}
	if got := c.delivered(); len(got) != boxEnvelopes {
		t.Errorf("%d delivered, want %d", len(got), boxEnvelopes)
	}
	c.say(&wire.Delivered{N: 100})
	if got := c.delivered(); len(got) != boxEnvelopes+100 {
		t.Errorf("%d delivered after an acknowledgement of 100", len(got))
	}
}

// F3: a link that does not drain gets no more than its backlog; no other client
// notices.
func TestSlowClientHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	h, slow, fast := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	l := slow.join(h)
	fast.join(h)
	l.mute[1] = true
	for n := range uint64(12) {
		h.deliver(sizedLetter(t, n, 1_000_000))
		fast.say(&wire.Delivered{N: n + 1})
		slow.say(&wire.Delivered{N: uint64(len(slow.delivered()))})
	}
	if got := fast.delivered(); len(got) != 12 {
		t.Errorf("the other client got %d of 12", len(got))
	}
	if got := slow.delivered(); len(got) != 5 {
		t.Errorf("the slow one got %d, want what its backlog of 4 MiB takes", len(got))
	}
	for range 12 {
		l.drain(1)
		slow.say(&wire.Delivered{N: uint64(len(slow.delivered()))})
	}
	if got := slow.firsts(); !slices.Equal(got, upTo(12)) {
		t.Errorf("after draining: %v", got)
	}
}

// H2: only what was acknowledged is gone; the rest comes again at the next attach.
func TestSelectiveAcknowledgement(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	l := c.join(h)
	h.deliver(letters(t, 10)...)
	c.say(&wire.Delivered{N: 2, Also: []wire.Range{{First: 5, Last: 6}, {First: 9, Last: 9}}})
	box := heard[*wire.Attached](c)[0].Box
	for _, x := range []struct {
		caption string
		resume  *wire.Resume
		want    []uint64
	}{
		{"forgetful", nil, []uint64{3, 4, 7, 8, 10}},
		{"another box", &wire.Resume{Box: wire.Box{9}, N: 8}, []uint64{3, 4, 7, 8, 10}},
		{"resumed from 7", &wire.Resume{Box: box, N: 7}, []uint64{8, 10}},
		{"beyond the end", &wire.Resume{Box: box, N: 1 << 40}, nil},
	} {
		w.cut(l)
		c.in = nil
		l = w.link(c, h)
		c.say(&wire.Attach{Homes: c.homesOf(1, h), Resume: x.resume})
		if got := c.delivered(); !slices.Equal(got, x.want) {
			t.Errorf("%s: %v, want %v", x.caption, got, x.want)
		}
	}
	if h.waiting() > 10 { // the core's own custody
		t.Errorf("%d rows are left", h.waiting())
	}
}

func TestWildAcknowledgements(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.deliver(letters(t, 3)...)
	top := ^uint64(0)
	c.say(
		&wire.Delivered{N: 0, Also: []wire.Range{{First: top, Last: top}}},
		&wire.Delivered{N: 0, Also: []wire.Range{{First: 2, Last: top}}},
	)
	if st := h.home.Clients()[0]; st.Waiting != 1 {
		t.Errorf("%+v", st)
	}
	c.say(&wire.Delivered{N: top})
	if st := h.home.Clients()[0]; st.Waiting != 0 || st.Last != 3 {
		t.Errorf("%+v", st)
	}
	h.deliver(numbered1(t, 3))
	if got := c.delivered(); got[len(got)-1] != 4 {
		t.Errorf("the next number is %d", got[len(got)-1])
	}
}

// H4: over its quota a mailbox loses its oldest; a gap with their count stands in
// their place.
func TestQuota(t *testing.T) {
	for _, x := range []struct {
		caption string
		limits  Limits
		lost    uint64
	}{
		{"entries", Limits{MailboxEntries: 10}, 16},
		{"bytes", Limits{MailboxBytes: entryCost + 9*(entryCost+len(numbered1(t, 30).Raw))}, 16},
		{"bytes of all mailboxes", Limits{TotalBytes: entryCost + 9*(entryCost+len(numbered1(t, 30).Raw))}, 16},
	} {
		w := newWorld(t)
		h, c := w.newCore(1, x.limits), w.newRaw(2, wire.Service)
		w.cut(c.join(h))
		w.settle()
		for n := range uint64(25) {
			h.deliver(numbered1(t, n+24)) // two bytes of number each
		}
		c.in = nil
		w.link(c, h)
		c.say(&wire.Attach{Homes: c.homesOf(1, h)})
		gaps := heard[*wire.Gap](c)
		if len(gaps) != 1 || gaps[0].Count != x.lost || gaps[0].Why != wire.WhyQuota || gaps[0].N != 1 {
			t.Errorf("%s: gaps %v", x.caption, gaps)
		}
		if _, first := c.in[1].(*wire.Gap); !first {
			t.Errorf("%s: the gap does not come first: %v", x.caption, c.in[1])
		}
		if got := c.firsts(); !slices.Equal(got, slices.Collect(numbers(24+x.lost, 48))) {
			t.Errorf("%s: delivered %v", x.caption, got)
		}
		if h.reports[machine.MailboxDropped] != int(x.lost) {
			t.Errorf("%s: %d drops reported", x.caption, h.reports[machine.MailboxDropped])
		}
	}
}

// What is in flight may have arrived: the quota takes what waits behind it.
func TestQuotaSparesWhatIsInFlight(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{MailboxEntries: 300}), w.newRaw(2, wire.Service)
	c.join(h)
	h.deliver(letters(t, 400)...)
	c.say(&wire.Delivered{N: 256})
	gaps := heard[*wire.Gap](c)
	if len(gaps) != 1 || gaps[0].N != 257 || gaps[0].Count != 101 {
		t.Errorf("gaps %v", gaps)
	}
	if got := c.firsts(); !slices.Equal(got[:256], upTo(256)) || got[256] != 357 {
		t.Errorf("after the gap comes %d", got[256])
	}
}

func TestMailExpires(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.cut(c.join(h))
	w.settle()
	short := func(h *envelope.Header) { h.TTL, h.Count = 10, 3 }
	h.deliver(numbered1(t, 0), letterOf(t, 1, short), letterOf(t, 4, short), numbered1(t, 7))
	w.wait(90_000)
	if h.reports[machine.MailExpired] != 2 {
		t.Errorf("%d expiries reported", h.reports[machine.MailExpired])
	}
	c.in = nil
	w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)})
	gaps := heard[*wire.Gap](c)
	if len(gaps) != 1 || gaps[0].Count != 6 || gaps[0].Why != wire.WhyExpired || gaps[0].N != 2 {
		t.Errorf("gaps %v", gaps)
	}
	if got := c.firsts(); !slices.Equal(got, []uint64{0, 7}) {
		t.Errorf("delivered %v", got)
	}
}

// Mail that expired since the last sweep is not sent either.
func TestMailExpiresBeforeTheSweep(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	w.cut(c.join(h))
	w.settle()
	h.deliver(letterOf(t, 0, func(h *envelope.Header) { h.TTL = 1 }))
	w.wait(1001)
	c.in = nil
	w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)})
	if len(c.delivered()) != 0 || len(heard[*wire.Gap](c)) != 1 {
		t.Errorf("%v", c.in)
	}
}

// spec §5.5: what is larger than the client's frames becomes a gap for it.
func TestLargerThanTheClientsFrames(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.frameMax = wire.FrameMaxService
	c.join(h)
	h.deliver(numbered1(t, 0), sizedLetter(t, 1, 70_000), numbered1(t, 2))
	c.say(&wire.Subscribe{Ref: 2, Target: groupTarget(t), Mode: wire.WhileLinked})
	h.deliver(sizedLetter(t, 3, 70_000), numbered1(t, 4))
	gaps := heard[*wire.Gap](c)
	if len(gaps) != 2 || gaps[0].N != 2 || gaps[1].N != 0 || gaps[0].Why != wire.WhyTooLarge || gaps[1].Why != wire.WhyTooLarge {
		t.Errorf("gaps %v", gaps)
	}
	if got := c.firsts(); !slices.Equal(got, []uint64{0, 2, 4}) {
		t.Errorf("delivered %v", got)
	}
}

// Mode 1: without numbers, and over with the link.
func TestWhileLinked(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	l := w.link(c, h)
	c.say(&wire.Attach{Homes: c.homesOf(1, h)}, &wire.Subscribe{Target: groupTarget(t), Mode: wire.WhileLinked})
	rows := h.waiting()
	h.deliver(letters(t, 3)...)
	if got := c.delivered(); !slices.Equal(got, []uint64{0, 0, 0}) || h.waiting() != rows {
		t.Errorf("numbers %v, %d rows", got, h.waiting()-rows)
	}
	w.cut(l)
	w.settle()
	if len(h.core.wants) != 1 {
		t.Errorf("%d targets are wanted, only the router's own should be", len(h.core.wants))
	}
}

// F3: of live envelopes the oldest go under pressure, and a gap tells how many.
func TestLiveUnderPressure(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	l := c.join(h)
	l.mute[1] = true
	live := func(n uint64) *envelope.Envelope {
		e := sizedLetter(t, n, 1_000_000)
		hd := e.Header
		hd.Flags |= envelope.Live
		e, err := envelope.Sign(hd, nil, e.Body, group(t))
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	for n := range uint64(20) {
		h.deliver(live(n))
	}
	before := c.firsts()
	for range 10 {
		l.drain(1)
	}
	got, gaps := c.firsts(), heard[*wire.Gap](c)
	if len(gaps) != 1 || gaps[0].Why != wire.WhyLive || gaps[0].N != 0 || int(gaps[0].Count)+len(got) != 20 {
		t.Fatalf("got %v, gaps %v", got, gaps)
	}
	if got[len(got)-1] != 19 || got[len(before)] != uint64(len(before))+gaps[0].Count {
		t.Errorf("got %v with a gap of %d after %d", got, gaps[0].Count, len(before))
	}
}

// H2: a number is durable before it is sent; a store that fails holds it back
// until it does not.
func TestNumberIsStoredBeforeItIsSent(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	w.trace = func(from *proc, f wire.Frame) {
		if d, ok := f.(*wire.Deliver); ok {
			key := numbered(c.key.Address().AppendTo([]byte{mailTable}), d.N)
			if !bytes.Contains(h.rows[string(key)], d.Envelope.ID[:]) || h.rows[string(letterKey(d.Envelope.ID, int64(d.Envelope.Expires())))] == nil {
				t.Errorf("deliver %d was sent before its rows were stored", d.N)
			}
		}
	}
	h.storeFail = 2
	h.deliver(numbered1(t, 0))
	w.wait(retryMail)
	if len(c.delivered()) != 0 {
		t.Fatal("sent though the store failed")
	}
	h.deliver(numbered1(t, 1))
	w.wait(3 * retryMail)
	if got := c.delivered(); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("delivered %v", got)
	}
	c.say(&wire.Delivered{N: 2})
	if h.waiting() != 0 {
		t.Errorf("%d rows are left", h.waiting())
	}
}

// Behind mail that a store refuses, the later mail of its target waits; another
// target's does not. What leaves the mailbox meanwhile is not kept.
func TestMailBehindAFailedStore(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{MailboxEntries: 5}), w.newRaw(2, wire.Service)
	c.join(h)
	c.say(&wire.Subscribe{Ref: 2, Target: other(t)})
	h.storeFail = 2
	h.deliver(letters(t, 3)...) // two fail
	h.deliver(otherLetter(t, 0))
	if got := c.delivered(); !slices.Equal(got, []uint64{4}) {
		t.Errorf("delivered %v", got)
	}
	h.storeFail = 2
	w.wait(retryMail + 1) // the two fail again
	for n := uint64(3); n < 40; n++ {
		h.deliver(numbered1(t, n))
	}
	h.storeFail = 1
	w.wait(2 * retryMail)
	if n := len(h.home.behind[groupTarget(t)]); n > 12 {
		t.Errorf("%d batches are kept for a mailbox of 5", n)
	}
	w.wait(3 * retryMail)
	gaps := heard[*wire.Gap](c)
	if got := c.firsts(); len(gaps) != 1 || !slices.IsSorted(got[1:]) || int(gaps[0].Count)+len(got)-1 != 40 {
		t.Errorf("delivered %v, gaps %v", got, gaps)
	}
	if len(h.home.behind) != 0 || h.home.Sizes().Storing != 0 {
		t.Errorf("%d targets are still held up", len(h.home.behind))
	}
}

// What was acknowledged or forgotten while its Store was failing is not stored
// again.
func TestFailedStoreOfWhatIsGone(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.storeFail = 1
	h.deliver(numbered1(t, 0))
	c.say(&wire.Unsubscribe{Ref: 3, Target: groupTarget(t)})
	w.wait(2 * retryMail)
	if z := h.home.Sizes(); h.waiting() != 0 || z.Storing != 0 || z.MailBytes != 0 {
		t.Errorf("%d rows, %+v", h.waiting(), z)
	}
}

// One Store for all mailboxes, and the envelope once.
func TestOneStoreForAllMailboxes(t *testing.T) {
	w := newWorld(t)
	h := w.newCore(1, Limits{})
	var all []*proc
	for i := range byte(5) {
		c := w.newRaw(10+i, wire.Service)
		c.join(h)
		all = append(all, c)
	}
	h.deliver(numbered1(t, 0))
	if h.waiting() != 6 {
		t.Errorf("%d rows, want the envelope and five numbers", h.waiting())
	}
	for i, c := range all {
		c.say(&wire.Delivered{N: 1})
		if want := 5 - i; i < 4 && h.waiting() != want || i == 4 && h.waiting() != 0 {
			t.Errorf("%d rows after %d acknowledgements", h.waiting(), i+1)
		}
	}
}

// Mail of a target that is unsubscribed goes without a gap.
func TestUnsubscribeDropsMail(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	c.say(&wire.Subscribe{Ref: 2, Target: other(t)})
	h.deliver(letters(t, 300)...)
	h.deliver(otherLetter(t, 0))
	c.say(&wire.Unsubscribe{Ref: 3, Target: groupTarget(t)})
	if st := h.home.Clients()[0]; st.Waiting != 1 || st.InFlight != 1 || len(heard[*wire.Gap](c)) != 0 {
		t.Errorf("%+v, gaps %v", st, heard[*wire.Gap](c))
	}
	c.say(&wire.Delivered{N: 400})
	if z := h.home.Sizes(); z.MailBytes != 0 || h.waiting() != 0 {
		t.Errorf("%+v, %d rows", z, h.waiting())
	}
}

// F5 at a home: order within a stream, and a gap for a hole that stays.
func TestHomePutsStreamsInOrder(t *testing.T) {
	w := newWorld(t)
	h, c := w.newCore(1, Limits{}), w.newRaw(2, wire.Service)
	c.join(h)
	h.deliver(numbered1(t, 0), numbered1(t, 2), numbered1(t, 1), numbered1(t, 1), numbered1(t, 5))
	if got := c.firsts(); !slices.Equal(got, upTo(3)) {
		t.Fatalf("delivered %v", got)
	}
	w.wait(holeWait + 1)
	h.deliver(numbered1(t, 3))
	gaps := heard[*wire.Gap](c)
	if len(gaps) != 1 || gaps[0].Count != 2 || gaps[0].Why != wire.WhyHole || gaps[0].N != 4 {
		t.Errorf("gaps %v", gaps)
	}
	if got := c.firsts(); !slices.Equal(got, []uint64{0, 1, 2, 5, 3}) || h.reports[machine.HoleGivenUp] != 2 {
		t.Errorf("delivered %v, reports %v", got, h.reports)
	}
}

// checkMailbox holds the sums of a mailbox against its entries.
func checkMailbox(t interface{ Fatalf(string, ...any) }, h *Home) {
	total := 0
	for _, c := range h.clients.All() {
		bytes, rows, flying := 0, 0, window{}
		var last uint64
		for e := c.oldest; e != nil; e = e.next {
			if e.gone || e.n <= last || c.mail[e.n] != e || (e.letter == nil) == (e.gap == nil) {
				t.Fatalf("entry %d after %d is out of place", e.n, last)
			}
			last, rows, bytes = e.n, rows+1, bytes+e.size
			if e.sent {
				flying.add(1, e.size)
			}
		}
		if rows != len(c.mail) || bytes != c.bytes || flying != c.flying {
			t.Fatalf("%d rows of %d bytes, %v in flight; noted %d, %d, %v", rows, bytes, flying, len(c.mail), c.bytes, c.flying)
		}
		lanes := 0
		for _, l := range c.lanes { // a sum: the order does not matter
			lanes += l.rows
		}
		if lanes != rows {
			t.Fatalf("%d rows in lanes, %d in the mailbox", lanes, rows)
		}
		total += bytes
	}
	if total != h.bytes {
		t.Fatalf("%d bytes in mailboxes, noted %d", total, h.bytes)
	}
}

// Whatever happens to a mailbox, its sums stay true, nothing is sent twice on one
// link, and every item is delivered, or acknowledged as a gap, in the end.
func TestMailboxProperty(t *testing.T) {
	list := letters(t, 60)
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		h, c := w.newCore(1, Limits{MailboxEntries: 20}), w.newRaw(2, wire.Service)
		l := c.join(h)
		next, seen := 0, make(map[uint64]bool)
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0, 1:
				for range rapid.IntRange(1, 8).Draw(rt, "envelopes") {
					if next < len(list) {
						h.deliver(list[next])
						next++
					}
				}
			case 2:
				n := rapid.Uint64Range(0, uint64(next)).Draw(rt, "up to")
				from := n + 2 + rapid.Uint64Range(0, 5).Draw(rt, "then")
				c.say(&wire.Delivered{N: n, Also: []wire.Range{{First: from, Last: from + 2}}})
			case 3:
				w.cut(l)
				w.settle()
				clear(seen)
				c.in = nil
				l = c.join(h)
			case 4:
				h.storeFail = rapid.IntRange(0, 2).Draw(rt, "failing")
				w.wait(rapid.Int64Range(0, 3000).Draw(rt, "pause"))
			}
			for _, n := range c.delivered() {
				if seen[n] {
					rt.Fatalf("%d was sent twice on one link", n)
				}
				seen[n] = true
			}
			c.in = nil
			checkMailbox(rt, h.home)
		}
		h.storeFail = 0
		w.wait(10_000)
		c.say(&wire.Delivered{N: 1 << 40})
		checkMailbox(rt, h.home)
		if h.waiting() != 0 || h.home.bytes != 0 {
			rt.Fatalf("%d rows and %d bytes are left", h.waiting(), h.home.bytes)
		}
	})
}
