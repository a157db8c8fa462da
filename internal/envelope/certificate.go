package envelope

import (
	"crypto/sha256"

	"upsycle/identity"
	"upsycle/internal/cbor"
)

// Signed is a document as it travels: the bytes that are signed, and the
// signature. Both are kept and forwarded as received.
type Signed struct {
	Body []byte
	Sig  identity.Signature
}

// AppendTo appends [body, sig].
func (s *Signed) AppendTo(b []byte) []byte {
	return cbor.AppendBytes(cbor.AppendBytes(cbor.AppendArray(b, 2), s.Body), s.Sig[:])
}

// ReadSigned reads [body, sig] with a body of at most max bytes; of a longer one
// IsTooLarge says so. Body points into the reader's input.
func ReadSigned(r *cbor.Reader, max int) Signed {
	r.Array(2, 2)
	var s Signed
	s.Body = sized(r, max, "document")
	copy(s.Sig[:], r.Bytes(64, 64))
	return s
}

// Rights of a writer certificate.
type Rights uint64

// The rights of version 1.
const (
	MayStore Rights = 1 << 0 // publish stored envelopes
	MayLive  Rights = 1 << 1 // publish live envelopes
	Bearer   Rights = 1 << 2 // came with an invite link
)

// CertLifeMax is the longest life of a certificate in milliseconds: 400 days.
const CertLifeMax = 400 * 24 * 3600 * 1000

// A Certificate lets a writer publish in a group; the group key signs it.
type Certificate struct {
	Signed    Signed
	Group     identity.Address
	Writer    identity.Address
	NotBefore uint64 // Unix milliseconds
	NotAfter  uint64 // Unix milliseconds
	Rights    Rights
}

// IssueCertificate signs a certificate with the group's key.
func IssueCertificate(group identity.Key, writer identity.Address, notBefore, notAfter uint64, rights Rights) *Certificate {
	c := &Certificate{Group: group.Address(), Writer: writer, NotBefore: notBefore, NotAfter: notAfter, Rights: rights}
	c.Encode()
	c.Signed.Sig = group.Sign(identity.LabelWriter, c.Signed.Body)
	return c
}

// Encode fills Signed.Body from the other fields; the signature is the caller's.
func (c *Certificate) Encode() {
	b := cbor.AppendUint(cbor.AppendArray(nil, 6), Version)
	b = appendKey(appendKey(b, c.Group), c.Writer)
	b = cbor.AppendUint(cbor.AppendUint(b, c.NotBefore), c.NotAfter)
	c.Signed.Body = cbor.AppendUint(b, uint64(c.Rights))
}

// ParseCertificate reads the signed document s. It checks the form, not the
// signature: see Claim.
func ParseCertificate(s Signed, keys identity.KeyChecker) (*Certificate, error) {
	if len(s.Body) > CertMax {
		return nil, faultf(TooLarge, "a certificate of %d bytes, at most %d", len(s.Body), CertMax)
	}
	r := cbor.NewReader(s.Body)
	n := r.Array(1, 32)
	if version := r.Uint(1<<64 - 1); r.Err() == nil && version != Version {
		return nil, faultf(Newer, "certificate version %d, this program speaks %d", version, Version)
	}
	if r.Err() == nil && n != 6 {
		r.Fail("a certificate of %d fields, want 6", n)
	}
	c := &Certificate{Signed: s}
	c.Group = readKey(&r, keys)
	c.Writer = readKey(&r, keys)
	c.NotBefore = r.Uint(TimeMax)
	c.NotAfter = r.Uint(TimeMax)
	c.Rights = Rights(r.Uint(1<<64 - 1))
	if err := r.End(); err != nil {
		return nil, faultf(Malformed, "certificate: %v", err)
	}
	return c, nil
}

// Claim returns what must hold for the certificate to be the group's word.
func (c *Certificate) Claim() identity.Claim {
	return identity.Claim{Key: c.Group, Label: identity.LabelWriter, Body: c.Signed.Body, Sig: c.Signed.Sig}
}

// hash returns the plain SHA-256 by which a header names the certificate.
func (c *Certificate) hash() identity.Hash { return sha256.Sum256(c.Signed.Body) }

// covers says whether the certificate lets h be published, its signature apart.
// It is judged by the header's time, not by the clock, so that mail written
// offline stays valid (spec §4.3).
func (c *Certificate) covers(h *Header) *Fault {
	right := MayStore
	if h.Flags&Live != 0 {
		right = MayLive
	}
	switch {
	case c.hash() != h.CertHash:
		return faultf(BadSignature, "the header names another certificate")
	case h.Target.Kind != Group || c.Group != h.Target.To:
		return faultf(NotAWriter, "the certificate is for another group")
	case c.Writer != h.From:
		return faultf(NotAWriter, "the certificate is for another writer")
	case c.NotAfter < c.NotBefore || c.NotAfter-c.NotBefore > CertLifeMax:
		return faultf(CertTime, "the certificate lives longer than 400 days, or less than none")
	case h.Time < c.NotBefore || h.Time > c.NotAfter:
		return faultf(CertTime, "the message's time is outside of its certificate's")
	case c.Rights&right == 0:
		return faultf(NotAWriter, "the certificate gives no right to messages of this class")
	}
	return nil
}
