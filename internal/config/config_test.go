package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"upsycle/identity"
)

// Routers, a service, and a group of the tests.
const (
	routerA  = "upr132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawq84fhjv"
	routerB  = "upr1syuhwr4g05t4744r23nvxnr7en9cmz53knhr0gja7c84hr7fkw2qmay656"
	serviceA = "ups132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawqc7ej0j"
)

func address(t testing.TB, s string) identity.Address {
	t.Helper()
	a, _, err := identity.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func endpoint(t testing.TB, s string) identity.Endpoint {
	t.Helper()
	e, err := identity.ParseEndpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// same compares configurations; addresses and endpoints are plain values.
func same(t *testing.T, caption string, got, want Config) {
	t.Helper()
	plain := cmp.Comparer(func(a, b identity.Address) bool { return a == b })
	if d := cmp.Diff(want, got, plain); d != "" {
		t.Errorf("%s:\n%s", caption, d)
	}
}

func defaultConfig(t *testing.T) Config {
	t.Helper()
	return Config{
		Listen:   []identity.Endpoint{endpoint(t, "unix:///run/user/1000/upsycle/router.sock")},
		Data:     "/home/ada/.local/state/upsycle",
		Key:      "/home/ada/.local/state/upsycle/router.pem",
		Services: Access{Local: true}, Edges: Access{Local: true}, CanRoot: true,
		Limits: Limits{Custody: 4 << 30, MailboxBytes: 64 << 20, MailboxEntries: 50000, Clients: 10000, Links: 10256},
	}
}

func TestDefault(t *testing.T) {
	cfg, err := Default(testEnv)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "default", cfg, defaultConfig(t))
	if cfg.Edge() {
		t.Error("a router without homes is an edge")
	}
}

// A file that sets nothing is the default.
func TestEmptyFiles(t *testing.T) {
	for _, s := range []string{"", "\n", "# nothing\n", "---\n", "--- # nothing\n...\n", "{}\n", "\ufeff# with a byte order mark\n"} {
		cfg, err := Parse("/etc/upsycle.yaml", []byte(s), testEnv)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		same(t, s, cfg, defaultConfig(t))
	}
}

func TestWholeFile(t *testing.T) {
	cfg, err := Parse("/etc/upsycle/router.yaml", []byte(`
listen: ["tls://[::]:7420", unix:///run/u.sock]
peers:
  - tls://b.example.org:7420#`+routerB+`
  - `+routerA+`
key: keys/router.pem   # relative to the file
data: ~/upsycle
services: any
edges: [local, `+routerB+`]
can-root: false
limits: {custody: 1GiB, mailbox-bytes: 1048576, mailbox-entries: 7, clients: 3, links: 12}
log: {level: debug, format: json}
`), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "whole", cfg, Config{
		Listen: []identity.Endpoint{endpoint(t, "tls://[::]:7420"), endpoint(t, "unix:///run/u.sock")},
		Peers:  []identity.Endpoint{endpoint(t, "tls://b.example.org:7420#"+routerB)},
		Accept: []identity.Address{address(t, routerA)},
		Key:    "/etc/upsycle/keys/router.pem", Data: "/home/ada/upsycle",
		Services: Access{Any: true}, Edges: Access{Local: true, Keys: []identity.Address{address(t, routerB)}},
		Limits: Limits{Custody: 1 << 30, MailboxBytes: 1 << 20, MailboxEntries: 7, Clients: 3, Links: 12},
		Log:    Log{Level: slog.LevelDebug, JSON: true},
	})
}

func TestEdgeFile(t *testing.T) {
	cfg, err := Parse("edge.yaml", []byte("homes:\n- tls://a.example.org:7420#"+routerA+"\n- unix:///b#"+routerB+
		"\npeers: []\nservices: [ "+serviceA+" ]\nlisten: []\ndata: state\n"), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig(t)
	want.Homes = []identity.Endpoint{endpoint(t, "tls://a.example.org:7420#"+routerA), endpoint(t, "unix:///b#"+routerB)}
	want.Services = Access{Keys: []identity.Address{address(t, serviceA)}}
	want.Listen, want.Data, want.Key = nil, "state", "state/router.pem"
	same(t, "edge", cfg, want)
	if !cfg.Edge() {
		t.Error("a router with homes is no edge")
	}
}

// Keys without checksum are taken; 64 digits are not a number, whatever YAML says.
func TestOtherFormsOfKeys(t *testing.T) {
	hex := address(t, routerA).Text(identity.NoText)
	cfg, err := Parse("f", []byte("peers: ["+hex+"]\nservices: [did:key:z6Mkon3Necd6NkkyfoGoHxid2znGc59LU3K7mubaRcFbLfLX]\n"), testEnv)
	if err != nil || len(cfg.Accept) != 1 || cfg.Accept[0] != address(t, routerA) || cfg.Services.Keys[0] != address(t, routerA) {
		t.Errorf("%+v, %v", cfg, err)
	}
}

func TestNobodyMayAttach(t *testing.T) {
	cfg, err := Parse("f", []byte("services: []\nedges: []\n"), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if s := cfg.Services; s.Any || s.Local || len(s.Keys) != 0 {
		t.Errorf("%+v", s)
	}
}

// Every setting stands in the example, commented out or not, and what is not
// commented out has the default where a default can be shown.
func TestExample(t *testing.T) {
	cfg, err := Parse("example.yaml", []byte(Example()), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig(t)
	want.Listen = []identity.Endpoint{endpoint(t, "unix:///run/upsycle/router.sock"), endpoint(t, "tls://127.0.0.1:7420")}
	want.Data, want.Key = "/var/lib/upsycle", "/var/lib/upsycle/router.pem"
	same(t, "example", cfg, want)
	for _, fields := range [][]field{rootFields(), limitFields(), logFields()} {
		for _, f := range fields {
			if !regexp.MustCompile(`(?m)^#?( *)` + f.name + `:`).MatchString(Example()) {
				t.Errorf("%s is missing", f.name)
			}
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) {
		if err := os.WriteFile(path(name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("good", []byte("data: d\n"))
	write("full", []byte("data: d\n#"+strings.Repeat("x", MaxSize-10)+"\n"))
	write("large", []byte("data: d\n#"+strings.Repeat("x", MaxSize-9)+"\n"))
	for _, c := range []struct{ caption, says string }{
		{"good", ""},
		{"full", ""},
		{"large", "larger than 1048576 bytes"},
		{"missing", "no such file"},
		{".", "is a directory"},
	} {
		cfg, err := Load(path(c.caption), testEnv)
		var ps Problems
		switch {
		case c.says == "" && (err != nil || cfg.Data != path("d")):
			t.Errorf("%s: %+v, %v", c.caption, cfg, err)
		case c.says != "" && (!errors.As(err, &ps) || len(ps) != 1 || !strings.Contains(ps[0].Text, c.says) || ps[0].Hint == "" || ps[0].File != path(c.caption)):
			t.Errorf("%s: %v, want it to say %q", c.caption, err, c.says)
		}
	}
}

// Without a home directory a path must be said; with one that is said all is well.
func TestNoHome(t *testing.T) {
	env := Env{UID: 7}
	_, err := Default(env)
	if err == nil || !strings.Contains(err.Error(), "configuration: there is no directory for data") {
		t.Errorf("no home: %v", err)
	}
	cfg, err := Parse("f", []byte("data: /d\n"), env)
	if err != nil || cfg.Key != "/d/router.pem" || cfg.Listen[0].Where != "/tmp/upsycle-7/router.sock" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if _, err := Parse("f", []byte("data: ~/d\n"), env); err == nil || !strings.Contains(err.Error(), "f:1:7: a path that begins with ~/") {
		t.Errorf("no home for ~: %v", err)
	}
}

func TestPaths(t *testing.T) {
	for _, c := range []struct {
		caption      string
		env          Env
		socket, data string
	}{
		{"nothing set", Env{UID: 5}, "/tmp/upsycle-5/router.sock", ""},
		{"home", Env{Home: "/h", UID: 5}, "/tmp/upsycle-5/router.sock", "/h/.local/state/upsycle"},
		{"all", Env{Home: "/h", Runtime: "/r", State: "/s", UID: 5}, "/r/upsycle/router.sock", "/s/upsycle"},
	} {
		if c.env.Socket() != c.socket || c.env.DataDir() != c.data || c.env.Listen().String() != "unix://"+c.socket {
			t.Errorf("%s: %s, %s, %s", c.caption, c.env.Socket(), c.env.DataDir(), c.env.Listen())
		}
	}
	if got := AddrFile("/r/upsycle/router.sock"); got != "/r/upsycle/router.addr" {
		t.Error(got)
	}
}

func TestSystemIgnoresRelativePaths(t *testing.T) {
	t.Setenv("HOME", "/home/ada")
	t.Setenv("XDG_RUNTIME_DIR", "run")
	t.Setenv("XDG_STATE_HOME", "")
	if got, want := System(), (Env{Home: "/home/ada", UID: os.Geteuid()}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A file full of faults does not fill the screen.
func TestProblemsAreBounded(t *testing.T) {
	_, err := Parse("f", []byte("listen: ["+strings.Repeat("x,", 1000)+"]\n"), testEnv)
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != problemsMax+1 || ps[problemsMax].Text != "and 950 more" {
		t.Errorf("%d problems", len(ps))
	}
}

func TestProblemString(t *testing.T) {
	for _, c := range []struct {
		p    Problem
		want string
	}{
		{Problem{File: "a", Line: 2, Column: 3, Text: "t", Hint: "h"}, "a:2:3: t\n  hint: h"},
		{Problem{File: "a", Text: "t"}, "a: t"},
		{Problem{Text: "t", Hint: "h"}, "configuration: t\n  hint: h"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if got := (Problems{{File: "a", Text: "t"}, {File: "b", Text: "u"}}).Error(); got != "a: t\nb: u" {
		t.Errorf("%q", got)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"listen", "peers", "key", "can-root", "mailbox-bytes"}
	for s, want := range map[string]string{
		"listne": "listen", "lisen": "listen", "LISTEN": "listen", "peer": "peers", "canroot": "can-root", "can_root": "can-root",
		"keys": "key", "mailbox-byte": "mailbox-bytes", "colour": "", "": "", "x": "", "ab": "", strings.Repeat("listen", 1000): "",
	} {
		if got := nearest(s, known); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1": 1, "1KiB": 1 << 10, "3 MiB": 3 << 20, "256MiB": 256 << 20, "2GiB": 2 << 30, "1TiB": 1 << 40} {
		if got, ok := parseSize(s); !ok || got != want {
			t.Errorf("%q: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "MiB", "iB", "-1", "+1", "01", "1.5GiB", "1 000", "1MB", "1mib", "1XiB", "9223372036854775807KiB", "0x10"} {
		if got, ok := parseSize(s); ok {
			t.Errorf("%q is %d", s, got)
		}
	}
	for n, want := range map[int64]string{0: "0", 1000: "1000", 1 << 20: "1MiB", 1 << 40: "1TiB", 1 << 52: "4096TiB", 3 << 10: "3KiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// No input makes the parser panic; what it refuses has sentences of one line and
// places inside the file; what it takes keeps the promises of the package.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "testdata/many.yaml") {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(Example()))
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg, err := Parse("f", b, testEnv)
		var ps Problems
		if errors.As(err, &ps) {
			for _, p := range ps {
				checkProblem(t, b, p)
			}
			return
		}
		if err != nil {
			t.Fatalf("%v is not Problems", err)
		}
		checkConfig(t, cfg)
	})
}

func checkProblem(t *testing.T, b []byte, p Problem) {
	lines := strings.Count(string(b), "\n") + 1
	if strings.ContainsAny(p.Text+p.Hint, "\n\r") || p.Text == "" || p.Hint == "" || p.Line < 0 || p.Column < 0 || p.Line > lines+strings.Count(string(b), "\r") {
		t.Fatalf("%+v", p)
	}
}

func checkConfig(t *testing.T, cfg Config) {
	if cfg.Data == "" || cfg.Key == "" || cfg.Edge() && len(cfg.Peers)+len(cfg.Accept) > 0 {
		t.Fatalf("%+v", cfg)
	}
	for _, e := range cfg.Listen {
		if e.HasPin || e.IsZero() {
			t.Fatalf("listen %v", e)
		}
	}
	keys := slices.Clone(cfg.Accept)
	for _, e := range slices.Concat(cfg.Peers, cfg.Homes) {
		if !e.HasPin || e.IsZero() {
			t.Fatalf("dial %v", e)
		}
		keys = append(keys, e.Pin)
	}
	slices.SortFunc(keys, identity.Address.Compare)
	if len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Fatalf("a key twice: %v", keys)
	}
}
