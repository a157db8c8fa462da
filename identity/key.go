package identity

import (
	"crypto/ed25519"
	"errors"
	"io"
)

// Signature is an Ed25519 signature (RFC 8032, the rule of crypto/ed25519).
type Signature [ed25519.SignatureSize]byte

// Key is a private key and its address. It prints as "[secret]" in every
// format; the secret leaves it only through Seed and Private. The zero Key cannot
// sign. A Key may be used by any number of goroutines. Keys cannot be compared:
// compare their addresses.
type Key struct {
	// private lies behind a function because package fmt cannot call the methods
	// of a Key that is an unexported field of somebody's struct. It then prints
	// what it finds by itself: the bytes of a slice, and with some verbs those
	// behind a pointer, but of a function only where it is.
	private func() ed25519.PrivateKey
	address Address
}

// SeedSize is the length of a private seed in bytes.
const SeedSize = ed25519.SeedSize

// ErrBadSeed says that a private seed does not have 32 bytes.
var ErrBadSeed = errors.New("identity: a private key is a seed of 32 bytes")

// NewKey makes the key of a 32-byte seed. Longer forms are refused, since a
// 64-byte private key may carry a public half that is not its own.
func NewKey(seed []byte) (Key, error) {
	if len(seed) != SeedSize {
		return Key{}, ErrBadSeed
	}
	private := ed25519.NewKeyFromSeed(seed)
	address, err := NewAddress(private[SeedSize:])
	if err != nil {
		return Key{}, err
	}
	return Key{func() ed25519.PrivateKey { return private }, address}, nil
}

// GenerateKey reads a seed from random, which is crypto/rand.Reader outside of
// tests.
func GenerateKey(random io.Reader) (Key, error) {
	var seed [SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return Key{}, err
	}
	return NewKey(seed[:])
}

// Address returns the public half.
func (k Key) Address() Address { return k.address }

// IsZero reports whether k is the zero Key.
func (k Key) IsZero() bool { return k.private == nil }

// Seed returns a copy of the 32 secret bytes, for writing them to a file. It
// panics for the zero Key.
func (k Key) Seed() []byte { return k.Private().Seed() }

// Private returns the key as crypto/tls wants it. The caller must not change it.
// It panics for the zero Key.
func (k Key) Private() ed25519.PrivateKey { return k.private() }

// Sign signs label || body. It panics for the zero Key.
func (k Key) Sign(label Label, body []byte) Signature {
	var sig Signature
	copy(sig[:], ed25519.Sign(k.Private(), join(label, body)))
	return sig
}

// Verify reports whether sig is a's signature over label || body.
func (a Address) Verify(label Label, body []byte, sig Signature) bool {
	return !a.IsZero() && ed25519.Verify(a.key[:], join(label, body), sig[:])
}

// join puts the label before the body; what is signed has no other form (spec §2.1).
func join(label Label, body []byte) []byte {
	b := make([]byte, 0, len(label)+len(body))
	return append(append(b, label...), body...)
}
