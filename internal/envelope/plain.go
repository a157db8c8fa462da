package envelope

import "upsycle/internal/cbor"

// PlainBody encodes items as the plaintext body of an envelope.
func PlainBody(items [][]byte) []byte {
	size := cbor.HeadLen(uint64(len(items)))
	for _, it := range items {
		size += cbor.HeadLen(uint64(len(it))) + len(it)
	}
	b := cbor.AppendArray(make([]byte, 0, size), len(items))
	for _, it := range items {
		b = cbor.AppendBytes(b, it)
	}
	return b
}

// PlainItems reads a plaintext body of exactly count items; they point into
// body. Only an end calls it: a router never opens a body.
func PlainItems(body []byte, count int) ([][]byte, error) {
	r := cbor.NewReader(body)
	n := r.Array(1, ItemsMax)
	if r.Err() == nil && n != count {
		r.Fail("%d items in the body, the header says %d", n, count)
	}
	items := make([][]byte, 0, n)
	for range n {
		items = append(items, r.Bytes(0, BodyMax))
	}
	if err := r.End(); err != nil {
		return nil, faultf(Malformed, "body: %v", err)
	}
	return items, nil
}
