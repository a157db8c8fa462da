package link

import (
	"sync"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A queue holds what one link has to send, by class. Senders never block; the
// link's writer takes batches. It is safe for concurrent use.
type queue struct {
	mu       sync.Mutex
	lanes    [machine.ClassesNo]lane
	pongs    int           // own answers that wait, see pongsMax
	last     *wire.Close   // set once: what is sent last
	ended    bool          // last was taken
	wake     chan struct{} // holds one token while there may be work
	limits   Limits
	envelope int // weight in Repair and Bulk
}

// A lane is the queue of one class.
type lane struct {
	items  []item // from head on
	head   int
	weight int
}

// An item is a frame that waits. own marks the link's own ping and pong, of which
// the core knows nothing: their weight is not reported as drained.
type item struct {
	frame wire.Frame
	own   bool
}

func newQueue(limits Limits) *queue {
	return &queue{wake: make(chan struct{}, 1), limits: limits}
}

// put appends a frame; it returns an ending when a bound is broken. After finish
// it drops the frame: the link's end is under way.
func (q *queue) put(class machine.Class, f wire.Frame) *ending {
	return q.add(class, item{frame: f})
}

// putOwn appends the link's own ping.
func (q *queue) putOwn(f wire.Frame) *ending { return q.add(machine.Control, item{f, true}) }

// putPong appends the answer to a ping, unless the peer asks faster than it reads
// the answers.
func (q *queue) putPong(f *wire.Pong) *ending {
	q.mu.Lock()
	q.pongs++
	over := q.pongs > pongsMax
	q.mu.Unlock()
	if over {
		return fault(wire.Rate, "more than %d pings whose pongs could not be sent", pongsMax)
	}
	return q.putOwn(f)
}

// finish makes f the last frame. What control frames wait are sent before it,
// unless abrupt; envelopes are dropped, since whoever sent them keeps them until
// they are acknowledged.
func (q *queue) finish(f *wire.Close, abrupt bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last != nil {
		return
	}
	q.last = f
	q.lanes[machine.Repair], q.lanes[machine.Bulk], q.envelope = lane{}, lane{}, 0
	if abrupt {
		q.lanes[machine.Control] = lane{}
	}
	q.signal()
}

// A batch is what one turn of the writer sends.
type batch struct {
	items  []item
	weight [machine.ClassesNo]int // what the core is told of when they were written
	last   *wire.Close            // sent after items, then the link is closed
}

// take moves up to batchBytes into b, control first, then repair, then bulk (spec
// §10.3). It reports false when there is nothing to send.
func (q *queue) take(b *batch) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.items, b.weight, b.last = b.items[:0], [machine.ClassesNo]int{}, nil
	total := 0
	for class := range q.lanes {
		for total < batchBytes {
			it, weight, ok := q.lanes[class].pop()
			if !ok {
				break
			}
			total += weight
			q.account(machine.Class(class), -weight)
			if _, pong := it.frame.(*wire.Pong); pong {
				q.pongs--
			}
			if !it.own {
				b.weight[class] += weight
			}
			b.items = append(b.items, it)
		}
	}
	if total < batchBytes && q.last != nil && !q.ended {
		b.last, q.ended = q.last, true
	}
	return len(b.items) > 0 || b.last != nil
}

// queued returns the weight of what waits.
func (q *queue) queued() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lanes[machine.Control].weight + q.envelope
}

func (q *queue) add(class machine.Class, it item) *ending {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.last != nil {
		return nil
	}
	q.lanes[class].items = append(q.lanes[class].items, it)
	weight := it.frame.Weight()
	q.lanes[class].weight += weight
	q.account(class, weight)
	q.signal()
	if q.lanes[machine.Control].weight > q.limits.ControlQueue || q.envelope > q.limits.EnvelopeQueue {
		e := fault(wire.Rate, "the peer reads too slowly: %d B of control frames and %d B of envelopes wait",
			q.lanes[machine.Control].weight, q.envelope)
		e.abrupt = true
		return e
	}
	return nil
}

func (q *queue) account(class machine.Class, weight int) {
	if class != machine.Control {
		q.envelope += weight
	}
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (l *lane) pop() (it item, weight int, ok bool) {
	if l.head == len(l.items) {
		return item{}, 0, false
	}
	it = l.items[l.head]
	l.items[l.head] = item{} // its envelope may be freed
	l.head++
	weight = it.frame.Weight()
	l.weight -= weight
	switch {
	case l.head == len(l.items) && cap(l.items) > laneKeep:
		*l = lane{}
	case l.head == len(l.items):
		l.items, l.head = l.items[:0], 0
	case l.head > laneKeep && l.head > len(l.items)/2:
		// A queue that never runs empty must not grow for ever.
		n := copy(l.items, l.items[l.head:])
		clear(l.items[n:])
		l.items, l.head = l.items[:n], 0
	}
	return it, weight, true
}

// laneKeep is how many items' room an empty lane keeps.
const laneKeep = 1024
