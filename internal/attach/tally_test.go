package attach

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
	"upsycle/internal/wire"
)

func TestTally(t *testing.T) {
	for _, x := range []struct {
		caption string
		done    []uint64
		all     uint64
		above   []wire.Range
	}{
		{"in order", []uint64{1, 2, 3}, 3, nil},
		{"a hole", []uint64{1, 3}, 1, []wire.Range{{First: 3, Last: 3}}},
		{"joined on the left", []uint64{3, 4}, 0, []wire.Range{{First: 3, Last: 4}}},
		{"joined on the right", []uint64{4, 3}, 0, []wire.Range{{First: 3, Last: 4}}},
		{"joined on both", []uint64{3, 5, 4}, 0, []wire.Range{{First: 3, Last: 5}}},
		{"filled", []uint64{2, 3, 6, 1}, 3, []wire.Range{{First: 6, Last: 6}}},
		{"twice", []uint64{1, 1, 4, 4}, 1, []wire.Range{{First: 4, Last: 4}}},
	} {
		s := newTally()
		for _, n := range x.done {
			s.done(n)
		}
		if s.all != x.all || !slices.Equal(s.above, x.above) {
			t.Errorf("%s: all to %d, above %v", x.caption, s.all, s.above)
		}
	}
}

// A restart keeps the numbers of two mailboxes apart.
func TestTallyRestart(t *testing.T) {
	s := newTally()
	for _, n := range []uint64{1, 2, 7} {
		s.isPending(n)
		s.pending[n] = struct{}{}
	}
	s.done(1)
	s.restart()
	if s.base != 7 || s.all != 0 || len(s.pending) != 0 || s.frames() != nil {
		t.Errorf("%+v", s)
	}
	s.isPending(2)
	s.restart()
	if s.base != 9 {
		t.Errorf("base %d after a second restart", s.base)
	}
}

func TestTallyIsBounded(t *testing.T) {
	s := newTally()
	for n := uint64(2); n < 10_000; n += 2 {
		s.done(n)
	}
	if len(s.above) != rangesKept || !s.has(9998) || s.has(2) {
		t.Errorf("%d ranges", len(s.above))
	}
}

// Against a set: what is done is known, is named in exactly the frames that
// follow, and each frame is one that the wire accepts.
func TestTallyProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, set, told := newTally(), make(map[uint64]bool), make(map[uint64]bool)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, 120), 0, 40).Draw(t, "numbers") {
				if news := s.done(n); news == set[n] {
					t.Fatalf("%d is news: %v", n, news)
				}
				set[n] = true
			}
			for _, f := range s.frames() {
				tell(t, f, told)
			}
			for n := uint64(1); n <= 120; n++ {
				if s.has(n) != set[n] || told[n] != set[n] {
					t.Fatalf("%d: has %v, told %v, want %v", n, s.has(n), told[n], set[n])
				}
			}
		}
	})
}

// tell notes what a home hears.
func tell(t *rapid.T, f *wire.Delivered, told map[uint64]bool) {
	if _, err := wire.Decode(f.AppendTo(nil), nil); err != nil {
		t.Fatalf("%v: %v", f, err)
	}
	for n := uint64(1); n <= f.N; n++ {
		told[n] = true
	}
	for _, r := range f.Also {
		for n := r.First; n <= r.Last; n++ {
			told[n] = true
		}
	}
}
