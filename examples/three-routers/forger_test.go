package threerouters_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/link"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A forger speaks raw frames, since neither the SDK nor the commands do what it
// does.
type forger struct {
	ups     chan machine.LinkID
	answers chan *wire.Published
}

// Event takes what comes over the link.
func (f *forger) Event(_ context.Context, ev machine.Event) error {
	switch ev := ev.(type) {
	case machine.LinkUp:
		f.ups <- ev.Link
	case machine.FrameIn:
		if p, ok := ev.Frame.(*wire.Published); ok {
			f.answers <- p
		}
	}
	return nil
}

// Drained does not matter here.
func (f *forger) Drained(machine.Drained) {}

// forge publishes to the club, at A, what claims to be signed by the club's key.
// The first router refuses it, and B and C never see it.
func (r *reader) forge() {
	t := r.t
	t.Helper()
	key, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	at, err := identity.ParseEndpoint(r.endpointOfA())
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{ups: make(chan machine.LinkID, 4), answers: make(chan *wire.Published, 4)}
	hub := link.NewHub(link.Config{Key: key, Role: wire.Service, Agent: "forger", Handler: f, Network: link.System()})
	defer hub.Close()
	if err := hub.Dial(at, link.DialOptions{}); err != nil {
		t.Fatal(err)
	}
	var up machine.LinkID
	select {
	case up = <-f.ups:
	case <-time.After(patience):
		t.Fatal("the forger got no link")
	}
	hub.Send(up, machine.Control, attach(key, at.Pin))
	e := r.forged(key)
	hub.Send(up, machine.Bulk, &wire.Publish{Envelope: e})
	select {
	case p := <-f.answers:
		if p.ID != e.ID || p.Code != wire.BadSignature {
			t.Errorf("the forgery was answered with %v", p)
		}
	case <-time.After(patience):
		t.Fatal("the forgery was not answered")
	}
	for _, name := range []string{"b", "c"} {
		if n := r.status(name).Counters[machine.RelayRefused.String()]; n != 0 {
			t.Errorf("router %s refused %d envelopes, which it should never have seen", name, n)
		}
	}
}

func (r *reader) text(name string) string {
	b, err := os.ReadFile(filepath.Join(r.dir, "run", name))
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func (r *reader) endpointOfA() string {
	out, err := r.shell(r.vars + `echo "$A"`).Output()
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func attach(key identity.Key, home identity.Address) *wire.Attach {
	h := &wire.Homes{Client: key.Address(), Epoch: uint64(time.Now().UnixMilli()), Homes: []identity.Address{home}}
	h.Encode()
	h.Signed.Sig = key.Sign(identity.LabelHomes, h.Signed.Body)
	return &wire.Attach{Homes: h}
}

// forged is an envelope in the club's name that another key signed.
func (r *reader) forged(key identity.Key) *envelope.Envelope {
	club, err := identity.ParseAddressAs(r.text("club.key"), identity.GroupText)
	if err != nil {
		r.t.Fatal(err)
	}
	body := envelope.PlainBody([][]byte{[]byte("forged")})
	h := envelope.Header{
		Target: envelope.Target{Kind: envelope.Group, To: club}, From: club, Count: 1,
		Time: uint64(time.Now().UnixMilli()), TTL: 3600, Flags: envelope.Plain, BodyHash: sha256.Sum256(body),
	}
	header := h.AppendTo(nil)
	e, err := envelope.Parse(envelope.Assemble(header, key.Sign(identity.LabelEnvelope, header), nil, body), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}
