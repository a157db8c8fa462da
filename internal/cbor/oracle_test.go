package cbor

import (
	"bytes"
	"fmt"
	"testing"

	fx "github.com/fxamacker/cbor/v2"
)

// oracle reads with another library. It takes more than our dialect (spec §2.3),
// so only one direction can be compared: what ours accepts it must accept, with
// equal values and, written again in its deterministic mode, equal bytes.
func oracle(t testing.TB) (fx.DecMode, fx.EncMode) {
	t.Helper()
	dec, err := fx.DecOptions{
		IndefLength: fx.IndefLengthForbidden,
		TagsMd:      fx.TagsForbidden,
		UTF8:        fx.UTF8RejectInvalid,
		IntDec:      fx.IntDecConvertNone,
	}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	enc, err := fx.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	return dec, enc
}

// value reads one value into the types that the oracle uses.
func value(r *Reader) any {
	if r.Err() != nil || r.Null() {
		return nil
	}
	switch r.b[r.off] & 0xe0 {
	case majorUint:
		return r.Uint(1<<64 - 1)
	case majorBytes:
		return append([]byte{}, r.Bytes(0, 1<<30)...)
	case majorText:
		return r.Text(0, 1<<30)
	}
	list := []any{}
	for n := r.Array(0, 1<<30); n > 0; n-- {
		list = append(list, value(r))
	}
	return list
}

// write is the inverse of value.
func write(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return AppendNull(b)
	case uint64:
		return AppendUint(b, v)
	case []byte:
		return AppendBytes(b, v)
	case string:
		return AppendText(b, v)
	}
	list := v.([]any)
	b = AppendArray(b, len(list))
	for _, item := range list {
		b = write(b, item)
	}
	return b
}

func agree(t testing.TB, in []byte) {
	t.Helper()
	if Valid(in) != nil {
		return
	}
	dec, enc := oracle(t)
	r := NewReader(in)
	ours := value(&r)
	if err := r.End(); err != nil {
		t.Fatalf("%x is valid, but reading it fails: %v", in, err)
	}
	if again := write(nil, ours); !bytes.Equal(again, in) {
		t.Fatalf("%x was written again as %x", in, again)
	}
	var theirs any
	if err := dec.Unmarshal(in, &theirs); err != nil {
		t.Fatalf("ours accepts %x, the oracle does not: %v", in, err)
	}
	if a, b := fmt.Sprintf("%#v", ours), fmt.Sprintf("%#v", theirs); a != b {
		t.Fatalf("%x reads as %s, for the oracle as %s", in, a, b)
	}
	if again, err := enc.Marshal(theirs); err != nil || !bytes.Equal(again, in) {
		t.Fatalf("the oracle wrote %x again as %x, %v", in, again, err)
	}
}

func FuzzValid(f *testing.F) {
	for _, s := range []string{
		"00", "1bffffffffffffffff", "43010203", "63c3a961", "8401414260f6", "818181818180", "9817" + "00", "1817", "5f4101ff",
		"f4", "f7", "fb3ff199999999999a", "a10102", "c000", "20", "9b7fffffffffffffff", "7a40000000", "6100",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		agree(t, in)
		if n := bytesAllocated(func() { _ = Valid(in) }); n > uint64(4*len(in))+64<<10 {
			t.Fatalf("%d bytes allocated to validate %d", n, len(in))
		}
	})
}

// The traps that made the dialect need a reader of its own: the oracle takes all
// of these, ours must not.
func TestOursIsStricterThanTheOracle(t *testing.T) {
	dec, _ := oracle(t)
	for _, c := range []struct{ caption, in string }{
		{"3 in two bytes", "1803"},
		{"an array head in two bytes", "98020102"},
		{"true", "f5"},
		{"undefined", "f7"},
		{"a control character", "6101"},
		{"a negative number", "20"},
		{"a float", "f93c00"},
		{"a map", "a10102"},
	} {
		in := unhex(t, c.in)
		var v any
		if err := dec.Unmarshal(in, &v); err != nil {
			t.Errorf("%s: the oracle refuses it too, %v: this case shows nothing", c.caption, err)
		}
		if Valid(in) == nil {
			t.Errorf("%s: accepted", c.caption)
		}
	}
}
