package gate

import (
	"bytes"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

const (
	start    = 1_767_225_600_000 // 2026-01-01
	certFrom = start - 24*3600_000
	certTo   = start + 24*3600_000
)

func testKey(t testing.TB, seed byte) identity.Key {
	t.Helper()
	k, err := identity.NewKey(bytes.Repeat([]byte{seed}, identity.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A bench is a gate with its desk, and answers what it asks with real checks.
type bench struct {
	t    testing.TB
	desk *machine.Desk
	gate *Gate
	now  int64
}

func newBench(t testing.TB, limits Limits) *bench {
	desk := &machine.Desk{}
	return &bench{t, desk, New(Config{
		Self: testKey(t, 99).Address(), Role: wire.Core, Services: Access{Any: true},
		Peers: []identity.Address{testKey(t, 50).Address()}, Limits: limits,
	}, desk), start}
}

// step runs one input and returns its effects.
func (b *bench) step(f func()) []machine.Effect {
	b.desk.Begin(nil)
	f()
	return b.desk.End()
}

// link brings up a member's link, or a peer core's for id 50.
func (b *bench) link(id byte) machine.LinkID {
	b.t.Helper()
	role := wire.Service
	if id == 50 {
		role = wire.Core
	}
	var code wire.Code
	b.step(func() {
		code = b.gate.LinkUp(b.now, machine.LinkUp{Link: machine.LinkID(id), Peer: testKey(b.t, id).Address(), Role: role})
	})
	if code != wire.OK {
		b.t.Fatalf("link %d: %v", id, code)
	}
	return machine.LinkID(id)
}

// submit asks for a verdict and returns the Verify if there is one.
func (b *bench) submit(c Case) (Verdict, *machine.Verify, []machine.Effect) {
	var v Verdict
	effects := b.step(func() { v = b.gate.Submit(b.now, c) })
	for _, e := range effects {
		if ask, ok := e.(machine.Verify); ok {
			return v, &ask, effects
		}
	}
	return v, nil, effects
}

// answer checks the claims for real.
func (b *bench) answer(ask *machine.Verify) ([]Verdict, []machine.Effect) {
	failed := -1
	for i, c := range ask.Claims {
		if !c.Holds() {
			failed = i
			break
		}
	}
	var vs []Verdict
	effects := b.step(func() { vs = b.gate.Verified(b.now, ask.Token, failed) })
	return vs, effects
}

// judge submits and answers until there is a verdict.
func (b *bench) judge(c Case) Verdict {
	b.t.Helper()
	v, ask, _ := b.submit(c)
	if v.Result != Waiting {
		return v
	}
	vs, _ := b.answer(ask)
	return vs[0]
}

// fingerprint is everything that P6 says a failed check must leave alone.
func (b *bench) fingerprint(from identity.Address) [5]int64 {
	var used int64
	if w := b.gate.writers.at[from]; w != nil {
		used = w.envelopes.used + w.bytes.used
	}
	z := b.gate.Sizes()
	return [5]int64{int64(z.Seen), int64(z.Checking), int64(z.Writers), int64(z.Certificates), used}
}

// A letter makes envelopes with one thing changed.
type letter struct {
	group, writer identity.Key
	header        envelope.Header
	cert          *envelope.Certificate
	body          []byte
}

// newLetter is a good group message by a writer with a certificate; n numbers it.
func newLetter(t testing.TB, n uint64) *letter {
	group, writer := testKey(t, 1), testKey(t, 2)
	return &letter{
		group: group, writer: writer,
		header: envelope.Header{
			Target: envelope.Target{Kind: envelope.Group, To: group.Address()},
			First:  n, Count: 1, Time: start, TTL: 600, Flags: envelope.Plain,
		},
		cert: envelope.IssueCertificate(group, writer.Address(), certFrom, certTo, envelope.MayStore),
		body: envelope.PlainBody([][]byte{[]byte("hello")}),
	}
}

func (l *letter) sign(t testing.TB) *envelope.Envelope {
	t.Helper()
	e, err := envelope.Sign(l.header, l.cert, l.body, l.writer)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// forge returns e with one bit changed: of the certificate's signature (0), the
// body (1) or the envelope's signature (2).
func forge(t testing.TB, e *envelope.Envelope, part int) *envelope.Envelope {
	t.Helper()
	sig, body := e.Sig, bytes.Clone(e.Body)
	var cert *envelope.Certificate
	if e.Cert != nil {
		c := *e.Cert
		cert = &c
	}
	switch part {
	case 0:
		cert.Signed.Sig[5] ^= 4
	case 1:
		body[len(body)-1] ^= 4
	case 2:
		sig[5] ^= 4
	}
	f, err := envelope.Parse(envelope.Assemble(e.HeaderBytes, sig, cert, body), nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func find[T machine.Effect](effects []machine.Effect) (all []T) {
	for _, e := range effects {
		if x, ok := e.(T); ok {
			all = append(all, x)
		}
	}
	return all
}

func milli(t time.Time) int64 { return t.UnixMilli() }
