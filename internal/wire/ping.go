package wire

import (
	"fmt"

	"upsycle/internal/cbor"
)

// Ping asks for a Pong of the same number (spec §3.4). A link that answers no
// ping is dead; the round trip is what a link's cost comes from.
type Ping struct{ N uint64 }

// Type returns TypePing.
func (f *Ping) Type() Type { return TypePing }

// AppendTo appends the encoded frame.
func (f *Ping) AppendTo(b []byte) []byte { return cbor.AppendUint(begin(b, TypePing, 1), f.N) }

// Weight returns an upper bound of the encoded length.
func (f *Ping) Weight() int { return 16 }

func (f *Ping) String() string { return fmt.Sprintf("ping{%d}", f.N) }

func (d *decoder) ping() Frame {
	d.fields(1)
	return &Ping{d.Uint(anyUint)}
}

// Pong answers a Ping. One that nobody asked for is ignored by the link.
type Pong struct{ N uint64 }

// Type returns TypePong.
func (f *Pong) Type() Type { return TypePong }

// AppendTo appends the encoded frame.
func (f *Pong) AppendTo(b []byte) []byte { return cbor.AppendUint(begin(b, TypePong, 1), f.N) }

// Weight returns an upper bound of the encoded length.
func (f *Pong) Weight() int { return 16 }

func (f *Pong) String() string { return fmt.Sprintf("pong{%d}", f.N) }

func (d *decoder) pong() Frame {
	d.fields(1)
	return &Pong{d.Uint(anyUint)}
}
