package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"upsycle/identity"
	"upsycle/internal/cbor"
)

func wantFault(t *testing.T, caption string, f *Fault, want FaultKind) {
	t.Helper()
	switch {
	case want == 0 && f != nil:
		t.Errorf("%s: fault %d, %v; want none", caption, f.Kind, f)
	case want != 0 && f == nil:
		t.Errorf("%s: no fault, want %d", caption, want)
	case want != 0 && f.Kind != want:
		t.Errorf("%s: fault %d, %v; want %d", caption, f.Kind, f, want)
	case want != 0 && f.Error() == "":
		t.Errorf("%s: a fault without a sentence", caption)
	}
}

// spec §4.4: what is good.
func TestCheckAccepts(t *testing.T) {
	for _, c := range []struct {
		caption string
		x       *fixture
	}{
		{"by a writer with a certificate", newFixture(t)},
		{"by the group itself", newFixture(t).own()},
		{"to an address", newFixture(t).mail(t)},
	} {
		e := c.x.sign(t)
		got, f := Check(e.Raw, nil)
		wantFault(t, c.caption, f, 0)
		if got == nil {
			continue
		}
		if got.ID != e.ID || got.From != c.x.writer.Address() || got.Target != c.x.header.Target || !bytes.Equal(got.Body, c.x.body) {
			t.Errorf("%s: checked into something else: %+v", c.caption, got)
		}
		if again := Assemble(got.HeaderBytes, got.Sig, got.Cert, got.Body); !bytes.Equal(again, e.Raw) {
			t.Errorf("%s: assembled again into other bytes", c.caption)
		}
		if (got.Cert != nil) != (c.x.cert != nil) || got.HasCert != (c.x.cert != nil) {
			t.Errorf("%s: certificate %v", c.caption, got.Cert)
		}
		if got.Fits() != nil {
			t.Errorf("%s: does not fit: %v", c.caption, got.Fits())
		}
	}
}

// spec §4.2: the limits of a header, each ±1.
func TestHeaderLimits(t *testing.T) {
	for _, c := range []struct {
		caption string
		change  func(*Header)
		ok      bool
	}{
		{"count 0", func(h *Header) { h.Count = 0 }, false},
		{"count 1", func(h *Header) { h.Count = 1 }, true},
		{"count 1024", func(h *Header) { h.Count = 1024 }, true},
		{"count 1025", func(h *Header) { h.Count = 1025 }, false},
		{"ttl 0", func(h *Header) { h.TTL = 0 }, false},
		{"ttl 1", func(h *Header) { h.TTL = 1 }, true},
		{"ttl 30 days", func(h *Header) { h.TTL = 2_592_000 }, true},
		{"ttl 30 days and a second", func(h *Header) { h.TTL = 2_592_001 }, false},
		{"time 2^48-1", func(h *Header) { h.Time = 1<<48 - 1 }, true},
		{"time 2^48", func(h *Header) { h.Time = 1 << 48 }, false},
		{"last number 2^63-1", func(h *Header) { h.First = 1<<63 - 2 }, true},
		{"last number 2^63", func(h *Header) { h.First = 1<<63 - 1 }, false},
		{"first 2^63", func(h *Header) { h.First = 1 << 63 }, false},
		{"first and count pass 2^63 together", func(h *Header) { h.First, h.Count = 1<<63-1024, 1024 }, false},
		{"first and count reach 2^63-1 together", func(h *Header) { h.First, h.Count = 1<<63-1025, 1024 }, true},
		{"all known flags", func(h *Header) { h.Flags = Live | Receipt | Plain | Control }, true},
	} {
		x := newFixture(t).own()
		c.change(&x.header)
		e, err := Sign(x.header, nil, x.body, x.writer)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.caption, err, c.ok)
		}
		if c.ok && err == nil {
			if _, f := Check(e.Raw, nil); f != nil {
				t.Errorf("%s: signed, but refused: %v", c.caption, f)
			}
		}
	}
}

