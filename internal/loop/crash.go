package loop

import (
	"fmt"
	"runtime/debug"

	"upsycle/internal/machine"
)

// A history holds the last events, so that a crash can be understood. Events are
// turned into text only in a report: the ring costs one store for each event, and
// keeps at most HistoryMax frames alive.
type history struct {
	events [HistoryMax]machine.Event
	count  int // of all events ever added
}

func (h *history) add(ev machine.Event) {
	h.events[h.count%HistoryMax] = ev
	h.count++
}

// lines returns the events as text, oldest first.
func (h *history) lines() []string {
	var lines []string
	for i := max(0, h.count-HistoryMax); i < h.count; i++ {
		lines = append(lines, fmt.Sprintf("%d %s", i, text(h.events[i%HistoryMax])))
	}
	return lines
}

// text is an event's String. What it prints may be half made when a machine
// panics, and a report must not die of that.
func text(ev machine.Event) (s string) {
	defer func() {
		if recover() != nil {
			s = fmt.Sprintf("%T that can not be printed", ev)
		}
	}()
	return ev.String()
}

// crash writes the one report of a panic. It runs on the panicking goroutine, so
// the stack still shows where.
func (l *Loop) crash(cause any) {
	l.cfg.Log.Error("the machine broke an invariant of its own; this is a bug",
		"panic", fmt.Sprint(cause),
		"events", l.history.lines(),
		"stack", string(debug.Stack()),
		"hint", "please report this with the lines above; a restart is safe")
}
