package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// The times of all vectors.
const (
	noon     = 1_767_225_600_000 // 2026-01-01
	certFrom = 0x19b71b44c00
	certTo   = 0x19d46570000
	day      = 24 * 3600 * 1000
)

func key(seed byte) identity.Key {
	k, err := identity.NewKey(bytes.Repeat([]byte{seed}, identity.SeedSize))
	if err != nil {
		panic(err)
	}
	return k
}

// pub returns the 32 bytes of the key of a seed.
func pub(seed byte) []byte { return key(seed).Address().Bytes() }

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func num(n uint64) []byte { return cbor.AppendUint(nil, n) }

func str(b []byte) []byte { return cbor.AppendBytes(nil, b) }

func zeros(n int) []byte { return str(make([]byte, n)) }

func text(s string) []byte { return cbor.AppendText(nil, s) }

// arr encodes an array of items that are encoded already.
func arr(items ...[]byte) []byte {
	return append(cbor.AppendArray(nil, len(items)), cat(items...)...)
}

// many encodes n times the same item.
func many(n int, item []byte) []byte {
	return append(cbor.AppendArray(nil, n), bytes.Repeat(item, n)...)
}

func null() []byte { return []byte{0xf6} }

// with returns fields with one of them replaced.
func with(fields [][]byte, i int, field []byte) [][]byte {
	out := append([][]byte(nil), fields...)
	out[i] = field
	return out
}

// signed encodes [body, sig].
func signed(k identity.Key, label identity.Label, body []byte) []byte {
	s := k.Sign(label, body)
	return arr(str(body), str(s[:]))
}

// smallOrder holds the encodings of the points of small order: the identity, the
// point of order 2, one of order 4, one of order 8.
func smallOrder() []struct {
	name string
	key  []byte
} {
	return []struct {
		name string
		key  []byte
	}{
		{"order-1", unhex("01" + strings.Repeat("00", 31))},
		{"order-2", unhex("ec" + strings.Repeat("ff", 30) + "7f")},
		{"order-4", make([]byte, 32)},
		{"order-8", unhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")},
	}
}

// A message is an envelope before it is put together: the tests change a part.
type message struct {
	signer identity.Key
	header [][]byte // encoded fields
	cert   []byte   // encoded, or null
	body   []byte
}

// ownMessage is a group's message that the group key signs.
func ownMessage() *message {
	m := &message{signer: key(1), cert: null(), body: envelope.PlainBody([][]byte{[]byte("hello")})}
	m.header = [][]byte{
		num(1), num(0), str(pub(1)), str(pub(1)), str(bytes.Repeat([]byte{5}, 8)), num(0), num(1),
		num(noon), num(604_800), num(4), nil, null(),
	}
	return m
}

// writerMessage is one by a writer with a certificate.
func writerMessage() *message {
	m := ownMessage()
	m.signer = key(2)
	m.header[3] = str(pub(2))
	m.certify(certBody(pub(1), pub(2), certFrom, certTo, 3))
	return m
}

// mailMessage is one to an address.
func mailMessage() *message {
	m := ownMessage()
	m.signer = key(2)
	m.header[1], m.header[2], m.header[3] = num(1), str(pub(9)), str(pub(2))
	return m
}

func certBody(group, writer []byte, from, to, rights uint64) []byte {
	return arr(num(1), str(group), str(writer), num(from), num(to), num(rights))
}

// certify puts a certificate of the group in, into header and envelope.
func (m *message) certify(body []byte) {
	hash := sha256.Sum256(body)
	m.header[11] = str(hash[:])
	m.cert = signed(key(1), identity.LabelWriter, body)
}

// set replaces a field of the header.
func (m *message) set(i int, field []byte) *message {
	m.header[i] = field
	return m
}

// headerBytes fills the body's hash, unless a test has set one.
func (m *message) headerBytes() []byte {
	if m.header[10] == nil {
		hash := sha256.Sum256(m.body)
		m.header[10] = str(hash[:])
	}
	return arr(m.header...)
}

// bytes signs and encodes.
func (m *message) bytes() []byte { return m.around(m.headerBytes()) }

// around signs a header that may be anything.
func (m *message) around(header []byte) []byte {
	sig := m.signer.Sign(identity.LabelEnvelope, header)
	return arr(str(header), str(sig[:]), m.cert, str(m.body))
}
