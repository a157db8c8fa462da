package disk

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"upsycle/internal/machine"
)

// torture makes the tests of this package look at everything, for minutes.
var torture = flag.Bool("torture", false, "the long form of the store's tests")

const (
	damageRows = 600
	damageSize = 400
)

// killed makes a store of damageRows rows in tables and log, as a killed process
// leaves it, and returns its files.
func killed(t testing.TB) map[string][]byte {
	t.Helper()
	dir := t.TempDir() + "/store"
	e := mustOpen(t, Options{Dir: dir})
	if _, err := fill(e, 0, damageRows-200, damageSize); err != nil {
		t.Fatal(err)
	}
	if err := e.db.Flush(); err != nil {
		t.Fatal(err)
	}
	// These stay in the log, and take more than one of its blocks.
	if _, err := fill(e, damageRows-200, 200, damageSize); err != nil {
		t.Fatal(err)
	}
	files := readAll(t, dir)
	mustClose(t, e)
	return files
}

func readAll(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = b
	}
	return files
}

// lay writes files into a new directory.
func lay(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir() + "/store"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kindOf tells what pebble keeps in a file.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".log"):
		return name[len(name)-3:]
	case strings.HasPrefix(name, "MANIFEST"), strings.HasPrefix(name, "OPTIONS"), strings.HasPrefix(name, "marker"):
		kind, _, _ := strings.Cut(name, "-")
		return kind
	}
	return name
}

// readStore opens a store and reads everything. It returns what went wrong, and
// fails the test if a row is wrong or missing although nothing did.
func readStore(t *testing.T, caption, dir string) error {
	t.Helper()
	e, err := open(Options{Dir: dir}, small)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // frozen, perhaps
	next := 0
	err = e.Each([]byte("k"), []byte("l"), func(r machine.Row) error {
		w := numbered(next, damageSize)
		if string(r.Key) != string(w.Key) || string(r.Value) != string(w.Value) {
			t.Errorf("%s: row %d was served as %.20q, %.20q", caption, next, r.Key, r.Value)
		}
		next++
		return nil
	})
	if err == nil && next != damageRows {
		t.Errorf("%s: %d of %d rows, and no error", caption, next, damageRows)
	}
	return err
}

// Any byte of any file may be wrong: the damage is found, and told with the file and
// a hint, or it does not matter; no row is served wrong or is missing in silence. A
// store that does not open stays as it is.
func TestFlippedByte(t *testing.T) {
	files := killed(t)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	rng := rand.New(rand.NewPCG(1, 2))
	tries := 8
	if *torture {
		tries = 400
	}
	found, all := map[string]int{}, map[string]int{}
	for _, name := range names {
		for range min(tries, len(files[name])) {
			at := rng.IntN(len(files[name]))
			if flipped(t, files, name, at, byte(1+rng.IntN(255))) {
				found[kindOf(name)]++
			}
			all[kindOf(name)]++
		}
	}
	for kind, n := range all {
		t.Logf("%-10s %d of %d flips were found, the others did not matter", kind, found[kind], n)
	}
	for _, kind := range []string{"sst", "log", "MANIFEST"} {
		if found[kind] == 0 {
			t.Errorf("no flip in a %s was found", kind)
		}
	}
}

