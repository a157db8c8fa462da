package attach

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// admitted makes an envelope of the test group without a signature that holds.
func admitted(t testing.TB, change func(h *envelope.Header)) gate.Admitted {
	g := gate.New(gate.Config{}, &machine.Desk{})
	return g.Own(letterOf(t, 0, change))
}

func at(t testing.TB, first uint64, count int) gate.Admitted {
	return admitted(t, func(h *envelope.Header) { h.First, h.Count, h.Time = first, count, start+first })
}

// outcome is what passed, in short: kind and number.
type outcome struct {
	order Order
	n     uint64 // of a hole: its size
}

func outcomes(list []Passed) (out []outcome) {
	for _, p := range list {
		if p.Order == Hole {
			out = append(out, outcome{Hole, p.Gap.Count})
		} else {
			out = append(out, outcome{p.Order, p.Admitted.Envelope().First})
		}
	}
	return out
}

// F5, one envelope after the other, a second apart; then 30 s.
func TestSequencer(t *testing.T) {
	for _, x := range []struct {
		caption string
		put     []uint64
		want    []outcome
		later   []outcome // after 30 s
	}{
		{"in order", []uint64{0, 1, 2}, []outcome{{InOrder, 0}, {InOrder, 1}, {InOrder, 2}}, nil},
		{"starts anywhere", []uint64{7, 8}, []outcome{{InOrder, 7}, {InOrder, 8}}, nil},
		{"what precedes the first passes late, once", []uint64{7, 5, 5, 6}, []outcome{{InOrder, 7}, {Late, 5}, {Duplicate, 5}, {Late, 6}}, nil},
		{"a hole is filled", []uint64{0, 2, 3, 1}, []outcome{{InOrder, 0}, {InOrder, 1}, {InOrder, 2}, {InOrder, 3}}, nil},
		{"backwards", []uint64{0, 3, 2, 1}, []outcome{{InOrder, 0}, {InOrder, 1}, {InOrder, 2}, {InOrder, 3}}, nil},
		{"a hole stays", []uint64{0, 3}, []outcome{{InOrder, 0}}, []outcome{{Hole, 2}, {InOrder, 3}}},
		{"two holes", []uint64{0, 2, 5}, []outcome{{InOrder, 0}}, []outcome{{Hole, 1}, {InOrder, 2}, {Hole, 2}, {InOrder, 5}}},
		{"duplicates", []uint64{0, 0, 2, 2}, []outcome{{InOrder, 0}, {Duplicate, 0}, {Duplicate, 2}}, []outcome{{Hole, 1}, {InOrder, 2}}},
	} {
		s := NewSequencer(SequencerLimits{})
		var got []Passed
		now := int64(start)
		for _, n := range x.put {
			got = s.Put(now, at(t, n, 1), Receipt{N: n}, got)
			now += 1000
		}
		if !slices.Equal(outcomes(got), x.want) {
			t.Errorf("%s: %v, want %v", x.caption, outcomes(got), x.want)
		}
		var later []Passed
		for d := s.Deadline(); d != 0; d = s.Deadline() {
			later = s.Tick(d, later)
		}
		if !slices.Equal(outcomes(later), x.later) {
			t.Errorf("%s, later: %v, want %v", x.caption, outcomes(later), x.later)
		}
		for _, p := range append(got, later...) {
			if p.Order != Hole && p.Receipt.N != p.Admitted.Envelope().First {
				t.Errorf("%s: receipt %d of envelope %d", x.caption, p.Receipt.N, p.Admitted.Envelope().First)
			}
		}
		if n, bytes := s.Held(); n != 0 || bytes != 0 {
			t.Errorf("%s: %d envelopes, %d bytes are left", x.caption, n, bytes)
		}
	}
}

func TestLateFillsAGivenUpHole(t *testing.T) {
	s := NewSequencer(SequencerLimits{})
	s.Put(start, at(t, 0, 1), Receipt{}, nil)
	s.Put(start, at(t, 9, 1), Receipt{}, nil)
	if got := outcomes(s.Tick(start+holeWait, nil)); !slices.Equal(got, []outcome{{Hole, 8}, {InOrder, 9}}) {
		t.Fatalf("%v", got)
	}
	var got []Passed
	for _, n := range []uint64{4, 4, 1, 8, 9, 10} {
		got = s.Put(start, at(t, n, 1), Receipt{}, got)
	}
	want := []outcome{{Late, 4}, {Duplicate, 4}, {Late, 1}, {Late, 8}, {Duplicate, 9}, {InOrder, 10}}
	if !slices.Equal(outcomes(got), want) {
		t.Errorf("%v, want %v", outcomes(got), want)
	}
}

