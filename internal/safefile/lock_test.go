package safefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// holdEnv makes the test program another process that holds a lock: it says when
// it has it, and keeps it until its standard input ends.
const holdEnv = "SAFEFILE_TEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		_, err := Lock(dir)
		fmt.Println(err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0) // without unlock: the end of the process gives it back
	}
	os.Exit(m.Run())
}

// holder starts another process that holds dir; end waits until it is gone.
func holder(t *testing.T, dir string) (pid int, end func()) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), holdEnv+"="+dir)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "<nil>\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return c.Process.Pid, func() {
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// A second process is refused with the pid of the first; when that one is gone,
// without having given anything back, the lock is free.
func TestLockBetweenProcesses(t *testing.T) {
	dir := t.TempDir()
	pid, end := holder(t, dir)
	_, err := Lock(dir)
	refused(t, "held", err, ErrInUse, fmt.Sprintf("process %d uses this directory", pid), fmt.Sprintf("kill %d", pid))
	var e *Error
	if !errors.As(err, &e) || e.PID != pid || e.Path != dir {
		t.Errorf("%+v, want pid %d", e, pid)
	}
	end()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatalf("the holder is gone: %v", err)
	}
	unlock()
}

func TestLockInOneProcess(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	refused(t, "twice", err, ErrInUse, fmt.Sprintf("process %d", os.Getpid()), "")
	if b, err := os.ReadFile(filepath.Join(dir, LockName)); err != nil || strings.TrimSpace(string(b)) != fmt.Sprint(os.Getpid()) {
		t.Errorf("the lock file says %q, %v", b, err)
	}
	unlock()
	unlock() // no effect
	again, err := Lock(dir)
	if err != nil {
		t.Fatalf("given back: %v", err)
	}
	defer again()
	unlock() // still no effect on the next one's lock
	if _, err := Lock(dir); !errors.Is(err, ErrInUse) {
		t.Errorf("an old unlock gave back a new lock: %v", err)
	}
}

// Two directories are two locks.
func TestLocksAreApart(t *testing.T) {
	for range 2 {
		unlock, err := Lock(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
	}
}

// What a dead process left in the file is no claim, and is written over.
func TestLockOverLeftovers(t *testing.T) {
	dir := t.TempDir()
	path := file(t, filepath.Join(dir, LockName), "4294967295 and more than a pid needs, left behind\n", 0o600)
	unlock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	is(t, path, fmt.Sprintf("%d\n", os.Getpid()), 0o600)
	unlock()
	is(t, path, "", 0o600)
}

// A holder that has not written its pid yet, or whose file somebody spoiled.
func TestLockOfUnknownHolder(t *testing.T) {
	for _, content := range []string{"", "none", "-5", "0"} {
		dir := t.TempDir()
		unlock, err := Lock(dir)
		if err != nil {
			t.Fatal(err)
		}
		file(t, filepath.Join(dir, LockName), content, 0o600)
		_, err = Lock(dir)
		refused(t, content, err, ErrInUse, "another process uses this directory", "stop it")
		unlock()
	}
}

func TestLockRefuses(t *testing.T) {
	dir := t.TempDir()
	_, err := Lock(filepath.Join(dir, "none"))
	refused(t, "no directory", err, os.ErrNotExist, "cannot open the lock file", "")

	victim := file(t, filepath.Join(dir, "victim"), "old", 0o600)
	if err := os.Symlink(victim, filepath.Join(dir, LockName)); err != nil {
		t.Fatal(err)
	}
	_, err = Lock(dir)
	refused(t, "a link", err, ErrKind, "a symbolic link", "")
	is(t, victim, "old", 0o600)

	open := t.TempDir()
	file(t, filepath.Join(open, LockName), "", 0o666)
	_, err = Lock(open)
	refused(t, "a lock file that others may hold", err, ErrExposed, "mode 0666", "chmod 600")
}
