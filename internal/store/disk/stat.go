package disk

import "upsycle/internal/machine"

// A Stat says what is in a store.
type Stat struct {
	Schema int
	Rows   int64
	Bytes  int64 // of keys and values
	Disk   int64 // of all files, with what is not yet cleared away
	Tables []Table
}

// A Table is all rows with one first byte.
type Table struct {
	First  byte
	Rows   int64
	Keys   int64 // bytes
	Values int64 // bytes
	// Oldest and Newest are Unix milliseconds; 0 where the table has no times.
	Oldest, Newest int64
}

// Stat reads every row and adds up. when returns a row's time in Unix milliseconds,
// or 0 where it has none; nil: no row has.
func (e *Engine) Stat(when func(machine.Row) int64) (Stat, error) {
	s := Stat{Schema: current.version}
	err := e.Each(nil, nil, func(row machine.Row) error {
		s.add(row, when)
		return nil
	})
	if err != nil {
		return Stat{}, err
	}
	s.Disk, err = filesSize(e.opts)
	return s, err
}

func (s *Stat) add(row machine.Row, when func(machine.Row) int64) {
	s.Rows++
	s.Bytes += int64(len(row.Key) + len(row.Value))
	if n := len(s.Tables); n == 0 || s.Tables[n-1].First != row.Key[0] {
		s.Tables = append(s.Tables, Table{First: row.Key[0]})
	}
	t := &s.Tables[len(s.Tables)-1]
	t.Rows++
	t.Keys += int64(len(row.Key))
	t.Values += int64(len(row.Value))
	if when == nil {
		return
	}
	if at := when(row); at != 0 {
		if t.Oldest == 0 || at < t.Oldest {
			t.Oldest = at
		}
		t.Newest = max(t.Newest, at)
	}
}

func filesSize(o Options) (int64, error) {
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return 0, classify(o.Dir, "list it", err)
	}
	var size int64
	for _, name := range names {
		// A file may go away in between.
		if info, err := o.FS.Stat(o.FS.PathJoin(o.Dir, name)); err == nil {
			size += info.Size()
		}
	}
	return size, nil
}
