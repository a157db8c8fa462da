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
	LiveDropped                         // a live envelope, or a push beyond all bounds, was dropped under pressure
	Displaced                           // a link of the same key, of another process, was ended for this one
	StoreFault                          // the store does not give back what was stored
	RouterMail                          // mail for the router itself
	ParentChanged                       // a router changed its parent in a tree
	OrphanStarted                       // a router lost its way to a root
	RootStarted                         // this router became a root
	RootStopped                         // this router ceased to be a root
	ReportEvents                        // how many there are
)

// String returns the name in words, as status and logs show it.
func (e ReportEvent) String() string {
	switch e {
	case PublishAccepted:
		return "publish accepted"
	case PublishRefused:
		return "publish refused"
	case PublishAgain:
		return "publish again"
	case Forwarded:
		return "forwarded"
	case DuplicateDropped:
		return "duplicate dropped"
	case RelayRefused:
		return "relay refused"
	case StaleDropped:
		return "stale dropped"
	case WrongDirection:
		return "wrong direction"
	case Delivered:
		return "delivered"
	case DeliveryAcked:
		return "delivery acked"
	case MailboxDropped:
		return "mailbox dropped"
	case MailExpired:
		return "mail expired"
	case HoleGivenUp:
		return "hole given up"
	case FaultCharged:
		return "fault charged"
	case UnknownFrame:
		return "unknown frame"
	case FrameIgnored:
		return "frame ignored"
	case LinkRefused:
		return "link refused"
	case TableFull:
		return "table full"
	case Pulled:
		return "pulled"
	case Repaired:
		return "repaired"
	case OfferSent:
		return "offer sent"
	case PushDeferred:
		return "push deferred"
	case LiveDropped:
		return "live dropped"
	case Displaced:
		return "displaced"
	case StoreFault:
		return "store fault"
	case RouterMail:
		return "router mail"
	case ParentChanged:
		return "parent changed"
	case OrphanStarted:
		return "orphan started"
	case RootStarted:
		return "root started"
	case RootStopped:
		return "root stopped"
	}
	return fmt.Sprintf("event %d", uint8(e))
}
