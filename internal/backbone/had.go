package backbone

import (
	"errors"

	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// A hadTable remembers what was delivered here until it has expired (F4): offers
// by age name an envelope for weeks, and what this router had must not be pulled
// again. It is durable as far as its last rows: an id that a crash took is pulled
// once more, and known as a duplicate by who delivers. When it is full the ids
// that expire first go.
type hadTable struct {
	ids   map[wire.Prefix]struct{}
	hours *ordered.Map[uint32, []wire.Prefix]
	most  int
}

func newHadTable(most int) hadTable {
	return hadTable{ids: make(map[wire.Prefix]struct{}), hours: ordered.NewMap[uint32, []wire.Prefix](compareHours), most: most}
}

func (t *hadTable) has(id wire.Prefix) bool {
	_, ok := t.ids[id]
	return ok
}

// add notes an id and returns the rows that say so.
func (t *hadTable) add(id wire.Prefix, expires int64) []machine.Row {
	if t.has(id) {
		return nil
	}
	var rows []machine.Row
	for len(t.ids) >= t.most {
		rows = append(rows, t.dropFirst()...)
	}
	at := hourOf(expires)
	t.put(id, at)
	return append(rows, machine.Row{Key: append(hourKey(hadRows, at), id[:]...), Value: []byte{}})
}

func (t *hadTable) put(id wire.Prefix, at uint32) {
	t.ids[id] = struct{}{}
	t.hours.Set(at, append(t.hours.At(at), id))
}

func (t *hadTable) restore(row machine.Row) error {
	if len(row.Key) != 1+4+len(wire.Prefix{}) {
		return errors.New("a key of another length")
	}
	at := uint32(row.Key[1])<<24 | uint32(row.Key[2])<<16 | uint32(row.Key[3])<<8 | uint32(row.Key[4])
	if len(t.ids) < t.most {
		t.put(wire.Prefix(row.Key[5:]), at)
	}
	return nil
}

// over forgets what has expired.
func (t *hadTable) over(now int64) (rows []machine.Row) {
	for at := range t.hours.All() {
		if int64(at)*hour > now {
			break
		}
		rows = append(rows, t.dropFirst()...)
	}
	return rows
}

func (t *hadTable) dropFirst() []machine.Row {
	for at, list := range t.hours.All() {
		for _, id := range list {
			delete(t.ids, id)
		}
		t.hours.Delete(at)
		return []machine.Row{{Key: hourKey(hadRows, at), End: hourKey(hadRows, at+1)}}
	}
	return nil
}

// next returns when over has something to do; 0: never.
func (t *hadTable) next() int64 {
	for at := range t.hours.All() {
		return int64(at) * hour
	}
	return 0
}
