package attach

import (
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// mailbox holds what a client has not acknowledged, by number, oldest first.
type mailbox struct {
	last    uint64            // the highest number given
	mail    map[uint64]*entry // by number
	oldest  *entry            // of a list that is linked by next and prev
	newest  *entry
	bytes   int
	lanes   map[envelope.Target]*lane
	unsent  fifo[*entry] // stored and not sent, in the order in which they were stored
	woken   fifo[*lane]  // lanes with parked entries and room
	flying  window       // sent and not acknowledged
	expiry  int64        // not after the earliest expiry of an entry; 0: nothing expires
	looked  int64        // when expired mail was looked for
	evict   *entry       // nothing before it can make room; nil: look from the oldest on
	pressed bool         // what may have been sent on an earlier link makes room, too

	head    *entry        // is to be sent next, once its envelope is read from the store
	loading machine.Token // the Load that is under way; 0: none
	bodies  int           // bytes of the envelopes that are kept in memory for this mailbox
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
	stored     bool // its row is durable
	sent       bool // on the present link
	told       bool // sent on some link: the client may have it already
	claims     bool // keeps its envelope in memory
	gone       bool // no longer in the mailbox
	prev, next *entry
}

// letter is an envelope that lies in one or more mailboxes. Its bytes may be in the
// store only; what it takes to tell of it without them stays here.
type letter struct {
	envelope *envelope.Envelope // nil: not in memory; never before it is durable
	id       envelope.ID
	time     uint64
	expires  int64
	count    int
	size     int // bytes of the envelope
	boxes    int
	claims   int   // entries that keep the envelope in memory
	mark     *mark // of its stream; nil: none
	durable  bool
	absent   bool // its row was not there after a restart
}

// newLetter returns the letter of an envelope that lies in no mailbox yet.
func newLetter(e *envelope.Envelope, m *mark) *letter {
	return &letter{
		envelope: e, id: e.ID, time: e.Time, expires: int64(e.Expires()), count: e.Count, size: len(e.Raw), mark: m,
	}
}

// gap is a gap in the place of a letter.
func (l *letter) gap(t envelope.Target, why wire.Why) *wire.Gap {
	return &wire.Gap{Target: t, FromTime: l.time, ToTime: l.time, Count: uint64(l.count), Why: why}
}

// newMailbox returns an empty mailbox; its first number is 1.
func newMailbox() mailbox {
	return mailbox{mail: make(map[uint64]*entry), lanes: make(map[envelope.Target]*lane)}
}

// put gives a new entry its number and its place at the end.
func (m *mailbox) put(t envelope.Target, e *entry) {
	m.last++
	e.n = m.last
	m.append(t, e)
}

// append puts an entry, which has a number above all others, at the end.
func (m *mailbox) append(t envelope.Target, e *entry) {
	e.lane = m.lanes[t]
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
		m.expires(e.letter.expires)
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
	queued := make(map[*entry]bool, m.unsent.len())
	waiting := m.unsent
	m.unsent, m.woken, m.evict, m.pressed = fifo[*entry]{}, fifo[*lane]{}, nil, false
	if m.head != nil {
		queued[m.head], m.head = true, nil
	}
	for e, ok := waiting.pop(); ok; e, ok = waiting.pop() {
		queued[e] = true
	}
	for e := m.oldest; e != nil; e = e.next {
		l := e.lane
		for p, ok := l.parked.pop(); ok; p, ok = l.parked.pop() {
			queued[p] = true
		}
		l.woken = false
		if e.sent || queued[e] { // what is neither is not stored yet; Stored queues it
			m.land(e)
			m.unsent.push(e)
		}
	}
}

// nextEntry returns what is to be sent next; nil: nothing may be.
func (m *mailbox) nextEntry() *entry {
	if e := m.head; e != nil {
		if m.head = nil; !e.gone {
			return e
		}
	}
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
	e.sent, e.told = true, true
	m.flying.add(1, e.size)
	e.lane.flying.add(1, e.size)
	e.lane.leave(e)
}
