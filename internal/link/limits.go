package link

import (
	"time"

	"upsycle/internal/wire"
)

// The limits of a link's life (spec §3, docs/limits.md). What an operator may
// wish to change stands in Limits.
const (
	// A handshake costs a stranger nothing and us a signature and 3 KB. These
	// three bound what an unproven peer can hold. Ours takes 2 to 3 KB.
	handshakeTime  = 10 * time.Second
	handshakeBytes = 16 << 10
	helloTime      = 5 * time.Second
	backboneShare  = 40   // one link in so many is kept for the backbone: 256 of 10,256
	turnsMax       = 4096 // sources whose pace is remembered, twice: a second of more sources than that is no one source's flood
	helloLimit     = wire.FrameMaxHello

	// Clocks further apart than this make expiry meaningless (spec §3.3).
	skewMax  = 300 * time.Second
	skewWarn = 30 * time.Second

	// Detection of a dead link is most of the repair time between cores; clients
	// are many and may sleep.
	pingCore       = 5 * time.Second
	patienceCore   = 15 * time.Second
	pingClient     = 30 * time.Second
	patienceClient = 90 * time.Second

	// A reader that was held up for longer than this, by back-pressure or a
	// Pause, could not have seen a pong: its patience starts anew.
	heldUp = time.Second

	// A round-trip time is told again when it differs by more than a quarter and
	// by at least rttStep, at most once in rttEvery: metrics must not flutter.
	rttStep  = 16 * time.Millisecond
	rttEvery = 30 * time.Second

	// One frame above bigFrame is assembled only with a share of the hub's
	// budget, and within assemblyTime, so that a promise cannot hold the share.
	bigFrame     = 64 << 10
	assemblyTime = 30 * time.Second
	firstBuffer  = 4 << 10 // what a frame gets before its bytes arrive
	readBuffer   = 4 << 10 // per link; 10,000 idle links hold 40 MB of them

	// A batch is what one turn of the writer takes: it bounds how long a control
	// frame waits behind envelopes.
	batchBytes = 64 << 10
	stallTime  = 30 * time.Second // without progress of the writer: close 11
	flushTime  = 2 * time.Second  // for what is queued when a link is closed
	lingerTime = time.Second      // for the peer to read our close; see link.linger
	lingerRead = 4 << 20
	pongsMax   = 64 // unsent pongs; more pings than that are an attack

	// The back-off of a dial. It starts anew once a link was up for backoffReset.
	backoffFirst = 250 * time.Millisecond
	backoffMax   = 30 * time.Second
	backoffReset = 10 * time.Second
	dialTime     = 10 * time.Second

	// How long Close waits for peers and the Handler before it breaks off: more
	// than flushTime and lingerTime together.
	closeGrace = 4 * time.Second
)

// Limits are the bounds that a configuration may change. A zero field means its
// default.
type Limits struct {
	Links               int // links at once; 10,256: 256 cores and 10,000 clients
	MaxFrame            int // bytes accepted in one frame; 1,114,112, at least 65,536
	Handshakes          int // accepted connections at once that have not said hello; 256
	HandshakesPerSource int // of these from one address, or one IPv6 /64; 8
	AcceptsPerSecond    int // new connections a second; 50
	Assembly            int // bytes of frames above 64 KiB under assembly, all attachments, and as many on the backbone; 64 MiB
	ControlQueue        int // bytes of control frames that wait on one link; 16 MiB
	EnvelopeQueue       int // bytes of envelopes that wait on one link; 64 MiB, a backstop: the core's own bounds are lower
}

func (l Limits) withDefaults() Limits {
	orElse := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	orElse(&l.Links, 10_256)
	orElse(&l.MaxFrame, wire.FrameMax)
	orElse(&l.Handshakes, 256)
	orElse(&l.HandshakesPerSource, 8)
	orElse(&l.AcceptsPerSecond, 50)
	orElse(&l.Assembly, 64<<20)
	orElse(&l.ControlQueue, 16<<20)
	orElse(&l.EnvelopeQueue, 64<<20)
	// A frame that can never have a share would wait for ever.
	l.MaxFrame = min(max(l.MaxFrame, wire.FrameMaxService), l.Assembly)
	return l
}