// spec §4.4: whatever a newer program may have made is no fault of its bearer.
func TestCheckNewer(t *testing.T) {
	x := newFixture(t).own()
	good := x.headerBytes(t)
	flags := bytes.LastIndex(good, []byte{byte(Plain), 0x58, 0x20})
	for _, c := range []struct {
		caption string
		at      int
		to      byte
	}{
		{"version 0", 1, 0},
		{"version 2", 1, 2},
		{"version 23", 1, 23},
		{"kind 2", 2, 2},
		{"flag bit 4", flags, 16},
	} {
		header := append([]byte(nil), good...)
		header[c.at] = c.to
		raw := x.raw(header)
		_, f := Check(raw, nil)
		wantFault(t, c.caption, f, Newer)
		e, err := Parse(raw, nil)
		if err != nil || e.Newer == nil || e.ID != ID(identity.HashOf(identity.LabelID, header)) || !bytes.Equal(e.Raw, raw) {
			t.Errorf("%s: parsed into %+v, %v; want its id and bytes", c.caption, e, err)
		}
	}
	// A header of another version may have any fields.
	header := cbor.AppendText(cbor.AppendUint(cbor.AppendArray(nil, 2), 7), "anything")
	_, f := Check(x.raw(header), nil)
	wantFault(t, "another version with other fields", f, Newer)
}

// spec §4.4: shapes that no honest router passes on.
func TestCheckMalformed(t *testing.T) {
	good := newFixture(t).sign(t)
	own := newFixture(t).own()
	bare := own.headerBytes(t)
	change := func(b []byte, at int, to byte) []byte {
		b = append([]byte(nil), b...)
		b[at] = to
		return b
	}
	small := append([]byte{1}, make([]byte, 31)...) // the identity: order 1
	huge := bytes.Repeat([]byte{0xff}, 32)          // y ≥ p
	swap := func(at int, key []byte) []byte {
		b := append([]byte(nil), bare...)
		copy(b[at:], key)
		return own.raw(b)
	}
	for _, c := range []struct {
		caption string
		in      []byte
		want    FaultKind
	}{
		{"nothing", nil, Malformed},
		{"an array of three", append([]byte{0x83}, good.Raw[1:]...), Malformed},
		{"an array of five", append(append([]byte{0x85}, good.Raw[1:]...), 0xf6), Malformed},
		{"a byte after it", append(append([]byte(nil), good.Raw...), 0), Malformed},
		{"cut off", good.Raw[:len(good.Raw)-1], Malformed},
		{"an empty header", own.raw([]byte{}), Malformed},
		{"a header of eleven fields", own.raw(append(change(bare, 0, 0x8b)[:len(bare)-1:len(bare)-1], nil...)), Malformed},
		{"a header with a byte after it", own.raw(append(append([]byte(nil), bare...), 0)), Malformed},
		{"a header with the version in two bytes", own.raw(append([]byte{bare[0], 0x18, 1}, bare[2:]...)), Malformed},
		{"a group of small order", swap(5, small), Malformed},
		{"a group that is not canonical", swap(5, huge), Malformed},
		{"a writer of small order", swap(39, small), Malformed},
		{"a writer that is not canonical", swap(39, huge), Malformed},
		{"a writer without a certificate", func() []byte {
			x := newFixture(t)
			x.cert = nil
			h := x.header
			h.From = x.writer.Address()
			h.BodyHash = sha256.Sum256(x.body)
			return x.raw(h.AppendTo(nil))
		}(), Malformed},
		{"a certificate in the wrapper only", Assemble(own.sign(t).HeaderBytes, own.sign(t).Sig, good.Cert, own.body), Malformed},
		{"a certificate in the header only", Assemble(good.HeaderBytes, good.Sig, nil, good.Body), Malformed},
		{"mail with a certificate", func() []byte {
			x := newFixture(t).mail(t)
			x.cert = good.Cert
			h := x.header
			h.From, h.HasCert, h.CertHash, h.BodyHash = x.writer.Address(), true, x.cert.hash(), sha256.Sum256(x.body)
			return x.raw(h.AppendTo(nil))
		}(), Malformed},
		{"an empty body", Assemble(bare, own.sign(t).Sig, nil, nil), Malformed},
	} {
		_, f := Check(c.in, nil)
		wantFault(t, c.caption, f, c.want)
	}
}

