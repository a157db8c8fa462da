package store

import (
	"bytes"
	"slices"
	"sort"
	"sync"

	"upsycle/internal/machine"
)

// RowOverhead is what a row costs beside its key and value, roughly: the slices'
// headers and the map's slot. It is counted, so that very many tiny rows can not
// take more memory than the limit allows.
const RowOverhead = 96

// Memory is an Engine that holds its rows in memory. Nothing survives Close.
type Memory struct {
	limit int64

	mu     sync.Mutex
	closed bool
	rows   map[string]machine.Row // by key
	bytes  int64
	sorted []machine.Row // all rows in order; nil when it has to be made again
	undo   []change      // of the Apply that runs; its memory is used again
}

var _ Engine = (*Memory)(nil)

// A change is what a row was before.
type change struct {
	key []byte
	old machine.Row
	had bool
}

// NewMemory returns an empty engine that holds at most limit bytes, as Usage
// counts them; 0: no limit.
func NewMemory(limit int64) *Memory {
	return &Memory{limit: limit, rows: make(map[string]machine.Row)}
}

// Usage says how full the engine is.
func (m *Memory) Usage() Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usage()
}

// Get returns the value of key, nil where there is none.
func (m *Memory) Get(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	return m.rows[string(key)].Value, nil
}

// Scan returns rows in the order of their keys. The first Scan after the set of
// keys has changed sorts all of them: it is for starts and tests, not for the
// path of a message.
func (m *Memory) Scan(from, to []byte, limit int) ([]machine.Row, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, ErrClosed
	}
	all := m.inOrder()
	all = all[search(all, from):]
	if to != nil {
		all = all[:search(all, to)]
	}
	n := min(len(all), max(limit, 0))
	return slices.Clone(all[:n]), n < len(all), nil
}

// Apply commits rows together. It returns a *FullError, and changes nothing, when
// the engine would grow beyond its limit; what does not make it grow always fits.
func (m *Memory) Apply(rows []machine.Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if err := CheckRows(rows); err != nil {
		return err
	}
	before := m.bytes
	for _, row := range rows {
		if row.End != nil {
			m.clear(row.Key, row.End)
		} else {
			m.put(row)
		}
	}
	var err error
	if grown := m.bytes - before; m.limit > 0 && m.bytes > m.limit && grown > 0 {
		m.rollBack()
		err = &FullError{m.usage(), grown}
	}
	clear(m.undo)
	m.undo = m.undo[:0]
	return err
}

// Close forgets everything.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed, m.rows, m.sorted, m.bytes = true, nil, nil, 0
	return nil
}

func (m *Memory) usage() Usage {
	return Usage{Rows: len(m.rows), Bytes: m.bytes, Limit: m.limit}
}

// put writes or deletes one row and notes what was there before.
func (m *Memory) put(row machine.Row) {
	old, had := m.rows[string(row.Key)]
	m.undo = append(m.undo, change{row.Key, old, had})
	m.set(row, row.Value != nil)
}

// clear deletes the keys in [from, to). It looks at every row: a range is deleted
// seldom, when much has expired or overflows.
func (m *Memory) clear(from, to []byte) {
	for _, row := range m.rows {
		if bytes.Compare(row.Key, from) >= 0 && bytes.Compare(row.Key, to) < 0 {
			m.put(machine.Row{Key: row.Key})
		}
	}
}

// rollBack takes back what put noted, last first.
func (m *Memory) rollBack() {
	for _, c := range slices.Backward(m.undo) {
		row := c.old
		row.Key = c.key
		m.set(row, c.had)
	}
}

// set makes row the row of its key, or deletes that key where keep is false.
func (m *Memory) set(row machine.Row, keep bool) {
	old, had := m.rows[string(row.Key)]
	if had {
		m.bytes -= size(old)
	}
	if keep {
		m.bytes += size(row)
		m.rows[string(row.Key)] = row
	} else {
		delete(m.rows, string(row.Key))
	}
	if had || keep {
		m.sorted = nil // also for a new value: sorted holds rows, not keys
	}
}

// inOrder returns all rows by key.
func (m *Memory) inOrder() []machine.Row {
	if m.sorted != nil || len(m.rows) == 0 {
		return m.sorted
	}
	m.sorted = make([]machine.Row, 0, len(m.rows))
	for _, row := range m.rows {
		m.sorted = append(m.sorted, row)
	}
	slices.SortFunc(m.sorted, func(a, b machine.Row) int { return bytes.Compare(a.Key, b.Key) })
	return m.sorted
}

// search returns where the first row is whose key is not before key.
func search(rows []machine.Row, key []byte) int {
	return sort.Search(len(rows), func(i int) bool { return bytes.Compare(rows[i].Key, key) >= 0 })
}

func size(row machine.Row) int64 {
	return int64(len(row.Key) + len(row.Value) + len(row.End) + RowOverhead)
}
