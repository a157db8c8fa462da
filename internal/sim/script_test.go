package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestScripts plays each conversation under testdata. -update writes what came out
// into the files; read the difference before you keep it.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Play(string(text), Config{Seed: 1, Wire: true, StoreLate: true})
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if got == string(text) {
				return
			}
			if *flagUpdate {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s came out differently (-update writes it):\n%s", file, difference(string(text), got))
		})
	}
}

// difference returns the first lines that differ.
func difference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			from := max(0, i-3)
			return "file:\n" + strings.Join(a[from:min(len(a), i+6)], "\n") + "\nrun:\n" + strings.Join(b[from:min(len(b), i+6)], "\n")
		}
	}
	return ""
}

func TestScriptsSayWhatIsWrong(t *testing.T) {
	const start = "routers A B\nlink A B 1ms\nservice s at A\nrun 1s\n"
	for _, c := range []struct{ line, want string }{
		{"dance", "no such command"},
		{"cut A C", `no node "C"`},
		{"cut A A", "no such link"},
		{"crash", "words are missing"},
		{"run soon", "invalid duration"},
		{"run", "how long?"},
		{"subscribe x g", `no service "x"`},
		{"publish s g", "what text?"},
		{`publish s g "x`, "a quote that does not end"},
		{`expect s "x"`, `got , want "x"`},
		{"expect Z nothing", `no node "Z"`},
		{`refused s "x" ok`, "nobody published it"},
		{"show", "show what?"},
		{"show me", "show what?"},
		{"check trees", "I4"}, // after a second there are no roots yet
		{"link A B 1ms now", "words are missing"},
	} {
		_, err := Play(start+c.line+"\n", Config{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "line 5") {
			t.Errorf("%s: %v, want %q", c.line, err, c.want)
		}
	}
}

func TestScriptKeepsCommentsAndDropsOldOutput(t *testing.T) {
	got, err := Play("# hello\n\nrouters A\n| old\nrun 6s\nshow roots\n| older\n", Config{})
	if want := "# hello\n\nrouters A\nrun 6s\nshow roots\n| A counts [A]\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
