package ordered

import (
	"iter"
	"slices"
)

// A Map is a hash map whose iteration follows the order of its keys, whatever
// order they came in: two runs that put in the same keys visit them alike. Get,
// Set and Delete take constant time; an iteration sorts what came since the last
// one. The zero Map is not usable: NewMap makes one. It is not safe for
// concurrent use.
type Map[K comparable, V any] struct {
	compare func(a, b K) int
	at      map[K]int // where in entries
	entries []entry[K, V]
	sorted  int // entries[:sorted] are in order
	dead    int // entries that were deleted
}

type entry[K comparable, V any] struct {
	key  K
	val  V
	dead bool
}

// NewMap returns an empty map in the order of compare, which returns a negative
// number, zero or a positive number like cmp.Compare.
func NewMap[K comparable, V any](compare func(a, b K) int) *Map[K, V] {
	return &Map[K, V]{compare: compare, at: make(map[K]int)}
}

// Len returns the number of keys.
func (m *Map[K, V]) Len() int { return len(m.at) }

// Get returns the value of k, and whether there is one.
func (m *Map[K, V]) Get(k K) (V, bool) {
	if i, ok := m.at[k]; ok {
		return m.entries[i].val, true
	}
	var none V
	return none, false
}

// At returns the value of k, or the zero value.
func (m *Map[K, V]) At(k K) V {
	v, _ := m.Get(k)
	return v
}

// Has reports whether k is in the map.
func (m *Map[K, V]) Has(k K) bool {
	_, ok := m.at[k]
	return ok
}

// Set puts v at k.
func (m *Map[K, V]) Set(k K, v V) {
	if i, ok := m.at[k]; ok {
		m.entries[i].val = v
		return
	}
	m.at[k] = len(m.entries)
	m.entries = append(m.entries, entry[K, V]{key: k, val: v})
}

// Delete removes k and reports whether it was there.
func (m *Map[K, V]) Delete(k K) bool {
	i, ok := m.at[k]
	if !ok {
		return false
	}
	delete(m.at, k)
	m.entries[i] = entry[K, V]{key: k, dead: true}
	m.dead++
	if m.dead > 32 && m.dead > len(m.at) {
		m.tidy()
	}
	return true
}

// Clear removes all keys.
func (m *Map[K, V]) Clear() {
	clear(m.at)
	m.entries, m.sorted, m.dead = nil, 0, 0
}

// Keys returns a new slice of the keys in order.
func (m *Map[K, V]) Keys() []K {
	m.tidy()
	keys := make([]K, len(m.entries))
	for i := range m.entries {
		keys[i] = m.entries[i].key
	}
	return keys
}

// All visits the pairs in the order of their keys. The map may be changed
// meanwhile: keys that were deleted are not visited, keys that were added are
// not either, and values are the present ones.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range m.Keys() {
			if v, ok := m.Get(k); ok && !yield(k, v) {
				return
			}
		}
	}
}

// tidy drops the dead and sorts what came since the last time.
func (m *Map[K, V]) tidy() {
	if m.dead == 0 && m.sorted == len(m.entries) {
		return
	}
	m.entries = slices.DeleteFunc(m.entries, func(e entry[K, V]) bool { return e.dead })
	slices.SortFunc(m.entries, func(a, b entry[K, V]) int { return m.compare(a.key, b.key) })
	for i := range m.entries {
		m.at[m.entries[i].key] = i
	}
	m.sorted, m.dead = len(m.entries), 0
}
