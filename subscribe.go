package upsycle

import (
	"context"
	"iter"

	"upsycle/identity"
	"upsycle/internal/envelope"
)

// errUnsubscribed ends the loops over a group that the application left.
var errUnsubscribed = &plainError{"the subscription was ended by Unsubscribe", "call Subscribe again"}

// Subscribe returns the items of a group, for a loop
//
//	for item, err := range conn.Subscribe(ctx, group) {
//		if err != nil {
//			return err
//		}
//		fmt.Printf("%s\n", item.Payload)
//	}
//
// The subscription is asked for when the loop begins, unless the Conn has it
// already. An item is acknowledged when the loop asks for the next one. Leaving
// the loop leaves the item in hand unacknowledged, unless its Ack was called: the
// next loop over the group begins with it.
//
// The items of one publisher come in the order of its numbers and once each; one
// hole holds up its own stream only, for 30 seconds at most. What is lost comes as
// an item whose Gap is not nil. Several loops over one group get every item each.
//
// Leaving the loop does not end the subscription: the router keeps what comes for
// this key, also after Close and for the next process with the same key, until it
// is acknowledged or its time to live is over. Unsubscribe ends it. Of a Conn that
// was dialled without a key, Close does, since nobody could come back for it.
//
// The loop ends with an error that is not nil: ctx's when ctx ended, a *Refused
// when the router refused the subscription, ErrClosed or ErrSuperseded. While
// there is no link it waits. An application that does not read stops
// acknowledging, so that the router holds back what comes: memory stays bounded.
func (c *Conn) Subscribe(ctx context.Context, group identity.Address) iter.Seq2[Item, error] {
	return c.items(ctx, envelope.Target{Kind: envelope.Group, To: group})
}

// Inbox returns the mail that was sent to this Conn's own address. It is otherwise
// like Subscribe.
func (c *Conn) Inbox(ctx context.Context) iter.Seq2[Item, error] {
	return c.items(ctx, c.own())
}

// Listen subscribes to a group and returns when the subscription is in force:
// what is published from then on will come. Close the Subscription when it is not
// read any more.
func (c *Conn) Listen(ctx context.Context, group identity.Address) (*Subscription, error) {
	return c.listen(ctx, envelope.Target{Kind: envelope.Group, To: group})
}

// ListenInbox is Listen for the mail of this Conn's own address.
func (c *Conn) ListenInbox(ctx context.Context) (*Subscription, error) {
	return c.listen(ctx, c.own())
}

// Unsubscribe ends the subscription to a group, also one of an earlier process
// with the same key. The router forgets what it held for it, and the loops over it
// end. It does not wait for the router.
func (c *Conn) Unsubscribe(group identity.Address) {
	c.recv.unsubscribe(envelope.Target{Kind: envelope.Group, To: group})
}

func (c *Conn) own() envelope.Target {
	return envelope.Target{Kind: envelope.Address, To: c.Address()}
}

func (c *Conn) items(ctx context.Context, t envelope.Target) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		s, err := c.listen(ctx, t)
		if err != nil {
			yield(Item{}, err)
			return
		}
		defer s.Close()
		s.Items(ctx)(yield)
	}
}

func (c *Conn) listen(ctx context.Context, t envelope.Target) (*Subscription, error) {
	if t.To.IsZero() {
		return nil, errNobody
	}
	s, err := c.recv.subscribe(t)
	if err != nil {
		return nil, err
	}
	if err := c.recv.await(ctx, s); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// A Subscription is one reader of a target that is in force: see Listen. Items
// may be called again and again, but not by two goroutines at once.
type Subscription struct {
	recv  *receiver
	topic *topic
	more  chan struct{} // capacity 1: queue or ended may have changed

	// Guarded by recv.mu.
	queue []*share // not acknowledged, in order
	at    int      // queue[:at] were handed out whole
	ended error
	gone  bool
}

// Items returns the items, beginning with the first that was not acknowledged. It
// acknowledges like Subscribe.
func (s *Subscription) Items(ctx context.Context) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		s.rewind()
		for {
			item, err := s.next(ctx)
			if err != nil {
				yield(Item{}, err)
				return
			}
			if !yield(item, nil) {
				return
			}
			item.Ack()
		}
	}
}

