package upsycle

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"upsycle/identity"
	"upsycle/internal/link"
	"upsycle/internal/loop"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// closeTime is how long Close waits for acknowledgements.
const closeTime = 3 * time.Second

// A Conn is one service's attachment to its router. It stays attached by itself:
// when the link breaks it dials again, subscribes again and publishes again what
// was not acknowledged; duplicates are removed. Its methods may be called by any
// number of goroutines, and it uses a fixed number of its own.
//
// Inputs: Publish, PublishAll, Send, SendAll, Subscribe, Inbox, Listen,
// ListenInbox, Unsubscribe, Close. Queries: Address, Router, Done, Err.
type Conn struct {
	key   identity.Key
	fresh bool // the key was made by Dial: nobody can come back for its mail
	log   *slog.Logger

	hub    *link.Hub
	loop   *loop.Loop
	pub    *publisher
	recv   *receiver
	events *notifier
	first  chan error // capacity 1: what became of the first dial
	later  bool       // the router puts messages off; belongs to the machine's goroutine

	stopLoop context.CancelFunc
	stopPub  chan struct{}
	running  sync.WaitGroup
	closing  sync.Once
	closeErr error

	mu       sync.Mutex
	router   identity.Address // attached to, or last attached to
	attached bool
	refused  bool          // an attach was refused
	again    bool          // the next end of the link is not what Dial waits for
	cause    error         // why the Conn ended
	done     chan struct{} // closed when cause is set
}

