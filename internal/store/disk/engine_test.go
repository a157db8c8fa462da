package disk

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"upsycle/internal/cbor"
	"upsycle/internal/machine"
	"upsycle/internal/store"
)

// What a reader of all rows may do meanwhile.
func TestEach(t *testing.T) {
	o, _ := memory(t)
	e := mustOpen(t, o)
	if _, err := fill(e, 0, 500, 400); err != nil {
		t.Fatal(err)
	}
	var keep []machine.Row
	err := e.Each(nil, nil, func(r machine.Row) error {
		keep = append(keep, r)
		r.Value[0] ^= 0 // it is ours
		if v, err := e.Get(r.Key); err != nil || !bytes.Equal(v, r.Value) {
			return fmt.Errorf("Get(%q): %.10q, %v", r.Key, v, err)
		}
		return e.Apply([]machine.Row{gone(string(r.Key)), row("k9"+string(r.Key), "new")})
	})
	if err != nil || len(keep) != 500 {
		t.Fatalf("%d rows, %v", len(keep), err)
	}
	for i, r := range keep {
		if w := numbered(i, 400); !bytes.Equal(r.Value, w.Value) || !bytes.Equal(r.Key, w.Key) {
			t.Fatalf("row %d changed after it was given: %q", i, r.Key)
		}
	}
	stop := errors.New("stop")
	n := 0
	if err := e.Each([]byte("k"), nil, func(machine.Row) error { n++; return stop }); err != stop || n != 1 {
		t.Errorf("an error of the reader: %v after %d rows", err, n)
	}
	closed := make(chan error)
	err = e.Each(nil, nil, func(r machine.Row) error {
		if r.Key[0] == 'k' && closed != nil {
			go func(c chan error) { c <- e.Close() }(closed)
			eventually(t, "closed", e.isClosed)
			_, err := e.Get(r.Key)
			if !errors.Is(err, store.ErrClosed) {
				t.Errorf("Get while it closes: %v", err)
			}
		}
		return nil
	})
	if !errors.Is(err, store.ErrClosed) {
		t.Errorf("Each while it closes: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// The writer above and the engine together: what a Store with a token was told is
// there after a power cut.
func TestWriter(t *testing.T) {
	o, mem := memory(t)
	e := mustOpen(t, o)
	const stores = 500
	told := make(chan machine.Event, stores)
	w := store.NewWriter(e, func(ev machine.Event) { told <- ev }, 0)
	for i := range stores {
		w.Store(machine.Store{Token: machine.Token(i + 1), Rows: []machine.Row{numbered(i, 400)}})
	}
	for i := range stores {
		if s := (<-told).(machine.Stored); s.Token != machine.Token(i+1) || s.Err != nil {
			t.Fatalf("answer %d: %v", i, s)
		}
	}
	cut := mem.CrashClone(vfs.CrashCloneCfg{})
	w.Close()
	mustClose(t, e)
	e = mustOpen(t, Options{Dir: o.Dir, FS: cut})
	checkFilled(t, "after the cut", e, stores, 400)
	mustClose(t, e)
}

func TestUsage(t *testing.T) {
	o, _ := memory(t)
	o.Limit = 10 << 20
	e := mustOpen(t, o)
	if u := e.Usage(); u.Rows != 0 || u.Limit != o.Limit {
		t.Errorf("empty: %+v", u)
	}
	if _, err := fill(e, 0, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	near := func(caption string, u store.Usage, rows int, bytes int64) {
		t.Helper()
		if u.Rows < rows*95/100 || u.Rows > rows*105/100 || u.Bytes < bytes*8/10 || u.Bytes > bytes*13/10 {
			t.Errorf("%s: %+v, want about %d rows, %d bytes", caption, u, rows, bytes)
		}
	}
	near("written", e.Usage(), 1000, 1_000_000)
	mustClose(t, e)
	if u := e.Usage(); u.Bytes != 0 {
		t.Errorf("closed: %+v", u)
	}
	e = mustOpen(t, o)
	near("opened again", e.Usage(), 1000, 1_000_000)
	var batch []machine.Row
	for i := range 500 {
		batch = append(batch, machine.Row{Key: numbered(i, 0).Key})
	}
	mustApply(t, e, batch...)
	if u := e.Usage(); u.Rows < 490 || u.Rows > 510 {
		t.Errorf("half deleted: %+v", u)
	}
	mustClose(t, e)
}

// Many rows that come and go in a full store: it never stops taking what fits.
func TestChurnAtTheLimit(t *testing.T) {
	o, _ := memory(t)
	o.Limit = 1 << 20
	e := mustOpen(t, o)
	oldest, fulls := 0, 0
	for i := 0; i < 5000; {
		err := e.Apply([]machine.Row{numbered(i, 4000)})
		switch {
		case err == nil:
			i++
		case !errors.Is(err, store.ErrFull):
			t.Fatal(err)
		case oldest < i-20:
			fulls++
			mustApply(t, e, machine.Row{Key: numbered(oldest, 0).Key})
			oldest++
		}
	}
	if fulls == 0 {
		t.Error("it was never full")
	}
	mustClose(t, e)
	if size, err := filesSize(e.opts); err != nil || size > 8<<20 {
		t.Errorf("%d bytes on the disk: %v", size, err)
	}
}

func TestStatAndDump(t *testing.T) {
	o := Options{Dir: t.TempDir() + "/store"}
	e := mustOpen(t, o)
	mustApply(t, e, row("c1", "30"), row("c2", "10"), row("m", ""), row("e", strings.Repeat("x", 300)), row("z", "0"),
		machine.Row{Key: bytes.Repeat([]byte("k"), 30), Value: make([]byte, 70_000)})
	when := func(r machine.Row) int64 {
		if r.Key[0] != 'c' {
			return 0
		}
		return int64(r.Value[0])
	}
	s, err := e.Stat(when)
	if err != nil || s.Schema != Schema || s.Rows != 6 || s.Bytes != 4+4+1+301+2+70_030 || s.Disk < 70_000 {
		t.Errorf("%+v, %v", s, err)
	}
	if c := s.Tables[0]; c != (Table{First: 'c', Rows: 2, Keys: 4, Values: 4, Oldest: '1', Newest: '3'}) {
		t.Errorf("table c: %+v", c)
	}
	if m := s.Tables[3]; len(s.Tables) != 5 || m != (Table{First: 'm', Rows: 1, Keys: 1}) {
		t.Errorf("table m: %+v", m)
	}
	if s, err := e.Stat(nil); err != nil || s.Tables[0].Oldest != 0 {
		t.Errorf("without times: %+v, %v", s.Tables[0], err)
	}
	rows, _, _ := e.Scan(nil, nil, 9)
	checkCBOR(t, e, rows)
	checkJSON(t, e, rows)
	if err := e.Dump(io.Discard, 9); err == nil {
		t.Error("an unknown format")
	}
	if err := e.Dump(failing{}, JSON); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a writer that fails: %v", err)
	}
	mustClose(t, e)
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func checkCBOR(t *testing.T, e *Engine, rows []machine.Row) {
	t.Helper()
	var out bytes.Buffer
	if err := e.Dump(&out, CBOR); err != nil {
		t.Fatal(err)
	}
	r := cbor.NewReader(out.Bytes())
	for _, w := range rows {
		n := r.Array(2, 2)
		key, value := r.Bytes(1, 1<<10), r.Bytes(0, 1<<20)
		if n != 2 || !bytes.Equal(key, w.Key) || !bytes.Equal(value, w.Value) {
			t.Errorf("CBOR %q: %q, %v", w.Key, key, r.Err())
		}
	}
	if err := r.End(); err != nil {
		t.Errorf("CBOR: %v", err)
	}
}

func checkJSON(t *testing.T, e *Engine, rows []machine.Row) {
	t.Helper()
	var out bytes.Buffer
	if err := e.Dump(&out, JSON); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines", len(lines))
	}
	for i, w := range rows {
		var got []string
		err := json.Unmarshal([]byte(lines[i]), &got)
		if err != nil || !slices.Equal(got, []string{hex.EncodeToString(w.Key), hex.EncodeToString(w.Value)}) {
			t.Errorf("JSON %q: %.60s, %v", w.Key, lines[i], err)
		}
	}
}

func TestCheck(t *testing.T) {
	files := killed(t)
	dir := lay(t, files)
	odd := errors.New("odd")
	form := func(r machine.Row) error {
		if strings.HasSuffix(string(r.Key), "7") {
			return odd
		}
		return nil
	}
	r, err := Check(Options{Dir: dir}, form)
	if err != nil || r.Rows != damageRows || r.Bytes != damageRows*(9+damageSize) || r.Files == 0 || r.Schema != Schema {
		t.Errorf("%+v, %v", r, err)
	}
	if r.Sound() || len(r.Damaged) != 0 || r.OddRows != damageRows/10 || r.Odd[0].Err != odd || string(r.Odd[0].Key) != "k00000007" {
		t.Errorf("odd rows: %d, %+v", r.OddRows, r.Odd)
	}
	same(t, "Check", files, readAll(t, dir))
	if r, err = Check(Options{Dir: dir}, nil); err != nil || !r.Sound() {
		t.Errorf("without forms: %+v, %v", r, err)
	}
	for _, c := range []struct{ caption, dir string }{
		{"no directory", dir + "x"}, {"an empty directory", t.TempDir()},
	} {
		_, err := Check(Options{Dir: c.dir}, nil)
		refused(t, c.caption, err, ErrMissing)
	}
	e := mustOpen(t, Options{Dir: dir})
	_, err = Check(Options{Dir: dir}, nil)
	refused(t, "in use", err, ErrInUse)
	mustClose(t, e)
}

// A report names so many rows and counts the others.
func TestReportIsBounded(t *testing.T) {
	dir := lay(t, killed(t))
	r, err := Check(Options{Dir: dir}, func(machine.Row) error { return io.EOF })
	if err != nil || len(r.Odd) != damageMax || r.OddRows != damageRows {
		t.Errorf("%d of %d odd rows are named, %v", len(r.Odd), r.OddRows, err)
	}
}

// Every damaged table is named, whichever row is read first.
func TestCheckNamesEachFile(t *testing.T) {
	files := killed(t)
	var damagedFiles []string
	for name, b := range files {
		if strings.HasSuffix(name, ".sst") {
			b[len(b)/2] ^= 1
			damagedFiles = append(damagedFiles, name)
		}
	}
	r, err := Check(Options{Dir: lay(t, files)}, nil)
	if err != nil || len(r.Damaged) == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, fault := range r.Damaged {
		path := fault.(*Error).Path
		if !slices.Contains(damagedFiles, filepath.Base(path)) {
			t.Errorf("%v", fault)
		}
	}
	if len(r.Damaged) != r.Files {
		t.Errorf("%d of %d files", len(r.Damaged), r.Files)
	}
}

// The directory of a store is for its owner alone.
func TestModes(t *testing.T) {
	dir := t.TempDir() + "/a/b/store"
	mustClose(t, mustOpen(t, Options{Dir: dir}))
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
