package cbor

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// spec §2.3: the shortest form at each of its edges.
func TestAppendUint(t *testing.T) {
	for _, c := range []struct {
		n    uint64
		want string
	}{
		{0, "00"}, {23, "17"}, {24, "1818"}, {255, "18ff"}, {256, "190100"}, {65535, "19ffff"}, {65536, "1a00010000"},
		{1<<32 - 1, "1affffffff"}, {1 << 32, "1b0000000100000000"}, {1<<64 - 1, "1bffffffffffffffff"},
	} {
		got := AppendUint(nil, c.n)
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%d: %x, want %s", c.n, got, c.want)
		}
		if HeadLen(c.n) != len(got) {
			t.Errorf("%d: HeadLen %d, want %d", c.n, HeadLen(c.n), len(got))
		}
	}
}

func TestAppendOthers(t *testing.T) {
	for _, c := range []struct {
		caption string
		got     []byte
		want    string
	}{
		{"bytes", AppendBytes(nil, []byte{1, 2}), "420102"},
		{"no bytes", AppendBytes(nil, nil), "40"},
		{"bytes with a longer head", AppendBytes(nil, make([]byte, 24)), "5818" + strings.Repeat("00", 24)},
		{"a head of bytes", AppendBytesHead(nil, 300), "59012c"},
		{"text", AppendText(nil, "é"), "62c3a9"},
		{"an array", AppendArray(nil, 24), "9818"},
		{"null", AppendNull(nil), "f6"},
		{"yes", AppendBool(nil, true), "01"},
		{"no", AppendBool(nil, false), "00"},
		{"after something", AppendUint([]byte{0x82, 0x01}, 2), "820102"},
	} {
		if hex.EncodeToString(c.got) != c.want {
			t.Errorf("%s: %x, want %s", c.caption, c.got, c.want)
		}
	}
}

// Whatever is written is read back as it was, and is valid.
func TestWriteRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n")
		s := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "s")
		text := rapid.StringMatching(`[a-zé€]{0,40}`).Draw(t, "text")
		yes := rapid.Bool().Draw(t, "yes")

		b := AppendArray(nil, 5)
		b = AppendBool(AppendText(AppendBytes(AppendUint(b, n), s), text), yes)
		b = AppendNull(b)
		if err := Valid(b); err != nil {
			t.Fatal(err)
		}
		r := NewReader(b)
		r.Array(5, 5)
		gotN, gotS, gotText, gotYes, gotNull := r.Uint(1<<64-1), r.Bytes(0, 300), r.Text(0, 200), r.Bool(), r.Null()
		if err := r.End(); err != nil {
			t.Fatal(err)
		}
		if gotN != n || !bytes.Equal(gotS, s) || gotText != text || gotYes != yes || !gotNull {
			t.Fatalf("read %d %x %q %v %v", gotN, gotS, gotText, gotYes, gotNull)
		}
	})
}
