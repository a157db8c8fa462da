package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// Each commit carries its number in a row of the store's own, and once it is synced
// the number goes into a small file beside the tables. That file is not synced: it
// may be behind, and after a power cut it is, but it is never ahead. So a store
// whose last commit has a lower number than the file says has lost what was
// acknowledged: its log was cut or damaged at a place where no checksum tells that
// from an end that was never written.

// markName is the file with the number of the last acknowledged commit.
const markName = "ACKNOWLEDGED"

// countKey is the row with the number of the last commit.
var countKey = []byte{0, 'n'}

// A mark is the open file.
type mark struct{ f vfs.File }

// openMark opens or makes the file in dir.
func openMark(fs vfs.FS, dir string) (*mark, error) {
	f, err := fs.OpenReadWrite(fs.PathJoin(dir, markName), vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	return &mark{f}, nil
}

// set writes n. The length is fixed and far below a sector, so it is written as
// one; should it not be, the sum says so, and the file says nothing.
func (m *mark) set(n uint64) error {
	_, err := m.f.WriteAt(appendMark(nil, n), 0)
	return err
}

// close makes the file durable and closes it.
func (m *mark) close() error { return errors.Join(m.f.Sync(), m.f.Close()) }

func appendMark(b []byte, n uint64) []byte {
	b = fmt.Appendf(b, "%020d", n)
	return fmt.Appendf(b, " %08x\n", crc32.ChecksumIEEE(b))
}

// readMark returns what the file says: 0 where there is none, or none to be read.
func readMark(fs vfs.FS, dir string) uint64 {
	f, err := fs.Open(fs.PathJoin(dir, markName))
	if err != nil {
		return 0
	}
	defer f.Close()
	var n uint64
	b, err := io.ReadAll(io.LimitReader(f, 64))
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscanf(string(b), "%d", &n); err != nil || string(appendMark(nil, n)) != string(b) {
		return 0
	}
	return n
}

// count returns the number of the last commit in the store; 0: there was none.
func count(db *pebble.DB) (uint64, error) {
	v, err := own(db, countKey)
	if err != nil || v == nil {
		return 0, err
	}
	n, size := binary.Uvarint(v)
	if size <= 0 {
		return 0, fmt.Errorf("%w: the number of the last commit is %x", pebble.ErrCorruption, v)
	}
	return n, nil
}

// own returns the value of one of the store's own rows, nil where there is none.
func own(db *pebble.DB, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v = append([]byte{}, v...)
	return v, closer.Close()
}

// missing says whether commits that were acknowledged are not in the store.
func missing(fs vfs.FS, dir string, db *pebble.DB) error {
	has, err := count(db)
	if err != nil {
		return err
	}
	if acknowledged := readMark(fs, dir); has < acknowledged {
		return damaged(dir, fmt.Sprintf("its last commit is number %d, but %d were acknowledged: the end of the log was cut or damaged", has, acknowledged), nil)
	}
	return nil
}

// made reports whether there was ever a manifest in dir, and whether there are
// tables.
func made(fs vfs.FS, dir string) (manifest, tables bool, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return false, false, err
	}
	for _, name := range names {
		tables = tables || isTable(name)
	}
	// The manifest is named by a marker; without one pebble would make a new
	// store here and clear away the tables of the old one.
	current, err := atomicfs.ReadMarker(fs, dir, "manifest")
	return current != "", tables, err
}
