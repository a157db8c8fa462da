package cbor

// MaxDepth is how deep arrays may nest. A byte string that wraps a value starts
// anew.
const MaxDepth = 6

// Valid reports whether b is exactly one value of the dialect: nil, or an error
// that wraps ErrMalformed.
func Valid(b []byte) error {
	r := NewReader(b)
	r.Skip(MaxDepth)
	return r.End()
}

// Skip reads one value of any type, with arrays nested at most depth deep.
func (r *Reader) Skip(depth int) {
	if r.err != nil || r.Null() {
		return
	}
	if r.off >= len(r.b) {
		r.Fail("want a value, found the end")
		return
	}
	const any = int(^uint(0) >> 1) // also where int has 32 bits
	switch r.b[r.off] & 0xe0 {
	case majorUint:
		r.Uint(1<<64 - 1)
	case majorBytes:
		r.Bytes(0, any)
	case majorText:
		r.Text(0, any)
	case majorArray:
		if depth == 0 {
			r.Fail("arrays nest deeper than %d", MaxDepth)
			return
		}
		for n := r.Array(0, any); n > 0 && r.err == nil; n-- {
			r.Skip(depth - 1)
		}
	default:
		r.Fail("the byte 0x%02x begins no value of the dialect", r.b[r.off])
	}
}
