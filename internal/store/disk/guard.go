package disk

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Pebble takes a failed write of its log or manifest for the end of the process.
// A router should rather say what happened and go on reading, so the guard stands
// between pebble and the disk: it notes the first failure, freezes the directory
// and tells pebble that all is well. The engine knows better and acknowledges
// nothing from then on.
//
// Frozen means that nothing in the directory changes any more. Log and manifest
// are written into the void; what is flushed from memory goes to files in memory,
// so that a commit that waits for a flush comes back; compactions wait for the end.

// flushCategory is how pebble calls the tables that it writes from memory.
const flushCategory = "pebble-memtable-flush"

// spaceRetry is how long a compaction waits after one has found the disk full.
const spaceRetry = time.Second

var errFrozen = errors.New("disk: frozen after a failed write")

// A guard is the file system that pebble sees.
type guard struct {
	vfs.FS
	failed  func(*Error)  // the first failure; sets what fault returns before it returns
	closing chan struct{} // closed when the engine closes

	settled   atomic.Bool // Open has found everything: what is obsolete may be deleted
	frozen    atomic.Bool
	spaceless atomic.Bool // a compaction found the disk full, and none has succeeded since
	memory    *vfs.MemFS  // files that were made since the directory is frozen

	mu      sync.Mutex
	removed []string // what is to be deleted once settled
	created []string // what has to go if that never comes
}

func newGuard(fs vfs.FS, failed func(*Error)) *guard {
	return &guard{FS: fs, failed: failed, closing: make(chan struct{}), memory: vfs.NewMem()}
}

// settle says that everything acknowledged was found: what became obsolete until now
// is deleted.
func (g *guard) settle() {
	g.mu.Lock()
	removed := g.removed
	g.removed, g.created = nil, nil
	g.settled.Store(true)
	g.mu.Unlock()
	for _, name := range removed {
		_ = g.FS.Remove(name) // a leftover; the next Open finds it again
	}
}

// note remembers a file that was made while the engine opens.
func (g *guard) note(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.settled.Load() {
		g.created = append(g.created, name)
	}
}

// undo deletes what was made while the engine opened: since nothing was deleted, the
// directory is as it was. The markers go first, and durably: they name the others.
func (g *guard) undo(dir string) error {
	g.mu.Lock()
	created := g.created
	g.mu.Unlock()
	for _, markers := range []bool{true, false} {
		for _, name := range created {
			if strings.HasPrefix(g.PathBase(name), "marker.") != markers {
				continue
			}
			if err := g.FS.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := syncDir(g.FS, dir); err != nil {
			return err
		}
	}
	return nil
}

// freeze notes the first failure. It is noted before it takes effect: whoever was
// told a lie because of it finds it noted.
func (g *guard) freeze(name, doing string, err error) {
	g.failed(classify(name, doing, err))
	g.frozen.Store(true)
}

// do carries out a change of the log, of the manifest or of the directory. Whatever
// happens, it went well.
func (g *guard) do(name, doing string, change func() error) error {
	if g.frozen.Load() {
		return nil
	}
	err := change()
	if err != nil {
		g.freeze(name, doing, err)
	}
	return nil
}

// doTable carries out a change of a table that is being written. Pebble can cope
// with a failure: it writes another one.
func (g *guard) doTable(f *guardFile, doing string, change func() error) error {
	if g.frozen.Load() {
		return errFrozen
	}
	err := change()
	if err != nil {
		g.tableFailed(f.name, doing, f.flush, err)
	}
	return err
}

// tableFailed judges the failure of a table. A compaction that finds the disk full
// harms nobody: its inputs are still there, and so is what it wrote before.
func (g *guard) tableFailed(name, doing string, flush bool, err error) {
	if !flush && (errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)) {
		g.spaceless.Store(true)
		return
	}
	g.freeze(name, doing, err)
}

// isTable tells files of rows from logs, manifests and markers.
func isTable(name string) bool {
	return strings.HasSuffix(name, ".sst") || strings.HasSuffix(name, ".blob")
}

// Create makes a file for writing.
func (g *guard) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if isTable(name) {
		return g.createTable(name, category)
	}
	return g.create(name, func() (vfs.File, error) { return g.FS.Create(name, category) })
}

// create makes a file of the log, of the manifest or a marker.
func (g *guard) create(name string, create func() (vfs.File, error)) (vfs.File, error) {
	var f vfs.File
	err := g.do(name, "create it", func() (err error) {
		if f, err = create(); err == nil {
			g.note(name)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return void{name: g.PathBase(name)}, nil
	}
	return &guardFile{File: f, g: g, name: name}, nil
}

func (g *guard) createTable(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	flush := category == flushCategory
	if !flush {
		g.wait()
	}
	if g.frozen.Load() {
		if flush {
			return g.memory.Create(g.PathBase(name), category)
		}
		return nil, errFrozen
	}
	f, err := g.FS.Create(name, category)
	if err != nil {
		g.tableFailed(name, "create it", flush, err)
		return nil, err
	}
	g.note(name)
	return &guardFile{File: f, g: g, name: name, table: true, flush: flush}, nil
}

// wait holds a compaction back: for a while when the disk is full, for ever when
// it is frozen. Pebble itself would try again at once.
func (g *guard) wait() {
	if g.spaceless.Load() {
		timer := time.NewTimer(spaceRetry)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-g.closing:
		}
	}
	if g.frozen.Load() {
		<-g.closing
	}
}

// ReuseForWrite makes an old log a new one.
func (g *guard) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return g.create(newname, func() (vfs.File, error) { return g.FS.ReuseForWrite(oldname, newname, category) })
}

