package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"upsycle/internal/store"
)

// What can be wrong with a directory; errors.Is finds them in an *Error. ErrFull
// of package store is found too where the disk is full.
var (
	ErrDiskFull = errors.New("the disk is full")
	ErrReadOnly = errors.New("it cannot be written")
	ErrCorrupt  = errors.New("it is damaged")
	ErrNewer    = errors.New("a newer version wrote it")
	ErrInUse    = errors.New("another process uses it")
	ErrMissing  = errors.New("there is no store")
	ErrIO       = errors.New("the disk failed")
)

// An Error names the file or directory, says in one sentence what is wrong with
// it, and what to do about it.
type Error struct {
	Path string
	// PID is the process that has the directory, for ErrInUse; 0 if unknown.
	PID  int
	kind error // one of the above
	text string
	hint string
	err  error // what the system said, or nil
}

// Error returns the path and one sentence without the hint.
func (e *Error) Error() string { return e.Path + ": " + e.text }

// Hint says what to do about it, in one sentence without a full stop.
func (e *Error) Hint() string { return e.hint }

// Is makes errors.Is find the kind.
func (e *Error) Is(target error) bool {
	return target == e.kind || target == store.ErrFull && e.kind == ErrDiskFull
}

// Unwrap returns what the system said.
func (e *Error) Unwrap() error { return e.err }

const (
	hintCorrupt = "nothing was deleted; stop the router, copy the directory away, then restore it from a backup " +
		"or begin with an empty one; 'upsycle store check' lists what is damaged"
	hintFull = "free some space on this volume, then start the router again; what was acknowledged is safe"
	hintIO   = "look at the system's log for the disk, then start the router again; what was acknowledged before is safe " +
		"unless the disk lost it"
)

// classify turns what the system or pebble said while doing something with path
// into an *Error. An *Error stays what it is.
func classify(path, doing string, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{Path: path, err: err, kind: ErrIO, hint: hintIO, text: "cannot " + doing + ": " + oneLine(err)}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.kind, e.hint, e.text = ErrDiskFull, hintFull, "the disk became full: "+e.text
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		e.kind, e.hint = ErrReadOnly, "let this user write there, or name another data directory"
	case pebble.IsCorruptionError(err):
		e.kind, e.hint, e.text = ErrCorrupt, hintCorrupt, "it is damaged: "+oneLine(err)
		if info := pebble.ExtractDataCorruptionInfo(err); info != nil {
			e.Path = info.Path
		}
	}
	return e
}

func damaged(path, text string, err error) *Error {
	return &Error{Path: path, kind: ErrCorrupt, hint: hintCorrupt, text: text, err: err}
}

// newer tells of a store of a later schema; 0: of a later format of pebble.
func newer(path string, schema int) *Error {
	text := "a newer version of upsycle wrote this store"
	if schema > 0 {
		text += fmt.Sprintf(" (schema %d)", schema)
	}
	return &Error{
		Path: path, kind: ErrNewer, text: text,
		hint: "run the version that wrote it, or a later one; nothing was changed",
	}
}

func inUse(path string, pid int, err error) *Error {
	e := &Error{
		Path: path, PID: pid, kind: ErrInUse, err: err, text: "another process uses this store",
		hint: "stop it, or name another data directory",
	}
	if pid > 0 {
		e.text = fmt.Sprintf("process %d uses this store", pid)
		e.hint = fmt.Sprintf("stop it with: kill %d, or name another data directory", pid)
	}
	return e
}

// oneLine is the text of err without the lines that pebble's errors add.
func oneLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}
