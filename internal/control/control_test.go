package control

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fake is a router that says what it was told to say.
type fake struct {
	status Status
	err    error
}

func (f fake) Status(context.Context) (Status, error) { return f.status, f.err }

// serve runs the API on a socket in a private directory.
func serve(t *testing.T, b Backend) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: Handler(b)}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return path
}

func TestStatusCrossesTheSocket(t *testing.T) {
	want := Status{
		Version: "1", Address: "upr1x", Role: "core", UptimeMs: 5, Endpoints: []string{"tls://h:1"}, Encryption: "plaintext",
		Peers: []Peer{{Address: "upr1y", RTTMs: 3, Cost: 67}}, Roots: []Root{{Address: "upr1x", Seq: 9, Reach: true}},
		Clients: []Mailbox{{Address: "ups1z", Attached: true, Waiting: 2}}, Targets: []Target{{Address: "upg1a", Kind: "group"}},
		Tables: []Table{{"t", 1, 2}}, Counters: map[string]uint64{"forwarded": 7},
	}
	got, err := NewClient(serve(t, fake{status: want})).Status(context.Background())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestFailureIsOneSentence(t *testing.T) {
	_, err := NewClient(serve(t, fake{err: errors.New("the router is stopping")})).Status(context.Background())
	if err == nil || err.Error() != "the router is stopping" || !strings.Contains(hint(err), "try again") {
		t.Fatalf("got %v", err)
	}
}

func TestNobodyAnswers(t *testing.T) {
	_, err := NewClient(filepath.Join(t.TempDir(), "none.sock")).Status(context.Background())
	if !errors.Is(err, ErrNoRouter) || !strings.Contains(hint(err), "upsycle run") {
		t.Fatalf("got %v (hint: %s), want ErrNoRouter", err, hint(err))
	}
}

// What answers is not always a router of this version.
func TestOddAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"no JSON", http.StatusOK, "<html>", "cannot be read"},
		{"a failure without a word", http.StatusTeapot, "", "418"},
		{"a failure in other words", http.StatusTeapot, `{"message":"no"}`, "418"},
	} {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "c.sock")
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		})}
		go srv.Serve(l)
		_, err = NewClient(path).Status(context.Background())
		srv.Close()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// A field that is null in JSON breaks scripts; what an empty router says is fixed
// here. Fields are only ever added.
func TestStatusJSONIsStable(t *testing.T) {
	b, err := json.Marshal(Status{})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields("version address role uptime_ms endpoints encryption peers roots clients targets tables counters") {
		if !strings.Contains(string(b), `"`+field+`":`) {
			t.Errorf("the field %q is gone: %s", field, b)
		}
	}
}

// A client that gives up does not hold the router.
func TestContextEndsTheQuestion(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewClient(serve(t, fake{})).Status(ctx); err == nil {
		t.Fatal("a question without time was answered")
	}
}

func TestBrowsersAreRefused(t *testing.T) {
	for _, c := range []struct{ name, origin, host string }{
		{"an origin", "http://evil.example", Host},
		{"another host", "", "evil.example"},
	} {
		req := httptest.NewRequest(http.MethodGet, "http://"+c.host+StatusPath, nil)
		if c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		w := httptest.NewRecorder()
		Handler(fake{}).ServeHTTP(w, req)
		if w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", c.name, w.Code)
		}
	}
}

func TestUnknownPathAndMethod(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         int
	}{{http.MethodPost, StatusPath, http.StatusMethodNotAllowed}, {http.MethodGet, "/v1/nothing", http.StatusNotFound}} {
		req := httptest.NewRequest(c.method, "http://"+Host+c.path, nil)
		w := httptest.NewRecorder()
		Handler(fake{}).ServeHTTP(w, req)
		if w.Code != c.want {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, w.Code, c.want)
		}
	}
}

func TestSocketIsPrivate(t *testing.T) {
	path := serve(t, fake{})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func hint(err error) string {
	var e *Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Hint()
}

// full returns a directory with something in it.
func full(t *testing.T) string {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c.sock")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestListenRefuses(t *testing.T) {
	open := t.TempDir()
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(open, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, path, want string }{
		{"an open directory", filepath.Join(open, "c.sock"), "chmod 700"},
		{"a path too long", filepath.Join(open, strings.Repeat("x", 120)), "longer than"},
		{"a living socket", serve(t, fake{}), "another router answers"},
		{"a directory where the socket should be", full(t), "cannot be removed"},
		{"a file where the directory should be", filepath.Join(file, "c.sock"), "no directory"},
	} {
		if l, err := Listen(c.path); err == nil || !strings.Contains(err.Error()+" "+hint(err), c.want) {
			if l != nil {
				l.Close()
			}
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

func TestDeadSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c.sock")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close() // as a killed process leaves it
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
