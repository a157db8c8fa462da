package loop

import (
	"log/slog"
	"time"
)

// A clock makes a time that never goes back out of one that may. After a jump
// back it runs at half speed until the wall clock has caught up: standing still
// would stop every timer of the machine for as long as the jump was.
type clock struct {
	source func() time.Time
	log    *slog.Logger

	wall  time.Time // the last reading
	now   time.Time // what the machine is told
	ahead bool      // now is ahead of the wall clock
}

// read looks at the clock and returns the new now, in wall time: machines count
// in Unix milliseconds, so the monotonic part of a reading would hide the jumps
// that matter here.
func (c *clock) read() time.Time {
	last := c.wall
	c.wall = c.source().Round(0)
	if !c.wall.Before(c.now) {
		c.now, c.ahead = c.wall, false
		return c.now
	}
	jump := c.now.Sub(c.wall)
	if !c.ahead && jump >= jumpReported {
		c.ahead = true // one line for one jump
		c.log.Warn("the clock jumped back; time runs at half speed until it has caught up",
			"jump", jump, "hint", "let a time service (chrony, systemd-timesyncd) slew the clock")
	}
	if step := c.wall.Sub(last); step > 0 {
		c.now = c.now.Add(step / 2)
	}
	return c.now
}
