package cbor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrMalformed is the error that every refusal of a Reader wraps.
var ErrMalformed = errors.New("not deterministic CBOR of this dialect")

// A Reader reads one value after another from bytes that it does not own and
// does not change. What it returns points into them. After the first refusal it
// returns zero values only and Err tells why, so callers may read a whole
// structure and ask once. It never allocates from a length that the input
// claims. It is not safe for concurrent use.
type Reader struct {
	b   []byte
	off int
	err error
}

// NewReader returns a Reader at the start of b.
func NewReader(b []byte) Reader { return Reader{b: b} }

// Err returns why the reader stopped, or nil.
func (r *Reader) Err() error { return r.err }

// Offset returns how many bytes have been read.
func (r *Reader) Offset() int { return r.off }

// Since returns the input from offset start up to the present one.
func (r *Reader) Since(start int) []byte { return r.b[start:r.off:r.off] }

// End returns the first error, or an error if bytes are left.
func (r *Reader) End() error {
	if r.err == nil && r.off != len(r.b) {
		r.Fail("%d bytes follow the value", len(r.b)-r.off)
	}
	return r.err
}

// Fail makes the reader stop with this reason, unless it has stopped already.
// Callers use it for values that the dialect allows and their schema does not.
// Errors among the arguments may be wrapped with %w.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: at byte %d: "+format, append([]any{ErrMalformed, r.off}, args...)...)
	}
}

// Uint reads an unsigned integer of at most max.
func (r *Reader) Uint(max uint64) uint64 {
	n := r.head(majorUint, "an unsigned integer")
	if n > max {
		r.Fail("%d is above the limit of %d", n, max)
		return 0
	}
	return n
}

// Bool reads 0 or 1.
func (r *Reader) Bool() bool { return r.Uint(1) == 1 }

// Bytes reads a byte string of min to max bytes. The result points into the
// input.
func (r *Reader) Bytes(min, max int) []byte { return r.str(majorBytes, "a byte string", min, max) }

// Text reads a text string of min to max bytes: UTF-8 without control
// characters. It copies.
func (r *Reader) Text(min, max int) string {
	s := r.str(majorText, "a text string", min, max)
	if !utf8.Valid(s) {
		r.Fail("text is not UTF-8")
		return ""
	}
	for _, c := range string(s) {
		if c < 0x20 || c >= 0x7f && c < 0xa0 {
			r.Fail("text holds the control character U+%04X", c)
			return ""
		}
	}
	return string(s)
}

// Claim returns the length that the head of the next value claims for a byte
// string, without reading it; 0 where anything else comes next. Callers use it
// to refuse a size with a reason of their own, before the bytes are looked for.
func (r *Reader) Claim() uint64 {
	if r.err != nil || r.off >= len(r.b) || r.b[r.off]&0xe0 != majorBytes {
		return 0
	}
	if n, _, ok := argument(r.b[r.off:]); ok {
		return n
	}
	return 0
}

// Array reads the head of an array of min to max items. Since each item takes a
// byte at least, a count above the bytes left is refused here, before anybody
// allocates for it.
func (r *Reader) Array(min, max int) int {
	n := r.head(majorArray, "an array")
	if r.err == nil && (n < uint64(min) || n > uint64(max) || n > uint64(len(r.b)-r.off)) {
		r.Fail("an array of %d items, want %d to %d", n, min, max)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// Null reads null if it comes next, and reports whether it did.
func (r *Reader) Null() bool {
	if r.err != nil || r.off >= len(r.b) || r.b[r.off] != null {
		return false
	}
	r.off++
	return true
}

func (r *Reader) str(major byte, want string, min, max int) []byte {
	n := r.head(major, want)
	if r.err == nil && (n < uint64(min) || n > uint64(max)) {
		r.Fail("%s of %d bytes, want %d to %d", want, n, min, max)
	}
	if r.err == nil && n > uint64(len(r.b)-r.off) {
		r.Fail("%s of %d bytes is cut off", want, n)
	}
	if r.err != nil {
		return nil
	}
	s := r.b[r.off : r.off+int(n) : r.off+int(n)]
	r.off += int(n)
	return s
}

// head reads the initial byte and its argument and holds the argument against
// the shortest form (RFC 8949 §4.2.1).
func (r *Reader) head(major byte, want string) uint64 {
	if r.err != nil {
		return 0
	}
	if r.off >= len(r.b) {
		r.Fail("want %s, found the end", want)
		return 0
	}
	first := r.b[r.off]
	if first&0xe0 != major {
		r.Fail("want %s, found the byte 0x%02x", want, first)
		return 0
	}
	n, size, ok := argument(r.b[r.off:])
	if !ok {
		r.Fail("%s is cut off, indefinite, or not in its shortest form", want)
		return 0
	}
	r.off += size
	return n
}

// argument decodes the head at the start of b; size is its length in bytes.
func argument(b []byte) (n uint64, size int, ok bool) {
	info := b[0] & 0x1f
	if info < 24 {
		return uint64(info), 1, true
	}
	if info > 27 {
		return 0, 0, false
	}
	size = 1 + 1<<(info-24)
	if len(b) < size {
		return 0, 0, false
	}
	switch info {
	case 24:
		n = uint64(b[1])
	case 25:
		n = uint64(binary.BigEndian.Uint16(b[1:]))
	case 26:
		n = uint64(binary.BigEndian.Uint32(b[1:]))
	case 27:
		n = binary.BigEndian.Uint64(b[1:])
	}
	return n, size, HeadLen(n) == size
}
