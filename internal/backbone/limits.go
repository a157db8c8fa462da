package backbone

// Times in milliseconds. The names are those of spec §9 to §11.
const (
	gather       = 20             // interest and elsewhere are gathered this long
	clearAfter   = 25_000         // CLEAR: the end of a local flag counts this much later; above tree.SETTLE
	linger       = 120_000        // LINGER: a sender counts as one this long after its last envelope
	fresh        = 120_000        // FRESH: an older stamp is not pushed on
	recently     = 120_000        // RECENT: what J3 offers of what passed by
	cacheLife    = 600_000        // CACHE: how long envelopes are kept for neighbours
	grace        = 1_000          // GRACE: a push may still come before the first pull
	pullAgain    = 3_000          // a pull that was not answered goes to the next provider
	pullOut      = 2_000          // one outstanding pull per id
	providerLife = 120_000        // how long an offer is remembered
	oidLife      = 60_000         // how long an offer's number is remembered
	edgeGrace    = 5_000          // data may still come over an edge that just ended
	askGrace     = 60_000         // pulls are served this long after a direction ended
	costCheck    = 30_000         // how often a link's cost is looked at
	stampSkew    = 300_000        // tolerated difference between stamp, header and clock
	grantLife    = 8 * 86_400_000 // longest life of a grant
	retryFull    = 1_000          // what a publisher is told to wait when custody is full
	offerFirst   = 2_000          // S1: first offer of what was pushed elsewhere than on p
	offerSecond  = 10_000         // S1: second offer
	batchPause   = 1_000          // S1: at most one offer a second and target
	costBase     = 64             // hops count even on fast links
	costRTTMax   = 1_000          // milliseconds of round trip that count
)

// Bounds of tables and queues; docs/limits.md has the reasons.
const (
	entriesPerChild = 300_000   // interest entries of one child
	EntriesMax      = 1_000_000 // interest entries of all children
	TargetsMax      = 1_000_000 // targets wanted, sent or held here
	CacheBytesMax   = 256 << 20 // envelopes kept for neighbours
	MissingMax      = 200_000   // ids offered and not here
	providersMax    = 8         // neighbours remembered for one missing id
	askersMax       = 64        // neighbours waiting for one missing id
	recentMax       = 65_536    // ids of one target that J3 remembers
	pullsOpen       = 1_024     // pulls under way at one neighbour
	OffersMax       = 200_000   // offer numbers remembered
	bulkMax         = 4 << 20   // bytes of data and pulled queued on one link
	deferredMax     = 65_536    // pushes of one link that became offers and wait
	ChecksMax       = 65_536    // interest entries whose grants are being checked
)

// Limits are the bounds that an operator may set. Zero means the default.
type Limits struct {
	// Custody is how many bytes of envelopes that entered here are held;
	// beyond, publishes are refused with code 12. Default 256 MiB.
	Custody int
}

const custodyDefault = 256 << 20
