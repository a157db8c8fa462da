package upsycle

import (
	"context"
	"errors"
	"testing"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// mailTo is the lane of mail from testKey(5) to the n-th of many addresses.
func mailTo(t *testing.T, n int) lane {
	t.Helper()
	seed := make([]byte, identity.SeedSize)
	seed[0], seed[1] = byte(n), byte(n>>8)
	to, err := identity.NewKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	return lane{target: envelope.Target{Kind: envelope.Address, To: to.Address()}, signer: testKey(5)}
}

// signedAll returns what the publisher signs until it has nothing more to sign.
func (d *pubDesk) signedAll(t *testing.T, want int) []*envelope.Envelope {
	t.Helper()
	var list []*envelope.Envelope
	for len(list) < want {
		list = append(list, <-d.out)
	}
	if b := d.take(); b != nil {
		t.Fatalf("one more than %d envelopes may leave", want)
	}
	return list
}

// No more than flightMax envelopes are under way, in whatever lanes.
func TestFlightIsBounded(t *testing.T) {
	d := newPubDesk(t, flightMax+1)
	for n := range flightMax + 1 {
		d.put(t, mailTo(t, n), "x")
	}
	list := d.signedAll(t, flightMax)
	d.taken(list[0].ID, wire.OK, 0)
	<-d.out // the last one has room
}

// The same in bytes: what is under way, and what waits to be signed.
func TestBytesAreBounded(t *testing.T) {
	const size = 1 << 19
	d := newPubDesk(t, flightMax)
	flying := flightBytesMax / size
	for n := range flying {
		b, err := d.add(t.Context(), mailTo(t, n), termsOf(nil), make([]byte, size))
		if err != nil || b == nil {
			t.Fatal(err)
		}
	}
	list := d.signedAll(t, flying)
	waiting := waitingMax / (size + 5)
	for n := range waiting {
		if _, err := d.add(t.Context(), mailTo(t, flying+n), termsOf(nil), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan error)
	go func() {
		_, err := d.add(ctx, mailTo(t, flying+waiting), termsOf(nil), make([]byte, size))
		blocked <- err
	}()
	d.awaitBlocked()
	cancel()
	if err := <-blocked; !errors.Is(err, context.Canceled) {
		t.Errorf("beyond the bound: %v", err)
	}
	d.taken(list[0].ID, wire.OK, 0)
	<-d.out // and so there is room again
	if _, err := d.add(t.Context(), mailTo(t, flying+waiting), termsOf(nil), make([]byte, size)); err != nil {
		t.Error(err)
	}
}

// awaitBlocked returns when somebody waits for room.
func (d *pubDesk) awaitBlocked() {
	for {
		d.mu.Lock()
		blocked := d.blocked
		d.mu.Unlock()
		if blocked > 0 {
			return
		}
	}
}

// A target's deliveries are bounded in bytes, too: beyond them comes a gap.
func TestQueuedBytesAreBounded(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	big := string(make([]byte, 1<<20-16))
	fit := queuedBytesMax / (1 << 20)
	for range fit + 1 {
		r.come(big)
	}
	got := read(t, s, fit+1)
	if last := got[fit]; last != "gap 1 quota" {
		t.Errorf("the last has %d bytes, want a gap", len(last))
	}
	r.deliver(r.signed(0, []string{"small again"}), attach.Receipt{N: 99}, false)
	equal(t, "then", read(t, s, 2)[1:], []string{"small again"})
}

// An application that is slow to hear of events misses the oldest, never the last.
func TestEventsAreBounded(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	var got []Event
	ended := make(chan struct{})
	n := newNotifier(func(e Event) {
		if got = append(got, e); len(got) == 1 {
			close(begun)
			<-goOn
		}
		if e.Kind == Superseded {
			close(ended)
		}
	})
	n.tell(Event{Kind: Connected})
	<-begun
	for range 2 * eventsMax {
		n.tell(Event{Kind: Retrying})
	}
	n.tell(Event{Kind: Superseded})
	close(goOn)
	<-ended
	if len(got) != 1+eventsMax {
		t.Errorf("%d events, want %d", len(got), 1+eventsMax)
	}
	n.stop()
	var silent *notifier
	silent.tell(Event{})
	silent.stop()
}
