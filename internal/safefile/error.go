package safefile

import (
	"errors"
	"fmt"
	"io/fs"
)

// Why a file or directory was refused; errors.Is finds them in an *Error. What
// the system said (fs.ErrNotExist, fs.ErrExist, fs.ErrPermission …) is found the
// same way.
var (
	ErrExposed  = errors.New("others may access it")
	ErrOwner    = errors.New("it belongs to another user")
	ErrKind     = errors.New("it is not the right kind of file")
	ErrTooLarge = errors.New("it is too large")
	ErrInUse    = errors.New("another process uses it")
)

// An Error names the path, says in one sentence why it was refused, and what to
// do about it.
type Error struct {
	Path string
	text string
	hint string
	err  error // one of the reasons above, or what the system said
	// PID is the process that holds the directory, for ErrInUse; 0 if unknown.
	PID int
}

// Error returns the path and one sentence without the hint.
func (e *Error) Error() string { return e.Path + ": " + e.text }

// Hint says what to do about it, in one sentence without a full stop. It may be
// empty.
func (e *Error) Hint() string { return e.hint }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.err }

func exposed(path string, mode uint32, want string) error {
	return &Error{
		Path: path, err: ErrExposed, text: fmt.Sprintf("others may access it (mode %04o)", mode),
		hint: fmt.Sprintf("run: chmod %s %s; if it holds a key that others may have read, make a new key", want, path),
	}
}

func foreign(path string, uid, self int) error {
	return &Error{
		Path: path, err: ErrOwner, text: fmt.Sprintf("it belongs to user %d, and this process runs as user %d", uid, self),
		hint: "run as its owner, or name a path of your own",
	}
}

func wrongKind(path, found, hint string) error {
	return &Error{Path: path, err: ErrKind, text: "it is " + found, hint: hint}
}

func failed(path, doing string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "check the path for a slip of the pen"
	case errors.Is(err, fs.ErrExist):
		hint = "name another file, or remove this one first if nothing needs it"
	case errors.Is(err, fs.ErrPermission):
		hint = "run as the user who owns it"
	}
	return &Error{Path: path, err: err, text: fmt.Sprintf("cannot %s: %v", doing, bare(err)), hint: hint}
}
