package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/wire"
)

// DialOptions are the choices of one dial.
type DialOptions struct {
	// TrustOnFirstUse allows an endpoint without a pin. It is called once the
	// router has proved its key, shows and stores it, and returns an error if the
	// key is not wanted, which ends the dial. The dial is pinned to that key from
	// then on. Whoever answered has seen our own address by then. It may ask a
	// person; Close waits for it.
	TrustOnFirstUse func(identity.Address) error
}

// A DialError says why Dial did not begin, with a hint for the user.
type DialError struct{ Text, Hint string }

// Error returns one sentence.
func (e *DialError) Error() string { return e.Text }

// Dial keeps a link to ep's router: it dials until one is up, and again, with a
// jittered back-off, whenever it ends. While another link to the same key is up
// it waits for that one's end. It stops at Undial, Drain or Close, and when the
// router says that a newer attachment of our key took over (close 14).
//
// The error, a *DialError, is for what no second try would mend. A second Dial of
// the same endpoint does nothing.
func (h *Hub) Dial(ep identity.Endpoint, opts DialOptions) error {
	if !ep.HasPin && opts.TrustOnFirstUse == nil {
		return &DialError{"the endpoint " + ep.String() + " names no key", "Add # and the router's address (upr1…), or ask for trust on first use."}
	}
	if ep.HasPin && ep.Pin == h.self {
		return &DialError{"the endpoint " + ep.String() + " is pinned to my own key", "A process does not link to itself; give another router's endpoint."}
	}
	d := &dial{hub: h, name: ep.String(), endpoint: ep, trust: opts.TrustOnFirstUse, wait: newBackoff()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut {
		return &DialError{errHubClosed.Error(), "Start the program again."}
	}
	if h.dials[d.name] == nil {
		d.ctx, d.cancel = context.WithCancel(h.dialling)
		h.dials[d.name] = d
		h.running.Go(d.run)
	}
	return nil
}

// Undial stops dialling ep, which must be as it was given to Dial. A link that is
// up stays; CloseLink ends it.
func (h *Hub) Undial(ep identity.Endpoint) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := h.dials[ep.String()]; d != nil {
		d.cancel()
		delete(h.dials, d.name)
	}
}

// A dial is one endpoint that is being kept linked. Its fields belong to run.
type dial struct {
	hub      *Hub
	name     string
	endpoint identity.Endpoint // gets a pin on first use
	trust    func(identity.Address) error
	ctx      context.Context
	cancel   context.CancelFunc
	wait     backoff
	unwanted bool   // the key that answered was not trusted
	said     string // the last failure that was logged
}

func (d *dial) run() {
	defer d.cancel()
	for d.awaitTurn() {
		started, why, up := d.once()
		if d.ctx.Err() != nil {
			return
		}
		if d.final(why) {
			d.stopped(why)
			return
		}
		var lasted time.Duration
		if up {
			lasted, d.said = time.Since(started), ""
		}
		pause := d.wait.next(lasted)
		if !up {
			d.failed(why, pause)
		}
		sleep(d.ctx, pause)
	}
}

// awaitTurn waits while another link to the key is up; false: the dial is over.
func (d *dial) awaitTurn() bool {
	for d.endpoint.HasPin && d.ctx.Err() == nil {
		l := d.hub.linked(d.endpoint.Pin)
		if l == nil {
			break
		}
		began := time.Now()
		select {
		case <-l.down:
			sleep(d.ctx, d.wait.next(time.Since(began)))
		case <-d.ctx.Done():
		}
	}
	return d.ctx.Err() == nil
}

// once dials once and stays for the life of the link; started is when that began.
func (d *dial) once() (started time.Time, why *ending, up bool) {
	ctx, cancel := context.WithTimeout(d.ctx, dialTime)
	conn, err := d.hub.config.Network.Dial(ctx, d.endpoint)
	cancel()
	if err != nil {
		return started, &ending{cause: err}, false
	}
	c := caller{
		dialled: true,
		origin:  d.endpoint.Where,
		greeted: func() {},
		joined:  func(*link) { started = time.Now() },
	}
	if !d.endpoint.HasPin {
		c.trust = d.firstUse
	}
	c.config = linkConfig(d.hub.certificate, d.endpoint.Pin, d.hub.refuse)
	why, up = d.hub.serve(conn, c)
	return started, why, up
}

// firstUse asks for a proven key and pins the dial to it.
func (d *dial) firstUse(peer identity.Address) error {
	if err := d.trust(peer); err != nil {
		d.unwanted = true
		return err
	}
	d.endpoint = d.endpoint.WithPin(peer)
	return nil
}

// final says whether dialling again would be wrong: the user said no to the key;
// or another process attached under our key, and each of the two would displace
// the other for ever. On the backbone close 14 only chooses between two links.
func (d *dial) final(why *ending) bool {
	return d.unwanted || why.byPeer && why.code == wire.Superseded && d.hub.config.Role != wire.Core
}

func (d *dial) notice(event NoticeEvent, why *ending) Notice {
	n := Notice{Event: event, Endpoint: d.endpoint, Peer: d.endpoint.Pin, Origin: d.endpoint.Where, Dialled: true}
	return n.because(why)
}

func (d *dial) stopped(why *ending) {
	d.hub.mu.Lock()
	if d.hub.dials[d.name] == d {
		delete(d.hub.dials, d.name)
	}
	d.hub.mu.Unlock()
	n := d.notice(DialStopped, why)
	d.hub.log.Warn("not dialled again", "endpoint", d.name, "why", n.Text, "hint", n.Hint)
	d.hub.config.Notify(n)
}

func (d *dial) failed(why *ending, retry time.Duration) {
	d.hub.count.dialFailed.Add(1)
	n := d.notice(DialFailed, why)
	n.Retry = retry
	if n.Text != d.said { // once per reason: a router may be away for days
		d.said = n.Text
		d.hub.log.Warn("dial failed", "endpoint", d.name, "why", n.Text, "hint", n.Hint, "retry", retry.Round(time.Millisecond))
	}
	d.hub.config.Notify(n)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// errScheme is for a Network that does not know an endpoint's scheme.
func errScheme(ep identity.Endpoint) error {
	return fmt.Errorf("link: this network has no %s endpoints: %w", ep.Scheme, errors.ErrUnsupported)
}
