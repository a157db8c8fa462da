package wire

import (
	"fmt"

	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Publish gives an envelope into the home's custody (spec §5.3). The decoder has
// looked at its shape only: it may be forged, expired, or of a newer version.
type Publish struct{ Envelope *envelope.Envelope }

// Type returns TypePublish.
func (f *Publish) Type() Type { return TypePublish }

// AppendTo appends the encoded frame, the envelope as it was received.
func (f *Publish) AppendTo(b []byte) []byte {
	return append(begin(b, TypePublish, 1), f.Envelope.Raw...)
}

// Weight returns an upper bound of the encoded length.
func (f *Publish) Weight() int { return len(f.Envelope.Raw) + 8 }

func (f *Publish) String() string { return fmt.Sprintf("publish{%v}", f.Envelope.ID) }

func (d *decoder) publish() Frame {
	d.fields(1)
	return &Publish{envelope.Read(&d.Reader, d.keys)}
}

// Published answers Publish (spec §5.3). Code OK: the envelope is in custody. Any
// other code is final for this envelope unless Code.Retry says so.
type Published struct {
	ID         envelope.ID
	Code       Code
	RetryAfter uint64 // milliseconds; 0: the router does not say
}

// Type returns TypePublished.
func (f *Published) Type() Type { return TypePublished }

// AppendTo appends the encoded frame.
func (f *Published) AppendTo(b []byte) []byte {
	b = cbor.AppendBytes(begin(b, TypePublished, 3), f.ID[:])
	b = cbor.AppendUint(b, uint64(f.Code))
	if f.RetryAfter == 0 {
		return cbor.AppendNull(b)
	}
	return cbor.AppendUint(b, f.RetryAfter)
}

// Weight returns an upper bound of the encoded length.
func (f *Published) Weight() int { return 64 }

func (f *Published) String() string { return fmt.Sprintf("published{%v %v}", f.ID, f.Code) }

// published refuses a retry-after of 0: null says the same, and each value has
// one form only (spec §2.3).
func (d *decoder) published() Frame {
	d.fields(3)
	f := &Published{ID: d.id(), Code: d.code()}
	if !d.Null() {
		if f.RetryAfter = d.Uint(1<<32 - 1); f.RetryAfter == 0 {
			d.Fail("retry-after is 0; null says so")
		}
	}
	return f
}
