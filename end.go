package upsycle

import (
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// An outlet is what the end tells of: the Conn, or a test. Its methods are called
// within Step and must not block.
type outlet interface {
	attachedTo(router identity.Address)
	attachRefused(code wire.Code)
	subscribed(t envelope.Target, code wire.Code)
	putOff(id envelope.ID, code wire.Code) // to be tried again
	taken(id envelope.ID, code wire.Code, retryAfter uint64)
	deliver(e *envelope.Envelope, r attach.Receipt, late bool)
	gap(g wire.Gap, r attach.Receipt)
}

// A call is what the application wants of the machine.
type call interface{ String() string }

type (
	publishCall struct{ envelope *envelope.Envelope }
	wantCall    struct{ target envelope.Target }
	unwantCall  struct{ target envelope.Target }
	doneCall    struct{ receipt attach.Receipt }
	flushCall   struct{}              // send the acknowledgements that wait
	thenCall    struct{ then func() } // is called when all before it was handled, its effects carried out
)

func (c publishCall) String() string { return fmt.Sprintf("publish %v", c.envelope.ID) }
func (c wantCall) String() string    { return fmt.Sprintf("want %v", c.target) }
func (c unwantCall) String() string  { return fmt.Sprintf("unwant %v", c.target) }
func (c doneCall) String() string    { return fmt.Sprintf("done %d of %v", c.receipt.N, c.receipt.Home) }
func (c flushCall) String() string   { return "flush" }
func (c thenCall) String() string    { return "then" }

// The bounds of what waits behind a hole in a stream: half of the router's window
// for one target, which would otherwise close before the hole is given up (F5).
const (
	holeEnvelopes = 128
	holeBytes     = 2 << 20
)

// joinWait is how long the first envelope that is seen of a stream waits for those
// before it, in milliseconds, if the stream may have begun after the subscription:
// its publisher's clock, which says when, may be behind.
const joinWait = 2000

// An end is the machine of one service: the gate, since an end trusts no router;
// the client, which keeps what is published until the router has it; and the
// sequencer, which puts streams in order. It is pure like a router's machine.
type end struct {
	desk   machine.Desk
	gate   *gate.Gate
	client *attach.Client
	order  *attach.Sequencer
	out    outlet
	home   map[machine.LinkID]bool // links to a router that was let in
	passed []attach.Passed         // its memory is used again
	last   int64
}

func newEnd(self identity.Address, seed uint64, out outlet) *end {
	e := &end{out: out, home: make(map[machine.LinkID]bool)}
	e.gate = gate.New(gate.Config{Self: self, Role: wire.Service}, &e.desk)
	e.client = attach.NewClient(attach.ClientConfig{Self: self, Role: wire.Service, Seed: seed}, &e.desk, e.gate)
	e.client.Bind(inbox{e})
	e.order = attach.NewSequencer(attach.SequencerLimits{Join: joinWait, Envelopes: holeEnvelopes, Bytes: holeBytes})
	return e
}

// Step handles one event; see machine.Machine.
func (e *end) Step(at time.Time, ev machine.Event, out []machine.Effect) []machine.Effect {
	now := at.UnixMilli()
	if now < e.last {
		panic("upsycle: time went backwards")
	}
	e.last = now
	e.desk.Begin(out)
	e.handle(now, ev)
	return e.desk.End()
}

func (e *end) handle(now int64, ev machine.Event) {
	switch ev := ev.(type) {
	case machine.LinkUp:
		e.linkUp(now, ev)
	case machine.LinkDown:
		if e.home[ev.Link] {
			e.client.LinkDown(now, ev.Link)
		}
		e.gate.LinkDown(ev.Link)
		delete(e.home, ev.Link)
	case machine.FrameIn:
		e.frameIn(now, ev)
	case machine.Verified:
		e.verified(now, ev)
	case machine.Signed:
		e.client.Signed(now, ev.Token, ev.Sig)
	case machine.Stored:
		e.client.Stored(now, ev.Token, ev.Err)
	case machine.Drained:
		if e.home[ev.Link] {
			e.client.Drained(now, ev.Link, ev.Class, ev.Weight)
		}
	case machine.Tick:
		e.gate.Tick(now)
		e.client.Tick(now)
		e.pass(now, e.order.Tick(now, e.passed[:0]))
	case machine.Command:
		e.call(now, ev.Call)
	}
}

func (e *end) linkUp(now int64, ev machine.LinkUp) {
	if code := e.gate.LinkUp(now, ev); code != wire.OK {
		e.desk.Close(ev.Link, code, code.Sentence())
		return
	}
	e.home[ev.Link] = true
	e.client.LinkUp(now, ev)
}

func (e *end) frameIn(now int64, ev machine.FrameIn) {
	if !e.home[ev.Link] {
		return // its close frame is under way
	}
	e.gate.Arrived(now, ev.Link, ev.Bytes)
	if _, unknown := ev.Frame.(*wire.Unknown); unknown || ev.Frame.Type() >= 32 {
		e.desk.Count(machine.UnknownFrame, ev.Link)
		return
	}
	if p, ok := ev.Frame.(*wire.Published); ok && p.Code.Retry() {
		e.out.putOff(p.ID, p.Code) // the client tries again and tells nobody
	}
	e.client.Frame(now, ev.Link, ev.Frame)
}

func (e *end) verified(now int64, ev machine.Verified) {
	if ev.Token.Owner() != machine.OwnerGate {
		e.client.Verified(now, ev.Token, ev.Failed)
		return
	}
	for _, v := range e.gate.Verified(now, ev.Token, ev.Failed) {
		e.client.Verdict(now, v)
	}
}

func (e *end) call(now int64, c call) {
	switch c := c.(type) {
	case publishCall:
		e.client.Publish(now, c.envelope)
	case wantCall:
		e.client.Want(now, c.target, nil)
	case unwantCall:
		e.client.Unwant(now, c.target)
		e.pass(now, e.order.Forget(c.target, e.passed[:0]))
	case doneCall:
		e.client.Done(now, c.receipt)
	case flushCall:
		e.client.Flush()
	case thenCall:
		c.then()
	}
}

// pass hands on what the sequencer let through.
func (e *end) pass(now int64, list []attach.Passed) {
	for _, p := range list {
		switch p.Order {
		case attach.Hole:
			e.out.gap(p.Gap, p.Receipt)
		case attach.Duplicate:
			e.client.Done(now, p.Receipt)
		default:
			e.out.deliver(p.Admitted.Envelope(), p.Receipt, p.Order == attach.Late)
		}
	}
	clear(list)
	e.passed = list[:0]
}

// Deadline returns when a Tick is wanted; see machine.Machine.
func (e *end) Deadline() time.Time {
	at := e.gate.Deadline()
	for _, other := range [...]int64{e.client.Deadline(), e.order.Deadline()} {
		if other != 0 && (at == 0 || other < at) {
			at = other
		}
	}
	if at == 0 {
		return time.Time{}
	}
	return time.UnixMilli(at)
}

// An inbox is what the client hands over to: its downstream and its observer.
type inbox struct{ *end }

// Taken says what became of an envelope that was published.
func (i inbox) Taken(_ int64, id envelope.ID, code wire.Code, retryAfter uint64) {
	i.out.taken(id, code, retryAfter)
}

// Deliver takes an envelope, once for each id.
func (i inbox) Deliver(now int64, a gate.Admitted, r attach.Receipt) {
	i.pass(now, i.order.Put(now, a, r, i.passed[:0]))
}

// Gap takes a router's word of items that will not come.
func (i inbox) Gap(_ int64, g wire.Gap, r attach.Receipt) {
	i.order.Excuse(g.Target, g.Count)
	i.out.gap(g, r)
}

// Attached takes the router's answer to the attachment.
func (i inbox) Attached(_ int64, home identity.Address, code wire.Code) {
	if code != wire.OK {
		i.out.attachRefused(code)
		return
	}
	i.out.attachedTo(home)
}

// Subscribed takes the router's answer to a subscription. One that asks for
// another try is not told: the client tries again.
func (i inbox) Subscribed(now int64, t envelope.Target, code wire.Code) {
	if code == wire.OK {
		i.order.Since(now, t)
	}
	if !code.Retry() {
		i.out.subscribed(t, code)
	}
}

var (
	_ machine.Machine   = (*end)(nil)
	_ attach.Downstream = inbox{}
	_ attach.Observer   = inbox{}
)
