package attach

import (
	"slices"

	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A mark is what is durable of one stream: the numbers whose envelopes lie, or lay,
// in mailboxes here. After a restart it tells duplicates, and where each stream
// goes on. Its row may lag behind as long as the envelopes that it lacks are stored
// themselves; so it is written when one of them goes, in the same commit. Unlike a
// row for each id it costs nothing for what is delivered in order.
type mark struct {
	stream  envelope.Stream
	ranges  []wire.Range // ascending and apart
	until   int64        // when the last of it expires: then its duplicates are refused anyway
	changed bool         // since the row was written
	gone    bool
}

// add notes numbers that are stored now. Of too many ranges what lies between the
// two lowest counts as there, as a hole does that is forgotten.
func (m *mark) add(first, last uint64, expires int64) {
	if expires <= m.until && m.has(first, last) {
		return
	}
	m.ranges = cover(m.ranges, first, last)
	if n := len(m.ranges); n > holesKept {
		m.ranges[1].First = m.ranges[0].First
		m.ranges = slices.Delete(m.ranges, 0, 1)
	}
	m.until = max(m.until, expires)
	m.changed = true
}

// has reports whether all numbers from first to last are marked.
func (m *mark) has(first, last uint64) bool {
	i := slices.IndexFunc(m.ranges, func(r wire.Range) bool { return r.Last >= last })
	return i >= 0 && m.ranges[i].First <= first
}

// cover adds first to last to a list of ranges that ascend and do not touch.
func cover(list []wire.Range, first, last uint64) []wire.Range {
	i, _ := slices.BinarySearchFunc(list, first, func(r wire.Range, first uint64) int {
		if r.Last+1 < first {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(list) && list[j].First <= last+1; j++ {
		first, last = min(first, list[j].First), max(last, list[j].Last)
	}
	return slices.Replace(list, i, j, wire.Range{First: first, Last: last})
}

// key is the key of a mark's row; those of one target are a range.
func (m *mark) key() []byte {
	s := &m.stream
	key := s.From.AppendTo(appendTargetKey(append(make([]byte, 0, 74), markTable), s.Target))
	return append(key, s.Run[:]...)
}

// row is a mark's row.
func (m *mark) row() machine.Row {
	b := cbor.AppendUint(cbor.AppendArray(nil, 2), uint64(m.until))
	b = cbor.AppendArray(b, len(m.ranges))
	for _, r := range m.ranges {
		b = cbor.AppendUint(cbor.AppendUint(cbor.AppendArray(b, 2), r.First), r.Last)
	}
	return machine.Row{Key: m.key(), Value: b}
}

// markRead reads a mark's row.
func markRead(row machine.Row, keys keyring) (*mark, error) {
	r := newRowReader(row, keys)
	m := &mark{}
	m.stream.Target = r.cutTarget()
	m.stream.From = r.cutAddress()
	copy(m.stream.Run[:], r.cut(len(m.stream.Run)))
	r.Array(2, 2)
	m.until = r.time()
	next := uint64(0)
	for n := r.Array(1, holesKept); n > 0 && r.Err() == nil; n-- {
		r.Array(2, 2)
		x := wire.Range{First: r.Uint(1<<63 - 1), Last: r.Uint(1<<63 - 1)}
		if x.First < next || x.Last < x.First {
			r.Fail("ranges that do not ascend")
		}
		m.ranges, next = append(m.ranges, x), x.Last+2
	}
	return m, r.end()
}

// markOf finds or begins the mark of an envelope's stream, for an audience; nil
// where there are as many as are remembered.
func (h *Home) markOf(a *audience, e *envelope.Envelope) *mark {
	key := e.Stream()
	if m, ok := h.marks[key]; ok {
		return m
	}
	if len(h.marks) >= streamsMax {
		return nil
	}
	m := &mark{stream: key, until: int64(e.Expires())}
	h.keepMark(a, m)
	return m
}

// keepMark puts a mark among those of its target, and looks at it when it is over.
func (h *Home) keepMark(a *audience, m *mark) {
	h.marks[m.stream] = m
	a.marks = append(a.marks, m)
	h.agenda.Put(m.until+1, job{do: (*Home).endMark, mark: m})
}

// endMark forgets a mark whose envelopes have all expired.
func (h *Home) endMark(now int64, j job) {
	m := j.mark
	switch {
	case m.gone:
		return
	case m.until >= now:
		h.agenda.Put(m.until+1, j)
		return
	}
	m.gone = true
	delete(h.marks, m.stream)
	if a, ok := h.audiences[m.stream.Target]; ok {
		if i := slices.Index(a.marks, m); i >= 0 {
			a.marks = slices.Delete(a.marks, i, i+1)
		}
	}
	h.desk.Forget(m.key())
}

// forgetMarks drops the marks of a target that nobody wants any more.
func (h *Home) forgetMarks(a *audience, t envelope.Target) {
	if len(a.marks) == 0 {
		return
	}
	for _, m := range a.marks {
		m.gone = true
		delete(h.marks, m.stream)
	}
	h.desk.Do(machine.Store{Rows: []machine.Row{allUnder(appendTargetKey([]byte{markTable}, t))}})
}
