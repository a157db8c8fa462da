package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"upsycle/internal/machine"
)

// TestMain is also the child of TestKill.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	// What pebble starts once per process.
	goleak.VerifyTestMain(m)
}

func row(key, value string) machine.Row { return machine.Row{Key: []byte(key), Value: []byte(value)} }

func gone(key string) machine.Row { return machine.Row{Key: []byte(key)} }

func cleared(from, to string) machine.Row {
	return machine.Row{Key: []byte(from), End: []byte(to)}
}

// text returns rows as "key=value" strings.
func text(rows []machine.Row) []string {
	var s []string
	for _, r := range rows {
		s = append(s, string(r.Key)+"="+string(r.Value))
	}
	return s
}

// small is a store that writes tables after few rows.
var small = tuning{plan: current, memtable: 64 << 10, reserve: 1}

// mustOpen opens a store with tables of little size and closes it with the test.
func mustOpen(t testing.TB, o Options) *Engine {
	t.Helper()
	e, err := open(o, small)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() }) // most tests have closed it
	return e
}

func memory(t testing.TB) (Options, *vfs.MemFS) {
	t.Helper()
	fs := vfs.NewCrashableMem()
	return Options{Dir: "/data/store", FS: fs}, fs
}

func mustApply(t testing.TB, e interface {
	Apply([]machine.Row) error
}, rows ...machine.Row) {
	t.Helper()
	if err := e.Apply(rows); err != nil {
		t.Fatalf("Apply: %v", err)
	}
}

func mustClose(t testing.TB, e *Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// all returns every row.
func all(t testing.TB, e interface {
	Scan(from, to []byte, limit int) ([]machine.Row, bool, error)
}) []string {
	t.Helper()
	rows, _, err := e.Scan(nil, nil, 1<<30)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return text(rows)
}

func want(t testing.TB, caption string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", caption, got, want)
	}
}

// refused wants an *Error of a kind with a sentence and a hint.
func refused(t testing.TB, caption string, err, kind error) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, kind) || e.Hint() == "" || e.Path == "" {
		t.Fatalf("%s: %v (%T), want %v with a hint", caption, err, err, kind)
	}
	if bytes.ContainsRune([]byte(err.Error()), '\n') {
		t.Errorf("%s: more than a line: %q", caption, err)
	}
	return e
}

// fill writes n rows with values of size bytes, ten in each commit, and returns
// how many were acknowledged before an error.
func fill(e *Engine, from, n, size int) (int, error) {
	for i := from; i < from+n; i += 10 {
		var rows []machine.Row
		for j := i; j < i+10; j++ {
			rows = append(rows, numbered(j, size))
		}
		if err := e.Apply(rows); err != nil {
			return i, err
		}
	}
	return from + n, nil
}

// numbered is a row whose value tells whether it is the right one.
func numbered(n, size int) machine.Row {
	key := fmt.Sprintf("k%08d", n)
	value := bytes.Repeat([]byte{byte(n), byte(n >> 8), byte(n >> 16), 'x'}, size/4+1)
	return machine.Row{Key: []byte(key), Value: value[:size]}
}

// check wants the rows 0 to n and no row that is wrong; more may be there.
func checkFilled(t testing.TB, caption string, e *Engine, n, size int) {
	t.Helper()
	next := 0
	err := e.Each([]byte("k"), []byte("l"), func(r machine.Row) error {
		w := numbered(next, size)
		if !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) {
			return fmt.Errorf("row %d is %q, %.20q", next, r.Key, r.Value)
		}
		next++
		return nil
	})
	if err != nil || next < n {
		t.Fatalf("%s: %d rows, %d were acknowledged: %v", caption, next, n, err)
	}
}
