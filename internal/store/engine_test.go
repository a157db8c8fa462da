package store

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"upsycle/internal/machine"
)

func row(key, value string) machine.Row { return machine.Row{Key: []byte(key), Value: []byte(value)} }

func gone(key string) machine.Row { return machine.Row{Key: []byte(key)} }

func cleared(from, to string) machine.Row { return machine.Row{Key: []byte(from), End: []byte(to)} }

func mustApply(t *testing.T, e Engine, rows ...machine.Row) {
	t.Helper()
	if err := e.Apply(rows); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

// text returns rows as "key=value" strings.
func text(rows []machine.Row) []string {
	var s []string
	for _, r := range rows {
		s = append(s, string(r.Key)+"="+string(r.Value))
	}
	return s
}

func TestApplyAndGet(t *testing.T) {
	m := NewMemory(0)
	mustApply(t, m, row("a", "1"), row("b", ""), row("a", "2"), row("c", "3"), gone("c"), gone("never"))
	for _, c := range []struct{ caption, key, want string }{
		{"the later of two rows counts", "a", "2"},
		{"an empty value is a value", "b", ""},
	} {
		if v, err := m.Get([]byte(c.key)); err != nil || v == nil || string(v) != c.want {
			t.Errorf("%s: Get(%s) = %q, %v", c.caption, c.key, v, err)
		}
	}
	for _, key := range []string{"c", "never", ""} {
		if v, err := m.Get([]byte(key)); v != nil || err != nil {
			t.Errorf("Get(%q) = %q, %v, want nothing", key, v, err)
		}
	}
}

func TestScan(t *testing.T) {
	m := NewMemory(0)
	mustApply(t, m, row("b", "2"), row("a", "1"), row("d", "4"), row("c", "3"), row("b\x00", "x"))
	for _, c := range []struct {
		caption  string
		from, to []byte
		limit    int
		want     []string
		more     bool
	}{
		{"everything", nil, nil, 9, []string{"a=1", "b=2", "b\x00=x", "c=3", "d=4"}, false},
		{"from is included, to is not", []byte("b"), []byte("c"), 9, []string{"b=2", "b\x00=x"}, false},
		{"between keys", []byte("aa"), []byte("cc"), 9, []string{"b=2", "b\x00=x", "c=3"}, false},
		{"a limit that cuts", nil, nil, 2, []string{"a=1", "b=2"}, true},
		{"a limit that just fits", []byte("c"), nil, 2, []string{"c=3", "d=4"}, false},
		{"nothing asked for", nil, nil, 0, nil, true},
		{"nothing there", []byte("x"), nil, 9, nil, false},
		{"to before from", []byte("d"), []byte("a"), 9, nil, false},
	} {
		rows, more, err := m.Scan(c.from, c.to, c.limit)
		if err != nil || more != c.more || !slices.Equal(text(rows), c.want) {
			t.Errorf("%s: %q, %v, %v", c.caption, text(rows), more, err)
		}
	}
}

func TestRanges(t *testing.T) {
	m := NewMemory(0)
	mustApply(t, m, row("a", "1"), row("b", "2"), row("b2", "3"), row("c", "4"))
	for _, c := range []struct {
		caption string
		rows    []machine.Row
		want    []string
	}{
		{"the end stays", []machine.Row{cleared("b", "c")}, []string{"a=1", "c=4"}},
		{"what comes after it stays", []machine.Row{row("b", "5"), cleared("a", "c"), row("a", "6")}, []string{"a=6", "c=4"}},
		{"nothing in it", []machine.Row{cleared("x", "z"), cleared("c", "a"), cleared("a", "a")}, []string{"a=6", "c=4"}},
		{"everything", []machine.Row{cleared("a", "z")}, nil},
	} {
		mustApply(t, m, c.rows...)
		if rows, _, _ := m.Scan(nil, nil, 9); !slices.Equal(text(rows), c.want) {
			t.Errorf("%s: %q", c.caption, text(rows))
		}
	}
	if u := m.Usage(); u.Rows != 0 || u.Bytes != 0 {
		t.Errorf("usage %+v", u)
	}
}

// A range never fails for want of room, and comes back with what it stood beside.
func TestRangesInAFullEngine(t *testing.T) {
	m := NewMemory(2 * (RowOverhead + 2))
	mustApply(t, m, row("a", "1"), row("b", "2"))
	if err := m.Apply([]machine.Row{cleared("a", "z"), row("c", "3"), row("d", "4"), row("e", "5")}); !errors.Is(err, ErrFull) {
		t.Fatalf("three rows for two: %v", err)
	}
	if rows, _, _ := m.Scan(nil, nil, 9); !slices.Equal(text(rows), []string{"a=1", "b=2"}) {
		t.Errorf("not rolled back: %q", text(rows))
	}
	m.limit = 1
	mustApply(t, m, cleared("a", "b"))
}

func TestNoRow(t *testing.T) {
	m := NewMemory(0)
	for _, c := range []struct {
		caption string
		row     machine.Row
	}{
		{"an empty key", row("", "x")},
		{"a key of the engine's own", row("\x00", "x")},
		{"a range with a value", machine.Row{Key: []byte("a"), End: []byte("b"), Value: []byte{}}},
	} {
		if err := m.Apply([]machine.Row{row("a", "1"), c.row}); !errors.Is(err, ErrRow) {
			t.Errorf("%s: %v", c.caption, err)
		}
	}
	if u := m.Usage(); u.Rows != 0 {
		t.Errorf("something was written: %+v", u)
	}
}

func TestScanSeesWhatCameSince(t *testing.T) {
	m := NewMemory(0)
	mustApply(t, m, row("a", "1"))
	before, _, _ := m.Scan(nil, nil, 9)
	mustApply(t, m, row("a", "2"), row("b", "3"))
	after, _, _ := m.Scan(nil, nil, 9)
	if !slices.Equal(text(after), []string{"a=2", "b=3"}) {
		t.Errorf("after: %q", text(after))
	}
	if !slices.Equal(text(before), []string{"a=1"}) {
		t.Errorf("an old answer changed: %q", text(before))
	}
}

func TestKeepsWhatItIsGiven(t *testing.T) {
	m := NewMemory(0)
	value := []byte("body")
	mustApply(t, m, machine.Row{Key: []byte("a"), Value: value})
	if got, _ := m.Get([]byte("a")); &got[0] != &value[0] {
		t.Error("the value was copied")
	}
}

func TestFull(t *testing.T) {
	const room = 3 * (RowOverhead + 2)
	m := NewMemory(room)
	mustApply(t, m, row("a", "1"), row("b", "2"), row("c", "3"))
	if u := m.Usage(); u != (Usage{Rows: 3, Bytes: room, Limit: room}) {
		t.Fatalf("usage %+v", u)
	}
	err := m.Apply([]machine.Row{row("a", "9"), gone("b"), row("d", "4"), row("e", "5")})
	var full *FullError
	if !errors.Is(err, ErrFull) || !errors.As(err, &full) {
		t.Fatalf("got %v, want ErrFull", err)
	}
	if full.Asked != RowOverhead+2 || full.Usage.Bytes != room || full.Usage.Rows != 3 {
		t.Errorf("figures %+v", full)
	}
	rows, _, _ := m.Scan(nil, nil, 9)
	if !slices.Equal(text(rows), []string{"a=1", "b=2", "c=3"}) {
		t.Errorf("a refused batch left a trace: %q", text(rows))
	}
	mustApply(t, m, gone("a"), row("d", "4")) // no growth: fits
	mustApply(t, m, gone("d"))
	if err := m.Apply([]machine.Row{row("e", "12")}); !errors.Is(err, ErrFull) {
		t.Errorf("one byte too many: %v", err)
	}
	mustApply(t, m, row("e", "1"))
}

// A store that is over its limit, because the limit was lowered, still takes
// what makes it smaller.
func TestShrinkingAlwaysFits(t *testing.T) {
	m := NewMemory(0)
	mustApply(t, m, row("a", "111111"), row("b", "2"))
	m.limit = 10
	mustApply(t, m, row("a", "1"))
	mustApply(t, m, gone("b"))
}

func TestClosed(t *testing.T) {
	m := NewMemory(0)
	mustApply(t, m, row("a", "1"))
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	_, get := m.Get([]byte("a"))
	_, _, scan := m.Scan(nil, nil, 1)
	for caption, err := range map[string]error{
		"Apply": m.Apply(nil), "Get": get, "Scan": scan, "Close": m.Close(),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", caption, err)
		}
	}
}