// Dial attaches to a router and returns once that has happened.
//
// The endpoint is text: "tls://host:port#upr1…" or "unix:///path#upr1…", where the
// part after # is the address of the router that must answer. "" stands for
// $UPSYCLE_ROUTER, and if that is empty for the router of this user on this
// machine (see DefaultEndpoint).
//
// The key is this service's identity: its address receives mail, and the router
// keeps its subscriptions. A zero key makes Dial use a fresh one, which is right
// for a process that only publishes, or only reads what comes from now on. Only
// one process at a time can be attached with one key: a second one displaces the
// first, which gets ErrSuperseded.
//
// The error is a *DialError, whose Hint says what to do. ctx bounds the dialling
// only; Close ends the Conn.
func Dial(ctx context.Context, endpoint string, key identity.Key, opts ...Option) (*Conn, error) {
	ep, err := resolve(endpoint)
	if err != nil {
		return nil, err
	}
	o := optionsOf(opts)
	fresh := key.IsZero()
	if fresh {
		if key, err = identity.GenerateKey(rand.Reader); err != nil {
			return nil, &DialError{text: "no key could be made", cause: err}
		}
	}
	c := newConn(key, fresh, o)
	if err := c.hub.Dial(ep, link.DialOptions{TrustOnFirstUse: o.trust}); err != nil {
		c.Close()
		var refused *link.DialError
		if errors.As(err, &refused) {
			return nil, &DialError{text: refused.Text, hint: refused.Hint, cause: err}
		}
		return nil, &DialError{Endpoint: ep.String(), text: err.Error(), cause: err}
	}
	if err := c.firstAttach(ctx, ep); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func newConn(key identity.Key, fresh bool, o options) *Conn {
	c := &Conn{
		key: key, fresh: fresh, log: o.log, events: newNotifier(o.events),
		first: make(chan error, 1), stopPub: make(chan struct{}), done: make(chan struct{}),
	}
	c.recv = newReceiver(plain{}, c.tell)
	c.pub = newPublisher(plain{}, c.hand)
	c.loop = loop.New(loop.Config{Machine: newEnd(key.Address(), chance(), c), Shell: shell{c}, Key: key, Log: o.log})
	c.hub = link.NewHub(link.Config{
		Key: key, Role: wire.Service, Agent: o.agent, Handler: handler{c.loop}, Network: o.network,
		Log: o.log, Notify: c.notice, Limits: link.Limits{Links: 2},
	})
	ctx, cancel := context.WithCancel(context.Background())
	c.stopLoop = cancel
	c.running.Go(func() { c.loop.Run(ctx) })
	c.running.Go(func() { c.pub.work(c.stopPub) })
	return c
}

// firstAttach waits for the first attachment, or for whatever came in its stead.
func (c *Conn) firstAttach(ctx context.Context, ep identity.Endpoint) error {
	select {
	case err := <-c.first:
		var d *DialError
		if errors.As(err, &d) {
			d.Endpoint = ep.String()
		}
		return err
	case <-ctx.Done():
		return &DialError{
			Endpoint: ep.String(), text: "the router did not answer in time", cause: ctx.Err(),
			hint: "Look whether the router runs (upsycle status), or wait longer.",
		}
	}
}

// Address returns this service's address: the public half of the key.
func (c *Conn) Address() identity.Address { return c.key.Address() }

// Router returns the address of the router that the Conn is, or was last,
// attached to.
func (c *Conn) Router() identity.Address {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.router
}

// Done returns a channel that is closed when the Conn has ended: after Close, or
// when another process took over with the same key.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the Conn has ended, ErrClosed or ErrSuperseded, and nil while
// it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Close ends the Conn. It takes no more messages, waits up to 3 seconds for those
// under way if there is a link, sends the acknowledgements of what the application
// has had, says goodbye to the router and ends every goroutine of the Conn. Loops
// over items end with ErrClosed. A subscription stays in force at the router, so
// that the next process with the same key gets what comes meanwhile; only a Conn
// without a key of its own gives its subscriptions up.
//
// The error is ErrUnsent when messages were left whose fate is not known. To call
// Close twice is harmless.
func (c *Conn) Close() error {
	c.closing.Do(c.close)
	return c.closeErr
}

func (c *Conn) close() {
	idle := c.pub.drain(ErrClosed)
	if c.isAttached() {
		wait := time.NewTimer(closeTime)
		defer wait.Stop()
		select {
		case <-idle:
		case <-wait.C:
		case <-c.done:
		}
	}
	if c.fresh {
		for _, t := range c.recv.targets() {
			c.tell(unwantCall{t})
		}
	}
	c.ended(ErrClosed)
	c.flush()
	c.hub.Close()
	c.stopLoop()
	close(c.stopPub)
	c.running.Wait()
	if c.pub.abandon(ErrClosed) {
		c.closeErr = ErrUnsent
	}
	c.events.stop()
}

// flush waits until what the machine was told has been handled and what it sends
// is queued, so that the link is closed after it. The two calls are two steps: the
// effects of the first are carried out before the second begins.
func (c *Conn) flush() {
	handled := make(chan struct{})
	c.tell(flushCall{})
	c.tell(thenCall{func() { close(handled) }})
	wait := time.NewTimer(closeTime)
	defer wait.Stop()
	select {
	case <-handled:
	case <-wait.C:
	}
}

// ended notes why the Conn ended and tells everybody who waits. Only the first
// reason counts.
func (c *Conn) ended(why error) bool {
	c.mu.Lock()
	if c.cause != nil {
		c.mu.Unlock()
		return false
	}
	c.cause = why
	close(c.done)
	c.mu.Unlock()
	c.recv.end(why)
	return true
}

func (c *Conn) isAttached() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.attached
}

// chance is a seed for the machine, which has none of its own.
func chance() uint64 {
	var b [8]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}

// A handler hands what happens on the link to the machine. It blocks while the
// machine is busy, so that the link is read no faster than the machine decides.
type handler struct{ loop *loop.Loop }

// Event hands over what a link brought.
func (h handler) Event(ctx context.Context, ev machine.Event) error { return h.loop.Post(ctx, ev) }

// Drained hands over that frames have left.
func (h handler) Drained(ev machine.Drained) { h.loop.Answer(ev) }
