package upsycle

import (
	"time"

	"upsycle/identity"
	"upsycle/internal/wire"
)

// An EventKind says what an Event tells of.
type EventKind uint8

// What a Conn tells of.
const (
	// Connected: attached to the router, for the first time or again.
	// Subscriptions are in force again and what was not acknowledged is on its
	// way once more.
	Connected EventKind = iota + 1
	// Disconnected: the link ended; Err says why. The Conn dials again by
	// itself, and Publish and the loops over items simply wait.
	Disconnected
	// Retrying: a dial failed; Err says why. It is tried again.
	Retrying
	// Superseded: another process took over with the same key. The Conn has
	// ended, and everything that waits returns ErrSuperseded.
	Superseded
	// TookOver: another process had attached with the same key and was sent away
	// for this one; Err says so. It is not told where the other was stopped or
	// lost its link before.
	TookOver
)

// String returns the kind in words.
func (k EventKind) String() string {
	switch k {
	case Connected:
		return "connected"
	case Disconnected:
		return "disconnected"
	case Retrying:
		return "retrying"
	case Superseded:
		return "superseded"
	case TookOver:
		return "took over"
	}
	return "unknown"
}

// An Event tells of the state of a Conn.
type Event struct {
	Kind   EventKind
	Router identity.Address // zero where it is not known
	Time   time.Time
	Err    error // why; nil for Connected
}

// errTookOver is the Err of TookOver.
var errTookOver error = &plainError{"another process was attached with the same key and was sent away", wire.Superseded.Hint()}

// eventsMax is how many events wait for an application's function.
const eventsMax = 64

// A notifier calls the application's function on a goroutine of its own, so that
// a slow one holds up nothing.
type notifier struct {
	queue chan Event
}

// newNotifier returns nil for a nil f; a nil notifier is silent.
func newNotifier(f func(Event)) *notifier {
	if f == nil {
		return nil
	}
	n := &notifier{make(chan Event, eventsMax)}
	go func() {
		for e := range n.queue {
			f(e)
		}
	}()
	return n
}

// tell never blocks: where too many wait the oldest goes, since the newest says how
// things stand. Only the machine's goroutine tells.
func (n *notifier) tell(e Event) {
	if n == nil {
		return
	}
	e.Time = time.Now()
	for {
		select {
		case n.queue <- e:
			return
		default:
		}
		select {
		case <-n.queue:
		default:
		}
	}
}

// stop ends the goroutine once the function has been told of everything. It does
// not wait for that: the function itself may be what calls Close. Nothing may be
// told afterwards.
func (n *notifier) stop() {
	if n != nil {
		close(n.queue)
	}
}
