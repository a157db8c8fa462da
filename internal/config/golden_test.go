package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testEnv is an environment whose paths do not depend on who runs the tests.
var testEnv = Env{Home: "/home/ada", Runtime: "/run/user/1000", UID: 1000}

// Each file under testdata/bad has one fault; beside it lies what is said about
// it. An alias has an anchor to remove too, and what is nested too deep is no
// table either. Look at the difference after "go test -update".
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		ps := golden(t, file)
		name := filepath.Base(file)
		if len(ps) != 1 && name != "alias.yaml" && name != "deep.yaml" {
			t.Errorf("%s: %d problems, want one", file, len(ps))
		}
		for _, p := range ps {
			if p.Line == 0 || p.Column == 0 || p.Text == "" || p.Hint == "" || strings.Contains(p.Text+p.Hint, "\n") {
				t.Errorf("%s: without place, sentence or hint: %+v", file, p)
			}
		}
	}
}

// All that is wrong is reported at once, in the order of the file.
func TestManyProblems(t *testing.T) {
	if ps := golden(t, "testdata/many.yaml"); len(ps) < 12 {
		t.Errorf("%d problems", len(ps))
	}
}

// golden loads a file that must be refused and compares what is said.
func golden(t *testing.T, file string) Problems {
	t.Helper()
	cfg, err := Load(file, testEnv)
	var ps Problems
	if !errors.As(err, &ps) {
		t.Errorf("%s: accepted as %+v, %v", file, cfg, err)
		return nil
	}
	// Only the base name, so that the files read the same on every system.
	got := strings.ReplaceAll(err.Error(), file, filepath.Base(file)) + "\n"
	want := strings.TrimSuffix(file, ".yaml") + ".txt"
	if *update {
		if err := os.WriteFile(want, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(want)
	if err != nil || string(b) != got {
		t.Errorf("%s says\n%swant\n%s%v", file, got, b, err)
	}
	return ps
}
