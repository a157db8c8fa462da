package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Resync asks the holders of a target to offer what was exposed since an instant
// (spec §11.3).
type Resync struct {
	Root   identity.Address
	Target envelope.Target
	Since  uint64 // Unix milliseconds
	OID    [8]byte
}

// Type returns TypeResync.
func (f *Resync) Type() Type { return TypeResync }

// AppendTo appends the encoded frame.
func (f *Resync) AppendTo(b []byte) []byte {
	b = appendTarget(appendKey(begin(b, TypeResync, 5), f.Root), f.Target)
	return cbor.AppendBytes(cbor.AppendUint(b, f.Since), f.OID[:])
}

// Weight returns an upper bound of the encoded length.
func (f *Resync) Weight() int { return 104 }

func (f *Resync) String() string {
	return fmt.Sprintf("resync{root %v %v since %d}", f.Root, f.Target, f.Since)
}

func (d *decoder) resync() Frame {
	d.fields(5)
	return &Resync{Root: d.key(), Target: d.target(), Since: d.Uint(envelope.TimeMax), OID: d.eight()}
}
