package identity

import (
	"bytes"
	"encoding/pem"
)

// A key file holds PKCS#8 (RFC 5958, RFC 8410) as "openssl genpkey -algorithm
// ed25519" writes it: one PEM block whose 48 bytes of DER are the same for every
// key up to the seed. So there is nothing in it to parse.
const (
	pemType   = "PRIVATE KEY"
	derPrefix = "\x30\x2e" + // SEQUENCE of 46 bytes
		"\x02\x01\x00" + // version 0: no public half, which could be a forged one
		"\x30\x05\x06\x03\x2b\x65\x70" + // the algorithm: Ed25519
		"\x04\x22\x04\x20" // OCTET STRING of an OCTET STRING of 32 bytes
	derSize = len(derPrefix) + SeedSize
)

// MarshalPEM returns k as a PEM file, byte for byte what OpenSSL writes. The
// result is secret. It is nil for the zero Key.
func MarshalPEM(k Key) []byte {
	if k.IsZero() {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: append([]byte(derPrefix), k.Seed()...)})
}

// ParsePEM reads one private key: one unencrypted block and nothing around it, so
// that nobody takes a file of several keys for one of them. The base64 in it is
// read as leniently as package pem reads it; MarshalPEM of the result is the one
// strict form. The error is a *TextError and quotes nothing.
func ParsePEM(b []byte) (Key, error) {
	block, rest := pem.Decode(b)
	switch {
	case len(bytes.TrimSpace(b)) == 0:
		return Key{}, refuse("the key file is empty", "restore it from a backup, or make a new key with: upsycle key new --out FILE")
	case block == nil:
		return Key{}, refuse("this is not a PEM file", "a key file begins with -----BEGIN PRIVATE KEY-----; upsycle key new --out FILE makes one")
	case block.Type != pemType:
		return Key{}, wrongBlock(block.Type)
	case len(bytes.TrimSpace(rest)) != 0 || !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN ")):
		return Key{}, refuse("something stands before or after the private key", "keep one key in a file and nothing else")
	case len(block.Headers) != 0:
		return Key{}, refuse("the private key has PEM headers", hintConvert)
	// The seed is all that is read; a public half would be computed from it anyway,
	// and one that is not its own gives signatures that betray the seed.
	case len(block.Bytes) != derSize || !bytes.HasPrefix(block.Bytes, []byte(derPrefix)):
		return Key{}, refuse("this is not an Ed25519 private key in plain PKCS#8", "openssl genpkey -algorithm ed25519 -out FILE makes one")
	}
	return NewKey(block.Bytes[len(derPrefix):])
}

// hintConvert helps where a key is good but dressed up.
const hintConvert = "openssl pkey -in FILE -out NEWFILE writes an Ed25519 key the way it is wanted"

// wrongBlock says what was found in the place of a private key.
func wrongBlock(kind string) error {
	switch kind {
	case "PUBLIC KEY", "CERTIFICATE":
		return refuse("this file holds a public key, not a private one", "name the file with the private key")
	case "ENCRYPTED PRIVATE KEY":
		return refuse("the private key is encrypted with a passphrase", hintConvert)
	case "OPENSSH PRIVATE KEY":
		return refuse("this is a key of OpenSSH", "upsycle key new --out FILE makes a key; keys of SSH are not taken")
	}
	return refuse("this PEM file holds no private key in PKCS#8", hintConvert)
}
