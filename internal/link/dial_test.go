package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// The back-off doubles from 250 ms to 30 s, takes at least half of each step, and
// starts anew after 10 s of success.
func TestBackoff(t *testing.T) {
	for name, random := range map[string]func(int64) int64{
		"shortest": func(int64) int64 { return 0 }, "longest": func(n int64) int64 { return n - 1 },
	} {
		b := backoff{random: random}
		step := backoffFirst
		for i := range 100 {
			want := step
			if name == "shortest" {
				want = step / 2
			}
			if got := b.next(0); got != want {
				t.Fatalf("%s: wait %d is %v, want %v", name, i, got, want)
			}
			step = min(2*step, backoffMax)
		}
		if got := b.next(backoffReset); got > backoffFirst {
			t.Errorf("%s: after a good link %v", name, got)
		}
	}
}

// A link that worked for a while is dialled again within that time, however many
// tries failed before; one that is dropped at once is not.
func TestBackoffOfAFlappingLink(t *testing.T) {
	longest := func(n int64) int64 { return n - 1 }
	for _, c := range []struct {
		caption      string
		failed       int // tries before
		lasted, want time.Duration
	}{
		{"a second, after a long outage", 100, time.Second, time.Second},
		{"five seconds, after some tries", 3, 5 * time.Second, 8 * backoffFirst},
		{"hardly at all: a peer that does not let us in", 100, backoffFirst - 1, backoffMax},
		{"long enough to begin anew", 100, backoffReset, backoffFirst},
		{"none at all", 100, 0, backoffMax},
	} {
		b := backoff{random: longest}
		for range c.failed {
			b.next(0)
		}
		if got := b.next(c.lasted); got != c.want {
			t.Errorf("%s: %v, want %v", c.caption, got, c.want)
		}
	}
}

// countingNetwork counts dials.
type countingNetwork struct {
	Network
	dials atomic.Int64
}

func (n *countingNetwork) Dial(ctx context.Context, ep identity.Endpoint) (net.Conn, error) {
	n.dials.Add(1)
	return n.Network.Dial(ctx, ep)
}

// A dial goes on until somebody listens, without haste, and again after each end.
func TestDialKeepsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		counting := &countingNetwork{Network: network}
		client := newNode(t, keyOf(2), wire.Service, counting)
		client.dial(t, mem("home").WithPin(keyOf(1).Address()))
		client.dial(t, mem("home").WithPin(keyOf(1).Address())) // changes nothing
		time.Sleep(10 * time.Minute)
		if n := counting.dials.Load(); n < 25 || n > 60 {
			t.Errorf("%d dials in ten minutes", n)
		}
		n := client.rec.awaitNotice(t, DialFailed, 3)
		if !strings.Contains(n.Text, "nothing listens") || n.Hint == "" || n.Endpoint.Where != "home" || n.Retry > time.Second {
			t.Errorf("told %+v", n)
		}
		home := newNode(t, keyOf(1), wire.Core, network)
		home.listen(t, mem("home"))
		up := home.rec.awaitUp(t, 1)
		time.Sleep(time.Minute)
		dials, began := counting.dials.Load(), time.Now()
		home.CloseLink(up.Link, wire.NotAllowed, "try again")
		home.rec.awaitUp(t, 2)
		if took := time.Since(began); took > backoffFirst || counting.dials.Load() != dials+1 {
			t.Errorf("linked again after %v and %d dials", took, counting.dials.Load()-dials)
		}
		client.Undial(mem("home").WithPin(keyOf(1).Address()))
		home.CloseLink(home.Links()[0].Link, wire.NotAllowed, "and again")
		client.rec.awaitDown(t, 2)
		dials = counting.dials.Load()
		time.Sleep(time.Hour)
		if counting.dials.Load() != dials {
			t.Error("dialled after Undial")
		}
	})
}

// A router that refuses at once is not stormed.
func TestRefusedDialBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		home.rec.onUp = func(up machine.LinkUp) { home.CloseLink(up.Link, wire.NotAllowed, "not listed") }
		client := newNode(t, keyOf(2), wire.Service, network)
		client.dial(t, home.listen(t, mem("home")))
		time.Sleep(10 * time.Minute)
		if n := client.Counters().LinksUp; n < 10 || n > 60 {
			t.Errorf("%d links in ten minutes", n)
		}
		if n := client.rec.awaitNotice(t, LinkEnded, 1); n.Code != wire.NotAllowed || !n.ByPeer || !strings.Contains(n.Text, "not listed") {
			t.Errorf("told %+v", n)
		}
	})
}

