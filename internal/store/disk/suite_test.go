package disk

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"upsycle/internal/machine"
	"upsycle/internal/store"
)

// What every engine owes its users. Another engine joins by one line here.
var engines = []struct {
	name string
	open func(t testing.TB, limit int64) store.Engine
}{
	{"memory", func(_ testing.TB, limit int64) store.Engine { return store.NewMemory(limit) }},
	{"disk", func(t testing.TB, limit int64) store.Engine {
		o, _ := memory(t)
		o.Limit = limit
		return mustOpen(t, o)
	}},
	{"disk with a real directory", func(t testing.TB, limit int64) store.Engine {
		return mustOpen(t, Options{Dir: t.TempDir() + "/store", Limit: limit})
	}},
}

func TestSuite(t *testing.T) {
	for _, engine := range engines {
		for _, c := range []struct {
			caption string
			limit   int64
			test    func(t *testing.T, e store.Engine)
		}{
			{"order", 0, suiteOrder},
			{"scan", 0, suiteScan},
			{"range deletes", 0, suiteRanges},
			{"what is no row", 0, suiteRows},
			{"limit", 1 << 20, suiteLimit},
			{"readers", 0, suiteReaders},
			{"closed", 0, suiteClosed},
		} {
			t.Run(engine.name+"/"+c.caption, func(t *testing.T) { c.test(t, engine.open(t, c.limit)) })
		}
	}
}

func suiteOrder(t *testing.T, e store.Engine) {
	mustApply(t, e, row("a", "1"), row("b", ""), row("a", "2"), row("c", "3"), gone("c"), gone("never"))
	want(t, "the later of two rows counts, an empty value is one", all(t, e), "a=2", "b=")
	for _, c := range []struct {
		caption, key string
		want         []byte
	}{
		{"a value", "a", []byte("2")}, {"an empty value is not nil", "b", []byte{}},
		{"deleted", "c", nil}, {"never there", "never", nil}, {"no key at all", "", nil},
	} {
		v, err := e.Get([]byte(c.key))
		if err != nil || !bytes.Equal(v, c.want) || (v == nil) != (c.want == nil) {
			t.Errorf("%s: %q, %v", c.caption, v, err)
		}
	}
	mustApply(t, e)
	mustApply(t, e, row("big", string(make([]byte, 1<<20))))
	if v, err := e.Get([]byte("big")); len(v) != 1<<20 || err != nil {
		t.Errorf("the largest body: %d bytes, %v", len(v), err)
	}
}

func suiteScan(t *testing.T, e store.Engine) {
	mustApply(t, e, row("b", "2"), row("a", "1"), row("d", "4"), row("c", "3"), row("b\x00", "x"))
	for _, c := range []struct {
		caption  string
		from, to []byte
		limit    int
		want     []string
		more     bool
	}{
		{"everything", nil, nil, 9, []string{"a=1", "b=2", "b\x00=x", "c=3", "d=4"}, false},
		{"from 0 is from the beginning", []byte{0}, nil, 1, []string{"a=1"}, true},
		{"from is included, to is not", []byte("b"), []byte("c"), 9, []string{"b=2", "b\x00=x"}, false},
		{"between keys", []byte("aa"), []byte("cc"), 9, []string{"b=2", "b\x00=x", "c=3"}, false},
		{"a limit that cuts", nil, nil, 2, []string{"a=1", "b=2"}, true},
		{"a limit that just fits", []byte("c"), nil, 2, []string{"c=3", "d=4"}, false},
		{"nothing asked for", nil, nil, 0, nil, true},
		{"nothing there", []byte("x"), nil, 9, nil, false},
		{"to before from", []byte("d"), []byte("a"), 9, nil, false},
		{"to is the beginning", nil, []byte{}, 9, nil, false},
	} {
		rows, more, err := e.Scan(c.from, c.to, c.limit)
		if err != nil || more != c.more || !slices.Equal(text(rows), c.want) {
			t.Errorf("%s: %q, %v, %v", c.caption, text(rows), more, err)
		}
	}
}

func suiteRanges(t *testing.T, e store.Engine) {
	mustApply(t, e, row("a", "1"), row("b", "2"), row("b2", "3"), row("c", "4"))
	mustApply(t, e, cleared("b", "c"))
	want(t, "the end stays", all(t, e), "a=1", "c=4")
	mustApply(t, e, row("b", "5"), cleared("a", "c"), row("b2", "6"))
	want(t, "in one commit, what comes after it stays", all(t, e), "b2=6", "c=4")
	mustApply(t, e, cleared("c", "a"), cleared("c", "c"), cleared("x", "z"))
	want(t, "a range of nothing", all(t, e), "b2=6", "c=4")
	mustApply(t, e, cleared("\x01", "\xff"))
	want(t, "everything", all(t, e))
}

func suiteRows(t *testing.T, e store.Engine) {
	mustApply(t, e, row("a", "1"))
	for _, c := range []struct {
		caption string
		row     machine.Row
	}{
		{"an empty key", row("", "x")},
		{"a key of the store's own", row("\x00v", "x")},
		{"a range from the store's own", machine.Row{Key: []byte{0}, End: []byte("b")}},
		{"a range with a value", machine.Row{Key: []byte("a"), End: []byte("b"), Value: []byte("x")}},
	} {
		if err := e.Apply([]machine.Row{row("b", "2"), c.row}); !errors.Is(err, store.ErrRow) {
			t.Errorf("%s: %v", c.caption, err)
		}
	}
	want(t, "nothing was written", all(t, e), "a=1")
}

