package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// format is the format of pebble's files. Pebble raises older ones by itself and
// refuses newer ones that it does not know. This one says in the log how far it
// was synced, so that a damaged record is told from one that was never finished.
const format = pebble.FormatTableFormatV6

const memoryDefault = 32 << 20

// A tuning is what tests set and nobody else.
type tuning struct {
	plan     plan
	memtable uint64 // bytes; 0: from Options.Memory
	reserve  int64  // bytes of the volume that are left free; 0: from the memtable
}

// Open opens the store in a directory, and makes it where there is none. It is an
// *Error with a hint that says why it cannot be opened. The engine must be closed.
//
// It locks the directory against other processes. A router that holds
// safefile.Lock on its data directory has met the other one before; the lock here
// is for tools that open a store alone, and tells the other one's process where
// the system does.
func Open(o Options) (*Engine, error) { return open(o, tuning{plan: current}) }

func open(o Options, t tuning) (*Engine, error) {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Memory <= 0 {
		o.Memory = memoryDefault
	}
	if t.memtable == 0 {
		t.memtable = uint64(min(max(o.Memory/8, 1<<20), 64<<20))
	}
	if t.reserve == 0 {
		t.reserve = int64(4*t.memtable) + 16<<20
	}
	e := &Engine{opts: o}
	e.idle.L = &e.mu
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.meter.init(e, t.reserve)
	if err := e.open(t); err != nil {
		e.cancel()
		return nil, classify(o.Dir, "open the store", err)
	}
	return e, nil
}

// open locks the directory, looks at what may be seen without changing it, opens
// the tables and compares what is there with what was acknowledged.
func (e *Engine) open(t tuning) error {
	if err := e.take(); err != nil {
		return err
	}
	err := e.openLocked(t)
	if err == nil {
		return nil
	}
	if e.guard != nil {
		close(e.guard.closing)
	}
	if e.db != nil {
		_ = e.db.Close() // the first error is the one to tell
	}
	if e.mark != nil {
		_ = e.mark.f.Close()
	}
	if e.guard != nil && (errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewer)) {
		// What is damaged stays as it was found.
		if undone := e.guard.undo(e.opts.Dir); undone != nil {
			e.opts.Log.Warn("files that the attempt to open made were left", "err", undone)
		}
	}
	_ = e.lock.Close()
	return err
}

// take makes the directory if it may, and locks it.
func (e *Engine) take() error {
	disk, dir := e.opts.FS, e.opts.Dir
	if !e.opts.ReadOnly {
		if err := makeDir(disk, dir); err != nil {
			return err
		}
	} else if _, err := disk.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return &Error{Path: dir, kind: ErrMissing, err: err, text: "there is no store", hint: "check the path for a slip of the pen"}
	}
	lock, err := pebble.LockDirectory(dir, disk)
	if err != nil && isHeld(err) {
		return inUse(dir, owner(disk.PathJoin(dir, lockName), err), err)
	}
	if err != nil {
		return err
	}
	e.lock = lock
	return nil
}

// isHeld tells a lock that somebody has from one that could not be made: the latter
// is an error about a path. A lock of this very process has no errno.
func isHeld(err error) bool {
	var path *fs.PathError
	errno := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)
	return errno && !errors.As(err, &path) || strings.Contains(err.Error(), "held by current process")
}

