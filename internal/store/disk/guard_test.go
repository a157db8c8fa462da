package disk

import (
	"errors"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"upsycle/internal/store"
)

func write(t *testing.T, fs vfs.FS, name, text string) {
	t.Helper()
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	n, err := f.Write([]byte(text))
	if err := errors.Join(err, f.Sync(), f.SyncData(), f.Close()); err != nil || n != len(text) {
		t.Fatal(n, err)
	}
}

func content(t *testing.T, fs vfs.FS, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Whatever pebble does with a frozen directory goes well, and changes nothing. What
// it flushes from memory it can read again.
func TestFrozen(t *testing.T) {
	mem := vfs.NewMem()
	var first *Error
	g := newGuard(mem, func(e *Error) { first = e })
	write(t, g, "old", "text")
	log, err := g.Create("000001.log", "pebble-wal")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := g.OpenDir("/")
	if err != nil {
		t.Fatal(err)
	}
	g.settle()
	g.freeze("000001.log", "sync it", syscall.EIO)
	refused(t, "what was noted", first, ErrIO)
	before, _ := mem.List("/")
	slices.Sort(before) // the file system in memory lists in any order

	write(t, g, "MANIFEST-000002", "nothing of it is kept")
	reused, err := g.ReuseForWrite("000001.log", "000002.log", "pebble-wal")
	if err != nil {
		t.Fatal(err)
	}
	info, err := reused.Stat()
	if err != nil || info.Size() != 0 || info.IsDir() || info.Name() != "000002.log" {
		t.Errorf("%+v, %v", info, err)
	}
	random, err := g.OpenReadWrite("random", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []vfs.File{log, reused, random} {
		n, err := f.Write([]byte("lost"))
		_, synced := f.SyncTo(1)
		if err := errors.Join(err, synced, f.Preallocate(0, 9), f.Sync(), f.SyncData()); err != nil || n != 4 {
			t.Errorf("%d, %v", n, err)
		}
		if n, err := f.WriteAt([]byte("lost"), 0); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if err := errors.Join(dir.Sync(), g.Remove("old"), g.RemoveAll("/"), g.Rename("old", "new"), g.Link("old", "new"),
		log.Close(), reused.Close(), random.Close(), dir.Close()); err != nil {
		t.Error(err)
	}
	after, _ := mem.List("/")
	slices.Sort(after)
	if !slices.Equal(before, after) || content(t, mem, "old") != "text" || content(t, mem, "000001.log") != "" {
		t.Errorf("something changed: %q", after)
	}

	table, err := g.Create("000003.sst", flushCategory)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Write([]byte("rows")); errors.Join(err, table.Sync(), table.Close()) != nil {
		t.Error(err)
	}
	if info, err := g.Stat("000003.sst"); err != nil || info.Size() != 4 || content(t, g, "000003.sst") != "rows" {
		t.Errorf("a flushed table: %v, %v", info, err)
	}
	close(g.closing)
	if _, err := g.Create("000004.sst", "pebble-compaction"); !errors.Is(err, errFrozen) {
		t.Errorf("a compaction: %v", err)
	}
}

// A table that was begun before the directory froze ends in an error: pebble writes
// another one.
func TestFrozenTable(t *testing.T) {
	g := newGuard(vfs.NewMem(), func(*Error) {})
	f, err := g.Create("000001.sst", flushCategory)
	if err != nil {
		t.Fatal(err)
	}
	g.freeze("x", "write it", syscall.EIO)
	_, err = f.Write([]byte("x"))
	_, synced := f.SyncTo(1)
	for caption, err := range map[string]error{"write": err, "sync": f.Sync(), "sync to": synced, "close": f.Close()} {
		if !errors.Is(err, errFrozen) {
			t.Errorf("%s: %v", caption, err)
		}
	}
}

// What opening made is undone, what it wanted to delete was not deleted.
func TestUndo(t *testing.T) {
	mem := vfs.NewMem()
	write(t, mem, "old", "text")
	g := newGuard(mem, func(*Error) {})
	write(t, g, "marker.manifest.2", "")
	write(t, g, "000001.log", "x")
	write(t, g, "temporary", "x")
	if err := errors.Join(g.Rename("temporary", "OPTIONS-1"), g.Remove("old")); err != nil {
		t.Fatal(err)
	}
	if err := g.undo("/"); err != nil {
		t.Fatal(err)
	}
	if names, _ := mem.List("/"); !slices.Equal(names, []string{"old"}) {
		t.Errorf("%q", names)
	}
	if g.Unwrap() != mem {
		t.Error("another file system below")
	}
}

// slowCompactions is a file system on which no compaction gets anywhere.
type slowCompactions struct {
	vfs.FS
	release chan struct{}
}

func (f slowCompactions) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == "pebble-compaction" {
		<-f.release
	}
	return f.FS.Create(name, c)
}

// When compactions fall behind, commits wait for them; Close ends the waiting.
func TestCommitsWaitForCompactions(t *testing.T) {
	for _, closed := range []bool{false, true} {
		o, mem := memory(t)
		fs := slowCompactions{mem, make(chan struct{})}
		release := sync.OnceFunc(func() { close(fs.release) })
		t.Cleanup(release)
		o.FS = fs
		e := mustOpen(t, o)
		const rows = 6000
		done := make(chan error)
		go func() {
			_, err := fill(e, 0, rows, 400)
			done <- err
		}()
		eventually(t, "crowded", func() bool {
			e.meter.mu.Lock()
			defer e.meter.mu.Unlock()
			return e.meter.known.sublevels >= crowded
		})
		if closed {
			go func() {
				eventually(t, "closing", e.isClosed)
				release() // the compaction that runs has to end before the engine does
			}()
			mustClose(t, e)
			if err := <-done; !errors.Is(err, store.ErrClosed) {
				t.Errorf("closed while it waits: %v", err)
			}
			continue
		}
		release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		checkFilled(t, "in the end", e, rows, 400)
		mustClose(t, e)
	}
}
