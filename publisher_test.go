package upsycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// testKey is the n-th key of the tests.
func testKey(n byte) identity.Key {
	k, err := identity.NewKey(bytes.Repeat([]byte{n}, identity.SeedSize))
	if err != nil {
		panic(err)
	}
	return k
}

// A desk is a publisher whose envelopes stop at the test.
type pubDesk struct {
	*publisher
	out  chan *envelope.Envelope
	stop chan struct{}
	end  sync.WaitGroup
}

func newPubDesk(t *testing.T, room int) *pubDesk {
	d := &pubDesk{out: make(chan *envelope.Envelope, room), stop: make(chan struct{})}
	d.publisher = newPublisher(plain{}, func(e *envelope.Envelope) error {
		select {
		case d.out <- e:
			return nil
		case <-d.stop:
			return ErrClosed
		}
	})
	d.end.Go(func() { d.work(d.stop) })
	t.Cleanup(func() {
		close(d.stop)
		d.end.Wait()
	})
	return d
}

func (d *pubDesk) put(t *testing.T, l lane, text string, opts ...PublishOption) *batch {
	t.Helper()
	b, err := d.add(t.Context(), l, termsOf(opts), []byte(text))
	if err != nil {
		t.Fatalf("add %q: %v", text, err)
	}
	return b
}

func texts(t *testing.T, e *envelope.Envelope) []string {
	t.Helper()
	items, encrypted, err := plain{}.open(e)
	if err != nil || encrypted {
		t.Fatalf("open: %v, encrypted %v", err, encrypted)
	}
	var list []string
	for _, it := range items {
		list = append(list, string(it))
	}
	return list
}