// makeDir makes dir and what is missing above it, durably: a directory is on the
// disk when the one above it was synced.
func makeDir(disk vfs.FS, dir string) error {
	var parents []string
	for path := dir; ; path = disk.PathDir(path) {
		_, err := disk.Stat(path)
		if err == nil {
			break
		}
		parent := disk.PathDir(path)
		if !errors.Is(err, fs.ErrNotExist) || parent == path {
			return err
		}
		parents = append(parents, parent)
	}
	if err := disk.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := syncDir(disk, parent); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(disk vfs.FS, dir string) error {
	d, err := disk.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lockName is how pebble calls its lock.
const lockName = "LOCK"

func (e *Engine) openLocked(t tuning) error {
	disk, dir := e.opts.FS, e.opts.Dir
	version, err := readVersion(disk, dir)
	switch {
	case err != nil:
		return err
	case version > t.plan.version:
		return newer(dir, version)
	}
	found, err := look(disk, dir)
	if err != nil {
		return err
	}
	empty := version == 0 && !found.tables && !found.data
	switch {
	case !empty && found.manifest == "":
		// Pebble would make a new store here and clear away the old one's files.
		return damaged(dir, "its manifest is missing", nil)
	case e.opts.ReadOnly && (found.manifest == "" || empty && found.dangling):
		return &Error{Path: dir, kind: ErrMissing, text: "there is no store", hint: "check the path for a slip of the pen"}
	case empty && found.dangling:
		if err := unmade(disk, dir); err != nil {
			return err
		}
	}
	if e.db, err = pebble.Open(dir, e.pebble(t)); err != nil {
		return e.opening(err)
	}
	if err := e.Err(); err != nil {
		return err
	}
	if err := e.settle(t, version); err != nil {
		return err
	}
	e.meter.refresh()
	e.meter.count()
	if err := e.Err(); err != nil {
		return err // met meanwhile
	}
	e.opened.Store(true)
	return nil
}

// opening says what it means that pebble does not open a store.
func (e *Engine) opening(err error) error {
	if first := e.Err(); first != nil {
		return first // what pebble met is a consequence
	}
	dir := e.opts.Dir
	fault := classify(dir, "open the store", err)
	var errno syscall.Errno
	switch {
	case strings.Contains(err.Error(), "unknown format major version"):
		return newer(dir, 0)
	case fault.kind != ErrIO:
		return fault
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, pebble.ErrDBNotPristine):
		return damaged(dir, "a file of it is missing: "+oneLine(err), err)
	case !errors.As(err, &errno):
		// The system did as it was told: what pebble read makes no sense.
		return damaged(dir, "it cannot be read: "+oneLine(err), err)
	}
	return fault
}

// settle compares the version and the number of commits, and lets the guard delete.
func (e *Engine) settle(t tuning, version int) error {
	disk, dir := e.opts.FS, e.opts.Dir
	lost := missing(disk, dir, e.db)
	if lost != nil && !(e.opts.AcceptLoss && errors.Is(lost, ErrCorrupt)) {
		return lost
	}
	if e.opts.ReadOnly {
		return t.plan.readable(dir, e.db)
	}
	if lost != nil {
		e.opts.Log.Error("what was acknowledged is missing, and this was accepted", "err", lost)
		if err := accept(disk, dir, e.db); err != nil {
			return err
		}
	}
	err := t.plan.settle(disk, dir, e.db, version)
	if err != nil {
		return err
	}
	if e.last, err = count(e.db, countKey); err != nil {
		return err
	}
	if e.mark, err = openMark(disk, dir); err != nil {
		return err
	}
	e.guard.settle()
	return nil
}

// readable says whether a store of an older version may be read as it is.
func (p plan) readable(dir string, db *pebble.DB) error {
	row, err := rowVersion(db)
	switch {
	case err != nil:
		return err
	case row > p.version:
		return newer(dir, row)
	case row < p.version:
		return &Error{
			Path: dir, kind: ErrReadOnly, text: fmt.Sprintf("an older version of upsycle wrote this store (schema %d)", row),
			hint: "start the router once, which upgrades it",
		}
	}
	return nil
}

// pebble returns pebble's options. They are few: rows come and go in order, most
// bodies are ciphertext, and nearly all reads are one scan at the start.
func (e *Engine) pebble(t tuning) *pebble.Options {
	o := &pebble.Options{
		FS:                 e.opts.FS,
		Lock:               e.lock,
		ReadOnly:           e.opts.ReadOnly,
		FormatMajorVersion: format,
		Logger:             logger{e},
		Merger:             sums,
		CacheSize:          e.opts.Memory / 4,
		MemTableSize:       t.memtable,
		// Four memtables may be full before a commit has to wait.
		MemTableStopWritesThreshold: 4,
		// The engine itself waits when compactions fall behind (meter): it
		// can stop waiting, pebble cannot.
		L0StopWritesThreshold: 1 << 20,
		MaxOpenFiles:          500,
		EventListener:         e.events(),
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	if !e.opts.ReadOnly {
		e.guard = newGuard(e.opts.FS, e.fail)
		o.FS = e.guard
	}
	return o
}

func (e *Engine) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) { e.background(err) },
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			e.fail(damaged(info.Path, "it is damaged: "+oneLine(info.Details), info.Details))
		},
		FlushEnd:      func(pebble.FlushInfo) { e.meter.changed() },
		CompactionEnd: func(pebble.CompactionInfo) { e.meter.changed() },
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			e.opts.Log.Debug("commits wait", "why", info.Reason)
		},
	}
}

// background is told of what failed without anybody waiting for it.
func (e *Engine) background(err error) {
	if e.Err() != nil || errors.Is(err, errFrozen) {
		return // everybody knows
	}
	e.opts.Log.Warn("work in the background failed and will be tried again", "err", oneLine(err))
}

// A logger passes on what pebble says.
type logger struct{ e *Engine }

// Infof is for pebble's developers.
func (logger) Infof(string, ...any) {}

// Errorf is for people who look into a store's troubles.
func (l logger) Errorf(format string, args ...any) {
	l.e.opts.Log.Warn("pebble: " + fmt.Sprintf(format, args...))
}

// Fatalf is where pebble wants the process to end. With the directory frozen
// nothing that follows can do harm.
func (l logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.e.fail(classify(l.e.opts.Dir, "go on", err))
}
