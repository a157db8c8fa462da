package safefile

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// file makes a file with exactly this mode, whatever the umask is.
func file(t *testing.T, path, content string, mode fs.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// refused checks kind, sentence and hint of a refusal.
func refused(t *testing.T, caption string, err, kind error, says, hint string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Errorf("%s: %v, want an *Error that is %v", caption, err, kind)
		return
	}
	if !strings.Contains(e.Error(), says) || !strings.Contains(e.Hint(), hint) || !strings.HasPrefix(e.Error(), e.Path+": ") {
		t.Errorf("%s: %q with hint %q, want %q and %q", caption, e.Error(), e.Hint(), says, hint)
	}
	if strings.Count(e.Error(), e.Path) != 1 {
		t.Errorf("%s: %q names the path more than once", caption, e.Error())
	}
}

func TestReadTakes(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		caption, content string
		mode             fs.FileMode
	}{
		{"a key", "secret", 0o600},
		{"a key that nobody can change", "secret", 0o400},
		{"an empty file", "", 0o600},
		{"a file of the largest size", strings.Repeat("x", Limit), 0o600},
	} {
		path := file(t, filepath.Join(dir, c.caption), c.content, c.mode)
		if b, err := Read(path); err != nil || string(b) != c.content {
			t.Errorf("%s: %d bytes, %v", c.caption, len(b), err)
		}
	}
}

