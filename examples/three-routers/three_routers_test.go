package threerouters_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"upsycle/internal/control"
)

// patience is how long one thing may take before the test fails.
const patience = 40 * time.Second

// bin is where the program lies, built once.
var bin string

func TestMain(m *testing.M) {
	os.Exit(build(m.Run))
}

func build(run func() int) int {
	dir, err := os.MkdirTemp("", "three-routers")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "upsycle"), "upsycle/cmd/upsycle")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	bin = dir
	return run()
}

// A reader follows the page in a copy of the directory, with ports that are free.
type reader struct {
	t    *testing.T
	dir  string
	page string
	vars string // the block that says where the routers are
	env  []string
}

var port = regexp.MustCompile(`127\.0\.0\.1:742\d`)

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{t: t, dir: t.TempDir()}
	free := make(map[string]string)
	for _, name := range []string{"README.md", "a.yaml", "b.yaml", "c.yaml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := port.ReplaceAllStringFunc(string(b), func(at string) string {
			if free[at] == "" {
				free[at] = freePort(t)
			}
			return free[at]
		})
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "README.md" {
			r.page = text
		}
	}
	r.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "UPSYCLE_KEYS=" + filepath.Join(r.dir, "keys")}
	return r
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// block returns the first shell block behind a text of the page.
func (r *reader) block(behind string) string {
	r.t.Helper()
	_, rest, found := strings.Cut(r.page, behind)
	_, rest, fenced := strings.Cut(rest, "```sh\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !fenced || !closed {
		r.t.Fatalf("the page has no block behind %q", behind)
	}
	return text
}

func (r *reader) shell(text string) *exec.Cmd {
	cmd := exec.Command("sh", "-e", "-c", text)
	cmd.Dir, cmd.Env = r.dir, r.env
	return cmd
}

// line makes a command of one line of the page.
func (r *reader) line(text string) string {
	r.t.Helper()
	if !strings.Contains(r.page, "\n"+text+"\n") {
		r.t.Fatalf("the page does not say: %s", text)
	}
	return r.vars + text
}

// do types a line of the page and returns all that it says.
func (r *reader) do(text string) (string, error) {
	r.t.Helper()
	out, err := r.shell(r.line(text)).CombinedOutput()
	return string(out), err
}

// must is do for what must succeed.
func (r *reader) must(text string) string {
	r.t.Helper()
	out, err := r.do(text)
	if err != nil {
		r.t.Fatalf("%s: %v\n%s", text, err, out)
	}
	return out
}

// A terminal is one process of the page.
type terminal struct {
	t        *testing.T
	name     string
	cmd      *exec.Cmd
	keyboard io.WriteCloser
	ended    chan struct{}
}

// open types a line of the page in a new terminal; the program's words are in
// NAME.out and NAME.err.
func (r *reader) open(name, text string) *terminal {
	r.t.Helper()
	// exec: a signal is for the program, not for its shell.
	cmd := r.shell(strings.Replace(r.line(text), "upsycle ", "exec upsycle ", 1))
	x := &terminal{t: r.t, name: filepath.Join(r.dir, name), cmd: cmd, ended: make(chan struct{})}
	var err error
	if x.keyboard, err = cmd.StdinPipe(); err != nil {
		r.t.Fatal(err)
	}
	for end, to := range map[string]*io.Writer{".out": &cmd.Stdout, ".err": &cmd.Stderr} {
		f, err := os.Create(x.name + end)
		if err != nil {
			r.t.Fatal(err)
		}
		defer f.Close()
		*to = f
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		cmd.Wait() // its status is looked at in end
		close(x.ended)
	}()
	r.t.Cleanup(func() { cmd.Process.Kill(); <-x.ended })
	return x
}

// types writes a line at the keyboard.
func (x *terminal) types(line string) {
	x.t.Helper()
	if _, err := io.WriteString(x.keyboard, line+"\n"); err != nil {
		x.t.Fatal(err)
	}
}

func (x *terminal) read(end string) string {
	b, err := os.ReadFile(x.name + end)
	if err != nil {
		x.t.Fatal(err)
	}
	return string(b)
}

// shows waits until stdout is as wanted.
func (x *terminal) shows(want string) {
	x.t.Helper()
	eventually(x.t, func() (bool, string) {
		out := x.read(".out")
		return out == want, fmt.Sprintf("%s shows %q, want %q\n%s", x.name, out, want, x.read(".err"))
	})
}

// says waits until stderr holds a text.
func (x *terminal) says(want string) {
	x.t.Helper()
	eventually(x.t, func() (bool, string) {
		return strings.Contains(x.read(".err"), want), fmt.Sprintf("%s did not say %q:\n%s", x.name, want, x.read(".err"))
	})
}

