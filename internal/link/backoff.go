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
// it never was.
func (b *backoff) next(lasted time.Duration) time.Duration {
	if lasted >= backoffReset {
		b.tries = 0
	}
	d := backoffMax
	if b.tries < 16 { // a shift beyond that would overflow, and is above the maximum long since
		d = min(backoffFirst<<b.tries, backoffMax)
	}
	b.tries++
	return d/2 + time.Duration(b.random(int64(d/2)+1))
}
