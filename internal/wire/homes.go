package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// homesMax bounds the body in bytes: 12 keys and the rest need less than half.
const homesMax = 1024

// Homes is a client's signed word about where its mailboxes are (spec §6.1).
//
// Whoever makes one fills the fields, calls Encode and then sets Signed.Sig. One
// that was parsed is never changed.
type Homes struct {
	Signed envelope.Signed    // what the client signs under LabelHomes
	Client identity.Address   // who signs
	Epoch  uint64             // rises at every change; at least Unix milliseconds
	Homes  []identity.Address // at most 4
	Former []identity.Address // at most 8: whom a new home must claim from
}

// Encode fills Signed.Body from the other fields; the signature is the caller's.
func (h *Homes) Encode() {
	b := cbor.AppendUint(cbor.AppendArray(nil, 5), documentVersion)
	b = cbor.AppendUint(appendKey(b, h.Client), h.Epoch)
	h.Signed.Body = appendKeys(appendKeys(b, h.Homes), h.Former)
}

// Claim returns what must hold for the document to be the client's word.
func (h *Homes) Claim() identity.Claim {
	return identity.Claim{Key: h.Client, Label: identity.LabelHomes, Body: h.Signed.Body, Sig: h.Signed.Sig}
}

// Names reports whether router is among the homes.
func (h *Homes) Names(router identity.Address) bool {
	for _, home := range h.Homes {
		if home == router {
			return true
		}
	}
	return false
}

// ParseHomes reads the signed document s. It checks the form, not the signature.
func ParseHomes(s envelope.Signed, keys identity.KeyChecker) (*Homes, error) {
	d := document(s, keys, 5)
	h := &Homes{Signed: s, Client: d.key(), Epoch: d.Uint(anyUint), Homes: d.keyList(4), Former: d.keyList(8)}
	if err := d.End(); err != nil {
		return nil, err
	}
	return h, nil
}

func (d *decoder) homes(s envelope.Signed) *Homes {
	if d.Err() != nil {
		return nil
	}
	h, err := ParseHomes(s, d.keys)
	if err != nil {
		d.Fail("homes: %w", err)
	}
	return h
}

const documentVersion = 1

// document begins to read a signed document of n fields, the version first. Of
// another version nothing else is read, not even how many fields it has: its
// maker is newer, not wrong (spec §4.4).
func document(s envelope.Signed, keys identity.KeyChecker, n int) *decoder {
	d := &decoder{Reader: cbor.NewReader(s.Body), keys: keys}
	d.n = d.Array(1, 32)
	if v := d.Uint(anyUint); d.Err() == nil && v != documentVersion {
		d.Fail("%w", &envelope.Fault{
			Kind: envelope.Newer,
			Text: fmt.Sprintf("document version %d, this program speaks %d", v, documentVersion),
		})
	}
	if d.Err() == nil && d.n != n {
		d.Fail("a document of %d fields, want %d", d.n, n)
	}
	return d
}

func appendKeys(b []byte, keys []identity.Address) []byte {
	b = cbor.AppendArray(b, len(keys))
	for _, k := range keys {
		b = appendKey(b, k)
	}
	return b
}

func (d *decoder) keyList(max int) []identity.Address {
	var list []identity.Address
	for n := d.Array(0, max); n > 0 && d.Err() == nil; n-- {
		list = append(list, d.key())
	}
	return list
}
