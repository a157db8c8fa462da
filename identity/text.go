package identity

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// TextRole is what the text form of an address says it is the key of. It tells
// people apart what they paste; nothing on the wire depends on it.
type TextRole uint8

// The roles. NoText is the role of a key that came as did:key or as hexadecimal
// digits, which say none.
const (
	NoText TextRole = iota
	RouterText
	ServiceText
	GroupText
)

// TextSize is the length of the bech32m form of an address in characters.
const TextSize = 62

const (
	shortSize = 8 // characters after the prefix that a log shows

	hintForms = "a key looks like upr1…, ups1… or upg1… with 62 characters; did:key:z6Mk… and 64 hexadecimal digits are taken too"
	hintCopy  = "copy the key again instead of typing it"
)

// String returns "router", "service", "group" or "any".
func (r TextRole) String() string {
	switch r {
	case RouterText:
		return "router"
	case ServiceText:
		return "service"
	case GroupText:
		return "group"
	}
	return "any"
}

// Prefix returns "upr", "ups" or "upg", and nothing for NoText.
func (r TextRole) Prefix() string {
	switch r {
	case RouterText:
		return "upr"
	case ServiceText:
		return "ups"
	case GroupText:
		return "upg"
	}
	return ""
}

// Text returns the text form of a under role: bech32m with its prefix, 62
// characters (spec §1.2). For NoText, which has no prefix, it is 64 hexadecimal
// digits. The zero Address is "nobody", which no parser takes.
func (a Address) Text(role TextRole) string {
	switch {
	case a.IsZero():
		return "nobody"
	case role.Prefix() == "":
		return hex.EncodeToString(a.key[:])
	}
	return bechEncode(role.Prefix(), fives(a.key[:]))
}

// Short returns the prefix and the first eight characters of Text, for logs.
func (a Address) Short(role TextRole) string {
	if a.IsZero() || role.Prefix() == "" {
		return a.String()
	}
	return a.Text(role)[:len(role.Prefix())+1+shortSize]
}

// ParseAddress reads an address as people write it: bech32m with its role,
// did:key or 64 hexadecimal digits, the last two without checksum and with role
// NoText. The error is a *TextError; it is ErrBadKey too where the text is right
// and what it holds is no address.
func ParseAddress(s string) (Address, TextRole, error) {
	// The three forms cannot be confused: 64 digits are no bech32m of ours, which
	// has 62 characters and a letter that is no digit, and a colon is in neither.
	switch {
	case s == "":
		return Address{}, NoText, refuse("an empty text where a key is wanted", hintForms)
	case strings.HasPrefix(s, didPrefix):
		a, err := parseDID(s)
		return a, NoText, err
	case len(s) == 2*AddressSize && isHex(s):
		b, _ := hex.DecodeString(s)
		a, err := checkedText(b)
		return a, NoText, err
	}
	return parseBech(s)
}

// ParseAddressAs reads an address that must be want's, or say no role at all.
func ParseAddressAs(s string, want TextRole) (Address, error) {
	a, role, err := ParseAddress(s)
	if err != nil {
		return Address{}, err
	}
	if role != want && role != NoText && want != NoText {
		return Address{}, refuse(fmt.Sprintf("this is a %s's key, not a %s's", role, want),
			fmt.Sprintf("a %s's key begins with %s1", want, want.Prefix()))
	}
	return a, nil
}

// parseBech reads the bech32m form. The length is judged before the checksum,
// since a lost character is told better than a checksum that does not fit.
func parseBech(s string) (Address, TextRole, error) {
	role := roleOf(s)
	if role == NoText {
		return Address{}, NoText, foreignText(s)
	}
	if len(s) != TextSize {
		return Address{}, NoText, refuse(fmt.Sprintf("a %s's key has %d characters, this has %d", role, TextSize, len(s)), hintCopy)
	}
	_, values, err := bechDecode(s)
	if err != nil {
		return Address{}, NoText, err
	}
	b, ok := eights(values)
	if !ok {
		return Address{}, NoText, refuse("the last bits of the key's text are not zero", "this text was not made by UPSYCLE; ask for the key again")
	}
	a, err := checkedText(b)
	if err != nil {
		return Address{}, NoText, err
	}
	return a, role, nil
}

// roleOf returns the role whose prefix and digit 1 begin s, in either case.
func roleOf(s string) TextRole {
	if len(s) < 4 || s[3] != '1' {
		return NoText
	}
	for r := RouterText; r <= GroupText; r++ {
		if strings.EqualFold(s[:3], r.Prefix()) {
			return r
		}
	}
	return NoText
}

// foreignText refuses what has none of our prefixes, with a better sentence
// where the checksum shows that it is a key of something else.
func foreignText(s string) error {
	if isHex(s) {
		return refuse(fmt.Sprintf("a key in hexadecimal has %d digits, this has %d", 2*AddressSize, len(s)), hintCopy)
	}
	if prefix, _, err := bechDecode(s); err == nil {
		return refuse(fmt.Sprintf("this is a text with prefix %q, not a key of UPSYCLE", prefix), hintForms)
	}
	return refuse("this is not a key", hintForms)
}

// checkedText is NewAddress with a sentence for people.
func checkedText(b []byte) (Address, error) {
	a, err := NewAddress(b)
	if err != nil {
		return Address{}, &TextError{
			text:  "this is the text of no valid key: not a canonical Ed25519 point of large order",
			hint:  "nobody holds the private half of it, or everybody does; ask its owner for the key again",
			cause: ErrBadKey,
		}
	}
	return a, nil
}

// isHex reports whether s is one or more hexadecimal digits of either case.
func isHex(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20 // lower case; digits have the bit already
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}
