package demo

import (
	"context"
	"fmt"
	"time"

	"upsycle"
	"upsycle/identity"
)

// groupMessages lets the owner and a writer with a certificate publish. Both sign;
// routers and receivers check.
func (s *stage) groupMessages(ctx context.Context) error {
	alice, bob := s.named("alice"), s.named("bob")
	lines := numbered("alice", "chapter", 20)
	if s.given {
		lines = make([]string, len(s.lines))
		for i, l := range s.lines {
			lines[i] = fmt.Sprintf("%d: %s", i+1, l)
		}
	}
	if err := s.publishAll(ctx, alice, upsycle.GroupKey(s.group), lines, "bob", "carol", "dave"); err != nil {
		return err
	}
	s.say("alice publishes %d messages with the group's own key", len(lines))
	cert, err := upsycle.IssueWriter(s.group, bob.key.Address(), time.Now().Add(24*time.Hour))
	if err != nil {
		return err
	}
	writer, err := upsycle.WriterOf(s.group.Address(), bob.key, cert)
	if err != nil {
		return err
	}
	if err := s.publish(ctx, bob, writer, numbered("bob", "remark", 20), "bob", "carol", "dave"); err != nil {
		return err
	}
	s.say("bob publishes 20 messages by a certificate of the group")
	return s.settle(ctx)
}

// publishAll is publish for many: in flight together, in order.
func (s *stage) publishAll(ctx context.Context, v *service, g upsycle.Group, payloads []string, receivers ...string) error {
	_, err := v.conn.PublishAll(ctx, g, func(yield func([]byte) bool) {
		for _, p := range payloads {
			s.tally.expect(p, receivers...)
			if !yield([]byte(p)) {
				return
			}
		}
	})
	return err
}

// mail sends to one service and to one router; both are addresses.
func (s *stage) mail(ctx context.Context) error {
	alice, carol, dave := s.named("alice"), s.named("carol"), s.named("dave")
	letter := "alice to carol: for you alone"
	s.tally.expect(letter, "carol")
	if err := alice.conn.Send(ctx, carol.key.Address(), []byte(letter)); err != nil {
		return err
	}
	s.say("alice (at A) writes to carol (at C)")
	// C, which is not stopped later: a router holds its mail in memory in this
	// version, so after a restart it would get the same mail once more.
	c := s.routers[2]
	note := "dave to router C: how are you"
	s.tally.expect(note, "router C")
	if err := dave.conn.Send(ctx, c.key.Address(), []byte(note)); err != nil {
		return err
	}
	s.say("dave (at A) writes to router C itself, %s", c.key.Address().Short(identity.RouterText))
	return s.settle(ctx)
}

// detour stops router B in the middle of alice's traffic. Bob, who is attached to
// B, is away meanwhile; carol and dave must get everything.
func (s *stage) detour(ctx context.Context) error {
	alice, b := s.named("alice"), s.routers[1]
	group := upsycle.GroupKey(s.group)
	if err := s.publish(ctx, alice, group, numbered("alice", "before the stop", 10), "carol", "dave"); err != nil {
		return err
	}
	stopped := make(chan struct{})
	go func() {
		b.node.Stop()
		close(stopped)
	}()
	if err := s.publish(ctx, alice, group, numbered("alice", "while B stops", 30), "carol", "dave"); err != nil {
		return err
	}
	<-stopped
	s.say("router B is gone; alice goes on")
	if err := s.publish(ctx, alice, group, numbered("alice", "without B", 10), "carol", "dave"); err != nil {
		return err
	}
	return s.settle(ctx)
}

// comeBack starts B again under its old key at its old place. Its neighbours and
// bob find it by themselves.
func (s *stage) comeBack(ctx context.Context) error {
	b, bob := s.routers[1], s.named("bob")
	for len(bob.back) > 0 {
		<-bob.back
	}
	if err := s.start(ctx, b); err != nil {
		return err
	}
	if err := s.waitLinked(ctx); err != nil {
		return err
	}
	select {
	case <-bob.back:
		s.say("bob is attached again and subscribed again, without doing anything")
	case <-time.After(patience):
		return fmt.Errorf("bob did not come back within %s", patience)
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := s.publish(ctx, s.named("alice"), upsycle.GroupKey(s.group), numbered("alice", "welcome back", 10), "bob", "carol", "dave"); err != nil {
		return err
	}
	return s.settle(ctx)
}
