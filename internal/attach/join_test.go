package attach

import (
	"slices"
	"testing"

	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A sequencer that waits for the beginning of streams: what is published right
// after a subscription came into force may be repaired while the next is pushed.
func TestJoin(t *testing.T) {
	type put struct {
		at    int64 // milliseconds after the start
		first uint64
	}
	for _, c := range []struct {
		caption string
		puts    []put
		end     int64 // when the last tick comes
		want    []uint64
	}{
		{"the first was late", []put{{0, 1}, {100, 2}, {900, 0}}, 900, []uint64{0, 1, 2}},
		{"it never comes, and no gap tells of it", []put{{0, 5}, {100, 6}}, 2000, []uint64{5, 6}},
		{"an earlier one comes", []put{{0, 5}, {100, 4}}, 2000, []uint64{4, 5}},
		{"not before the wait is over", []put{{0, 5}, {100, 6}}, 1999, nil},
		{"a stream from its beginning waits for nothing", []put{{0, 0}, {0, 1}}, 0, []uint64{0, 1}},
		{"once begun, it does not wait again", []put{{0, 5}, {3000, 6}}, 3000, []uint64{5, 6}},
		{"what precedes the start passes late", []put{{0, 5}, {3000, 4}}, 3000, []uint64{5, 4}},
	} {
		s := NewSequencer(SequencerLimits{Join: 2000})
		g := gate.New(gate.Config{Self: testKey(t, 1).Address(), Role: wire.Service}, &machine.Desk{})
		var out []Passed
		for _, p := range c.puts {
			out = s.Tick(start+p.at, out)
			out = s.Put(start+p.at, g.Own(numbered1(t, p.first)), Receipt{}, out)
		}
		out = s.Tick(start+c.end, out)
		var got []uint64
		for _, p := range out {
			if p.Order == Hole {
				t.Fatalf("%s: a gap: %+v", c.caption, p.Gap)
			}
			got = append(got, p.Admitted.Envelope().First)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: passed %v, want %v", c.caption, got, c.want)
		}
	}
}

// What waits for the beginning of a stream is bounded like what waits behind a
// hole.
func TestJoinIsBounded(t *testing.T) {
	s := NewSequencer(SequencerLimits{Join: 2000, Envelopes: 2})
	g := gate.New(gate.Config{Self: testKey(t, 1).Address(), Role: wire.Service}, &machine.Desk{})
	var out []Passed
	for n := uint64(5); n < 8; n++ {
		out = s.Put(start, g.Own(numbered1(t, n)), Receipt{}, out)
	}
	if held, _ := s.Held(); len(out) != 3 || held != 0 {
		t.Errorf("%d passed, %d are held; a third one must end the wait", len(out), held)
	}
}
