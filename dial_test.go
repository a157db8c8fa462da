package upsycle_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
	"upsycle/upsycletest"
)

// nobody takes what links bring and does nothing.
type nobody struct{}

func (nobody) Event(context.Context, machine.Event) error { return nil }
func (nobody) Drained(machine.Drained)                    {}

// Each way in which Dial can fail has its sentence and its hint, and leaves
// nothing behind.
func TestDialFails(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	tb, done := upsycletest.Example()
	defer done()
	memory := link.NewMemory()
	network := upsycle.WithDialer(memory.Dial)
	router := upsycletest.Key(t, "router")
	other := upsycletest.Key(t, "other").Address()
	var nokey identity.Key

	closed := upsycletest.NewRouter(tb, upsycletest.Admit())
	skewed := link.NewHub(link.Config{
		Key: router, Role: wire.Core, Handler: nobody{}, Network: memory,
		Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	defer skewed.Close()
	if _, err := skewed.Listen(identity.Endpoint{Scheme: identity.SchemeMem, Where: "skewed"}); err != nil {
		t.Fatal(err)
	}
	plain, err := memory.Listen(identity.Endpoint{Scheme: identity.SchemeMem, Where: "plain"})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	go answerHTTP(plain)

	for _, c := range []struct {
		caption, endpoint string
		network           upsycle.Option
		key               identity.Key
		code              upsycle.Code
		text, hint        string
	}{
		{"no pin", "mem:router", closed.Dialer(), nokey, 0, "names no key", "upr1"},
		{"own key", closed.Endpoint(), closed.Dialer(), upsycletest.Key(t, "router router"), 0, "my own key", "another router"},
		{"nothing listens", pinned("nowhere", router.Address()), network, nokey, 0, "nothing listens", "upsycle run"},
		{"wrong pin", pinned("router", other), closed.Dialer(), nokey, 0, "another key than the pinned one", "after #"},
		{"not admitted", closed.Endpoint(), closed.Dialer(), nokey, upsycle.CodeNotAllowed, "not allowed", "operator"},
		{"clock", pinned("skewed", router.Address()), network, nokey, upsycle.CodeClock, "clock", "clock"},
		{"plain HTTP", pinned("plain", router.Address()), network, nokey, 0, "does not speak TLS", "port"},
		{"text", "tcp://x", network, nokey, 0, "unknown scheme", "tls://"},
	} {
		conn, err := upsycle.Dial(within(t), c.endpoint, c.key, c.network)
		if err == nil {
			conn.Close()
		}
		var d *upsycle.DialError
		if !errors.As(err, &d) || d.Code != c.code || !strings.Contains(err.Error(), c.text) || !strings.Contains(upsycle.Hint(err), c.hint) {
			t.Errorf("%s: %v (hint: %s)", c.caption, err, upsycle.Hint(err))
		}
	}
}

func pinned(name string, router identity.Address) string {
	return identity.Endpoint{Scheme: identity.SchemeMem, Where: name}.WithPin(router).String()
}

func answerHTTP(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Read(make([]byte, 16<<10))
		conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		conn.Close()
	}
}

func TestDialWaitsNoLongerThanItsContext(t *testing.T) {
	silent := func(ctx context.Context, _ identity.Endpoint) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := upsycle.Dial(ctx, pinned("x", upsycletest.Key(t, "x").Address()), identity.Key{}, upsycle.WithDialer(silent))
	if !errors.Is(err, context.DeadlineExceeded) || upsycle.Hint(err) == "" {
		t.Errorf("%v", err)
	}
}

// Trust on first use shows the key before anything else, and takes no for an
// answer.
func TestTrustOnFirstUse(t *testing.T) {
	r := upsycletest.NewRouter(t)
	bare, _, _ := strings.Cut(r.Endpoint(), "#")
	var shown identity.Address
	conn, err := upsycle.Dial(within(t), bare, identity.Key{}, r.Dialer(),
		upsycle.WithTrustOnFirstUse(func(a identity.Address) error { shown = a; return nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if shown != r.Address() || conn.Router() != r.Address() {
		t.Errorf("shown %v, attached to %v, it is %v", shown, conn.Router(), r.Address())
	}
	no := errors.New("a stranger")
	_, err = upsycle.Dial(within(t), bare, identity.Key{}, r.Dialer(),
		upsycle.WithTrustOnFirstUse(func(identity.Address) error { return no }))
	if !errors.Is(err, no) {
		t.Errorf("refused: %v", err)
	}
}
