package identity

import (
	"bytes"
	"encoding/hex"
	"errors"

	"filippo.io/edwards25519"
)

// AddressSize is the length of an address in bytes.
const AddressSize = 32

// Address is an Ed25519 public key that has been checked: 32 bytes in canonical
// form, a point of the curve that is not of small order. Every group, service
// and router is one. The zero Address is no address; only NewAddress and the
// parsers make others, so holding one is the proof that it was checked.
//
// Addresses are comparable and may be keys of maps.
type Address struct{ key [AddressSize]byte }

// ErrBadKey says that 32 bytes are no address: not canonical, not a point of the
// curve, or of small order (a key under which anybody can sign).
var ErrBadKey = errors.New("identity: not a canonical Ed25519 point of large order")

// NewAddress checks b and copies it (spec §2.2: the signature rule). It returns
// ErrBadKey for anything but a canonical point of large order.
func NewAddress(b []byte) (Address, error) {
	if len(b) != AddressSize {
		return Address{}, ErrBadKey
	}
	p, err := new(edwards25519.Point).SetBytes(b)
	if err != nil || !bytes.Equal(p.Bytes(), b) {
		return Address{}, ErrBadKey
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return Address{}, ErrBadKey
	}
	var a Address
	copy(a.key[:], b)
	return a, nil
}

// A KeyChecker turns 32 received bytes into an Address, or refuses them with
// ErrBadKey. The check costs a square root, so links share a cache of keys that
// passed; a nil KeyChecker means NewAddress itself.
type KeyChecker interface {
	Address(b []byte) (Address, error)
}

// Checked applies c to b, or NewAddress where c is nil.
func Checked(c KeyChecker, b []byte) (Address, error) {
	if c == nil {
		return NewAddress(b)
	}
	return c.Address(b)
}

// IsZero reports whether a is the zero Address, which names nobody.
func (a Address) IsZero() bool { return a == Address{} }

// Bytes returns a copy of the 32 bytes.
func (a Address) Bytes() []byte { return append([]byte(nil), a.key[:]...) }

// AppendTo appends the 32 bytes to b.
func (a Address) AppendTo(b []byte) []byte { return append(b, a.key[:]...) }

// Compare orders addresses by their bytes; it returns -1, 0 or +1.
func (a Address) Compare(b Address) int { return bytes.Compare(a.key[:], b.key[:]) }

// String returns a short form for logs: eight hexadecimal characters. It is not
// a text form that can be parsed; see Text.
func (a Address) String() string {
	if a.IsZero() {
		return "nobody"
	}
	return hex.EncodeToString(a.key[:4])
}
