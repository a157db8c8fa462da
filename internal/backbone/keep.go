package backbone

import (
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A held envelope is one that this router can give to neighbours: from its cache,
// or from its custody if it entered the backbone here.
type held struct {
	a     gate.Admitted
	id    wire.Prefix
	stamp wire.Stamp
	at    int64 // when it came
	own   bool  // in custody
	push  bool  // to be pushed once it is stored
}

// size is what h takes of the memory: its bytes and what is kept about them.
func (h *held) size() int { return len(h.a.Envelope().Raw) + heldOverhead }

// keep is the envelopes of the last ten minutes, oldest first. What only passed
// by may be dropped for room; what is in custody never is: when that is full,
// publishes are refused.
type keep struct {
	at    map[wire.Prefix]*held
	cache fifo
	own   fifo

	most int // bytes of the cache
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
		k.own.push(h)
		return true
	}
	k.cache.push(h)
	for k.cache.bytes > k.most {
		k.drop(k.cache.pop())
	}
	return true
}

// drop forgets h, unless another has taken its name since.
func (k *keep) drop(h *held) {
	if k.at[h.id] == h {
		delete(k.at, h.id)
	}
}

// next returns when the oldest envelope is dropped; 0: there is none.
func (k *keep) next() int64 {
	var at int64
	for _, q := range []*fifo{&k.cache, &k.own} {
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

// expire drops what has been kept long enough. With storage in memory an ingress
// holds an envelope for ten minutes: nobody could ask for it later, since resync
// and history come with the durable store.
func (b *Backbone) expire(now int64) {
	// Both fifos are in the order of arrival, so the front is the oldest.
	for h := b.kept.cache.front(); h != nil && now-h.at > cacheLife; h = b.kept.cache.front() {
		b.kept.drop(b.kept.cache.pop())
	}
	for h := b.kept.own.front(); h != nil && now-h.at > cacheLife; h = b.kept.own.front() {
		b.kept.drop(b.kept.own.pop())
		b.release(now, h)
	}
}

// release ends custody: the row goes, and H with the last envelope of the target.
func (b *Backbone) release(now int64, h *held) {
	b.desk.Forget(custodyKey(h))
	s, ok := b.subjects.Get(h.a.Envelope().Target)
	if !ok {
		return
	}
	if s.held--; s.held == 0 {
		b.place(now, s)
		b.tidy(now, s)
	}
}

// Rows of this room begin with this byte; the key goes on with the id.
const custodyTable = 'c'

// custodyKey is the whole id: rows of what was acknowledged are keyed by no hint.
func custodyKey(h *held) []byte {
	id := h.a.Envelope().ID
	return append([]byte{custodyTable}, id[:]...)
}

// custodyRow is the envelope's bytes as they came.
func custodyRow(h *held) machine.Row {
	return machine.Row{Key: custodyKey(h), Value: h.a.Envelope().Raw}
}