func TestGapOfAHole(t *testing.T) {
	s := NewSequencer(SequencerLimits{})
	s.Put(start, at(t, 10, 5), Receipt{}, nil)
	s.Put(start, at(t, 20, 1), Receipt{}, nil)
	got := s.Tick(start+holeWait, nil)
	want := wire.Gap{Target: groupTarget(t), FromTime: start + 10, ToTime: start + 20, Count: 5, Why: wire.WhyHole}
	if got[0].Gap != want {
		t.Errorf("%+v, want %+v", got[0].Gap, want)
	}
}

// A live stream does not wait.
func TestLiveHoleIsAGapAtOnce(t *testing.T) {
	s := NewSequencer(SequencerLimits{})
	live := func(n uint64) gate.Admitted {
		return admitted(t, func(h *envelope.Header) { h.First, h.Flags = n, h.Flags|envelope.Live })
	}
	var got []Passed
	for _, n := range []uint64{0, 3, 2, 4} {
		got = s.Put(start, live(n), Receipt{}, got)
	}
	want := []outcome{{InOrder, 0}, {Hole, 2}, {InOrder, 3}, {Late, 2}, {InOrder, 4}}
	if !slices.Equal(outcomes(got), want) || s.Deadline() != 0 {
		t.Errorf("%v, want %v", outcomes(got), want)
	}
}

// What a router reported missing is neither waited for nor reported again.
func TestExcuse(t *testing.T) {
	s := NewSequencer(SequencerLimits{})
	s.Excuse(groupTarget(t), 9) // of an unknown target: nothing
	var got []Passed
	got = s.Put(start, at(t, 0, 1), Receipt{}, got)
	s.Excuse(groupTarget(t), 3)
	got = s.Put(start, at(t, 4, 1), Receipt{}, got)
	s.Excuse(groupTarget(t), 1)
	got = s.Put(start, at(t, 7, 1), Receipt{}, got) // two are missing, one was told of
	got = s.Tick(start+holeWait, got)
	want := []outcome{{InOrder, 0}, {InOrder, 4}, {Hole, 1}, {InOrder, 7}}
	if !slices.Equal(outcomes(got), want) {
		t.Errorf("%v, want %v", outcomes(got), want)
	}
}

// Streams never wait for each other.
func TestStreamsAreApart(t *testing.T) {
	s := NewSequencer(SequencerLimits{})
	run := func(r byte, n uint64) gate.Admitted {
		return admitted(t, func(h *envelope.Header) { h.First, h.Run = n, envelope.Run{r} })
	}
	var got []Passed
	for _, a := range []gate.Admitted{run(1, 0), run(2, 0), run(1, 5), run(2, 1), run(2, 2)} {
		got = s.Put(start, a, Receipt{}, got)
	}
	if len(got) != 4 {
		t.Errorf("%d passed, want all but the one behind a hole", len(got))
	}
}

