package wire

import (
	"fmt"

	"upsycle/internal/cbor"
)

// CloseTextMax is the longest text of a Close in bytes.
const CloseTextMax = 256

// Close is the last frame of a side that ends a link on purpose (spec §3.4). The
// text is for the log of the other side, which quotes it: nothing depends on it.
type Close struct {
	Code Code
	Text string // one sentence, at most 256 bytes; the peer's text
}

// Type returns TypeClose.
func (f *Close) Type() Type { return TypeClose }

// AppendTo appends the encoded frame.
func (f *Close) AppendTo(b []byte) []byte {
	return cbor.AppendText(cbor.AppendUint(begin(b, TypeClose, 2), uint64(f.Code)), f.Text)
}

// Weight returns an upper bound of the encoded length.
func (f *Close) Weight() int { return 24 + len(f.Text) }

func (f *Close) String() string { return fmt.Sprintf("close{%v %q}", f.Code, f.Text) }

func (d *decoder) close() Frame {
	d.fields(2)
	return &Close{d.code(), d.Text(0, CloseTextMax)}
}
