package link

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/identity"
	"upsycle/internal/wire"
)

var loopback = identity.Endpoint{Scheme: identity.SchemeTLS, Where: "127.0.0.1:0"}

// The door lets 8 of one source in at once, 256 in all, and paces them; our own
// user counts only in the total.
func TestDoor(t *testing.T) {
	d := newDoor(Limits{Handshakes: 12}.withDefaults())
	for n := range 8 {
		if !d.enter("a") {
			t.Fatalf("the %d. was refused", n)
		}
	}
	if d.enter("a") {
		t.Error("the ninth of one source came in")
	}
	if !d.enter("b") || !d.enter("") || !d.enter("") || !d.enter("") || d.enter("") || d.enter("b") {
		t.Error("the total is not 12")
	}
	d.leave("a")
	d.leave("b")
	if !d.enter("a") || d.sources["b"] != 0 || len(d.sources) != 1 {
		t.Errorf("after two have left: %v", d.sources)
	}
}

type addressed struct {
	net.Conn
	remote net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }

func TestSources(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []struct {
		addr net.Addr
		want string
	}{
		{tcp("192.0.2.1:99"), "192.0.2.1"},
		{tcp("[::ffff:192.0.2.1]:99"), "192.0.2.1"},
		{tcp("[2001:db8:1:2:3:4:5:6]:99"), "2001:db8:1:2::/64"},
		{tcp("[2001:db8:1:2:ffff::]:1"), "2001:db8:1:2::/64"},
		{memoryAddr("a"), "a"},
	} {
		if got := sourceOf(addressed{remote: c.addr}); got != c.want {
			t.Errorf("%v is %q, want %q", c.addr, got, c.want)
		}
	}
}

// A flood of strangers is bounded, and does not keep others out.
func TestStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		var conns []net.Conn
		for range 100 {
			conn, err := network.Node("flood").Dial(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		synctest.Wait()
		if c := home.Counters(); c.Accepted != 100 || c.Throttled != 92 || home.door.inside != 8 {
			t.Errorf("counters %+v, %d inside", c, home.door.inside)
		}
		client := newNode(t, keyOf(2), wire.Service, network.Node("client"))
		began := time.Now()
		client.dial(t, at)
		home.rec.awaitUp(t, 1)
		if took := time.Since(began); took > time.Second {
			t.Errorf("an honest client waited %v", took)
		}
		for _, conn := range conns {
			conn.Close()
		}
	})
}

// 50 connections a second are taken after a burst of 50.
func TestAcceptPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network, func(c *Config) { c.Limits.HandshakesPerSource = 1000 })
		at := home.listen(t, mem("home"))
		began := time.Now()
		for i := range 100 { // one source alone has half of the pace
			conn, err := network.Node(strconv.Itoa(i)).Dial(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
		}
		for home.Counters().Accepted < 100 {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took < 900*time.Millisecond || took > 1100*time.Millisecond {
			t.Errorf("100 connections were taken in %v", took)
		}
	})
}

// Bad input on the real port: each gets its sentence, and a linked peer does not
// notice.
func TestStrangersOnTCP(t *testing.T) {
	home := newNode(t, keyOf(1), wire.Core, System())
	at := home.listen(t, loopback)
	client := newNode(t, keyOf(2), wire.Service, System())
	client.dial(t, at)
	up := home.rec.awaitUp(t, 1)
	for i, c := range []struct {
		caption, text string
		speak         func() error
	}{
		{"HTTP", "but HTTP", func() error {
			_, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + at.Where + "/")
			return err
		}},
		{"SSH", "but SSH", func() error { return say(at.Where, "SSH-2.0-OpenSSH_9.9\r\n") }},
		{"garbage", "does not speak TLS", func() error { return say(at.Where, strings.Repeat("\x00\xff", 5000)) }},
		{"nothing", "hung up", func() error { return say(at.Where, "") }},
	} {
		c.speak()
		if n := home.rec.awaitNotice(t, StrangerFailed, i+1); !strings.Contains(n.Text, c.text) || n.Hint == "" {
			t.Errorf("%s: told %q, hint %q", c.caption, n.Text, n.Hint)
		}
		checkAlive(t, home, up.Link, client, i+1)
	}
}

func say(where, text string) error {
	conn, err := net.Dial("tcp", where)
	if err != nil {
		return err
	}
	defer conn.Close()
	io.WriteString(conn, text)
	if text != "" {
		_, err = io.Copy(io.Discard, conn)
	}
	return err
}

// A dial that meets another service says what it met.
func TestDialMeetsAnotherService(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	client := newNode(t, keyOf(2), wire.Service, System())
	ep := identity.Endpoint{Scheme: identity.SchemeTLS, Where: l.Addr().String()}
	client.dial(t, ep.WithPin(keyOf(1).Address()))
	if n := client.rec.awaitNotice(t, DialFailed, 1); !strings.Contains(n.Text, "but HTTP") {
		t.Errorf("told %+v", n)
	}
	dead := identity.Endpoint{Scheme: identity.SchemeTLS, Where: "127.0.0.1:1"}
	client.dial(t, dead.WithPin(keyOf(1).Address()))
	client.rec.await(t, "a refusal", func() bool {
		n := client.rec.notices[len(client.rec.notices)-1]
		return strings.Contains(n.Text, "nothing listens")
	})
}

