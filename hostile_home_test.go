package upsycle_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
	"upsycle/upsycletest"
)

// A villain is a router that admits everybody, says yes to every subscription, and
// otherwise does what a test tells it. An end trusts no router: what it may do is
// withhold, and nothing else.
type villain struct {
	t      *testing.T
	key    identity.Key
	hub    *link.Hub
	memory *link.Memory

	publish func(f *wire.Publish) // nil: custody is taken
	box     wire.Box

	mu    sync.Mutex
	link  machine.LinkID
	acked []*wire.Delivered
	asked []envelope.Target
	saw   chan struct{} // capacity 1: acked or asked grew
}

func newVillain(t *testing.T) *villain {
	v := &villain{t: t, key: upsycletest.Key(t, "villain"), memory: link.NewMemory(), box: wire.Box{1}, saw: make(chan struct{}, 1)}
	v.hub = link.NewHub(link.Config{Key: v.key, Role: wire.Core, Agent: "villain", Handler: v, Network: v.memory})
	if _, err := v.hub.Listen(identity.Endpoint{Scheme: identity.SchemeMem, Where: "villain"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.hub.Close() })
	return v
}

// dial attaches a service to the villain.
func (v *villain) dial(opts ...upsycle.Option) *upsycle.Conn {
	v.t.Helper()
	opts = append(opts, upsycle.WithDialer(v.memory.Dial))
	c, err := upsycle.Dial(within(v.t), pinned("villain", v.key.Address()), upsycletest.Key(v.t, "end"), opts...)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { c.Close() })
	return c
}

// Event does what a router does, as far as needed.
func (v *villain) Event(_ context.Context, ev machine.Event) error {
	switch ev := ev.(type) {
	case machine.LinkUp:
		v.mu.Lock()
		v.link = ev.Link
		v.mu.Unlock()
	case machine.FrameIn:
		v.frame(ev.Frame)
	}
	return nil
}

// Drained does not matter.
func (v *villain) Drained(machine.Drained) {}

func (v *villain) frame(f wire.Frame) {
	switch f := f.(type) {
	case *wire.Attach:
		v.say(&wire.Attached{Epoch: f.Homes.Epoch, Box: v.box})
	case *wire.Subscribe:
		v.say(&wire.Subscribed{Ref: f.Ref})
		v.note(func() { v.asked = append(v.asked, f.Target) })
	case *wire.Publish:
		if v.publish == nil {
			v.say(&wire.Published{ID: f.Envelope.ID})
			return
		}
		v.publish(f)
	case *wire.Delivered:
		v.note(func() { v.acked = append(v.acked, f) })
	}
}

func (v *villain) note(f func()) {
	v.mu.Lock()
	f()
	v.mu.Unlock()
	select {
	case v.saw <- struct{}{}:
	default:
	}
}

func (v *villain) say(frames ...wire.Frame) {
	v.mu.Lock()
	id := v.link
	v.mu.Unlock()
	for _, f := range frames {
		v.hub.Send(id, machine.Bulk, f)
	}
}

// awaitAck waits until all up to n are acknowledged.
func (v *villain) awaitAck(n uint64) {
	v.t.Helper()
	over := time.After(patience)
	for {
		v.mu.Lock()
		for _, f := range v.acked {
			if f.N >= n {
				v.mu.Unlock()
				return
			}
		}
		v.mu.Unlock()
		select {
		case <-v.saw:
		case <-over:
			v.t.Fatalf("%d was never acknowledged: %v", n, v.acked)
		}
	}
}

// club is the group that honest messages come in.
func club(t *testing.T) identity.Key { return upsycletest.Key(t, "club") }

// message is one of the club's.
func message(t *testing.T, n uint64, change func(h *envelope.Header)) *envelope.Envelope {
	t.Helper()
	return messageOf(t, club(t), n, change)
}

