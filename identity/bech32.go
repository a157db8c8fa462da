package identity

import (
	"fmt"
	"strings"
)

// Bech32m, BIP 350: a prefix, the digit 1, then characters of 5 bits of which the
// last six are a checksum that finds any four mistyped characters.
const (
	bechAlphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	bechChecksum = 6          // characters
	bechMax      = 90         // characters of any such text
	bechConstant = 0x2bc830a3 // what a checksum adds up to; 1 in the older Bech32
)

// bechEncode returns the text of 5-bit values under a prefix of lower case.
func bechEncode(prefix string, values []byte) string {
	sum := bechSum(prefix, append(append([]byte(nil), values...), 0, 0, 0, 0, 0, 0)) ^ bechConstant
	var b strings.Builder
	b.WriteString(prefix)
	b.WriteByte('1')
	for _, v := range values {
		b.WriteByte(bechAlphabet[v])
	}
	for i := bechChecksum - 1; i >= 0; i-- {
		b.WriteByte(bechAlphabet[sum>>(5*i)&31])
	}
	return b.String()
}

// bechDecode returns the prefix in lower case and the values without checksum.
func bechDecode(s string) (prefix string, values []byte, err error) {
	s, err = oneCase(s)
	if err != nil {
		return "", nil, err
	}
	if len(s) > bechMax {
		return "", nil, refuse(fmt.Sprintf("a text of %d characters is longer than any key's", len(s)), hintCopy)
	}
	// The last 1: a prefix may hold more of them, the alphabet has none.
	cut := strings.LastIndexByte(s, '1')
	if cut < 1 || len(s)-cut-1 < bechChecksum {
		return "", nil, refuse("this is not a key: there is no prefix, digit 1 and checksum", hintForms)
	}
	prefix = s[:cut]
	for i := cut + 1; i < len(s); i++ {
		v := strings.IndexByte(bechAlphabet, s[i])
		if v < 0 {
			return "", nil, refuse(fmt.Sprintf("character %d, %q, does not occur in a key's text", i+1, s[i]),
				"the digit 1 and the letters b, i and o are never used there; "+hintCopy)
		}
		values = append(values, byte(v))
	}
	// The remainder of a text and its checksum is the constant; what is left over
	// says something about the slip.
	if r := bechSum(prefix, values) ^ bechConstant; r != 0 {
		return "", nil, mistyped(s, cut, len(values), r)
	}
	return prefix, values[:len(values)-bechChecksum], nil
}

// oneCase turns s into lower case. It refuses what is not printable ASCII and
// what mixes cases: the checksum covers one case only.
func oneCase(s string) (string, error) {
	var lower, upper bool
	for i := range len(s) {
		c := s[i]
		if c < 33 || c > 126 {
			return "", refuse(fmt.Sprintf("character %d does not occur in a key's text", i+1), "remove spaces and line breaks; "+hintCopy)
		}
		lower = lower || 'a' <= c && c <= 'z'
		upper = upper || 'A' <= c && c <= 'Z'
	}
	if lower && upper {
		return "", refuse("upper and lower case are mixed", "write the whole key in lower case")
	}
	return strings.ToLower(s), nil
}

// bechSum is the checksum's polynomial remainder over prefix and values.
func bechSum(prefix string, values []byte) uint32 {
	// The prefix counts twice: its high bits, a zero, its low bits (BIP 173).
	sum := uint32(1)
	for i := range len(prefix) {
		sum = bechStep(sum) ^ uint32(prefix[i]>>5)
	}
	sum = bechStep(sum)
	for i := range len(prefix) {
		sum = bechStep(sum) ^ uint32(prefix[i]&31)
	}
	for _, v := range values {
		sum = bechStep(sum) ^ uint32(v)
	}
	return sum
}

// bechStep multiplies the remainder by x in the field of 32 elements.
func bechStep(sum uint32) uint32 {
	top := sum >> 25
	sum = sum & 0x1ffffff << 5
	for i, g := range [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
		if top>>i&1 == 1 {
			sum ^= g
		}
	}
	return sum
}

// mistyped names the one character whose change would explain the remainder r,
// if there is one. It does not say which character would be right: a wrong guess
// would be somebody else's key (BIP 350, error locating).
func mistyped(s string, cut, n int, r uint32) error {
	// The checksum is linear: a slip that adds e to the i-th value from the end adds
	// e·x^i to the remainder, whatever the text is.
	for e := uint32(1); e < 32; e++ {
		for i, sum := n-1, e; i >= 0; i, sum = i-1, bechStep(sum) {
			if sum == r {
				at := cut + 1 + i
				return refuse(fmt.Sprintf("the checksum does not fit: character %d, %q, looks mistyped", at+1, s[at]), hintCopy)
			}
		}
	}
	return refuse("the checksum does not fit: something is mistyped", hintCopy)
}

// fives cuts bytes into 5-bit values, the last padded with zero bits.
func fives(b []byte) []byte {
	out := make([]byte, 0, (len(b)*8+4)/5)
	var acc, bits uint
	for _, c := range b {
		acc, bits = acc<<8|uint(c), bits+8
		for bits >= 5 {
			bits -= 5
			out = append(out, byte(acc>>bits&31))
		}
	}
	if bits > 0 {
		out = append(out, byte(acc<<(5-bits)&31))
	}
	return out
}

// eights joins 5-bit values into bytes. It reports false where the bits that are
// left over are a whole value or not all zero: another text of the same key.
func eights(values []byte) ([]byte, bool) {
	out := make([]byte, 0, len(values)*5/8)
	var acc, bits uint
	for _, v := range values {
		acc, bits = acc<<5|uint(v), bits+5
		if bits >= 8 {
			bits -= 8
			out = append(out, byte(acc>>bits))
		}
	}
	return out, bits < 5 && acc&(1<<bits-1) == 0
}
