package upsycle_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"upsycle"
	"upsycle/identity"
	"upsycle/upsycletest"
)

// patience bounds a test that would otherwise hang.
const patience = 30 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func publish(t testing.TB, c *upsycle.Conn, g upsycle.Group, text string) {
	t.Helper()
	if err := c.Publish(within(t), g, []byte(text)); err != nil {
		t.Fatalf("publish %q: %v", text, err)
	}
}

func listen(t testing.TB, c *upsycle.Conn, group identity.Address) *upsycle.Subscription {
	t.Helper()
	s, err := c.Listen(within(t), group)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	return s
}

// collect reads n items and acknowledges all of them.
func collect(t testing.TB, items iter.Seq2[upsycle.Item, error], n int) []upsycle.Item {
	t.Helper()
	var got []upsycle.Item
	for item, err := range items {
		if err != nil {
			t.Fatalf("after %d of %d items: %v", len(got), n, err)
		}
		if item.Gap != nil {
			t.Fatalf("after %d of %d items: a gap of %d: %v", len(got), n, item.Gap.Count, item.Gap.Why)
		}
		item.Ack()
		if got = append(got, item); len(got) == n {
			break
		}
	}
	return got
}

func wantTexts(t testing.TB, got []upsycle.Item, want ...string) {
	t.Helper()
	var list []string
	for _, item := range got {
		list = append(list, string(item.Payload))
	}
	if fmt.Sprint(list) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", list, want)
	}
}

func TestPublishSubscribe(t *testing.T) {
	r := upsycletest.NewRouter(t)
	club := upsycletest.Key(t, "club")
	reader, writer := r.Dial(t), r.Dial(t)
	if reader.Router() != r.Address() || reader.Address() == writer.Address() {
		t.Errorf("attached to %v as %v and %v", reader.Router(), reader.Address(), writer.Address())
	}
	sub := listen(t, reader, club.Address())
	for n := range 10 {
		publish(t, writer, upsycle.GroupKey(club), fmt.Sprint(n))
	}
	items := collect(t, sub.Items(within(t)), 10)
	for n, item := range items {
		if string(item.Payload) != fmt.Sprint(n) || item.Seq != uint64(n) || item.From != club.Address() || item.Encrypted || item.Late {
			t.Errorf("item %d: %+v", n, item)
		}
	}
}

// A service gets its own messages, like everybody who subscribed.
func TestOwnMessages(t *testing.T) {
	conn := upsycletest.NewRouter(t).Dial(t)
	club := upsycletest.Key(t, "club")
	sub := listen(t, conn, club.Address())
	publish(t, conn, upsycle.GroupKey(club), "a")
	publish(t, conn, upsycle.GroupKey(club), "b")
	wantTexts(t, collect(t, sub.Items(within(t)), 2), "a", "b")
}

func TestMail(t *testing.T) {
	n := upsycletest.NewNetwork(t, "A-B", "B-C")
	bob := n.Router("C").DialKey(t, upsycletest.Key(t, "bob"))
	inbox, err := bob.ListenInbox(within(t))
	if err != nil {
		t.Fatal(err)
	}
	ann := n.Router("A").DialKey(t, upsycletest.Key(t, "ann"))
	if err := ann.Send(within(t), bob.Address(), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	items := collect(t, inbox.Items(within(t)), 1)
	wantTexts(t, items, "hello")
	if items[0].From != ann.Address() || items[0].Target != bob.Address() {
		t.Errorf("%+v", items[0])
	}
}

// A network with a cycle: every reader gets everything once, in order.
func TestNetwork(t *testing.T) {
	n := upsycletest.NewNetwork(t, "A-B", "B-C", "C-A")
	club := upsycletest.Key(t, "club")
	var subs []*upsycle.Subscription
	for _, name := range []string{"A", "B", "C"} {
		subs = append(subs, listen(t, n.Router(name).Dial(t), club.Address()))
	}
	writer := n.Router("A").Dial(t)
	const items = 500
	if count, err := writer.PublishAll(within(t), upsycle.GroupKey(club), numbers(items)); count != items || err != nil {
		t.Fatalf("%d published, %v", count, err)
	}
	for at, sub := range subs {
		for n, item := range collect(t, sub.Items(within(t)), items) {
			if string(item.Payload) != fmt.Sprint(n) {
				t.Fatalf("reader %d: item %d is %q", at, n, item.Payload)
			}
		}
	}
}

func numbers(n int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := range n {
			if !yield(fmt.Append(nil, i)) {
				return
			}
		}
	}
}

