package upsycle

import (
	"context"
	"fmt"
	"iter"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
)

// TTLDefault is how long a message is kept for those who are away, unless TTL
// says otherwise.
const TTLDefault = 7 * 24 * time.Hour

// A PublishOption changes how a message is published.
type PublishOption func(*terms)

// terms are what all items of one envelope have in common.
type terms struct {
	ttl   uint64 // seconds
	flags envelope.Flags
}

// TTL sets how long routers keep a message for those who are away: from a second
// to 30 days, rounded to seconds. What is out of range is taken to the nearest
// end.
func TTL(d time.Duration) PublishOption {
	return func(t *terms) {
		t.ttl = uint64(min(max(d.Round(time.Second)/time.Second, 1), envelope.TTLMax))
	}
}

// Live publishes a message that is never stored, for presence, cursors and the
// like: who is not linked does not get it, and under pressure the oldest go,
// which their receivers see as a gap.
func Live() PublishOption {
	return func(t *terms) { t.flags |= envelope.Live }
}

func termsOf(opts []PublishOption) terms {
	t := terms{ttl: uint64(TTLDefault / time.Second)}
	for _, o := range opts {
		o(&t)
	}
	return t
}

// Publish sends payload to everybody who subscribed to group and returns once the
// router has it in custody: it will be delivered, even if this program ends now.
// The payload may have up to 1 MiB, less 8 bytes, and may be changed once Publish
// has returned.
//
// Any number of goroutines may publish at once, and are faster together: what
// comes while an envelope is being signed shares the next one. Items that one
// goroutine publishes to one group reach every subscriber in that order.
//
// The error is a *Refused when the router refused the message for good, ctx's
// error when ctx ended first (the message may still be delivered), ErrReadOnly,
// ErrClosed or ErrSuperseded. While there is no link to the router, or the router
// asks to try again later, Publish waits: give it a ctx with a deadline where that
// is not wanted; the error then says why the router put the message off. Payloads are not encrypted in this version.
func (c *Conn) Publish(ctx context.Context, group Group, payload []byte, opts ...PublishOption) error {
	if !group.CanPublish() {
		return ErrReadOnly
	}
	return c.publish(ctx, groupLane(group), payload, opts)
}

// Send sends payload to one address, of a service or a router, and returns once
// the router has it in custody. It is otherwise like Publish.
func (c *Conn) Send(ctx context.Context, to identity.Address, payload []byte, opts ...PublishOption) error {
	return c.publish(ctx, c.mailLane(to), payload, opts)
}

// PublishAll publishes payloads in order and returns when the router has all of
// them in custody. It is the fast way to publish many from one goroutine: it does
// not wait for one before it takes the next, and holds a bounded number of bytes.
//
// It returns how many items were taken into custody. On the first error it takes
// no more payloads, waits for those under way, and returns the error of the first
// item that failed, which says which it was; errors.As finds the *Refused.
func (c *Conn) PublishAll(ctx context.Context, group Group, payloads iter.Seq[[]byte], opts ...PublishOption) (int, error) {
	if !group.CanPublish() {
		return 0, ErrReadOnly
	}
	return c.publishAll(ctx, groupLane(group), payloads, opts)
}

// SendAll is PublishAll for one address.
func (c *Conn) SendAll(ctx context.Context, to identity.Address, payloads iter.Seq[[]byte], opts ...PublishOption) (int, error) {
	return c.publishAll(ctx, c.mailLane(to), payloads, opts)
}

func groupLane(g Group) lane {
	return lane{target: envelope.Target{Kind: envelope.Group, To: g.address}, signer: g.signer, cert: g.cert}
}

func (c *Conn) mailLane(to identity.Address) lane {
	return lane{target: envelope.Target{Kind: envelope.Address, To: to}, signer: c.key}
}

func (c *Conn) publish(ctx context.Context, l lane, payload []byte, opts []PublishOption) error {
	if l.target.To.IsZero() {
		return errNobody
	}
	b, err := c.pub.add(ctx, l, termsOf(opts), payload)
	if err != nil {
		return err
	}
	return b.wait(ctx)
}

var errNobody = &plainError{"the zero address names nobody", "take the address from a key, or parse its text"}

func (c *Conn) publishAll(ctx context.Context, l lane, payloads iter.Seq[[]byte], opts []PublishOption) (int, error) {
	if l.target.To.IsZero() {
		return 0, errNobody
	}
	run := pipeline{ctx: ctx}
	t := termsOf(opts)
	var last error // of the item after those that were added
	for payload := range payloads {
		b, err := c.pub.add(ctx, l, t, payload)
		if last = err; err != nil {
			break
		}
		run.added(b)
		if run.collect(false); run.err != nil {
			break
		}
	}
	run.collect(true)
	if last != nil {
		run.fail(last, 1)
	}
	return run.accepted, run.err
}

// A pipeline is one call of PublishAll: its batches, in order, and how many of
// its items each holds.
type pipeline struct {
	ctx      context.Context
	open     []portion
	seen     int // items of batches that are done
	accepted int
	err      error
}

type portion struct {
	batch *batch
	items int
}

// added notes that one more item went into b.
func (p *pipeline) added(b *batch) {
	if n := len(p.open); n > 0 && p.open[n-1].batch == b {
		p.open[n-1].items++
		return
	}
	p.open = append(p.open, portion{b, 1})
}

// collect takes what is done from the front; all of it, waiting, where wait is
// set.
func (p *pipeline) collect(wait bool) {
	for len(p.open) > 0 {
		first := p.open[0]
		if !wait && !first.batch.isDone() {
			return
		}
		if err := first.batch.wait(p.ctx); err != nil {
			p.fail(err, first.items)
		} else {
			p.accepted += first.items
		}
		p.seen += first.items
		p.open = p.open[1:]
	}
}

// fail keeps the first error and says which items it is about.
func (p *pipeline) fail(err error, items int) {
	if p.err != nil {
		return
	}
	if items == 1 {
		p.err = fmt.Errorf("item %d: %w", p.seen+1, err)
		return
	}
	p.err = fmt.Errorf("items %d to %d: %w", p.seen+1, p.seen+items, err)
}