// While a link to the key is up, another endpoint of it waits.
func TestSecondEndpointWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		one, two := home.listen(t, mem("one")), home.listen(t, mem("two"))
		client := newNode(t, keyOf(2), wire.Service, network)
		client.dial(t, one)
		up := home.rec.awaitUp(t, 1)
		client.rec.awaitUp(t, 1)
		client.dial(t, two)
		time.Sleep(time.Hour)
		if n := client.Counters().LinksUp; n != 1 {
			t.Errorf("%d links", n)
		}
		client.Undial(one)
		home.CloseLink(up.Link, wire.ShuttingDown, "")
		client.rec.awaitUp(t, 2)
		if got := client.Links()[0].Origin; got != "two" {
			t.Errorf("linked through %s", got)
		}
	})
}

// spec §3.1: without a pin a dial needs trust on first use, which sees the proven
// key once.
func TestFirstUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		client := newNode(t, keyOf(2), wire.Service, network)
		var refused *DialError
		if err := client.Dial(mem("home"), DialOptions{}); !errors.As(err, &refused) || refused.Hint == "" {
			t.Errorf("an unpinned dial: %v", err)
		}
		home := newNode(t, keyOf(1), wire.Core, network)
		home.listen(t, mem("home"))
		var asked []identity.Address
		trust := func(a identity.Address) error { asked = append(asked, a); return nil }
		if err := client.Dial(mem("home"), DialOptions{TrustOnFirstUse: trust}); err != nil {
			t.Fatal(err)
		}
		client.rec.awaitUp(t, 1)
		home.Close()
		client.rec.awaitDown(t, 1)
		if len(asked) != 1 || asked[0] != home.Self() {
			t.Errorf("asked for %v", asked)
		}
		impostor := newNode(t, keyOf(9), wire.Core, network)
		impostor.listen(t, mem("home"))
		n := impostor.rec.awaitNotice(t, StrangerFailed, 1)
		time.Sleep(time.Minute)
		if len(asked) != 1 || len(client.Links()) != 0 {
			t.Errorf("asked for %v; the impostor was told %+v", asked, n)
		}
	})
}

// A key that the user does not want ends the dial; so does a refusal by the
// router.
func TestFirstUseRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		home.listen(t, mem("home"))
		client := newNode(t, keyOf(2), wire.Service, network)
		client.Dial(mem("home"), DialOptions{TrustOnFirstUse: func(identity.Address) error { return errors.New("it is not on my card") }})
		if n := client.rec.awaitNotice(t, DialStopped, 1); !strings.Contains(n.Text, "not on my card") {
			t.Errorf("told %+v", n)
		}
		time.Sleep(time.Minute)
		if events, _ := home.rec.snapshot(); len(events) != 0 {
			t.Errorf("the router saw %v", events)
		}
	})
}

// What people are told of a dial that does not succeed.
func TestExplain(t *testing.T) {
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		caption string
		event   NoticeEvent
		why     *ending
		text    string
	}{
		{"refused", DialFailed, broke(op(syscall.ECONNREFUSED)), "nothing listens at host:1"},
		{"no host", DialFailed, broke(op(&net.DNSError{Err: "no such host", Name: "ho\x1bst"})), `the name "ho?st" was not found`},
		{"no route", DialFailed, broke(op(syscall.EHOSTUNREACH)), "no route"},
		{"no answer", DialFailed, broke(context.DeadlineExceeded), "does not answer"},
		{"no socket", DialFailed, broke(op(syscall.ENOENT)), "no socket"},
		{"not allowed", DialFailed, broke(op(syscall.EACCES)), "may not use"},
		{"hung up", DialFailed, broke(io.EOF), "hung up before it said hello"},
		{"some other error", DialFailed, broke(errors.New("link: so\nso")), "so?so"},
		{"an unknown scheme", DialFailed, broke(errScheme(mem("x"))), "no mem endpoints"},
		{"a handshake that broke", StrangerFailed, &ending{cause: &handshakeError{syscall.ECONNRESET}}, "hung up during the handshake"},
		{"a handshake of another kind", StrangerFailed, &ending{cause: &handshakeError{errors.New("tls: odd")}}, "tls: odd"},
		{"closed by the peer", LinkEnded, &ending{code: wire.Quota, text: strings.Repeat("x\u009b", 100), byPeer: true}, `quota: "x?x?`},
		{"closed by us", LinkEnded, fault(wire.Clock, "the clocks differ"), "the clocks differ"},
		{"broke", LinkEnded, broke(syscall.ECONNRESET), "connection broke"},
	} {
		n := Notice{Event: c.event, Origin: "host:1"}.because(c.why)
		if !strings.Contains(n.Text, c.text) || n.Hint == "" || strings.ContainsAny(n.Text, "\x1b\n\u009b") {
			t.Errorf("%s: %q, hint %q", c.caption, n.Text, n.Hint)
		}
		if n.String() == "" || n.Err == nil {
			t.Errorf("%s: %v", c.caption, n)
		}
	}
	if e := listenError(mem("x"), fs.ErrPermission); !strings.Contains(fmt.Sprint(e), "may not") || !errors.Is(e, fs.ErrPermission) {
		t.Errorf("%v", e)
	}
}
