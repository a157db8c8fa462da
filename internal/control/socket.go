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

// Listen makes the control socket at path, readable by its owner alone, in a
// directory that must be the owner's alone too. A socket that a dead process left
// is replaced; one that answers is not.
func Listen(path string) (net.Listener, error) {
	if len(path) > pathMax {
		return nil, fmt.Errorf("control: the socket path %s is longer than %d characters; choose a shorter data directory", path, pathMax)
	}
	if err := private(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("control: another router answers at %s; stop it, or choose another data directory", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control: the old socket cannot be removed: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control: no socket at %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control: the socket cannot be made private: %w", err)
	}
	return ownUserOnly{l}, nil
}

// private makes sure that nobody else can reach into dir. The mode of the
// directory guards the socket before its own is set.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("control: no directory for the socket: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("control: the directory %s is open to others; run: chmod 700 %s", dir, dir)
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
