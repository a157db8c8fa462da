package wire

import (
	"fmt"

	"upsycle/internal/cbor"
)

// Role says what a side of a link is.
type Role uint8

// The roles. Links are 0–1, 0–2, 1–2 (attachment) and 2–2 (backbone).
const (
	Service Role = 0
	Edge    Role = 1
	Core    Role = 2
)

// String returns the role's name.
func (r Role) String() string {
	switch r {
	case Service:
		return "service"
	case Edge:
		return "edge"
	}
	return "core"
}

// Version is the protocol version that this program speaks.
const Version = 1

// Hello is the first frame of each side (spec §3.3). Its shape is the same in all
// versions, so that two programs can always tell each other why they part.
type Hello struct {
	Versions []uint64 // of the protocol, 1 to 8; the highest common one is spoken
	Role     Role     // what the sender is
	Now      uint64   // the sender's clock, Unix milliseconds
	Boot     [8]byte  // random at each start of the program
	MaxFrame uint64   // bytes that the sender accepts in one frame
	Features []uint64 // at most 32; this version names none and ignores all
	Agent    string   // program and version, at most 64 bytes; the peer's text
}

// Type returns TypeHello.
func (f *Hello) Type() Type { return TypeHello }

// AppendTo appends the encoded frame.
func (f *Hello) AppendTo(b []byte) []byte {
	b = begin(b, TypeHello, 7)
	b = appendUints(b, f.Versions)
	b = cbor.AppendUint(b, uint64(f.Role))
	b = cbor.AppendUint(b, f.Now)
	b = cbor.AppendBytes(b, f.Boot[:])
	b = cbor.AppendUint(b, f.MaxFrame)
	b = appendUints(b, f.Features)
	return cbor.AppendText(b, f.Agent)
}

// Weight returns an upper bound of the encoded length.
func (f *Hello) Weight() int { return 128 + 9*(len(f.Versions)+len(f.Features)) }

func (f *Hello) String() string { return fmt.Sprintf("hello{%v %x}", f.Role, f.Boot) }

// hello checks shapes only: what the values mean for the link, such as a clock
// that is wrong or a max-frame that is too small, is the link's to say.
func (d *decoder) hello() Frame {
	d.fields(7)
	f := &Hello{}
	f.Versions = d.uints(1, 8)
	f.Role = Role(d.Uint(2))
	f.Now = d.Uint(1<<48 - 1)
	f.Boot = d.eight()
	f.MaxFrame = d.Uint(anyUint)
	f.Features = d.uints(0, 32)
	f.Agent = d.Text(0, 64)
	return f
}

func appendUints(b []byte, list []uint64) []byte {
	b = cbor.AppendArray(b, len(list))
	for _, n := range list {
		b = cbor.AppendUint(b, n)
	}
	return b
}

func (d *decoder) uints(min, max int) []uint64 {
	n := d.Array(min, max)
	list := make([]uint64, 0, n)
	for range n {
		list = append(list, d.Uint(anyUint))
	}
	return list
}
