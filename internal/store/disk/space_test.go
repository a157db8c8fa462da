package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"upsycle/internal/machine"
	"upsycle/internal/store"
)

// A volume is a file system of a limited size.
type volume struct {
	vfs.FS
	quiet bool // does not say how much is free

	mu    sync.Mutex
	size  int64
	used  map[string]int64
	other int64 // what others take
}

func newVolume(fs vfs.FS, size int64) *volume {
	return &volume{FS: fs, size: size, used: map[string]int64{}}
}

func (v *volume) free() int64 {
	free := v.size - v.other
	for _, n := range v.used {
		free -= n
	}
	return max(0, free)
}

// others lets other programs take so much of the volume that only free is left.
func (v *volume) others(free int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.other = 0
	v.other = v.free() - free
}

func (v *volume) take(name string, n int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.free() < int64(n) {
		return syscall.ENOSPC
	}
	v.used[name] += int64(n)
	return nil
}

func (v *volume) GetDiskUsage(string) (vfs.DiskUsage, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.quiet {
		return vfs.DiskUsage{}, vfs.ErrUnsupported
	}
	return vfs.DiskUsage{AvailBytes: uint64(v.free()), TotalBytes: uint64(v.size)}, nil
}

func (v *volume) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return volumeFile{f, v, name}, nil
}

func (v *volume) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := v.FS.Create(name, c)
	return v.wrap(name, f, err)
}

func (v *volume) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := v.FS.ReuseForWrite(from, to, c)
	v.mu.Lock()
	delete(v.used, from) // its bytes count anew as they are written
	v.mu.Unlock()
	return v.wrap(to, f, err)
}

func (v *volume) Remove(name string) error {
	v.mu.Lock()
	delete(v.used, name)
	v.mu.Unlock()
	return v.FS.Remove(name)
}

type volumeFile struct {
	vfs.File
	v    *volume
	name string
}

func (f volumeFile) Write(p []byte) (int, error) {
	if err := f.v.take(f.name, len(p)); err != nil {
		return 0, err
	}
	return f.File.Write(p)
}

// While little is free, new rows are refused and deletions taken; when there is
// space again, the store goes on by itself.
func TestNearlyFull(t *testing.T) {
	o, mem := memory(t)
	v := newVolume(mem, 64<<20)
	o.FS = v
	e, err := open(o, tuning{plan: current, memtable: 64 << 10, reserve: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fill(e, 0, 100, 400); err != nil {
		t.Fatal(err)
	}
	v.others(8 << 20)
	err = e.Apply([]machine.Row{row("a", "1")})
	fault := refused(t, "nearly full", err, ErrDiskFull)
	if !errors.Is(err, store.ErrFull) || e.Err() != nil {
		t.Errorf("%v, frozen: %v", fault, e.Err())
	}
	mustApply(t, e, gone("k00000000"), cleared("k00000001", "k00000003"))
	mustApply(t, e, gone("k00000003"), row("gap", "four rows were dropped"))
	v.others(32 << 20)
	mustApply(t, e, row("a", "1"))
	mustClose(t, e)
	e = mustOpen(t, o)
	if n := len(all(t, e)); n != 100-4+2 {
		t.Errorf("%d rows", n)
	}
	mustClose(t, e)
}

// The volume becomes full without a warning, at any moment: the store freezes with
// that as the reason, nothing acknowledged is lost, and with some space it can be
// opened again.
func TestDiskFull(t *testing.T) {
	const size = 400
	for _, kib := range []int64{1, 30, 64, 100, 200, 333, 500} {
		caption := fmt.Sprint(kib, " KiB")
		o, mem := memory(t)
		v := newVolume(mem, kib<<10)
		v.quiet, o.FS = true, v
		e, err := open(o, tuning{plan: current, memtable: 48 << 10, reserve: 1})
		if err != nil {
			refused(t, caption, err, ErrDiskFull)
			continue
		}
		acked, err := fill(e, 0, 4000, size)
		refused(t, caption, err, ErrDiskFull)
		if !errors.Is(err, store.ErrFull) {
			t.Errorf("%s: %v is not ErrFull", caption, err)
		}
		checkFilled(t, caption, e, acked, size)
		_ = e.Close() // frozen, or a compaction was
		v.others(8 << 20)
		v.size += 16 << 20
		e, err = open(o, small)
		if err != nil {
			t.Fatalf("%s, with space: %v", caption, err)
		}
		checkFilled(t, caption+", with space", e, acked, size)
		if _, err := fill(e, acked, 100, size); err != nil {
			t.Errorf("%s, with space: %v", caption, err)
		}
		mustClose(t, e)
	}
}

// tableless fails all tables that compactions write while it is on.
type tableless struct {
	vfs.FS
	on    atomic.Bool
	tries atomic.Int64
}

func (f *tableless) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if c == "pebble-compaction" && f.on.Load() {
		f.tries.Add(1)
		return nil, syscall.ENOSPC
	}
	return f.FS.Create(name, c)
}

// A compaction that finds no space harms nobody: the store takes no new rows until
// one succeeds, and does not freeze.
func TestNoSpaceToCompact(t *testing.T) {
	o, mem := memory(t)
	fs := &tableless{FS: mem}
	fs.on.Store(true)
	o.FS = fs
	e, err := open(o, small)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 100_000 && err == nil; n += 10 {
		_, err = fill(e, n, 10, 400)
	}
	refused(t, "no compaction succeeds", err, ErrDiskFull)
	if fs.tries.Load() == 0 || e.Err() != nil {
		t.Errorf("%d tries, frozen: %v", fs.tries.Load(), e.Err())
	}
	mustApply(t, e, gone("k00000000"))
	fs.on.Store(false)
	eventually(t, "a compaction succeeds", func() bool {
		err := e.Apply([]machine.Row{row("a", "1")})
		if err != nil {
			refused(t, "until then", err, ErrDiskFull)
		}
		return err == nil
	})
	mustClose(t, e)
}

// Where nothing can be written, Open says so.
func TestReadOnlyVolume(t *testing.T) {
	o, mem := memory(t)
	o.FS = erofs{mem}
	_, err := Open(o)
	refused(t, "no directory can be made", err, ErrReadOnly)
	e := mustOpen(t, Options{Dir: o.Dir, FS: mem})
	mustApply(t, e, row("a", "1"))
	mustClose(t, e)
	_, err = Open(o)
	refused(t, "no log can be made", err, ErrReadOnly)
	o.ReadOnly = true
	e, err = Open(o)
	if err != nil {
		t.Fatalf("for reading: %v", err)
	}
	want(t, "for reading", all(t, e), "a=1")
	refused(t, "a commit", e.Apply([]machine.Row{row("b", "2")}), ErrReadOnly)
	mustClose(t, e)
}

// erofs is a volume that is mounted for reading. (Locks are still given: a lock
// file is there already.)
type erofs struct{ vfs.FS }

func (erofs) Create(string, vfs.DiskWriteCategory) (vfs.File, error) { return nil, syscall.EROFS }
func (erofs) MkdirAll(string, os.FileMode) error                     { return syscall.EROFS }
func (erofs) Remove(string) error                                    { return syscall.EROFS }
func (erofs) Rename(string, string) error                            { return syscall.EROFS }
