package disk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"upsycle/internal/machine"
)

// childDir is the environment's variable that makes this test's binary a process
// that writes into a store until it is killed.
const childDir = "UPSYCLE_STORE_CHILD"

const killSize = 300

// child opens the store, goes on behind the last row, ten rows a commit, and prints
// how many rows are acknowledged. Now and then it deletes old ones by a range and
// closes and opens the store.
func child(dir string) int {
	for {
		e, err := open(Options{Dir: dir}, small)
		if err != nil {
			fmt.Println("error", err)
			return 1
		}
		next := 0
		if rows, _, err := e.Scan([]byte("n"), []byte("o"), 1); err != nil {
			fmt.Println("error", err)
			return 1
		} else if len(rows) == 1 {
			next, _ = strconv.Atoi(string(rows[0].Value))
		}
		fmt.Println("open", next)
		for range 300 {
			if err := commitNumbered(e, next); err != nil {
				fmt.Println("error", err)
				return 1
			}
			next += 10
			fmt.Println("acked", next)
		}
		if err := e.Close(); err != nil {
			fmt.Println("error", err)
			return 1
		}
	}
}

// kept is how many of the last rows the child keeps.
const kept = 1000

func commitNumbered(e *Engine, next int) error {
	var batch []machine.Row
	for n := next; n < next+10; n++ {
		batch = append(batch, numbered(n, killSize))
	}
	if next%500 == 0 && next >= kept {
		batch = append(batch, cleared("k", fmt.Sprintf("k%08d", next-kept)))
	}
	return e.Apply(append(batch, row("n", strconv.Itoa(next+10))))
}

// A real process writes and is killed at any moment, again and again. All that it
// said was acknowledged is there, whole and right.
func TestKill(t *testing.T) {
	rounds := 6
	if *torture {
		rounds = 300
	}
	dir := t.TempDir() + "/store"
	rng := rand.New(rand.NewPCG(7, 7))
	total := 0
	for round := range rounds {
		acked := killChild(t, dir, 5+rng.IntN(400))
		e, err := open(Options{Dir: dir}, small)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		checkKilled(t, fmt.Sprint("round ", round), e, acked)
		mustClose(t, e)
		total = acked
	}
	t.Logf("%d kills, %d rows acknowledged", rounds, total)
}

// killChild starts a child, kills it after it has printed lines lines and a moment,
// and returns the last number that it said was acknowledged.
func killChild(t *testing.T, dir string, lines int) (acked int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	scanner := bufio.NewScanner(out)
	for n := 0; scanner.Scan(); n++ {
		word, number, _ := strings.Cut(scanner.Text(), " ")
		if word == "error" {
			t.Fatalf("the child: %s", number)
		}
		acked, _ = strconv.Atoi(number)
		if n == 0 {
			inUseBy(t, dir, cmd.Process.Pid)
		}
		if n == lines {
			// It goes on writing while it is killed, and what it says until
			// then is still read.
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v\n%s", err, stderr.String())
	}
	return acked
}

// inUseBy wants the store to be refused, with the process that has it.
func inUseBy(t *testing.T, dir string, pid int) {
	t.Helper()
	_, err := Open(Options{Dir: dir})
	if fault := refused(t, "in use", err, ErrInUse); fault.PID != pid || !strings.Contains(fault.Error(), strconv.Itoa(pid)) {
		t.Errorf("%v, want process %d", fault, pid)
	}
}

func checkKilled(t *testing.T, caption string, e *Engine, acked int) {
	t.Helper()
	v, err := e.Get([]byte("n"))
	if err != nil {
		t.Fatal(err)
	}
	has, _ := strconv.Atoi(string(v))
	if has < acked {
		t.Fatalf("%s: %d rows, %d were acknowledged", caption, has, acked)
	}
	rows, _, err := e.Scan([]byte("k"), []byte("l"), 1<<30)
	if err != nil || len(rows) < min(kept, has) {
		t.Fatalf("%s: %d of the last %d rows: %v", caption, len(rows), kept, err)
	}
	for i, r := range rows {
		w := numbered(has-len(rows)+i, killSize)
		if !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) {
			t.Fatalf("%s: row %q is not %q", caption, r.Key, w.Key)
		}
	}
}

// The store of this very process is in use too.
func TestInUse(t *testing.T) {
	for name, o := range map[string]Options{
		"disk": {Dir: t.TempDir() + "/store"}, "memory": func() Options { o, _ := memory(t); return o }(),
	} {
		e := mustOpen(t, o)
		_, err := Open(o)
		if fault := refused(t, name, err, ErrInUse); fault.PID != 0 {
			t.Errorf("%s: process %d", name, fault.PID)
		}
		mustApply(t, e, row("a", "1")) // the refusal did no harm
		mustClose(t, e)
		mustClose(t, mustOpen(t, o))
	}
}

// eventually waits for something that happens in the background.
func eventually(t *testing.T, caption string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 30 s", caption)
		}
		time.Sleep(time.Millisecond)
	}
}