// Errors of Listen tell what to do.
func TestListenErrors(t *testing.T) {
	home := newNode(t, keyOf(1), wire.Core, System())
	bound := home.listen(t, loopback)
	if bound.Pin != home.Self() || !bound.HasPin || strings.HasSuffix(bound.Where, ":0") {
		t.Errorf("bound to %v", bound)
	}
	dir := t.TempDir()
	for _, c := range []struct {
		caption, text string
		ep            identity.Endpoint
	}{
		{"a port in use", "another program uses it", bound},
		{"a foreign address", "no interface", identity.Endpoint{Scheme: identity.SchemeTLS, Where: "192.0.2.7:0"}},
		{"no directory", "does not exist", identity.Endpoint{Scheme: identity.SchemeUnix, Where: dir + "/no/s"}},
		{"a memory endpoint", "no mem endpoints", mem("x")},
	} {
		_, err := home.Listen(c.ep)
		var e *ListenError
		if !errors.As(err, &e) || !strings.Contains(e.Text, c.text) || e.Hint == "" {
			t.Errorf("%s: %v", c.caption, err)
		}
	}
}

// A socket file whose router crashed is replaced; a living router's and any other
// file are not.
func TestStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ep := identity.Endpoint{Scheme: identity.SchemeUnix, Where: path}
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	home := newNode(t, keyOf(1), wire.Core, System())
	if _, err := home.Listen(ep); err == nil {
		t.Fatal("a living socket was replaced")
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	client := newNode(t, keyOf(2), wire.Service, System())
	client.dial(t, home.listen(t, ep))
	client.rec.awaitUp(t, 1)
	home.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := newNode(t, keyOf(3), wire.Core, System())
	if _, err := other.Listen(ep); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("a file was removed")
	}
}

// L12: on a unix socket, too, a key must be proved.
func TestUnixSocketNeedsAKey(t *testing.T) {
	ep := identity.Endpoint{Scheme: identity.SchemeUnix, Where: filepath.Join(t.TempDir(), "s")}
	home := newNode(t, keyOf(1), wire.Core, System())
	home.listen(t, ep)
	conn, err := net.Dial("unix", ep.Where)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(appendFrame(nil, goodHello(wire.Service)))
	if n := home.rec.awaitNotice(t, StrangerFailed, 1); !strings.Contains(n.Text, "does not speak TLS") || n.Origin != "a unix socket" {
		t.Errorf("told %+v", n)
	}
}

// opensslFiles writes key and certificate as openssl reads them.
func opensslFiles(t *testing.T, key identity.Key) (keyFile, certFile string) {
	t.Helper()
	dir := t.TempDir()
	certificate, err := ownCertificate(key)
	if err != nil {
		t.Fatal(err)
	}
	keyFile, certFile = filepath.Join(dir, "key"), filepath.Join(dir, "cert")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
	if err := errors.Join(os.WriteFile(keyFile, identity.MarshalPEM(key), 0o600), os.WriteFile(certFile, block, 0o600)); err != nil {
		t.Fatal(err)
	}
	return keyFile, certFile
}

// L11: another implementation of TLS, dialling and listening, with keys proved
// both ways.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Log("there is no openssl on this machine; nothing was compared")
		return
	}
	t.Run("s_client", func(t *testing.T) {
		home := newNode(t, keyOf(1), wire.Core, System())
		at := home.listen(t, loopback)
		key, cert := opensslFiles(t, keyOf(2))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", at.Where, "-key", key, "-cert", cert,
			"-alpn", alpn, "-tls1_3", "-noservername", "-quiet")
		in, out := pipes(t, cmd)
		in.Write(appendFrame(nil, goodHello(wire.Service)))
		if up := home.rec.awaitUp(t, 1); up.Peer != keyOf(2).Address() {
			t.Errorf("linked to %v", up.Peer)
		}
		b, _, err := newFrameReader(out, 4096, newBudget(0)).next()
		if f, _ := wire.Decode(b, nil); err != nil || f == nil || f.Type() != wire.TypeHello {
			t.Errorf("openssl got %x, %v", b, err)
		}
		cancel()
		home.rec.awaitDown(t, 1)
	})
	t.Run("s_server", func(t *testing.T) {
		key, cert := opensslFiles(t, keyOf(1))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "openssl", "s_server", "-accept", "127.0.0.1:0", "-key", key, "-cert", cert,
			"-alpn", alpn, "-tls1_3", "-Verify", "1")
		in, out := pipes(t, cmd)
		where := acceptAddress(t, out)
		client := newNode(t, keyOf(2), wire.Service, System())
		ep := identity.Endpoint{Scheme: identity.SchemeTLS, Where: where}
		client.dial(t, ep.WithPin(keyOf(1).Address()))
		io.ReadAtLeast(out, make([]byte, 1<<16), 1) // it tells of the connection
		in.Write(appendFrame(nil, goodHello(wire.Core)))
		if up := client.rec.awaitUp(t, 1); up.Peer != keyOf(1).Address() || !up.Dialled {
			t.Errorf("linked: %+v", up)
		}
	})
}

func pipes(t *testing.T, cmd *exec.Cmd) (io.WriteCloser, io.Reader) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return in, out
}

// acceptAddress reads "ACCEPT 127.0.0.1:port" of s_server.
func acceptAddress(t *testing.T, out io.Reader) string {
	t.Helper()
	var seen bytes.Buffer
	pattern := regexp.MustCompile(`ACCEPT (127\.0\.0\.1:\d+)\n`)
	for b := make([]byte, 1); ; {
		if _, err := out.Read(b); err != nil {
			t.Fatalf("s_server said %q: %v", seen.String(), err)
		}
		seen.Write(b)
		if m := pattern.FindStringSubmatch(seen.String()); m != nil {
			return m[1]
		}
	}
}
