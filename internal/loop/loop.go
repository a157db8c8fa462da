package loop

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
)

// Errors of a loop.
var (
	// ErrStopped says that the loop has ended, so that nobody will handle the
	// event or the call.
	ErrStopped = errors.New("loop: stopped")
	// ErrRunTwice says that Run was called before.
	ErrRunTwice = errors.New("loop: a loop runs once")
)

// A Shell carries out the effects of a machine, all but Verify and Sign, which
// the loop answers itself. Do is called on the loop's goroutine, one effect at
// a time in the order decided. It must not block, and must not use Post or
// Call of the same loop, which would wait for themselves; it may use Answer.
type Shell interface {
	Do(e machine.Effect)
}

// Config says what a Loop runs. Machine and Shell are required.
type Config struct {
	Machine machine.Machine
	Shell   Shell
	Key     identity.Key // answers Sign; may be zero for a machine that never signs

	Workers int                       // goroutines for Verify and Sign; 0: GOMAXPROCS
	Inbox   int                       // events that may wait; 0: InboxMax
	Now     func() time.Time          // nil: time.Now
	Log     *slog.Logger              // nil: nothing is logged
	Check   func(identity.Claim) bool // nil: Claim.Holds; called by several goroutines at once
}

// A Loop runs one machine. Its methods may be called by any goroutine.
type Loop struct {
	cfg   Config
	inbox chan machine.Event
	calls chan *call

	answersMu sync.Mutex
	answers   []machine.Event // waiting; guarded by answersMu
	answered  chan struct{}   // capacity 1: answers is not empty

	ran     atomic.Bool
	stopped chan struct{} // closed when nothing more is handled
	workers *workers

	// What follows belongs to the goroutine of Run.
	clock    clock
	timer    *time.Timer
	restless bool // the last tick left a deadline in the past
	spare    []machine.Event
	out      []machine.Effect
	verifies int // unanswered
	stores   int // unanswered
	history  history
}

// New returns a loop that does nothing until Run. Events may be posted before.
func New(cfg Config) *Loop {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0)
	}
	if cfg.Inbox <= 0 {
		cfg.Inbox = InboxMax
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Check == nil {
		cfg.Check = identity.Claim.Holds
	}
	l := &Loop{
		cfg:      cfg,
		inbox:    make(chan machine.Event, cfg.Inbox),
		calls:    make(chan *call),
		answered: make(chan struct{}, 1),
		stopped:  make(chan struct{}),
		clock:    clock{source: cfg.Now, log: cfg.Log},
	}
	l.workers = newWorkers(cfg.Key, cfg.Check, l.Answer)
	return l
}

// Post hands over an event. It blocks while the inbox is full, which is the
// back-pressure that readers of links pass on. It returns ctx's error, or
// ErrStopped when the loop has ended; nil means that the event waits in the
// inbox, not that it was handled.
func (l *Loop) Post(ctx context.Context, ev machine.Event) error {
	select {
	case <-l.stopped:
		return ErrStopped
	default:
	}
	// Most events find room: a lone send is several times cheaper than the
	// choice below. It can not overtake anybody, since there is no room while
	// others wait for it.
	select {
	case l.inbox <- ev:
		return nil
	default:
	}
	select {
	case l.inbox <- ev:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stopped:
		return ErrStopped
	}
}

// Answer hands over the answer to an effect (Stored, Drained). It never blocks:
// there are no more answers than there were questions. After the loop has ended
// the answer is dropped.
func (l *Loop) Answer(ev machine.Event) {
	l.answersMu.Lock()
	select {
	case <-l.stopped:
	default:
		l.answers = append(l.answers, ev)
	}
	l.answersMu.Unlock()
	select {
	case l.answered <- struct{}{}:
	default:
	}
}

// Call runs f on the loop's goroutine and waits for it. f may look at the
// machine but not Step it, since nobody would carry out the effects: a change
// is a Command that is posted. Call returns ctx's error if f was not begun by
// then, ErrStopped if the loop has ended first, and nil when f has run.
func (l *Loop) Call(ctx context.Context, f func(m machine.Machine)) error {
	c := &call{f: f, done: make(chan struct{})}
	select {
	case l.calls <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.stopped:
		return ErrStopped
	}
	// The channel has no buffer: whoever took c runs it at once, or panics.
	select {
	case <-c.done:
		return nil
	case <-l.stopped:
	}
	select {
	case <-c.done:
		return nil
	default:
		return ErrStopped
	}
}

// Run runs the machine until ctx ends, and then returns nil: what still waits is
// dropped, since whoever wants an orderly end asks the machine for it before.
// When the machine or the shell panics, Run stops the workers, writes one report
// to the log with the last events and the stack, and panics with the same value.
// A loop runs once; a second Run returns ErrRunTwice.
func (l *Loop) Run(ctx context.Context) error {
	if l.ran.Swap(true) {
		return ErrRunTwice
	}
	l.timer = time.NewTimer(time.Hour)
	l.timer.Stop()
	l.workers.start(l.cfg.Workers)
	defer l.stop()
	for ctx.Err() == nil {
		l.round()
		l.rest(ctx)
	}
	return nil
}

// stop ends what Run began. It runs in a panic too, and passes that on.
func (l *Loop) stop() {
	cause := recover()
	if cause != nil {
		l.crash(cause)
	}
	l.answersMu.Lock()
	close(l.stopped)
	l.answers = nil
	l.answersMu.Unlock()
	l.timer.Stop()
	l.workers.stop()
	if cause != nil {
		panic(cause)
	}
}

// A call is one use of Call.
type call struct {
	f    func(m machine.Machine)
	done chan struct{}
}
