package backbone

import (
	"testing"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// TestPace: a rate may be used four seconds ahead; what is above it says how long
// to wait, and time works it off (spec §12.2).
func TestPace(t *testing.T) {
	for _, c := range []struct {
		caption string
		spend   []int64 // units, one second apart
		want    int64   // milliseconds, after the last
	}{
		{"within the burst", []int64{400}, 0},
		{"a unit above", []int64{401}, 10},
		{"twice the burst", []int64{800}, 4_000},
		{"at the rate for ever", []int64{100, 100, 100, 100, 100, 100, 100, 100}, 0},
		{"at twice the rate", []int64{200, 200, 200, 200, 200, 200}, 3_000},
		{"above, then quiet", []int64{800, 0, 0, 0, 0}, 0},
		{"nothing", []int64{0}, 0},
	} {
		p := pace{at: epoch}
		var got int64
		for i, units := range c.spend {
			got = p.spend(epoch+int64(i)*1_000, 100, units)
		}
		if got != c.want {
			t.Errorf("%s: wait %d ms, want %d", c.caption, got, c.want)
		}
	}
	var p pace
	p.spend(epoch, 100, 100_000)
	if p.spend(1<<47, 100, 0); p.used != 0 {
		t.Error("a long time overflows")
	}
}

// TestLinkIsReadSlowly: each kind of frame that is above its rate pauses its link,
// for a second at most and once at a time; none is dropped, and none of another
// kind or link is held up.
func TestLinkIsReadSlowly(t *testing.T) {
	ids := make([]wire.Prefix, wire.PullMax)
	offered := make([]wire.Prefix, wire.EntriesMax)
	for _, c := range []struct {
		caption string
		rate    int
		units   int
		frame   func(x *star) wire.Frame
	}{
		{"interest", entryRate, 400, func(x *star) wire.Frame {
			f := &wire.Interest{Root: x.root}
			for i := range 400 {
				f.Entries = append(f.Entries, wire.InterestEntry{Target: groupNumber(i % 3), Flags: wire.Sender})
			}
			return f
		}},
		{"elsewhere", entryRate, 400, func(x *star) wire.Frame {
			return &wire.Elsewhere{Root: x.root, Entries: make([]wire.ElsewhereEntry, 400)}
		}},
		{"graft", entryRate, 1, func(x *star) wire.Frame { return &wire.Graft{Root: x.root} }},
		{"offers", offerRate, wire.EntriesMax, func(x *star) wire.Frame {
			return &wire.Offer{Root: x.root, Target: groupTarget(), IDs: offered}
		}},
		{"pulls", pullRate, wire.PullMax, func(*star) wire.Frame { return &wire.Pull{IDs: ids} }},
		{"nohave", pullRate, wire.PullMax, func(*star) wire.Frame { return &wire.NoHave{IDs: ids} }},
		{"retractions", announceRate, 1, func(x *star) wire.Frame { return &wire.Retract{Root: x.root} }},
		{"seqreq", seqreqRate, 1, func(x *star) wire.Frame { return &wire.SeqReq{Root: x.root} }},
	} {
		x := newStar(t)
		f := c.frame(x)
		x.a.paused = nil
		most := paceBurst * c.rate / c.units
		x.a.do(func(now int64) {
			for range most - 70 {
				x.a.b.Frame(now, x.ends("AB").id, f)
			}
		})
		if len(x.a.paused) != 0 {
			t.Errorf("%s: %d pauses within the burst", c.caption, len(x.a.paused))
		}
		x.a.do(func(now int64) {
			for range 2*most + 2*c.rate/c.units {
				x.a.b.Frame(now, x.ends("AB").id, f)
			}
			x.a.b.Frame(now, x.ends("AC").id, f)
		})
		if len(x.a.paused) != 1 || x.a.paused[0].Link != x.ends("AB").id || x.a.paused[0].Until.UnixMilli() > x.now+pauseMax {
			t.Fatalf("%s: pauses %v", c.caption, x.a.paused)
		}
		x.run(pauseMax)
		x.arrive("AB", f)
		if len(x.a.paused) != 2 {
			t.Errorf("%s: %d pauses; the debt is forgiven after one", c.caption, len(x.a.paused))
		}
		x.run(60_000)
		x.arrive("AB", f)
		if len(x.a.paused) != 2 || x.a.counts[machine.FaultCharged] != 0 {
			t.Errorf("%s: %d pauses in the end, charged %d", c.caption, len(x.a.paused), x.a.counts[machine.FaultCharged])
		}
	}
}

// arrive is arrives of A.
func (x *star) arrive(pair string, f wire.Frame) { x.a.arrives(pair, f) }

// TestDataHasNoPace: what is pushed is bounded by queues and checks, not by rates.
func TestDataHasNoPace(t *testing.T) {
	x := newStar(t)
	e := x.message(1)
	f := x.dataFrom("B", x.root, e)
	x.a.do(func(now int64) {
		for range 100_000 {
			x.a.b.Frame(now, x.ends("AB").id, f)
		}
	})
	if len(x.a.paused) != 0 {
		t.Errorf("pauses %v", x.a.paused)
	}
}
