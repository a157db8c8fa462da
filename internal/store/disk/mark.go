package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
)

// Each commit carries its number in a row of the store's own, and adds one to
// another. Once it is synced the number goes into a small file beside the tables.
// That file is not synced: it may be behind, and after a power cut it is, but it is
// never ahead. So a store whose last commit has a lower number than the file says has
// lost what was acknowledged: its log was cut or damaged at a place where no checksum
// tells that from an end that was never written. And where number and sum differ,
// something in the middle is missing: a whole log, say.

// markName is the file with the number of the last acknowledged commit.
const markName = "ACKNOWLEDGED"

// countKey is the row with the number of the last commit, sumKey the one that each
// commit adds to.
var (
	countKey = []byte{0, 'n'}
	sumKey   = []byte{0, 's'}
)

// number appends what makes b the n-th commit.
func number(b *pebble.Batch, n uint64) error {
	return errors.Join(
		b.Set(countKey, binary.AppendUvarint(nil, n), nil),
		b.Merge(sumKey, []byte{1}, nil))
}

// sums makes pebble add the values of the row that commits add to.
var sums = &pebble.Merger{
	Name: "upsycle.sum",
	Merge: func(_, value []byte) (pebble.ValueMerger, error) {
		s := new(sum)
		return s, s.MergeNewer(value)
	},
}

type sum uint64

// MergeNewer adds a value. The order does not matter.
func (s *sum) MergeNewer(value []byte) error {
	n, size := binary.Uvarint(value)
	if size <= 0 {
		return fmt.Errorf("%w: a part of the number of commits is %x", pebble.ErrCorruption, value)
	}
	*s += sum(n)
	return nil
}

// MergeOlder adds a value.
func (s *sum) MergeOlder(value []byte) error { return s.MergeNewer(value) }

// Finish returns the sum.
func (s *sum) Finish(bool) ([]byte, io.Closer, error) {
	return binary.AppendUvarint(nil, uint64(*s)), nil, nil
}

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

// count returns a number of the store's own; 0 where there is none.
func count(db *pebble.DB, key []byte) (uint64, error) {
	v, err := own(db, key)
	if err != nil || v == nil {
		return 0, err
	}
	n, size := binary.Uvarint(v)
	if size <= 0 {
		return 0, fmt.Errorf("%w: a number of commits is %x", pebble.ErrCorruption, v)
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
	last, err := count(db, countKey)
	if err != nil {
		return err
	}
	has, err := count(db, sumKey)
	if err != nil {
		return err
	}
	switch acknowledged := readMark(fs, dir); {
	case has != last:
		return damaged(dir, fmt.Sprintf("it has %d of %d commits: a part of its log is missing", has, last), nil)
	case last < acknowledged:
		return damaged(dir, fmt.Sprintf("its last commit is number %d, but %d were acknowledged: the end of its log was cut or damaged", last, acknowledged), nil)
	}
	return nil
}

// accept makes what is there all that there was. The numbers go on where the lost
// ones ended.
func accept(fs vfs.FS, dir string, db *pebble.DB) error {
	last, err := count(db, countKey)
	if err != nil {
		return err
	}
	n := binary.AppendUvarint(nil, max(last, readMark(fs, dir)))
	b := db.NewBatch()
	defer b.Close()
	if err := errors.Join(b.Set(countKey, n, nil), b.Set(sumKey, n, nil)); err != nil {
		return err
	}
	return db.Apply(b, pebble.Sync)
}

// A finding is what can be seen of a store without opening it.
type finding struct {
	manifest string // the one that the marker names, "" without a marker
	dangling bool   // and it is not there
	tables   bool   // there are some
	data     bool   // in a log or a mark
}

// look looks into the directory.
func look(fs vfs.FS, dir string) (finding, error) {
	var f finding
	names, err := fs.List(dir)
	if err != nil {
		return f, err
	}
	for _, name := range names {
		f.tables = f.tables || isTable(name)
		if strings.HasSuffix(name, ".log") || name == markName {
			info, err := fs.Stat(fs.PathJoin(dir, name))
			f.data = f.data || err != nil || info.Size() > 0
		}
	}
	if f.manifest, err = atomicfs.ReadMarker(fs, dir, "manifest"); err != nil {
		return f, err
	}
	f.dangling = f.manifest != "" && !slices.Contains(names, f.manifest)
	return f, nil
}

// unmade removes the markers of a store whose making was cut short: they may reach
// the disk before what they name. Nothing was ever in it.
func unmade(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.") {
			err = errors.Join(err, fs.Remove(fs.PathJoin(dir, name)))
		}
	}
	return errors.Join(err, syncDir(fs, dir))
}
