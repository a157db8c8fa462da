package identity

import (
	"fmt"
	"strings"
)

// A did:key is "did:key:" and a multibase text: z for base58btc of the two bytes
// that say Ed25519 in multicodec, and the key.
const (
	didPrefix      = "did:key:"
	didMax         = 49 // characters of base58 that 34 bytes can take, and one
	base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
	codecHigh      = 0xed // multicodec ed25519-pub: 0xed as a varint is 0xed 0x01
	codecLow       = 0x01
)

// parseDID returns the key of a did:key, which has no checksum and no role.
func parseDID(s string) (Address, error) {
	// Base58btc only: multibase would allow many texts for one key.
	text, ok := strings.CutPrefix(s, didPrefix+"z")
	if !ok {
		return Address{}, refuse("a did:key of another base than base58btc", "an Ed25519 key begins with did:key:z6Mk")
	}
	if strings.ContainsAny(text, "#?/;") {
		return Address{}, refuse("a did:key with a path, query or fragment", "keep what stands before the #, ? or /")
	}
	b, err := base58Decode(text)
	if err != nil {
		return Address{}, err
	}
	if len(b) != 2+AddressSize || b[0] != codecHigh || b[1] != codecLow {
		return Address{}, refuse("a did:key that is not an Ed25519 key", "an Ed25519 key begins with did:key:z6Mk and has 56 characters")
	}
	return checkedText(b[2:])
}

// base58Decode is the plain base-58 number of s, with a zero byte for each 1 that
// leads: each text is one byte string and each byte string one text.
func base58Decode(s string) ([]byte, error) {
	if len(s) > didMax {
		return nil, refuse("a did:key that is too long for an Ed25519 key", "an Ed25519 key begins with did:key:z6Mk and has 56 characters")
	}
	// number is the value so far in base 256, its last byte the highest; each
	// character multiplies it by 58 and adds itself.
	var number []byte
	for i := range len(s) {
		carry := strings.IndexByte(base58Alphabet, s[i])
		if carry < 0 {
			return nil, refuse(fmt.Sprintf("character %d of the did:key does not occur in base58", len(didPrefix)+2+i),
				"the digit 0 and the letters O, I and l are never used there; "+hintCopy)
		}
		for j := range number {
			carry += int(number[j]) * 58
			number[j], carry = byte(carry), carry>>8
		}
		for ; carry > 0; carry >>= 8 {
			number = append(number, byte(carry))
		}
	}
	zeros := len(s) - len(strings.TrimLeft(s, base58Alphabet[:1]))
	out := make([]byte, zeros, zeros+len(number))
	for i := len(number) - 1; i >= 0; i-- {
		out = append(out, number[i])
	}
	return out, nil
}
