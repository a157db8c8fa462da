package gate

// Limits are the bounds that a configuration may change; zero values are the
// defaults below.
type Limits struct {
	Seen            int   // ids in the seen-cache
	MemberFrames    int64 // frames a second from a member's link
	MemberBytes     int64 // bytes a second from a member's link
	WriterEnvelopes int64 // envelopes a second of one writer, over all members' links
	WriterBytes     int64 // bytes a second of one writer, over all members' links
}

// The defaults and the bounds that no configuration changes.
const (
	// SeenMax bounds the seen-cache: 15 minutes of 4,600 new envelopes a second.
	// At about 100 bytes each it may grow to 400 MB; it takes what it holds.
	SeenMax = 4_000_000
	// MemberFrames and MemberBytes are what a member's link may bring in a second
	// (spec §12.2). What is above them is read later, not dropped.
	MemberFrames = 10_000
	MemberBytes  = 64 << 20
	// WriterEnvelopes and WriterBytes keep one writer from taking the router for
	// itself by attaching often: twice what one link may bring.
	WriterEnvelopes = 20_000
	WriterBytes     = 128 << 20
	// burst is how many seconds of a budget may be used at once: the outbox of a
	// client that was away comes in one go.
	burst = 4

	// WritersMax bounds the budgets in use. A writer is remembered only while its
	// budget is not full, so the table holds the last seconds' writers. One that
	// finds no room goes without: its links' budgets still hold.
	WritersMax = 100_000
	// CertsMax bounds the verified certificates; the oldest goes, which costs its
	// next envelope one more signature check. At about 100 bytes: 6.5 MB.
	CertsMax = 65_536
	// waitersMax is how many copies wait for the verdict of another (F2).
	waitersMax = 4
	// memberChecks and trustedChecks are how many verifications of one link may
	// be under way before it is read more slowly; at twice as many, envelopes are
	// refused. What waits is held in memory, and a check takes 0.1 ms.
	memberChecks  = 512
	trustedChecks = 4096
	// checkPause is how long a link with too many verifications is not read: less
	// than the workers need for what waits, so they never run dry.
	checkPause = 20
	// memberCheckBytes and trustedCheckBytes are the same in bytes: a link may have
	// that much under verification before it is read more slowly, and twice as much
	// before envelopes are refused. An honest client has 4 MiB on its way.
	memberCheckBytes  = 8 << 20
	trustedCheckBytes = 64 << 20
	// stepsPerFrame is how many steps through a table cost as much as a frame.
	stepsPerFrame = 64
	// retryRate is what a refused publisher is told to wait, in milliseconds.
	retryRate = 1000
	// FaultsMax charged faults within faultWindow (milliseconds) close a link.
	FaultsMax   = 20
	faultWindow = 60_000
	// banFirst, doubled at each repetition up to banMax, is for how long a peer
	// that was closed for its faults is refused, in milliseconds. Bans live in
	// memory only, and bansMax of them: the oldest go.
	banFirst = 10 * 60_000
	banMax   = 24 * 3600_000
	bansMax  = 4096
	// seenFor is how long an id is remembered after its last sight (SEEN).
	seenFor = 15 * 60_000
	// forgetStep is how many ids are looked at in one go when old ones are
	// forgotten, so that no step takes longer than about a millisecond.
	forgetStep = 4096
	// futureTolerance is how far ahead of our clock an envelope's time may be.
	futureTolerance = 300_000
)

func (l Limits) filled() Limits {
	if l.Seen == 0 {
		l.Seen = SeenMax
	}
	for _, f := range []struct {
		at       *int64
		standard int64
	}{
		{&l.MemberFrames, MemberFrames}, {&l.MemberBytes, MemberBytes},
		{&l.WriterEnvelopes, WriterEnvelopes}, {&l.WriterBytes, WriterBytes},
	} {
		if *f.at == 0 {
			*f.at = f.standard
		}
	}
	return l
}
