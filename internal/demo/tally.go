package demo

import (
	"fmt"
	"sync"

	"upsycle"
)

// A tally holds what was published for whom, and what arrived. Every payload is
// one of a kind. It is safe for concurrent use.
type tally struct {
	mu        sync.Mutex
	published int
	expected  map[string]map[string]bool // receiver → payloads
	arrived   map[string]map[string]int  // receiver → payload → how often
	last      map[string]uint64          // receiver and stream → highest number so far, plus one
	gaps      int
	disorder  int
	change    chan struct{} // closed and replaced at each arrival
}

// newTally returns a tally of nothing.
func newTally() *tally {
	return &tally{
		expected: make(map[string]map[string]bool), arrived: make(map[string]map[string]int),
		last: make(map[string]uint64), change: make(chan struct{}),
	}
}

// expect notes that payload is published for each of the receivers.
func (t *tally) expect(payload string, receivers ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published++
	for _, r := range receivers {
		if t.expected[r] == nil {
			t.expected[r] = make(map[string]bool)
		}
		t.expected[r][payload] = true
	}
}

// arrive notes what a receiver got.
func (t *tally) arrive(receiver string, item upsycle.Item) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.changed()
	if item.Gap != nil {
		t.gaps++
		return
	}
	stream := fmt.Sprint(receiver, item.From, item.Target)
	if item.Seq+1 <= t.last[stream] {
		t.disorder++
	}
	t.last[stream] = item.Seq + 1
	t.got(receiver, string(item.Payload))
}

// arriveMail notes mail that a router got for itself.
func (t *tally) arriveMail(receiver, payload string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.changed()
	t.got(receiver, payload)
}

// got counts one arrival; t.mu is held.
func (t *tally) got(receiver, payload string) {
	if t.arrived[receiver] == nil {
		t.arrived[receiver] = make(map[string]int)
	}
	t.arrived[receiver][payload]++
}

// changed wakes whoever waits for missing to become less; t.mu is held.
func (t *tally) changed() {
	close(t.change)
	t.change = make(chan struct{})
}

// missing returns how many expected deliveries have not come, and a channel that
// is closed when something comes.
func (t *tally) missing() (int, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for r, payloads := range t.expected {
		for p := range payloads {
			if t.arrived[r][p] == 0 {
				n++
			}
		}
	}
	return n, t.change
}

// count compares what arrived with what was expected. An arrival that nobody
// expected is a duplicate only if it came twice: bob may read while he is not
// expected to.
func (t *tally) count() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := Report{Published: t.published, Gaps: t.gaps, Disordered: t.disorder}
	for receiver, payloads := range t.expected {
		r.Expected += len(payloads)
		for p := range payloads {
			if t.arrived[receiver][p] > 0 {
				r.Delivered++
			}
		}
	}
	for _, payloads := range t.arrived {
		for _, n := range payloads {
			r.Duplicates += n - 1
		}
	}
	r.Lost = r.Expected - r.Delivered
	return r
}
