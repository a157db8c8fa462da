package loop

import "time"

// Limits of one loop. docs/limits.md gives the reason of each.
const (
	// InboxMax is how many events wait unless Config.Inbox says otherwise.
	InboxMax = 1024
	// BatchMax is how many events of the inbox are handled before answers,
	// ticks and calls are looked at again.
	BatchMax = 256
	// VerifiesMax is how many verifications may be unanswered before the
	// inbox is left alone.
	VerifiesMax = 4096
	// StoresMax is how many writes that want an answer may be unanswered
	// before the inbox is left alone.
	StoresMax = 4096
	// HistoryMax is how many events a crash report tells of.
	HistoryMax = 32

	// keptEffects is the longest list of effects whose memory is used again;
	// a burst must not hold its memory for ever.
	keptEffects = 4096
	// restShortest is the least time between two ticks that found nothing
	// else to do: a machine whose deadline stays in the past must not spin.
	restShortest = time.Millisecond
	// restLongest is the longest time between two looks at the clock while a
	// deadline is pending. Timers stand still while a computer sleeps, and
	// the wall clock may jump ahead of them.
	restLongest = 10 * time.Second
	// jumpReported is the smallest backward jump of the clock that is logged.
	jumpReported = 100 * time.Millisecond
)
