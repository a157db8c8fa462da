package upsycle

import (
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// An Item is what a loop over a subscription gets: one message, or one Gap that
// tells of messages that will not come.
type Item struct {
	// Payload is what was published. It may be kept, but not changed: other
	// subscriptions of this Conn share it. Nil for a gap.
	Payload []byte
	// From is the key that signed: the writer in a group, the sender of mail.
	From identity.Address
	// Target is the group, or this Conn's own address for mail.
	Target identity.Address
	// Seq counts the items of one stream, which is one publisher's life in one
	// target: it rises by one from item to item, and starts anew at 0 when the
	// publisher starts anew.
	Seq uint64
	// Time is when the publisher signed the item, by the publisher's clock.
	Time time.Time
	// ID names the envelope that the item came in; with Seq it names the item.
	ID ID
	// Encrypted says whether the payload was hidden from the routers. It is
	// always false in this version: every router on the way could read it.
	Encrypted bool
	// Late says that the item fills a hole that was reported as a gap before,
	// so that it comes after items that were published later.
	Late bool
	// Gap is not nil where items are missing; then only Target and what the gap
	// says are meaningful, and where the stream is known From, too.
	Gap *Gap

	hand *share // what Ack acknowledges; nil: nothing
	at   int
}

// Ack acknowledges the item: it will not come again. A loop over a subscription
// does this by itself when it asks for the next item; Ack is for who leaves the
// loop with the item done. To call it twice, or on any goroutine, is harmless.
func (i Item) Ack() {
	if i.hand != nil {
		i.hand.ack(i.at)
	}
}

// A Gap tells of items that will not come, or came to nobody. It is the promise
// that nothing is lost in silence.
type Gap struct {
	Count    uint64    // how many items, at least
	Why      Why       // why they are missing
	FromTime time.Time // they were published between FromTime
	ToTime   time.Time // and ToTime, by the clocks of publishers or routers
}

// Why says why items are missing.
type Why uint64

// The reasons of a gap.
const (
	WhyQuota      = Why(wire.WhyQuota)    // the router's mailbox was full; the oldest went
	WhyExpired    = Why(wire.WhyExpired)  // their time to live ended before they were delivered
	WhyLive       = Why(wire.WhyLive)     // live messages were dropped under pressure
	WhyHole       = Why(wire.WhyHole)     // they were lost on the way and could not be repaired
	WhyLease      = Why(wire.WhyLease)    // the mailbox was given up after a long absence
	WhyTooLarge   = Why(wire.WhyTooLarge) // larger than this program accepts
	WhyUnreadable = Why(1 << 32)          // they came, but this program cannot read them
)

// String returns the reason in words.
func (w Why) String() string {
	if w == WhyUnreadable {
		return "unreadable"
	}
	return wire.Why(w).String()
}

func newGap(g wire.Gap) *Gap {
	return &Gap{Count: g.Count, Why: Why(g.Why), FromTime: instant(g.FromTime), ToTime: instant(g.ToTime)}
}

func unreadable(e *envelope.Envelope) *Gap {
	at := instant(e.Time)
	return &Gap{Count: uint64(e.Count), Why: WhyUnreadable, FromTime: at, ToTime: at}
}

func instant(ms uint64) time.Time { return time.UnixMilli(int64(ms)) }
