package upsycle

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A bench is an end whose router is the test: it answers Sign, Verify and Store at
// once and keeps what is sent and told.
type bench struct {
	*end
	t      *testing.T
	key    identity.Key
	now    time.Time
	link   machine.LinkID
	sent   []wire.Frame
	closed []wire.Code
	told   []string
	hand   []attach.Receipt // of what was delivered or a gap, in order
}

var home = testKey(9)

func newBench(t *testing.T) *bench {
	b := &bench{t: t, key: testKey(5), now: time.UnixMilli(1_700_000_000_000)}
	b.end = newEnd(b.key.Address(), 1, b)
	return b
}

func (b *bench) attachedTo(router identity.Address) { b.say("attached to %v", router) }
func (b *bench) attachRefused(code wire.Code)       { b.say("refused: %v", code) }
func (b *bench) subscribed(t envelope.Target, code wire.Code) {
	b.say("subscribed %v: %v", t.Kind, code)
}
func (b *bench) putOff(id envelope.ID, code wire.Code) { b.say("put off: %v", code) }
func (b *bench) taken(id envelope.ID, code wire.Code, after uint64) {
	b.say("taken: %v", code)
}
func (b *bench) deliver(e *envelope.Envelope, r attach.Receipt, late bool) {
	text := fmt.Sprintf("items %d to %d", e.First, e.Next()-1)
	if late {
		text += " late"
	}
	b.say("%s", text)
	b.hand = append(b.hand, r)
}
func (b *bench) gap(g wire.Gap, r attach.Receipt) {
	b.say("gap of %d: %v", g.Count, g.Why)
	b.hand = append(b.hand, r)
}
func (b *bench) say(format string, args ...any) {
	b.told = append(b.told, fmt.Sprintf(format, args...))
}

// step handles an event and all that follows from it at once.
func (b *bench) step(ev machine.Event) {
	b.t.Helper()
	for queue := []machine.Event{ev}; len(queue) > 0; queue = queue[1:] {
		for _, e := range b.Step(b.now, queue[0], nil) {
			switch e := e.(type) {
			case machine.Send:
				b.sent = append(b.sent, e.Frame)
				queue = append(queue, machine.Drained{Link: e.Link, Class: e.Class, Weight: e.Frame.Weight()})
			case machine.Verify:
				queue = append(queue, machine.Verified{Token: e.Token, Failed: slices.IndexFunc(e.Claims, func(c identity.Claim) bool { return !c.Holds() })})
			case machine.Sign:
				queue = append(queue, machine.Signed{Token: e.Token, Sig: b.key.Sign(e.Label, e.Body)})
			case machine.Store:
				if e.Token != 0 {
					queue = append(queue, machine.Stored{Token: e.Token})
				}
			case machine.Close:
				b.closed = append(b.closed, e.Code)
			}
		}
	}
}

// pass lets time go by, with every tick that is wanted.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	until := b.now.Add(d)
	for range 1000 {
		at := b.Deadline()
		if at.IsZero() || at.After(until) {
			break
		}
		if at.After(b.now) {
			b.now = at
		}
		b.step(machine.Tick{})
	}
	b.now = until
}

func (b *bench) frame(f wire.Frame) {
	b.t.Helper()
	b.step(machine.FrameIn{Link: b.link, Frame: f, Bytes: f.Weight()})
}

// up brings a link to the router and its attachment.
func (b *bench) up() {
	b.t.Helper()
	b.link++
	b.step(machine.LinkUp{Link: b.link, Peer: home.Address(), Role: wire.Core, MaxFrame: wire.FrameMax, Dialled: true})
	at, ok := sentOf[*wire.Attach](b)
	if !ok {
		b.t.Fatalf("no attach was sent: %v", b.sent)
	}
	if at.Homes.Client != b.key.Address() || !at.Homes.Names(home.Address()) || !at.Homes.Claim().Holds() {
		b.t.Errorf("attach with %+v", at.Homes)
	}
	b.frame(&wire.Attached{Epoch: at.Homes.Epoch, Box: wire.Box{1}, Code: wire.OK})
}

func (b *bench) down() {
	b.t.Helper()
	b.step(machine.LinkDown{Link: b.link, Peer: home.Address()})
	b.sent = nil
}

// want subscribes to the group of testKey(1) and answers for the router.
func (b *bench) want() {
	b.t.Helper()
	b.step(machine.Command{Call: wantCall{envelope.Target{Kind: envelope.Group, To: testKey(1).Address()}}})
	b.answerSubscribe()
}

