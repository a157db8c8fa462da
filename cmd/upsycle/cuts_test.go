package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A chain of three router processes whose wires run through proxies.
type chain struct {
	*desk
	ab, bc  *proxy
	at      map[string]string // endpoints of A and C for services
	routers map[string]*running
}

// newChain starts A – B – C. B dials both, so that the routers need to know each
// other's keys only.
func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{desk: newDesk(t), ab: newProxy(t), bc: newProxy(t), at: make(map[string]string), routers: make(map[string]*running)}
	keys := make(map[string]string)
	for _, name := range []string{"A", "B", "C"} {
		keys[name] = c.do("key", "new", "--role", "router", "--out", name+".pem")
	}
	router := "listen: [tls://127.0.0.1:0]\nservices: any\nkey: %[1]s.pem\ndata: %[1]s\npeers: [%[2]s]\n"
	c.write("A.yaml", fmt.Sprintf(router, "A", keys["B"]))
	c.write("C.yaml", fmt.Sprintf(router, "C", keys["B"]))
	c.write("B.yaml", fmt.Sprintf(router, "B", fmt.Sprintf("'tls://%s#%s', 'tls://%s#%s'", c.ab.addr(), keys["A"], c.bc.addr(), keys["C"])))
	for _, name := range []string{"A", "C"} {
		r := c.begin(nil, "run", "--config", name+".yaml")
		c.routers[name] = r
		c.at[name] = r.await(`listening on (tls://\S+)`)
	}
	for name, p := range map[string]*proxy{"A": c.ab, "C": c.bc} {
		where, _, _ := strings.Cut(strings.TrimPrefix(c.at[name], "tls://"), "#")
		p.Aim(where)
	}
	c.routers["B"] = c.begin(nil, "run", "--config", "B.yaml")
	c.eventually("A", "a link", linked(1))
	c.eventually("B", "both links", linked(2))
	c.eventually("C", "a link", linked(1))
	return c
}

// explain shows what the routers say of themselves, for who looks for a fault.
func (c *chain) explain() {
	for _, name := range []string{"A", "B", "C"} {
		s := c.status(name)
		c.t.Logf("router %s: roots %+v\npeers %+v\ntargets %+v\ncounters %v\n%s", name, s.Roots, s.Peers, s.Targets, s.Counters, c.routers[name].said)
	}
}

// shake cuts the wires in turn, and both together, until stop is closed; they are
// whole then. A wire stays cut or whole for a fraction of a second up to two, so
// that cuts fall into transfers, into handshakes and into repairs.
func (c *chain) shake(seed uint64, stop <-chan struct{}, wait time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 0))
	wires := [][]*proxy{{c.ab}, {c.bc}, {c.ab, c.bc}}
	for i := 0; ; i++ {
		for _, p := range wires[i%len(wires)] {
			p.Cut()
		}
		ended := pause(stop, wait/8+time.Duration(rng.Int64N(int64(wait/4))))
		c.ab.Heal()
		c.bc.Heal()
		if ended || pause(stop, wait/2+time.Duration(rng.Int64N(int64(wait)))) {
			return
		}
	}
}

// pause waits for a time or the end, and says whether it was the end.
func pause(stop <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-stop:
		return true
	case <-timer.C:
		return false
	}
}

// Lines that are piped into A come out at C, in order and once each, while the
// wires between A and B and between B and C are cut and restored again and again.
func TestLinesSurviveCuts(t *testing.T) {
	total, chunks, during := 100_000, 200, 24*time.Second
	if testing.Short() {
		total, chunks, during = 10_000, 50, 8*time.Second
	}
	begun := time.Now()
	c := newChain(t)
	c.do("group", "new", "lines")
	lines, fromC := io.Pipe()
	sub := c.begin(func(cmd *exec.Cmd) { cmd.Stdout = fromC },
		"sub", "--router", c.at["C"], "--count", fmt.Sprint(total), "lines")
	sub.await("^subscribed")
	toA, feed := io.Pipe()
	pub := c.begin(func(cmd *exec.Cmd) { cmd.Stdin = toA }, "pub", "--router", c.at["A"], "lines")
	checked := make(chan error, 1)
	go func() { checked <- checkLines(lines, total) }()

	stop, calm := make(chan struct{}), make(chan struct{})
	go func() { c.shake(8, stop, time.Second); close(calm) }()
	pace := time.NewTicker(during / time.Duration(chunks))
	defer pace.Stop()
	for n := range chunks {
		var b strings.Builder
		for i := n * total / chunks; i < (n+1)*total/chunks; i++ {
			fmt.Fprintf(&b, "line %d\n", i)
		}
		if _, err := io.WriteString(feed, b.String()); err != nil {
			t.Fatalf("pub takes no more: %v\n%s", err, pub.said)
		}
		<-pace.C
	}
	feed.Close()
	pub.wait(time.Minute)
	close(stop)
	<-calm
	fed := time.Since(begun)
	sub.wait(time.Minute)
	fromC.Close()
	if err := <-checked; err != nil {
		t.Error(err)
		c.explain()
	}
	t.Logf("%d lines, %d connections broken: fed in %.1f s, all at C after %.1f s", total, c.ab.Broken()+c.bc.Broken(), fed.Seconds(), time.Since(begun).Seconds())
	if c.ab.Broken() < 3 || c.bc.Broken() < 3 {
		t.Errorf("only %d and %d connections were broken, which shows nothing", c.ab.Broken(), c.bc.Broken())
	}
}

// checkLines reads all lines and returns the first thing that is wrong with them.
func checkLines(r io.Reader, total int) error {
	in := bufio.NewScanner(r)
	n := 0
	var wrong error
	for in.Scan() {
		if want := fmt.Sprintf("line %d", n); in.Text() != want && wrong == nil {
			wrong = fmt.Errorf("line %d of the output is %q", n, in.Text())
		}
		n++
	}
	switch {
	case wrong != nil:
		return wrong
	case n != total:
		return fmt.Errorf("%d lines came, want %d", n, total)
	}
	return in.Err()
}
