//go:build unix && !solaris && !illumos && !aix

package disk

import (
	"errors"
	"io"
	"os"
	"syscall"
)

// owner returns the process that holds pebble's lock on a file, 0 if unknown. err
// is what pebble said. The lock of this very process has no errno, and is not
// looked for: to close any descriptor of the file would give it back.
func owner(path string, err error) int {
	if !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EACCES) {
		return 0
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, &lock); err != nil || lock.Type == syscall.F_UNLCK {
		return 0
	}
	return int(lock.Pid)
}
