package attach

import (
	"testing"
	"time"

	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
)

// A stream with a hole before each envelope, sent backwards, is given up in one go:
// the time that it takes rises with their number, not with its square, which took
// five seconds in which the router stood still.
func TestManyHoles(t *testing.T) {
	const n = 60_000
	g := gate.New(gate.Config{}, &machine.Desk{})
	s := NewSequencer(SequencerLimits{})
	target := groupTarget(t)
	put := func(first uint64) {
		h := envelope.Header{Target: target, First: first, Count: 1, Time: start, TTL: 3600}
		s.Put(start, g.Own(&envelope.Envelope{Header: h, Raw: []byte{1}}), Receipt{}, nil)
	}
	put(0)
	for i := n; i > 0; i-- {
		put(uint64(2 * i))
	}
	began := time.Now()
	passed := 0
	for _, p := range s.Tick(start+holeWait, nil) {
		if p.Order == InOrder {
			passed++
		}
	}
	if held, _ := s.Held(); passed != n || held != 0 {
		t.Errorf("%d passed and %d are held, want all %d", passed, held, n)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}