func TestSequencerBounds(t *testing.T) {
	size := len(at(t, 100, 1).Envelope().Raw)
	for _, x := range []struct {
		caption string
		limits  SequencerLimits
	}{
		{"envelopes of a stream", SequencerLimits{Envelopes: 3}},
		{"bytes of a stream", SequencerLimits{Bytes: 3*size + 1}},
		{"bytes of all", SequencerLimits{Total: 3*size + 1}},
	} {
		s := NewSequencer(x.limits)
		s.Put(start, at(t, 90, 1), Receipt{}, nil)
		var got []Passed
		for n := uint64(100); n < 103; n++ {
			got = s.Put(start, at(t, n, 1), Receipt{}, got)
		}
		if len(got) != 0 {
			t.Errorf("%s: %v passed early", x.caption, outcomes(got))
		}
		got = s.Put(start, at(t, 105, 1), Receipt{}, got)
		want := []outcome{{Hole, 9}, {InOrder, 100}, {InOrder, 101}, {InOrder, 102}}
		if !slices.Equal(outcomes(got), want) {
			t.Errorf("%s: %v, want %v", x.caption, outcomes(got), want)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	s := NewSequencer(SequencerLimits{Streams: 2})
	run := func(r byte, n uint64) gate.Admitted {
		return admitted(t, func(h *envelope.Header) { h.First, h.Run = n, envelope.Run{r} })
	}
	for r := range byte(3) {
		s.Put(start, run(r, 0), Receipt{}, nil)
	}
	if got := s.Put(start, run(2, 7), Receipt{}, nil); len(got) != 1 || len(s.streams) != 2 {
		t.Errorf("a stream without a place: %v; %d streams", outcomes(got), len(s.streams))
	}
	now := int64(start + streamIdle)
	if s.Put(now, run(2, 9), Receipt{}, nil); len(s.streams) != 1 {
		t.Errorf("%d streams after an idle hour", len(s.streams))
	}
}

func TestForgetTarget(t *testing.T) {
	s := NewSequencer(SequencerLimits{})
	s.Put(start, at(t, 0, 1), Receipt{}, nil)
	s.Put(start, at(t, 5, 1), Receipt{N: 5}, nil)
	got := s.Forget(groupTarget(t), nil)
	if len(got) != 1 || got[0].Receipt.N != 5 || len(s.streams) != 0 || len(s.targets) != 0 {
		t.Errorf("%v; %d streams", outcomes(got), len(s.streams))
	}
	if n, bytes := s.Held(); n != 0 || bytes != 0 {
		t.Errorf("%d envelopes of %d bytes are held", n, bytes)
	}
	if got := s.Put(start, at(t, 9, 1), Receipt{}, nil); !slices.Equal(outcomes(got), []outcome{{InOrder, 9}}) {
		t.Errorf("the stream does not start anew: %v", outcomes(got))
	}
	s.Tick(start+2*holeWait, nil)
	s.Forget(envelope.Target{To: identity.Address{}}, nil)
}

// Whatever comes in whatever order: what passes in order rises; every envelope
// passes once; every number that never passed before the last in order is told of
// in gaps; nothing waits longer than 30 s.
func TestSequencerProperty(t *testing.T) {
	rapid.Check(t, func(t2 *rapid.T) {
		list, sizes := []gate.Admitted{}, rapid.SliceOfN(rapid.IntRange(1, 5), 1, 40).Draw(t2, "sizes")
		first := rapid.Uint64Range(0, 3).Draw(t2, "first")
		for _, n := range sizes {
			list = append(list, at(t, first, n))
			first += uint64(n)
		}
		shuffled := rapid.Permutation(list).Draw(t2, "order")
		shuffled = shuffled[:rapid.IntRange(1, len(shuffled)).Draw(t2, "arrive")]
		s := NewSequencer(SequencerLimits{Envelopes: rapid.IntRange(1, 50).Draw(t2, "bound")})
		now, arrived := int64(start), make(map[uint64]int64)
		passed := make(map[uint64]int)
		var next, missing, begin uint64
		take := func(got []Passed) {
			for _, p := range got {
				if p.Order == Hole {
					missing += p.Gap.Count
					next += p.Gap.Count
					continue
				}
				e := p.Admitted.Envelope()
				passed[e.First]++
				if waited := now - arrived[e.First]; waited > holeWait {
					t2.Fatalf("%d waited for %d ms", e.First, waited)
				}
				switch {
				case p.Order == Duplicate:
					t2.Fatalf("%d passed as a duplicate", e.First)
				case p.Order == Late && e.First >= begin:
					missing -= uint64(e.Count)
				case p.Order == InOrder && len(passed) > 1 && e.First != next:
					t2.Fatalf("%d passed, %d was next", e.First, next)
				case p.Order == InOrder && len(passed) == 1:
					begin = e.First
				}
				if p.Order == InOrder {
					next = e.Next()
				}
			}
		}
		tick := func(until int64) {
			for d := s.Deadline(); d != 0 && d <= until; d = s.Deadline() {
				now = max(now, d)
				take(s.Tick(now, nil))
			}
			now = until
		}
		for _, a := range shuffled {
			tick(now + rapid.Int64Range(0, 20_000).Draw(t2, "pause"))
			arrived[a.Envelope().First] = now
			take(s.Put(now, a, Receipt{}, nil))
		}
		tick(now + 2*holeWait)
		var behind uint64
		for _, a := range shuffled {
			e := a.Envelope()
			if passed[e.First] != 1 {
				t2.Fatalf("%d passed %d times", e.First, passed[e.First])
			}
			if e.First >= begin {
				behind += uint64(e.Count)
			}
		}
		if next-begin != behind+missing {
			t2.Fatalf("from %d to %d came %d items, gaps tell of %d", begin, next, behind, missing)
		}
		if n, bytes := s.Held(); n != 0 || bytes != 0 || s.Deadline() != 0 {
			t2.Fatalf("%d envelopes of %d bytes are held at the end", n, bytes)
		}
	})
}
