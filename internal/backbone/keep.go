package backbone

import (
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/wire"
)

// A held envelope is one that this router can give to neighbours: from its cache,
// or from its custody if it entered the backbone here.
type held struct {
	a       gate.Admitted // zero: its bytes are in the store only
	full    envelope.ID
	id      wire.Prefix
	target  envelope.Target
	expires int64
	bytes   int // of the envelope
	stamp   wire.Stamp
	at      int64   // when it came
	own     bool    // in custody
	push    bool    // to be pushed once it is stored
	via     rootKey // whose tree it was pushed on; zero: none
	gone    bool    // no longer in custody
}

// newHeld describes an envelope that came at now with a stamp.
func newHeld(now int64, a gate.Admitted, stamp wire.Stamp) *held {
	e := a.Envelope()
	return &held{
		a: a, full: e.ID, id: wire.PrefixOf(e.ID), target: e.Target, expires: int64(e.Expires()),
		bytes: len(e.Raw), stamp: stamp, at: now,
	}
}

// size is what h takes of the memory: its bytes and what is kept about them.
func (h *held) size() int { return h.bytes + heldOverhead }

// keep is the envelopes that can be given to neighbours. Of the last ten minutes
// the bytes are in memory; what is in custody is known longer and loaded when it
// is asked for. What only passed by may be dropped for room.
type keep struct {
	at    map[wire.Prefix]*held
	cache fifo
	warm  fifo // in custody, with their bytes in memory

	most int // bytes of the cache, and of what is warm
}

// A fifo is a queue of envelopes, the oldest in front, and the bytes in it.
type fifo struct {
	list  []*held
	head  int
	bytes int
}

func newKeep(most int) keep { return keep{at: make(map[wire.Prefix]*held), most: most} }

// put adds h and reports whether it did; of two with one prefix the first stays,
// except that custody takes over what was only cached.
func (k *keep) put(h *held) bool {
	// A second copy with other signature bytes never replaces the first (spec §4.1).
	if old, ok := k.at[h.id]; ok && (old.own || !h.own) {
		return false
	}
	k.at[h.id] = h
	// A cached copy that custody takes over stays in the fifo of the cache until
	// its turn, and is counted twice until then: simple, and on the safe side.
	if h.own {
		k.warm.push(h)
		for k.warm.bytes > k.most {
			k.cool()
		}
		return true
	}
	k.cache.push(h)
	for k.cache.bytes > k.most {
		k.drop(k.cache.pop())
	}
	return true
}

// cool lets go of the bytes of the oldest in custody; the store has them.
func (k *keep) cool() { k.warm.pop().a = gate.Admitted{} }

// drop forgets h, unless another has taken its name since.
func (k *keep) drop(h *held) {
	if k.at[h.id] == h {
		delete(k.at, h.id)
	}
}

// next returns when the oldest bytes are let go; 0: there are none.
func (k *keep) next() int64 {
	var at int64
	for _, q := range []*fifo{&k.cache, &k.warm} {
		if h := q.front(); h != nil && (at == 0 || h.at+cacheLife+1 < at) {
			at = h.at + cacheLife + 1
		}
	}
	return at
}

func (q *fifo) push(h *held) {
	q.list = append(q.list, h)
	q.bytes += h.size()
}

func (q *fifo) front() *held {
	if q.head == len(q.list) {
		return nil
	}
	return q.list[q.head]
}

func (q *fifo) pop() *held {
	h := q.list[q.head]
	// Nothing that left may be kept alive by its place.
	q.list[q.head] = nil
	q.head++
	q.bytes -= h.size()
	// Half of the list is gone: move the rest, at constant cost for each.
	if q.head > 64 && q.head*2 > len(q.list) {
		q.list = append([]*held(nil), q.list[q.head:]...)
		q.head = 0
	}
	return h
}

// expire lets go of what has been kept long enough: bytes after ten minutes,
// custody when it is over.
func (b *Backbone) expire(now int64) {
	// Both fifos are in the order of arrival, so the front is the oldest.
	for h := b.kept.cache.front(); h != nil && now-h.at > cacheLife; h = b.kept.cache.front() {
		b.kept.drop(b.kept.cache.pop())
	}
	for h := b.kept.warm.front(); h != nil && now-h.at > cacheLife; h = b.kept.warm.front() {
		b.kept.cool()
	}
	over, rows := b.ledger.over(now)
	for _, h := range over {
		h.gone = true
		b.custodyNo--
		b.kept.drop(h)
		if s, ok := b.subjects.Get(h.target); ok {
			b.released(now, s)
		}
	}
	b.note(append(rows, b.ledger.had.over(now)...)...)
}

// released counts one envelope of s less in custody.
func (b *Backbone) released(now int64, s *subject) {
	s.held--
	s.sweep()
	if s.held == 0 {
		if _, ok := b.ledger.exposed[s.target]; ok {
			delete(b.ledger.exposed, s.target)
			b.desk.Forget(exposureKey(s.target))
		}
		b.place(now, s)
		b.tidy(now, s)
	}
}
