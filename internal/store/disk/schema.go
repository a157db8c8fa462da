package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Schema is the version of what is in a store: which tables there are, and what
// their rows look like. docs/store.md lists them. It changes when a program that
// knows only the old version would read or write something wrong.
const Schema = 1

// versionName is a file that says which version a program must know to open the
// store. It can be read without opening anything, so that a store of a newer
// version stays as it is to the byte. The truth is the row; the file may be ahead
// of it, while an upgrade runs, and never behind.
const versionName = "VERSION"

const versionHead = "upsycle store "

// schemaKey is the row with the version.
var schemaKey = []byte{0, 'v'}

// A step turns the rows of one version into those of the next. It writes what
// changes into b, which is committed together with the new version: a step
// happens whole or not at all, however often it is tried.
type step func(db *pebble.DB, b *pebble.Batch) error

// A plan is a version and how to get there: steps[n] turns version n into n + 1.
type plan struct {
	version int
	steps   map[int]step
}

// current is the plan of this program. The first version needs no steps.
var current = plan{version: Schema}

// readVersion returns what the file VERSION says, 0 where there is none.
func readVersion(disk vfs.FS, dir string) (int, error) {
	path := disk.PathJoin(dir, versionName)
	f, err := disk.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, classify(path, "open it", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return 0, classify(path, "read it", err)
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(string(b)), versionHead)
	n, err := strconv.Atoi(text)
	if !ok || err != nil || n < 1 {
		return 0, damaged(path, fmt.Sprintf("it should say %q and a number, and says %.40q", versionHead, b), nil)
	}
	return n, nil
}

// writeVersion makes the file say version, and makes that durable.
func writeVersion(disk vfs.FS, dir string, version int) error {
	path, next := disk.PathJoin(dir, versionName), disk.PathJoin(dir, versionName+".next")
	f, err := disk.Create(next, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s%d\n", versionHead, version)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := disk.Rename(next, path); err != nil {
		return err
	}
	return syncDir(disk, dir)
}

// rowVersion returns the version in the store's row, 0 where there is none.
func rowVersion(db *pebble.DB) (int, error) {
	v, err := own(db, schemaKey)
	if err != nil || v == nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(v))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%w: the version of the store is %.40q", pebble.ErrCorruption, v)
	}
	return n, nil
}

func writeRowVersion(b *pebble.Batch, version int) error {
	return b.Set(schemaKey, strconv.AppendInt(nil, int64(version), 10), nil)
}

// settle brings an open store to the version of the plan. file is what VERSION
// said.
func (p plan) settle(disk vfs.FS, dir string, db *pebble.DB, file int) error {
	row, err := rowVersion(db)
	switch {
	case err != nil:
		return err
	case row > p.version:
		return newer(dir, row)
	case row == 0 && file == 0:
		return p.found(disk, dir, db)
	case row == 0:
		return damaged(dir, "the row with its version is missing", nil)
	}
	if file < p.version {
		// First, so that an older program refuses what is half upgraded.
		if err := writeVersion(disk, dir, p.version); err != nil {
			return err
		}
	}
	for ; row < p.version; row++ {
		if err := p.upgrade(db, row); err != nil {
			return err
		}
	}
	return nil
}

// found makes an empty store one of ours.
func (p plan) found(disk vfs.FS, dir string, db *pebble.DB) error {
	iter, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	foreign := iter.First()
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return err
	}
	if foreign {
		return damaged(dir, "it holds rows and does not say of which version", nil)
	}
	b := db.NewBatch()
	defer b.Close()
	if err := writeRowVersion(b, p.version); err != nil {
		return err
	}
	if err := db.Apply(b, pebble.Sync); err != nil {
		return err
	}
	return writeVersion(disk, dir, p.version)
}

func (p plan) upgrade(db *pebble.DB, from int) error {
	change, ok := p.steps[from]
	if !ok {
		return fmt.Errorf("there is no way from schema %d to %d", from, from+1)
	}
	b := db.NewBatch()
	defer b.Close()
	if err := change(db, b); err != nil {
		return fmt.Errorf("upgrade from schema %d: %w", from, err)
	}
	if err := writeRowVersion(b, from+1); err != nil {
		return err
	}
	return db.Apply(b, pebble.Sync)
}
