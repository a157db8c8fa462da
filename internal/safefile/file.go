package safefile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Limit is the largest file that Read takes, in bytes.
const Limit = 64 << 10

const (
	fileMode = 0o600
	dirMode  = 0o700
	othersIn = 0o077 // the bits of a mode that let group or world in
)

// Read returns the bytes of a secret file of at most Limit bytes. It refuses
// what package safefile refuses; the error is an *Error.
func Read(path string) ([]byte, error) { return ReadLimit(path, Limit) }

// ReadLimit is Read for files of at most limit bytes.
func ReadLimit(path string, limit int64) ([]byte, error) { return read(path, limit, os.Geteuid()) }

// Write creates path with mode 0600 and writes b to the disk. It never touches a
// file that exists, not through a symbolic link either: the error is
// fs.ErrExist then.
func Write(path string, b []byte) error {
	if err := create(path, b); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// Replace writes b to a new file beside path and renames it to path, so that
// others and a crash see the old or the new bytes. The new file has mode 0600.
func Replace(path string, b []byte) error {
	dir := filepath.Dir(path)
	next := filepath.Join(dir, "."+filepath.Base(path)+"."+rand.Text())
	if err := create(next, b); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		_ = os.Remove(next)
		return failed(path, "replace it", err)
	}
	return syncDir(dir)
}

// EnsureDir makes path a directory that only this user can enter, with its
// parents if need be. A directory that exists must be so already: an *Error says
// what is wrong with it, and nothing is changed.
func EnsureDir(path string) error { return ensureDir(path, os.Geteuid()) }

func read(path string, limit int64, self int) ([]byte, error) {
	// O_NONBLOCK: opening a pipe must not wait for somebody to write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) {
		return nil, wrongKind(path, "a symbolic link", "name the file itself")
	}
	if err != nil {
		return nil, failed(path, "open it", err)
	}
	defer f.Close()
	size, err := checkFile(f, path, self)
	if err != nil {
		return nil, err
	}
	// The size is the file's claim; what is read decides.
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(f, limit+1)); err != nil {
		return nil, failed(path, "read it", err)
	}
	if int64(b.Len()) > limit {
		return nil, &Error{
			Path: path, err: ErrTooLarge, text: fmt.Sprintf("it has %d bytes, at most %d are expected", max(size, limit+1), limit),
			hint: "this is probably not the file that was meant",
		}
	}
	return b.Bytes(), nil
}

// checkFile judges the open file: kind, owner, mode. It returns the size.
func checkFile(f *os.File, path string, self int) (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, failed(path, "look at it", err)
	}
	if uint32(st.Mode)&unix.S_IFMT != unix.S_IFREG {
		return 0, wrongKind(path, "not a regular file", "name the file itself")
	}
	return st.Size, checkAccess(path, &st, self, "600")
}

// checkAccess judges owner and mode of a file or directory that was looked at.
func checkAccess(path string, st *unix.Stat_t, self int, want string) error {
	if int(st.Uid) != self {
		return foreign(path, int(st.Uid), self)
	}
	if mode := uint32(st.Mode) & 0o7777; mode&othersIn != 0 {
		return exposed(path, mode, want)
	}
	return nil
}

// create makes a new file and syncs its bytes; what cannot be finished is removed.
func create(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, fileMode)
	if err != nil {
		return failed(path, "create it", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(path)
		return failed(path, "write it", err)
	}
	return nil
}

// syncDir makes a new name in dir survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return failed(dir, "open it", err)
	}
	defer d.Close()
	// Some file systems cannot sync a directory; they have nothing to sync.
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return failed(dir, "sync it", err)
	}
	return nil
}

func ensureDir(path string, self int) error {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return failed(path, "create a directory above it", err)
	}
	if err := os.Mkdir(path, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return failed(path, "create the directory", err)
	}
	// Lstat, not Stat: in a directory that everybody may write to, a symbolic
	// link is somebody's trap.
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return failed(path, "look at it", err)
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFDIR:
		return checkAccess(path, &st, self, "700")
	case unix.S_IFLNK:
		return wrongKind(path, "a symbolic link where a directory is wanted", "name the directory itself")
	}
	return wrongKind(path, "a file where a directory is wanted", "name another directory, or move the file away")
}

// bare takes the path off a system error: Error prints it already.
func bare(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
