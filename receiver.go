package upsycle

import (
	"context"
	"sync"

	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// The bounds of what waits for an application that does not read. The router's
// windows are smaller, so an honest router never reaches them with stored
// messages; live ones have no window, and yield.
const (
	queuedMax      = 1024     // deliveries of one target
	queuedBytesMax = 16 << 20 // bytes of these
	allBytesMax    = 96 << 20 // bytes of all targets, what is kept about each included; a router has 32 MiB on its way
	topicsMax      = 10_000   // targets that mail makes known which nobody here asked for: as many as a router subscribes us to
	deliveryCost   = 768      // bytes kept about an envelope beside its own
)

// A receiver holds what has come and was not acknowledged, for each target that
// was subscribed to, and hands it to the loops of the application. Deliveries are
// put in by the machine's goroutine and taken out by the application's.
type receiver struct {
	sealer sealer
	tell   func(call) // to the machine; does not block

	mu     sync.Mutex
	topics map[envelope.Target]*topic
	left   map[envelope.Target]struct{} // unsubscribed, maybe without a link
	bytes  int                          // of unacknowledged deliveries of all targets, with their cost
	ended  error                        // not nil: nothing more comes
}

// leftMax bounds the targets that are remembered because the router may not have
// heard that they were left. One that is forgotten costs a mailbox at the router.
const leftMax = 1024

// A topic is one target that this Conn subscribed to, or that an earlier process
// with its key did and whose mail comes before anybody here asked for it.
type topic struct {
	target   envelope.Target
	asked    bool // the router was asked to subscribe
	subs     []*Subscription
	kept     []*share            // what nobody acknowledged while there was no subscription
	bytes    int                 // of unacknowledged deliveries
	count    int                 // of these
	dropped  uint64              // live items that were dropped and not told of yet
	dropFrom uint64              // when the first of them was published
	dropTo   uint64              // and the last
	gaps     [gapKinds]*delivery // the last gap of each reason
	ready    chan struct{}       // closed when the router has answered
	code     wire.Code           // its answer
	answered bool
}

// A delivery is one envelope or gap that has come. It is acknowledged to the
// router when every share in it is.
type delivery struct {
	topic    *topic
	envelope *envelope.Envelope // nil for a gap
	gap      wire.Gap
	receipt  attach.Receipt
	late     bool

	opened    bool
	payloads  [][]byte
	encrypted bool
	unread    error

	shares int  // not yet acknowledged
	handed bool // a gap that some loop has had
}

// gapKinds counts the reasons of gaps that are told apart when too many come; those
// that this version does not know are one.
const gapKinds = int(wire.WhyTooLarge) + 1

func gapKind(w wire.Why) int {
	if w > wire.WhyTooLarge {
		return 0
	}
	return int(w)
}

// A share is one subscription's part in a delivery: which of its items the
// application has acknowledged.
type share struct {
	*delivery
	recv *receiver
	sub  *Subscription // nil while it is kept for the next
	done []uint64      // one bit for each item
	left int           // items that are not acknowledged
	next int           // the item that is handed out next
}

func newReceiver(s sealer, tell func(call)) *receiver {
	return &receiver{
		sealer: s, tell: tell,
		topics: make(map[envelope.Target]*topic), left: make(map[envelope.Target]struct{}),
	}
}

// subscribe adds a subscription to t. Of a target that is new the router is
// asked. What an earlier subscription left unacknowledged becomes the new one's.
func (r *receiver) subscribe(t envelope.Target) (*Subscription, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return nil, r.ended
	}
	tp := r.topic(t)
	if tp.answered && tp.code != wire.OK { // refused before: try again
		tp.asked, tp.answered, tp.ready = false, false, make(chan struct{})
	}
	if !tp.asked {
		tp.asked = true
		delete(r.left, t)
		r.tell(wantCall{t})
	}
	s := &Subscription{recv: r, topic: tp, more: make(chan struct{}, 1)}
	for _, sh := range tp.kept {
		sh.sub = s
		s.queue = append(s.queue, sh)
	}
	tp.kept = nil
	tp.subs = append(tp.subs, s)
	return s, nil
}

