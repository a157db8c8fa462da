package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The scripts under testdata are the contract of the commands, and a tutorial. In
// them "upsycle" is this program, in processes of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"upsycle": main})
}

// patience is how long a script waits for one thing.
const patience = 40 * time.Second

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "start": start, "await": await, "ends": ends, "signal": signalTo, "take": take, "expand": expand,
		},
	})
}

// variables are what a process that a script starts gets of the environment.
var variables = [...]string{"PATH", "HOME", "XDG_RUNTIME_DIR", "UPSYCLE_KEYS", "UPSYCLE_ROUTER", "UPSYCLE_CONTROL"}

// setup gives each script a user of its own.
func setup(env *testscript.Env) error {
	for name, dir := range map[string]string{"HOME": "home", "XDG_RUNTIME_DIR": "run", "UPSYCLE_KEYS": "keys"} {
		path := filepath.Join(env.WorkDir, dir)
		if err := os.MkdirAll(path, 0o700); err != nil {
			return err
		}
		env.Setenv(name, path)
	}
	env.Values[processesKey{}] = processes{}
	return nil
}

// processes are what "start" began, by name.
type processes map[string]*process

type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

type processesKey struct{} // of Env.Values

// exits runs a command to its end: exits CODE upsycle …; stdout and stderr are
// looked at afterwards. One of the codes 0, 1 and 2 is what scripts of users rely
// on, so "! exec" would say too little.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	code := "0"
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = fmt.Sprint(exit.ExitCode())
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if code != args[0] {
		ts.Fatalf("exit status %s, want %s", code, args[0])
	}
}

// start begins a process with stdout in NAME.out and stderr in NAME.err and waits
// until the latter matches: start NAME REGEXP COMMAND…
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME REGEXP COMMAND…")
	}
	name := args[0]
	p := &process{cmd: exec.Command(args[2], args[3:]...), ended: make(chan struct{})}
	p.cmd.Dir = ts.MkAbs(".")
	for _, v := range variables {
		p.cmd.Env = append(p.cmd.Env, v+"="+ts.Getenv(v))
	}
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer out.Close()
	problems, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer problems.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, problems
	ts.Check(p.cmd.Start())
	go func() {
		p.cmd.Wait() // the exit status is looked at by "ends"
		close(p.ended)
	}()
	ts.Value(processesKey{}).(processes)[name] = p
	ts.Defer(func() {
		p.cmd.Process.Kill()
		<-p.ended
	})
	await(ts, false, []string{name + ".err", args[1]})
}

// await waits until a file matches: await FILE REGEXP
func await(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(patience)
	for {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		ts.Check(err)
		if want.Match(b) {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			ts.Fatalf("%s does not match %s:\n%s", args[0], args[1], b)
		}
	}
}

// ends waits for the end of what "start" began: ends NAME CODE
func ends(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ends NAME CODE")
	}
	p := started(ts, args[0])
	select {
	case <-p.ended:
	case <-time.After(patience):
		ts.Fatalf("%s still runs", args[0])
	}
	if code := fmt.Sprint(p.cmd.ProcessState.ExitCode()); code != args[1] {
		b, _ := os.ReadFile(ts.MkAbs(args[0] + ".err"))
		ts.Fatalf("%s ended with status %s, want %s:\n%s", args[0], code, args[1], b)
	}
}

// signalTo sends a signal to what "start" began: signal NAME TERM
func signalTo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signal NAME TERM|KILL|INT")
	}
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL, "INT": os.Interrupt}
	ts.Check(started(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func started(ts *testscript.TestScript, name string) *process {
	p := ts.Value(processesKey{}).(processes)[name]
	if p == nil {
		ts.Fatalf("%s was not started", name)
	}
	return p
}

// take sets a variable to what a file holds: take VARIABLE FILE REGEXP, where the
// first group of the expression is taken.
func take(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: take VARIABLE FILE REGEXP")
	}
	found := regexp.MustCompile("(?m)" + args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if len(found) < 2 {
		ts.Fatalf("%s is not in %s", args[2], args[1])
	}
	ts.Setenv(args[0], found[1])
}

// expand puts the values of variables, written $NAME, into a file.
func expand(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args {
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(os.Expand(ts.ReadFile(file), ts.Getenv)), 0o600))
	}
}

// Every command says in its help what to type, with an example that is really
// there.
func TestHelpHasAnExample(t *testing.T) {
	var list func(words []string)
	list = func(words []string) {
		var out, problems bytes.Buffer
		if code := run(t.Context(), append(words, "--help"), stdio{nil, &out, &problems}); code != 0 || problems.Len() > 0 {
			t.Fatalf("%v: status %d, %s", words, code, &problems)
		}
		_, below, isParent := strings.Cut(out.String(), "Available Commands:\n")
		if !isParent {
			if !strings.Contains(out.String(), "Examples:\n") || !strings.Contains(out.String(), "upsycle "+strings.Join(words, " ")) {
				t.Errorf("the help of %v has no example:\n%s", words, &out)
			}
			return
		}
		for line := range strings.Lines(below) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name == "" {
				return
			}
			if name != "help" {
				list(append(words[:len(words):len(words)], name))
			}
		}
	}
	list(nil)
}
