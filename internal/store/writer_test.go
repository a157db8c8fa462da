package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"upsycle/internal/machine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow is an engine that commits when it is told to.
type slow struct {
	*Memory
	commits chan struct{} // one for each Apply
	fail    error

	mu      sync.Mutex
	batches [][]string
}

func newSlow(limit int64) *slow {
	return &slow{Memory: NewMemory(limit), commits: make(chan struct{})}
}

func (s *slow) Apply(rows []machine.Row) error {
	<-s.commits
	s.mu.Lock()
	s.batches = append(s.batches, text(rows))
	s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	return s.Memory.Apply(rows)
}

// answers collects what a Writer says.
type answers struct {
	mu  sync.Mutex
	all []string
}

func (a *answers) add(ev machine.Event) {
	s := ev.(machine.Stored)
	word := "ok"
	for _, err := range []error{ErrFull, ErrBusy, ErrClosed} {
		if errors.Is(s.Err, err) {
			word = err.Error()
		}
	}
	if word == "ok" && s.Err != nil {
		word = s.Err.Error()
	}
	a.mu.Lock()
	a.all = append(a.all, fmt.Sprintf("%d %s", s.Token, word))
	a.mu.Unlock()
}

func (a *answers) want(t *testing.T, caption string, want ...string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.all, want) {
		t.Errorf("%s: answers %q, want %q", caption, a.all, want)
	}
}

func put(token machine.Token, keys ...string) machine.Store {
	s := machine.Store{Token: token}
	for _, k := range keys {
		s.Rows = append(s.Rows, row(k, "v"))
	}
	return s
}

func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, a := newSlow(0), new(answers)
		w := NewWriter(e, a.add, 0)
		w.Store(put(1, "a"))
		synctest.Wait() // the first commit has begun, alone
		w.Store(put(2, "b", "c"))
		w.Store(put(0, "d")) // wants no answer
		w.Store(put(3))      // writes nothing
		w.Store(put(4, "e"))
		synctest.Wait()
		a.want(t, "nothing is answered before it is durable")
		e.commits <- struct{}{}
		synctest.Wait()
		a.want(t, "the first", "1 ok")
		e.commits <- struct{}{}
		synctest.Wait()
		a.want(t, "all that waited", "1 ok", "2 ok", "3 ok", "4 ok")
		w.Close()
		if len(e.batches) != 2 || !slices.Equal(e.batches[1], []string{"b=v", "c=v", "d=v", "e=v"}) {
			t.Errorf("batches %q", e.batches)
		}
	})
}

func TestOnlyWhatDoesNotFitFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, a := newSlow(2*(RowOverhead+2)), new(answers)
		w := NewWriter(e, a.add, 0)
		w.Store(put(9))
		synctest.Wait()
		for _, s := range []machine.Store{put(1, "a"), put(2, "b", "c"), put(3, "d"), put(4, "e"),
			{Token: 5, Rows: []machine.Row{gone("a")}}, put(6, "f")} {
			w.Store(s)
		}
		close(e.commits)
		synctest.Wait()
		w.Close()
		a.want(t, "a batch that does not fit", "9 ok", "1 ok", "2 store: full", "3 ok", "4 store: full", "5 ok", "6 ok")
		rows, _, _ := e.Scan(nil, nil, 9)
		if !slices.Equal(text(rows), []string{"d=v", "f=v"}) {
			t.Errorf("rows %q", text(rows))
		}
	})
}

// What is no row fails alone, too.
func TestOnlyWhatIsNoRowFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, a := newSlow(0), new(answers)
		w := NewWriter(e, a.add, 0)
		for _, s := range []machine.Store{put(1, "a"), put(2, ""), put(3, "b")} {
			w.Store(s)
		}
		close(e.commits)
		w.Close()
		if len(a.all) != 3 || a.all[0] != "1 ok" || a.all[2] != "3 ok" || a.all[1] == "2 ok" {
			t.Errorf("answers %q", a.all)
		}
	})
}

func TestBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, a := newSlow(0), new(answers)
		w := NewWriter(e, a.add, 2*(RowOverhead+2))
		w.Store(put(1, "a"))
		synctest.Wait()
		w.Store(put(2, "b"))
		w.Store(put(3, "c"))
		w.Store(put(4, "d")) // beyond the limit
		w.Store(machine.Store{Token: 5, Rows: []machine.Row{gone("a")}})
		close(e.commits)
		synctest.Wait()
		a.want(t, "the refusal keeps its place", "1 ok", "2 ok", "3 ok", "4 "+ErrBusy.Error(), "5 ok")
		w.Store(put(6, "x", "y", "z")) // alone, it may be of any size
		synctest.Wait()
		w.Close()
		if got := a.all[len(a.all)-1]; got != "6 ok" {
			t.Errorf("a large Store alone: %s", got)
		}
	})
}

// Without a limit of its own a writer lets WaitingMax bytes wait.
func TestWaitingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, a := newSlow(0), new(answers)
		w := NewWriter(e, a.add, 0)
		w.Store(put(1))
		w.Store(put(2, "a"))
		synctest.Wait() // the engine holds the first commit; what follows waits
		half := machine.Row{Key: []byte("b"), Value: make([]byte, WaitingMax/2-RowOverhead-1)}
		for token := machine.Token(3); token <= 5; token++ {
			w.Store(machine.Store{Token: token, Rows: []machine.Row{half}})
		}
		close(e.commits)
		w.Close()
		a.want(t, "two halves fit, a third does not", "1 ok", "2 ok", "3 ok", "4 ok", "5 "+ErrBusy.Error())
	})
}

func TestEngineFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, a := newSlow(0), new(answers)
		e.fail = errors.New("no space left")
		w := NewWriter(e, a.add, 0)
		close(e.commits)
		w.Store(put(1, "a"))
		w.Store(put(2, "b"))
		w.Close()
		a.want(t, "everybody is told", "1 no space left", "2 no space left")
	})
}

func TestCloseCommitsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, a := newSlow(0), new(answers)
		w := NewWriter(e, a.add, 0)
		w.Store(put(1, "a"))
		synctest.Wait()
		w.Store(put(2, "b"))
		go w.Close()
		synctest.Wait()
		w.Store(put(3, "c")) // too late, and told after those before it
		close(e.commits)
		w.Close()
		w.Store(put(4, "d"))
		w.Store(put(0, "d"))
		a.want(t, "close", "1 ok", "2 ok", "3 "+ErrClosed.Error(), "4 "+ErrClosed.Error())
		if _, err := e.Get([]byte("b")); err != nil {
			t.Errorf("the engine was closed too: %v", err)
		}
	})
}

// Many goroutines store; every token is answered, one goroutine's in its order.
func TestManyStores(t *testing.T) {
	const writers, each = 8, 500
	last := make([]uint64, writers)
	var told int
	w := NewWriter(NewMemory(0), func(ev machine.Event) { // one goroutine calls this
		token := uint64(ev.(machine.Stored).Token)
		who, n := token>>32, token&0xffffffff
		if n != last[who]+1 {
			t.Errorf("writer %d was told %d after %d", who, n, last[who])
		}
		last[who] = n
		told++
	}, 0)
	var all sync.WaitGroup
	for who := range uint64(writers) {
		all.Go(func() {
			for n := range uint64(each) {
				w.Store(put(machine.Token(who<<32|(n+1)), fmt.Sprint(who, n)))
			}
		})
	}
	all.Wait()
	w.Close()
	if told != writers*each {
		t.Errorf("%d of %d were answered", told, writers*each)
	}
}

func BenchmarkWriter(b *testing.B) {
	done := make(chan struct{}, 1024)
	w := NewWriter(NewMemory(0), func(machine.Event) { done <- struct{}{} }, 0)
	defer w.Close()
	key, value := []byte("key"), []byte("value")
	b.ReportAllocs()
	waiting := 0
	for b.Loop() {
		if waiting++; waiting > 512 {
			<-done
			waiting--
		}
		w.Store(machine.Store{Token: 1, Rows: []machine.Row{{Key: key, Value: value}}})
	}
	for ; waiting > 0; waiting-- {
		<-done
	}
}
