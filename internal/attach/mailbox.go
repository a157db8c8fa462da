package attach

import (
	"encoding/binary"
	"slices"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// mailbox holds what a client has not acknowledged, by number, oldest first.
type mailbox struct {
	last   uint64            // the highest number given
	mail   map[uint64]*entry // by number
	oldest *entry            // of a list that is linked by next and prev
	newest *entry
	bytes  int
	lanes  map[envelope.Target]*lane
	unsent fifo[*entry] // stored and not sent, in the order in which they were stored
	woken  fifo[*lane]  // lanes with parked entries and room
	flying window       // sent and not acknowledged
	expiry int64        // not after the earliest expiry of an entry; 0: nothing expires
	looked int64        // when expired mail was looked for
	evict  *entry       // nothing before it can make room; nil: look from the oldest on
}

// lane is the part of a mailbox that belongs to one target. Each has its window,
// so that a slow one holds up no other.
type lane struct {
	target envelope.Target
	flying window
	parked fifo[*entry] // wait for room in the window
	woken  bool         // is among the woken
	rows   int          // entries of the target
	// gaps are the last unsent gap of each reason, which takes in further ones: so
	// the gaps of a target that wait are few, however many there are.
	gaps [gapSlots]*entry
}

// gapSlots counts the reasons of gaps that are told apart while they wait; those
// of later versions are one.
const gapSlots = int(wire.WhyTooLarge) + 1

func slot(why wire.Why) int {
	if why > wire.WhyTooLarge {
		return 0
	}
	return int(why)
}

// leave takes a gap out of those that take in further ones.
func (l *lane) leave(e *entry) {
	if e.gap != nil && l.gaps[slot(e.gap.Why)] == e {
		l.gaps[slot(e.gap.Why)] = nil
	}
}

// window counts what is sent and not acknowledged.
type window struct{ count, bytes int }

// add counts one entry in (sign 1) or out (-1).
func (w *window) add(sign, bytes int) { w.count, w.bytes = w.count+sign, w.bytes+sign*bytes }

// room reports whether one more may go. The last may pass the bound in bytes: else
// an envelope larger than a window would never go.
func (w window) room(count, bytes int) bool { return w.count < count && w.bytes < bytes }

// entry is one number of a mailbox: an envelope, or a gap in its place.
type entry struct {
	n          uint64
	lane       *lane
	letter     *letter   // nil for a gap
	gap        *wire.Gap // nil for an envelope
	size       int
	stored     bool // was queued to be sent
	sent       bool // on the present link
	gone       bool // no longer in the mailbox
	prev, next *entry
}

// letter is an envelope that lies in one or more mailboxes.
type letter struct {
	envelope *envelope.Envelope
	boxes    int
}

// batch is one Store: an envelope or gap in all mailboxes that it goes to.
type batch struct {
	target  envelope.Target
	stored  bool
	late    bool // stands in a row behind a batch of its target that is not stored
	entries []place
	rows    []machine.Row
	receipt Receipt
}

// gone reports whether all of a batch has left the mailboxes.
func (b *batch) gone() bool {
	return !slices.ContainsFunc(b.entries, func(p place) bool { return !p.entry.gone })
}

// place is an entry and whose mailbox it is in.
type place struct {
	client *client
	entry  *entry
}

// newMailbox returns an empty mailbox; its first number is 1.
func newMailbox() mailbox {
	return mailbox{mail: make(map[uint64]*entry), lanes: make(map[envelope.Target]*lane)}
}

// The first byte of this room's rows: envelopes by id, mail by client and number,
// and of a client the envelopes that it published by its own count.
const (
	letterTable = 'e'
	mailTable   = 'm'
	outboxTable = 'o'
)

// letterKey is the key of an envelope, which is stored once for all mailboxes.
func letterKey(id envelope.ID) []byte {
	return append(append(make([]byte, 0, 1+len(id)), letterTable), id[:]...)
}

// mailKey is the key of a number of a client's mailbox. Keys of one mailbox sort by
// number, so a range of them is read in the order of delivery.
func mailKey(c *client, n uint64) []byte {
	key := append(make([]byte, 0, 1+identity.AddressSize+8), mailTable)
	return numbered(c.address.AppendTo(key), n)
}

// numbered appends n so that keys sort by it.
func numbered(key []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(key, n)
}

// mailRow is the row of an entry: the id of its envelope, or the encoded gap.
func mailRow(c *client, e *entry) machine.Row {
	if e.gap != nil {
		return machine.Row{Key: mailKey(c, e.n), Value: e.gap.AppendTo(nil)}
	}
	return machine.Row{Key: mailKey(c, e.n), Value: e.letter.envelope.ID[:]}
}

// put gives a new entry its number and its place at the end.
func (m *mailbox) put(t envelope.Target, e *entry) {
	m.last++
	e.n, e.lane = m.last, m.lanes[t]
	if e.lane == nil {
		e.lane = &lane{target: t}
		m.lanes[t] = e.lane
	}
	e.lane.rows++
	m.mail[e.n] = e
	m.bytes += e.size
	if e.prev = m.newest; e.prev == nil {
		m.oldest = e
	} else {
		e.prev.next = e
	}
	m.newest = e
	if e.letter != nil {
		m.expires(int64(e.letter.envelope.Expires()))
	}
}

// expires notes that something must be looked at then. The note may be too early,
// since it is not taken back when its entry goes; then the look finds nothing.
func (m *mailbox) expires(at int64) {
	if m.expiry == 0 || at < m.expiry {
		m.expiry = at
	}
}

// remove takes out an entry. Queues that hold it skip it.
func (m *mailbox) remove(e *entry) {
	m.land(e)
	e.gone = true
	delete(m.mail, e.n)
	m.bytes -= e.size
	if e.prev == nil {
		m.oldest = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		m.newest = e.prev
	} else {
		e.next.prev = e.prev
	}
	if m.evict == e {
		m.evict = e.next
	}
	e.lane.leave(e)
	if e.lane.rows--; e.lane.rows == 0 {
		delete(m.lanes, e.lane.target)
	}
}

// land takes an entry out of the windows, and wakes its lane if that made room.
func (m *mailbox) land(e *entry) {
	if !e.sent {
		return
	}
	e.sent = false
	m.flying.add(-1, e.size)
	e.lane.flying.add(-1, e.size)
	if l := e.lane; !l.woken && l.parked.len() > 0 {
		l.woken = true
		m.woken.push(l)
	}
}

// rewind makes all that was sent unsent, in order.
func (m *mailbox) rewind() {
	m.unsent, m.woken, m.evict = fifo[*entry]{}, fifo[*lane]{}, nil
	for e := m.oldest; e != nil; e = e.next {
		e.lane.parked.clear()
		e.lane.woken = false
		if e.stored { // else Stored queues it
			m.land(e)
			m.unsent.push(e)
		}
	}
}

// nextEntry returns what is to be sent next; nil: nothing may be.
func (m *mailbox) nextEntry() *entry {
	for l, ok := m.woken.peek(); ok; l, ok = m.woken.peek() {
		if e, has := l.parked.peek(); has && (e.gone || l.flying.room(windowEnvelopes, windowBytes)) {
			if l.parked.pop(); !e.gone {
				return e
			}
			continue
		}
		m.woken.pop()
		l.woken = false
	}
	for e, ok := m.unsent.pop(); ok; e, ok = m.unsent.pop() {
		switch {
		case e.gone:
		case e.lane.parked.len() == 0 && e.lane.flying.room(windowEnvelopes, windowBytes):
			return e
		default:
			e.lane.parked.push(e)
		}
	}
	return nil
}

// fly counts an entry as sent.
func (m *mailbox) fly(e *entry) {
	e.sent = true
	m.flying.add(1, e.size)
	e.lane.flying.add(1, e.size)
	e.lane.leave(e)
}

// enter puts an envelope or a gap into a client's mailbox and notes it in the
// batch, whose Store makes room for it.
func (h *Home) enter(c *client, b *batch, t envelope.Target, e *entry) {
	c.put(t, e)
	h.bytes += e.size
	if e.letter != nil {
		e.letter.boxes++
	} else {
		e.lane.gaps[slot(e.gap.Why)] = e
	}
	b.entries = append(b.entries, place{c, e})
	b.rows = append(b.rows, mailRow(c, e))
}

// shrink makes room in a mailbox that is over its quota (H4): the oldest of what
// is not in flight go, and a gap in their place tells how many.
func (h *Home) shrink(c *client) {
	l := &h.cfg.Limits
	for len(c.mail) > l.MailboxEntries || c.bytes > l.MailboxBytes || h.bytes > l.TotalBytes {
		e := c.evict
		if e == nil {
			e = c.oldest
		}
		for e != nil && (e.sent || e.gap != nil) {
			e = e.next
		}
		if c.evict = e; e == nil {
			return // all of it is in flight, which is less than a quota
		}
		h.desk.Do(machine.Report{Event: machine.MailboxDropped, ID: e.letter.envelope.ID})
		h.replace(c, e, wire.WhyQuota)
	}
}

// replace puts a gap in the place of an envelope, or adds it to the gap for the
// same reason that already waits in its lane.
func (h *Home) replace(c *client, e *entry, why wire.Why) {
	env := e.letter.envelope
	h.desk.Forget(release(e.letter, nil)...)
	if g := e.lane.gaps[slot(why)]; g != nil {
		widen(g.gap, gapOf(env, why))
		e.letter = nil
		h.bytes -= e.size
		c.remove(e)
		h.desk.Do(machine.Store{Rows: []machine.Row{mailRow(c, g), {Key: mailKey(c, e.n)}}})
		return
	}
	h.bytes += entryCost - e.size
	c.bytes += entryCost - e.size
	e.letter, e.size = nil, entryCost
	e.gap = gapOf(env, why)
	e.lane.gaps[slot(why)] = e
	h.desk.Do(machine.Store{Rows: []machine.Row{mailRow(c, e)}})
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

// release takes an envelope out of one mailbox. If no other holds it, its row goes
// with the keys.
func release(l *letter, keys [][]byte) [][]byte {
	if l.boxes--; l.boxes > 0 {
		return keys
	}
	return append(keys, letterKey(l.envelope.ID))
}

// drop removes the entries that which names, without a trace. It returns how many
// it looked at and left.
func (h *Home) drop(c *client, which func(*entry) bool) (left int) {
	var keys [][]byte
	for e := c.oldest; e != nil; e = e.next {
		if which(e) {
			keys = h.take(c, e, keys)
		}
	}
	h.desk.Forget(keys...)
	return len(c.mail)
}

// take removes one entry and appends the keys of the rows that go with it.
func (h *Home) take(c *client, e *entry, keys [][]byte) [][]byte {
	if e.letter != nil {
		keys = release(e.letter, keys)
	}
	h.bytes -= e.size
	c.remove(e)
	return append(keys, mailKey(c, e.n))
}

// expire puts gaps in the place of mail whose time is over. What is in flight may
// have arrived and is left to its acknowledgement. It walks through the mailbox, so
// it does that once a second; nothing is sent meanwhile that should not (see send).
func (h *Home) expire(now int64, c *client) {
	if c.expiry == 0 || c.expiry >= now || now-c.looked < expireEvery {
		return
	}
	c.expiry, c.looked = 0, now
	for e := c.oldest; e != nil; e = e.next {
		if e.letter == nil {
			continue
		}
		at := int64(e.letter.envelope.Expires())
		if at < now && !e.sent {
			h.desk.Do(machine.Report{Event: machine.MailExpired, ID: e.letter.envelope.ID})
			h.replace(c, e, wire.WhyExpired)
			continue
		}
		c.expires(at)
	}
}

// pump sends mail within the windows of its target and its client and the backlog
// of its link.
func (h *Home) pump(now int64, c *client) {
	s := c.session
	if s == nil {
		return
	}
	h.expire(now, c) // many at once make one gap
	for s.state == attached && s.backlog < backlogMax && c.flying.room(boxEnvelopes, boxBytes) {
		e := c.nextEntry()
		if e == nil {
			return
		}
		h.send(now, c, e)
	}
}

// send puts an entry on its way; one that may not go any more, as a gap.
func (h *Home) send(now int64, c *client, e *entry) {
	s := c.session
	if e.letter != nil {
		switch env := e.letter.envelope; {
		case int64(env.Expires()) < now:
			h.desk.Do(machine.Report{Event: machine.MailExpired, ID: env.ID})
			h.replace(c, e, wire.WhyExpired)
		case len(env.Raw)+deliverHead > s.maxFrame:
			h.replace(c, e, wire.WhyTooLarge)
		}
	}
	if e.gone {
		return // it joined a gap that waits
	}
	// From here on the entry is in flight: a gap takes in nothing more, since the
	// client may have it already.
	c.fly(e)
	if e.gap != nil {
		g := *e.gap // later ones of this lane make a gap of their own
		g.N = e.n
		h.bulk(s, &g)
		return
	}
	h.bulk(s, &wire.Deliver{N: e.n, Envelope: e.letter.envelope})
	h.desk.Do(machine.Report{Event: machine.Delivered, Link: s.link, ID: e.letter.envelope.ID})
}

// deliverHead is what a deliver frame adds to its envelope at most.
const deliverHead = 16

// bulk sends a frame that waits behind others of its kind, gaps as well: they must
// not overtake the mail before them.
func (h *Home) bulk(s *session, f wire.Frame) {
	s.backlog += f.Weight()
	h.desk.Send(s.link, machine.Bulk, f)
}

// Stored puts mail on its way whose numbers are durable now (H2). What came from
// a home of this router is acknowledged to it: it is in custody here. Behind a
// batch that could not be stored the later ones of its target wait, since streams
// are in order.
func (h *Home) Stored(now int64, t machine.Token, err error) {
	b, ok := h.stores[t]
	if !ok {
		return
	}
	delete(h.stores, t)
	row := h.behind[b.target]
	if !b.late && (err != nil || len(row) > 0) {
		b.late = true
		row = append(row, b)
		h.behind[b.target] = row
	}
	if err != nil {
		h.desk.Do(machine.Report{Event: machine.TableFull, Code: wire.StorageFull, Text: err.Error()})
		h.agenda.Put(now+retryMail, job{do: (*Home).storeAgain, batch: b})
		return
	}
	h.isStored(now, b)
}

// isStored acknowledges a batch and sends all that is stored up to the first of
// its target that is not.
func (h *Home) isStored(now int64, b *batch) {
	b.stored, b.rows = true, nil
	h.done(now, b.receipt)
	if !b.late {
		h.mailOut(now, b)
		return
	}
	row := h.behind[b.target]
	for len(row) > 0 && row[0].stored {
		h.mailOut(now, row[0])
		row = row[1:]
	}
	if h.behind[b.target] = row; len(row) == 0 {
		delete(h.behind, b.target)
	}
}

// mailOut puts the entries of a stored batch on their way.
func (h *Home) mailOut(now int64, b *batch) {
	for _, p := range b.entries { // in the order of subscriptions
		if !p.entry.gone {
			p.entry.stored = true
			p.client.unsent.push(p.entry)
			h.pump(now, p.client)
		}
	}
}

// storeAgain repeats a Store that failed, with the rows that are still wanted.
func (h *Home) storeAgain(now int64, j job) {
	b := j.batch
	b.rows = nil
	// What waits behind it and left the mailboxes meanwhile waits no more, so that
	// a store which stays broken keeps no more than the mailboxes do.
	h.behind[b.target] = slices.DeleteFunc(h.behind[b.target], func(x *batch) bool { return x != b && x.stored && x.gone() })
	whole := false // the envelope itself is among the rows
	for _, p := range b.entries {
		if p.entry.gone {
			continue
		}
		if l := p.entry.letter; l != nil && !whole {
			whole = true
			b.rows = append(b.rows, machine.Row{Key: letterKey(l.envelope.ID), Value: l.envelope.Raw})
		}
		b.rows = append(b.rows, mailRow(p.client, p.entry))
	}
	if len(b.rows) == 0 { // nobody wants it any more
		h.isStored(now, b)
		return
	}
	h.store(b)
}

// store asks for a batch to be stored, then makes room for it: what must go goes
// after what came, in the store as well.
func (h *Home) store(b *batch) {
	h.stores[h.desk.Store(machine.OwnerHome, b.rows...)] = b
	for _, p := range b.entries {
		h.shrink(p.client)
	}
}

// done acknowledges upstream what is in custody here.
func (h *Home) done(now int64, r Receipt) {
	if r != (Receipt{}) {
		h.up.Done(now, r)
	}
}
