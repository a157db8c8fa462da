package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// GrantLifeMax is the longest life of a grant in milliseconds: 8 days.
const GrantLifeMax = 8 * 24 * 3600 * 1000

// grantMax bounds the body in bytes: version 1 needs 79.
const grantMax = 128

// A Grant says that a router may receive for an address (spec §6.2). The address
// signs it.
//
// Whoever makes one fills the fields, calls Encode and then sets Signed.Sig. One
// that was parsed is never changed. Its life is held against GrantLifeMax by
// whoever accepts it, since that takes a clock.
type Grant struct {
	Signed   envelope.Signed  // what the address signs under LabelGrant
	Address  identity.Address // who signs, and for whom mail may be received
	Router   identity.Address // who may receive it
	NotAfter uint64           // Unix milliseconds
}

// Encode fills Signed.Body from the other fields; the signature is the caller's.
func (g *Grant) Encode() {
	b := cbor.AppendUint(cbor.AppendArray(nil, 4), documentVersion)
	g.Signed.Body = cbor.AppendUint(appendKey(appendKey(b, g.Address), g.Router), g.NotAfter)
}

// Claim returns what must hold for the grant to be the address's word.
func (g *Grant) Claim() identity.Claim {
	return identity.Claim{Key: g.Address, Label: identity.LabelGrant, Body: g.Signed.Body, Sig: g.Signed.Sig}
}

func (g *Grant) String() string {
	if g == nil {
		return "no grant"
	}
	return fmt.Sprintf("grant{%v to %v}", g.Address, g.Router)
}

// ParseGrant reads the signed document s. It checks the form, not the signature.
func ParseGrant(s envelope.Signed, keys identity.KeyChecker) (*Grant, error) {
	d := document(s, keys, 4)
	g := &Grant{Signed: s, Address: d.key(), Router: d.key(), NotAfter: d.Uint(envelope.TimeMax)}
	if err := d.End(); err != nil {
		return nil, err
	}
	return g, nil
}

func appendGrant(b []byte, g *Grant) []byte {
	if g == nil {
		return cbor.AppendNull(b)
	}
	return g.Signed.AppendTo(b)
}

func (d *decoder) grant() *Grant {
	if d.Null() {
		return nil
	}
	s := envelope.ReadSigned(&d.Reader, grantMax)
	if d.Err() != nil {
		return nil
	}
	g, err := ParseGrant(s, d.keys)
	if err != nil {
		d.Fail("grant: %w", err)
	}
	return g
}
