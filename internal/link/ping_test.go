package link

import (
	"testing"
	"time"
)

// spec §3.4: what a pong proves, and when the core is told of a new time.
func TestPulse(t *testing.T) {
	const ms = time.Millisecond
	type step struct {
		wait        time.Duration // before the ping
		rtt         time.Duration // until its pong; negative: none comes
		alive, tell bool
		srtt        time.Duration
	}
	for _, c := range []struct {
		caption string
		steps   []step
	}{
		{"a near peer is nothing to tell", []step{{0, ms, true, false, ms}, {time.Minute, 2 * ms, true, false, ms + ms/8}}},
		{"a far peer is told at once, and then left alone", []step{{0, 100 * ms, true, true, 100 * ms}, {5 * time.Second, 110 * ms, true, false, 101250 * time.Microsecond}}},
		{"a change below 16 ms is none", []step{{0, 20 * ms, true, true, 20 * ms}, {time.Hour, 140 * ms, true, false, 35 * ms}}},
		{"a change of 16 ms is one, when it is more than a quarter", []step{{0, 20 * ms, true, true, 20 * ms}, {time.Hour, 148 * ms, true, true, 36 * ms}}},
		{"a quarter of a large time is none", []step{{0, 800 * ms, true, true, 800 * ms}, {time.Hour, 2400 * ms, true, false, 1000 * ms}}},
		{"more than a quarter is one", []step{{0, 800 * ms, true, true, 800 * ms}, {time.Hour, 2408 * ms, true, true, 1001 * ms}}},
		{"coming nearer is told, too", []step{{0, 800 * ms, true, true, 800 * ms}, {time.Hour, 0, true, false, 700 * ms}, {time.Hour, 0, true, false, 612500 * time.Microsecond}, {time.Hour, 0, true, true, 535937500 * time.Nanosecond}}},
		{"not twice within 30 s", []step{{0, 20 * ms, true, true, 20 * ms}, {10 * time.Second, 1000 * ms, true, false, 142500 * time.Microsecond}, {30 * time.Second, 142500 * time.Microsecond, true, true, 142500 * time.Microsecond}}},
	} {
		var p pulse
		now := time.Unix(1_800_000_000, 0)
		for i, s := range c.steps {
			now = now.Add(s.wait)
			ping := p.ping(now)
			now = now.Add(s.rtt)
			alive, tell := p.pong(ping.N, now)
			if alive != s.alive || tell != s.tell || p.srtt != s.srtt {
				t.Errorf("%s: step %d: alive %v, tell %v, srtt %v", c.caption, i, alive, tell, p.srtt)
			}
		}
	}
}

// Only the answer to what was asked proves life, and only once; only the last one
// measures.
func TestPongsThatProveNothing(t *testing.T) {
	var p pulse
	now := time.Unix(1_800_000_000, 0)
	if alive, _ := p.pong(0, now); alive {
		t.Error("a pong of number 0, which was never sent")
	}
	if alive, _ := p.pong(1, now); alive {
		t.Error("a pong before any ping")
	}
	first, second := p.ping(now), p.ping(now.Add(time.Second))
	if alive, _ := p.pong(second.N+1, now); alive {
		t.Error("a pong of the future")
	}
	if alive, tell := p.pong(first.N, now.Add(time.Second)); !alive || tell || p.measured {
		t.Errorf("a late pong: alive %v, tell %v, measured %v", alive, tell, p.measured)
	}
	if alive, _ := p.pong(first.N, now.Add(time.Second)); alive {
		t.Error("a pong that came twice")
	}
	if alive, _ := p.pong(second.N, now.Add(time.Second)); !alive || !p.measured {
		t.Error("the last pong")
	}
}
