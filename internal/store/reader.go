package store

import (
	"sync"

	"upsycle/internal/machine"
)

// A Reader answers Load effects from an engine on a goroutine of its own, in the
// order asked. Who asks bounds how many wait: a machine has so many loads under way
// at most. Its methods may be called by any goroutine.
type Reader struct {
	engine Engine
	answer func(machine.Event)
	ended  chan struct{}

	mu      sync.Mutex
	wake    sync.Cond
	closed  bool
	waiting []machine.Load
}

// NewReader returns a Reader that answers with answer, which must not block
// (loop.Answer is meant). Whoever made it must Close it; the engine stays the
// caller's.
func NewReader(engine Engine, answer func(machine.Event)) *Reader {
	r := &Reader{engine: engine, answer: answer, ended: make(chan struct{})}
	r.wake.L = &r.mu
	go r.run()
	return r
}

// Load queues a question. It never blocks. A Loaded follows, after Close with
// ErrClosed.
func (r *Reader) Load(l machine.Load) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		r.answer(machine.Loaded{Token: l.Token, Err: ErrClosed})
		return
	}
	r.waiting = append(r.waiting, l)
	r.wake.Signal()
}

// Close ends the Reader once what waits was answered.
func (r *Reader) Close() {
	r.mu.Lock()
	r.closed = true
	r.wake.Signal()
	r.mu.Unlock()
	<-r.ended
}

func (r *Reader) run() {
	defer close(r.ended)
	for {
		r.mu.Lock()
		for len(r.waiting) == 0 && !r.closed {
			r.wake.Wait()
		}
		batch := r.waiting
		r.waiting = nil
		r.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, l := range batch {
			r.answer(r.read(l))
		}
	}
}

func (r *Reader) read(l machine.Load) machine.Loaded {
	values := make([][]byte, len(l.Keys))
	for i, k := range l.Keys {
		v, err := r.engine.Get(k)
		if err != nil {
			return machine.Loaded{Token: l.Token, Err: err}
		}
		values[i] = v
	}
	return machine.Loaded{Token: l.Token, Values: values}
}