// A lone item goes at once, and the next envelope goes on with the numbers.
func TestPublisherLone(t *testing.T) {
	d := newPubDesk(t, 1)
	l := groupLane(GroupKey(testKey(1)))
	for n := range uint64(3) {
		b := d.put(t, l, fmt.Sprint("item ", n))
		e := <-d.out
		if _, f := envelope.Check(e.Raw, nil); f != nil {
			t.Fatal(f)
		}
		if got := texts(t, e); len(got) != 1 || got[0] != fmt.Sprint("item ", n) {
			t.Errorf("envelope %d holds %q", n, got)
		}
		if e.First != n || e.Flags != envelope.Plain || e.TTL != 7*24*3600 {
			t.Errorf("envelope %d: first %d, flags %b, ttl %d", n, e.First, e.Flags, e.TTL)
		}
		d.taken(e.ID, wire.OK, 0)
		if err := b.wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// What comes while the window is full shares envelopes, in order.
func TestPublisherFills(t *testing.T) {
	d := newPubDesk(t, laneFlightMax)
	l := groupLane(GroupKey(testKey(1)))
	var early []*envelope.Envelope
	for range laneFlightMax {
		d.put(t, l, "early")
		early = append(early, <-d.out)
	}
	const items = envelope.ItemsMax + 10
	for n := range items {
		d.put(t, l, fmt.Sprint(n))
	}
	select {
	case e := <-d.out:
		t.Fatalf("%v left although the window was full", e.ID)
	default:
	}
	d.taken(early[0].ID, wire.OK, 0)
	d.taken(early[1].ID, wire.OK, 0)
	first, second := <-d.out, <-d.out
	if first.Count != envelope.ItemsMax || second.Count != 10 || second.First != first.Next() {
		t.Fatalf("envelopes of %d and %d items, the second from %d", first.Count, second.Count, second.First)
	}
	for n, text := range append(texts(t, first), texts(t, second)...) {
		if text != fmt.Sprint(n) {
			t.Fatalf("item %d is %q", n, text)
		}
	}
}

// A third envelope's worth waits for room, and ends with its context.
func TestPublisherWaitsForRoom(t *testing.T) {
	d := newPubDesk(t, laneFlightMax)
	l := groupLane(GroupKey(testKey(1)))
	var flying []*envelope.Envelope
	for range laneFlightMax {
		d.put(t, l, "early")
		flying = append(flying, <-d.out)
	}
	for range 2 * envelope.ItemsMax {
		d.put(t, l, "x")
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	got := make(chan error)
	go func() {
		_, err := d.add(ctx, l, termsOf(nil), []byte("no room"))
		got <- err
	}()
	cancel(nil)
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("without room: %v", err)
	}
	go func() {
		_, err := d.add(t.Context(), l, termsOf(nil), []byte("room at last"))
		got <- err
	}()
	d.taken(flying[0].ID, wire.OK, 0)
	if err := <-got; err != nil {
		t.Errorf("with room: %v", err)
	}
}

// Lanes have streams of their own: another group, another writer, live.
func TestPublisherLanes(t *testing.T) {
	d := newPubDesk(t, 8)
	group := testKey(1)
	cert, err := IssueWriter(group, testKey(2).Address(), d.now().Add(1e12))
	if err != nil {
		t.Fatal(err)
	}
	writer, err := WriterOf(group.Address(), testKey(2), cert)
	if err != nil {
		t.Fatal(err)
	}
	runs := make(map[envelope.Run]string)
	for _, c := range []struct {
		caption string
		lane    lane
		opts    []PublishOption
		flags   envelope.Flags
	}{
		{"group key", groupLane(GroupKey(group)), nil, envelope.Plain},
		{"writer", groupLane(writer), nil, envelope.Plain},
		{"live", groupLane(writer), []PublishOption{Live()}, envelope.Plain | envelope.Live},
		{"another group", groupLane(GroupKey(testKey(3))), nil, envelope.Plain},
		{"mail", lane{target: envelope.Target{Kind: envelope.Address, To: testKey(4).Address()}, signer: testKey(5)}, nil, envelope.Plain},
	} {
		d.put(t, c.lane, c.caption, c.opts...)
		e := <-d.out
		if _, f := envelope.Check(e.Raw, nil); f != nil {
			t.Errorf("%s: %v", c.caption, f)
		}
		if before, twice := runs[e.Run]; twice || e.First != 0 {
			t.Errorf("%s: first %d, shares the stream of %q", c.caption, e.First, before)
		}
		if e.Flags != c.flags {
			t.Errorf("%s: flags %b, want %b", c.caption, e.Flags, c.flags)
		}
		runs[e.Run] = c.caption
	}
}

// Items with other terms do not share an envelope, but a stream.
func TestPublisherTerms(t *testing.T) {
	d := newPubDesk(t, laneFlightMax+2)
	l := groupLane(GroupKey(testKey(1)))
	var last *envelope.Envelope
	for range laneFlightMax {
		d.put(t, l, "early")
		last = <-d.out
	}
	d.put(t, l, "week")
	d.put(t, l, "second", TTL(1e9))
	d.taken(last.ID, wire.OK, 0)
	week := <-d.out
	d.taken(week.ID, wire.OK, 0)
	second := <-d.out
	if week.TTL != 7*24*3600 || second.TTL != 1 || second.Run != week.Run || second.First != week.Next() {
		t.Errorf("ttl %d then %d, numbers %d then %d", week.TTL, second.TTL, week.First, second.First)
	}
}

func TestTTLIsBounded(t *testing.T) {
	for _, c := range []struct {
		in   int64 // seconds
		want uint64
	}{{-5, 1}, {0, 1}, {1, 1}, {60, 60}, {1 << 33, envelope.TTLMax}} {
		if got := termsOf([]PublishOption{TTL(1e9 * 1)}); c.in == 1 && got.ttl != 1 {
			t.Errorf("%d s: %d", c.in, got.ttl)
		}
		if got := termsOf([]PublishOption{TTL(seconds(c.in))}); got.ttl != c.want {
			t.Errorf("%d s: %d, want %d", c.in, got.ttl, c.want)
		}
	}
}

// After a refusal the lane starts a new stream: nobody waits for its numbers.
func TestPublisherRefused(t *testing.T) {
	d := newPubDesk(t, 2)
	l := groupLane(GroupKey(testKey(1)))
	b := d.put(t, l, "forged")
	e := <-d.out
	d.taken(e.ID, wire.NotAWriter, 2500)
	err := b.wait(t.Context())
	var r *Refused
	if !errors.As(err, &r) || r.Code != CodeNotAWriter || r.ID != e.ID || r.Items != 1 || r.RetryAfter != 2500e6 {
		t.Fatalf("%#v", err)
	}
	if Hint(err) == "" || err.Error() == "" {
		t.Error("no words for it")
	}
	d.put(t, l, "next")
	next := <-d.out
	if next.Run == e.Run || next.First != 0 {
		t.Error("the stream of the refused envelope goes on")
	}
	d.taken(e.ID, wire.OK, 0) // an answer that comes twice changes nothing
}

// Who stops waiting hears why the router put the message off.
func TestPublisherPutOff(t *testing.T) {
	d := newPubDesk(t, 1)
	b := d.put(t, groupLane(GroupKey(testKey(1))), "a")
	e := <-d.out
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.wait(ctx); err != context.Canceled {
		t.Errorf("before: %v", err)
	}
	d.putOff(e.ID, wire.StorageFull)
	err := b.wait(ctx)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "storage is full") || Hint(err) == "" {
		t.Errorf("after: %v (hint: %s)", err, Hint(err))
	}
	d.taken(e.ID, wire.OK, 0)
	if err := b.wait(ctx); err != nil {
		t.Errorf("in the end: %v", err)
	}
}

func TestPublisherSizes(t *testing.T) {
	d := newPubDesk(t, 4)
	l := groupLane(GroupKey(testKey(1)))
	largest := envelope.BodyMax - 3 - 5
	b, err := d.add(t.Context(), l, termsOf(nil), make([]byte, largest))
	if err != nil {
		t.Fatal(err)
	}
	e := <-d.out
	if _, f := envelope.Check(e.Raw, nil); f != nil || len(e.Body) > envelope.BodyMax {
		t.Errorf("body of %d bytes: %v", len(e.Body), f)
	}
	d.taken(e.ID, wire.OK, 0)
	b.wait(t.Context())
	_, err = d.add(t.Context(), l, termsOf(nil), make([]byte, largest+1))
	var r *Refused
	if !errors.As(err, &r) || r.Code != CodeTooLarge {
		t.Errorf("one byte more: %v", err)
	}
	d.put(t, l, "")
	if got := texts(t, <-d.out); len(got) != 1 || got[0] != "" {
		t.Errorf("an empty item became %q", got)
	}
}

// drain takes nothing more and waits for what is under way; abandon fails it.
func TestPublisherEnds(t *testing.T) {
	d := newPubDesk(t, 2)
	l := groupLane(GroupKey(testKey(1)))
	b := d.put(t, l, "one")
	e := <-d.out
	idle := d.drain(ErrClosed)
	if _, err := d.add(t.Context(), l, termsOf(nil), nil); err != ErrClosed {
		t.Errorf("after drain: %v", err)
	}
	select {
	case <-idle:
		t.Error("idle while an envelope is under way")
	default:
	}
	d.taken(e.ID, wire.OK, 0)
	<-idle
	if err := b.wait(t.Context()); err != nil {
		t.Error(err)
	}
	if d.abandon(ErrClosed) {
		t.Error("something was left")
	}
}

func TestPublisherAbandons(t *testing.T) {
	d := newPubDesk(t, laneFlightMax)
	l := groupLane(GroupKey(testKey(1)))
	var all []*batch
	for range laneFlightMax {
		all = append(all, d.put(t, l, "under way"))
		<-d.out
	}
	all = append(all, d.put(t, l, "waiting"))
	if !d.abandon(ErrSuperseded) {
		t.Error("nothing was left")
	}
	for n, b := range all {
		if err := b.wait(t.Context()); err != ErrSuperseded {
			t.Errorf("batch %d: %v", n, err)
		}
	}
	if d.waiting != 0 || d.flight != 0 {
		t.Errorf("%d bytes and %d envelopes are left", d.waiting, d.flight)
	}
}

// Many goroutines: everything arrives once, each one's items in its order, and
// envelopes hold many items although no timer waits for them.
func TestPublisherMany(t *testing.T) {
	const goroutines, each = 50, 200
	d := newPubDesk(t, 4)
	l := groupLane(GroupKey(testKey(1)))
	var senders sync.WaitGroup
	for g := range goroutines {
		senders.Go(func() {
			for n := range each {
				b := d.put(t, l, fmt.Sprintf("%d %d", g, n))
				if err := b.wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	counts := make([]int, goroutines)
	envelopes, items, next := 0, 0, uint64(0)
	for items < goroutines*each {
		e := <-d.out
		if e.First != next {
			t.Fatalf("envelope from %d, want %d", e.First, next)
		}
		next = e.Next()
		for _, text := range texts(t, e) {
			var g, n int
			fmt.Sscanf(text, "%d %d", &g, &n)
			if counts[g] != n {
				t.Fatalf("goroutine %d: item %d, want %d", g, n, counts[g])
			}
			counts[g]++
			items++
		}
		envelopes++
		d.taken(e.ID, wire.OK, 0)
	}
	senders.Wait()
	if envelopes > items/2 {
		t.Errorf("%d envelopes for %d items: they do not gather", envelopes, items)
	}
	t.Logf("%d items in %d envelopes", items, envelopes)
}

// Idle lanes are forgotten, busy ones are not.
func TestPublisherForgetsIdle(t *testing.T) {
	d := newPubDesk(t, 4)
	busy := lane{target: envelope.Target{Kind: envelope.Address, To: testKey(2).Address()}, signer: testKey(5)}
	d.put(t, busy, "under way")
	<-d.out
	d.mu.Lock()
	defer d.mu.Unlock()
	rnd := rand.New(rand.NewPCG(1, 2))
	for len(d.lines) < lanesMax {
		var run envelope.Run
		for i := range run {
			run[i] = byte(rnd.Uint32())
		}
		k := laneKey{live: len(d.lines)%2 == 0}
		k.target.Kind = envelope.Kind(rnd.Uint32())
		k.from = testKey(byte(rnd.Uint32())).Address()
		d.lines[k] = &line{run: run}
	}
	d.line(groupLane(GroupKey(testKey(9))), termsOf(nil))
	if len(d.lines) != 2 {
		t.Errorf("%d lanes are left, want the busy one and the new one", len(d.lines))
	}
}

func seconds(n int64) time.Duration { return time.Duration(min(n, 1<<33)) * time.Second }
