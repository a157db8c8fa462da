package attach

import (
	"slices"
	"testing"

	"upsycle/internal/envelope"
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

// A stream that began after the target was wanted is known from its first number
// on, whatever is seen of it first; one that began before is not.
func TestSince(t *testing.T) {
	for _, c := range []struct {
		caption string
		began   int64 // when the run says that the stream began, after the subscription
		signed  int64 // the time of the envelope that comes first, which comes 10 ms after the subscription
		limits  SequencerLimits
		want    []outcome // of 5 at 10 ms, 0–4 at 20 s
	}{
		{"after it: the first is waited for", 5, 10, SequencerLimits{}, []outcome{{InOrder, 0}, {InOrder, 5}}},
		{"before it: it starts where it is seen", -5, 10, SequencerLimits{}, []outcome{{InOrder, 5}, {Late, 0}}},
		{"before it, by a doubtful clock, at an end", -5, 10, SequencerLimits{Join: 25_000}, []outcome{{InOrder, 0}, {InOrder, 5}}},
		{"long before it, at an end", -joinDoubt - 100, 10, SequencerLimits{Join: 25_000}, []outcome{{InOrder, 5}, {Late, 0}}},
		{"a clock that is an hour ahead", 3600_000 - 5, 3600_000 + 10, SequencerLimits{}, []outcome{{InOrder, 5}, {Late, 0}}},
		{"a run that is no time", 1 << 40, 10, SequencerLimits{}, []outcome{{InOrder, 5}, {Late, 0}}},
	} {
		s := NewSequencer(c.limits)
		s.Since(start, groupTarget(t))
		s.Since(start+100_000, groupTarget(t)) // the first counts
		run := envelope.NewRun(uint64(start+c.began), 7)
		item := func(first uint64, count int) gate.Admitted {
			return admitted(t, func(h *envelope.Header) {
				h.Run, h.First, h.Count, h.Time = run, first, count, uint64(start+c.signed)
			})
		}
		out := s.Put(start+10, item(5, 1), Receipt{}, nil)
		out = s.Put(start+20_000, item(0, 5), Receipt{}, s.Tick(start+20_000, out))
		if got := outcomes(out); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.caption, got, c.want)
		}
	}
}

// A beginning that never comes is a gap, as the promise was that it comes. Once
// nobody wants the target, or an idle stream was forgotten, nothing is promised.
func TestSinceEnds(t *testing.T) {
	young := func(first uint64, began int64) gate.Admitted {
		return admitted(t, func(h *envelope.Header) {
			h.Run, h.First, h.Time = envelope.NewRun(uint64(start+began), 7), first, uint64(start+began)
		})
	}
	s := NewSequencer(SequencerLimits{})
	s.Since(start, groupTarget(t))
	out := s.Put(start, young(5, 1), Receipt{}, nil)
	if got := outcomes(s.Tick(start+holeWait, out)); !slices.Equal(got, []outcome{{Hole, 5}, {InOrder, 5}}) {
		t.Errorf("the beginning never came: %v", got)
	}
	s.Forget(groupTarget(t), nil)
	if got := outcomes(s.Put(start, young(5, 2), Receipt{}, nil)); !slices.Equal(got, []outcome{{InOrder, 5}}) {
		t.Errorf("nobody wanted it when it began: %v", got)
	}
	s = NewSequencer(SequencerLimits{})
	s.Since(start, groupTarget(t))
	s.Put(start, young(0, 1), Receipt{}, nil)
	later := int64(start + streamIdle)
	s.Put(later, young(0, 2), Receipt{}, nil) // another stream, for which the idle one makes room
	if got := outcomes(s.Put(later, young(1, 1), Receipt{}, nil)); !slices.Equal(got, []outcome{{InOrder, 1}}) {
		t.Errorf("a stream that was forgotten goes on: %v", got)
	}
}
