package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/config"
	"upsycle/internal/control"
)

// Whatever ends a command is one line and a hint on stderr, and one of three codes.
func TestExitCode(t *testing.T) {
	problem := config.Problem{File: "f", Line: 3, Column: 1, Text: "wrong", Hint: "mend it"}
	for _, c := range []struct {
		caption string
		err     error
		code    int
		want    string
	}{
		{"done", nil, 0, ""},
		{"failed", errors.New("it failed"), 1, "upsycle: it failed\n"},
		{"with a hint", hinted("it failed", "do that"), 1, "upsycle: it failed\nhint: do that\n"},
		{"a hint below", fmt.Errorf("more: %w", hinted("it failed", "do that")), 1, "upsycle: more: it failed\nhint: do that\n"},
		{"wrong words", usage(hinted("no such word", "see the help")), 2, "upsycle: no such word\nhint: see the help\n"},
		{"a hint that is empty", hinted("it failed", ""), 1, "upsycle: it failed\n"},
		{"a configuration", config.Problems{problem, problem}, 1, "f:3:1: wrong\n  hint: mend it\nf:3:1: wrong\n  hint: mend it\n"},
		{"of the SDK", upsycle.ErrSuperseded, 1, "upsycle: another process attached with the same key and took over\nhint: " + upsycle.Hint(upsycle.ErrSuperseded) + "\n"},
	} {
		var out bytes.Buffer
		if code := exitCode(&out, c.err); code != c.code || out.String() != c.want {
			t.Errorf("%s: %d, %q; want %d, %q", c.caption, code, out.String(), c.code, c.want)
		}
	}
}

// A terminal gets nothing that it would obey.
func TestVisible(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"plain text, ünïcode ☃", "plain text, ünïcode ☃"},
		{"a\ttab stays", "a\ttab stays"},
		{"\x1b[2Jgone", `\x1b[2Jgone`},
		{"two\nlines", `two\nlines`},
		{"back\rward", `back\rward`},
		{"\x9b31m", `\x9b31m`},
		{"\u202egnorw", `\u202egnorw`},
		{"bad\xff", `bad\xff`},
		{"", ""},
	} {
		if got := visible(c.in); got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

func collect(in *input) (list []string) {
	for b := range in.items {
		list = append(list, string(b))
	}
	return list
}

func TestReadItems(t *testing.T) {
	long := strings.Repeat("x", lineMax+1)
	for _, c := range []struct {
		caption, in string
		whole       bool
		want        []string
		err         string
	}{
		{"lines", "a\nb\n", false, []string{"a", "b"}, ""},
		{"without an end", "a\nb", false, []string{"a", "b"}, ""},
		{"an empty line is an item", "a\n\nb\n", false, []string{"a", "", "b"}, ""},
		{"line ends of others go", "a\r\nb\r\n", false, []string{"a", "b"}, ""},
		{"nothing", "", false, nil, ""},
		{"whole", "a\nb\n", true, []string{"a\nb\n"}, ""},
		{"nothing as a whole is an item", "", true, []string{""}, ""},
		{"a line that is too long", "a\n" + long + "\nb\n", false, []string{"a"}, "line 2 is longer"},
		{"a whole that is too long", long, true, nil, "more than one item may have"},
	} {
		in := readItems(t.Context(), strings.NewReader(c.in), c.whole)
		if got := collect(in); !slices.Equal(got, c.want) {
			t.Errorf("%s: %d items, want %d", c.caption, len(got), len(c.want))
		}
		if (in.err == nil) != (c.err == "") || in.err != nil && !strings.Contains(in.err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.caption, in.err, c.err)
		}
	}
}

// The largest line that is read is one that an envelope holds.
func TestLongestLine(t *testing.T) {
	in := readItems(t.Context(), strings.NewReader(strings.Repeat("x", lineMax-1)+"\n"), false)
	if got := collect(in); len(got) != 1 || in.err != nil {
		t.Errorf("%d items, %v", len(got), in.err)
	}
}

// Stdin that says nothing does not hold a command that was interrupted.
func TestReadItemsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	silent, keyboard := io.Pipe()
	defer keyboard.Close()
	in := readItems(ctx, silent, false)
	next, stop := iter.Pull(in.items)
	defer stop()
	go io.WriteString(keyboard, "a\n")
	if b, ok := next(); !ok || string(b) != "a" {
		t.Fatalf("%q, %v", b, ok)
	}
	cancel()
	if b, ok := next(); ok {
		t.Errorf("another item: %q", b)
	}
	if !errors.Is(in.err, context.Canceled) {
		t.Errorf("the end was %v", in.err)
	}
}

