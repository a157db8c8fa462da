package envelope

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"upsycle/internal/cbor"

	"pgregory.net/rapid"
)

// spec §4.1: what is encoded is parsed into the same values.
func TestHeaderRoundTrip(t *testing.T) {
	group, other := testKey(t, 1).Address(), testKey(t, 2).Address()
	rapid.Check(t, func(t *rapid.T) {
		h := Header{
			Target: Target{Kind(rapid.IntRange(0, 1).Draw(t, "kind")), group},
			From:   rapid.SampledFrom([]Target{{0, group}, {0, other}}).Draw(t, "from").To,
			Run:    Run(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "run")),
			First:  rapid.Uint64Max(1<<63-1025).Draw(t, "first"),
			Count:  rapid.IntRange(1, 1024).Draw(t, "count"),
			Time:   rapid.Uint64Max(TimeMax).Draw(t, "time"),
			TTL:    rapid.Uint64Range(1, TTLMax).Draw(t, "ttl"),
			Flags:  Flags(rapid.Uint64Max(15).Draw(t, "flags")),
		}
		copy(h.BodyHash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "body"))
		if h.HasCert = rapid.Bool().Draw(t, "has"); h.HasCert {
			copy(h.CertHash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "cert"))
		}
		b := h.AppendTo(nil)
		got, newer, err := parseHeader(b, nil)
		if err != nil || newer != nil || got != h {
			t.Fatalf("parsed %+v, %v, %v; want %+v", got, newer, err, h)
		}
		if len(b) > HeaderMax {
			t.Fatalf("a header of %d bytes", len(b))
		}
		for n := range b {
			if _, newer, err := parseHeader(b[:n], nil); err == nil && newer == nil {
				t.Fatalf("the first %d of %d bytes were parsed", n, len(b))
			}
		}
	})
}

// spec §1.1, §4.2: streams, numbers and the instant after which nobody delivers.
func TestHeaderQueries(t *testing.T) {
	h := newFixture(t).header
	h.First, h.Count, h.TTL, h.Time = 10, 5, 60, 1000
	if h.Next() != 15 {
		t.Errorf("next %d, want 15", h.Next())
	}
	if h.Expires() != 61_000 {
		t.Errorf("expires %d, want 61000", h.Expires())
	}
	if s := h.Stream(); s.Target != h.Target || s.From != h.From || s.Run != h.Run {
		t.Errorf("stream %+v", s)
	}
}

// spec §1.1: a target is a pair of kind and key, and tables are keyed by both.
func TestTargets(t *testing.T) {
	a, b := testKey(t, 1).Address(), testKey(t, 2).Address()
	if a.Compare(b) > 0 {
		a, b = b, a
	}
	order := []Target{{Group, a}, {Group, b}, {Address, a}, {Address, b}}
	for i := range order {
		for j := range order {
			got := order[i].Compare(order[j])
			if (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%v compared with %v: %d", order[i], order[j], got)
			}
		}
	}
	if s := order[0].String(); !strings.HasPrefix(s, "group:") {
		t.Errorf("a group prints as %s", s)
	}
	if s := order[2].String(); !strings.HasPrefix(s, "address:") {
		t.Errorf("an address prints as %s", s)
	}
}

// spec §4.1: the plaintext body.
func TestPlainBody(t *testing.T) {
	for _, items := range [][][]byte{{{}}, {[]byte("a")}, {[]byte("a"), {}, bytes.Repeat([]byte("b"), 300)}, make([][]byte, 1024)} {
		body := PlainBody(items)
		got, err := PlainItems(body, len(items))
		if err != nil || len(got) != len(items) {
			t.Fatalf("%d items came back as %d, %v", len(items), len(got), err)
		}
		for i := range items {
			if !bytes.Equal(got[i], items[i]) {
				t.Errorf("item %d came back as %x", i, got[i])
			}
		}
		if cap(body) != len(body) {
			t.Errorf("%d bytes in room for %d: the size was not foreseen", len(body), cap(body))
		}
	}
}

func TestPlainItemsRefuses(t *testing.T) {
	good := PlainBody([][]byte{[]byte("a"), []byte("b")})
	for _, c := range []struct {
		caption string
		body    []byte
		count   int
	}{
		{"fewer than the header says", good, 3},
		{"more than the header says", good, 1},
		{"no items", []byte{0x80}, 0},
		{"a text for an item", []byte{0x81, 0x61, 'a'}, 1},
		{"a byte after it", append(append([]byte(nil), good...), 0), 2},
		{"cut off", good[:len(good)-1], 2},
		{"more than 1024", PlainBody(make([][]byte, 1025)), 1025},
		{"a sealed body", cbor.AppendUint([]byte{0x81}, 1), 1},
		{"nothing", nil, 1},
	} {
		_, err := PlainItems(c.body, c.count)
		var f *Fault
		if !errors.As(err, &f) || f.Kind != Malformed {
			t.Errorf("%s: %v, want malformed", c.caption, err)
		}
	}
}

func FuzzPlainItems(f *testing.F) {
	f.Add(PlainBody([][]byte{[]byte("a"), []byte("b")}), 2)
	f.Add([]byte{0x9a, 0x7f, 0xff, 0xff, 0xff}, 1)
	f.Fuzz(func(t *testing.T, body []byte, count int) {
		items, err := PlainItems(body, count)
		if err == nil && (len(items) != count || !bytes.Equal(PlainBody(items), body)) {
			t.Fatalf("%x is encoded again as %x", body, PlainBody(items))
		}
	})
}

// A run tells when it began; two lives of one moment differ.
func TestRun(t *testing.T) {
	a, b := NewRun(1_767_225_600_123, 1), NewRun(1_767_225_600_123, 0xffff)
	if a == b || a.Start() != 1_767_225_600_123 || b.Start() != a.Start() {
		t.Errorf("%x began at %d, %x at %d", a, a.Start(), b, b.Start())
	}
	if want := (Run{0x01, 0x9b, 0x76, 0xda, 0xa8, 0x7b, 0, 1}); a != want {
		t.Errorf("%x, want %x", a, want)
	}
}
