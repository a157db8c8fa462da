package store

import (
	"errors"
	"fmt"

	"upsycle/internal/machine"
)

// Errors of engines and writers.
var (
	// ErrFull says that rows do not fit. Engines return a *FullError, which
	// matches it and has the figures.
	ErrFull = errors.New("store: full")
	// ErrClosed says that the engine or the writer was closed.
	ErrClosed = errors.New("store: closed")
	// ErrBusy says that more waits to be written than a Writer holds.
	ErrBusy = errors.New("store: too much waits to be written")
	// ErrRow says that a row is none: its key is empty or begins with 0, or it
	// has an End and a Value. Whoever made it is wrong; nothing was written.
	ErrRow = errors.New("store: not a row")
)

// An Engine keeps rows in the order of their keys (as bytes.Compare orders them).
// It may be used by any number of goroutines.
type Engine interface {
	// Apply commits rows together: all or, with an error, none. Of two rows
	// with one key the later counts; a nil Value deletes, and a row with an End
	// deletes what the rows before it and the engine have in [Key, End), which
	// may be nothing. When it returns nil the rows are as durable as this
	// engine makes them. It may keep the keys and values, not the list.
	Apply(rows []machine.Row) error
	// Get returns the value of key, nil where there is none; an empty value
	// is not nil. The caller must not change it.
	Get(key []byte) ([]byte, error)
	// Scan returns at most limit rows with from ≤ key < to in ascending order,
	// and whether there are more. A nil from is the beginning, a nil to the
	// end. The caller must not change the rows.
	Scan(from, to []byte, limit int) (rows []machine.Row, more bool, err error)
	// Close ends the engine. Later calls return ErrClosed.
	Close() error
}

// CheckRows returns ErrRow if an engine must refuse one of rows.
func CheckRows(rows []machine.Row) error {
	for _, r := range rows {
		if len(r.Key) == 0 || r.Key[0] == 0 || r.End != nil && r.Value != nil {
			return fmt.Errorf("%w: key %.40x, end %.40x, %d bytes of value", ErrRow, r.Key, r.End, len(r.Value))
		}
	}
	return nil
}

// Usage says how full an engine is.
type Usage struct {
	Rows  int
	Bytes int64 // keys, values and what the engine itself needs for a row
	Limit int64 // of Bytes; 0: none
}

// A FullError is ErrFull with figures.
type FullError struct {
	Usage Usage
	Asked int64 // bytes by which the rows would have grown the store
}

// Error says what was asked and what there is.
func (e *FullError) Error() string {
	return fmt.Sprintf("store: full: %d bytes do not fit, %d of %d bytes are used by %d rows",
		e.Asked, e.Usage.Bytes, e.Usage.Limit, e.Usage.Rows)
}

// Is makes errors.Is(err, ErrFull) true.
func (e *FullError) Is(target error) bool { return target == ErrFull }