// Many goroutines share envelopes: far fewer than items.
func TestBatching(t *testing.T) {
	r := upsycletest.NewRouter(t)
	club := upsycletest.Key(t, "club")
	sub := listen(t, r.Dial(t), club.Address())
	writer := r.Dial(t)
	const goroutines, each = 100, 20
	ctx := within(t)
	var senders sync.WaitGroup
	for g := range goroutines {
		senders.Go(func() {
			for n := range each {
				if err := writer.Publish(ctx, upsycle.GroupKey(club), fmt.Appendf(nil, "%d %d", g, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	envelopes := make(map[upsycle.ID]bool)
	counts := make([]int, goroutines)
	for _, item := range collect(t, sub.Items(ctx), goroutines*each) {
		var g, n int
		fmt.Sscanf(string(item.Payload), "%d %d", &g, &n)
		if n != counts[g] {
			t.Fatalf("goroutine %d: item %d, want %d", g, n, counts[g])
		}
		counts[g]++
		envelopes[item.ID] = true
	}
	senders.Wait()
	t.Logf("%d items in %d envelopes", goroutines*each, len(envelopes))
	if len(envelopes) > goroutines*each/4 {
		t.Error("they do not share envelopes")
	}
}

// What has no right to exist is refused by the first router, with a code.
func TestForgeries(t *testing.T) {
	r := upsycletest.NewRouter(t)
	conn := r.Dial(t)
	club, other, mallory := upsycletest.Key(t, "club"), upsycletest.Key(t, "other"), upsycletest.Key(t, "mallory")
	until := time.Now().Add(time.Hour)
	foreign, err := upsycle.IssueWriter(other, mallory.Address(), until)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		caption string
		group   upsycle.Group
		code    upsycle.Code
	}{
		{"certificate for another group", upsycle.Forge(club.Address(), mallory, foreign), upsycle.CodeNotAWriter},
		{"certificate that the group did not sign", upsycle.Forge(club.Address(), mallory, upsycle.SelfIssued(club.Address(), mallory, uint64(until.UnixMilli()))), upsycle.CodeNotAWriter},
	} {
		err := conn.Publish(within(t), c.group, []byte("forged"))
		var refused *upsycle.Refused
		if !errors.As(err, &refused) || refused.Code != c.code || refused.Items != 1 || upsycle.Hint(err) == "" {
			t.Errorf("%s: %v", c.caption, err)
		}
	}
	if err := conn.Publish(within(t), upsycle.ReadGroup(club.Address()), nil); err != upsycle.ErrReadOnly {
		t.Errorf("read only: %v", err)
	}
	publish(t, conn, upsycle.GroupKey(club), "the link is unharmed")
}

// PublishAll says which item was refused, and goes no further.
func TestPublishAllRefused(t *testing.T) {
	conn := upsycletest.NewRouter(t).Dial(t)
	club := upsycletest.Key(t, "club")
	payloads := func(yield func([]byte) bool) {
		_ = yield([]byte("one")) && yield([]byte("two")) && yield(make([]byte, 2<<20)) && yield([]byte("never"))
	}
	n, err := conn.PublishAll(within(t), upsycle.GroupKey(club), payloads)
	var refused *upsycle.Refused
	if n != 2 || !errors.As(err, &refused) || refused.Code != upsycle.CodeTooLarge || !strings.HasPrefix(err.Error(), "item 3: ") {
		t.Errorf("%d, %v", n, err)
	}
}

// The link is cut and healed while messages go both ways: nothing is lost, doubled
// or out of order, and the application only sees events.
func TestReconnect(t *testing.T) {
	n := upsycletest.NewNetwork(t, "A")
	a := n.Router("A")
	club := upsycletest.Key(t, "club")
	var mu sync.Mutex
	var kinds []string
	reader := a.Dial(t, upsycle.WithEvents(func(e upsycle.Event) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, e.Kind.String())
	}))
	writer := a.Dial(t)
	sub := listen(t, reader, club.Address())
	const rounds, each = 4, 50
	done := make(chan error, 1)
	go func() {
		for round := range rounds {
			for n := range each {
				err := writer.Publish(within(t), upsycle.GroupKey(club), fmt.Append(nil, round*each+n))
				if err != nil {
					done <- err
					return
				}
				if n == each/2 {
					a.CutServices()
					a.HealServices()
				}
			}
		}
		done <- nil
	}()
	for n, item := range collect(t, sub.Items(within(t)), rounds*each) {
		if string(item.Payload) != fmt.Sprint(n) {
			t.Fatalf("item %d is %q", n, item.Payload)
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if text := strings.Join(kinds, " "); !strings.HasPrefix(text, "connected disconnected") {
		t.Errorf("events: %s", text)
	}
}

// A publish without a link waits, and ends with its context.
func TestPublishOffline(t *testing.T) {
	r := upsycletest.NewRouter(t)
	conn := r.Dial(t)
	club := upsycletest.Key(t, "club")
	r.CutServices()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := conn.Publish(ctx, upsycle.GroupKey(club), []byte("a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("offline: %v", err)
	}
	r.HealServices()
	publish(t, conn, upsycle.GroupKey(club), "b")
}

// Two processes with one key: the first one's end is typed and final.
func TestSuperseded(t *testing.T) {
	r := upsycletest.NewRouter(t)
	key, club := upsycletest.Key(t, "twice"), upsycletest.Key(t, "club")
	events := make(chan upsycle.Event, 16)
	first := r.DialKey(t, key, upsycle.WithEvents(func(e upsycle.Event) { events <- e }))
	sub := listen(t, first, club.Address())
	news := make(chan upsycle.Event, 16)
	second := r.DialKey(t, key, upsycle.WithEvents(func(e upsycle.Event) { news <- e }))
	for _, err := range sub.Items(within(t)) {
		if err != upsycle.ErrSuperseded {
			t.Errorf("the loop ended with %v", err)
		}
	}
	<-first.Done()
	if first.Err() != upsycle.ErrSuperseded || second.Err() != nil {
		t.Errorf("first: %v, second: %v", first.Err(), second.Err())
	}
	if err := first.Publish(within(t), upsycle.GroupKey(club), nil); err != upsycle.ErrSuperseded {
		t.Errorf("publish: %v", err)
	}
	for e := range events {
		if e.Kind == upsycle.Superseded {
			if e.Err != upsycle.ErrSuperseded || e.Router != r.Address() || e.Time.IsZero() {
				t.Errorf("%+v", e)
			}
			break
		}
	}
	for e := <-news; e.Kind != upsycle.TookOver; e = <-news { // both are told (spec §5.1)
	}
	publish(t, second, upsycle.GroupKey(club), "still here")
}

// What the first process did not acknowledge, the next one with its key gets.
func TestNextProcess(t *testing.T) {
	r := upsycletest.NewRouter(t)
	key, club := upsycletest.Key(t, "reader"), upsycletest.Key(t, "club")
	first := r.DialKey(t, key)
	listen(t, first, club.Address()).Close()
	writer := r.Dial(t)
	publish(t, writer, upsycle.GroupKey(club), "a")
	publish(t, writer, upsycle.GroupKey(club), "b")
	for item, err := range first.Subscribe(within(t), club.Address()) {
		if err != nil {
			t.Fatal(err)
		}
		if string(item.Payload) == "b" {
			break // in hand, not acknowledged
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	publish(t, writer, upsycle.GroupKey(club), "c") // while nobody is there
	second := r.DialKey(t, key)
	wantTexts(t, collect(t, second.Subscribe(within(t), club.Address()), 2), "b", "c")
}

func TestContexts(t *testing.T) {
	conn := upsycletest.NewRouter(t).Dial(t)
	club := upsycletest.Key(t, "club")
	ctx, cancel := context.WithCancel(t.Context())
	loops := 0
	go func() {
		listen(t, conn, club.Address())
		cancel()
	}()
	for _, err := range conn.Subscribe(ctx, club.Address()) {
		if loops++; !errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	}
	if loops != 1 {
		t.Errorf("%d rounds", loops)
	}
	if err := conn.Publish(ctx, upsycle.GroupKey(club), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("publish: %v", err)
	}
	if err := conn.Send(t.Context(), identity.Address{}, nil); err == nil || upsycle.Hint(err) == "" {
		t.Errorf("send to nobody: %v", err)
	}
	if _, err := conn.Listen(t.Context(), identity.Address{}); err == nil {
		t.Error("listen to nobody")
	}
}

// Close ends everything: loops, publishes, goroutines.
func TestClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	tb, done := upsycletest.Example()
	defer done()
	r := upsycletest.NewRouter(tb)
	conn := r.Dial(tb, upsycle.WithEvents(func(upsycle.Event) {}))
	club := upsycletest.Key(t, "club")
	sub := listen(t, conn, club.Address())
	publish(t, conn, upsycle.GroupKey(club), "a")
	ended := make(chan error, 1)
	go func() {
		for _, err := range sub.Items(context.Background()) {
			if err != nil {
				ended <- err
			}
		}
	}()
	for range 2 {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-ended; err != upsycle.ErrClosed {
		t.Errorf("the loop ended with %v", err)
	}
	if err := conn.Publish(t.Context(), upsycle.GroupKey(club), nil); err != upsycle.ErrClosed {
		t.Errorf("publish: %v", err)
	}
	if conn.Err() != upsycle.ErrClosed {
		t.Errorf("Err: %v", conn.Err())
	}
}

// Close says so when the fate of messages is not known.
func TestCloseOffline(t *testing.T) {
	r := upsycletest.NewRouter(t)
	disconnected := make(chan struct{}, 16)
	conn := r.Dial(t, upsycle.WithEvents(func(e upsycle.Event) {
		if e.Kind == upsycle.Disconnected {
			disconnected <- struct{}{}
		}
	}))
	r.CutServices()
	<-disconnected
	got := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	go func() { got <- conn.Publish(ctx, upsycle.GroupKey(upsycletest.Key(t, "club")), []byte("a")) }()
	<-got
	if err := conn.Close(); err != upsycle.ErrUnsent {
		t.Errorf("Close: %v", err)
	}
}
