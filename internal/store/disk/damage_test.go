package disk

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"upsycle/internal/machine"
)

// torture makes the tests of this package look at everything, for minutes.
var torture = flag.Bool("torture", false, "the long form of the store's tests")

const (
	damageRows = 600
	damageSize = 400
)

// killed makes a store of damageRows rows in tables and log, as a killed process
// leaves it, and returns its files.
func killed(t testing.TB) map[string][]byte {
	t.Helper()
	dir := t.TempDir() + "/store"
	e := mustOpen(t, Options{Dir: dir})
	if _, err := fill(e, 0, damageRows-200, damageSize); err != nil {
		t.Fatal(err)
	}
	if err := e.db.Flush(); err != nil {
		t.Fatal(err)
	}
	// These stay in the log, and take more than one of its blocks.
	if _, err := fill(e, damageRows-200, 200, damageSize); err != nil {
		t.Fatal(err)
	}
	files := readAll(t, dir)
	mustClose(t, e)
	return files
}

func readAll(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, entry := range entries {
		b, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = b
	}
	return files
}

// lay writes files into a new directory.
func lay(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir() + "/store"
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kindOf tells what pebble keeps in a file.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, ".sst"), strings.HasSuffix(name, ".log"):
		return name[len(name)-3:]
	case strings.HasPrefix(name, "MANIFEST"), strings.HasPrefix(name, "OPTIONS"), strings.HasPrefix(name, "marker"):
		kind, _, _ := strings.Cut(name, "-")
		return kind
	}
	return name
}

// readStore opens a store and reads everything. It returns what went wrong, and
// fails the test if a row is wrong or missing although nothing did.
func readStore(t *testing.T, caption, dir string) error {
	t.Helper()
	e, err := open(Options{Dir: dir}, small)
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }() // frozen, perhaps
	next := 0
	err = e.Each([]byte("k"), []byte("l"), func(r machine.Row) error {
		w := numbered(next, damageSize)
		if string(r.Key) != string(w.Key) || string(r.Value) != string(w.Value) {
			t.Errorf("%s: row %d was served as %.20q, %.20q", caption, next, r.Key, r.Value)
		}
		next++
		return nil
	})
	if err == nil && next != damageRows {
		t.Errorf("%s: %d of %d rows, and no error", caption, next, damageRows)
	}
	return err
}

// Any byte of any file may be wrong: the damage is found, and told with the file and
// a hint, or it does not matter; no row is served wrong or is missing in silence.
// When the byte is put right, everything is there again: nothing was deleted.
func TestFlippedByte(t *testing.T) {
	files := killed(t)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	rng := rand.New(rand.NewPCG(1, 2))
	tries := 12
	if *torture {
		tries = 400
	}
	found, all := map[string]int{}, map[string]int{}
	for _, name := range names {
		for range min(tries, len(files[name])) {
			at := rng.IntN(len(files[name]))
			if flipped(t, files, name, at, byte(1+rng.IntN(255))) {
				found[kindOf(name)]++
			}
			all[kindOf(name)]++
		}
	}
	for kind, n := range all {
		t.Logf("%-10s %d of %d flips were found, the others did not matter", kind, found[kind], n)
	}
	for _, kind := range []string{"sst", "log", "MANIFEST"} {
		if found[kind] == 0 {
			t.Errorf("no flip in a %s was found", kind)
		}
	}
}

func flipped(t *testing.T, files map[string][]byte, name string, at int, mask byte) bool {
	t.Helper()
	caption := fmt.Sprintf("%s, byte %d of %d, xor %02x", name, at, len(files[name]), mask)
	dir := lay(t, files)
	wrong := slices.Clone(files[name])
	wrong[at] ^= mask
	if err := os.WriteFile(filepath.Join(dir, name), wrong, 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := Check(Options{Dir: dir}, nil)
	sound := err == nil && report.Sound()
	before := readAll(t, dir)
	err = readStore(t, caption, dir)
	if err == nil {
		if !sound {
			t.Errorf("%s: Check found %v, reading did not", caption, report.Damaged)
		}
		return false
	}
	var fault *Error
	if !errors.As(err, &fault) || fault.Hint() == "" {
		t.Errorf("%s: %v has no hint", caption, err)
	}
	if sound {
		t.Errorf("%s: reading found %v, Check did not", caption, err)
	}
	for name := range before {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %s was deleted", caption, name)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	return true
}
