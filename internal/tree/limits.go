package tree

import "upsycle/internal/wire"

// Times in milliseconds. The names in capitals are those of spec §8; each exists
// once, here.
const (
	refresh       = 120_000      // REFRESH: a root raises its number at least this often
	age           = 360_000      // AGE: a number is worth this long after it was first heard
	wait          = 2_000        // WAIT: patience with a parent that has not got the newer number
	hold          = 3_000        // HOLD: a root stays usable this long after reach was lost
	settle        = 20_000       // SETTLE: reach must have lasted this long before publishing
	gone          = 600_000      // GONE: a tree without reach is left; as long again and it is forgotten
	gather        = 50           // T4: at most one announcement per root and neighbour in this time
	linger        = 10_000       // R2: a root that ceased to count is announced this much longer
	stale         = 12 * 60_000  // the oldest root signature: AGE and 5 min of skew, and one to spare
	ahead         = 6 * 60_000   // the furthest root signature in the future
	refreshJitter = refresh / 16 // roots that started at once do not refresh at once
)

// The schedule of seqreq (T5, T6).
const (
	askFirst       = 500   // the second question; each later one waits twice as long
	askDoublings   = 3     // … up to 4 s
	askWidth       = 2     // neighbours asked at once
	passPause      = 300   // a router passes on one question per root in this time
	raisePause     = 1_000 // a root raises its number once in this time
	raisePauseLong = 2_000 // … and in this after raiseMany in raiseWindow
	raiseMany      = 10
	raiseWindow    = 60_000
	wantAhead      = 3_600 // seconds: a root does not raise its number further than this ahead of the clock
)

// Elections (R3). The part that depends on the rank lets the best ranks go first.
const (
	startAlone     = 1_000  // without any usable root, and
	startAloneRank = 4_000  // this much more for the worst rank
	upFirst        = 10_000 // uptime before one starts beside other roots
	startFew       = 5_000  // while fewer than three better roots are usable, and
	startFewRank   = 10_000 // this much more for the worst rank
	stopMany       = 10_000 // after three better ones have been usable this long
)

// Bounds; docs/limits.md has the reasons.
const (
	rootsCounting = 3             // R2
	rootsStored   = 16            // R1: automatic roots that are stored, the worst rank goes first; this router itself always has a place
	pastMax       = 1_024         // fds of roots that were pushed out
	waitingMax    = 32            // announcements of unknown roots of one neighbour that wait for their check
	chainMax      = wire.ChainMax // CHAIN: keys in an announcement
	claimsKnown   = 8_192         // signatures of announcements that are known to hold
	costMin       = 64            // hops count even on fast links; metrics rise by this at least
	costMax       = 1 << 16
	metricMax     = wire.MetricMax - costMax // so that one more hop never overflows
)
