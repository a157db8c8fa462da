package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Prefix is the first half of an envelope id: a hint, never a proof (spec §11.1).
// Tables of what was seen or acknowledged use whole ids.
type Prefix [16]byte

// PrefixOf returns the prefix of an id.
func PrefixOf(id envelope.ID) (p Prefix) {
	copy(p[:], id[:])
	return p
}

// PullMax is how many ids one Pull or NoHave names.
const PullMax = 256

// Offer names envelopes that its sender has, or knows who has (spec §11.1).
type Offer struct {
	Root   identity.Address // the tree
	Target envelope.Target
	Deep   bool     // pass on even what you have: those behind may not
	OID    [8]byte  // names the offer, so that it is passed on once
	IDs    []Prefix // 1 to EntriesMax
}

// Type returns TypeOffer.
func (f *Offer) Type() Type { return TypeOffer }

// AppendTo appends the encoded frame.
func (f *Offer) AppendTo(b []byte) []byte {
	b = appendTarget(appendKey(begin(b, TypeOffer, 6), f.Root), f.Target)
	b = cbor.AppendBytes(cbor.AppendBool(b, f.Deep), f.OID[:])
	return appendPrefixes(b, f.IDs)
}

// Weight returns an upper bound of the encoded length.
func (f *Offer) Weight() int { return 96 + 17*len(f.IDs) }

func (f *Offer) String() string {
	return fmt.Sprintf("offer{root %v %v %d ids}", f.Root, f.Target, len(f.IDs))
}

func (d *decoder) offer() Frame {
	d.fields(6)
	return &Offer{Root: d.key(), Target: d.target(), Deep: d.Bool(), OID: d.eight(), IDs: d.prefixes(EntriesMax)}
}

// Pull asks for envelopes that were offered (spec §11.2).
type Pull struct {
	Hops uint64   // what is left of its way, at most HopsMax
	IDs  []Prefix // 1 to PullMax
}

// Type returns TypePull.
func (f *Pull) Type() Type { return TypePull }

// AppendTo appends the encoded frame.
func (f *Pull) AppendTo(b []byte) []byte {
	return appendPrefixes(cbor.AppendUint(begin(b, TypePull, 2), f.Hops), f.IDs)
}

// Weight returns an upper bound of the encoded length.
func (f *Pull) Weight() int { return 16 + 17*len(f.IDs) }

func (f *Pull) String() string { return fmt.Sprintf("pull{%d ids}", len(f.IDs)) }

func (d *decoder) pull() Frame {
	d.fields(2)
	return &Pull{Hops: d.Uint(HopsMax), IDs: d.prefixes(PullMax)}
}

// Pulled answers a Pull with one envelope (spec §11.2). It is taken only for an id
// that was asked of that neighbour, and checked like any other.
type Pulled struct {
	Stamp    Stamp
	Envelope *envelope.Envelope
}

// Type returns TypePulled.
func (f *Pulled) Type() Type { return TypePulled }

// AppendTo appends the encoded frame, the envelope as it was received.
func (f *Pulled) AppendTo(b []byte) []byte {
	return append(f.Stamp.appendTo(begin(b, TypePulled, 2)), f.Envelope.Raw...)
}

// Weight returns an upper bound of the encoded length.
func (f *Pulled) Weight() int { return len(f.Envelope.Raw) + 64 }

func (f *Pulled) String() string { return fmt.Sprintf("pulled{%v}", f.Envelope.ID) }

func (d *decoder) pulled() Frame {
	d.fields(2)
	return &Pulled{Stamp: d.stamp(), Envelope: envelope.Read(&d.Reader, d.keys)}
}

// NoHave answers a Pull for what its sender cannot get (spec §11.2); the asker
// tries another provider.
type NoHave struct{ IDs []Prefix }

// Type returns TypeNoHave.
func (f *NoHave) Type() Type { return TypeNoHave }

// AppendTo appends the encoded frame.
func (f *NoHave) AppendTo(b []byte) []byte { return appendPrefixes(begin(b, TypeNoHave, 1), f.IDs) }

// Weight returns an upper bound of the encoded length.
func (f *NoHave) Weight() int { return 16 + 17*len(f.IDs) }

func (f *NoHave) String() string { return fmt.Sprintf("nohave{%d ids}", len(f.IDs)) }

func (d *decoder) nohave() Frame {
	d.fields(1)
	return &NoHave{d.prefixes(PullMax)}
}

func appendPrefixes(b []byte, ids []Prefix) []byte {
	b = cbor.AppendArray(b, len(ids))
	for i := range ids {
		b = cbor.AppendBytes(b, ids[i][:])
	}
	return b
}

func (d *decoder) prefixes(max int) []Prefix {
	n := d.Array(1, max)
	list := make([]Prefix, n)
	for i := range list {
		copy(list[i][:], d.Bytes(16, 16))
	}
	return list
}
