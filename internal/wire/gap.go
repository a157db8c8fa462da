package wire

import (
	"fmt"

	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Why says why something is missing.
type Why uint64

// The reasons of a gap.
const (
	WhyQuota    Why = 1
	WhyExpired  Why = 2
	WhyLive     Why = 3 // live envelopes dropped under pressure
	WhyHole     Why = 4 // a hole that was not repaired
	WhyLease    Why = 5 // the mailbox's lease ended
	WhyTooLarge Why = 6 // larger than the client's max-frame
)

// String returns the reason in words.
func (w Why) String() string {
	switch w {
	case WhyQuota:
		return "quota"
	case WhyExpired:
		return "expired"
	case WhyLive:
		return "live under pressure"
	case WhyHole:
		return "hole not repaired"
	case WhyLease:
		return "lease ended"
	case WhyTooLarge:
		return "larger than the client's frames"
	}
	return fmt.Sprintf("reason %d", uint64(w))
}

// Gap tells a client of items that it will not get (spec §5.5). It is numbered
// like Deliver: a gap must not get lost either. Nothing goes missing without one.
type Gap struct {
	N        uint64 // number in the mailbox; 0 for live envelopes
	Target   envelope.Target
	FromTime uint64 // of the first that is missing, Unix milliseconds
	ToTime   uint64 // of the last that is missing, Unix milliseconds
	Count    uint64 // items
	Why      Why    // any number: later versions may know more reasons
}

// Type returns TypeGap.
func (f *Gap) Type() Type { return TypeGap }

// AppendTo appends the encoded frame.
func (f *Gap) AppendTo(b []byte) []byte {
	b = appendTarget(cbor.AppendUint(begin(b, TypeGap, 7), f.N), f.Target)
	b = cbor.AppendUint(cbor.AppendUint(b, f.FromTime), f.ToTime)
	return cbor.AppendUint(cbor.AppendUint(b, f.Count), uint64(f.Why))
}

// Weight returns an upper bound of the encoded length.
func (f *Gap) Weight() int { return 88 }

func (f *Gap) String() string {
	return fmt.Sprintf("gap{%d %v %d items: %v}", f.N, f.Target, f.Count, f.Why)
}

func (d *decoder) gap() Frame {
	d.fields(7)
	return &Gap{
		N: d.Uint(anyUint), Target: d.target(),
		FromTime: d.Uint(envelope.TimeMax), ToTime: d.Uint(envelope.TimeMax),
		Count: d.Uint(anyUint), Why: Why(d.Uint(1<<32 - 1)),
	}
}