// topic returns the topic of t, a new one if need be.
func (r *receiver) topic(t envelope.Target) *topic {
	tp := r.topics[t]
	if tp == nil {
		tp = &topic{target: t, ready: make(chan struct{})}
		r.topics[t] = tp
	}
	return tp
}

// unsubscribe forgets t with all that came. Its loops end. It may be the
// subscription of an earlier process with this key.
func (r *receiver) unsubscribe(t envelope.Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leave(t)
	for other := range r.left {
		if len(r.left) < leftMax {
			break
		}
		delete(r.left, other)
	}
	r.left[t] = struct{}{}
	tp := r.topics[t]
	if tp == nil {
		return
	}
	delete(r.topics, t)
	for _, s := range tp.subs {
		s.end(errUnsubscribed)
		for _, sh := range s.queue {
			sh.drop()
		}
		s.queue = nil
	}
	for _, sh := range tp.kept {
		sh.drop()
	}
	tp.subs, tp.kept = nil, nil
	tp.settle(wire.OK)
}

// leave has the router told that t is not wanted. It hears only of what was
// wanted.
func (r *receiver) leave(t envelope.Target) {
	r.tell(wantCall{t})
	r.tell(unwantCall{t})
}

// attached is told of each attachment: what was left without a link is left once
// more.
func (r *receiver) attached() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range r.left {
		r.leave(t)
	}
}

// targets returns what is subscribed to, in no order.
func (r *receiver) targets() []envelope.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]envelope.Target, 0, len(r.topics))
	for t := range r.topics {
		list = append(list, t)
	}
	return list
}

// subscribed is the router's answer to a subscription.
func (r *receiver) subscribed(t envelope.Target, code wire.Code) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tp := r.topics[t]
	if tp == nil {
		return
	}
	tp.settle(code)
	if code != wire.OK {
		for _, s := range tp.subs {
			s.end(&Refused{Code: code})
		}
	}
}

func (tp *topic) settle(code wire.Code) {
	tp.code = code
	if !tp.answered {
		tp.answered = true
		close(tp.ready)
	}
}

// deliver takes an envelope that came. Of a target that nobody asked for yet it is
// kept: the application may be about to. What it has left is done.
func (r *receiver) deliver(e *envelope.Envelope, receipt attach.Receipt, late bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, left := r.left[e.Target]
	if left || e.Flags&envelope.Control != 0 {
		r.done(receipt)
		return
	}
	live := receipt == (attach.Receipt{})
	tp := r.known(e.Target, receipt)
	if tp == nil {
		return
	}
	switch fits := tp.fits(len(e.Raw)) && r.bytes+len(e.Raw)+deliveryCost <= allBytesMax; {
	case !fits && live:
		tp.dropLive(e)
	case !fits: // the router does not keep to its window
		r.putGap(tp, overflow(e), receipt)
	default:
		r.flushDropped(tp)
		r.put(tp, &delivery{topic: tp, envelope: e, receipt: receipt, late: late}, e.Count)
	}
}

// gap takes word of items that will not come.
func (r *receiver) gap(g wire.Gap, receipt attach.Receipt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, left := r.left[g.Target]; left {
		r.done(receipt)
		return
	}
	if tp := r.known(g.Target, receipt); tp != nil {
		r.putGap(tp, g, receipt)
	}
}

// known returns the topic of what came, a new one for what has a place in the
// router's mailbox: the application may be about to ask for it. Nil: nobody will,
// and the router knows that.
func (r *receiver) known(t envelope.Target, receipt attach.Receipt) *topic {
	switch tp := r.topics[t]; {
	case tp != nil:
		return tp
	case receipt == (attach.Receipt{}):
		return nil
	case len(r.topics) >= topicsMax:
		r.done(receipt)
		return nil
	}
	return r.topic(t)
}

// putGap takes in a gap. Of more than an honest router sends, those of one reason
// become one.
func (r *receiver) putGap(tp *topic, g wire.Gap, receipt attach.Receipt) {
	last := &tp.gaps[gapKind(g.Why)]
	if d := *last; d != nil && d.shares > 0 && tp.count >= queuedMax && (!d.handed || tp.count >= 2*queuedMax) {
		d.gap.FromTime, d.gap.ToTime = min(d.gap.FromTime, g.FromTime), max(d.gap.ToTime, g.ToTime)
		d.gap.Count = max(d.gap.Count, d.gap.Count+g.Count) // a wild count must not wrap around
		r.done(receipt)
		return
	}
	*last = &delivery{topic: tp, gap: g, receipt: receipt}
	r.put(tp, *last, 1)
}

