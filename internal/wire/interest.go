package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// EntriesMax is how many entries one Interest, Elsewhere or Offer holds.
const EntriesMax = 512

// Interest flags: what is below the sender of an Interest.
type InterestFlags uint8

// The flags of interest; 0 removes an entry.
const (
	Receiver InterestFlags = 1
	Sender   InterestFlags = 2
	Holder   InterestFlags = 4
)

// String returns the flags as letters.
func (f InterestFlags) String() string {
	s := ""
	for i, c := range "RSH" {
		if f&(1<<i) != 0 {
			s += string(c)
		}
	}
	if s == "" {
		return "-"
	}
	return s
}

// An InterestEntry is the new state of one target, whatever it was before.
type InterestEntry struct {
	Target envelope.Target
	Flags  InterestFlags // 0 removes the target
	Grant  *Grant        // with Receiver for an address
}

// Interest tells a parent what is wanted below (spec §9.1). It goes upwards only:
// nothing that came from above enters it, so no interest can sustain itself.
type Interest struct {
	Root    identity.Address // the tree
	Entries []InterestEntry  // 1 to EntriesMax
}

// Type returns TypeInterest.
func (f *Interest) Type() Type { return TypeInterest }

// AppendTo appends the encoded frame.
func (f *Interest) AppendTo(b []byte) []byte {
	b = cbor.AppendArray(appendKey(begin(b, TypeInterest, 2), f.Root), len(f.Entries))
	for i := range f.Entries {
		e := &f.Entries[i]
		b = appendTarget(cbor.AppendArray(b, 4), e.Target)
		b = appendGrant(cbor.AppendUint(b, uint64(e.Flags)), e.Grant)
	}
	return b
}

// Weight returns an upper bound of the encoded length.
func (f *Interest) Weight() int {
	n := 48
	for i := range f.Entries {
		n += 40
		if g := f.Entries[i].Grant; g != nil {
			n += len(g.Signed.Body) + 72
		}
	}
	return n
}

func (f *Interest) String() string {
	s := fmt.Sprintf("interest{root %v", f.Root)
	for _, e := range f.Entries[:min(4, len(f.Entries))] {
		s += fmt.Sprintf(" %v=%v", e.Target, e.Flags)
	}
	return fmt.Sprintf("%s; %d}", s, len(f.Entries))
}

func (d *decoder) interest() Frame {
	d.fields(2)
	f := &Interest{Root: d.key()}
	for n := d.Array(1, EntriesMax); n > 0 && d.Err() == nil; n-- {
		d.Array(4, 4)
		f.Entries = append(f.Entries, InterestEntry{Target: d.target(), Flags: InterestFlags(d.Uint(7)), Grant: d.grant()})
	}
	return f
}

// An ElsewhereEntry says whether somebody outside of the child wants a target.
type ElsewhereEntry struct {
	Target envelope.Target
	Yes    bool
}

// Elsewhere tells a child that sends or holds whether anybody outside of it wants
// a target (spec §9.2). Without it every message would climb to the root.
type Elsewhere struct {
	Root    identity.Address // the tree
	Entries []ElsewhereEntry // 1 to EntriesMax
}

// Type returns TypeElsewhere.
func (f *Elsewhere) Type() Type { return TypeElsewhere }

// AppendTo appends the encoded frame.
func (f *Elsewhere) AppendTo(b []byte) []byte {
	b = cbor.AppendArray(appendKey(begin(b, TypeElsewhere, 2), f.Root), len(f.Entries))
	for _, e := range f.Entries {
		b = cbor.AppendBool(appendTarget(cbor.AppendArray(b, 3), e.Target), e.Yes)
	}
	return b
}

// Weight returns an upper bound of the encoded length.
func (f *Elsewhere) Weight() int { return 48 + 40*len(f.Entries) }

func (f *Elsewhere) String() string {
	s := fmt.Sprintf("elsewhere{root %v", f.Root)
	for _, e := range f.Entries[:min(4, len(f.Entries))] {
		s += fmt.Sprintf(" %v=%v", e.Target, e.Yes)
	}
	return fmt.Sprintf("%s; %d}", s, len(f.Entries))
}

func (d *decoder) elsewhere() Frame {
	d.fields(2)
	f := &Elsewhere{Root: d.key()}
	for n := d.Array(1, EntriesMax); n > 0 && d.Err() == nil; n-- {
		d.Array(3, 3)
		f.Entries = append(f.Entries, ElsewhereEntry{Target: d.target(), Yes: d.Bool()})
	}
	return f
}
