package upsycletest

import (
	"context"
	"fmt"
	"sync"
	"testing"
)

// Example returns what Example functions lack: something to give to NewRouter.
// done ends all that was started with it. A failure panics.
func Example() (tb testing.TB, done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	e := &example{ctx: ctx, cancel: cancel}
	return e, e.done
}

// An example is the part of testing.TB that this package and users' own code for
// setting up a test need. The others panic, since there is no test below.
type example struct {
	testing.TB
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	cleanups []func()
}

// Helper does nothing.
func (e *example) Helper() {}

// Name is what logs show.
func (e *example) Name() string { return "Example" }

// Context ends when the example is done.
func (e *example) Context() context.Context { return e.ctx }

// Log prints nothing: an example's output is compared.
func (e *example) Log(...any) {}

// Logf prints nothing.
func (e *example) Logf(string, ...any) {}

// Fatal panics.
func (e *example) Fatal(args ...any) { panic(fmt.Sprintln(args...)) }

// Fatalf panics.
func (e *example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// Cleanup calls f when the example is done; what came last goes first.
func (e *example) Cleanup(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.cleanups = append(e.cleanups, f)
}

func (e *example) done() {
	e.cancel()
	for {
		e.mu.Lock()
		n := len(e.cleanups)
		if n == 0 {
			e.mu.Unlock()
			return
		}
		f := e.cleanups[n-1]
		e.cleanups = e.cleanups[:n-1]
		e.mu.Unlock()
		f()
	}
}
