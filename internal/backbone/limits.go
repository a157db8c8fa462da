package backbone

// Times in milliseconds. The names are those of spec §9 to §12.
const (
	gather        = 20             // interest and elsewhere are gathered this long: one frame for many subscriptions that come at once, and nobody notices 20 ms a hop
	climbing      = 24 * gather    // how long interest climbs the longest chain, latencies apart: younger ids went the same way when they were pushed
	clearAfter    = 25_000         // CLEAR: the end of a local flag counts this much later. Above tree's SETTLE (20 s), so that a publisher whose view of the roots is a step behind still finds the subscriber
	linger        = 120_000        // LINGER: a sender counts as one this long after its last envelope, so that one that writes every minute does not make interest come and go
	fresh         = 120_000        // FRESH: an older stamp is not pushed on: what was held up or replayed does not walk through the trees again
	recently      = 120_000        // RECENT: what J3 offers of what passed by. Above every repair time: the longest cut that J3 repairs
	cacheLife     = 600_000        // CACHE: how long envelopes are kept for neighbours; below SEEN (15 min), so that what comes back from a cache is known as a duplicate
	grace         = 1_000          // GRACE: a push may still come before the first pull: longer than a tree is deep
	pullAgain     = 3_000          // a pull that was not answered goes to the next provider; above pullOut, so that each round really asks
	pullOut       = 2_000          // one outstanding pull per id: without it pulls go round between providers
	providerLife  = 120_000        // how long an offer is remembered: long enough for the repair of what RECENT offers
	oidLife       = 60_000         // how long an offer's number is remembered: longer than an offer can travel
	edgeGrace     = 5_000          // data may still come over an edge that just ended: what was queued before the change
	askGrace      = 60_000         // pulls are served this long after a direction ended: the offer was made while it was one
	costCheck     = 30_000         // how often a link's cost may change: trees must not follow every wave of load
	stampSkew     = 300_000        // tolerated difference between stamp, header and clock: that of link's hello
	grantLife     = 8 * 86_400_000 // longest life of a grant: what is stolen or forgotten ends by itself
	retryFull     = 1_000          // what a publisher is told to wait when custody is full
	stable        = 60_000         // STABLE: a route counts as one once it has been up this long
	coverageEvery = 30_000         // how often coverage is written: what a crash asks for again
	gone          = 600_000        // GONE: a holder that was away longer offers everything again: whoever asked has asked in vain
	reofferAfter  = 4_000          // a holder offers again this long after a cut: when the others' interest has climbed
	reofferAgain  = 64_000         // and once more
	passPause     = 5_000          // one resync for the same and no less in 5 s is passed on, and one answer given
	batchPause    = 1_000          // at most one such offer a second and target; the pause before a pull that found no room is tried again
	checkPause    = 100            // how long a link with too many grants under check is not read: less than its answers take
	costBase      = 64             // hops count even on fast links, and metrics rise visibly at each
	costRTTMax    = 1_000          // milliseconds of round trip that count: beyond, a link is just bad
)

// Rates of one link, a second (spec §12.2). Honest neighbours stay below them by
// far; they are what keeps one neighbour from filling the router's days.
const (
	announceRate = 30 * 16 // announcements and retractions: 30 for each of the 16 roots that are stored
	seqreqRate   = 5 * 16  // questions to roots, for each of the 16
	entryRate    = 20_000  // entries of interest and elsewhere: a large branch of 100,000 moves in 5 s
	offerRate    = 20_000  // ids offered: what RECENT holds of a busy target in 3 s
	pullRate     = 5_000   // ids pulled: 5 MB/s of small envelopes, the queue's measure
	paceBurst    = 4       // seconds of a rate that may come at once: what a graft or a healed cut brings
	pauseMax     = 1_000   // longest pause at once in milliseconds: a twelfth of a link's patience for pongs
)

