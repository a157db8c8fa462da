package wire

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// spec §3.2, and §3.4, §8.2, §8.4 for the frames that have no other: what is encoded
// is decoded into the same, of one type, and is no heavier than it says.
func TestEveryFrame(t *testing.T) {
	seen := map[Type]bool{}
	for _, s := range samples(t) {
		b := s.frame.AppendTo(nil)
		if err := cbor.Valid(b); err != nil {
			t.Errorf("%s: encoded outside of the dialect: %v", s.caption, err)
		}
		got, err := Decode(b, nil)
		if err != nil {
			t.Errorf("%s: %v", s.caption, err)
			continue
		}
		if reflect.TypeOf(got) != reflect.TypeOf(s.frame) || got.Type() != s.frame.Type() {
			t.Errorf("%s: decoded as %T", s.caption, got)
		}
		if again := got.AppendTo(nil); !bytes.Equal(again, b) {
			t.Errorf("%s: encoded again as\n%x, want\n%x", s.caption, again, b)
		}
		if got.String() != s.frame.String() {
			t.Errorf("%s: decoded into %v, want %v", s.caption, got, s.frame)
		}
		if got.Weight() < len(b) || s.frame.Weight() < len(b) {
			t.Errorf("%s: weighs %d, but has %d bytes", s.caption, s.frame.Weight(), len(b))
		}
		if s.frame.Weight() > 2*len(b)+256 {
			t.Errorf("%s: weighs %d for %d bytes", s.caption, s.frame.Weight(), len(b))
		}
		seen[got.Type()] = true
	}
	for n := Type(0); n < 64; n++ {
		if _, unknown := (&decoder{}).frame(n).(*Unknown); unknown == seen[n] {
			t.Errorf("type %d is known to the decoder or to the samples, but not to both", n)
		}
	}
}

// Every value that is decoded is the value that was encoded, not only its bytes.
func TestDecodedValues(t *testing.T) {
	for _, s := range samples(t) {
		got, err := Decode(s.frame.AppendTo(nil), nil)
		if err != nil {
			t.Fatal(s.caption, err)
		}
		switch s.frame.(type) {
		case *Publish, *Deliver, *Data, *Pulled: // envelopes have tests of their own
			continue
		}
		// An empty list may come back as nil and the other way round.
		if h, ok := got.(*Hello); ok && len(h.Features) == 0 {
			h.Features = nil
		}
		if !reflect.DeepEqual(got, s.frame) {
			t.Errorf("%s: decoded\n%+v, want\n%+v", s.caption, got, s.frame)
		}
	}
}

func TestStringsNameTheFrame(t *testing.T) {
	for _, s := range samples(t) {
		name := strings.Fields(strings.ReplaceAll(s.caption, ",", ""))[0]
		text := s.frame.String()
		if !strings.HasPrefix(text, name+"{") || !strings.HasSuffix(text, "}") || len(text) > 1600 {
			t.Errorf("%s prints as %s", s.caption, text)
		}
	}
	if got := (&Announce{}).String(); !strings.Contains(got, "hops 0") {
		t.Errorf("an announcement without hops prints as %s", got)
	}
}

// spec §3.2: a known type with another number of fields is malformed.
func TestFieldCounts(t *testing.T) {
	for _, s := range samples(t) {
		list := fields(t, s.frame.AppendTo(nil))
		wantCode(t, s.caption+" with a field less", join(list[:len(list)-1]), Malformed)
		wantCode(t, s.caption+" with a field more", join(append(list[:len(list):len(list)], []byte{0})), Malformed)
	}
}