// spec §4.2: sizes ±1. A claim suffices to be told that it is too much.
func TestCheckTooLarge(t *testing.T) {
	x := newFixture(t).own()
	x.body = make([]byte, BodyMax)
	wantFault(t, "a body of 1 MiB", second(Check(x.sign(t).Raw, nil)), 0)
	header, sig := x.headerBytes(t), x.sign(t).Sig
	wantFault(t, "a body of 1 MiB and a byte", second(Check(Assemble(header, sig, nil, make([]byte, BodyMax+1)), nil)), TooLarge)
	for _, c := range []struct {
		caption string
		in      []byte
		want    FaultKind
	}{
		{"a header of 512 bytes", x.raw(make([]byte, HeaderMax)), Malformed},
		{"a header of 513 bytes", x.raw(make([]byte, HeaderMax+1)), TooLarge},
		{"a header that claims 4 GiB", unhex(t, "84 5b0000000100000000"), TooLarge},
		{"a body that claims 4 GiB", append(Assemble(header, sig, nil, nil)[:len(header)+70], unhex(t, "5b0000000100000000")...), TooLarge},
		{"a certificate of 256 bytes", withCert(header, sig, CertMax), Malformed},
		{"a certificate of 257 bytes", withCert(header, sig, CertMax+1), TooLarge},
	} {
		_, f := Check(c.in, nil)
		wantFault(t, c.caption, f, c.want)
		if _, err := Parse(c.in, nil); IsTooLarge(err) != (c.want == TooLarge) {
			t.Errorf("%s: IsTooLarge says %v of %v", c.caption, IsTooLarge(err), err)
		}
	}
	_, err := ParseCertificate(Signed{Body: make([]byte, CertMax+1)}, nil)
	if !IsTooLarge(err) {
		t.Errorf("ParseCertificate of 257 bytes: %v", err)
	}
}

func second(_ *Envelope, f *Fault) *Fault { return f }

func withCert(header []byte, sig identity.Signature, size int) []byte {
	return Assemble(header, sig, &Certificate{Signed: Signed{Body: make([]byte, size)}}, []byte{0x80})
}

// spec §4.4: hashes and signatures.
func TestCheckSignatures(t *testing.T) {
	e := newFixture(t).sign(t)
	other := newFixture(t)
	other.body = PlainBody([][]byte{[]byte("other")})
	o := other.sign(t)
	foreign := *e.Cert
	foreign.Signed.Sig = other.writer.Sign(identity.LabelWriter, e.Cert.Signed.Body)
	mislabelled := other.writer.Sign(identity.LabelGrant, e.HeaderBytes)
	for _, c := range []struct {
		caption string
		in      []byte
		want    FaultKind
	}{
		{"another envelope's signature", Assemble(e.HeaderBytes, o.Sig, e.Cert, e.Body), BadSignature},
		{"another envelope's body", Assemble(e.HeaderBytes, e.Sig, e.Cert, o.Body), BadSignature},
		{"the right bytes under another label", Assemble(e.HeaderBytes, mislabelled, e.Cert, e.Body), BadSignature},
		{"signed by the group instead of the writer", Assemble(e.HeaderBytes, other.group.Sign(identity.LabelEnvelope, e.HeaderBytes), e.Cert, e.Body), BadSignature},
		{"a certificate that the writer signed", Assemble(e.HeaderBytes, e.Sig, &foreign, e.Body), NotAWriter},
	} {
		_, f := Check(c.in, nil)
		wantFault(t, c.caption, f, c.want)
	}
}

// spec §4.4, security property: one flipped bit anywhere is refused, or is
// another version's; it is never accepted.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	for _, x := range []*fixture{newFixture(t), newFixture(t).own(), newFixture(t).mail(t)} {
		raw := x.sign(t).Raw
		for i := range raw {
			for bit := range 8 {
				raw := append([]byte(nil), raw...)
				raw[i] ^= 1 << bit
				if _, f := Check(raw, nil); f == nil {
					t.Errorf("accepted with bit %d of byte %d flipped", bit, i)
				}
			}
		}
	}
}

