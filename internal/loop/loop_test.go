package loop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"upsycle/identity"
	"upsycle/internal/machine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toy is a machine made of a function. It writes down what it was given.
type toy struct {
	step     func(now time.Time, ev machine.Event, out []machine.Effect) []machine.Effect
	deadline time.Time
	seen     []string
}

func (m *toy) Step(now time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
	m.seen = append(m.seen, ev.String())
	if m.step == nil {
		return out
	}
	return m.step(now, ev, out)
}

func (m *toy) Deadline() time.Time { return m.deadline }

// shell is a Shell made of a function.
type shell func(e machine.Effect)

func (s shell) Do(e machine.Effect) { s(e) }

func ignore(machine.Effect) {}

// note is the event number n of somebody.
func note(who, n int) machine.Event {
	return machine.Drained{Link: machine.LinkID(who), Weight: n}
}

func texts(events ...machine.Event) []string {
	var s []string
	for _, ev := range events {
		s = append(s, ev.String())
	}
	return s
}

// runs starts l and returns the function that stops it and waits for its end.
func runs(t *testing.T, l *Loop) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func post(t *testing.T, l *Loop, events ...machine.Event) {
	t.Helper()
	for _, ev := range events {
		if err := l.Post(t.Context(), ev); err != nil {
			t.Fatalf("Post(%v): %v", ev, err)
		}
	}
}

func TestEventsAndEffectsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &toy{}
		m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
			n := ev.(machine.Drained).Weight
			return append(out,
				machine.Report{Count: 10 * n},
				machine.Store{Rows: make([]machine.Row, n)},
				machine.Send{Link: machine.LinkID(n)},
				machine.Pause{Link: machine.LinkID(n)},
				machine.Close{Link: machine.LinkID(n)})
		}
		var got []string
		l := New(Config{Machine: m, Shell: shell(func(e machine.Effect) { got = append(got, fmt.Sprintf("%T", e)) })})
		events := []machine.Event{note(1, 1), note(2, 2), note(1, 3)}
		post(t, l, events[0]) // before Run: it waits
		stop := runs(t, l)
		post(t, l, events[1:]...)
		synctest.Wait()
		stop()
		if want := texts(events...); !slices.Equal(m.seen, want) {
			t.Errorf("events %q, want %q", m.seen, want)
		}
		one := []string{"machine.Report", "machine.Store", "machine.Send", "machine.Pause", "machine.Close"}
		if want := slices.Concat(one, one, one); !slices.Equal(got, want) {
			t.Errorf("effects %q", got)
		}
	})
}

// An answer is taken although the inbox is full, and handled after at most a batch
// of what waits there.
func TestAnswersPassTheInbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &toy{}
		hold := make(chan struct{})
		m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
			if len(m.seen) == 1 {
				<-hold
			}
			return out
		}
		l := New(Config{Machine: m, Shell: shell(ignore), Inbox: 3 * BatchMax})
		stop := runs(t, l)
		post(t, l, note(1, 0))
		synctest.Wait() // the machine is busy
		for n := range 3 * BatchMax {
			post(t, l, note(1, 1+n))
		}
		late := make(chan error, 1)
		go func() { late <- l.Post(t.Context(), note(2, 1)) }()
		synctest.Wait()
		select {
		case err := <-late:
			t.Fatalf("a full inbox took an event: %v", err)
		default:
		}
		l.Answer(machine.Stored{Token: 7})
		close(hold)
		if err := <-late; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		stop()
		at := slices.Index(m.seen, machine.Stored{Token: 7}.String())
		if at < 0 || at > BatchMax+1 || len(m.seen) != 3*BatchMax+3 {
			t.Errorf("the answer came at %d of %d", at, len(m.seen))
		}
	})
}

// A machine that answers itself through the shell without end does not keep the
// inbox waiting, nor do the events of the inbox keep back a call.
func TestNobodyIsStarved(t *testing.T) {
	m := &toy{}
	seen := make(chan struct{})
	m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
		m.seen = nil
		if _, ok := ev.(machine.Drained); ok {
			close(seen)
		}
		return append(out, machine.Report{})
	}
	var l *Loop
	l = New(Config{Machine: m, Shell: shell(func(machine.Effect) { l.Answer(machine.Stored{}) })})
	stop := runs(t, l)
	l.Answer(machine.Stored{})
	post(t, l, note(1, 1))
	<-seen
	if err := l.Call(t.Context(), func(machine.Machine) {}); err != nil {
		t.Error(err)
	}
	stop()
}