// OpenReadWrite opens a file for writing at any place.
func (g *guard) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return g.create(name, func() (vfs.File, error) { return g.FS.OpenReadWrite(name, category, opts...) })
}

// Open opens a file for reading. One that was made since the freeze is in memory.
func (g *guard) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if g.frozen.Load() {
		if f, err := g.memory.Open(g.PathBase(name)); err == nil {
			return f, nil
		}
	}
	return g.FS.Open(name, opts...)
}

// Stat describes a file.
func (g *guard) Stat(name string) (vfs.FileInfo, error) {
	if g.frozen.Load() {
		if info, err := g.memory.Stat(g.PathBase(name)); err == nil {
			return info, nil
		}
	}
	return g.FS.Stat(name)
}

// OpenDir opens a directory for syncing.
func (g *guard) OpenDir(name string) (vfs.File, error) {
	f, err := g.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &guardFile{File: f, g: g, name: name}, nil
}

// Remove deletes a file; while the engine opens, it only notes that it should.
func (g *guard) Remove(name string) error {
	if g.frozen.Load() {
		return nil
	}
	g.mu.Lock()
	wait := !g.settled.Load()
	if wait {
		g.removed = append(g.removed, name)
	}
	g.mu.Unlock()
	if wait {
		return nil
	}
	return g.FS.Remove(name)
}

// RemoveAll is not for pebble's engine.
func (g *guard) RemoveAll(name string) error {
	return g.do(name, "remove it", func() error { return g.FS.RemoveAll(name) })
}

// Rename renames a file.
func (g *guard) Rename(oldname, newname string) error {
	g.note(newname)
	return g.do(newname, "rename to it", func() error { return g.FS.Rename(oldname, newname) })
}

// Link makes another name for a file.
func (g *guard) Link(oldname, newname string) error {
	return g.do(newname, "link it", func() error { return g.FS.Link(oldname, newname) })
}

// Unwrap returns the file system below.
func (g *guard) Unwrap() vfs.FS { return g.FS }

// A guardFile is a file or directory that pebble writes or syncs.
type guardFile struct {
	vfs.File
	g     *guard
	name  string
	table bool
	flush bool // a table that is written from memory
}

func (f *guardFile) do(doing string, change func() error) error {
	if f.table {
		return f.g.doTable(f, doing, change)
	}
	return f.g.do(f.name, doing, change)
}

func (f *guardFile) Write(p []byte) (n int, err error) {
	n = len(p) // what a swallowed write says
	err = f.do("write it", func() (err error) {
		n, err = f.File.Write(p)
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, err
}

func (f *guardFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.do("write it", func() (err error) {
		_, err = f.File.WriteAt(p, off)
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, err
}

// Sync makes what was written durable.
func (f *guardFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData makes what was written durable.
func (f *guardFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *guardFile) sync(sync func() error) error {
	err := f.do("sync it", sync)
	if err == nil && f.table && !f.flush {
		f.g.spaceless.Store(false)
	}
	return err
}

// SyncTo begins to write what was written to the disk.
func (f *guardFile) SyncTo(length int64) (full bool, err error) {
	err = f.do("sync it", func() (err error) {
		full, err = f.File.SyncTo(length)
		return err
	})
	return full, err
}

// Close closes the file, always; what it says counts as it does for a write.
func (f *guardFile) Close() error {
	err := f.File.Close()
	return f.do("close it", func() error { return err })
}

// A void takes everything and keeps nothing: a file of the log or the manifest
// that was made when the directory was frozen. Nobody reads those back.
type void struct{ name string }

func (void) Write(p []byte) (int, error)            { return len(p), nil }
func (void) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (void) Read([]byte) (int, error)               { return 0, io.EOF }
func (void) ReadAt([]byte, int64) (int, error)      { return 0, io.EOF }
func (void) Close() error                           { return nil }
func (void) Sync() error                            { return nil }
func (void) SyncData() error                        { return nil }
func (void) SyncTo(int64) (bool, error)             { return true, nil }
func (void) Preallocate(int64, int64) error         { return nil }
func (void) Prefetch(int64, int64) error            { return nil }
func (void) Fd() uintptr                            { return vfs.InvalidFd }
func (v void) Stat() (vfs.FileInfo, error)          { return v, nil }
func (v void) Name() string                         { return v.name }
func (void) Size() int64                            { return 0 }
func (void) Mode() os.FileMode                      { return 0o600 }
func (void) ModTime() time.Time                     { return time.Time{} }
func (void) IsDir() bool                            { return false }
func (void) Sys() any                               { return nil }
func (void) DeviceID() vfs.DeviceID                 { return vfs.DeviceID{} }