// Each bit for group or world is enough to be refused.
func TestReadRefusesExposed(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []fs.FileMode{0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o666, 0o660, 0o777} {
		path := file(t, filepath.Join(dir, mode.String()), "secret", mode)
		b, err := Read(path)
		refused(t, mode.String(), err, ErrExposed, "others may access it", "chmod 600 "+path)
		if b != nil {
			t.Errorf("%v: the bytes are returned", mode)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	good := file(t, path("good"), "secret", 0o600)
	if err := os.Symlink(good, path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path("nowhere"), path("dangling")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path("pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	file(t, path("large"), strings.Repeat("x", Limit+1), 0o600)
	for _, c := range []struct {
		caption    string
		kind       error
		says, hint string
	}{
		{"missing", fs.ErrNotExist, "no such file", "check the path"},
		{"link", ErrKind, "a symbolic link", "name the file itself"},
		{"dangling", ErrKind, "a symbolic link", "name the file itself"},
		{"dir", ErrKind, "not a regular file", "name the file"},
		{"pipe", ErrKind, "not a regular file", "name the file"},
		{"large", ErrTooLarge, "65537 bytes, at most 65536", "not the file"},
		{"good/x", unix.ENOTDIR, "not a directory", ""},
	} {
		_, err := Read(path(c.caption))
		refused(t, c.caption, err, c.kind, c.says, c.hint)
	}
	_, err := Read("/dev/zero")
	refused(t, "a device without end", err, ErrKind, "not a regular file", "")
}

// A socket cannot even be opened.
func TestReadRefusesSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Read(path); err == nil {
		t.Error("accepted")
	}
}

func TestForeignOwner(t *testing.T) {
	dir := t.TempDir()
	path := file(t, filepath.Join(dir, "key"), "secret", 0o600)
	other := os.Geteuid() + 1
	_, err := read(path, Limit, other)
	refused(t, "file", err, ErrOwner, "belongs to user", "its owner")
	refused(t, "directory", ensureDir(filepath.Join(dir, "new"), other), ErrOwner, "belongs to user", "its owner")
	_, err = lock(dir, other)
	refused(t, "lock", err, ErrOwner, "belongs to user", "its owner")
}

func TestReadLimit(t *testing.T) {
	path := file(t, filepath.Join(t.TempDir(), "f"), "12345", 0o600)
	if b, err := ReadLimit(path, 5); err != nil || string(b) != "12345" {
		t.Errorf("%q, %v", b, err)
	}
	_, err := ReadLimit(path, 4)
	refused(t, "one byte more", err, ErrTooLarge, "5 bytes, at most 4", "")
}

func TestWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := Write(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	is(t, path, "secret", 0o600)
	err := Write(path, []byte("other"))
	refused(t, "twice", err, fs.ErrExist, "cannot create it: file exists", "another file")
	is(t, path, "secret", 0o600)
	refused(t, "no directory", Write(path+".d/key", nil), fs.ErrNotExist, "cannot create it", "check the path")
}

// A link where the new file should be is somebody's trap: its target stays.
func TestWriteThroughLink(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ caption, target string }{
		{"to a file", file(t, filepath.Join(dir, "victim"), "old", 0o600)},
		{"to nothing", filepath.Join(dir, "nothing")},
	} {
		link := filepath.Join(dir, c.caption)
		if err := os.Symlink(c.target, link); err != nil {
			t.Fatal(err)
		}
		refused(t, c.caption, Write(link, []byte("new")), fs.ErrExist, "cannot create it", "")
	}
	is(t, filepath.Join(dir, "victim"), "old", 0o600)
	if _, err := os.Lstat(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the link was followed: %v", err)
	}
}

func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := Replace(path, []byte("first")); err != nil {
		t.Fatal(err)
	}
	is(t, path, "first", 0o600)
	file(t, path, "open to all", 0o644)
	if err := Replace(path, []byte("second")); err != nil {
		t.Fatal(err)
	}
	is(t, path, "second", 0o600)
	alone(t, dir, "state")
}

// A link is replaced, not followed.
func TestReplaceLink(t *testing.T) {
	dir := t.TempDir()
	victim := file(t, filepath.Join(dir, "victim"), "old", 0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(victim, link); err != nil {
		t.Fatal(err)
	}
	if err := Replace(link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	is(t, victim, "old", 0o600)
	is(t, link, "new", 0o600)
}

// What cannot be finished leaves nothing behind.
func TestReplaceFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(filepath.Join(dir, "d"), []byte("x")); err == nil {
		t.Error("a directory was replaced")
	}
	alone(t, dir, "d")
	refused(t, "no directory", Replace(filepath.Join(dir, "none", "x"), nil), fs.ErrNotExist, "cannot create it", "")
}

func TestEnsureDir(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b", "c")
	for range 2 { // the second time it exists
		if err := EnsureDir(deep); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{deep, filepath.Dir(deep), filepath.Dir(filepath.Dir(deep))} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
}

func TestEnsureDirRefuses(t *testing.T) {
	root := t.TempDir()
	path := func(name string) string { return filepath.Join(root, name) }
	for name, mode := range map[string]fs.FileMode{"group": 0o750, "world": 0o701, "good": 0o700} {
		if err := os.Mkdir(path(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	file(t, path("file"), "", 0o600)
	if err := os.Symlink(path("good"), path("link")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		caption    string
		kind       error
		says, hint string
	}{
		{"group", ErrExposed, "mode 0750", "chmod 700 " + path("group")},
		{"world", ErrExposed, "mode 0701", "chmod 700 " + path("world")},
		{"file", ErrKind, "a file where a directory", "another directory"},
		{"link", ErrKind, "a symbolic link", "the directory itself"},
		{"file/sub", unix.ENOTDIR, "not a directory", ""},
	} {
		refused(t, c.caption, EnsureDir(path(c.caption)), c.kind, c.says, c.hint)
	}
	if info, err := os.Stat(path("group")); err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("the mode was changed: %v, %v", info.Mode(), err)
	}
}

// is checks a file's content and mode.
func is(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(b, []byte(content)) || info.Mode() != mode {
		t.Errorf("%s: %q, %v, %v, want %q, %v", path, b, info.Mode(), err, content, mode)
	}
}

// alone checks that a directory holds one thing.
func alone(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != name {
		t.Errorf("%v, %v: want %s alone", entries, err, name)
	}
}
