package envelope

import (
	"bytes"
	"errors"
	"testing"

	"upsycle/identity"
	"upsycle/internal/cbor"
)

// spec §4.3: what a certificate must say of the message that it comes with.
func TestCertificateCovers(t *testing.T) {
	group, other, writer := testKey(t, 1), testKey(t, 7), testKey(t, 2)
	const day = 24 * 3600 * 1000
	issue := func(from, to uint64, rights Rights) *Certificate {
		return IssueCertificate(group, writer.Address(), from, to, rights)
	}
	for _, c := range []struct {
		caption string
		cert    *Certificate
		flags   Flags
		want    FaultKind
	}{
		{"it fits", issue(certFrom, certTo, MayStore), Plain, 0},
		{"the first millisecond", issue(exampleTime, certTo, MayStore), Plain, 0},
		{"a millisecond before the first", issue(exampleTime+1, certTo, MayStore), Plain, CertTime},
		{"the last millisecond", issue(certFrom, exampleTime, MayStore), Plain, 0},
		{"a millisecond after the last", issue(certFrom, exampleTime-1, MayStore), Plain, CertTime},
		{"a life of 400 days", issue(certFrom, certFrom+400*day, MayStore), Plain, 0},
		{"a life of 400 days and a millisecond", issue(certFrom, certFrom+400*day+1, MayStore), Plain, CertTime},
		{"an end before its beginning", issue(exampleTime, exampleTime-1, MayStore), Plain, CertTime},
		{"stored, with the right to live only", issue(certFrom, certTo, MayLive), Plain, NotAWriter},
		{"live, with the right to live", issue(certFrom, certTo, MayLive), Plain | Live, 0},
		{"live, with the right to stored only", issue(certFrom, certTo, MayStore), Plain | Live, NotAWriter},
		{"no right", issue(certFrom, certTo, 0), Plain, NotAWriter},
		{"a right that this version does not know, besides", issue(certFrom, certTo, MayStore|1<<40), Plain, 0},
		{"for another group", IssueCertificate(other, writer.Address(), certFrom, certTo, MayStore), Plain, NotAWriter},
		{"for another writer", IssueCertificate(group, other.Address(), certFrom, certTo, MayStore), Plain, NotAWriter},
	} {
		x := newFixture(t)
		x.cert, x.header.Flags = c.cert, c.flags
		e := x.sign(t)
		_, f := Check(e.Raw, nil)
		wantFault(t, c.caption, f, c.want)
		wantFault(t, c.caption+": fits", e.Fits(), c.want)
	}
}

// spec §4.4: the header names one certificate, by the hash of its body.
func TestAnotherCertificateOfTheSameWriter(t *testing.T) {
	x := newFixture(t)
	e := x.sign(t)
	later := IssueCertificate(x.group, x.writer.Address(), certFrom, certTo+1, MayStore|MayLive)
	_, f := Check(Assemble(e.HeaderBytes, e.Sig, later, e.Body), nil)
	wantFault(t, "a later certificate", f, BadSignature)
}

func TestParseCertificate(t *testing.T) {
	c := newFixture(t).cert
	body := c.Signed.Body
	change := func(at int, to byte) []byte {
		b := append([]byte(nil), body...)
		b[at] = to
		return b
	}
	for _, tc := range []struct {
		caption string
		body    []byte
		want    FaultKind
	}{
		{"as issued", body, 0},
		{"version 2", change(1, 2), Newer},
		{"version 2 with other fields", []byte{0x81, 2}, Newer},
		{"version 0", change(1, 0), Newer},
		{"no version", []byte{0x80}, Malformed},
		{"five fields", change(0, 0x85)[:len(body)-1], Malformed},
		{"seven fields", append(change(0, 0x87), 0), Malformed},
		{"a byte after it", append(change(0, 0x86), 0), Malformed},
		{"a group of small order", append(append(append([]byte{0x86, 1, 0x58, 32}, 1), make([]byte, 31)...), body[36:]...), Malformed},
		{"a time of 2^48", cbor.AppendUint(cbor.AppendUint(cbor.AppendUint(append([]byte(nil), body[:70]...), 1<<48), certTo), 3), Malformed},
		{"empty", nil, Malformed},
	} {
		got, err := ParseCertificate(Signed{tc.body, c.Signed.Sig}, nil)
		var f *Fault
		if err != nil && !errors.As(err, &f) {
			t.Errorf("%s: the error is no fault: %v", tc.caption, err)
		}
		wantFault(t, tc.caption, f, tc.want)
		if tc.want == 0 && (got.Group != c.Group || got.Writer != c.Writer || got.NotBefore != certFrom || got.NotAfter != certTo || got.Rights != 3) {
			t.Errorf("%s: read %+v", tc.caption, got)
		}
	}
}

// A certificate that a newer program made makes the whole envelope newer.
func TestNewerCertificate(t *testing.T) {
	x := newFixture(t)
	x.cert = &Certificate{Signed: Signed{Body: []byte{0x81, 9}}}
	e, err := Sign(x.header, x.cert, x.body, x.writer)
	if err != nil || e.Newer == nil {
		t.Fatalf("%+v, %v: want a newer envelope", e, err)
	}
	wantFault(t, "newer certificate", e.Fits(), Newer)
	_, f := Check(e.Raw, nil)
	wantFault(t, "newer certificate", f, Newer)
}

// spec §2.1: a certificate is signed under its own label.
func TestCertificateClaim(t *testing.T) {
	x := newFixture(t)
	if !x.cert.Claim().Holds() {
		t.Error("a fresh certificate's claim does not hold")
	}
	c := *x.cert
	c.Signed.Sig = x.group.Sign(identity.LabelEnvelope, c.Signed.Body)
	if c.Claim().Holds() {
		t.Error("a signature under another label holds")
	}
}

func TestSignedRoundTrip(t *testing.T) {
	s := newFixture(t).cert.Signed
	b := s.AppendTo(nil)
	r := cbor.NewReader(b)
	got := ReadSigned(&r, CertMax)
	if err := r.End(); err != nil || !bytes.Equal(got.Body, s.Body) || got.Sig != s.Sig {
		t.Fatalf("read %x, %v", got.Body, err)
	}
	r = cbor.NewReader(b)
	ReadSigned(&r, len(s.Body)-1)
	if !IsTooLarge(r.Err()) {
		t.Errorf("a document above its limit: %v", r.Err())
	}
	for _, in := range []string{"80", "8140", "82 40" + "5840", "82 4101 5801", "f6"} {
		r := cbor.NewReader(unhex(t, in))
		if ReadSigned(&r, 99); r.Err() == nil {
			t.Errorf("%s was read", in)
		}
	}
}
