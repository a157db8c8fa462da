package attach

import (
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// erasure gathers the rows of one commit by which something leaves a mailbox. What
// must be known of it afterwards goes along: the marks of its streams, and the
// highest number.
type erasure struct {
	rows  []machine.Row
	gap   *entry // its row is still to be written
	top   uint64 // the highest number that leaves
	whole bool   // the whole mailbox goes, by ranges
}

// put adds a row.
func (x *erasure) put(row machine.Row) { x.rows = append(x.rows, row) }

// forget adds the end of an entry's row.
func (x *erasure) forget(c *client, e *entry) {
	x.top = max(x.top, e.n)
	if !x.whole {
		x.put(machine.Row{Key: mailKey(c, e.n)})
	}
}

// widened notes a gap that took in another one: many in a row make one row.
func (x *erasure) widened(c *client, g *entry) {
	if x.gap != g {
		x.flush(c)
		x.gap = g
	}
}

func (x *erasure) flush(c *client) {
	if x.gap != nil && !x.gap.gone {
		x.put(mailRow(c, x.gap))
	}
	x.gap = nil
}

// seal completes the rows: no number that was sent may come again, so where the
// highest leaves the store the client's row keeps it.
func (x *erasure) seal(c *client) []machine.Row {
	x.flush(c)
	if x.top > c.saved && !x.whole && (c.newest == nil || !c.newest.stored || c.newest.n < x.top) {
		c.saved = c.last
		x.put(c.boxRow())
	}
	return x.rows
}

// commit writes an erasure. Nobody waits for the answer: what stays by a fault is
// delivered once more and recognised.
func (h *Home) commit(c *client, x *erasure) {
	if rows := x.seal(c); len(rows) > 0 {
		h.desk.Do(machine.Store{Rows: rows})
	}
}

// enter puts an envelope or a gap into a client's mailbox and notes it in the
// batch, whose Store makes room for it.
func (h *Home) enter(c *client, b *batch, t envelope.Target, e *entry) {
	c.put(t, e)
	h.bytes += e.size
	if e.letter != nil {
		e.letter.boxes++
		h.claim(c, e)
	} else {
		e.lane.gaps[slot(e.gap.Why)] = e
	}
	b.entries = append(b.entries, place{c, e})
	b.rows = append(b.rows, mailRow(c, e))
}

// claim keeps the envelope of an entry in memory, for this entry.
func (h *Home) claim(c *client, e *entry) {
	if e.claims {
		return
	}
	e.claims = true
	c.bodies += e.letter.size
	if e.letter.claims++; e.letter.claims == 1 {
		h.bodies += e.letter.size
	}
}

// unclaim ends that. The last one lets the envelope go, if it is in the store.
func (h *Home) unclaim(c *client, e *entry) {
	l := e.letter
	if l == nil || !e.claims {
		return
	}
	e.claims = false
	c.bodies -= l.size
	if l.claims--; l.claims > 0 {
		return
	}
	h.bodies -= l.size
	if l.durable {
		l.envelope = nil
	}
}

// trim lets go of an envelope that is stored where more are in memory than should
// be. Of those who are away half of the room is the limit, so that what lies does
// not slow what flows.
func (h *Home) trim(c *client, e *entry) {
	most := bodiesAll
	if c.session == nil {
		most = bodiesAway
	}
	if c.bodies > bodiesOne || h.bodies > most {
		h.unclaim(c, e)
	}
}

// over reports whether a mailbox has more than it may.
func (h *Home) over(c *client) bool {
	l := &h.cfg.Limits
	return len(c.mail) > l.MailboxEntries || c.bytes > l.MailboxBytes || h.bytes > l.TotalBytes
}

// shrink makes room in a mailbox that is over its quota (H4): the oldest of what
// is not in flight go, and a gap in their place tells how many. What was sent on an
// earlier link may have arrived, so it goes last.
func (h *Home) shrink(c *client) {
	if !h.over(c) {
		return
	}
	x := &erasure{}
	for h.over(c) {
		e := c.evict
		if e == nil {
			e = c.oldest
		}
		for e != nil && (e.sent || e.gap != nil || e.told && !c.pressed) {
			e = e.next
		}
		if c.evict = e; e == nil {
			if c.pressed {
				break // all of it is in flight, which is less than a quota
			}
			c.pressed = true
			continue
		}
		h.desk.Do(machine.Report{Event: machine.MailboxDropped, ID: e.letter.id})
		h.replace(c, e, wire.WhyQuota, x)
	}
	h.commit(c, x)
}

// replace puts a gap in the place of an envelope, or adds it to the gap for the
// same reason that already waits in its lane. One whose number the client may have
// seen with the envelope takes in no other, as long as there is room: the client would
// not look at it.
func (h *Home) replace(c *client, e *entry, why wire.Why, x *erasure) {
	g := e.letter.gap(e.lane.target, why)
	h.release(c, e, x, why != wire.WhyExpired)
	e.letter = nil
	if into := e.lane.gaps[slot(why)]; into != nil {
		widen(into.gap, g)
		h.bytes -= e.size
		c.remove(e)
		x.forget(c, e)
		x.widened(c, into)
		return
	}
	h.bytes += entryCost - e.size
	c.bytes += entryCost - e.size
	e.size, e.gap = entryCost, g
	if !e.told || c.pressed {
		e.lane.gaps[slot(why)] = e
	}
	x.widened(c, e)
}

// gapOf is a gap in the place of one envelope.
func gapOf(e *envelope.Envelope, why wire.Why) *wire.Gap {
	return &wire.Gap{Target: e.Target, FromTime: e.Time, ToTime: e.Time, Count: uint64(e.Count), Why: why}
}

// widen makes a gap that was not sent yet tell of another one, too. A wild count
// must not wrap around.
func widen(g, by *wire.Gap) {
	g.FromTime, g.ToTime = min(g.FromTime, by.FromTime), max(g.ToTime, by.ToTime)
	if sum := g.Count + by.Count; sum >= g.Count {
		g.Count = sum
	} else {
		g.Count = 1<<64 - 1
	}
}

// release takes an envelope out of one mailbox. If no other holds it, its row goes,
// unless it goes with all of its hour. What its stream's mark lacks is written now.
func (h *Home) release(c *client, e *entry, x *erasure, row bool) {
	h.unclaim(c, e)
	l := e.letter
	if m := l.mark; m != nil && m.changed && !m.gone {
		m.changed = false
		x.put(m.row())
	}
	if l.boxes--; l.boxes == 0 && row {
		x.put(machine.Row{Key: letterKey(l.id, l.expires)})
	}
}

// drop removes the entries that which names, without a trace. It returns how many
// it looked at and left.
func (h *Home) drop(c *client, x *erasure, which func(*entry) bool) (left int) {
	for e := c.oldest; e != nil; e = e.next {
		if which(e) {
			h.take(c, e, x)
		}
	}
	return len(c.mail)
}

// take removes one entry.
func (h *Home) take(c *client, e *entry, x *erasure) {
	if e.letter != nil {
		h.release(c, e, x, true)
	}
	h.bytes -= e.size
	c.remove(e)
	x.forget(c, e)
}

// expire puts gaps in the place of mail whose time is over. What is in flight may
// have arrived and is left to its acknowledgement. It walks through the mailbox, so
// it does that once a second; nothing is sent meanwhile that should not (see send).
func (h *Home) expire(now int64, c *client) {
	if c.expiry == 0 || c.expiry >= now || now-c.looked < expireEvery {
		return
	}
	c.expiry, c.looked = 0, now
	x := &erasure{}
	for e := c.oldest; e != nil; e = e.next {
		if e.letter == nil {
			continue
		}
		if at := e.letter.expires; at >= now || e.sent {
			c.expires(at)
			continue
		}
		h.desk.Do(machine.Report{Event: machine.MailExpired, ID: e.letter.id})
		h.replace(c, e, wire.WhyExpired, x)
	}
	h.commit(c, x)
}

// endHours deletes the letters of the hours that are over: one row for all of them.
func (h *Home) endHours(now int64) {
	hour := uint32(now / hourMillis)
	if hour == h.swept {
		return
	}
	h.swept = hour
	h.desk.Do(machine.Store{Rows: []machine.Row{{Key: hourKey(0), End: hourKey(hour + 1)}}})
}

// onDelivered deletes what a client has for good (H2).
func (h *Home) onDelivered(now int64, s *session, f *wire.Delivered) {
	n, steps := h.acknowledge(s.client, f.N, f.Also)
	if n > 0 {
		h.desk.Do(machine.Report{Event: machine.DeliveryAcked, Link: s.link, Count: n})
	}
	h.gate.Worked(now, s.link, steps-n)
	h.pump(now, s.client)
}

// acknowledge removes all entries up to n and those in the ranges, and returns
// how many, and how many it looked at. The ranges rise.
func (h *Home) acknowledge(c *client, n uint64, also []wire.Range) (removed, steps int) {
	x := &erasure{}
	before := len(c.mail)
	// From the oldest on: numbers that are gone already cost nothing, however far
	// a client counts.
	for c.oldest != nil && c.oldest.n <= n {
		h.take(c, c.oldest, x)
	}
	steps = before - len(c.mail)
	var numbers uint64
	for _, r := range also {
		if r.First <= c.last {
			numbers += min(r.Last, c.last) - r.First + 1
		}
	}
	if entries := len(c.mail); numbers < uint64(entries) {
		steps += int(numbers)
		h.takeNumbers(c, also, x)
	} else {
		steps += entries
		h.takeRanges(c, also, x)
	}
	h.commit(c, x)
	return before - len(c.mail), steps
}

// takeNumbers looks up each number of the ranges.
func (h *Home) takeNumbers(c *client, also []wire.Range, x *erasure) {
	for _, r := range also {
		for i, last := r.First, min(r.Last, c.last); i <= last; i++ {
			if e, ok := c.mail[i]; ok {
				h.take(c, e, x)
			}
		}
	}
}

// takeRanges walks once through the mailbox: it has fewer entries than the ranges
// have numbers.
func (h *Home) takeRanges(c *client, also []wire.Range, x *erasure) {
	e := c.oldest
	for _, r := range also {
		for ; e != nil && e.n <= r.Last; e = e.next {
			if e.n >= r.First {
				h.take(c, e, x)
			}
		}
	}
}