// Bounds of tables and queues. What finds no room is refused and counted
// (machine.TableFull); nothing young is evicted for it unless the line says so.
const (
	entriesPerChild = 300_000   // interest entries of one child: twice the 99th percentile at 10,000 routers, 36 MB; a third of all, so one child alone cannot fill the table
	EntriesMax      = 1_000_000 // interest entries of all children, at about 120 bytes 120 MB
	TargetsMax      = 1_000_000 // targets wanted, sent or held here. What only passes by may take half of it, so that neighbours cannot keep clients from subscribing
	CacheBytesMax   = 256 << 20 // envelopes kept for neighbours: 10 min of 400 KB/s. Beyond, the oldest go early: a cache promises nothing
	MissingMax      = 200_000   // ids offered and not here, at about 250 bytes 50 MB. One neighbour may be the first to name half of them
	providersMax    = 8         // neighbours remembered for one missing id; the oldest goes. More would not make the repair likelier
	askersMax       = 64        // neighbours waiting for one missing id; the others are told nohave and ask again
	recentMax       = 65_536    // ids of one target that J3 remembers: 128 offers in full, 2 MB. Beyond, the oldest go: J3 repairs no longer cut
	pullsOpen       = 1_024     // pulls under way at one neighbour, a quarter of what spec §12.2 lets it serve: answers of 1 KB each fit its queue
	OffersMax       = 200_000   // offer numbers remembered; the oldest go. A second copy of one that went costs a few frames and is cut by who has the ids
	bulkMax         = 4 << 20   // bytes of data and pulled queued on one link (F3): under half a second at 100 Mbit/s, and room for three of the largest envelopes
	deferredMax     = 65_536    // pushes of one link that became offers and wait: as many as J3 remembers of one target
	ChecksMax       = 65_536    // interest entries whose grants are being checked, at about 400 bytes 26 MB
	checksPerLink   = 4_096     // of one link before it is read more slowly: eight full frames, 0.3 s of one core's signature checks
	HadMax          = 1_000_000 // ids of what was delivered here, at about 100 bytes 100 MB; those that expire first go. One that went is pulled once more, and known by who delivers
	CustodyMax      = 1_000_000 // envelopes in custody, at about 400 bytes of memory each; beyond, publishes are refused with code 12
	exposuresMax    = 16        // notes of one target about re-offers after cuts; two become one, which offers more than needed
	routesMax       = 1_024     // roots whose coverage is kept: as many as tree remembers
	passedMax       = 100_000   // resyncs passed on lately; forgotten early, one is passed on once more
	answerRootsMax  = 16        // trees on which one answer goes: as many as there are roots
	loadsMax        = 1_024     // envelopes that are being loaded for neighbours
	heldOverhead    = 640       // bytes charged for each kept envelope beside its own: its record, its parsed header, its places in the tables
	endsSpare       = 1_024     // notes of ended grants that are left lying before they are swept out
)

// Limits are the bounds that an operator may set. Zero means the default.
type Limits struct {
	// Custody is how many bytes of envelopes that entered here are held until they
	// expire, on disk where there is one; beyond, publishes are refused with code
	// 12. Default 256 MiB; a configuration says 4 GiB unless told otherwise.
	Custody int
}

// custodyDefault suits a router whose store is its memory: a test, a program that
// runs one inside itself.
const custodyDefault = 256 << 20

// bounds are those of one instance: the constants, except in tests that cross them
// with small tables.
type bounds struct {
	entriesPerChild, entries, targets, cache, missing, askers int
	recent, pulls, offers, bulk, deferred, checks, custody    int
}

func defaults() bounds {
	return bounds{
		entriesPerChild: entriesPerChild, entries: EntriesMax, targets: TargetsMax, cache: CacheBytesMax,
		missing: MissingMax, askers: askersMax, recent: recentMax, pulls: pullsOpen, offers: OffersMax,
		bulk: bulkMax, deferred: deferredMax, checks: ChecksMax, custody: CustodyMax,
	}
}