func (b *bench) answerSubscribe() {
	b.t.Helper()
	s, ok := sentOf[*wire.Subscribe](b)
	if !ok {
		b.t.Fatalf("no subscribe was sent: %v", b.sent)
	}
	b.frame(&wire.Subscribed{Ref: s.Ref, Code: wire.OK})
}

// sentOf returns the last frame of its kind that was sent.
func sentOf[F wire.Frame](b *bench) (last F, ok bool) {
	for _, f := range b.sent {
		if f, is := f.(F); is {
			last, ok = f, true
		}
	}
	return last, ok
}

// group makes an envelope of the group with the numbers first to first+count-1.
func (b *bench) group(first uint64, count int) *envelope.Envelope {
	b.t.Helper()
	items := make([][]byte, count)
	h := envelope.Header{
		Target: envelope.Target{Kind: envelope.Group, To: testKey(1).Address()}, Run: envelope.Run{7},
		First: first, Count: count, Time: uint64(b.now.UnixMilli()), TTL: 3600, Flags: envelope.Plain,
	}
	e, err := envelope.Sign(h, nil, envelope.PlainBody(items), testKey(1))
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

func (b *bench) wantTold(what string, want ...string) {
	b.t.Helper()
	if !slices.Equal(b.told, want) {
		b.t.Errorf("%s: told %q, want %q", what, b.told, want)
	}
	b.told = nil
}

// done acknowledges everything for the application.
func (b *bench) done() {
	b.t.Helper()
	for _, r := range b.hand {
		b.step(machine.Command{Call: doneCall{r}})
	}
	b.hand = nil
}

func TestEndAttachesAndSubscribes(t *testing.T) {
	b := newBench(t)
	b.up()
	b.want()
	b.wantTold("begin", fmt.Sprintf("attached to %v", home.Address()), "subscribed 0: ok")
	b.frame(&wire.Deliver{N: 1, Envelope: b.group(0, 3)})
	b.wantTold("deliver", "items 0 to 2")
	b.pass(time.Second)
	if d, ok := sentOf[*wire.Delivered](b); ok {
		t.Errorf("%v before the application had it", d)
	}
	b.done()
	b.pass(time.Second)
	if d, ok := sentOf[*wire.Delivered](b); !ok || d.N != 1 {
		t.Errorf("acknowledged %v", d)
	}
}

func TestEndAttachRefused(t *testing.T) {
	b := newBench(t)
	b.link++
	b.step(machine.LinkUp{Link: b.link, Peer: home.Address(), Role: wire.Core, MaxFrame: wire.FrameMax, Dialled: true})
	at, _ := sentOf[*wire.Attach](b)
	b.frame(&wire.Attached{Epoch: at.Homes.Epoch, Code: wire.NotAllowed})
	b.wantTold("refused", "refused: not allowed")
}

// A service links to routers only.
func TestEndRefusesServices(t *testing.T) {
	b := newBench(t)
	b.link++
	b.step(machine.LinkUp{Link: b.link, Peer: home.Address(), Role: wire.Service, Dialled: true})
	if !slices.Equal(b.closed, []wire.Code{wire.NotAllowed}) {
		t.Errorf("closed with %v", b.closed)
	}
	b.frame(&wire.Attached{})
	b.step(machine.LinkDown{Link: b.link, Peer: home.Address()})
	b.wantTold("nothing")
}

// What waits for its acknowledgement goes again on the next link.
func TestEndPublishesAgain(t *testing.T) {
	b := newBench(t)
	b.up()
	b.wantTold("begin", fmt.Sprintf("attached to %v", home.Address()))
	e := b.group(0, 1)
	b.step(machine.Command{Call: publishCall{e}})
	for range 2 {
		if p, ok := sentOf[*wire.Publish](b); !ok || p.Envelope.ID != e.ID {
			t.Fatalf("not published: %v", b.sent)
		}
		b.down()
		b.up()
		b.told = nil
	}
	b.frame(&wire.Published{ID: e.ID, Code: wire.OK})
	b.wantTold("answer", "taken: ok")
	b.down()
	b.up()
	if p, ok := sentOf[*wire.Publish](b); ok {
		t.Errorf("%v again, although the router has it", p)
	}
}

// A code that asks for another try is not told; a final one is.
func TestEndPublishRetried(t *testing.T) {
	b := newBench(t)
	b.up()
	e := b.group(0, 1)
	b.step(machine.Command{Call: publishCall{e}})
	b.told, b.sent = nil, nil
	b.frame(&wire.Published{ID: e.ID, Code: wire.StorageFull, RetryAfter: 1000})
	b.wantTold("try later", "put off: storage full")
	b.pass(time.Minute)
	if _, ok := sentOf[*wire.Publish](b); !ok {
		t.Fatal("not tried again")
	}
	b.frame(&wire.Published{ID: e.ID, Code: wire.NotAWriter})
	b.wantTold("final", "taken: not a writer")
}

// Streams come in order; a hole that stays is a gap after 30 seconds, and what
// fills it later is marked.
func TestEndOrders(t *testing.T) {
	b := newBench(t)
	b.up()
	b.want()
	b.told = nil
	b.frame(&wire.Deliver{N: 1, Envelope: b.group(0, 2)})
	b.frame(&wire.Deliver{N: 2, Envelope: b.group(5, 1)})
	b.frame(&wire.Deliver{N: 3, Envelope: b.group(4, 1)})
	b.wantTold("ahead of a hole", "items 0 to 1")
	b.pass(29 * time.Second)
	b.wantTold("29 s later")
	b.pass(2 * time.Second)
	b.wantTold("31 s later", "gap of 2: hole not repaired", "items 4 to 4", "items 5 to 5")
	late := b.group(2, 2)
	b.frame(&wire.Deliver{N: 4, Envelope: late})
	b.wantTold("late", "items 2 to 3 late")
	b.frame(&wire.Deliver{N: 5, Envelope: late})
	b.wantTold("a duplicate")
	b.done()
	b.pass(time.Second)
	if d, ok := sentOf[*wire.Delivered](b); !ok || d.N != 5 {
		t.Errorf("acknowledged %v, want all five: a duplicate, too", d)
	}
}

// A router's gap passes at once, and the hole that it explains is not told twice.
func TestEndGap(t *testing.T) {
	b := newBench(t)
	b.up()
	b.want()
	b.told = nil
	target := envelope.Target{Kind: envelope.Group, To: testKey(1).Address()}
	b.frame(&wire.Deliver{N: 1, Envelope: b.group(0, 1)})
	b.frame(&wire.Gap{N: 2, Target: target, Count: 3, Why: wire.WhyQuota})
	b.frame(&wire.Deliver{N: 3, Envelope: b.group(4, 1)})
	b.wantTold("gap", "items 0 to 0", "gap of 3: quota", "items 4 to 4")
	b.done()
	b.pass(time.Second)
	if d, ok := sentOf[*wire.Delivered](b); !ok || d.N != 3 {
		t.Errorf("acknowledged %v", d)
	}
}

// An end trusts no router: what is forged goes nowhere.
func TestEndChecks(t *testing.T) {
	b := newBench(t)
	b.up()
	b.want()
	b.told = nil
	good := b.group(0, 1)
	sig := good.Sig
	sig[0] ^= 1
	forged, err := envelope.Parse(envelope.Assemble(good.HeaderBytes, sig, nil, good.Body), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.frame(&wire.Deliver{N: 1, Envelope: forged})
	b.wantTold("forged")
	b.frame(&wire.Deliver{N: 2, Envelope: good})
	b.wantTold("the real one", "items 0 to 0")
}

// After a new link the subscription is said again and a repeated delivery is not
// handed over twice.
func TestEndResumes(t *testing.T) {
	b := newBench(t)
	b.up()
	b.want()
	e := b.group(0, 1)
	b.frame(&wire.Deliver{N: 1, Envelope: e})
	b.told = nil
	b.down()
	b.up()
	b.frame(&wire.Deliver{N: 1, Envelope: e})
	b.wantTold("again", fmt.Sprintf("attached to %v", home.Address()))
	b.done()
	b.pass(time.Second)
	if d, ok := sentOf[*wire.Delivered](b); !ok || d.N != 1 {
		t.Errorf("acknowledged %v", d)
	}
}

// Unwant ends the subscription and lets go of what waits behind a hole.
func TestEndUnwants(t *testing.T) {
	b := newBench(t)
	b.up()
	b.want()
	b.frame(&wire.Deliver{N: 1, Envelope: b.group(0, 1)})
	b.frame(&wire.Deliver{N: 2, Envelope: b.group(5, 1)})
	b.told = nil
	b.step(machine.Command{Call: unwantCall{envelope.Target{Kind: envelope.Group, To: testKey(1).Address()}}})
	b.wantTold("what waited", "items 5 to 5")
	if _, ok := sentOf[*wire.Unsubscribe](b); !ok {
		t.Errorf("no unsubscribe: %v", b.sent)
	}
}
