package machine

import (
	"errors"
	"strings"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// A Desk keeps the order of what is laid on it, and numbers the questions.
func TestDeskKeepsTheOrder(t *testing.T) {
	var d Desk
	d.Begin([]Effect{Pause{Link: 9}})
	d.Send(1, Bulk, &wire.Ping{N: 5})
	v := d.Verify(OwnerGate, 1, identity.Claim{Body: []byte("x")})
	s := d.Sign(OwnerTree, identity.LabelRoot, []byte("y"))
	st := d.Store(OwnerHome, Row{Key: []byte("k"), Value: []byte("v")}, Row{Key: []byte("gone")})
	d.Forget([]byte("a"), []byte("b"))
	d.Close(2, wire.Rate, "too fast")
	d.Count(Forwarded, 3)
	d.Do(Deliver{&envelope.Envelope{}})
	out := d.End()

	want := []string{
		"pause #9", "send #1 bulk ping{5}", "verify 100000000000001 #1 1 claims", "sign 200000000000002 1 B",
		"store 400000000000003 2 rows", "store 0 2 rows", `close #2 rate "too fast"`, `report forwarded #3 ok ""`, "deliver 00000000",
	}
	if len(out) != len(want) {
		t.Fatalf("%d effects, want %d: %v", len(out), len(want), out)
	}
	for i := range want {
		if out[i].String() != want[i] {
			t.Errorf("effect %d: %s, want %s", i, out[i], want[i])
		}
	}
	for _, c := range []struct {
		token Token
		want  Owner
	}{{v, OwnerGate}, {s, OwnerTree}, {st, OwnerHome}, {0, 0}} {
		if c.token.Owner() != c.want {
			t.Errorf("token %x belongs to %d, want %d", uint64(c.token), c.token.Owner(), c.want)
		}
	}
	if f := out[5].(Store); f.Token != 0 || f.Rows[0].Value != nil || string(f.Rows[1].Key) != "b" {
		t.Errorf("Forget stored %+v", f)
	}
}

func TestDeskBeginsAnew(t *testing.T) {
	var d Desk
	d.Begin(nil)
	first := d.Token(OwnerEnd)
	d.Count(Forwarded, 1)
	d.End()
	d.Begin(nil)
	d.Forget() // nothing to forget: nothing to do
	if out := d.End(); len(out) != 0 {
		t.Errorf("the second step holds %v", out)
	}
	if second := d.Token(OwnerEnd); second == first || second.Owner() != OwnerEnd {
		t.Errorf("token %x came twice", uint64(second))
	}
}

// Tokens of all owners differ from each other and from no token.
func TestTokensAreUnique(t *testing.T) {
	var d Desk
	seen := map[Token]bool{0: true}
	for range 1000 {
		for o := OwnerGate; o <= OwnerEnd; o++ {
			tok := d.Token(o)
			if seen[tok] || tok.Owner() != o {
				t.Fatalf("token %x of owner %d is not new", uint64(tok), o)
			}
			seen[tok] = true
		}
	}
}

// Every event prints in words, without the bytes of what it carries.
func TestEventStrings(t *testing.T) {
	for _, c := range []struct {
		ev   Event
		want string
	}{
		{LinkUp{Link: 4, Role: wire.Core}, "link-up #4 core nobody"},
		{LinkDown{Link: 4}, "link-down #4 nobody"},
		{RTT{4, 12}, "rtt #4 12 ms"},
		{FrameIn{Link: 4, Frame: &wire.Pong{N: 1}, Bytes: 3}, "in #4 pong{1}"},
		{Drained{4, Repair, 100}, "drained #4 repair 100 B"},
		{Verified{tokenOf(OwnerGate), -1}, "verified 100000000000000 -1"},
		{Signed{Token: tokenOf(OwnerTree)}, "signed 200000000000000"},
		{Stored{tokenOf(OwnerHome), errors.New("disk full")}, "stored 400000000000000 disk full"},
		{Stored{Token: tokenOf(OwnerHome)}, "stored 400000000000000 <nil>"},
		{Command{reload("reload")}, "command reload"},
		{Tick{}, "tick"},
	} {
		if got := c.ev.String(); got != c.want {
			t.Errorf("%T prints as %q, want %q", c.ev, got, c.want)
		}
	}
}

func tokenOf(o Owner) Token { return Token(uint64(o) << 56) }

type reload string

func (r reload) String() string { return string(r) }

// Every report has a name of its own: status shows them.
func TestReportNames(t *testing.T) {
	seen := map[string]ReportEvent{}
	for e := ReportEvent(0); e < ReportEvents; e++ {
		name := e.String()
		if strings.HasPrefix(name, "event ") || name == "" || name != strings.ToLower(name) {
			t.Errorf("event %d has no name: %q", e, name)
		}
		if other, ok := seen[name]; ok {
			t.Errorf("events %d and %d are both called %q", other, e, name)
		}
		seen[name] = e
	}
	if got := ReportEvents.String(); !strings.HasPrefix(got, "event ") {
		t.Errorf("what is no event is called %q", got)
	}
}

// spec §10.3: the order of the queues.
func TestClasses(t *testing.T) {
	if !(Control < Repair && Repair < Bulk) || int(Bulk)+1 != ClassesNo {
		t.Error("the classes are out of order")
	}
	for c, want := range map[Class]string{Control: "control", Repair: "repair", Bulk: "bulk"} {
		if c.String() != want {
			t.Errorf("class %d is called %s", c, c)
		}
	}
}

// A report with a peer's text cannot break a line of a log.
func TestPeerTextIsQuoted(t *testing.T) {
	for _, e := range []Effect{Close{Text: "a\nb"}, Report{Text: "a\nb"}} {
		if strings.Contains(e.String(), "\n") {
			t.Errorf("%T prints a peer's text as it came", e)
		}
	}
}

// A small machine shows that the vocabulary suffices, and how it is used: it
// signs what it is told to and sends it.
type signer struct {
	desk Desk
	due  time.Time
	asks map[Token]LinkID
}

func (m *signer) Step(now time.Time, ev Event, out []Effect) []Effect {
	m.desk.Begin(out)
	switch ev := ev.(type) {
	case FrameIn:
		m.asks[m.desk.Sign(OwnerEnd, identity.LabelHomes, []byte{1})] = ev.Link
		m.due = now.Add(time.Second)
	case Signed:
		m.desk.Send(m.asks[ev.Token], Control, &wire.Ping{N: uint64(ev.Sig[0])})
		m.due = time.Time{}
	}
	return m.desk.End()
}

func (m *signer) Deadline() time.Time { return m.due }

func TestAMachine(t *testing.T) {
	var m Machine = &signer{asks: map[Token]LinkID{}}
	now := time.UnixMilli(1_767_225_600_000)
	out := m.Step(now, FrameIn{Link: 3, Frame: &wire.Ping{}}, nil)
	ask, ok := out[0].(Sign)
	if !ok || !m.Deadline().Equal(now.Add(time.Second)) {
		t.Fatalf("%v, deadline %v", out, m.Deadline())
	}
	out = m.Step(now, Signed{ask.Token, identity.Signature{7}}, out)
	if len(out) != 2 || out[1].String() != "send #3 control ping{7}" || !m.Deadline().IsZero() {
		t.Errorf("%v, deadline %v", out, m.Deadline())
	}
}

// Every effect prints in words; logs, scripts and the simulator compare them.
func TestEffectStrings(t *testing.T) {
	e := &envelope.Envelope{ID: envelope.ID{0xab, 0xcd}}
	for _, c := range []struct {
		effect Effect
		want   string
	}{
		{Send{1, Control, &wire.Graft{}}, "send #1 control graft{root nobody}"},
		{Send{1, Repair, &wire.Pulled{Envelope: e}}, "send #1 repair pulled{abcd0000}"},
		{Send{1, Bulk, &wire.Deliver{N: 4, Envelope: e}}, "send #1 bulk deliver{4 abcd0000}"},
		{Verify{tokenOf(OwnerGate), 2, make([]identity.Claim, 3)}, "verify 100000000000000 #2 3 claims"},
		{Sign{tokenOf(OwnerClient), identity.LabelGrant, make([]byte, 79)}, "sign 500000000000000 79 B"},
		{Store{tokenOf(OwnerHome), make([]Row, 2)}, "store 400000000000000 2 rows"},
		{Close{3, wire.NotAllowed, "who are you?"}, `close #3 not allowed "who are you?"`},
		{Pause{Link: 3, Until: time.Unix(1, 0)}, "pause #3"},
		{Deliver{e}, "deliver abcd0000"},
		{Report{Event: RelayRefused, Link: 3, Code: wire.Expired, Text: "too late"}, `report relay refused #3 expired "too late"`},
		{Report{Event: RootStarted}, `report root started #0 ok ""`},
	} {
		if got := c.effect.String(); got != c.want {
			t.Errorf("%T prints as %q, want %q", c.effect, got, c.want)
		}
	}
}

// A Desk appends to what the caller has, and hands it back: one slice serves all
// steps of a machine.
func TestDeskUsesTheCallersRoom(t *testing.T) {
	var d Desk
	room := make([]Effect, 0, 8)
	for step := range 3 {
		d.Begin(room[:0])
		d.Count(Forwarded, LinkID(step))
		out := d.End()
		if len(out) != 1 || cap(out) != 8 || out[0].(Report).Link != LinkID(step) {
			t.Errorf("step %d: %v in room for %d", step, out, cap(out))
		}
	}
	// A push of one envelope to one link needs no memory of its own beyond the
	// boxes of frame and effect.
	f := &wire.Ping{N: 1}
	if n := testing.AllocsPerRun(100, func() {
		d.Begin(room[:0])
		d.Send(1, Bulk, f)
		room = d.End()
	}); n > 1 {
		t.Errorf("%v allocations for one effect", n)
	}
}

// The owner survives however many tokens came before.
func TestOwnersStayApart(t *testing.T) {
	d := Desk{last: 1<<56 - 10}
	for o := OwnerGate; o <= OwnerEnd; o++ {
		if got := d.Token(o).Owner(); got != o {
			t.Errorf("owner %d reads as %d", o, got)
		}
	}
}