// What pub says at its end, and why it fails.
func TestPublished(t *testing.T) {
	refused := fmt.Errorf("item 3: %w", &upsycle.Refused{Code: upsycle.CodeNotAWriter, Items: 1})
	for _, c := range []struct {
		caption string
		err     error
		input   error
		want    string
	}{
		{"all went well", nil, nil, ""},
		{"refused", refused, nil, "item 3: the router refused the message: The key that signed the message may not write to this group. (code 7, "},
		{"the input failed", nil, hinted("line 2 is longer", "split it"), "line 2 is longer"},
		{"interrupted", fmt.Errorf("item 4: %w", context.Canceled), nil, "interrupted"},
		{"interrupted while nothing was under way", nil, context.Canceled, "interrupted"},
	} {
		var said bytes.Buffer
		err := published(stdio{nil, nil, &said}, 2, c.err, c.input)
		if (err == nil) != (c.want == "") || err != nil && (!strings.HasPrefix(err.Error(), c.want) || hintOf(err, "") == "") {
			t.Errorf("%s: %v (hint: %s), want %q", c.caption, err, hintOf(err, ""), c.want)
		}
		if said.String() != "2 accepted, as plaintext\n" {
			t.Errorf("%s: it said %q", c.caption, said.String())
		}
	}
}

// The JSON of sub and recv is a contract: these bytes, in this order.
func TestItemJSON(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	for _, c := range []struct {
		item upsycle.Item
		want string
	}{
		{upsycle.Item{Payload: []byte("hi"), Seq: 0, Time: at},
			`{"id":"` + strings.Repeat("0", 64) + `","seq":0,"from":"FROM","time":"2026-01-02T03:04:05.006Z","payload":"aGk=","encrypted":false}`},
		{upsycle.Item{Payload: nil, Seq: 7, Time: at, Late: true},
			`{"id":"` + strings.Repeat("0", 64) + `","seq":7,"from":"FROM","time":"2026-01-02T03:04:05.006Z","payload":"","encrypted":false,"late":true}`},
		{upsycle.Item{Gap: &upsycle.Gap{Count: 3, Why: upsycle.WhyHole, FromTime: at, ToTime: at}},
			`{"encrypted":false,"gap":{"count":3,"why":"hole not repaired","from":"2026-01-02T03:04:05.006Z","to":"2026-01-02T03:04:05.006Z"}}`},
	} {
		var out bytes.Buffer
		if c.item.Gap == nil {
			c.item.From = testKey(t).Address()
			c.want = strings.Replace(c.want, "FROM", c.item.From.Text(identity.ServiceText), 1)
		}
		if err := writeJSON(&out, c.item); err != nil || strings.TrimSpace(out.String()) != c.want {
			t.Errorf("%v\ngot  %s\nwant %s", err, &out, c.want)
		}
	}
}

func TestItemText(t *testing.T) {
	for _, c := range []struct {
		item         upsycle.Item
		text, screen string
	}{
		{upsycle.Item{Payload: []byte("hi")}, "hi\n", "hi\n"},
		{upsycle.Item{Payload: []byte("\x1b[31mred")}, "\x1b[31mred\n", `\x1b[31mred` + "\n"},
		{upsycle.Item{Gap: &upsycle.Gap{Count: 3, Why: upsycle.WhyQuota}}, "-- 3 items missing: ", "-- 3 items missing: "},
	} {
		var text, screen bytes.Buffer
		if writeText(&text, c.item) != nil || writeScreen(&screen, c.item) != nil {
			t.Fatal("a buffer refused to be written to")
		}
		if !strings.HasPrefix(text.String(), c.text) || !strings.HasPrefix(screen.String(), c.screen) {
			t.Errorf("%q, %q; want %q, %q", text.String(), screen.String(), c.text, c.screen)
		}
	}
}