// The engine against a model: a plain map that is copied for each batch.
func TestMemoryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, 8*RowOverhead).Draw(t, "limit")
		m, model := NewMemory(limit), map[string]string{}
		for range rapid.IntRange(1, 30).Draw(t, "batches") {
			batch := rapid.SliceOfN(rapid.Custom(drawRow), 0, 6).Draw(t, "rows")
			next, ok := modelApply(model, batch, limit)
			if err := m.Apply(batch); (err == nil) != ok {
				t.Fatalf("Apply: %v, the model says %v", err, ok)
			}
			model = next
			checkModel(t, m, model)
		}
	})
}

func drawRow(t *rapid.T) machine.Row {
	r := row(rapid.StringMatching(`[abc]{1,2}`).Draw(t, "key"), rapid.StringMatching(`x{0,90}`).Draw(t, "value"))
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		r.Value = nil
	case 1:
		r.Value, r.End = nil, []byte(rapid.StringMatching(`[abc]{1,2}`).Draw(t, "end"))
	}
	return r
}

func modelApply(model map[string]string, batch []machine.Row, limit int64) (map[string]string, bool) {
	next := map[string]string{}
	for k, v := range model {
		next[k] = v
	}
	for _, r := range batch {
		switch {
		case r.End != nil:
			maps.DeleteFunc(next, func(k, _ string) bool { return k >= string(r.Key) && k < string(r.End) })
		case r.Value == nil:
			delete(next, string(r.Key))
		default:
			next[string(r.Key)] = string(r.Value)
		}
	}
	if was, is := modelBytes(model), modelBytes(next); limit > 0 && is > limit && is > was {
		return model, false
	}
	return next, true
}

