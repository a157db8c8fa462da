package disk

import (
	"context"
	"errors"
	"io/fs"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable"

	"upsycle/internal/machine"
)

// damageMax is how many damaged files and odd rows a Report names.
const damageMax = 100

// A Report is what Check found.
type Report struct {
	Schema  int
	Rows    int64 // that could be read
	Bytes   int64 // of their keys and values
	Files   int   // tables whose checksums were verified
	Damaged []error
	Odd     []OddRow // at most damageMax
	OddRows int64    // how many there are
}

// An OddRow is a row that can be read but that is none of its table's.
type OddRow struct {
	Key []byte
	Err error
}

// Sound reports whether Check found nothing.
func (r *Report) Sound() bool { return len(r.Damaged) == 0 && r.OddRows == 0 }

// Check reads everything in the store of o and changes nothing: manifest, logs,
// every block of every table, the order of the tables, every row, and whether all
// that was acknowledged is there. form says what is wrong with a row's key or
// value, nil if nothing is; it may be nil. What is damaged is in the report; the
// error says why it could not look at all.
func Check(o Options, form func(machine.Row) error) (Report, error) {
	var r Report
	o.ReadOnly, o.Failed, o.AcceptLoss = true, nil, false
	e, err := Open(o)
	if errors.Is(err, ErrCorrupt) {
		r.Damaged = append(r.Damaged, err)
		o.AcceptLoss = true // to see what else there is
		if e, err = Open(o); errors.Is(err, ErrCorrupt) {
			return r, nil
		}
	}
	if err != nil {
		return r, err
	}
	r.Schema = current.version
	err = r.look(e, form)
	return r, errors.Join(err, e.Close())
}

func (r *Report) look(e *Engine, form func(machine.Row) error) error {
	if err := r.checkFiles(e); err != nil {
		return err
	}
	err := e.Each(nil, nil, func(row machine.Row) error {
		r.Rows++
		r.Bytes += int64(len(row.Key) + len(row.Value))
		if form != nil {
			r.judge(row.Key, form(row))
		}
		return nil
	})
	if err == nil {
		err = e.db.CheckLevels(nil)
	}
	return r.damage(e, err)
}

func (r *Report) judge(key []byte, err error) {
	if err == nil {
		return
	}
	if r.OddRows++; len(r.Odd) < damageMax {
		r.Odd = append(r.Odd, OddRow{key, err})
	}
}

// damage notes an error that tells of damage; any other is returned.
func (r *Report) damage(e *Engine, err error) error {
	if err == nil {
		return nil
	}
	fault := classify(e.opts.Dir, "read", err)
	if !errors.Is(fault, ErrCorrupt) {
		return fault
	}
	for _, known := range r.Damaged {
		if known.(*Error).Path == fault.Path {
			return nil
		}
	}
	if len(r.Damaged) < damageMax {
		r.Damaged = append(r.Damaged, fault)
	}
	return nil
}

// checkFiles verifies every block of every table. Reading the rows does not: of a
// block with nothing but deleted rows nobody may ask.
func (r *Report) checkFiles(e *Engine) error {
	levels, err := e.db.SSTables()
	if err != nil {
		return r.damage(e, err)
	}
	seen := map[string]bool{} // several tables may be parts of one file
	for _, level := range levels {
		for _, table := range level {
			name := table.BackingSSTNum.String() + ".sst"
			if seen[name] {
				continue
			}
			seen[name] = true
			r.Files++
			if err := r.damage(e, checkFile(e, e.opts.FS.PathJoin(e.opts.Dir, name))); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkFile verifies the blocks of one file. What is no error of the system is
// damage.
func checkFile(e *Engine, path string) error {
	err := verify(e, path)
	var system *fs.PathError
	if err == nil || errors.As(err, &system) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return damaged(path, "it is damaged: "+oneLine(err), err)
}

func verify(e *Engine, path string) error {
	f, err := e.opts.FS.Open(path)
	if err != nil {
		return err
	}
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	o := pebble.Options{Merger: sums}
	o.EnsureDefaults()
	reader, err := sstable.NewReader(context.Background(), readable, o.MakeReaderOptions())
	if err != nil {
		return errors.Join(err, readable.Close())
	}
	return errors.Join(reader.ValidateBlockChecksums(), reader.Close())
}
