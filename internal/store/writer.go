package store

import (
	"errors"
	"sync"

	"upsycle/internal/machine"
)

// WaitingMax is how many bytes of rows wait in a Writer unless NewWriter is told
// otherwise. Beyond it new rows are refused; deletions are not.
const WaitingMax = 64 << 20

// A Writer commits the rows of Store effects to an engine on a goroutine of its
// own and answers them. While one commit runs, the next gathers: under load many
// Stores share one commit, and alone each goes at once, without a timer. Its
// methods may be called by any goroutine.
type Writer struct {
	engine Engine
	answer func(machine.Event)
	limit  int64
	ended  chan struct{}

	mu      sync.Mutex
	wake    sync.Cond
	closed  bool // nothing new is taken
	done    bool // nothing waits any more, and closed
	waiting []entry
	bytes   int64 // of waiting
}

// An entry is a Store that waits, or one that was refused and waits for its turn
// to be told: answers come in the order asked.
type entry struct {
	machine.Store
	refused error
}

// NewWriter returns a Writer that answers Stores with answer, which must not block
// and is called in the order of the Stores (loop.Answer is meant). limit bounds the
// bytes that wait; 0: WaitingMax. Whoever made it must Close it; the engine stays
// the caller's.
func NewWriter(engine Engine, answer func(machine.Event), limit int64) *Writer {
	if limit <= 0 {
		limit = WaitingMax
	}
	w := &Writer{engine: engine, answer: answer, limit: limit, ended: make(chan struct{})}
	w.wake.L = &w.mu
	go w.run()
	return w
}

// Store queues the rows of s. It never blocks. A Stored follows if s has a token;
// its Err is ErrBusy when too much waits, ErrClosed after Close, and otherwise what
// the engine said.
func (w *Writer) Store(s machine.Store) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		if s.Token != 0 {
			w.answer(machine.Stored{Token: s.Token, Err: ErrClosed})
		}
		return
	}
	e := entry{Store: s, refused: w.judge(s.Rows)}
	if e.refused != nil {
		e.Rows = nil
	}
	w.waiting = append(w.waiting, e)
	w.wake.Signal()
}

// judge says whether rows may wait, and counts them if so. A single Store of any
// size may wait alone: the engine's own limit is the one that judges it.
func (w *Writer) judge(rows []machine.Row) error {
	bytes, puts := weigh(rows)
	switch {
	case w.closed:
		return ErrClosed
	case puts && w.bytes > 0 && w.bytes+bytes > w.limit:
		return ErrBusy
	}
	w.bytes += bytes
	return nil
}

// Close commits and answers all that waits and ends the writer. The engine stays
// open. To close twice is harmless.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.wake.Signal()
	<-w.ended
}

func (w *Writer) run() {
	defer close(w.ended)
	var batch []entry
	var rows []machine.Row
	for {
		batch = w.take(batch)
		if len(batch) == 0 {
			return
		}
		rows = rows[:0]
		for _, e := range batch {
			rows = append(rows, e.Rows...)
		}
		w.commit(batch, rows)
		clear(rows)
		clear(batch)
	}
}

// take waits for work and returns all of it; nothing when the writer is closed and
// all is done. It keeps the memory of the last batch for the next.
func (w *Writer) take(last []entry) []entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) == 0 && !w.closed {
		w.wake.Wait()
	}
	batch := w.waiting
	w.waiting, w.bytes = last[:0], 0
	w.done = len(batch) == 0
	return batch
}

// commit applies a batch and answers it. A batch that does not fit, or holds what is
// no row, is applied Store by Store: only those fail whose own fault it is.
func (w *Writer) commit(batch []entry, rows []machine.Row) {
	err := w.apply(rows)
	alone := (errors.Is(err, ErrFull) || errors.Is(err, ErrRow)) && len(batch) > 1
	for _, e := range batch {
		result := err
		switch {
		case e.refused != nil:
			result = e.refused
		case alone:
			result = w.apply(e.Rows)
		}
		if e.Token != 0 {
			w.answer(machine.Stored{Token: e.Token, Err: result})
		}
	}
}

func (w *Writer) apply(rows []machine.Row) error {
	if len(rows) == 0 {
		return nil
	}
	return w.engine.Apply(rows)
}

// weigh returns the bytes of rows and whether any of them is written.
func weigh(rows []machine.Row) (bytes int64, puts bool) {
	for _, r := range rows {
		bytes += size(r)
		puts = puts || r.Value != nil
	}
	return bytes, puts
}
