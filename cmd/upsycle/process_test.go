package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"upsycle/internal/control"
)

// A desk is one user's place for the processes of a test: a directory with their
// files, and an environment of its own.
type desk struct {
	t   *testing.T
	dir string
	env []string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	for _, v := range []string{"HOME", "XDG_RUNTIME_DIR", "UPSYCLE_KEYS"} {
		path := filepath.Join(d.dir, v)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		d.env = append(d.env, v+"="+path)
	}
	d.env = append(d.env, "PATH="+os.Getenv("PATH"))
	return d
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) command(words ...string) *exec.Cmd {
	cmd := exec.Command("upsycle", words...)
	cmd.Dir, cmd.Env = d.dir, d.env
	return cmd
}

// do runs a command to its end and returns its answer.
func (d *desk) do(words ...string) string {
	d.t.Helper()
	var out, problems bytes.Buffer
	cmd := d.command(words...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		d.t.Fatalf("upsycle %q: %v\n%s", words, err, &problems)
	}
	return string(bytes.TrimSpace(out.Bytes()))
}

// A running process whose stderr can be waited for.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	said  *transcript
	ended chan struct{}
}

// begin starts a command; change may set stdin and stdout before.
func (d *desk) begin(change func(*exec.Cmd), words ...string) *running {
	d.t.Helper()
	r := &running{t: d.t, cmd: d.command(words...), said: &transcript{more: make(chan struct{}, 1)}, ended: make(chan struct{})}
	r.cmd.Stderr = r.said
	if change != nil {
		change(r.cmd)
	}
	if err := r.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		r.cmd.Wait() // its status is looked at by wait
		close(r.ended)
	}()
	d.t.Cleanup(r.kill)
	return r
}

// await waits until stderr matches and returns the first group of it.
func (r *running) await(expression string) string {
	r.t.Helper()
	want := regexp.MustCompile("(?m)" + expression)
	timeout := time.After(patience)
	for {
		if found := want.FindStringSubmatch(r.said.String()); found != nil {
			return found[len(found)-1]
		}
		select {
		case <-r.said.more:
		case <-r.ended:
			r.t.Fatalf("%q ended before it said %q:\n%s", r.cmd.Args, expression, r.said)
		case <-timeout:
			r.t.Fatalf("%q did not say %q:\n%s", r.cmd.Args, expression, r.said)
		}
	}
}

// wait waits for the end with status 0.
func (r *running) wait(within time.Duration) {
	r.t.Helper()
	select {
	case <-r.ended:
		if !r.cmd.ProcessState.Success() {
			r.t.Errorf("%q: %v\n%s", r.cmd.Args, r.cmd.ProcessState, r.said)
		}
	case <-time.After(within):
		r.cmd.Process.Signal(syscall.SIGQUIT)
		<-r.ended
		r.t.Fatalf("%q still ran after %v:\n%s", r.cmd.Args, within, r.said)
	}
}

// kill ends the process as a power cut would.
func (r *running) kill() {
	r.cmd.Process.Kill()
	<-r.ended
}

// A transcript keeps what a process says.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // capacity 1: there is more
}

// Write appends to the transcript.
func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// status asks a router that keeps its data in dir.
func (d *desk) status(dir string) control.Status {
	d.t.Helper()
	var s control.Status
	text := d.do("status", "--json", "--control", filepath.Join(dir, controlName))
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		d.t.Fatal(err)
	}
	return s
}

// eventually polls the status of a router until it is as wanted.
func (d *desk) eventually(dir, what string, ok func(control.Status) bool) control.Status {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	client := control.NewClient(filepath.Join(d.dir, dir, controlName))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last string
	for {
		s, err := client.Status(ctx)
		if err == nil && ok(s) {
			return s
		}
		last = fmt.Sprintf("%+v, %v", s, err)
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.t.Fatalf("%s: %s did not come about: %s", dir, what, last)
		}
	}
}

// linked reports whether a router has so many links and its way to a root.
func linked(peers int) func(control.Status) bool {
	return func(s control.Status) bool {
		for _, r := range s.Roots {
			if r.Reach && r.Counting && len(s.Peers) == peers {
				return true
			}
		}
		return false
	}
}
