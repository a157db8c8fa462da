package wire

import (
	"fmt"

	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Box names one mailbox: a home that lost its memory cannot restart the numbers
// unnoticed.
type Box [8]byte

// Resume is what a client knows of its mailbox.
type Resume struct {
	Box Box
	N   uint64 // highest number that it has received for good
}

// Attach is the first attachment frame of a client (spec §5.1). The document in
// it is signed, so that a new home could prove the move of a mailbox to the old
// one; its claim must be checked before anything is attached.
type Attach struct {
	Homes  *Homes  // never nil in a frame that was decoded
	Resume *Resume // nil at first contact
}

// Type returns TypeAttach.
func (f *Attach) Type() Type { return TypeAttach }

// AppendTo appends the encoded frame.
func (f *Attach) AppendTo(b []byte) []byte {
	b = f.Homes.Signed.AppendTo(begin(b, TypeAttach, 2))
	if f.Resume == nil {
		return cbor.AppendNull(b)
	}
	b = cbor.AppendBytes(cbor.AppendArray(b, 2), f.Resume.Box[:])
	return cbor.AppendUint(b, f.Resume.N)
}

// Weight returns an upper bound of the encoded length.
func (f *Attach) Weight() int { return 128 + len(f.Homes.Signed.Body) }

func (f *Attach) String() string {
	if f.Resume == nil {
		return fmt.Sprintf("attach{%v epoch %d}", f.Homes.Client, f.Homes.Epoch)
	}
	return fmt.Sprintf("attach{%v epoch %d resume %x %d}", f.Homes.Client, f.Homes.Epoch, f.Resume.Box, f.Resume.N)
}

func (d *decoder) attach() Frame {
	d.fields(2)
	f := &Attach{Homes: d.homes(envelope.ReadSigned(&d.Reader, homesMax))}
	if !d.Null() {
		d.Array(2, 2)
		f.Resume = &Resume{Box: d.eight(), N: d.Uint(anyUint)}
	}
	return f
}

// Attached answers Attach, and comes again from time to time (spec §5.1). With
// any other code than OK nothing was attached, and Box and Last say nothing.
type Attached struct {
	Epoch uint64 // of the homes document that the home goes by
	Box   Box    // unknown to the client: the home has a new mailbox for it
	Last  uint64 // highest number that the mailbox has given
	Code  Code   // BadSignature, NotAllowed, Quota or OK

	// Displaced says that another process, which was attached with the same key,
	// was sent away for this one.
	Displaced bool
}

// Type returns TypeAttached.
func (f *Attached) Type() Type { return TypeAttached }

// AppendTo appends the encoded frame.
func (f *Attached) AppendTo(b []byte) []byte {
	b = cbor.AppendUint(begin(b, TypeAttached, 5), f.Epoch)
	b = cbor.AppendBytes(b, f.Box[:])
	b = cbor.AppendUint(b, f.Last)
	return cbor.AppendBool(cbor.AppendUint(b, uint64(f.Code)), f.Displaced)
}

// Weight returns an upper bound of the encoded length.
func (f *Attached) Weight() int { return 48 }

func (f *Attached) String() string {
	return fmt.Sprintf("attached{epoch %d box %x last %d %v}", f.Epoch, f.Box, f.Last, f.Code)
}

func (d *decoder) attached() Frame {
	d.fields(5)
	return &Attached{Epoch: d.Uint(anyUint), Box: d.eight(), Last: d.Uint(anyUint), Code: d.code(), Displaced: d.Bool()}
}
