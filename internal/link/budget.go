package link

import "sync"

// A budget is a number of bytes that all links of a hub share. Who finds it empty
// waits in turn, so that one large frame is not overtaken for ever by small ones.
// It is safe for concurrent use.
type budget struct {
	mu      sync.Mutex
	free    int
	waiters []*waiter // in the order in which they came
}

type waiter struct {
	want  int
	ready chan struct{}
}

func newBudget(size int) *budget { return &budget{free: size} }

// take waits for n bytes, or until stop is closed; then it returns false and
// holds nothing. n is at most the budget's size.
func (b *budget) take(n int, stop <-chan struct{}) bool {
	b.mu.Lock()
	if len(b.waiters) == 0 && b.free >= n {
		b.free -= n
		b.mu.Unlock()
		return true
	}
	w := &waiter{n, make(chan struct{})}
	b.waiters = append(b.waiters, w)
	b.mu.Unlock()
	select {
	case <-w.ready:
		return true
	case <-stop:
		b.leave(w)
		return false
	}
}

// give returns n bytes.
func (b *budget) give(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.serve()
}

// leave takes w out of the queue, or gives back what it got in the meantime.
func (b *budget) leave(w *waiter) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, other := range b.waiters {
		if other == w {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			b.serve() // w may have stood in front of a smaller one
			return
		}
	}
	b.free += w.want
	b.serve()
}

func (b *budget) serve() {
	for len(b.waiters) > 0 && b.free >= b.waiters[0].want {
		w := b.waiters[0]
		b.waiters = b.waiters[1:]
		b.free -= w.want
		close(w.ready)
	}
}
