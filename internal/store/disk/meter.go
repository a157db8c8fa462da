package disk

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"upsycle/internal/machine"
	"upsycle/internal/store"
)

// rowOverhead is what a row takes beside key and value, roughly: lengths, sequence
// number, its part of an index.
const rowOverhead = 16

// smallRow is the largest row that may be written in a full store in exchange for
// a deletion: a gap in place of what was dropped, a cursor.
const smallRow = 512

// crowded is how many runs of young tables may lie over each other before commits
// wait for the compactions. Beyond it every read has to look into each of them.
const crowded = 20

// tidyShare is which part of the limit must have been deleted before a full store
// is compacted for it: 1/16.
const tidyShare = 16

// A meter knows roughly how full the store is: what tables and logs take on the
// disk, asked when tables have changed, and what was written since. What is deleted
// counts until it is cleared away.
type meter struct {
	e       *Engine
	reserve int64

	stale  atomic.Bool
	tidies atomic.Bool // one at a time

	mu     sync.Mutex
	tick   uint64 // counts what somebody may wait for
	ticked sync.Cond
	known  figures
	added  int64 // bytes written since
	rows   int64 // in tables when it opened, and written less deleted since
	gone   int64 // rows deleted since tidy
	ranges bool  // ranges too
}

// figures are what the tables say.
type figures struct {
	bytes     int64
	sublevels int32
}

func (m *meter) init(e *Engine, reserve int64) {
	m.e, m.reserve = e, reserve
	m.ticked.L = &m.mu
}

// changed notes that tables have changed. It is called with pebble's locks held.
func (m *meter) changed() {
	m.stale.Store(true)
	m.pulse()
}

// pulse wakes whoever waits.
func (m *meter) pulse() {
	m.mu.Lock()
	m.tick++
	m.mu.Unlock()
	m.ticked.Broadcast()
}

// refresh asks pebble for the figures.
func (m *meter) refresh() {
	m.stale.Store(false)
	metrics := m.e.db.Metrics()
	now := figures{sublevels: metrics.Levels[0].Sublevels}
	now.bytes = int64(metrics.WAL.Size)
	for _, level := range metrics.Levels {
		now.bytes += level.TablesSize
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known, m.added = now, 0
}

// count takes the number of rows from the tables' own lists of contents.
func (m *meter) count() {
	levels, err := m.e.db.SSTables(pebble.WithProperties())
	if err != nil {
		return // whoever reads those rows is told
	}
	for _, level := range levels {
		for _, table := range level {
			m.rows += int64(table.Properties.NumEntries) - 2*int64(table.Properties.NumDeletions)
		}
	}
}

// wrote counts what was committed.
func (m *meter) wrote(rows []machine.Row) {
	puts, deletes, bytes, _ := weigh(rows)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.added += bytes
	m.rows += puts - deletes
	m.gone += deletes
	for _, r := range rows {
		m.ranges = m.ranges || r.End != nil
	}
}

func (m *meter) usage() store.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return store.Usage{
		Rows: int(max(0, m.rows)), Bytes: m.known.bytes + m.added, Limit: m.e.opts.Limit,
	}
}

// Usage says roughly how full the store is: bytes as they lie on the disk, with what
// is deleted and not yet cleared away; rows as written and deleted, where one that was
// overwritten counts twice. It reads no rows.
func (e *Engine) Usage() store.Usage {
	if e.enter() != nil {
		return store.Usage{Limit: e.opts.Limit}
	}
	defer e.leave()
	if e.meter.stale.Load() {
		e.meter.refresh()
	}
	return e.meter.usage()
}

// admit says whether rows may be written, and waits while compactions are behind.
// It runs under Engine.commit.
func (e *Engine) admit(rows []machine.Row) error {
	puts, deletes, bytes, largest := weigh(rows)
	if puts == 0 || deletes >= puts && largest <= smallRow {
		return nil // it ends no fuller than it was, or hardly
	}
	if err := e.roomOnDisk(bytes); err != nil {
		return err
	}
	if err := e.roomInLimit(bytes); err != nil {
		return err
	}
	return e.meter.wait()
}

func (e *Engine) roomInLimit(bytes int64) error {
	limit := e.opts.Limit
	if limit <= 0 || e.meter.usage().Bytes+bytes <= limit {
		return nil
	}
	e.meter.refresh()
	if u := e.meter.usage(); u.Bytes+bytes > limit {
		e.meter.tidy(u)
		return &store.FullError{Usage: u, Asked: bytes}
	}
	return nil
}

// tidy clears away what was deleted, in the background, if that is enough to be
// worth it. By itself pebble does so when it has time; a full store wants it now.
func (m *meter) tidy(u store.Usage) {
	m.mu.Lock()
	enough := m.ranges || m.gone*(u.Bytes/int64(max(u.Rows, 1))) > u.Limit/tidyShare
	m.mu.Unlock()
	if !enough || !m.tidies.CompareAndSwap(false, true) {
		return
	}
	if m.e.enter() != nil {
		return
	}
	m.mu.Lock()
	m.gone, m.ranges = 0, false
	m.mu.Unlock()
	go func() {
		defer m.e.leave()
		defer m.tidies.Store(false)
		// What fails here freezes the directory, or was the end of ctx.
		_ = m.e.db.Compact(m.e.ctx, []byte{1}, []byte{0xff, 0xff}, false)
		m.changed()
	}()
}

// roomOnDisk refuses to write when the volume is nearly full: what is there must
// still find the room to be compacted and deleted.
func (e *Engine) roomOnDisk(bytes int64) error {
	usage, err := e.opts.FS.GetDiskUsage(e.opts.Dir)
	spaceless := e.guard.spaceless.Load()
	if !spaceless && (err != nil || int64(usage.AvailBytes)-bytes >= e.meter.reserve) {
		return nil // where the system does not say, the write will
	}
	return &Error{
		Path: e.opts.Dir, kind: ErrDiskFull,
		text: fmt.Sprintf("the disk is nearly full: %d MiB are free, and %d MiB are kept free", usage.AvailBytes>>20, e.meter.reserve>>20),
		hint: "free some space on this volume; the store goes on by itself, and what was acknowledged is safe",
	}
}

// wait returns when compactions have caught up, or with what ended the engine.
func (m *meter) wait() error {
	for {
		m.mu.Lock()
		tick, behind := m.tick, m.known.sublevels >= crowded
		m.mu.Unlock()
		stale := m.stale.Load()
		switch {
		case m.e.Err() != nil:
			return m.e.Err()
		case m.e.isClosed():
			return store.ErrClosed
		case stale:
			m.refresh()
			continue
		case !behind:
			return nil
		}
		m.mu.Lock()
		for m.tick == tick {
			m.ticked.Wait()
		}
		m.mu.Unlock()
	}
}

// weigh counts rows written and deleted, the bytes of the former and the largest.
func weigh(rows []machine.Row) (puts, deletes, bytes, largest int64) {
	for _, r := range rows {
		if r.Value == nil {
			deletes++
			continue
		}
		size := int64(len(r.Key) + len(r.Value) + rowOverhead)
		puts++
		bytes += size
		largest = max(largest, size)
	}
	return puts, deletes, bytes, largest
}
