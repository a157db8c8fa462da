package upsycle

import (
	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Forge makes a handle that WriterOf would refuse: whoever writes a client of
// their own can do that, and routers must hold against it.
func Forge(group identity.Address, signer identity.Key, certificate []byte) Group {
	g := Group{address: group, signer: signer}
	if certificate != nil {
		r := cbor.NewReader(certificate)
		cert, err := envelope.ParseCertificate(envelope.ReadSigned(&r, envelope.CertMax), nil)
		if err != nil {
			panic(err)
		}
		g.cert = cert
	}
	return g
}

// SelfIssued is a certificate for group that writer has signed itself.
func SelfIssued(group identity.Address, writer identity.Key, until uint64) []byte {
	b := cbor.AppendUint(cbor.AppendArray(nil, 6), envelope.Version)
	b = cbor.AppendBytes(b, group.Bytes())
	b = cbor.AppendBytes(b, writer.Address().Bytes())
	b = cbor.AppendUint(cbor.AppendUint(b, until-3600_000), until)
	s := envelope.Signed{Body: cbor.AppendUint(b, 3)}
	s.Sig = writer.Sign(identity.LabelWriter, s.Body)
	return s.AppendTo(nil)
}
