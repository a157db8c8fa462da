package loop

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/internal/machine"
)

func TestClock(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		caption string
		wall    []int // seconds after start
		want    []int
		lines   int // in the log
	}{
		{"a good clock", []int{0, 1, 1, 5}, []int{0, 1, 1, 5}, 0},
		{"a jump ahead is taken", []int{0, 3600, 3601}, []int{0, 3600, 3601}, 0},
		{"a jump back: half speed until it has caught up", []int{100, 60, 80, 100, 120, 130, 140}, []int{100, 100, 110, 120, 120, 130, 140}, 1},
		{"a second jump in the first is not told again", []int{100, 60, 50, 70}, []int{100, 100, 100, 110}, 1},
		{"a new jump is told", []int{100, 90, 120, 100}, []int{100, 100, 120, 120}, 2},
	} {
		var log bytes.Buffer
		var wall time.Time
		clk := clock{source: func() time.Time { return wall }, log: slog.New(slog.NewTextHandler(&log, nil))}
		for i, s := range c.wall {
			wall = start.Add(time.Duration(s) * time.Second)
			if got := int(clk.read().Sub(start) / time.Second); got != c.want[i] {
				t.Errorf("%s: reading %d gave %d, want %d", c.caption, i, got, c.want[i])
			}
		}
		if n := strings.Count(log.String(), "jumped back"); n != c.lines {
			t.Errorf("%s: %d lines\n%s", c.caption, n, log.String())
		}
	}
}

// A jitter of a few milliseconds is no news.
func TestSmallJumpsAreNotLogged(t *testing.T) {
	var log bytes.Buffer
	wall := time.Unix(1_800_000_000, 0)
	clk := clock{source: func() time.Time { return wall }, log: slog.New(slog.NewTextHandler(&log, nil))}
	before := clk.read()
	wall = wall.Add(-jumpReported + 1)
	if !clk.read().Equal(before) || log.Len() != 0 {
		t.Errorf("now moved by %v; log %q", clk.now.Sub(before), log.String())
	}
}

// Readings with a monotonic part would hide jumps of the wall clock.
func TestNowIsWallTime(t *testing.T) {
	clk := clock{source: time.Now, log: slog.New(slog.DiscardHandler)}
	if s := clk.read().String(); strings.Contains(s, "m=") {
		t.Errorf("now is %s", s)
	}
}

// ticker is a machine that wants a tick every so often and notes when it came.
type ticker struct {
	every, late time.Duration // late: how much earlier than now the deadline is
	next        time.Time
	ticks       []time.Time
}

func (m *ticker) Step(now time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
	if _, ok := ev.(machine.Tick); ok {
		m.ticks = append(m.ticks, now)
	}
	m.next = now.Add(m.every - m.late)
	return out
}

func (m *ticker) Deadline() time.Time { return m.next }

func TestTicksComeAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &ticker{every: 7 * time.Second}
		l := New(Config{Machine: m, Shell: shell(ignore)})
		stop := runs(t, l)
		start := time.Now()
		time.Sleep(3 * time.Second)
		post(t, l, note(1, 1)) // the deadline moves to 10 s
		time.Sleep(22*time.Second - time.Nanosecond)
		synctest.Wait()
		stop()
		want := []time.Duration{10 * time.Second, 17 * time.Second, 24 * time.Second}
		if len(m.ticks) != len(want) {
			t.Fatalf("%d ticks", len(m.ticks))
		}
		for i := range want {
			if got := m.ticks[i].Sub(start); got != want[i] {
				t.Errorf("tick %d came after %v, want %v", i, got, want[i])
			}
		}
	})
}

func TestNoDeadlineNoTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &toy{}
		l := New(Config{Machine: m, Shell: shell(ignore)})
		stop := runs(t, l)
		time.Sleep(time.Hour)
		stop()
		if len(m.seen) != 0 {
			t.Errorf("%q", m.seen)
		}
	})
}

// A machine whose deadline is never met gets a tick a millisecond, no more.
func TestDeadlineInThePastDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &ticker{every: time.Second, late: time.Minute}
		l := New(Config{Machine: m, Shell: shell(ignore)})
		stop := runs(t, l)
		post(t, l, note(1, 1))
		time.Sleep(time.Second)
		synctest.Wait()
		stop()
		if n := len(m.ticks); n < 900 || n > 1100 {
			t.Errorf("%d ticks in a second", n)
		}
	})
}

// The computer slept, or its clock was set: the tick comes within restLongest,
// though the timer would have run for an hour.
func TestWallClockJumpsAheadOfTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &ticker{every: time.Hour}
		jump := make(chan time.Duration, 1)
		offset := time.Duration(0)
		now := func() time.Time {
			select {
			case offset = <-jump:
			default:
			}
			return time.Now().Add(offset)
		}
		l := New(Config{Machine: m, Shell: shell(ignore), Now: now})
		stop := runs(t, l)
		post(t, l, note(1, 1))
		synctest.Wait()
		start := time.Now()
		jump <- 2 * time.Hour
		time.Sleep(restLongest)
		synctest.Wait()
		stop()
		if len(m.ticks) != 1 || m.ticks[0].Sub(start) > 2*time.Hour+restLongest {
			t.Errorf("ticks %v", m.ticks)
		}
	})
}

// A clock that jumped back an hour slows timers down; it does not stop them.
func TestWallClockJumpsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &ticker{every: 10 * time.Second}
		jump := make(chan time.Duration, 1)
		offset := time.Duration(0)
		now := func() time.Time {
			select {
			case offset = <-jump:
			default:
			}
			return time.Now().Add(offset)
		}
		l := New(Config{Machine: m, Shell: shell(ignore), Now: now})
		stop := runs(t, l)
		post(t, l, note(1, 1))
		synctest.Wait()
		jump <- -time.Hour
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		stop()
		if n := len(m.ticks); n < 5 || n > 7 {
			t.Errorf("%d ticks in two minutes at half speed", n)
		}
		for i := 1; i < len(m.ticks); i++ {
			if m.ticks[i].Before(m.ticks[i-1]) {
				t.Errorf("now went back at tick %d", i)
			}
		}
	})
}
