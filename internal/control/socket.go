package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// pathMax is the longest path of a unix socket that every system takes.
const pathMax = 100

// An Error says in one sentence why there is no control socket, or no answer from
// it. Hint says what to do about it; it may be empty.
type Error struct {
	text, hint string
	cause      error
}

// Error returns the sentence.
func (e *Error) Error() string { return e.text }

// Hint says what to do about it.
func (e *Error) Hint() string { return e.hint }

// Unwrap returns what was underneath.
func (e *Error) Unwrap() error { return e.cause }

func failed(what string, err error) error {
	return &Error{text: what + ": " + err.Error(), hint: "look at the data directory and who owns it", cause: err}
}

// Listen makes the control socket at path, readable by its owner alone, in a
// directory that must be the owner's alone too. A socket that a dead process left
// is replaced; one that answers is not.
func Listen(path string) (net.Listener, error) {
	if len(path) > pathMax {
		return nil, &Error{
			text: fmt.Sprintf("the path of the control socket %s is longer than %d characters", path, pathMax),
			hint: "choose a data directory with a shorter path",
		}
	}
	if err := private(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, &Error{text: "another router answers at " + path, hint: "stop it, or choose another data directory"}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, failed("the old control socket cannot be removed", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, failed("there can be no control socket", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, failed("the control socket cannot be made private", err)
	}
	return ownUserOnly{l}, nil
}

// private makes sure that nobody else can reach into dir. The mode of the
// directory guards the socket before its own is set.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return failed("there is no directory for the control socket", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return failed("the directory of the control socket cannot be looked at", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return &Error{text: fmt.Sprintf("the directory %s is open to others", dir), hint: "run: chmod 700 " + dir}
	}
	return nil
}

// ownUserOnly refuses connections of other users, whatever the file modes say.
type ownUserOnly struct{ net.Listener }

// Accept returns the next connection of the router's own user, or of root.
func (l ownUserOnly) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, ok := peerUser(c); ok && (uid == os.Getuid() || uid == 0) {
			return c, nil
		}
		c.Close()
	}
}
