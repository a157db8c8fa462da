package envelope

import (
	"crypto/sha256"
	"errors"

	"upsycle/identity"
	"upsycle/internal/cbor"
)

// SizeMax is the largest encoded envelope in bytes.
const SizeMax = HeaderMax + CertMax + BodyMax + 256

// An Envelope is one signed message of 1 to 1,024 items, with the bytes as they
// came: routers forward Raw and never encode again. Its slices point into Raw.
// After Read or Sign it is never changed, so it may be shared freely.
type Envelope struct {
	Header
	ID          ID
	Raw         []byte
	HeaderBytes []byte
	Sig         identity.Signature
	Cert        *Certificate // nil where the header names none
	Body        []byte

	// Newer is set for an envelope that a later version of the protocol may
	// have made. It was not understood: only ID and Raw are meaningful.
	Newer *Fault
}

// Read reads one envelope from r (steps 1 and 2 of spec §4.4). It returns nil
// and stops the reader if the form is wrong. Use Faulted to learn whether a size
// was to blame.
func Read(r *cbor.Reader, keys identity.KeyChecker) *Envelope {
	start := r.Offset()
	e := &Envelope{}
	r.Array(4, 4)
	e.HeaderBytes = sized(r, HeaderMax, "header")
	copy(e.Sig[:], r.Bytes(64, 64))
	var cert Signed
	hasCert := !r.Null()
	if hasCert {
		cert = ReadSigned(r, CertMax)
	}
	e.Body = sized(r, BodyMax, "body")
	if r.Err() != nil {
		return nil
	}
	e.Raw = r.Since(start)
	e.ID = ID(identity.HashOf(identity.LabelID, e.HeaderBytes))
	if err := e.parse(hasCert, cert, keys); err != nil {
		r.Fail("envelope: %w", err)
		return nil
	}
	return e
}

// Parse reads an envelope that fills b.
func Parse(b []byte, keys identity.KeyChecker) (*Envelope, error) {
	r := cbor.NewReader(b)
	e := Read(&r, keys)
	if err := r.End(); err != nil {
		return nil, err
	}
	return e, nil
}

// sized reads a byte string of 1 to max bytes. A longer one is too large whether
// its bytes are there or not: nobody needs to send a megabyte to be told so.
func sized(r *cbor.Reader, max int, what string) []byte {
	if n := r.Claim(); n > uint64(max) {
		r.Fail("%s of %d bytes, at most %d: %w", what, n, max, errTooLarge)
	}
	return r.Bytes(1, max)
}

var errTooLarge = errors.New("too large")

func (e *Envelope) parse(hasCert bool, cert Signed, keys identity.KeyChecker) error {
	h, newer, err := parseHeader(e.HeaderBytes, keys)
	if err != nil {
		return err
	}
	if e.Header = h; newer != nil {
		e.Newer = newer
		return nil
	}
	wants := h.Target.Kind == Group && h.From != h.Target.To
	if h.HasCert != wants || hasCert != wants {
		return errors.New("a certificate is there exactly when a group message is not signed by the group key")
	}
	if !hasCert {
		return nil
	}
	e.Cert, err = ParseCertificate(cert, keys)
	var f *Fault
	if errors.As(err, &f) && f.Kind == Newer {
		e.Newer = f
		return nil
	}
	return err
}

// Fits holds the certificate against the header (step 6 without the signature).
func (e *Envelope) Fits() *Fault {
	if e.Newer != nil {
		return e.Newer
	}
	if e.Cert == nil {
		return nil
	}
	return e.Cert.covers(&e.Header)
}

// BodyClaim is what must hold of the body (step 8).
func (e *Envelope) BodyClaim() identity.Claim {
	return identity.Claim{Body: e.Body, Hash: e.BodyHash}
}

// SigClaim is what must hold of the signature (step 8).
func (e *Envelope) SigClaim() identity.Claim {
	return identity.Claim{Key: e.From, Label: identity.LabelEnvelope, Body: e.HeaderBytes, Sig: e.Sig}
}

// Check is the pure part of the one order of checks (spec §4.4): parse,
// certificate, body, signature; no clock, no store, no policy. It returns the
// first fault that every honest router would see.
func Check(b []byte, keys identity.KeyChecker) (*Envelope, *Fault) {
	e, err := Parse(b, keys)
	if err != nil {
		return nil, faultOf(err)
	}
	if f := e.Fits(); f != nil {
		return nil, f
	}
	switch {
	case e.Cert != nil && !e.Cert.Claim().Holds():
		return nil, faultf(NotAWriter, "the certificate is not signed by the group")
	case !e.BodyClaim().Holds():
		return nil, faultf(BadSignature, "the body is not the one that was signed")
	case !e.SigClaim().Holds():
		return nil, faultf(BadSignature, "the signature does not hold")
	}
	return e, nil
}

func faultOf(err error) *Fault {
	var f *Fault
	switch {
	case errors.As(err, &f):
		return f
	case IsTooLarge(err):
		return faultf(TooLarge, "%v", err)
	}
	return faultf(Malformed, "%v", err)
}

// Sign makes the envelope of body under h; it fills the two hashes and signs
// with key, which must be h.From's. cert is nil where from = to or the kind is
// Address. It keeps body. Errors are the caller's: a header out of range.
func Sign(h Header, cert *Certificate, body []byte, key identity.Key) (*Envelope, error) {
	h.From = key.Address()
	h.BodyHash = sha256.Sum256(body)
	if h.HasCert = cert != nil; h.HasCert {
		h.CertHash = cert.hash()
	}
	header := h.AppendTo(make([]byte, 0, HeaderMax))
	sig := key.Sign(identity.LabelEnvelope, header)
	return Parse(Assemble(header, sig, cert, body), nil)
}

// Assemble encodes an envelope from its parts, true or not.
func Assemble(header []byte, sig identity.Signature, cert *Certificate, body []byte) []byte {
	b := make([]byte, 0, len(header)+len(body)+CertMax+256)
	b = cbor.AppendBytes(cbor.AppendArray(b, 4), header)
	b = cbor.AppendBytes(b, sig[:])
	if cert == nil {
		b = cbor.AppendNull(b)
	} else {
		b = cert.Signed.AppendTo(b)
	}
	return cbor.AppendBytes(b, body)
}