// Each poster's events arrive in the order posted, whatever the others do.
func TestManyPosters(t *testing.T) {
	const posters, each = 6, 2000
	m := &toy{}
	last := make([]int, posters)
	all := make(chan struct{})
	handled := 0
	m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
		m.seen = nil
		d := ev.(machine.Drained)
		if d.Weight != last[d.Link]+1 {
			t.Errorf("poster %d: %d after %d", d.Link, d.Weight, last[d.Link])
		}
		last[d.Link] = d.Weight
		if handled++; handled == posters*each {
			close(all)
		}
		return out
	}
	l := New(Config{Machine: m, Shell: shell(ignore), Inbox: 16})
	stop := runs(t, l)
	var group sync.WaitGroup
	for who := range posters {
		group.Go(func() {
			for n := range each {
				if err := l.Post(t.Context(), note(who, n+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	<-all
	group.Wait()
	stop()
}

// Without a size of its own an inbox holds InboxMax events.
func TestInboxIsBounded(t *testing.T) {
	l := New(Config{Machine: &toy{}, Shell: shell(ignore)})
	for n := range InboxMax {
		post(t, l, note(1, n))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Post(ctx, note(1, InboxMax)); !errors.Is(err, context.Canceled) {
		t.Errorf("one more: %v", err)
	}
}

func TestPostGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New(Config{Machine: &toy{}, Shell: shell(ignore), Inbox: 1})
		post(t, l, note(1, 1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := l.Post(ctx, note(1, 2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &toy{}
		hold := make(chan struct{})
		m.step = func(_ time.Time, _ machine.Event, out []machine.Effect) []machine.Effect {
			<-hold
			return out
		}
		l := New(Config{Machine: m, Shell: shell(ignore), Inbox: 1})
		stop := runs(t, l)
		post(t, l, note(1, 1))
		synctest.Wait()
		post(t, l, note(1, 2))
		posted, called := make(chan error, 1), make(chan error, 1)
		go func() { posted <- l.Post(context.Background(), note(1, 3)) }()
		go func() { called <- l.Call(context.Background(), func(machine.Machine) {}) }()
		synctest.Wait()
		done := make(chan struct{})
		go func() { stop(); close(done) }()
		synctest.Wait()
		close(hold)
		<-done
		// The first round may still have taken one event, and thus made room.
		if err := <-posted; err != nil && !errors.Is(err, ErrStopped) {
			t.Errorf("a Post that waited: %v", err)
		}
		if err := <-called; err != nil && !errors.Is(err, ErrStopped) {
			t.Errorf("a Call that waited: %v", err)
		}
		if err := l.Post(context.Background(), note(1, 4)); !errors.Is(err, ErrStopped) {
			t.Errorf("Post afterwards: %v", err)
		}
		if err := l.Call(context.Background(), func(machine.Machine) {}); !errors.Is(err, ErrStopped) {
			t.Errorf("Call afterwards: %v", err)
		}
		l.Answer(machine.Stored{Token: 1})
		if len(l.answers) != 0 {
			t.Error("an answer is kept after the end")
		}
		if err := l.Run(context.Background()); !errors.Is(err, ErrRunTwice) {
			t.Errorf("Run again: %v", err)
		}
	})
}

func TestCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &toy{}
		hold := make(chan struct{})
		m.step = func(_ time.Time, _ machine.Event, out []machine.Effect) []machine.Effect {
			<-hold
			return out
		}
		l := New(Config{Machine: m, Shell: shell(ignore)})
		stop := runs(t, l)
		var got machine.Machine
		if err := l.Call(t.Context(), func(m machine.Machine) { got = m }); err != nil || got != m {
			t.Errorf("Call gave %v, %v", got, err)
		}
		post(t, l, note(1, 1))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ran := false
		if err := l.Call(ctx, func(machine.Machine) { ran = true }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a busy machine: %v", err)
		}
		close(hold)
		synctest.Wait()
		stop()
		if ran {
			t.Error("a call that was given up ran")
		}
	})
}

func TestCrash(t *testing.T) {
	for _, c := range []struct {
		caption string
		cfg     func(m *toy) Config
		poison  func(l *Loop)
	}{
		{"in Step", func(m *toy) Config {
			m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
				if ev.(machine.Drained).Weight == 99 {
					panic("a broken invariant")
				}
				return out
			}
			return Config{Machine: m, Shell: shell(ignore)}
		}, func(l *Loop) { l.Post(context.Background(), note(1, 99)) }},
		{"in the shell", func(m *toy) Config {
			m.step = func(_ time.Time, _ machine.Event, out []machine.Effect) []machine.Effect {
				return append(out, machine.Report{})
			}
			return Config{Machine: m, Shell: shell(func(machine.Effect) {
				if len(m.seen) == 51 {
					panic("a broken invariant")
				}
			})}
		}, func(l *Loop) { l.Post(context.Background(), note(1, 99)) }},
		{"in a call", func(m *toy) Config {
			return Config{Machine: m, Shell: shell(ignore)}
		}, func(l *Loop) {
			l.Post(context.Background(), note(1, 99))
			synctest.Wait()
			err := l.Call(context.Background(), func(machine.Machine) { panic("a broken invariant") })
			if !errors.Is(err, ErrStopped) {
				t.Errorf("the call that panicked returned %v", err)
			}
		}},
	} {
		t.Run(c.caption, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				cfg := c.cfg(&toy{})
				cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
				l := New(cfg)
				cause := make(chan any)
				go func() {
					defer func() { cause <- recover() }()
					l.Run(context.Background())
				}()
				for n := range 50 {
					post(t, l, note(1, n))
				}
				go c.poison(l)
				if got := <-cause; got != "a broken invariant" {
					t.Errorf("Run panicked with %v", got)
				}
				checkReport(t, log.String())
				if err := l.Post(context.Background(), note(1, 1)); !errors.Is(err, ErrStopped) {
					t.Errorf("Post afterwards: %v", err)
				}
			})
		})
	}
}

