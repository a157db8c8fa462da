package link

import (
	"math/rand/v2"
	"time"
)

// A backoff spaces the tries of one dial: doubling from backoffFirst to
// backoffMax, each drawn from the upper half, so that many clients of a router
// that comes back do not come together.
type backoff struct {
	tries  int
	random func(n int64) int64 // uniform below n
}

func newBackoff() backoff { return backoff{random: rand.Int64N} }

// next returns how long to wait after a try whose link was up for lasted, zero if
// it never was. A link that was up for backoffFirst is dialled again within the
// time that it was up: a wire that comes and goes is used half of the time at least,
// while a peer that drops every link at once is dialled less and less.
func (b *backoff) next(lasted time.Duration) time.Duration {
	if lasted >= backoffReset {
		b.tries = 0
	}
	for lasted >= backoffFirst && b.tries > 0 && (b.tries >= 16 || backoffFirst<<b.tries > lasted) {
		b.tries--
	}
	d := backoffMax
	if b.tries < 16 { // a shift beyond that would overflow, and is above the maximum long since
		d = min(backoffFirst<<b.tries, backoffMax)
	}
	b.tries++
	return d/2 + time.Duration(b.random(int64(d/2)+1))
}
