package envelope

import (
	"encoding/binary"
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
)

// Limits of an envelope (spec §4).
const (
	Version     = 1
	HeaderMax   = 512       // bytes of an encoded header
	CertMax     = 256       // bytes of an encoded writer certificate's body
	BodyMax     = 1 << 20   // bytes of a body
	ItemsMax    = 1024      // items in one envelope
	TTLMax      = 2_592_000 // seconds: 30 days
	TimeMax     = 1<<48 - 1 // Unix milliseconds
	SequenceMax = 1<<63 - 1 // first + count is at most this
)

// ID names an envelope: SHA-256 over a label and the signed header, independent
// of the signature.
type ID identity.Hash

// String returns the first eight hexadecimal characters.
func (id ID) String() string { return fmt.Sprintf("%x", id[:4]) }

// Kind says what an envelope is addressed to.
type Kind uint8

// The kinds of target.
const (
	Group   Kind = 0 // a topic: everybody who subscribed
	Address Kind = 1 // one service or router
)

// A Target is what an envelope is for and what a subscription names.
type Target struct {
	Kind Kind
	To   identity.Address
}

// Compare orders targets by kind, then key.
func (t Target) Compare(u Target) int {
	if t.Kind != u.Kind {
		return int(t.Kind) - int(u.Kind)
	}
	return t.To.Compare(u.To)
}

// String returns a short form for logs.
func (t Target) String() string {
	if t.Kind == Group {
		return "group:" + t.To.String()
	}
	return "address:" + t.To.String()
}

// Flags of a header.
type Flags uint64

// The flags of version 1. An envelope with any other bit is refused with code 2.
const (
	Live    Flags = 1 << 0 // never stored
	Receipt Flags = 1 << 1 // the sender wants to know that it arrived
	Plain   Flags = 1 << 2 // the body is plaintext
	Control Flags = 1 << 3 // each item is a control item

	knownFlags = Live | Receipt | Plain | Control
)

// Run names one life of a publisher. It begins with the time of its start, which
// is a hint and never more: who subscribed before it waits for the stream's first
// item, who came later does not (spec §4.1).
type Run [8]byte

// NewRun names a life that starts at a time in Unix milliseconds. chance tells
// lives of one moment apart.
func NewRun(start uint64, chance uint16) (r Run) {
	binary.BigEndian.PutUint64(r[:], start<<16|uint64(chance))
	return r
}

// Start returns when the life began, in Unix milliseconds, as far as the run says.
func (r Run) Start() uint64 { return binary.BigEndian.Uint64(r[:]) >> 16 }

// Stream is what sequence numbers count in.
type Stream struct {
	Target Target
	From   identity.Address
	Run    Run
}

// Header is the part of an envelope that is signed.
type Header struct {
	Target   Target
	From     identity.Address // the writer (group) or the sender (address)
	Run      Run
	First    uint64 // sequence number of the first item
	Count    int    // items, 1 to ItemsMax
	Time     uint64 // Unix milliseconds
	TTL      uint64 // seconds
	Flags    Flags
	BodyHash identity.Hash // plain SHA-256 of the body
	HasCert  bool
	CertHash identity.Hash // plain SHA-256 of the certificate's body, where HasCert
}

// Stream returns the stream that the header's numbers belong to.
func (h *Header) Stream() Stream { return Stream{h.Target, h.From, h.Run} }

// Expires returns the instant, in Unix milliseconds, after which no router keeps
// or delivers the envelope.
func (h *Header) Expires() uint64 { return h.Time + h.TTL*1000 }

// Next returns the sequence number that follows the last item.
func (h *Header) Next() uint64 { return h.First + uint64(h.Count) }

// AppendTo appends the encoded header to b.
func (h *Header) AppendTo(b []byte) []byte {
	b = cbor.AppendArray(b, headerFields)
	b = cbor.AppendUint(b, Version)
	b = cbor.AppendUint(b, uint64(h.Target.Kind))
	b = appendKey(b, h.Target.To)
	b = appendKey(b, h.From)
	b = cbor.AppendBytes(b, h.Run[:])
	b = cbor.AppendUint(b, h.First)
	b = cbor.AppendUint(b, uint64(h.Count))
	b = cbor.AppendUint(b, h.Time)
	b = cbor.AppendUint(b, h.TTL)
	b = cbor.AppendUint(b, uint64(h.Flags))
	b = cbor.AppendBytes(b, h.BodyHash[:])
	if !h.HasCert {
		return cbor.AppendNull(b)
	}
	return cbor.AppendBytes(b, h.CertHash[:])
}

const headerFields = 12

// parseHeader reads b. The second result is a fault of a header that a newer
// version may have made: unknown version, kind or flag. It is no reason to
// distrust whoever passed it on, so it does not fail the parse.
func parseHeader(b []byte, keys identity.KeyChecker) (Header, *Fault, error) {
	r := cbor.NewReader(b)
	var h Header
	n := r.Array(1, 32)
	if version := r.Uint(1<<64 - 1); r.Err() == nil && version != Version {
		return h, faultf(Newer, "envelope version %d, this program speaks %d", version, Version), nil
	}
	if r.Err() == nil && n != headerFields {
		r.Fail("a header of %d fields, want %d", n, headerFields)
	}
	kind := r.Uint(1<<64 - 1)
	h.Target.To = readKey(&r, keys)
	h.From = readKey(&r, keys)
	copy(h.Run[:], r.Bytes(8, 8))
	h.First = r.Uint(SequenceMax)
	h.Count = int(r.Uint(ItemsMax))
	h.Time = r.Uint(TimeMax)
	h.TTL = r.Uint(TTLMax)
	h.Flags = Flags(r.Uint(1<<64 - 1))
	copy(h.BodyHash[:], r.Bytes(32, 32))
	if h.HasCert = !r.Null(); h.HasCert {
		copy(h.CertHash[:], r.Bytes(32, 32))
	}
	if r.Err() == nil && (h.Count == 0 || h.TTL == 0 || h.First+uint64(h.Count) > SequenceMax) {
		r.Fail("count, ttl or sequence number is out of range")
	}
	if err := r.End(); err != nil {
		return h, nil, err
	}
	if kind > uint64(Address) || h.Flags&^knownFlags != 0 {
		return h, faultf(Newer, "envelope of unknown kind %d or flags %#x", kind, uint64(h.Flags)), nil
	}
	h.Target.Kind = Kind(kind)
	return h, nil, nil
}

func appendKey(b []byte, a identity.Address) []byte {
	return a.AppendTo(cbor.AppendBytesHead(b, identity.AddressSize))
}

func readKey(r *cbor.Reader, keys identity.KeyChecker) identity.Address {
	b := r.Bytes(identity.AddressSize, identity.AddressSize)
	if r.Err() != nil {
		return identity.Address{}
	}
	a, err := identity.Checked(keys, b)
	if err != nil {
		r.Fail("%v", err)
	}
	return a
}
