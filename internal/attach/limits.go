package attach

// Limits are the bounds of a home that a configuration may change; zero values
// are the defaults below.
type Limits struct {
	Clients        int // mailboxes
	Subscriptions  int // of one client
	AllSubscribed  int // subscriptions of all clients
	MailboxBytes   int // of one client
	MailboxEntries int // of one client
	TotalBytes     int // of all mailboxes
}

// ClientLimits are the bounds of a client; zero values are the defaults below.
type ClientLimits struct {
	OutboxEnvelopes int
	OutboxBytes     int
}

// The bounds of a home.
const (
	// ClientsMax bounds the mailboxes (spec §12); a further client is refused
	// with code 10.
	ClientsMax = 10_000
	// SubscriptionsMax is what one member may subscribe to (spec §12.2).
	SubscriptionsMax = 10_000
	// AllSubscribedMax bounds the subscriptions of all clients together: keys cost
	// nothing, so who may attach under any key could fill the memory with those of
	// clients that stay away. A subscription and its target take about 700 bytes in
	// all rooms; half as many as the backbone has room for targets.
	AllSubscribedMax = 500_000
	// MailboxBytesMax and MailboxEntriesMax bound one mailbox (H4): beyond them
	// the oldest go and leave a gap.
	MailboxBytesMax   = 64 << 20
	MailboxEntriesMax = 50_000
	// TotalBytesMax bounds all mailboxes together: a mailbox that wants to grow when
	// it is reached loses its own oldest.
	TotalBytesMax = 1 << 30
	// windowEnvelopes and windowBytes are what may be unacknowledged of one
	// target, boxEnvelopes and boxBytes of one client (spec §5.4).
	windowEnvelopes = 256
	windowBytes     = 4 << 20
	boxEnvelopes    = 4096
	boxBytes        = 32 << 20
	// backlogMax is how much of bulk may stand in one link's queue before the
	// home waits for it to drain (F3).
	backlogMax = 4 << 20
	// liveMax and liveEntries bound what waits of live envelopes for one link:
	// one second of a fast stream; older ones are of no use to anybody.
	liveMax     = 4 << 20
	liveEntries = 4096
	// queueFrames and queueBytes bound what a client may send while its attach or
	// a subscribe before it is being verified: an outbox window and all
	// subscriptions. A client that sends more is closed with code 11.
	queueFrames = 16_384
	queueBytes  = 8 << 20
	// givenMax is how many ids of delivered envelopes each end remembers beyond the
	// gate's 15 minutes, so that a late replay does not get a number: 20 MB.
	givenMax = 1 << 18
	// takersMax is how many publishers of one id wait for one custody.
	takersMax = 64
	// bodiesOne and bodiesAll are the bytes of stored envelopes that stay in memory for
	// one client and for all: what is beyond is read from the store when its turn
	// comes. Of clients that are away no more stay when bodiesAway is reached.
	bodiesOne  = 1 << 20
	bodiesAll  = 64 << 20
	bodiesAway = bodiesAll / 2
	// fetchEnvelopes are read from the store at once.
	fetchEnvelopes = 256
	// keyringMax bounds the keys that were checked in rows; a full memory begins anew.
	keyringMax = 16_384
	// entryCost is what a row of a mailbox costs beside its envelope, in bytes.
	entryCost = 128
	// retryMail is what a refused publisher or subscriber is told to wait, and
	// after how long a store that failed is tried again, in milliseconds.
	retryMail = 1000
)

// Times of a home, in milliseconds.
const (
	leaseTime     = 30 * 24 * 3600_000 // how long a mailbox outlives its last link (H4)
	attachedEvery = 60_000             // `attached` comes again (H1)
	sweepEvery    = 60_000             // expired mail is looked for
	expireEvery   = 1000               // one mailbox is walked through for it: a walk is as long as the mailbox
	grantLife     = 7 * 24 * 3600_000  // of the grants that we sign; ≤ 8 d are accepted
	grantRenew    = grantLife / 3 * 2  // when they are signed again (spec §6.2)
	clockSkew     = 300_000            // tolerated of a grant's end
)

// The bounds of a client.
const (
	// OutboxEnvelopesMax and OutboxBytesMax bound what was published and not yet
	// taken by a home; more is refused with code 10.
	OutboxEnvelopesMax = 65_536
	OutboxBytesMax     = 64 << 20
	// outWindow and outWindowBytes are how much of it is on its way at once: as
	// much as a home verifies without slowing the link.
	outWindow      = 256
	outWindowBytes = 4 << 20
	// ackEvery and ackDelay coalesce acknowledgements: a frame for 64 envelopes,
	// or after 10 ms.
	ackEvery = 64
	ackDelay = 10
	// pendingMax bounds the numbers that a home delivered and that are not done:
	// twice what an honest home has in flight.
	pendingMax = 2 * boxEnvelopes
	// rangesKept bounds the memory of numbers done above a hole. A number that
	// fell out of it is recognised by its envelope's id.
	rangesKept = 1024
	// saveEvery is after how many numbers an edge router notes how far it has a home's
	// mailbox: for the rest it is enough that they are recognised.
	saveEvery = 256
	// backoffFirst, doubled up to backoffMax, is the pause before a refused
	// publish or subscription is tried again, in milliseconds.
	backoffFirst = 500
	backoffMax   = 60_000
	// homesInDocument is how many homes a homes document names (spec §6.1).
	homesInDocument = 4
)

// The bounds of a sequencer that its maker does not set.
const (
	// holeWait is how long envelopes wait behind a hole, in milliseconds (F5).
	holeWait = 30_000
	// heldEnvelopes and heldBytes are what waits behind the holes of one stream: after
	// a cut the pulls of what is missing run beside the pushes of what is new.
	heldEnvelopes = 65_536
	heldBytes     = 32 << 20
	// heldTotal is what waits in all streams together.
	heldTotal = 64 << 20
	// streamsMax bounds the known streams, and streamIdle (milliseconds) is how
	// long an idle one keeps its place when others want one. Envelopes of a stream
	// that finds no room pass as they come.
	streamsMax = 65_536
	streamIdle = 3600_000
	// joinDoubt is by how much a publisher's clock may be behind ours, so that its
	// stream seems to have begun before the subscription, in milliseconds.
	joinDoubt = 60_000
	// holesKept is how many given-up holes of a stream are remembered, so that
	// what fills them later is told from a duplicate.
	holesKept = 1024
)

// filled puts the defaults where nothing is set.
func (l Limits) filled() Limits {
	l.Clients = or(l.Clients, ClientsMax)
	l.Subscriptions = or(l.Subscriptions, SubscriptionsMax)
	l.AllSubscribed = or(l.AllSubscribed, AllSubscribedMax)
	l.MailboxBytes = or(l.MailboxBytes, MailboxBytesMax)
	l.MailboxEntries = or(l.MailboxEntries, MailboxEntriesMax)
	l.TotalBytes = or(l.TotalBytes, TotalBytesMax)
	return l
}

// filled puts the defaults where nothing is set.
func (l ClientLimits) filled() ClientLimits {
	l.OutboxEnvelopes = or(l.OutboxEnvelopes, OutboxEnvelopesMax)
	l.OutboxBytes = or(l.OutboxBytes, OutboxBytesMax)
	return l
}

func or(set, standard int) int {
	if set == 0 {
		return standard
	}
	return set
}