func overflow(e *envelope.Envelope) wire.Gap {
	return wire.Gap{Target: e.Target, FromTime: e.Time, ToTime: e.Time, Count: uint64(e.Count), Why: wire.WhyQuota}
}

func (tp *topic) fits(size int) bool {
	return tp.count < queuedMax && tp.bytes+size <= queuedBytesMax
}

// dropLive counts a live envelope for which there is no room; the next thing that
// is delivered is preceded by the gap that tells of it.
func (tp *topic) dropLive(e *envelope.Envelope) {
	if tp.dropped == 0 {
		tp.dropFrom, tp.dropTo = e.Time, e.Time
	}
	tp.dropped += uint64(e.Count)
	tp.dropFrom, tp.dropTo = min(tp.dropFrom, e.Time), max(tp.dropTo, e.Time)
}

func (r *receiver) flushDropped(tp *topic) {
	if tp.dropped == 0 {
		return
	}
	g := wire.Gap{Target: tp.target, FromTime: tp.dropFrom, ToTime: tp.dropTo, Count: tp.dropped, Why: wire.WhyLive}
	tp.dropped = 0
	r.put(tp, &delivery{topic: tp, gap: g}, 1)
}

// put gives every subscription its share of d, or keeps it for the next one.
func (r *receiver) put(tp *topic, d *delivery, items int) {
	tp.count++
	tp.bytes += d.size()
	r.bytes += d.size() + deliveryCost
	d.shares = max(len(tp.subs), 1)
	if len(tp.subs) == 0 {
		tp.kept = append(tp.kept, newShare(r, d, nil, items))
		return
	}
	for _, s := range tp.subs {
		s.queue = append(s.queue, newShare(r, d, s, items))
		s.poke()
	}
}

func newShare(r *receiver, d *delivery, s *Subscription, items int) *share {
	return &share{delivery: d, recv: r, sub: s, done: make([]uint64, (items+63)/64), left: items}
}

func (d *delivery) size() int {
	if d.envelope == nil {
		return 0
	}
	return len(d.envelope.Raw)
}

// done acknowledges to the router.
func (r *receiver) done(receipt attach.Receipt) {
	if receipt != (attach.Receipt{}) {
		r.tell(doneCall{receipt})
	}
}

// end ends all loops with why.
func (r *receiver) end(why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended != nil {
		return
	}
	r.ended = why
	for _, tp := range r.topics {
		for _, s := range tp.subs {
			s.end(why)
		}
		tp.settle(wire.OK)
	}
}

// await waits for the router's answer about a subscription.
func (r *receiver) await(ctx context.Context, s *Subscription) error {
	select {
	case <-s.topic.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.ended
}

// ack acknowledges item at.
func (sh *share) ack(at int) {
	sh.recv.mu.Lock()
	defer sh.recv.mu.Unlock()
	if sh.left == 0 || sh.acked(at) {
		return
	}
	sh.done[at/64] |= 1 << (at % 64)
	if sh.left--; sh.left > 0 {
		return
	}
	if sh.sub != nil {
		sh.sub.forget(sh)
	} else {
		sh.topic.forget(sh)
	}
	sh.finish()
}

func (sh *share) acked(at int) bool { return sh.done[at/64]&(1<<(at%64)) != 0 }

// drop acknowledges what is left, unread.
func (sh *share) drop() {
	if sh.left > 0 {
		sh.left = 0
		sh.finish()
	}
}

// finish ends the share, and with the last one the delivery.
func (sh *share) finish() {
	d := sh.delivery
	if d.shares--; d.shares == 0 {
		d.topic.count--
		d.topic.bytes -= d.size()
		sh.recv.bytes -= d.size() + deliveryCost
		sh.recv.done(d.receipt)
	}
}

func (tp *topic) forget(sh *share) { tp.kept = without(tp.kept, sh) }

func without[T comparable](list []T, x T) []T {
	for i, y := range list {
		if y == x {
			if i == 0 {
				var none T
				list[0] = none // let go of it: the front is what usually goes
				return list[1:]
			}
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}
