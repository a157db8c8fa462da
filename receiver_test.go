package upsycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// A rig is a receiver whose calls to the machine stop at the test.
type rig struct {
	*receiver
	t      *testing.T
	target envelope.Target

	calls sync.Mutex
	told  []string
	n     uint64 // numbers that were given out
	next  uint64 // sequence number of the next envelope
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, target: envelope.Target{Kind: envelope.Group, To: testKey(1).Address()}}
	r.receiver = newReceiver(plain{}, func(c call) {
		r.calls.Lock()
		defer r.calls.Unlock()
		r.told = append(r.told, c.String())
	})
	return r
}

func (r *rig) sub() *Subscription {
	r.t.Helper()
	s, err := r.subscribe(r.target)
	if err != nil {
		r.t.Fatal(err)
	}
	r.subscribed(r.target, wire.OK)
	return s
}

// come delivers one envelope with a number of its own.
func (r *rig) come(items ...string) *envelope.Envelope {
	e := r.signed(0, items)
	r.n++
	r.deliver(e, attach.Receipt{Home: testKey(9).Address(), N: r.n}, false)
	return e
}

func (r *rig) signed(flags envelope.Flags, items []string) *envelope.Envelope {
	r.t.Helper()
	var body [][]byte
	for _, it := range items {
		body = append(body, []byte(it))
	}
	h := envelope.Header{Target: r.target, First: r.next, Count: len(items), Time: 1000 + r.next, TTL: 60, Flags: envelope.Plain | flags}
	r.next += uint64(len(items))
	e, err := envelope.Sign(h, nil, envelope.PlainBody(body), testKey(1))
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// acked returns what was acknowledged since the last call.
func (r *rig) acked() string {
	r.calls.Lock()
	defer r.calls.Unlock()
	var list []string
	for _, s := range r.told {
		var n int
		if _, err := fmt.Sscanf(s, "done %d", &n); err == nil {
			list = append(list, fmt.Sprint(n))
		}
	}
	r.told = nil
	return fmt.Sprint(list)
}

// read takes n items in a loop and leaves it at the n-th.
func read(t *testing.T, s *Subscription, n int) []string {
	t.Helper()
	var got []string
	for item, err := range s.Items(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Gap != nil {
			got = append(got, fmt.Sprintf("gap %d %v", item.Gap.Count, item.Gap.Why))
		} else {
			got = append(got, string(item.Payload))
		}
		if len(got) == n {
			break
		}
	}
	return got
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// Asking for the next item acknowledges; leaving the loop does not.
func TestAckOnNext(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	r.come("a")
	r.come("b")
	r.come("c")
	equal(t, "first loop", read(t, s, 2), []string{"a", "b"})
	if got := r.acked(); got != "[1]" {
		t.Errorf("acknowledged %s, want the first only", got)
	}
	equal(t, "second loop", read(t, s, 2), []string{"b", "c"})
	if got := r.acked(); got != "[2]" {
		t.Errorf("acknowledged %s, want the second", got)
	}
}

// Ack does it for who leaves the loop with the item done.
func TestAckByHand(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	r.come("a", "b", "c")
	for item, err := range s.Items(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if string(item.Payload) == "b" {
			item.Ack()
			item.Ack() // twice is harmless
			break
		}
	}
	if got := r.acked(); got != "[]" {
		t.Errorf("acknowledged %s before all items of the envelope were", got)
	}
	equal(t, "what is left", read(t, s, 1), []string{"c"})
	s.Close()
	again := r.sub()
	for item := range again.Items(t.Context()) {
		item.Ack()
		break
	}
	if got := r.acked(); got != "[1]" {
		t.Errorf("acknowledged %s, want the envelope", got)
	}
}

// What the last reader left is the next one's.
func TestKeptForNextReader(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	r.come("a", "b")
	equal(t, "first reader", read(t, s, 2), []string{"a", "b"})
	s.Close()
	r.come("c") // while nobody reads
	if got := r.acked(); got != "[]" {
		t.Errorf("acknowledged %s", got)
	}
	equal(t, "next reader", read(t, r.sub(), 2), []string{"b", "c"})
}

// Each of several readers gets every item, and the router hears of it once.
func TestSeveralReaders(t *testing.T) {
	r := newRig(t)
	one, two := r.sub(), r.sub()
	wants := 0
	for _, c := range r.told {
		if c == (wantCall{r.target}).String() {
			wants++
		}
	}
	if wants != 1 {
		t.Errorf("the router was asked %d times", wants)
	}
	r.come("a")
	r.come("b")
	equal(t, "one", read(t, one, 2), []string{"a", "b"})
	if got := r.acked(); got != "[]" {
		t.Errorf("acknowledged %s before both had it", got)
	}
	equal(t, "two", read(t, two, 2), []string{"a", "b"})
	if got := r.acked(); got != "[1]" {
		t.Errorf("acknowledged %s, want the first", got)
	}
	two.Close() // one still has the second in hand
	if got := r.acked(); got != "[]" {
		t.Errorf("acknowledged %s", got)
	}
	one.Close()
	equal(t, "the last one's rest", read(t, r.sub(), 1), []string{"b"})
}

func TestGapIsAnItem(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	r.come("a")
	r.gap(wire.Gap{Target: r.target, FromTime: 5, ToTime: 7, Count: 12, Why: wire.WhyQuota}, attach.Receipt{N: 50})
	r.come("b")
	equal(t, "items", read(t, s, 3), []string{"a", "gap 12 quota", "b"})
	if got := r.acked(); got != "[1 50]" {
		t.Errorf("acknowledged %s: a gap is acknowledged like an item", got)
	}
}

func TestItemFields(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	e := r.signed(0, []string{"x", "y"})
	r.deliver(e, attach.Receipt{}, true)
	seq := uint64(0)
	for item := range s.Items(t.Context()) {
		if item.From != testKey(1).Address() || item.Target != r.target.To || item.Seq != seq || item.ID != e.ID ||
			item.Time.UnixMilli() != 1000 || item.Encrypted || !item.Late || item.Gap != nil {
			t.Errorf("%+v", item)
		}
		if seq++; seq == 2 {
			break
		}
	}
}

// A body that cannot be opened is a gap: told, not dropped.
func TestUnreadable(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	h := envelope.Header{Target: r.target, Count: 3, Time: 1000, TTL: 60}
	sealed, err := envelope.Sign(h, nil, []byte{0x80}, testKey(1))
	if err != nil {
		t.Fatal(err)
	}
	r.deliver(sealed, attach.Receipt{N: 1}, false)
	r.come("after")
	equal(t, "items", read(t, s, 2), []string{"gap 3 unreadable", "after"})
	if got := r.acked(); got != "[1]" {
		t.Errorf("acknowledged %s", got)
	}
}

// Live envelopes yield when nobody reads, and the gap says how many.
func TestLiveYields(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	for range queuedMax + 3 {
		r.deliver(r.signed(envelope.Live, []string{"l", "m"}), attach.Receipt{}, false)
	}
	got := read(t, s, 2*queuedMax+1)
	if last := got[len(got)-1]; last != "gap 6 live under pressure" {
		t.Errorf("after %d items: %q", len(got)-1, last)
	}
}

// Control items are the SDK's own: nobody sees them, and they are acknowledged.
func TestControlIsNotShown(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	r.deliver(r.signed(envelope.Control, []string{"c"}), attach.Receipt{N: 7}, false)
	r.come("a")
	equal(t, "items", read(t, s, 1), []string{"a"})
	if got := r.acked(); got != "[7]" {
		t.Errorf("acknowledged %s", got)
	}
}

func TestSubscriptionRefused(t *testing.T) {
	r := newRig(t)
	s, _ := r.subscribe(r.target)
	r.subscribed(r.target, wire.NotAllowed)
	var refused *Refused
	if err := r.await(t.Context(), s); !errors.As(err, &refused) || refused.Code != CodeNotAllowed {
		t.Fatalf("await: %v", err)
	}
	if r.sub() == nil { // the next one asks again
		t.Error("no second try")
	}
}

func TestUnsubscribe(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	r.come("a", "b")
	r.acked()
	r.unsubscribe(r.target)
	if got := r.acked(); got != "[1]" {
		t.Errorf("acknowledged %s, want what was left", got)
	}
	for _, err := range s.Items(t.Context()) {
		if err != errUnsubscribed {
			t.Errorf("the loop ended with %v", err)
		}
	}
	r.come("nobody's")
	if got := r.acked(); got != "[2]" {
		t.Errorf("acknowledged %s: what nobody wants is done", got)
	}
}

// What an earlier process with this key subscribed to may come before this one
// asks for it: it is kept. Live messages are not.
func TestComesBeforeAsked(t *testing.T) {
	r := newRig(t)
	r.deliver(r.signed(envelope.Live, []string{"live"}), attach.Receipt{}, false)
	r.come("a")
	r.gap(wire.Gap{Target: r.target, Count: 2, Why: wire.WhyQuota}, attach.Receipt{N: 9})
	if got := r.acked(); got != "[]" {
		t.Errorf("acknowledged %s", got)
	}
	s := r.sub()
	equal(t, "items", read(t, s, 2), []string{"a", "gap 2 quota"})
}

// Who left a group stays away: each new attachment says so again.
func TestLeftIsSaidAgain(t *testing.T) {
	r := newRig(t)
	r.unsubscribe(r.target) // of an earlier process
	leave := []string{wantCall{r.target}.String(), unwantCall{r.target}.String()}
	equal(t, "told", r.told, leave)
	r.told = nil
	r.attached()
	equal(t, "told at the next attachment", r.told, leave)
	r.gap(wire.Gap{Target: r.target, Count: 2}, attach.Receipt{N: 9})
	if got := r.acked(); got != "[9]" {
		t.Errorf("acknowledged %s", got)
	}
	r.sub()
	r.told = nil
	if r.attached(); len(r.told) != 0 {
		t.Errorf("told %q, although it is subscribed again", r.told)
	}
	for n := range 2 * leftMax {
		r.unsubscribe(envelope.Target{Kind: envelope.Kind(n % 256), To: testKey(byte(n / 256)).Address()})
	}
	if len(r.left) > leftMax {
		t.Errorf("%d targets are remembered", len(r.left))
	}
}

// A router that does not keep to its window cannot fill the memory.
func TestOverflowIsAGap(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	for range queuedMax + 1 {
		r.come("x")
	}
	got := read(t, s, queuedMax+1)
	if last := got[queuedMax]; last != "gap 1 quota" {
		t.Errorf("the last is %q", last)
	}
}

// The end of the Conn acknowledges nothing: the router keeps it.
func TestReceiverEnds(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	r.come("a", "b")
	r.end(ErrSuperseded)
	for _, err := range s.Items(t.Context()) {
		if err != ErrSuperseded {
			t.Errorf("the loop ended with %v", err)
		}
	}
	s.Close()
	if got := r.acked(); got != "[]" {
		t.Errorf("acknowledged %s", got)
	}
	if _, err := r.subscribe(r.target); err != ErrSuperseded {
		t.Errorf("subscribe: %v", err)
	}
}

func TestLoopEndsWithContext(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.come("a")
	loops := 0
	for _, err := range s.Items(ctx) {
		loops++
		if loops == 1 {
			cancel()
			continue
		}
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the loop ended with %v", err)
		}
	}
	if loops != 2 || r.acked() != "[1]" {
		t.Errorf("%d rounds: asking for the next acknowledges, even if there is none", loops)
	}
}

// Deliveries of other targets stay apart.
func TestTargetsApart(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	other := envelope.Target{Kind: envelope.Address, To: identity.Address{}}
	mail, err := r.subscribe(other)
	if err != nil {
		t.Fatal(err)
	}
	r.gap(wire.Gap{Target: other, Count: 1, Why: wire.WhyLease}, attach.Receipt{N: 1})
	r.come("group")
	equal(t, "group", read(t, s, 1), []string{"group"})
	equal(t, "mail", read(t, mail, 1), []string{"gap 1 lease ended"})
}