func flipped(t *testing.T, files map[string][]byte, name string, at int, mask byte) bool {
	t.Helper()
	caption := fmt.Sprintf("%s, byte %d of %d, xor %02x", name, at, len(files[name]), mask)
	dir := lay(t, files)
	wrong := slices.Clone(files[name])
	wrong[at] ^= mask
	if err := os.WriteFile(filepath.Join(dir, name), wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := Check(Options{Dir: dir}, nil)
	sound := err == nil && report.Sound()
	before := readAll(t, dir)
	opens := false
	if e, err := open(Options{Dir: dir}, small); err == nil {
		opens = true
		_ = e.Close() // frozen, perhaps
	} else {
		same(t, caption, before, readAll(t, dir))
	}
	err = readStore(t, caption, dir)
	if err == nil {
		if !sound {
			t.Errorf("%s: Check found %v, reading did not", caption, report.Damaged)
		}
		return false
	}
	var fault *Error
	if !errors.As(err, &fault) || fault.Hint() == "" {
		t.Errorf("%s: %v has no hint", caption, err)
	}
	if sound {
		t.Errorf("%s: reading found %v, Check did not", caption, err)
	}
	if opens && kindOf(name) != "sst" {
		t.Errorf("%s: it was opened, and then reading found %v", caption, err)
	}
	if t.Failed() {
		t.FailNow()
	}
	return true
}

// same wants the same files with the same bytes. The lock may be new.
func same(t *testing.T, caption string, before, after map[string][]byte) {
	t.Helper()
	for name, b := range before {
		if got, ok := after[name]; !ok || !slices.Equal(got, b) {
			t.Errorf("%s: %s was changed or deleted", caption, name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok && name != lockName {
			t.Errorf("%s: %s was left behind", caption, name)
		}
	}
}

// Between a killed process and the next start its log loses its end. What was not
// acknowledged may go; what was acknowledged may not, and if it has to, somebody
// must say so.
func TestTruncatedLog(t *testing.T) {
	files := killed(t)
	last := lastLog(files)
	full := files[last]
	end := bytes.LastIndex(full, []byte("k00000599")) // behind it are only a value and an old log
	for _, c := range []struct {
		caption string
		log     []byte
		lost    bool
	}{
		{"whole", full, false},
		{"with garbage behind the end", append(slices.Clone(full), "garbage of a torn write"...), false},
		{"cut in the last row", full[:end], true},
		{"cut in the middle", full[:end/2], true},
		{"empty", nil, true},
	} {
		dir := lay(t, files)
		if err := os.WriteFile(filepath.Join(dir, last), c.log, 0o600); err != nil {
			t.Fatal(err)
		}
		err := readStore(t, c.caption, dir)
		if !c.lost {
			if err != nil {
				t.Errorf("%s: %v", c.caption, err)
			}
			continue
		}
		refused(t, c.caption, err, ErrCorrupt)
		same(t, c.caption, readAll(t, lay(t, withFile(files, last, c.log))), readAll(t, dir))
		accepted(t, c.caption, dir)
	}
}

// accepted opens a store that has lost its end and goes on with what is there.
func accepted(t *testing.T, caption, dir string) {
	t.Helper()
	e, err := open(Options{Dir: dir, AcceptLoss: true}, small)
	if err != nil {
		t.Fatalf("%s: accepted: %v", caption, err)
	}
	checkFilled(t, caption, e, damageRows-200, damageSize)
	mustApply(t, e, row("a", "1"))
	mustClose(t, e)
	e = mustOpen(t, Options{Dir: dir}) // the loss is accepted for good
	if v, err := e.Get([]byte("a")); string(v) != "1" || err != nil {
		t.Errorf("%s: %q, %v", caption, v, err)
	}
	mustClose(t, e)
}

func withFile(files map[string][]byte, name string, b []byte) map[string][]byte {
	other := map[string][]byte{}
	for n, old := range files {
		other[n] = old
	}
	other[name] = b
	return other
}

// lastLog is the log that is written when the process is killed.
func lastLog(files map[string][]byte) (last string) {
	for name := range files {
		if strings.HasSuffix(name, ".log") && name > last {
			last = name
		}
	}
	return last
}

// A file is missing: the store says so and leaves the others alone.
func TestMissingFile(t *testing.T) {
	files := killed(t)
	for name := range files {
		without := withFile(files, name, nil)
		delete(without, name)
		dir := lay(t, without)
		err := readStore(t, name+" is missing", dir)
		if err == nil {
			t.Logf("%s does not matter", name)
			continue
		}
		refused(t, name+" is missing", err, ErrCorrupt)
		same(t, name+" is missing", without, readAll(t, dir))
	}
}

// Damage that is found while rows are read freezes the store: nobody knows what else
// is lost.
func TestDamageFreezes(t *testing.T) {
	// One table, so that no compaction comes across it first.
	dir := t.TempDir() + "/store"
	e, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fill(e, 0, damageRows, damageSize); err != nil {
		t.Fatal(err)
	}
	mustClose(t, e)
	var table string
	for name, b := range readAll(t, dir) {
		if !strings.HasSuffix(name, ".sst") || len(b) < damageRows*damageSize {
			continue
		}
		table = name
		for i := range 64 {
			b[100_000+i] ^= 0xff
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told := make(chan error, 1)
	e, err = Open(Options{Dir: dir, Failed: func(err error) { told <- err }})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = e.Scan(nil, nil, 1<<20)
	fault := refused(t, "reading", err, ErrCorrupt)
	if filepath.Base(fault.Path) != table {
		t.Errorf("%v does not name %s", fault, table)
	}
	refused(t, "writing", e.Apply([]machine.Row{row("a", "1")}), ErrCorrupt)
	refused(t, "what was told", <-told, ErrCorrupt)
	if v, err := e.Get([]byte("k00000599")); len(v) != damageSize || err != nil {
		t.Errorf("a row elsewhere: %d bytes, %v", len(v), err)
	}
	mustClose(t, e)
	report, err := Check(Options{Dir: dir}, nil)
	if err != nil || len(report.Damaged) != 1 || !strings.Contains(report.Damaged[0].Error(), table) {
		t.Errorf("Check: %v, %v", report.Damaged, err)
	}
}

// stuckFlush is a file system on which nothing is flushed from memory.
type stuckFlush struct {
	vfs.FS
	release chan struct{}
}

func (f stuckFlush) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == flushCategory {
		<-f.release
	}
	return f.FS.Create(name, c)
}

// Of several logs one is missing, wherever it is: the commits before and behind it
// are there, and still somebody says so, without any help from the mark.
func TestMissingLog(t *testing.T) {
	o, mem := memory(t)
	fs := stuckFlush{mem, make(chan struct{})}
	release := sync.OnceFunc(func() { close(fs.release) })
	o.FS = fs
	e := mustOpen(t, o)
	t.Cleanup(release) // before it is closed
	n := 0
	for logs := 0; logs < 3; n += 10 {
		if _, err := fill(e, n, 10, damageSize); err != nil {
			t.Fatal(err)
		}
		names, _ := mem.List(o.Dir)
		logs = len(slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, ".log") }))
	}
	whole := func() *vfs.MemFS { // after a kill, not a power cut
		return mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(0, 0))})
	}
	names, _ := mem.List(o.Dir)
	last := ""
	for _, name := range names {
		if strings.HasSuffix(name, ".log") {
			last = max(last, name)
		}
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		cut := whole()
		if err := cut.Remove(cut.PathJoin(o.Dir, name)); err != nil {
			t.Fatal(err)
		}
		_, err := open(Options{Dir: o.Dir, FS: cut}, small)
		refused(t, name, err, ErrCorrupt)
		if name != last {
			if err := cut.Remove(cut.PathJoin(o.Dir, markName)); err != nil {
				t.Fatal(err)
			}
			_, err = open(Options{Dir: o.Dir, FS: cut}, small)
			refused(t, name+", without the mark", err, ErrCorrupt)
		}
	}
	cut := whole()
	release()
	mustClose(t, e)
	e = mustOpen(t, Options{Dir: o.Dir, FS: cut})
	checkFilled(t, "with all logs", e, n, damageSize)
	mustClose(t, e)
}
