package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/envelope"
)

// spec §5.3, §5.4, §10.1, §11.2: the envelope's bytes go on as they came, in
// whatever frame, and are not copied on the way in.
func TestEnvelopesAreCarriedAsTheyCame(t *testing.T) {
	e, root := testEnvelope(t), addr(t, 3)
	stamp := Stamp{root, testTime}
	inside := func(f Frame) *envelope.Envelope {
		switch f := f.(type) {
		case *Publish:
			return f.Envelope
		case *Deliver:
			return f.Envelope
		case *Data:
			return f.Envelope
		case *Pulled:
			return f.Envelope
		}
		return nil
	}
	for _, f := range []Frame{&Publish{e}, &Deliver{1, e}, &Data{root, 1, stamp, e}, &Pulled{stamp, e}} {
		b := f.AppendTo(nil)
		got, err := Decode(b, nil)
		if err != nil {
			t.Fatal(err)
		}
		in := inside(got)
		if in.ID != e.ID || !bytes.Equal(in.Raw, e.Raw) {
			t.Errorf("%v carries another envelope: %v", f, in.ID)
		}
		at := bytes.Index(b, e.Raw)
		if &in.Raw[0] != &b[at] || &in.Body[0] != &b[at+bytes.Index(e.Raw, e.Body)] {
			t.Errorf("%v: the envelope was copied", f)
		}
		if cap(in.Raw) != len(in.Raw) {
			t.Errorf("%v: appending to the envelope would write over its neighbour", f)
		}
	}
}

// A frame may be queued on many links: encoding it changes nothing in it.
func TestEncodingLeavesTheFrameAlone(t *testing.T) {
	for _, s := range samples(t) {
		first := s.frame.AppendTo(nil)
		text := s.frame.String()
		second := s.frame.AppendTo(make([]byte, 7, 4096))
		if !bytes.Equal(first, second[7:]) || s.frame.String() != text {
			t.Errorf("%s: the second encoding differs", s.caption)
		}
	}
}

// Decoding leaves its input alone.
func TestDecodingLeavesTheInputAlone(t *testing.T) {
	for _, s := range samples(t) {
		b := s.frame.AppendTo(nil)
		before := slices.Clone(b)
		if _, err := Decode(b, nil); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, before) {
			t.Errorf("%s: the input was changed", s.caption)
		}
	}
}

// spec §2.3: the core's hot path, one envelope from link to link, costs a handful
// of allocations whatever its size.
func TestDataAllocations(t *testing.T) {
	for _, items := range []int{1, 64, 1024} {
		list := make([][]byte, items)
		for i := range list {
			list[i] = bytes.Repeat([]byte("x"), 100)
		}
		e, err := envelope.Sign(envelope.Header{Target: group(t), Count: items, Time: testTime, TTL: 1, Flags: envelope.Plain}, nil, envelope.PlainBody(list), testKey(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		f := &Data{addr(t, 3), 0, Stamp{addr(t, 3), testTime}, e}
		in, out := f.AppendTo(nil), make([]byte, 0, f.Weight())
		keys := trusting{}
		if n := testing.AllocsPerRun(20, func() {
			got, err := Decode(in, keys)
			if err != nil {
				t.Fatal(err)
			}
			out = got.AppendTo(out[:0])
		}); n > 3 {
			t.Errorf("%d items: %v allocations to read and write one data frame", items, n)
		}
		if !bytes.Equal(in, out) {
			t.Error("other bytes")
		}
	}
}

// trusting stands for a cache that has seen all keys.
type trusting struct{}

func (trusting) Address(b []byte) (identity.Address, error) { return identity.NewAddress(b) }

// spec §3.3, §3.4: a peer's text reaches the log quoted, and is never long.
func TestPeerTextInStrings(t *testing.T) {
	f := &Close{Code: NotAllowed, Text: "first\"second"}
	if got := f.String(); got != `close{not allowed "first\"second"}` {
		t.Errorf("prints as %s", got)
	}
	h := &Hello{Role: Edge, Boot: [8]byte{0xab}, Agent: "evil agent"}
	if got := h.String(); strings.Contains(got, "evil") || !strings.Contains(got, "edge") {
		t.Errorf("prints as %s", got)
	}
}

// Lists of entries print the first few, and how many there are.
func TestLongListsPrintShort(t *testing.T) {
	i, e := &Interest{Root: addr(t, 3)}, &Elsewhere{Root: addr(t, 3)}
	for range 100 {
		i.Entries = append(i.Entries, InterestEntry{group(t), Receiver | Sender, nil})
		e.Entries = append(e.Entries, ElsewhereEntry{mail(t), true})
	}
	for _, f := range []Frame{i, e} {
		got := f.String()
		if !strings.HasSuffix(got, "; 100}") || strings.Count(got, "=") != 4 {
			t.Errorf("prints as %s", got)
		}
	}
	if got := i.String(); !strings.Contains(got, "group:") || !strings.Contains(got, "=RS") {
		t.Errorf("prints as %s", got)
	}
}

func BenchmarkDecodeData(b *testing.B) {
	e := testEnvelope(b)
	f := &Data{addr(b, 3), 0, Stamp{addr(b, 3), testTime}, e}
	in := f.AppendTo(nil)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(in, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendData(b *testing.B) {
	e := testEnvelope(b)
	f := &Data{addr(b, 3), 0, Stamp{addr(b, 3), testTime}, e}
	out := make([]byte, 0, f.Weight())
	b.SetBytes(int64(len(f.AppendTo(nil))))
	b.ReportAllocs()
	for b.Loop() {
		out = f.AppendTo(out[:0])
	}
}