// Close stops reading. It does not end the subscription at the router: see
// Subscribe. What was not acknowledged is kept for the next reader, unless
// another one reads the same target.
func (s *Subscription) Close() {
	r := s.recv
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	s.end(ErrClosed)
	s.topic.subs = without(s.topic.subs, s)
	for _, sh := range s.queue {
		switch {
		case r.ended != nil: // unacknowledged: the router has it
		case len(s.topic.subs) > 0:
			sh.drop()
		default:
			sh.sub, sh.next = nil, 0
			s.topic.kept = append(s.topic.kept, sh)
		}
	}
	s.queue = nil
}

// rewind makes next begin with the first item that was not acknowledged.
func (s *Subscription) rewind() {
	s.recv.mu.Lock()
	defer s.recv.mu.Unlock()
	for _, sh := range s.queue {
		sh.next = 0
	}
	s.at = 0
}

// next waits for the next item that was neither handed out nor acknowledged.
func (s *Subscription) next(ctx context.Context) (Item, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Item{}, err
		}
		s.recv.mu.Lock()
		item, ok := s.take()
		err := s.ended
		s.recv.mu.Unlock()
		switch {
		case err != nil:
			return Item{}, err
		case ok:
			return item, nil
		}
		select {
		case <-s.more:
		case <-ctx.Done():
		}
	}
}

func (s *Subscription) take() (Item, bool) {
	for {
		for ; s.at < len(s.queue); s.at++ {
			if item, ok := s.queue[s.at].take(); ok {
				return item, true
			}
		}
		if s.topic.dropped == 0 {
			return Item{}, false
		}
		s.recv.flushDropped(s.topic)
	}
}

// forget takes a share out of the queue whose items are all acknowledged.
func (s *Subscription) forget(sh *share) {
	n := len(s.queue)
	for i := 0; i < n && i < s.at; i++ {
		if s.queue[i] == sh {
			s.at--
			break
		}
	}
	s.queue = without(s.queue, sh)
}

func (s *Subscription) end(why error) {
	if s.ended == nil {
		s.ended = why
	}
	s.poke()
}

func (s *Subscription) poke() {
	select {
	case s.more <- struct{}{}:
	default:
	}
}

// take hands out the next item of the share.
func (sh *share) take() (Item, bool) {
	d := sh.delivery
	if d.envelope == nil {
		if sh.next > 0 || sh.left == 0 {
			return Item{}, false
		}
		sh.next, d.handed = 1, true
		return Item{Target: d.gap.Target.To, Gap: newGap(d.gap), hand: sh}, true
	}
	d.open(sh.recv.sealer)
	if d.unread != nil {
		return sh.takeUnread()
	}
	for ; sh.next < len(d.payloads); sh.next++ {
		if at := sh.next; !sh.acked(at) {
			sh.next++
			return d.item(sh, at), true
		}
	}
	return Item{}, false
}

// takeUnread hands out one gap for the whole envelope.
func (sh *share) takeUnread() (Item, bool) {
	if sh.next > 0 || sh.left == 0 {
		return Item{}, false
	}
	sh.next, sh.left = 1, 1
	clear(sh.done)
	e := sh.envelope
	return Item{From: e.From, Target: e.Target.To, Seq: e.First, Time: instant(e.Time), ID: e.ID, Gap: unreadable(e), hand: sh}, true
}

// open reads the body once for all shares.
func (d *delivery) open(s sealer) {
	if d.opened {
		return
	}
	d.opened = true
	d.payloads, d.encrypted, d.unread = s.open(d.envelope)
}

func (d *delivery) item(sh *share, at int) Item {
	e := d.envelope
	return Item{
		Payload: d.payloads[at], From: e.From, Target: e.Target.To, Seq: e.First + uint64(at),
		Time: instant(e.Time), ID: e.ID, Encrypted: d.encrypted, Late: d.late, hand: sh, at: at,
	}
}
