package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle"
	"upsycle/identity"
	"upsycle/upsycletest"
)

// The whole story, over real sockets, with lines of the user's: it ends well, in
// half a minute, and leaves nothing behind.
func TestStory(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var out bytes.Buffer
	begun := time.Now()
	r, err := Run(t.Context(), Options{Out: &out, From: strings.NewReader("one\n\ntwo\n")})
	took := time.Since(begun)
	t.Logf("%v\n%s", took, &out)
	if err != nil {
		t.Fatal(err)
	}
	if !r.OK || r.Lost != 0 || r.Duplicates != 0 || r.ForgedRefused != forgeries || r.ForgedCrossed != 0 {
		t.Errorf("%+v", r)
	}
	if r.Routers != 3 || r.Services != 4 || r.Encrypted {
		t.Errorf("%+v", r)
	}
	// 3 lines, 20 of bob's, 2 letters, 50 on the detour, 10 after it.
	if r.Published != 3+20+2+50+10 || r.Expected != 3*3+20*3+2+50*2+10*3 {
		t.Errorf("published %d, expected %d", r.Published, r.Expected)
	}
	if took > 30*time.Second {
		t.Errorf("it took %v, which is too long to watch", took)
	}
	for _, want := range []string{"router A", "subscribes", `reads "1: one"`, "refused, code 7", "router C got mail", "router B is gone", "attached again", "everything as expected", "plaintext"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story does not tell: %q", want)
		}
	}
}

// A story that is interrupted ends at once and leaves nothing behind.
func TestInterrupted(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := Run(ctx, Options{}); err == nil || r.OK {
		t.Errorf("%+v, %v", r, err)
	}
}

// The faults that the table must show, one at a time.
func TestTallyFindsFaults(t *testing.T) {
	from := upsycletest.Key(t, "writer").Address()
	item := func(seq uint64, payload string) upsycle.Item {
		return upsycle.Item{From: from, Target: from, Seq: seq, Payload: []byte(payload)}
	}
	whole := []upsycle.Item{item(0, "a"), item(1, "b")}
	for _, c := range []struct {
		caption string
		items   []upsycle.Item
		want    Report
	}{
		{"all is well", whole, Report{Published: 2, Expected: 2, Delivered: 2}},
		{"one is missing", whole[:1], Report{Published: 2, Expected: 2, Delivered: 1, Lost: 1}},
		{"one comes twice", append(whole[:2:2], item(1, "b")), Report{Published: 2, Expected: 2, Delivered: 2, Duplicates: 1, Disordered: 1}},
		{"out of order", []upsycle.Item{item(1, "b"), item(0, "a")}, Report{Published: 2, Expected: 2, Delivered: 2, Disordered: 1}},
		{"a gap", append(whole[:2:2], upsycle.Item{Gap: &upsycle.Gap{Count: 3}}), Report{Published: 2, Expected: 2, Delivered: 2, Gaps: 1}},
		{"what nobody expects", append(whole[:2:2], item(2, "c")), Report{Published: 2, Expected: 2, Delivered: 2}},
	} {
		s := &stage{tally: newTally(), forgedRefused: forgeries}
		s.tally.expect("a", "ann")
		s.tally.expect("b", "ann")
		for _, it := range c.items {
			s.tally.arrive("ann", it)
		}
		got := s.report()
		c.want.ForgedRefused = forgeries
		c.want.OK = c.want.Lost+c.want.Duplicates+c.want.Disordered+c.want.Gaps == 0
		if got != c.want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.caption, got, c.want)
		}
		if n, _ := s.tally.missing(); n != got.Lost {
			t.Errorf("%s: %d are missing, %d are lost", c.caption, n, got.Lost)
		}
	}
}

// A forgery that was let in, or came further than the first router, is no success.
func TestReportOfForgeries(t *testing.T) {
	for _, c := range []struct {
		caption          string
		refused, crossed int
		ok               bool
	}{
		{"all refused", forgeries, 0, true},
		{"one was taken", forgeries - 1, 0, false},
		{"one crossed a second link", forgeries, 1, false},
	} {
		s := &stage{tally: newTally(), forgedRefused: c.refused, forgedCrossed: c.crossed}
		if r := s.report(); r.OK != c.ok {
			t.Errorf("%s: ok is %v", c.caption, r.OK)
		}
	}
}

// The same payload for two receivers is two deliveries of one message.
func TestTallyByReceiver(t *testing.T) {
	y := newTally()
	y.expect("a", "ann", "bob")
	y.arriveMail("ann", "a")
	if n, _ := y.missing(); n != 1 {
		t.Errorf("%d are missing, want bob's", n)
	}
	_, change := y.missing()
	y.arriveMail("bob", "a")
	select {
	case <-change:
	default:
		t.Error("whoever waits was not told of the arrival")
	}
	if r := y.count(); r.Published != 1 || r.Expected != 2 || r.Delivered != 2 {
		t.Errorf("%+v", r)
	}
}

// The names of the fields are the contract of "upsycle demo --json".
func TestReportJSON(t *testing.T) {
	b, err := json.Marshal(Report{})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields("routers services published expected delivered lost duplicates forged_refused ok") {
		if !strings.Contains(string(b), `"`+field+`":`) {
			t.Errorf("the field %q is gone: %s", field, b)
		}
	}
}

// The forgeries have the right form, so that it is the signature or the right to
// write that is refused, and differ from each other.
func TestForgeriesAreWellFormed(t *testing.T) {
	f := &forger{key: upsycletest.Key(t, "forger")}
	seen := make(map[string]bool)
	for _, b := range f.envelopes(upsycletest.Key(t, "group").Address()) {
		seen[string(b)] = true
	}
	if len(seen) != forgeries {
		t.Errorf("%d different forgeries", len(seen))
	}
}

func TestNamedPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a service that was not introduced was found")
		}
	}()
	(&stage{}).named("zoe")
}

// A context that ends is the reason why nothing more is waited for.
func TestSettleEnds(t *testing.T) {
	s := &stage{tally: newTally(), out: &bytes.Buffer{}, begun: time.Now()}
	s.tally.expect("a", "ann")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.settle(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("settle: %v", err)
	}
	s.tally.arrive("ann", upsycle.Item{From: identity.Address{}, Payload: []byte("a")})
	if err := s.settle(ctx); err != nil {
		t.Errorf("nothing is missing, and yet: %v", err)
	}
}
