package link

import (
	"sync"
	"testing"
	"testing/synctest"
)

// Who waits is served in turn: a large one is not overtaken by small ones.
func TestBudgetIsFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		b.take(60, nil)
		var order []string
		var mu sync.Mutex
		wait := func(name string, n int, stop chan struct{}) {
			go func() {
				ok := b.take(n, stop)
				mu.Lock()
				defer mu.Unlock()
				if ok {
					order = append(order, name)
				} else {
					order = append(order, name+" left")
				}
			}()
			synctest.Wait()
		}
		stop := make(chan struct{})
		wait("large", 80, nil)
		wait("gone", 10, stop)
		wait("small", 10, nil)
		close(stop)
		synctest.Wait()
		b.give(60)
		synctest.Wait()
		if got := len(order); got != 3 || order[0] != "gone left" || b.free != 10 {
			t.Errorf("order %v, %d free", order, b.free)
		}
	})
}

// One that leaves at the head of the queue lets those behind it go on.
func TestBudgetHeadLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(100)
		b.take(60, nil)
		stop, done := make(chan struct{}), make(chan bool, 2)
		go func() { done <- b.take(80, stop) }()
		synctest.Wait()
		go func() { done <- b.take(40, nil) }()
		synctest.Wait()
		close(stop)
		if first, second := <-done, <-done; first == second {
			t.Error("one must have left and one must have been served")
		}
		if b.free != 0 || len(b.waiters) != 0 {
			t.Errorf("%d free, %d wait", b.free, len(b.waiters))
		}
	})
}

// Under contention nothing is lost and nothing is given out twice.
func TestBudgetAddsUp(t *testing.T) {
	b := newBudget(10)
	var group sync.WaitGroup
	stop := make(chan struct{})
	close(stop)
	for i := range 8 {
		group.Go(func() {
			for range 500 {
				n := 1 + i
				halt := stop // half of them leave at once
				if i%2 == 0 {
					halt = nil
				}
				if b.take(n, halt) {
					b.give(n)
				}
			}
		})
	}
	group.Wait()
	if b.free != 10 || len(b.waiters) != 0 {
		t.Errorf("%d free, %d wait", b.free, len(b.waiters))
	}
}
