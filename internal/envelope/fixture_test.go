package envelope

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"upsycle/identity"
)

// The keys and times of the worked example (spec §4.5).
const (
	exampleTime = 1_767_225_600_000 // 2026-01-01
	exampleTTL  = 604_800
	certFrom    = 0x19b71b44c00
	certTo      = 0x19d46570000
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testKey(t testing.TB, seed byte) identity.Key {
	t.Helper()
	k, err := identity.NewKey(bytes.Repeat([]byte{seed}, identity.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// A fixture makes envelopes with one thing changed: the tests change a field,
// then ask for the bytes.
type fixture struct {
	group, writer identity.Key
	header        Header
	cert          *Certificate
	body          []byte
}

// newFixture returns a good group message by a writer with a certificate.
func newFixture(t testing.TB) *fixture {
	t.Helper()
	group, writer := testKey(t, 1), testKey(t, 2)
	return &fixture{
		group: group, writer: writer,
		header: Header{
			Target: Target{Group, group.Address()},
			Run:    Run{5, 5, 5, 5, 5, 5, 5, 5},
			Count:  1, Time: exampleTime, TTL: exampleTTL, Flags: Plain,
		},
		cert: IssueCertificate(group, writer.Address(), certFrom, certTo, MayStore|MayLive),
		body: PlainBody([][]byte{[]byte("hello")}),
	}
}

// own makes it a message that the group key signs itself.
func (x *fixture) own() *fixture {
	x.writer, x.cert = x.group, nil
	return x
}

// mail makes it a message to an address.
func (x *fixture) mail(t testing.TB) *fixture {
	x.header.Target = Target{Address, testKey(t, 9).Address()}
	x.cert = nil
	return x
}

// sign returns the envelope; it fails the test if Sign does.
func (x *fixture) sign(t testing.TB) *Envelope {
	t.Helper()
	e, err := Sign(x.header, x.cert, x.body, x.writer)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// raw signs without looking at what is signed.
func (x *fixture) raw(header []byte) []byte {
	return Assemble(header, x.writer.Sign(identity.LabelEnvelope, header), x.cert, x.body)
}

// headerBytes returns the encoded header with its hashes filled.
func (x *fixture) headerBytes(t testing.TB) []byte {
	return append([]byte(nil), x.sign(t).HeaderBytes...)
}
