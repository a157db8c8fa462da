package demo

import (
	"context"
	"fmt"
	"time"

	"upsycle"
	"upsycle/identity"
)

// servicesAttach brings up the four services: alice owns the group, bob may write
// by a certificate, all but alice subscribe, all read their mail.
func (s *stage) servicesAttach(ctx context.Context) error {
	var err error
	if s.group, err = newKey(); err != nil {
		return err
	}
	s.say("the group is %s", s.group.Address().Text(identity.GroupText))
	for _, v := range []struct {
		name string
		at   int
	}{{"alice", 0}, {"bob", 1}, {"carol", 2}, {"dave", 0}} {
		if err := s.attach(ctx, v.name, s.routers[v.at]); err != nil {
			return err
		}
	}
	return nil
}

// attach brings up one service: it dials, reads its mail and, unless it is alice,
// the group.
func (s *stage) attach(ctx context.Context, name string, at *actor) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	v := &service{name: name, at: at, key: key, back: make(chan struct{}, 16)}
	v.conn, err = upsycle.Dial(ctx, at.at.String(), key, upsycle.WithEvents(func(e upsycle.Event) { s.tellEvent(v, e) }))
	if err != nil {
		return err
	}
	s.services = append(s.services, v)
	s.say("%-5s %s attaches to router %s", name, key.Address().Short(identity.ServiceText), at.name)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	v.stop = cancel
	inbox, err := v.conn.ListenInbox(ctx)
	if err != nil {
		return err
	}
	s.read(run, v, inbox)
	if name == "alice" {
		return nil
	}
	sub, err := v.conn.Listen(ctx, s.group.Address())
	if err != nil {
		return err
	}
	s.read(run, v, sub)
	s.say("%-5s subscribes to the group", name)
	return nil
}

// read takes what comes to a service into the tally.
func (s *stage) read(ctx context.Context, v *service, sub *upsycle.Subscription) {
	v.done.Go(func() {
		shown := make(map[identity.Address]bool)
		for item, err := range sub.Items(ctx) {
			if err != nil {
				return
			}
			if item.Gap == nil && !shown[item.From] { // one of each writer will do
				shown[item.From] = true
				by := item.From.Short(identity.ServiceText)
				if item.From == item.Target {
					by = "the group's own key"
				}
				s.say("%-5s reads %q, signed by %s", v.name, item.Payload, by)
			}
			s.tally.arrive(v.name, item)
		}
	})
}

// tellEvent shows a service's own view of its link, and counts its returns.
func (s *stage) tellEvent(v *service, e upsycle.Event) {
	switch e.Kind {
	case upsycle.Disconnected:
		s.say("%-5s lost its router; it dials again by itself", v.name)
	case upsycle.Connected:
		select {
		case v.back <- struct{}{}:
		default:
		}
	}
}

// end stops a service and waits until its readers have ended.
func (v *service) end() {
	if v.stop != nil {
		v.stop()
	}
	v.conn.Close()
	v.done.Wait()
}

// named returns a service that the story has introduced.
func (s *stage) named(name string) *service {
	for _, v := range s.services {
		if v.name == name {
			return v
		}
	}
	panic("demo: no service " + name)
}

// settle waits until all that is expected has arrived.
func (s *stage) settle(ctx context.Context) error {
	begun := time.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		n, change := s.tally.missing()
		if n == 0 {
			s.say("all of it arrived, %.1f s after the last was published", time.Since(begun).Seconds())
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			s.say("%d deliveries are missing after %s", n, patience)
			return nil // the report says it
		}
	}
}

// publish publishes payloads in a group under g, and expects them at receivers.
func (s *stage) publish(ctx context.Context, v *service, g upsycle.Group, payloads []string, receivers ...string) error {
	for _, p := range payloads {
		s.tally.expect(p, receivers...)
		if err := v.conn.Publish(ctx, g, []byte(p)); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return nil
}

// numbered makes payloads that exist once.
func numbered(who, what string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s: %s %d", who, what, i+1)
	}
	return list
}
