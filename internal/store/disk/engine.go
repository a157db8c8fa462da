package disk

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"upsycle/internal/machine"
	"upsycle/internal/store"
)

// Options say where a store is and how much it may take.
type Options struct {
	Dir   string // made with mode 0700 if need be, unless ReadOnly
	FS    vfs.FS // nil: the system's
	Limit int64  // bytes of rows, roughly as the disk sees them; 0: no limit
	// Memory is what the engine may use for what is not yet in tables and for
	// its cache, in bytes. 0: 32 MiB, which suits a phone; a server that takes
	// tens of thousands of messages a second wants 256 MiB.
	Memory   int64
	ReadOnly bool // Apply fails, and nothing in Dir changes
	// AcceptLoss opens a store though commits that it acknowledged are missing.
	// It is for an operator who has seen the error and has no backup.
	AcceptLoss bool
	Log        *slog.Logger // nil: silence
	// Failed is told of the failure that froze the directory, once, on a
	// goroutine of its own. Nothing heals before the store is opened again.
	Failed func(error)
}

// An Engine is a store.Engine in a directory. Its methods may be called by any
// goroutine.
type Engine struct {
	opts  Options
	guard *guard // nil when read-only
	db    *pebble.DB
	lock  *pebble.Lock
	mark  *mark // nil when read-only
	meter meter

	ctx    context.Context // of work in the background
	cancel context.CancelFunc

	opened atomic.Bool           // what fails before is what Open returns
	fault  atomic.Pointer[Error] // the first failure; it never goes away

	commit sync.Mutex // one Apply at a time: commits are numbered in order
	last   uint64     // the number of the last commit

	mu     sync.Mutex
	closed bool
	users  int
	idle   sync.Cond // no users
}

var _ store.Engine = (*Engine)(nil)

// Apply commits rows together and returns when they are synced. It refuses rows
// that do not fit with a *store.FullError, and with an *Error that matches
// store.ErrFull when the disk itself is nearly full; deletions always fit, and so
// does a commit that deletes as many rows as it writes small ones.
//
// Once a write or a sync has failed, Apply returns that first error for ever. The
// rows of the Apply that met the failure are not acknowledged: they may be visible
// until the engine is closed, and they may be there when it is opened again, all or
// none of them.
func (e *Engine) Apply(rows []machine.Row) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	if err := store.CheckRows(rows); err != nil {
		return err
	}
	if e.opts.ReadOnly {
		return &Error{Path: e.opts.Dir, kind: ErrReadOnly, text: "the store was opened for reading", hint: "open it for writing"}
	}
	e.commit.Lock()
	defer e.commit.Unlock()
	if err := e.Err(); err != nil {
		return err
	}
	if len(rows) == 0 {
		return nil
	}
	if err := e.admit(rows); err != nil {
		return err
	}
	return e.write(rows)
}

// write commits what was admitted. The failure that pebble was not told of is in
// Err before pebble returns.
func (e *Engine) write(rows []machine.Row) error {
	b := e.db.NewBatch()
	defer b.Close()
	for _, row := range rows {
		if err := add(b, row); err != nil {
			return err // the batch would be beyond 4 GiB
		}
	}
	if err := number(b, e.last+1); err != nil {
		return err
	}
	if err := e.db.Apply(b, pebble.Sync); err != nil {
		e.fail(classify(e.opts.Dir, "commit", err))
	}
	if err := e.Err(); err != nil {
		return err
	}
	e.last++
	e.meter.wrote(rows)
	if err := e.mark.set(e.last); err != nil {
		// The rows are safe, and the mark may stay behind. But a disk that
		// takes no 30 bytes will not take the next commit either.
		e.opts.Log.Warn("the number of the last commit was not written", "err", err)
	}
	return nil
}

func add(b *pebble.Batch, row machine.Row) error {
	switch {
	case row.End != nil:
		if string(row.Key) >= string(row.End) {
			return nil
		}
		return b.DeleteRange(row.Key, row.End, nil)
	case row.Value == nil:
		return b.Delete(row.Key, nil)
	}
	return b.Set(row.Key, row.Value, nil)
}

// Err returns the failure that froze the directory, or nil.
func (e *Engine) Err() error {
	if fault := e.fault.Load(); fault != nil {
		return fault
	}
	return nil
}

// Get returns a copy of the value of key, nil where there is none.
func (e *Engine) Get(key []byte) ([]byte, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	if len(key) == 0 || key[0] == 0 {
		return nil, nil
	}
	v, err := own(e.db, key)
	if err != nil {
		return nil, e.readFailed(err)
	}
	return v, nil
}

