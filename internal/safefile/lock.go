package safefile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// LockName is the file in a locked directory that carries the lock and the pid
// of its holder. It stays behind when the lock is given back: removing it would
// let two processes lock two files of one name.
const LockName = "lock"

// Lock takes dir, which must exist, for this process until unlock is called or
// the process ends, however it ends. If somebody else has it, in another process
// or in this one, the error is an *Error with ErrInUse and the holder's PID. The
// lock is advisory and not for network file systems.
//
// unlock may be called more than once and from any goroutine.
func Lock(dir string) (unlock func(), err error) { return lock(dir, os.Geteuid()) }

func lock(dir string, self int) (func(), error) {
	path := filepath.Join(dir, LockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, fileMode)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EMLINK) {
		return nil, wrongKind(path, "a symbolic link", "remove it: a lock file is no link")
	}
	if err != nil {
		return nil, failed(path, "open the lock file", err)
	}
	if err := take(f, dir, path, self); err != nil {
		f.Close()
		return nil, err
	}
	return sync.OnceFunc(func() {
		_ = f.Truncate(0) // a pid that nobody finds is better than one of a dead process
		f.Close()         // which gives the lock back
	}), nil
}

// take locks the open file and writes our pid into it.
func take(f *os.File, dir, path string, self int) error {
	if _, err := checkFile(f, path, self); err != nil {
		return err
	}
	err := flock(f)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return inUse(f, dir)
	}
	if err != nil {
		return failed(path, "lock it", err)
	}
	if err := f.Truncate(0); err != nil {
		return failed(path, "write it", err)
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return failed(path, "write it", err)
	}
	return nil
}

// flock asks once, and again only when a signal came in between.
func flock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// inUse names the holder. Between taking the lock and writing its pid a holder
// has no name: the file is empty then.
func inUse(f *os.File, dir string) error {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return &Error{Path: dir, err: ErrInUse, text: "another process uses this directory", hint: "stop it, or name another directory"}
	}
	return &Error{
		Path: dir, err: ErrInUse, PID: pid, text: fmt.Sprintf("process %d uses this directory", pid),
		hint: fmt.Sprintf("stop it with: kill %d, or name another directory", pid),
	}
}