func messageOf(t *testing.T, group identity.Key, n uint64, change func(h *envelope.Header)) *envelope.Envelope {
	t.Helper()
	h := envelope.Header{
		Target: envelope.Target{Kind: envelope.Group, To: group.Address()}, First: n, Count: 1,
		Time: uint64(time.Now().UnixMilli()), TTL: 3600, Flags: envelope.Plain,
	}
	if change != nil {
		change(&h)
	}
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{fmt.Append(nil, n)}), group)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// spoiled is a message with one bit turned.
func spoiled(t *testing.T, e *envelope.Envelope, at int) *envelope.Envelope {
	t.Helper()
	raw := append([]byte(nil), e.Raw...)
	raw[(at+len(raw))%len(raw)] ^= 1
	bad, err := envelope.Parse(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bad
}

// What is forged is never shown; what comes twice is shown once; and what is true
// comes through beside it. Both are acknowledged, so that nothing stands still.
func TestHostileHomeForgesAndRepeats(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	v := newVillain(t)
	c := v.dial()
	sub := listen(t, c, club(t).Address())
	first, second := message(t, 0, nil), message(t, 1, nil)
	stranger := messageOf(t, upsycletest.Key(t, "stranger"), 0, func(h *envelope.Header) { h.First = 7 })
	v.say(
		&wire.Deliver{N: 1, Envelope: spoiled(t, first, -1)},                         // another body
		&wire.Deliver{N: 2, Envelope: spoiled(t, second, len(first.HeaderBytes)+40)}, // another signature
		&wire.Deliver{N: 3, Envelope: first},
		&wire.Deliver{N: 3, Envelope: first},    // the same number again
		&wire.Deliver{N: 4, Envelope: first},    // under another number
		&wire.Deliver{N: 0, Envelope: first},    // as if live
		&wire.Deliver{N: 5, Envelope: stranger}, // nobody asked for that
		&wire.Deliver{N: 2, Envelope: second},   // a number that was a forgery's
		&wire.Deliver{N: 6, Envelope: second},
		&wire.Published{ID: first.ID}, &wire.Subscribed{Ref: 999, Code: wire.NotAllowed}, // answers to nothing
	)
	wantTexts(t, collect(t, sub.Items(within(t)), 2), "0", "1")
	v.awaitAck(4)
	v.say(&wire.Deliver{N: 7, Envelope: message(t, 2, nil)})
	wantTexts(t, collect(t, sub.Items(within(t)), 1), "2")
	sub.Close()
	c.Close()
	v.hub.Close()
}

// Twenty forgeries in a minute end the link: such a router is worth nothing. The
// application is told why, and its own calls end with their contexts.
func TestHostileHomeIsLeft(t *testing.T) {
	v := newVillain(t)
	events := make(chan upsycle.Event, 64)
	c := v.dial(upsycle.WithEvents(func(e upsycle.Event) { events <- e }))
	listen(t, c, club(t).Address())
	for n := range uint64(30) {
		v.say(&wire.Deliver{N: n + 1, Envelope: spoiled(t, message(t, n, nil), -1)})
	}
	for {
		select {
		case e := <-events:
			if e.Kind != upsycle.Disconnected {
				continue
			}
			if e.Err == nil || upsycle.Hint(e.Err) == "" {
				t.Errorf("disconnected without a reason: %v", e)
			}
			return
		case <-time.After(patience):
			t.Fatal("the link to a forger stayed")
		}
	}
}

// Numbers that no honest home comes to, gaps that count more than there is, frames
// of the backbone and answers of any code: the loop tells of what it must and goes
// on.
func TestHostileHomeCountsWildly(t *testing.T) {
	v := newVillain(t)
	c := v.dial()
	sub := listen(t, c, club(t).Address())
	target := envelope.Target{Kind: envelope.Group, To: club(t).Address()}
	v.say(
		&wire.Deliver{N: math.MaxUint64, Envelope: message(t, 50, nil)},
		&wire.Gap{N: math.MaxUint64, Target: target, Count: 1, Why: wire.WhyQuota},
		&wire.Gap{N: 1, Target: target, FromTime: envelope.TimeMax, ToTime: 0, Count: math.MaxUint64, Why: 1<<32 - 1},
		&wire.Gap{N: 2, Target: target, Count: math.MaxUint64, Why: wire.WhyHole},
		&wire.Graft{Root: v.key.Address()},
		&wire.Attached{Box: v.box, Last: math.MaxUint64, Epoch: math.MaxUint64},
		&wire.Attached{Box: v.box, Epoch: math.MaxUint64, Code: wire.NotAllowed},
		&wire.Subscribed{Ref: 1, Code: 12345},
		&wire.Deliver{N: 3, Envelope: message(t, 0, nil)},
		&wire.Deliver{N: 4, Envelope: message(t, 1, nil)},
	)
	gaps, texts := 0, ""
	for item, err := range sub.Items(within(t)) {
		if err != nil {
			t.Fatal(err)
		}
		item.Ack()
		if item.Gap != nil {
			gaps++
			if item.Gap.Count != math.MaxUint64 {
				t.Errorf("a gap of %d", item.Gap.Count)
			}
			continue
		}
		if texts += string(item.Payload); len(texts) == 2 {
			break
		}
	}
	if gaps != 2 || texts != "01" {
		t.Errorf("%d gaps and %q, want 2 and both messages", gaps, texts)
	}
	v.awaitAck(4)
}

// A home that takes nothing into custody: Publish ends with its context, Close in a
// few seconds and with the word that something is unsent.
func TestHostileHomeNeverAcknowledges(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	v := newVillain(t)
	v.publish = func(f *wire.Publish) {
		wrong := f.Envelope.ID
		wrong[0] ^= 1
		v.say(
			&wire.Published{ID: wrong}, &wire.Published{ID: wrong, Code: wire.NotAWriter},
			&wire.Published{ID: f.Envelope.ID, Code: wire.Rate, RetryAfter: 1<<32 - 1},
		)
	}
	c := v.dial()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Publish(ctx, upsycle.GroupKey(club(t)), []byte("x")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("published: %v", err)
	}
	began := time.Now()
	if err := c.Close(); !errors.Is(err, upsycle.ErrUnsent) {
		t.Errorf("closed: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("Close took %v", took)
	}
	v.hub.Close()
}

// An application that does not read, and a home that sends without end whatever
// there is: memory stays bounded. Each new box takes the window away that an honest
// home keeps to.
func TestHostileHomeFloods(t *testing.T) {
	const bound = 64 << 20
	v := newVillain(t)
	c := v.dial()
	bell := upsycletest.Key(t, "bell") // rings when the flood is over
	sub, over := listen(t, c, club(t).Address()), listen(t, c, bell.Address())
	target := envelope.Target{Kind: envelope.Group, To: club(t).Address()}
	n := 60_000
	if testing.Short() {
		n = 6_000
	}
	before := heapNow()
	for i := range n {
		other := envelope.Target{Kind: envelope.Group, To: upsycletest.Key(t, fmt.Sprint("nobody's ", i%500)).Address()}
		v.say(
			&wire.Gap{Target: target, Count: 1, Why: wire.WhyHole}, &wire.Gap{Target: target, Count: 1, Why: wire.Why(i)},
			&wire.Gap{Target: other, Count: 1, Why: wire.WhyLive}, &wire.Gap{N: uint64(i%4000) + 1, Target: target, Count: 1, Why: wire.WhyQuota},
		)
		if i%4000 == 3999 {
			v.say(&wire.Attached{Box: wire.Box{byte(i >> 8), byte(i >> 16)}})
		}
	}
	v.say(&wire.Deliver{N: 5000, Envelope: messageOf(t, bell, 0, nil)})
	collect(t, over.Items(within(t)), 1)
	if grown := heapNow() - before; grown > bound {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
	for item, err := range sub.Items(within(t)) {
		if err != nil || item.Gap == nil {
			t.Errorf("the flood's target has %v, %v; want gaps", item, err)
		}
		break
	}
}

func heapNow() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