func modelBytes(model map[string]string) (n int64) {
	for k, v := range model {
		n += int64(len(k) + len(v) + RowOverhead)
	}
	return n
}

func checkModel(t *rapid.T, m *Memory, model map[string]string) {
	rows, more, err := m.Scan(nil, nil, 1000)
	if more || err != nil || len(rows) != len(model) {
		t.Fatalf("Scan: %d rows, the model has %d; %v %v", len(rows), len(model), more, err)
	}
	if !slices.IsSortedFunc(rows, func(a, b machine.Row) int { return bytes.Compare(a.Key, b.Key) }) {
		t.Fatalf("not in order: %q", text(rows))
	}
	for _, r := range rows {
		if v, had := model[string(r.Key)]; !had || v != string(r.Value) {
			t.Fatalf("%q is %q, the model has %q, %v", r.Key, r.Value, v, had)
		}
	}
	if u := m.Usage(); u.Bytes != modelBytes(model) || u.Rows != len(model) {
		t.Fatalf("usage %+v, the model has %d bytes", u, modelBytes(model))
	}
}

func BenchmarkMemoryApply(b *testing.B) {
	m := NewMemory(0)
	rows := make([]machine.Row, 16)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for j := range rows {
			rows[j] = machine.Row{Key: []byte{'k', byte(i >> 8), byte(i), byte(j)}, Value: []byte{1}}
		}
		if err := m.Apply(rows); err != nil {
			b.Fatal(err)
		}
	}
}
