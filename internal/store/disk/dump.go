package disk

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"upsycle/internal/machine"
)

// A Format is a form in which Dump writes rows.
type Format uint8

// CBOR is a sequence (RFC 8742) of arrays [key, value] of two byte strings, in the
// dialect of docs/spec.md. JSON is one array ["key", "value"] a line, both in
// hexadecimal digits.
const (
	CBOR Format = iota
	JSON
)

// Dump writes all rows in order, as they are at one moment. The store's own rows
// are left out, so two stores with the same rows have the same dump.
func (e *Engine) Dump(w io.Writer, format Format) error {
	var line []byte
	return e.Each(nil, nil, func(row machine.Row) error {
		var err error
		switch format {
		case CBOR:
			line = appendBytes(appendBytes(append(line[:0], 0x82), row.Key), row.Value)
		case JSON:
			line, err = json.Marshal([2]string{hex.EncodeToString(row.Key), hex.EncodeToString(row.Value)})
			line = append(line, '\n')
		default:
			err = fmt.Errorf("disk: no such format: %d", format)
		}
		if err != nil {
			return err
		}
		_, err = w.Write(line)
		return err
	})
}

// appendBytes appends a CBOR byte string with the shortest head.
func appendBytes(b, s []byte) []byte {
	const major = 2 << 5
	switch n := len(s); {
	case n < 24:
		b = append(b, major|byte(n))
	case n < 1<<8:
		b = append(b, major|24, byte(n))
	case n < 1<<16:
		b = append(b, major|25, byte(n>>8), byte(n))
	default:
		b = append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, s...)
}
