package machine

import "fmt"

// ReportEvent names what a Report counts. Each is a counter in status.
type ReportEvent uint8

// What is reported. Every drop has a line here: nothing is lost in silence.
const (
	PublishAccepted  ReportEvent = iota // an envelope entered custody
	PublishRefused                      // a client's envelope was refused, with a code
	PublishAgain                        // a client's envelope was known already
	Forwarded                           // an envelope was sent to a neighbour
	DuplicateDropped                    // a copy from a neighbour was known already
	RelayRefused                        // a neighbour's envelope was refused, with a code
	StaleDropped                        // a neighbour's envelope was too old to be pushed on
	WrongDirection                      // data came over a link that is no tree edge
	Delivered                           // an envelope was sent to a client
	DeliveryAcked                       // a client acknowledged an envelope
	MailboxDropped                      // a mailbox was over its quota; a gap tells
	MailExpired                         // mail expired in a mailbox; a gap tells
	HoleGivenUp                         // a hole in a stream was not repaired; a gap tells
	FaultCharged                        // a fault was charged to a link
	UnknownFrame                        // a frame of an unknown type was skipped
	FrameIgnored                        // a frame made no sense in the present state
	LinkRefused                         // a peer was not admitted
	TableFull                           // a table was full and refused what was new
	Pulled                              // a missing envelope was asked for
	Repaired                            // a missing envelope came by pull
	OfferSent                           // an offer was sent
	PushDeferred                        // a push did not fit the queue and became an offer
	RouterMail                          // mail for the router itself
	ParentChanged                       // a router changed its parent in a tree
	OrphanStarted                       // a router lost its way to a root
	RootStarted                         // this router became a root
	RootStopped                         // this router ceased to be a root
	ReportEvents                        // how many there are
)

var reportNames = [...]string{
	"publish accepted", "publish refused", "publish again", "forwarded", "duplicate dropped", "relay refused",
	"stale dropped", "wrong direction", "delivered", "delivery acked", "mailbox dropped", "mail expired",
	"hole given up", "fault charged", "unknown frame", "frame ignored", "link refused", "table full", "pulled",
	"repaired", "offer sent", "push deferred", "router mail", "parent changed", "orphan started", "root started",
	"root stopped",
}

// String returns the name in words, as status and logs show it.
func (e ReportEvent) String() string {
	if int(e) < len(reportNames) {
		return reportNames[e]
	}
	return fmt.Sprintf("event %d", uint8(e))
}
