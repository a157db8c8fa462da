package ordered

import "container/heap"

// An Agenda holds what is to be done when: pairs of an instant and a note, the
// earliest first and, at one instant, in the order in which they were put. It is
// not safe for concurrent use. The zero Agenda is empty and ready.
type Agenda[T any] struct {
	h    agendaHeap[T]
	last uint64
}

// Put adds a note for the instant at, in Unix milliseconds.
func (a *Agenda[T]) Put(at int64, note T) {
	a.last++
	heap.Push(&a.h, agendaItem[T]{at, a.last, note})
}

// Len returns the number of notes.
func (a *Agenda[T]) Len() int { return len(a.h) }

// Next returns the earliest instant, and whether there is one.
func (a *Agenda[T]) Next() (int64, bool) {
	if len(a.h) == 0 {
		return 0, false
	}
	return a.h[0].at, true
}

// Pop takes out the earliest note if its instant is not after now.
func (a *Agenda[T]) Pop(now int64) (note T, ok bool) {
	if len(a.h) == 0 || a.h[0].at > now {
		return note, false
	}
	return heap.Pop(&a.h).(agendaItem[T]).note, true
}

type agendaItem[T any] struct {
	at   int64
	turn uint64
	note T
}

type agendaHeap[T any] []agendaItem[T]

func (h agendaHeap[T]) Len() int { return len(h) }
func (h agendaHeap[T]) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].turn < h[j].turn
}
func (h agendaHeap[T]) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *agendaHeap[T]) Push(x any)   { *h = append(*h, x.(agendaItem[T])) }
func (h *agendaHeap[T]) Pop() any {
	old := *h
	n := len(old) - 1
	x := old[n]
	old[n] = agendaItem[T]{}
	*h = old[:n]
	return x
}