// spec §2.3: each field replaced by a value of each other type.
func TestFieldTypes(t *testing.T) {
	wrong := map[byte][]byte{0: {0x05}, 2: {0x41, 1}, 3: {0x61, 'a'}, 4: {0x81, 0}, 7: {0xf6}}
	for _, s := range samples(t) {
		list := fields(t, s.frame.AppendTo(nil))
		for i := 1; i < len(list); i++ {
			for major := byte(0); major < 8; major++ {
				v, ok := wrong[major]
				if !ok || major == list[i][0]>>5 || nullable(s.frame, i) {
					continue
				}
				changed := append([][]byte(nil), list...)
				changed[i] = v
				wantCode(t, s.caption, join(changed), Malformed)
			}
		}
	}
}

// nullable says whether null, or something else than null, is right at field i.
func nullable(f Frame, i int) bool {
	switch f.(type) {
	case *Attach:
		return i == 2
	case *Subscribe:
		return i == 5 || i == 6
	case *Published:
		return i == 3
	}
	return false
}

// spec §2.3: bytes after the frame, and a frame that is cut off anywhere.
func TestLengthOfFrames(t *testing.T) {
	for _, s := range samples(t) {
		b := s.frame.AppendTo(nil)
		wantCode(t, s.caption+" with a byte after it", append(b[:len(b):len(b)], 0), Malformed)
		step := max(1, len(b)/97)
		for n := 0; n < len(b); n += step {
			wantCode(t, s.caption+" cut off", b[:n], Malformed)
		}
	}
}

func wantCode(t *testing.T, caption string, b []byte, want Code) {
	t.Helper()
	f, err := Decode(b, nil)
	var fault *Fault
	switch {
	case !errors.As(err, &fault):
		t.Errorf("%s: decoded %v, %v; want code %d", caption, f, err, want)
	case fault.Code != want:
		t.Errorf("%s: code %d, %v; want %d", caption, fault.Code, err, want)
	case f != nil || fault.Error() == "":
		t.Errorf("%s: a frame beside the fault, or no sentence", caption)
	}
}

// spec §3.2: what this version does not know is skipped, if it is of the dialect.
func TestUnknownTypes(t *testing.T) {
	for _, c := range []struct {
		caption, in string
		number      Type
	}{
		{"rootset, not in this version", "8c182d" + strings.Repeat("00", 11), 45},
		{"fetch, not in this version", "8212 41 00", 18},
		{"a number alone", "81183f", 63},
		{"a large number", "821affffffff83016161f6", 1<<32 - 1},
		{"arrays as deep as they may be", "820481818181 80", 4},
		{"64 fields", "984004" + strings.Repeat("00", 63), 4},
	} {
		in := unhex(t, c.in)
		f, err := Decode(in, nil)
		u, ok := f.(*Unknown)
		if err != nil || !ok || u.Number != c.number || u.Type() != c.number || u.Weight() != len(in) {
			t.Errorf("%s: %v, %v", c.caption, f, err)
		}
		if !strings.HasPrefix(f.String(), "unknown{") {
			t.Errorf("%s prints as %v", c.caption, f)
		}
	}
	for _, c := range []struct{ caption, in string }{
		{"nothing", ""},
		{"no array", "04"},
		{"an empty array", "80"},
		{"a type that is no number", "814104"},
		{"a type above 2^32-1", "811b0000000100000000"},
		{"a field that is no CBOR", "8204ff"},
		{"a map for a field", "8204a0"},
		{"arrays too deep", "82048181818181 80"},
		{"a field missing", "8204"},
		{"a byte after it", "810400"},
		{"65 fields", "984104" + strings.Repeat("00", 64)},
	} {
		wantCode(t, "unknown type, "+c.caption, unhex(t, c.in), Malformed)
	}
	defer func() {
		if recover() == nil {
			t.Error("an unknown frame was encoded")
		}
	}()
	(&Unknown{}).AppendTo(nil)
}

