package gate

import "upsycle/internal/envelope"

// seen remembers ids, each until 15 minutes after its last sight (F4). The queue
// holds each id once; its place is that of the sight that put it there, and a
// later sight is noticed when its turn comes.
type seen struct {
	at    map[envelope.ID]int64
	order queue[sight]
}

type sight struct {
	id envelope.ID
	at int64
}

// size is what the bound holds: an id that was taken back keeps its place in the
// queue until its turn comes.
func (s *seen) size() int { return len(s.order.list) - s.order.head }

func newSeen() seen { return seen{at: make(map[envelope.ID]int64)} }

// touch notes that a known id was seen again, and reports whether it is known.
func (s *seen) touch(now int64, id envelope.ID) bool {
	last, ok := s.at[id]
	if ok && last < now {
		s.at[id] = now
	}
	return ok
}

// add puts in an id. Each one that comes makes room for itself by a look at the
// two oldest.
func (s *seen) add(now int64, id envelope.ID) {
	s.forget(now, 2)
	if _, ok := s.at[id]; !ok {
		s.order.push(sight{id, now})
	}
	s.at[id] = now
}

// forget looks at the n oldest.
func (s *seen) forget(now int64, n int) {
	for range n {
		oldest, ok := s.order.peek()
		if !ok || now-oldest.at <= seenFor {
			return
		}
		s.order.pop()
		last, ok := s.at[oldest.id]
		switch {
		case !ok: // taken back meanwhile
		case now-last <= seenFor:
			s.order.push(sight{oldest.id, last})
		default:
			delete(s.at, oldest.id)
		}
	}
}

// deadline is when the oldest may go; a minute later, so that many go at once.
func (s *seen) deadline() int64 {
	oldest, ok := s.order.peek()
	if !ok {
		return 0
	}
	return oldest.at + seenFor + 60_000
}

// certificates remembers verified certificates by the hash of their body, which
// the header's hash was held against, and by their signature. The id of an
// envelope covers only the body: with a memory of bodies alone a router would pass
// on what the next one refuses, and be blamed for it (spec §4.4).
type certificates struct {
	known map[certificate]struct{}
	order queue[certificate]
}

type certificate struct {
	hash [32]byte
	sig  [64]byte
}

func newCertificates() certificates {
	return certificates{known: make(map[certificate]struct{})}
}

func certificateOf(e *envelope.Envelope) certificate {
	return certificate{e.CertHash, e.Cert.Signed.Sig}
}

func (c *certificates) has(k certificate) bool {
	_, ok := c.known[k]
	return ok
}

func (c *certificates) add(k certificate) {
	if c.has(k) {
		return
	}
	if len(c.known) >= CertsMax {
		oldest, _ := c.order.pop()
		delete(c.known, oldest)
	}
	c.known[k] = struct{}{}
	c.order.push(k)
}

// A queue gives back what was put in, the first first.
type queue[T any] struct {
	list []T
	head int
}

func (q *queue[T]) push(x T) { q.list = append(q.list, x) }

func (q *queue[T]) peek() (x T, ok bool) {
	if q.head == len(q.list) {
		return x, false
	}
	return q.list[q.head], true
}

// pop takes out the first. Room is given back when half of the list is unused.
func (q *queue[T]) pop() (x T, ok bool) {
	if x, ok = q.peek(); !ok {
		return x, false
	}
	var none T
	q.list[q.head] = none
	q.head++
	if q.head > 64 && q.head > len(q.list)/2 {
		q.list = append(make([]T, 0, len(q.list)-q.head+64), q.list[q.head:]...)
		q.head = 0
	}
	return x, true
}
