package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// HopsMax is how far data and pulls travel: up and down a chain of 24.
const HopsMax = 48

// Stamp is set by the ingress core (spec §10.1). It is unsigned: whoever relays
// could as well drop, so nothing that protects a message rests on it. It tells
// how fresh an envelope is in the network, whatever its publisher's clock says.
type Stamp struct {
	Ingress identity.Address // the first core that took the envelope
	Time    uint64           // when, Unix milliseconds
}

func (s Stamp) appendTo(b []byte) []byte {
	return cbor.AppendUint(appendKey(cbor.AppendArray(b, 2), s.Ingress), s.Time)
}

func (d *decoder) stamp() Stamp {
	d.Array(2, 2)
	return Stamp{Ingress: d.key(), Time: d.Uint(envelope.TimeMax)}
}

// Data pushes an envelope along the tree of Root (spec §10.1).
type Data struct {
	Root     identity.Address   // the tree
	Hops     uint64             // links crossed so far, at most HopsMax
	Stamp    Stamp              // as it came
	Envelope *envelope.Envelope // its bytes go on as they came
}

// Type returns TypeData.
func (f *Data) Type() Type { return TypeData }

// AppendTo appends the encoded frame, the envelope as it was received.
func (f *Data) AppendTo(b []byte) []byte {
	b = cbor.AppendUint(appendKey(begin(b, TypeData, 4), f.Root), f.Hops)
	return append(f.Stamp.appendTo(b), f.Envelope.Raw...)
}

// Weight returns an upper bound of the encoded length.
func (f *Data) Weight() int { return len(f.Envelope.Raw) + 96 }

func (f *Data) String() string { return fmt.Sprintf("data{root %v %v}", f.Root, f.Envelope.ID) }

func (d *decoder) data() Frame {
	d.fields(4)
	return &Data{Root: d.key(), Hops: d.Uint(HopsMax), Stamp: d.stamp(), Envelope: envelope.Read(&d.Reader, d.keys)}
}