func checkReport(t *testing.T, report string) {
	t.Helper()
	for _, want := range []string{"level=ERROR", "a broken invariant", note(1, 99).String(), note(1, 51-HistoryMax).String(),
		"goroutine", "loop_test.go", "hint="} {
		if !strings.Contains(report, want) {
			t.Errorf("the report lacks %q:\n%s", want, report)
		}
	}
	if n := strings.Count(report, "drained #1"); n != HistoryMax {
		t.Errorf("the report tells of %d events", n)
	}
	if strings.Count(report, "\n") != 1 {
		t.Errorf("not one line:\n%s", report)
	}
}

// Events that break while they are printed do not spoil the report.
func TestHistoryOfBrokenEvents(t *testing.T) {
	var h history
	h.add(machine.FrameIn{}) // fmt prints the nil frame
	h.add(machine.Command{}) // a nil Call panics
	if lines := h.lines(); len(lines) != 2 || !strings.Contains(lines[1], "can not be printed") {
		t.Errorf("%q", lines)
	}
}

// The goroutine of Run pays no allocation for an event.
func TestStepDoesNotAllocate(t *testing.T) {
	m := &silent{out: machine.Report{Event: machine.Forwarded}}
	l := New(Config{Machine: m, Shell: shell(ignore)})
	ev := note(1, 1)
	if n := testing.AllocsPerRun(1000, func() {
		l.Post(context.Background(), ev)
		l.round()
	}); n > 0 {
		t.Errorf("%v allocations for an event", n)
	}
}

// silent is a machine that answers every event with one effect.
type silent struct{ out machine.Effect }

func (m *silent) Step(_ time.Time, _ machine.Event, out []machine.Effect) []machine.Effect {
	return append(out, m.out)
}
func (m *silent) Deadline() time.Time { return time.Time{} }

func BenchmarkEvents(b *testing.B) {
	for _, posters := range []int{1, 4} {
		b.Run(fmt.Sprintf("posters=%d", posters), func(b *testing.B) {
			done := make(chan struct{})
			left := b.N
			l := New(Config{Machine: &silent{out: machine.Report{}}, Shell: shell(func(machine.Effect) {
				if left--; left == 0 {
					close(done)
				}
			})})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var group sync.WaitGroup
			ev := note(1, 1)
			b.ReportAllocs()
			b.ResetTimer()
			for who := range posters {
				group.Go(func() {
					for n := who; n < b.N; n += posters {
						l.Post(ctx, ev)
					}
				})
			}
			group.Go(func() { l.Run(ctx) })
			<-done
			b.StopTimer()
			cancel()
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// Every event asks for one signature to be checked, for real.
func BenchmarkVerify(b *testing.B) {
	key, err := identity.NewKey(bytes.Repeat([]byte{7}, identity.SeedSize))
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte{1}, 200)
	claim := identity.Claim{Key: key.Address(), Label: identity.LabelEnvelope, Body: body, Sig: key.Sign(identity.LabelEnvelope, body)}
	done := make(chan struct{})
	left, claims := b.N, []identity.Claim{claim}
	m := &toy{}
	m.step = func(_ time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
		m.seen = m.seen[:0]
		switch ev := ev.(type) {
		case machine.Drained:
			return append(out, machine.Verify{Token: 1, Link: ev.Link, Claims: claims})
		case machine.Verified:
			if ev.Failed >= 0 {
				b.Error("a good signature failed")
			}
			if left--; left == 0 {
				close(done)
			}
		}
		return out
	}
	l := New(Config{Machine: m, Shell: shell(ignore)})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { l.Run(ctx); close(ended) }()
	b.ReportAllocs()
	b.ResetTimer()
	for n := range b.N {
		l.Post(ctx, note(n%8, 1))
	}
	<-done
	b.StopTimer()
	cancel()
	<-ended
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "verifies/s")
}
