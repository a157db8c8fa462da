package attach

import (
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/wire"
)

// Receipt names what must be acknowledged upstream once it is delivered for good.
// The zero Receipt names nothing. N is the client's own number, not the wire's: it
// stays apart from those of an earlier mailbox.
type Receipt struct {
	Home identity.Address
	N    uint64
}

// Upstream is where a home's clients' envelopes go and where what they want comes
// from: a *Client on an edge router, the backbone on a core.
type Upstream interface {
	// Take asks for custody. Downstream.Taken answers, maybe within the call.
	Take(now int64, a gate.Admitted)
	// Again is asked when a client published what is known. True: Taken will
	// answer. False: nothing is held of it any more; check it like a new one,
	// then call Retake.
	Again(now int64, e *envelope.Envelope) bool
	// Retake is Take for what was passed on before and must not be again.
	Retake(now int64, a gate.Admitted)
	// Want says that somebody here wants t; again with a later grant. The grant
	// is not nil for addresses.
	Want(now int64, t envelope.Target, grant *wire.Grant)
	// Unwant says that nobody here wants t any more.
	Unwant(now int64, t envelope.Target)
	// Done says that what came with the receipt was delivered for good.
	Done(now int64, r Receipt)
}

// Downstream is where what comes from homes goes: a *Home on an edge router, the
// SDK's machine in a service.
type Downstream interface {
	// Taken says what became of an envelope that was published: OK, or a code
	// that is final. After OK a home may still refuse what an edge router took.
	Taken(now int64, id envelope.ID, code wire.Code, retryAfter uint64)
	// Deliver hands over an envelope, once for each id. A Home's Stores of it are asked
	// for within the call: what the caller stores afterwards about having delivered it
	// is durable no sooner than they are.
	Deliver(now int64, a gate.Admitted, r Receipt)
	// Gap tells of items that will not come. g.N is 0.
	Gap(now int64, g wire.Gap, r Receipt)
}

// An Observer is a Downstream that also wants to know how the client's own affairs
// stand. Client looks for it in Bind.
type Observer interface {
	// Attached tells of the home's answer: OK, or why it refused.
	Attached(now int64, home identity.Address, code wire.Code)
	// Subscribed tells of a home's answer to a subscription.
	Subscribed(now int64, t envelope.Target, code wire.Code)
}

// A fifo gives back what was put in, the first first.
type fifo[T any] struct {
	list []T
	head int
}

// len returns how many wait.
func (q *fifo[T]) len() int { return len(q.list) - q.head }

// push puts x at the end.
func (q *fifo[T]) push(x T) { q.list = append(q.list, x) }

// peek returns the first without taking it out.
func (q *fifo[T]) peek() (x T, ok bool) {
	if q.len() == 0 {
		return x, false
	}
	return q.list[q.head], true
}

// pop takes out the first. An empty fifo starts again at the front of its list;
// room is given back when half of the list is unused.
func (q *fifo[T]) pop() (x T, ok bool) {
	if x, ok = q.peek(); !ok {
		return x, false
	}
	var none T
	q.list[q.head] = none
	q.head++
	switch {
	case q.head == len(q.list):
		q.list, q.head = q.list[:0], 0
	case q.head > 64 && q.head > len(q.list)/2:
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	return x, true
}

// clear takes out all and gives the room back.
func (q *fifo[T]) clear() { q.list, q.head = nil, 0 }

// given remembers the ids of what was delivered, the last 2^18 of them: longer
// than the gate, whose 15 minutes a mailbox may outlast.
type given struct {
	known map[envelope.ID]struct{}
	order fifo[envelope.ID]
}

// newGiven returns a memory of nothing.
func newGiven() given { return given{known: make(map[envelope.ID]struct{})} }

// add reports whether id is new.
func (g *given) add(id envelope.ID) bool {
	if _, ok := g.known[id]; ok {
		return false
	}
	if len(g.known) >= givenMax {
		oldest, _ := g.order.pop()
		delete(g.known, oldest)
	}
	g.known[id] = struct{}{}
	g.order.push(id)
	return true
}
