package link

import (
	"time"

	"upsycle/internal/wire"
)

// A pulse measures a link's round-trip time. It is guarded by the link's mu.
type pulse struct {
	sent     uint64 // number of the last ping
	sentAt   time.Time
	heard    uint64 // the highest number that came back
	srtt     time.Duration
	measured bool
	told     time.Duration // what the core was told last
	toldAt   time.Time
}

// ping numbers the next ping.
func (p *pulse) ping(now time.Time) *wire.Ping {
	p.sent++
	p.sentAt = now
	return &wire.Ping{N: p.sent}
}

// pong takes an answer. alive is false for one that nobody asked for; tell is
// true when the core should know the new round-trip time.
func (p *pulse) pong(n uint64, now time.Time) (alive, tell bool) {
	if n <= p.heard || n > p.sent {
		return false, false
	}
	p.heard = n
	if n < p.sent {
		return true, false // a late answer proves life and measures nothing
	}
	sample := now.Sub(p.sentAt)
	if p.measured {
		p.srtt += (sample - p.srtt) / 8 // RFC 6298 §2.3
	} else {
		p.srtt, p.measured = sample, true
	}
	tell = p.differs() && (p.toldAt.IsZero() || now.Sub(p.toldAt) >= rttEvery)
	if tell {
		p.told, p.toldAt = p.srtt, now
	}
	return true, tell
}

// differs says whether the time has changed enough (spec §3.4).
func (p *pulse) differs() bool {
	d := max(p.srtt-p.told, p.told-p.srtt)
	return d >= rttStep && 4*d > p.told
}
