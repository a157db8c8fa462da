package cbor

import "encoding/binary"

// The major types of the dialect (RFC 8949 §3.1), shifted into place.
const (
	majorUint  = 0 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	null       = 7<<5 | 22
)

// AppendUint appends n in its shortest form.
func AppendUint(b []byte, n uint64) []byte { return appendHead(b, majorUint, n) }

// AppendBytes appends s as a byte string.
func AppendBytes(b, s []byte) []byte {
	return append(appendHead(b, majorBytes, uint64(len(s))), s...)
}

// AppendText appends s as a text string. The caller answers for s being UTF-8
// without control characters; the reader refuses anything else.
func AppendText(b []byte, s string) []byte {
	return append(appendHead(b, majorText, uint64(len(s))), s...)
}

// AppendBytesHead appends the head of a byte string of n bytes; the caller
// appends the bytes.
func AppendBytesHead(b []byte, n int) []byte { return appendHead(b, majorBytes, uint64(n)) }

// AppendArray appends the head of an array of n items; the caller appends them.
func AppendArray(b []byte, n int) []byte { return appendHead(b, majorArray, uint64(n)) }

// AppendNull appends null.
func AppendNull(b []byte) []byte { return append(b, null) }

// AppendBool appends a truth value as the dialect writes it: 0 or 1.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// HeadLen returns how many bytes the head of a value with argument n takes.
func HeadLen(n uint64) int {
	switch {
	case n < 24:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	case n < 1<<32:
		return 5
	}
	return 9
}

func appendHead(b []byte, major byte, n uint64) []byte {
	switch HeadLen(n) {
	case 1:
		return append(b, major|byte(n))
	case 2:
		return append(b, major|24, byte(n))
	case 3:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case 5:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}