// end waits for the end with status 0.
func (x *terminal) end() {
	x.t.Helper()
	select {
	case <-x.ended:
		if !x.cmd.ProcessState.Success() {
			x.t.Errorf("%s: %v\n%s", x.name, x.cmd.ProcessState, x.read(".err"))
		}
	case <-time.After(patience):
		x.t.Errorf("%s still runs:\n%s", x.name, x.read(".err"))
	}
}

// eventually polls other processes, which is all that can be done about them.
func eventually(t *testing.T, ok func() (bool, string)) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		done, why := ok()
		if done {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(why)
		}
	}
}

// status asks a router.
func (r *reader) status(name string) (s control.Status) {
	out, err := r.shell("upsycle status --json --control run/" + name + "/control.sock").Output()
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil {
		r.t.Logf("status of %s: %v", name, err)
	}
	return s
}

// triangle waits until each router is linked to both others and has its way to a
// root.
func (r *reader) triangle() {
	r.t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		eventually(r.t, func() (bool, string) {
			s := r.status(name)
			rooted := false
			for _, root := range s.Roots {
				rooted = rooted || root.Reach && root.Counting
			}
			return rooted && len(s.Peers) == 2, fmt.Sprintf("router %s: %+v", name, s)
		})
	}
}

// The page, from its first command to its last, in its own words: every command
// that the test types stands there.
func TestThePage(t *testing.T) {
	r := newReader(t)
	if out, err := r.shell(r.block("## Keys")).CombinedOutput(); err != nil || strings.Count(string(out), ": ok, a core router") != 3 {
		t.Fatalf("keys: %v\n%s", err, out)
	}
	r.vars = r.block("where the routers are")
	a := r.open("a", "upsycle run --config run/a.yaml")
	b := r.open("b", "upsycle run --config run/b.yaml")
	c := r.open("c", "upsycle run --config run/c.yaml")
	r.triangle()
	bob := r.open("bob", `upsycle sub --router "$B" reading-club`)
	carol := r.open("carol", `upsycle sub --router "$C" reading-club`)
	dave := r.open("dave", `upsycle recv --router "$A" --key run/dave.pem`)
	bob.says("subscribed")
	carol.says("subscribed")
	dave.says("receiving for")

	alice := r.open("alice", `upsycle pub --router "$A" reading-club`)
	alice.types("chapter 1")
	alice.types("chapter 2")
	bob.shows("chapter 1\nchapter 2\n")
	carol.shows("chapter 1\nchapter 2\n")
	if out := r.must("upsycle status --control run/a/control.sock"); strings.Count(out, "peer ") != 2 || !strings.Contains(out, "attached") {
		t.Errorf("status of A:\n%s", out)
	}

	r.must(`echo "hello dave" | upsycle send --router "$C" "$(cat run/dave.key)"`)
	dave.shows("hello dave\n")
	r.must(`echo "hello B" | upsycle send --router "$C" "$(cat run/b.key)"`)
	eventually(t, func() (bool, string) {
		out, _ := r.do("upsycle status --control run/b/control.sock | grep 'router mail'")
		return strings.Contains(out, "router mail: 1"), "router B got no mail: " + out
	})

	if out, err := r.do(`echo "forged" | UPSYCLE_KEYS=run/stranger upsycle pub --router "$A" "$(cat run/club.key)"`); err == nil || !strings.Contains(out, "no key to publish in this group") {
		t.Errorf("a stranger published: %v\n%s", err, out)
	}
	r.forge()

	r.must(`kill -9 "$(cat run/b/lock)"`)
	<-b.ended
	bob.says("disconnected: ")
	alice.types("chapter 3")
	carol.shows("chapter 1\nchapter 2\nchapter 3\n")
	b = r.open("b", "upsycle run --config run/b.yaml")
	bob.says("connected again")
	r.triangle()
	alice.types("chapter 4")
	carol.shows("chapter 1\nchapter 2\nchapter 3\nchapter 4\n")
	// What came while B was dead may come late or not at all in this version, but
	// never twice, and the order holds.
	eventually(t, func() (bool, string) {
		out := bob.read(".out")
		ok := out == "chapter 1\nchapter 2\nchapter 4\n" || out == "chapter 1\nchapter 2\nchapter 3\nchapter 4\n"
		return ok, "bob shows " + out + bob.read(".err")
	})

	alice.keyboard.Close()
	alice.end()
	alice.says("4 accepted, as plaintext")
	for _, x := range []*terminal{bob, carol, dave, a, b, c} {
		x.cmd.Process.Signal(syscall.SIGTERM)
		x.end()
	}
}