// spec §4.4: the faults of an envelope inside of a frame keep their code.
func TestEnvelopeFaultsInFrames(t *testing.T) {
	e := testEnvelope(t)
	frame := func(env []byte) []byte { return append([]byte{0x82, byte(TypePublish)}, env...) }
	wantCode(t, "a header too large", frame(envelope.Assemble(make([]byte, 513), e.Sig, nil, e.Body)), TooLarge)
	wantCode(t, "a body that claims 4 GiB", frame(append(envelope.Assemble(e.HeaderBytes, e.Sig, nil, nil)[:len(e.HeaderBytes)+70], unhex(t, "5b0000000100000000")...)), TooLarge)
	wantCode(t, "an empty header", frame(envelope.Assemble(nil, e.Sig, nil, e.Body)), Malformed)

	header := append([]byte(nil), e.HeaderBytes...)
	header[1] = 2
	f, err := Decode(frame(envelope.Assemble(header, e.Sig, nil, e.Body)), nil)
	if err != nil || f.(*Publish).Envelope.Newer == nil {
		t.Errorf("an envelope of a newer version: %v, %v", f, err)
	}
}

func TestCodeOf(t *testing.T) {
	for kind, want := range map[envelope.FaultKind]Code{
		envelope.Malformed: Malformed, envelope.TooLarge: TooLarge, envelope.Newer: BadVersion,
		envelope.BadSignature: BadSignature, envelope.NotAWriter: NotAWriter, envelope.CertTime: CertExpired,
	} {
		if got := CodeOf(&envelope.Fault{Kind: kind}); got != want {
			t.Errorf("fault %d: %v, want %v", kind, got, want)
		}
	}
}

// spec §2.2: every key of every frame is checked.
func TestKeysAreChecked(t *testing.T) {
	bad := append([]byte{1}, make([]byte, 31)...)
	keys := [][]byte{addr(t, 1).Bytes(), addr(t, 3).Bytes(), addr(t, 9).Bytes(), addr(t, 4).Bytes(), addr(t, 6).Bytes()}
	for _, s := range samples(t) {
		b := s.frame.AppendTo(nil)
		for _, k := range keys {
			for at := bytes.Index(b, k); at >= 0 && len(b) < 4096; {
				changed := append([]byte(nil), b...)
				copy(changed[at:], bad)
				wantCode(t, s.caption+" with a key of small order", changed, Malformed)
				next := bytes.Index(b[at+1:], k)
				if next < 0 {
					break
				}
				at += 1 + next
			}
		}
	}
}

type counting struct{ asked *int }

func (c counting) Address(b []byte) (identity.Address, error) {
	*c.asked++
	return identity.NewAddress(b)
}

func TestKeyCheckerIsAskedForEachKey(t *testing.T) {
	asked := 0
	f := &Interest{addr(t, 3), []InterestEntry{{group(t), Receiver, nil}, {mail(t), Receiver, testGrant(t, 9)}}}
	if _, err := Decode(f.AppendTo(nil), counting{&asked}); err != nil {
		t.Fatal(err)
	}
	if asked != 5 {
		t.Errorf("asked for %d keys, want 5: the root, two targets, the grant's two", asked)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range samples(f) {
		if b := s.frame.AppendTo(nil); len(b) < 4096 {
			f.Add(b)
		}
	}
	f.Add(unhex(f, "821affffffff83016161f6"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var frame Frame
		var err error
		used := bytesAllocated(func() { frame, err = Decode(in, nil) })
		if used > uint64(4*len(in))+64<<10 {
			t.Fatalf("%d bytes allocated to decode %d", used, len(in))
		}
		if err != nil {
			var fault *Fault
			if !errors.As(err, &fault) || fault.Code == OK || frame != nil {
				t.Fatalf("%v beside %v", err, frame)
			}
			return
		}
		_ = frame.String()
		if frame.Weight() < len(in) {
			t.Fatalf("%v weighs %d, but has %d bytes", frame, frame.Weight(), len(in))
		}
		if _, unknown := frame.(*Unknown); unknown {
			return
		}
		if again := frame.AppendTo(nil); !bytes.Equal(again, in) {
			t.Fatalf("%x is encoded again as %x", in, again)
		}
	})
}

func bytesAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
