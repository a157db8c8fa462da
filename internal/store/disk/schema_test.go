package disk

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"upsycle/internal/machine"
)

// upper is a version 2 of our tables in which keys are upper case.
func upper(db *pebble.DB, b *pebble.Batch) error {
	iter, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{1}})
	if err != nil {
		return err
	}
	for ok := iter.First(); ok; ok = iter.Next() {
		key := strings.ToUpper(string(iter.Key()))
		err = errors.Join(err, b.Set([]byte(key), iter.Value(), nil), b.Delete(iter.Key(), nil))
	}
	return errors.Join(err, iter.Error(), iter.Close())
}

func TestUpgrade(t *testing.T) {
	dir := t.TempDir() + "/store"
	e := mustOpen(t, Options{Dir: dir})
	mustApply(t, e, row("a", "1"), row("b", "2"))
	mustClose(t, e)
	before := readAll(t, dir)

	// A step that fails leaves the rows as they are; an older program refuses the
	// store all the same.
	broken := plan{version: 2, steps: map[int]step{1: func(db *pebble.DB, b *pebble.Batch) error {
		return errors.Join(upper(db, b), errors.New("planted"))
	}}}
	if _, err := open(Options{Dir: dir}, tuning{plan: broken}); err == nil || !strings.Contains(err.Error(), "planted") {
		t.Fatalf("a broken step: %v", err)
	}
	_, err := Open(Options{Dir: dir})
	refused(t, "half an upgrade", err, ErrNewer)

	next := tuning{plan: plan{version: 3, steps: map[int]step{1: upper, 2: func(_ *pebble.DB, b *pebble.Batch) error {
		return b.Set([]byte("C"), []byte("3"), nil)
	}}}}
	_, err = open(Options{Dir: dir, ReadOnly: true}, next)
	refused(t, "an old store cannot be upgraded while it is only read", err, ErrReadOnly)
	for range 2 { // the second time there is nothing to do
		if e, err = open(Options{Dir: dir}, next); err != nil {
			t.Fatal(err)
		}
		want(t, "two steps", all(t, e), "A=1", "B=2", "C=3")
		mustClose(t, e)
	}
	dir = lay(t, before)
	if _, err := open(Options{Dir: dir}, tuning{plan: plan{version: 2}}); err == nil || !strings.Contains(err.Error(), "no way from schema 1") {
		t.Errorf("no step: %v", err)
	}
}

func TestNewerIsNotTouched(t *testing.T) {
	files := killed(t)
	for _, c := range []struct {
		caption string
		files   map[string][]byte
		tune    func(dir string)
	}{
		{"by its file", withFile(files, versionName, []byte("upsycle store 2\n")), nil},
		{"by its row", files, func(dir string) {
			e, err := open(Options{Dir: dir}, tuning{plan: plan{version: 2, steps: map[int]step{1: upper}}})
			if err != nil {
				t.Fatal(err)
			}
			mustClose(t, e)
			if err := writeVersion(vfs.Default, dir, 1); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		dir := lay(t, c.files)
		if c.tune != nil {
			c.tune(dir)
		}
		before := readAll(t, dir)
		for _, readOnly := range []bool{false, true} {
			_, err := Open(Options{Dir: dir, ReadOnly: readOnly})
			refused(t, c.caption, err, ErrNewer)
			same(t, c.caption, before, readAll(t, dir))
		}
		_, err := Check(Options{Dir: dir}, nil)
		refused(t, c.caption+", Check", err, ErrNewer)
	}
}

// A newer pebble's format is told from damage.
func TestNewerFormat(t *testing.T) {
	files := killed(t)
	for name := range files {
		if strings.HasPrefix(name, "marker.format-version.") {
			delete(files, name)
		}
	}
	files["marker.format-version.000099.099"] = nil
	dir := lay(t, files)
	_, err := Open(Options{Dir: dir})
	refused(t, "format 99", err, ErrNewer)
	same(t, "format 99", files, readAll(t, dir))
}

func TestVersionFile(t *testing.T) {
	files := killed(t)
	for _, c := range []struct {
		caption, text string
		kind          error
	}{
		{"no number", "upsycle store x\n", ErrCorrupt},
		{"not ours", "something else 1\n", ErrCorrupt},
		{"zero", "upsycle store 0\n", ErrCorrupt},
		{"empty", "", ErrCorrupt},
	} {
		_, err := Open(Options{Dir: lay(t, withFile(files, versionName, []byte(c.text)))})
		refused(t, c.caption, err, c.kind)
	}
	// It is made again from the row.
	delete(files, versionName)
	dir := lay(t, files)
	if err := readStore(t, "without the file", dir); err != nil {
		t.Fatal(err)
	}
	if v, err := readVersion(vfs.Default, dir); v != Schema || err != nil {
		t.Errorf("version %d, %v", v, err)
	}
}

// A directory with rows of another program is not taken for an empty one.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	db, err := pebble.Open(dir, &pebble.Options{Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Set([]byte("x"), []byte("y"), pebble.Sync), db.Close()); err != nil {
		t.Fatal(err)
	}
	before := readAll(t, dir)
	_, err = Open(Options{Dir: dir})
	refused(t, "another program's", err, ErrCorrupt)
	same(t, "another program's", before, readAll(t, dir))
}

type silent struct{}

func (silent) Infof(string, ...any)              {}
func (silent) Errorf(string, ...any)             {}
func (silent) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// A mark says what is missing, or nothing; it never says too much.
func TestMark(t *testing.T) {
	o, mem := memory(t)
	e := mustOpen(t, o)
	for i := range 5 {
		mustApply(t, e, row("a", fmt.Sprint(i)))
	}
	if n := readMark(mem, o.Dir); n != 5 {
		t.Errorf("after 5 commits: %d", n)
	}
	if err := e.Apply([]machine.Row{row("", "")}); err == nil {
		t.Error("no row was taken")
	}
	mustApply(t, e)
	if n := readMark(mem, o.Dir); n != 5 {
		t.Errorf("after commits of nothing: %d", n)
	}
	mustClose(t, e)
	m, err := openMark(mem, o.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.set(6), m.close()); err != nil {
		t.Fatal(err)
	}
	_, err = open(o, small)
	fault := refused(t, "a sixth commit is missing", err, ErrCorrupt)
	if !strings.Contains(fault.Error(), "number 5, but 6 were") {
		t.Errorf("%v", fault)
	}
	f, err := mem.OpenReadWrite(mem.PathJoin(o.Dir, markName), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("9"), 0); err != nil {
		t.Fatal(err)
	}
	if n := readMark(mem, o.Dir); n != 0 {
		t.Errorf("a mark with a wrong sum says %d", n)
	}
	mustClose(t, mustOpen(t, o))
}
