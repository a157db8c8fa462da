package upsycle

import (
	"time"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// A Group is a handle on a group: its address and, for who may publish, the key
// that signs. Make one with GroupKey, WriterOf or ReadGroup. Handles are values
// and may be used by any number of goroutines and Conns.
type Group struct {
	address identity.Address
	signer  identity.Key
	cert    *envelope.Certificate
}

// GroupKey returns the handle of who holds the group's own key. It publishes
// without a certificate, and can issue certificates to others: see IssueWriter.
func GroupKey(key identity.Key) Group { return Group{address: key.Address(), signer: key} }

// ReadGroup returns a handle that only reads.
func ReadGroup(address identity.Address) Group { return Group{address: address} }

// WriterOf returns the handle of a writer: a key with a certificate that the
// group's key has signed (see IssueWriter). It refuses a certificate that is for
// another group or key, that has ended, or that the group did not sign: every
// router would refuse its messages.
func WriterOf(group identity.Address, writer identity.Key, certificate []byte) (Group, error) {
	c, err := parseCertificate(certificate)
	if err != nil {
		return Group{}, err
	}
	switch {
	case c.Group != group:
		return Group{}, &plainError{"the certificate is for another group", "ask that group's owner for a certificate"}
	case c.Writer != writer.Address():
		return Group{}, &plainError{"the certificate is for another writer's key", "use the key that the certificate names"}
	case !c.Claim().Holds():
		return Group{}, &plainError{"the certificate is not signed by the group", "ask the group's owner for a new certificate"}
	case uint64(time.Now().UnixMilli()) > c.NotAfter:
		return Group{}, &plainError{"the certificate has ended", "ask the group's owner for a new certificate"}
	}
	return Group{address: group, signer: writer, cert: c}, nil
}

// IssueWriter makes a certificate: the holder of the group's key lets writer
// publish stored and live messages until notAfter, at most 400 days from now. The
// result is what WriterOf takes; it is no secret. It is valid from five minutes
// ago, so that a writer whose clock is a little behind can use it at once.
func IssueWriter(group identity.Key, writer identity.Address, notAfter time.Time) ([]byte, error) {
	from := time.Now().Add(-5 * time.Minute).UnixMilli()
	until := notAfter.UnixMilli()
	if until <= from || until-from > envelope.CertLifeMax {
		return nil, &plainError{"a certificate's end lies in the past or more than 400 days ahead", "choose a time within the next 400 days"}
	}
	c := envelope.IssueCertificate(group, writer, uint64(from), uint64(until), envelope.MayStore|envelope.MayLive)
	return c.Signed.AppendTo(nil), nil
}

// Address returns the group's address, which Subscribe takes.
func (g Group) Address() identity.Address { return g.address }

// Writer returns the address that the group's readers see as From of what this
// handle publishes; zero for a handle that only reads.
func (g Group) Writer() identity.Address { return g.signer.Address() }

// CanPublish reports whether the handle has a key to sign with.
func (g Group) CanPublish() bool { return !g.signer.IsZero() }

func parseCertificate(b []byte) (*envelope.Certificate, error) {
	r := cbor.NewReader(b)
	signed := envelope.ReadSigned(&r, envelope.CertMax)
	if err := r.End(); err != nil {
		return nil, &plainError{"this is not a writer's certificate", "a certificate is the bytes that IssueWriter returned"}
	}
	return envelope.ParseCertificate(signed, nil)
}
