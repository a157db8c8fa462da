package sim

import "upsycle/internal/machine"

// An event is something that will happen: to a node (node, ev) or to the world
// (do). Events of a node die with the life that they were meant for, and frames
// with the end of the link that they arrive at.
type event struct {
	node *Node
	life uint32
	end  *end
	ev   machine.Event
	do   func()
}

// queue is the future: a heap by instant and, at one instant, by turn. The heap
// holds small entries that point at slots, so that ordering moves few bytes.
type queue struct {
	heap  []slot
	store []event
	free  []int32
	turn  uint64
}

type slot struct {
	at   int64 // microseconds of virtual time
	turn uint64
	what int32 // index into store
}

func (s slot) before(o slot) bool { return s.at < o.at || s.at == o.at && s.turn < o.turn }

func (q *queue) len() int { return len(q.heap) }

// next returns the earliest instant; the queue must not be empty.
func (q *queue) next() int64 { return q.heap[0].at }

func (q *queue) put(at int64, e event) {
	var i int32
	if n := len(q.free); n > 0 {
		i, q.free = q.free[n-1], q.free[:n-1]
		q.store[i] = e
	} else {
		i = int32(len(q.store))
		q.store = append(q.store, e)
	}
	q.turn++
	q.heap = append(q.heap, slot{at, q.turn, i})
	for k := len(q.heap) - 1; k > 0; {
		up := (k - 1) / 2
		if !q.heap[k].before(q.heap[up]) {
			return
		}
		q.heap[k], q.heap[up] = q.heap[up], q.heap[k]
		k = up
	}
}

// pop takes out the earliest event.
func (q *queue) pop() event {
	top := q.heap[0]
	n := len(q.heap) - 1
	q.heap[0] = q.heap[n]
	q.heap = q.heap[:n]
	q.sink()
	e := q.store[top.what]
	q.store[top.what] = event{}
	q.free = append(q.free, top.what)
	return e
}

func (q *queue) sink() {
	for k, n := 0, len(q.heap); ; {
		least := k
		for _, c := range [...]int{2*k + 1, 2*k + 2} {
			if c < n && q.heap[c].before(q.heap[least]) {
				least = c
			}
		}
		if least == k {
			return
		}
		q.heap[k], q.heap[least] = q.heap[least], q.heap[k]
		k = least
	}
}