// spec §2.2: the id does not depend on the signature, and on all else.
func TestID(t *testing.T) {
	e := newFixture(t).sign(t)
	again, err := Parse(Assemble(e.HeaderBytes, identity.Signature{1}, e.Cert, e.Body), nil)
	if err != nil || again.ID != e.ID {
		t.Errorf("another signature gave another id: %v %v", again, err)
	}
	x := newFixture(t)
	x.header.First = 1
	if x.sign(t).ID == e.ID {
		t.Error("another number gave the same id")
	}
	if got := e.ID.String(); got != hex.EncodeToString(e.ID[:4]) {
		t.Errorf("the id prints as %s", got)
	}
}

func TestSignRefusesWhatItCouldNotRead(t *testing.T) {
	x := newFixture(t)
	x.cert = nil
	if _, err := Sign(x.header, nil, x.body, x.writer); err == nil {
		t.Error("signed a writer's message without a certificate")
	}
	x.body = nil
	if _, err := Sign(x.own().header, nil, nil, x.group); err == nil {
		t.Error("signed an empty body")
	}
}

func TestClaims(t *testing.T) {
	e := newFixture(t).sign(t)
	for _, c := range []struct {
		caption string
		claim   identity.Claim
	}{{"body", e.BodyClaim()}, {"signature", e.SigClaim()}, {"certificate", e.Cert.Claim()}} {
		if !c.claim.Holds() {
			t.Errorf("the claim of the %s does not hold", c.caption)
		}
		c.claim.Body = append(append([]byte(nil), c.claim.Body...), 0)
		if c.claim.Holds() {
			t.Errorf("the claim of the %s holds with a byte more", c.caption)
		}
	}
}

// Reading an envelope out of a longer input stops where it ends.
func TestReadStopsAtTheEnd(t *testing.T) {
	e := newFixture(t).sign(t)
	r := cbor.NewReader(append(append([]byte{0x82}, e.Raw...), 7))
	r.Array(2, 2)
	got := Read(&r, nil)
	if n := r.Uint(9); got == nil || n != 7 || !bytes.Equal(got.Raw, e.Raw) {
		t.Fatalf("read %v, then %d: %v", got, n, r.Err())
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
}

// A checker of keys is asked for every key and can refuse.
type refusing struct{ asked *int }

func (c refusing) Address(b []byte) (identity.Address, error) {
	*c.asked++
	return identity.Address{}, identity.ErrBadKey
}

func TestKeyCheckerIsAsked(t *testing.T) {
	asked := 0
	_, f := Check(newFixture(t).sign(t).Raw, refusing{&asked})
	wantFault(t, "a checker that refuses", f, Malformed)
	if asked != 1 {
		t.Errorf("asked %d times, want once: the first refusal ends it", asked)
	}
}

func FuzzCheck(f *testing.F) {
	x := newFixture(f)
	for _, x := range []*fixture{x, newFixture(f).own(), newFixture(f).mail(f)} {
		raw := x.sign(f).Raw
		f.Add(raw)
		f.Add(raw[:len(raw)/2])
	}
	good := x.sign(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		e, fault := Check(in, nil)
		e2, fault2 := Check(in, nil)
		if (fault == nil) != (fault2 == nil) || fault != nil && *fault != *fault2 {
			t.Fatalf("two verdicts: %v and %v", fault, fault2)
		}
		if fault != nil {
			if e != nil || fault.Kind < Malformed || fault.Kind > CertTime {
				t.Fatalf("fault %d with envelope %v", fault.Kind, e)
			}
			return
		}
		if e.ID != e2.ID || !bytes.Equal(Assemble(e.HeaderBytes, e.Sig, e.Cert, e.Body), in) {
			t.Fatalf("%x is assembled again into other bytes", in)
		}
		if h := e.Header.AppendTo(nil); !bytes.Equal(h, e.HeaderBytes) {
			t.Fatalf("header %x is encoded again as %x", e.HeaderBytes, h)
		}
		if e.ID == good.ID && !bytes.Equal(in, good.Raw) && e.Sig == good.Sig && e.Cert.Signed.Sig == good.Cert.Signed.Sig {
			t.Fatal("a mutant has the id of the original")
		}
	})
}
