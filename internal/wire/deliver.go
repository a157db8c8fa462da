package wire

import (
	"fmt"

	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Deliver brings an envelope to a client (spec §5.4). N is its number in the
// mailbox, strictly rising; 0 for live envelopes and subscriptions while linked.
type Deliver struct {
	N        uint64
	Envelope *envelope.Envelope
}

// Type returns TypeDeliver.
func (f *Deliver) Type() Type { return TypeDeliver }

// AppendTo appends the encoded frame, the envelope as it was received.
func (f *Deliver) AppendTo(b []byte) []byte {
	return append(cbor.AppendUint(begin(b, TypeDeliver, 2), f.N), f.Envelope.Raw...)
}

// Weight returns an upper bound of the encoded length.
func (f *Deliver) Weight() int { return len(f.Envelope.Raw) + 16 }

func (f *Deliver) String() string { return fmt.Sprintf("deliver{%d %v}", f.N, f.Envelope.ID) }

func (d *decoder) deliver() Frame {
	d.fields(2)
	return &Deliver{N: d.Uint(anyUint), Envelope: envelope.Read(&d.Reader, d.keys)}
}

// Range is a run of mailbox numbers, both ends included.
type Range struct{ First, Last uint64 }

// RangesMax is how many ranges one Delivered names.
const RangesMax = 32

// Delivered acknowledges all numbers up to N, and the ranges above it (spec §5.4):
// one slow subscription or one hole holds up no other. A client sends it after its
// own durable write, or after the application's acknowledgement.
type Delivered struct {
	N    uint64
	Also []Range // at most RangesMax, rising, with a number between any two
}

// Type returns TypeDelivered.
func (f *Delivered) Type() Type { return TypeDelivered }

// AppendTo appends the encoded frame.
func (f *Delivered) AppendTo(b []byte) []byte {
	b = cbor.AppendUint(begin(b, TypeDelivered, 2), f.N)
	b = cbor.AppendArray(b, len(f.Also))
	for _, r := range f.Also {
		b = cbor.AppendUint(cbor.AppendUint(cbor.AppendArray(b, 2), r.First), r.Last)
	}
	return b
}

// Weight returns an upper bound of the encoded length.
func (f *Delivered) Weight() int { return 24 + 19*len(f.Also) }

func (f *Delivered) String() string { return fmt.Sprintf("delivered{%d also %v}", f.N, f.Also) }

// delivered wants ranges above n, ascending and apart, so that each set of
// numbers has one form.
func (d *decoder) delivered() Frame {
	d.fields(2)
	f := &Delivered{N: d.Uint(anyUint)}
	last := f.N
	for n := d.Array(0, RangesMax); n > 0 && d.Err() == nil; n-- {
		d.Array(2, 2)
		r := Range{d.Uint(anyUint), d.Uint(anyUint)}
		if r.First <= last || r.First-last < 2 || r.Last < r.First {
			d.Fail("ranges must rise and lie apart")
		}
		f.Also, last = append(f.Also, r), r.Last
	}
	return f
}
