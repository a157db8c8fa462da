package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// lines makes n lines that exist once.
func lines(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s %d\n", prefix, i)
	}
	return b.String()
}

// TestAcceptedSurvivesKill is the promise on real processes: a subscriber is away,
// a publisher is told "accepted", the router is killed with kill -9 at once, three
// times; the subscriber comes back and gets everything, once and in order.
func TestAcceptedSurvivesKill(t *testing.T) {
	d := newDesk(t)
	d.do("key", "new", "--role", "service", "--out", "reader.pem")
	router := d.begin(nil, "run")
	router.await("listening on")
	d.do("group", "new", "club")

	// A durable subscription that outlives its process.
	sub := d.begin(nil, "sub", "--key", "reader.pem", "club")
	sub.await("subscribed")
	sub.kill()

	var want strings.Builder
	for round := range 3 {
		text := lines(fmt.Sprintf("round %d line", round), 500)
		pub := d.command("pub", "club")
		pub.Stdin = strings.NewReader(text)
		if out, err := pub.CombinedOutput(); err != nil {
			t.Fatalf("pub: %v\n%s", err, out)
		}
		want.WriteString(text)
		router.kill() // kill -9, right after the last acknowledgement
		router = d.begin(nil, "run")
		router.await("listening on")
	}

	var got bytes.Buffer
	back := d.begin(func(c *exec.Cmd) { c.Stdout = &got }, "sub", "--key", "reader.pem", "--count", "1500", "--timeout", "60s", "club")
	back.wait(70 * time.Second)
	if got.String() != want.String() {
		t.Errorf("got %d lines of 1500, or in another order", strings.Count(got.String(), "\n"))
	}
	router.kill()
	if out := d.do("store", "check"); !strings.Contains(out, "sound") {
		t.Errorf("store check says %q", out)
	}
	if out := d.do("store", "stat"); !strings.Contains(out, "custody") {
		t.Errorf("store stat says %q", out)
	}
	if out := d.do("store", "dump", "--json"); !strings.HasPrefix(out, `["`) {
		t.Errorf("store dump begins with %.40q", out)
	}
}