// Rows of 32 KiB until the engine is full: it says so, stays as it is, takes
// deletions, and then has room again.
func suiteLimit(t *testing.T, e store.Engine) {
	body := make([]byte, 32<<10)
	n, full := 0, new(store.FullError)
	for ; ; n++ {
		err := e.Apply([]machine.Row{{Key: fmt.Appendf(nil, "k%04d", n), Value: body}, gone("never")})
		if errors.As(err, &full) {
			break
		}
		if err != nil || n > 64 {
			t.Fatalf("row %d: %v", n, err)
		}
	}
	if n < 20 || full.Usage.Limit != 1<<20 || full.Asked < 32<<10 || !errors.Is(full, store.ErrFull) {
		t.Fatalf("full after %d rows: %+v", n, full)
	}
	if err := e.Apply([]machine.Row{row("a", "small"), {Key: []byte("z"), Value: body}}); !errors.Is(err, store.ErrFull) {
		t.Fatalf("another: %v", err)
	}
	if v, err := e.Get([]byte("a")); v != nil || err != nil {
		t.Errorf("a part of what did not fit: %q, %v", v, err)
	}
	mustApply(t, e, gone("k0000"), row("a", "a gap in place of a row"))
	mustApply(t, e, machine.Row{Key: []byte("k"), End: []byte("l")})
	want(t, "the rest", all(t, e), "a=a gap in place of a row")
	// Tables without the rows may have to be written first.
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); runtime.Gosched() {
		err := e.Apply([]machine.Row{{Key: []byte("k"), Value: body}})
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrFull) {
			t.Fatal(err)
		}
	}
	t.Error("no room after everything was deleted")
}

// Readers see each commit whole: two rows always have the same value.
func suiteReaders(t *testing.T, e store.Engine) {
	const commits = 200
	mustApply(t, e, row("x", "0"), row("y", "0"))
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				rows, _, err := e.Scan(nil, nil, 9)
				if err != nil || len(rows) != 2 || !bytes.Equal(rows[0].Value, rows[1].Value) {
					t.Errorf("%q, %v", text(rows), err)
					return
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range commits {
		v := fmt.Sprint(i)
		if err := e.Apply([]machine.Row{row("x", v), cleared("y", "z"), row("y", v)}); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	readers.Wait()
}

func suiteClosed(t *testing.T, e store.Engine) {
	mustApply(t, e, row("a", "1"))
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	_, get := e.Get([]byte("a"))
	_, _, scan := e.Scan(nil, nil, 1)
	for caption, err := range map[string]error{
		"Apply": e.Apply(nil), "Get": get, "Scan": scan, "Close": e.Close(),
	} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: %v", caption, err)
		}
	}
}

// Every engine against a model, with the disk engine closed and opened in between.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		o, _ := memory(t)
		e, err := open(o, small)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = e.Close() }()
		mem, model := store.NewMemory(0), map[string]string{}
		for range rapid.IntRange(1, 20).Draw(rt, "batches") {
			batch := rapid.SliceOfN(rapid.Custom(drawRow), 0, 6).Draw(rt, "rows")
			modelApply(model, batch)
			if err := errors.Join(e.Apply(batch), mem.Apply(batch)); err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 4).Draw(rt, "reopen") == 0 {
				if err := e.Close(); err != nil {
					rt.Fatal(err)
				}
				if e, err = open(o, small); err != nil {
					rt.Fatal(err)
				}
			}
			got, _, err := e.Scan(nil, nil, 1000)
			twin, _, _ := mem.Scan(nil, nil, 1000)
			if want := modelText(model); err != nil || !slices.Equal(text(got), want) || !slices.Equal(text(twin), want) {
				rt.Fatalf("disk %q, memory %q, model %q, %v", text(got), text(twin), want, err)
			}
		}
	})
}

func drawRow(t *rapid.T) machine.Row {
	r := row(rapid.StringMatching(`[abc]{1,2}`).Draw(t, "key"), rapid.StringMatching(`x{0,9}`).Draw(t, "value"))
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		r.Value = nil
	case 1:
		r.Value, r.End = nil, []byte(rapid.StringMatching(`[abc]{1,2}`).Draw(t, "end"))
	}
	return r
}

func modelApply(model map[string]string, batch []machine.Row) {
	for _, r := range batch {
		switch {
		case r.End != nil:
			for k := range model {
				if k >= string(r.Key) && k < string(r.End) {
					delete(model, k)
				}
			}
		case r.Value == nil:
			delete(model, string(r.Key))
		default:
			model[string(r.Key)] = string(r.Value)
		}
	}
}

func modelText(model map[string]string) []string {
	var s []string
	for k, v := range model {
		s = append(s, k+"="+v)
	}
	// "=" sorts above no letter of a key, but keys are prefixes of each other.
	slices.SortFunc(s, func(a, b string) int {
		ka, _, _ := bytes.Cut([]byte(a), []byte("="))
		kb, _, _ := bytes.Cut([]byte(b), []byte("="))
		return bytes.Compare(ka, kb)
	})
	return s
}
