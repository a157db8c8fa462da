package upsycletest

import (
	"context"
	"testing"
	"time"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// mailboxes returns how many mailboxes the router keeps, once it has want of them.
func mailboxes(t *testing.T, r *Router, want int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		status, err := r.node.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(status.Clients) == want || ctx.Err() != nil {
			return len(status.Clients)
		}
		<-time.After(time.Millisecond) // a state that nobody tells of
	}
}

// A Conn with a key of its own leaves its mailbox for the next process; one with a
// fresh key leaves nothing, or the router would keep mail for nobody.
func TestFreshKeyLeavesNothing(t *testing.T) {
	r := NewRouter(t)
	group := Key(t, "club").Address()
	for _, c := range []struct {
		caption string
		key     identity.Key
		want    int
	}{{"a fresh key", identity.Key{}, 0}, {"a key of its own", Key(t, "ann"), 1}} {
		conn := r.DialKey(t, c.key)
		if _, err := conn.Listen(t.Context(), group); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if got := mailboxes(t, r, c.want); got != c.want {
			t.Errorf("%s: %d mailboxes are left, want %d", c.caption, got, c.want)
		}
	}
	again := r.DialKey(t, Key(t, "ann"))
	again.Unsubscribe(group) // of the process before
	again.Close()
	if got := mailboxes(t, r, 0); got != 0 {
		t.Errorf("after Unsubscribe: %d mailboxes are left", got)
	}
}

// ahead attaches by hand under a homes document from tomorrow and is gone again.
type ahead struct {
	key  identity.Key
	home identity.Address
	hub  *link.Hub
	done chan struct{}
}

func (a *ahead) Event(_ context.Context, ev machine.Event) error {
	switch ev := ev.(type) {
	case machine.LinkUp:
		doc := &wire.Homes{Client: a.key.Address(), Epoch: uint64(time.Now().Add(24 * time.Hour).UnixMilli()), Homes: []identity.Address{a.home}}
		doc.Encode()
		doc.Signed.Sig = a.key.Sign(identity.LabelHomes, doc.Signed.Body)
		a.hub.Send(ev.Link, machine.Control, &wire.Attach{Homes: doc})
		a.hub.Send(ev.Link, machine.Control, &wire.Subscribe{Ref: 1, Target: envelope.Target{To: a.home}})
	case machine.FrameIn:
		if _, ok := ev.Frame.(*wire.Subscribed); ok {
			close(a.done)
		}
	}
	return nil
}

func (a *ahead) Drained(machine.Drained) {}

// A process whose clock was ahead leaves a homes document that is newer than the
// next one's. Dial goes beyond it without a word.
func TestDialAfterAClockAhead(t *testing.T) {
	r := NewRouter(t)
	a := &ahead{key: Key(t, "ann"), home: r.Address(), done: make(chan struct{})}
	a.hub = link.NewHub(link.Config{Key: a.key, Role: wire.Service, Handler: a, Network: r.network})
	if err := a.hub.Dial(r.endpoint(), link.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	<-a.done
	a.hub.Close()
	conn := r.DialKey(t, a.key)
	if err := conn.Publish(t.Context(), upsycle.GroupKey(Key(t, "club")), nil); err != nil {
		t.Error(err)
	}
}
