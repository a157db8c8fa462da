package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
)

// Retract takes an announcement back (spec §8.2): its sender has lost its way to
// the root, or the root no longer counts.
type Retract struct{ Root identity.Address }

// Type returns TypeRetract.
func (f *Retract) Type() Type { return TypeRetract }

// AppendTo appends the encoded frame.
func (f *Retract) AppendTo(b []byte) []byte { return appendKey(begin(b, TypeRetract, 1), f.Root) }

// Weight returns an upper bound of the encoded length.
func (f *Retract) Weight() int { return 40 }

func (f *Retract) String() string { return fmt.Sprintf("retract{root %v}", f.Root) }

func (d *decoder) retract() Frame {
	d.fields(1)
	return &Retract{d.key()}
}

// Graft says: you are my parent in this tree (spec §8.4). The sender's interest
// follows it, against an empty state.
type Graft struct{ Root identity.Address }

// Type returns TypeGraft.
func (f *Graft) Type() Type { return TypeGraft }

// AppendTo appends the encoded frame.
func (f *Graft) AppendTo(b []byte) []byte { return appendKey(begin(b, TypeGraft, 1), f.Root) }

// Weight returns an upper bound of the encoded length.
func (f *Graft) Weight() int { return 40 }

func (f *Graft) String() string { return fmt.Sprintf("graft{root %v}", f.Root) }

func (d *decoder) graft() Frame {
	d.fields(1)
	return &Graft{d.key()}
}

// Prune says: you are my parent in this tree no more (spec §8.4). Apart from the
// end of the link it is the only thing that ends a child's entry.
type Prune struct{ Root identity.Address }

// Type returns TypePrune.
func (f *Prune) Type() Type { return TypePrune }

// AppendTo appends the encoded frame.
func (f *Prune) AppendTo(b []byte) []byte { return appendKey(begin(b, TypePrune, 1), f.Root) }

// Weight returns an upper bound of the encoded length.
func (f *Prune) Weight() int { return 40 }

func (f *Prune) String() string { return fmt.Sprintf("prune{root %v}", f.Root) }

func (d *decoder) prune() Frame {
	d.fields(1)
	return &Prune{d.key()}
}

// SeqReq asks the root to raise its number to Want (spec §8.3).
type SeqReq struct {
	Root identity.Address
	Want uint64 // below 2^62
	Hops uint64 // what is left of its way, at most SeqReqHopsMax
}

// SeqReqHopsMax is how far a SeqReq travels.
const SeqReqHopsMax = 32

// Type returns TypeSeqReq.
func (f *SeqReq) Type() Type { return TypeSeqReq }

// AppendTo appends the encoded frame.
func (f *SeqReq) AppendTo(b []byte) []byte {
	return cbor.AppendUint(cbor.AppendUint(appendKey(begin(b, TypeSeqReq, 3), f.Root), f.Want), f.Hops)
}

// Weight returns an upper bound of the encoded length.
func (f *SeqReq) Weight() int { return 56 }

func (f *SeqReq) String() string { return fmt.Sprintf("seqreq{root %v want %d}", f.Root, f.Want) }

func (d *decoder) seqreq() Frame {
	d.fields(3)
	return &SeqReq{Root: d.key(), Want: d.Uint(1<<62 - 1), Hops: d.Uint(SeqReqHopsMax)}
}