// print ends at the count, which gaps do not raise, or with the error that ended
// the items.
func TestPrint(t *testing.T) {
	items := []upsycle.Item{{Payload: []byte("a")}, {Gap: &upsycle.Gap{Count: 1}}, {Payload: []byte("b")}, {Payload: []byte("c")}}
	for _, c := range []struct {
		caption string
		count   int
		end     error
		lines   int
		want    string
	}{
		{"to the count", 2, nil, 3, ""},
		{"interrupted", 0, context.Canceled, 4, ""},
		{"out of time", 9, context.DeadlineExceeded, 4, "the time of 3s was over"},
		{"displaced", 9, upsycle.ErrSuperseded, 4, "another process"},
	} {
		var out bytes.Buffer
		err := readFlags{count: c.count, timeout: 3 * time.Second}.print(stdio{nil, &out, io.Discard}, func(yield func(upsycle.Item, error) bool) {
			for _, it := range items {
				if !yield(it, nil) {
					return
				}
			}
			yield(upsycle.Item{}, c.end)
		})
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.caption, err, c.want)
		}
		if n := strings.Count(out.String(), "\n"); n != c.lines {
			t.Errorf("%s: %d lines, want %d:\n%s", c.caption, n, c.lines, &out)
		}
	}
}

// A reader that went away ends the command.
func TestPrintToNobody(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	err := readFlags{}.print(stdio{nil, w, io.Discard}, func(yield func(upsycle.Item, error) bool) {
		yield(upsycle.Item{Payload: []byte("a")}, nil)
	})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

// Only what comes after the first attachment is told while a command runs.
func TestTeller(t *testing.T) {
	var said bytes.Buffer
	tell := teller(stdio{nil, nil, &said})
	lost := errors.New("the wire was cut")
	for _, e := range []upsycle.Event{
		{Kind: upsycle.Retrying, Err: errors.New("the command's own error")},
		{Kind: upsycle.Connected},
		{Kind: upsycle.Disconnected, Err: lost},
		{Kind: upsycle.Connected},
		{Kind: upsycle.TookOver, Err: upsycle.ErrSuperseded},
		{Kind: upsycle.Superseded, Err: upsycle.ErrSuperseded},
	} {
		tell(e)
	}
	want := "disconnected: the wire was cut\nconnected again\ntook over: " + upsycle.ErrSuperseded.Error() + "\nhint: " + upsycle.Hint(upsycle.ErrSuperseded) + "\n"
	if said.String() != want {
		t.Errorf("%q, want %q", said.String(), want)
	}
}

// The status for people has one fact a line, and no zero counters.
func TestPrintStatus(t *testing.T) {
	var out bytes.Buffer
	printStatus(&out, control.Status{
		Role: "core", Address: "upr1a", Version: "1", UptimeMs: 61_000, Encryption: "plaintext",
		Endpoints: []string{"tls://h:1"}, Peers: []control.Peer{{Address: "upr1b", RTTMs: 3}},
		Roots: []control.Root{
			{Address: "upr1a"}, {Address: "upr1b", Reach: true, Counting: true, Metric: 64},
			{Address: "upr1c"}, {Address: "upr1d", Reach: true},
		},
		Clients:  []control.Mailbox{{Address: "ups1x", Attached: true, Subscriptions: 2, Waiting: 1}, {Address: "ups1y"}},
		Targets:  []control.Target{{Kind: "group", Address: "upg1g", Wanted: true, Held: 4}},
		Counters: map[string]uint64{"b": 2, "a": 1, "zero": 0},
	})
	want := `core upr1a, version 1, up 1m1s; message bodies are plaintext
listens   tls://h:1
peer      upr1b  3 ms
root      upr1a  this router
root      upr1b  reached, 64 away
root      upr1c  out of reach
root      upr1d  known, not in use
client    ups1x  attached, 2 subscriptions, 1 waiting
client    ups1y  away, 0 subscriptions, 0 waiting
group     upg1g  wanted true, sender false, 4 held
counted   a: 1
counted   b: 2
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", &out, want)
	}
}

// A log for programs is JSON where the configuration says so, and never has colours
// in a file.
func TestLogFormats(t *testing.T) {
	var out bytes.Buffer
	newLog(&out, config.Log{JSON: true}).Info("hello", "n", 1)
	var record map[string]any
	if err := json.Unmarshal(out.Bytes(), &record); err != nil || record["msg"] != "hello" {
		t.Errorf("%v: %s", err, &out)
	}
	out.Reset()
	newLog(&out, config.Log{}).Info("hello", "n", 1)
	if !strings.Contains(out.String(), "msg=hello n=1") || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%q", out.String())
	}
	out.Reset()
	newLog(&out, config.Log{Level: 8}).Info("hello")
	if out.Len() > 0 {
		t.Errorf("a level was not heeded: %q", out.String())
	}
}
