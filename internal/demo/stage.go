package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"time"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/node"
)

// A stage is where the story is played: the routers, the services, the group.
type stage struct {
	out   io.Writer
	say1  sync.Mutex
	begun time.Time
	tally *tally
	given bool // alice publishes lines, instead of her own
	lines []string

	routers  []*actor
	services []*service
	group    identity.Key
	forger   *forger

	forgedRefused, forgedCrossed int
}

// An actor is a router that can be stopped and come back at the same place.
type actor struct {
	name string
	key  identity.Key
	at   identity.Endpoint // where it listens; pinned once known
	cfg  node.Config
	node *node.Node
}

// A service is one application.
type service struct {
	name string
	at   *actor
	key  identity.Key
	conn *upsycle.Conn
	back chan struct{} // one token each time it is attached again
	stop context.CancelFunc
	done sync.WaitGroup
}

// say prints one line of the story with the time since its beginning.
func (s *stage) say(format string, args ...any) {
	s.say1.Lock()
	defer s.say1.Unlock()
	if format == "" {
		fmt.Fprintln(s.out)
		return
	}
	fmt.Fprintf(s.out, "%5.1f s  %s\n", time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
}

func newKey() (identity.Key, error) { return identity.GenerateKey(rand.Reader) }

// patience is how long the story waits for one thing before it fails.
const patience = 40 * time.Second

// wait polls until ok, at most patience long. What it polls is another process's
// business in real life: the control API.
func wait(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not happen within %s", what, patience)
		case <-tick.C:
		}
	}
}

// routersStart brings up A, B and C. Each dials those before it, so every pair is
// linked once.
func (s *stage) routersStart(ctx context.Context) error {
	for _, name := range []string{"A", "B", "C"} {
		key, err := newKey()
		if err != nil {
			return err
		}
		s.routers = append(s.routers, &actor{name: name, key: key})
	}
	for i, r := range s.routers {
		r.cfg = node.Config{Key: r.key, Version: "demo", Services: node.Access{Any: true}, Mail: s.routerMail(r.name)}
		for j, other := range s.routers {
			if j < i {
				r.cfg.Peers = append(r.cfg.Peers, other.at)
			}
			if j > i {
				r.cfg.Accept = append(r.cfg.Accept, other.key.Address())
			}
		}
		r.cfg.Listen = []identity.Endpoint{{Scheme: identity.SchemeTLS, Where: "127.0.0.1:0"}}
		if err := s.start(ctx, r); err != nil {
			return err
		}
		r.at = r.node.Endpoints()[0]
		r.cfg.Listen[0].Where = r.at.Where // the same port, should it come back
		s.say("router %s  %s  on %s", r.name, r.key.Address().Short(identity.RouterText), r.at.Where)
	}
	return s.waitLinked(ctx)
}

// start brings a router up, for the first time or again.
func (s *stage) start(ctx context.Context, r *actor) error {
	n, err := node.New(r.cfg)
	if err != nil {
		return err
	}
	r.node = n
	return n.Start(ctx)
}

// waitLinked waits until the triangle is closed and each router has its way to a
// root.
func (s *stage) waitLinked(ctx context.Context) error {
	for _, r := range s.routers {
		err := wait(ctx, "router "+r.name+" being linked to both others", func() (bool, error) {
			st, err := r.node.Status(ctx)
			rooted := false
			for _, root := range st.Roots {
				rooted = rooted || root.Reach && root.Counting
			}
			return len(st.Peers) == 2 && rooted, err
		})
		if err != nil {
			return err
		}
	}
	s.say("links A–B, B–C and A–C are up: TLS 1.3, both sides proved their keys; trees have grown")
	return nil
}

// routerMail notes what is sent to the router itself.
func (s *stage) routerMail(name string) func(machine.Deliver) {
	return func(d machine.Deliver) {
		items, err := envelope.PlainItems(d.Envelope.Body, d.Envelope.Count)
		if err != nil {
			return
		}
		for _, it := range items {
			s.tally.arriveMail("router "+name, string(it))
			s.say("router %s got mail: %q", name, it)
		}
	}
}

// clear ends everything, services first.
func (s *stage) clear() {
	for _, v := range s.services {
		v.end()
	}
	if s.forger != nil {
		s.forger.close()
	}
	for _, r := range s.routers {
		if r.node != nil {
			r.node.Stop()
		}
	}
}
