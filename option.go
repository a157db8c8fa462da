package upsycle

import (
	"context"
	"errors"
	"log/slog"
	"net"

	"upsycle/identity"
	"upsycle/internal/link"
)

// An Option changes how Dial connects.
type Option func(*options)

type options struct {
	trust   func(identity.Address) error
	log     *slog.Logger
	events  func(Event)
	network link.Network
	agent   string
}

// WithTrustOnFirstUse allows an endpoint that does not say which router must
// answer. store is called with the key of the router that did, once that is
// proved: it shows and stores it, so that the next endpoint can name it, and
// returns an error if the key is not wanted, which Dial returns. Whoever answered
// has learned this program's address by then.
func WithTrustOnFirstUse(store func(router identity.Address) error) Option {
	return func(o *options) { o.trust = store }
}

// WithLogger makes the Conn log: links, failures, and what it refused. Without it
// nothing is logged.
func WithLogger(log *slog.Logger) Option { return func(o *options) { o.log = log } }

// WithEvents makes the Conn tell f of its state. f is called on a goroutine of its
// own, one event at a time; it may call Close.
func WithEvents(f func(Event)) Option { return func(o *options) { o.events = f } }

// WithAgent names the program to the router: at most 64 bytes, like "chat 1.2".
func WithAgent(name string) Option { return func(o *options) { o.agent = name } }

// WithDialer makes dial open the connections to the router, for programs that go
// through a proxy, and for tests. The rest is as always: what comes back is only a
// pipe, over which the router proves its key. dial must be safe for several
// goroutines and heed ctx.
func WithDialer(dial func(ctx context.Context, ep identity.Endpoint) (net.Conn, error)) Option {
	return func(o *options) { o.network = dialer(dial) }
}

// A dialer is a network on which nobody can listen.
type dialer func(ctx context.Context, ep identity.Endpoint) (net.Conn, error)

// Dial opens a connection.
func (d dialer) Dial(ctx context.Context, ep identity.Endpoint) (net.Conn, error) { return d(ctx, ep) }

// Listen is what a service never does.
func (d dialer) Listen(identity.Endpoint) (net.Listener, error) { return nil, errors.ErrUnsupported }

func optionsOf(opts []Option) options {
	o := options{log: slog.New(slog.DiscardHandler), network: link.System(), agent: "upsycle sdk"}
	for _, apply := range opts {
		apply(&o)
	}
	if o.log == nil {
		o.log = slog.New(slog.DiscardHandler)
	}
	return o
}