// Scan returns copies of at most limit rows with from ≤ key < to, and whether
// there are more.
func (e *Engine) Scan(from, to []byte, limit int) ([]machine.Row, bool, error) {
	var rows []machine.Row
	more := false
	err := e.Each(from, to, func(row machine.Row) error {
		if len(rows) >= max(limit, 0) {
			more = true
			return errEnough
		}
		rows = append(rows, row)
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, false, err
	}
	return rows, more, nil
}

var errEnough = errors.New("enough rows")

// Each calls fn with each row with from ≤ key < to in ascending order, as they were
// when it began, and ends with the first error of fn. A nil from is the beginning, a
// nil to the end. Each row is a copy and belongs to fn. It holds one row at a time:
// this is how a router reads its rows when it starts. fn may use the engine; a Close
// meanwhile makes Each return store.ErrClosed.
func (e *Engine) Each(from, to []byte, fn func(machine.Row) error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	// The store's own rows come before all others.
	if len(from) == 0 || from[0] == 0 {
		from = []byte{1}
	}
	if to != nil && string(to) <= string(from) {
		return nil
	}
	iter, err := e.db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return e.readFailed(err)
	}
	err = e.each(iter, fn)
	if closed := iter.Close(); closed != nil && err == nil {
		err = e.readFailed(closed)
	}
	return err
}

func (e *Engine) each(iter *pebble.Iterator, fn func(machine.Row) error) error {
	for ok := iter.First(); ok; ok = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return e.readFailed(err)
		}
		if err := fn(own2(iter.Key(), value)); err != nil {
			return err
		}
		if e.isClosed() {
			return store.ErrClosed
		}
	}
	if err := iter.Error(); err != nil {
		return e.readFailed(err)
	}
	return nil
}

// own2 copies key and value with one allocation.
func own2(key, value []byte) machine.Row {
	b := make([]byte, len(key)+len(value))
	n := copy(b, key)
	copy(b[n:], value)
	return machine.Row{Key: b[:n:n], Value: b[n:]}
}

// readFailed says what a failed read means. Damage is noted for ever: where one
// row cannot be read, nobody knows what else is lost.
func (e *Engine) readFailed(err error) error {
	fault := classify(e.opts.Dir, "read", err)
	if errors.Is(fault, ErrCorrupt) {
		e.fail(fault)
	}
	return fault
}

// fail notes the first failure and freezes the directory.
func (e *Engine) fail(fault *Error) {
	if e.opts.ReadOnly || !e.fault.CompareAndSwap(nil, fault) {
		return
	}
	if e.guard != nil {
		e.guard.frozen.Store(true)
	}
	e.meter.pulse()
	if !e.opened.Load() {
		return
	}
	e.opts.Log.Error("the store is frozen: nothing is acknowledged any more", "err", fault, "hint", fault.Hint())
	if e.opts.Failed != nil {
		go e.opts.Failed(fault)
	}
}

// Close ends the engine. It waits for calls that run, writes what is in memory into
// tables, so that the next start is quick, and gives the directory back. What was
// acknowledged is safe without it. A frozen directory stays as it is.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return store.ErrClosed
	}
	e.closed = true
	e.mu.Unlock()
	e.cancel()
	e.meter.pulse()
	e.mu.Lock()
	for e.users > 0 {
		e.idle.Wait()
	}
	e.mu.Unlock()
	return e.end()
}

func (e *Engine) end() error {
	if e.opts.ReadOnly {
		return errors.Join(e.db.Close(), e.lock.Close())
	}
	if e.Err() == nil {
		if err := e.db.Flush(); err != nil {
			e.opts.Log.Warn("the log stays for the next start", "err", err)
		}
	}
	frozen := e.Err() != nil
	close(e.guard.closing)
	err := e.db.Close()
	if frozen {
		// Pebble's view of a frozen directory means nothing, and Apply has
		// told what happened.
		err = e.mark.f.Close()
	} else {
		err = errors.Join(err, e.mark.close())
	}
	return errors.Join(err, e.lock.Close())
}

// enter counts a call that runs.
func (e *Engine) enter() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return store.ErrClosed
	}
	e.users++
	return nil
}

func (e *Engine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.users--; e.users == 0 {
		e.idle.Broadcast()
	}
}

func (e *Engine) isClosed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}
