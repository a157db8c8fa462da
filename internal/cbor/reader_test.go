package cbor

import (
	"bytes"
	"encoding/hex"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// unhex turns "83 01 02" into bytes.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// spec §2.3: what is a value of the dialect.
func TestAccepts(t *testing.T) {
	for _, c := range []struct{ caption, in string }{
		{"zero", "00"},
		{"the largest integer in the initial byte", "17"},
		{"the smallest one-byte integer", "1818"},
		{"the largest one-byte integer", "18ff"},
		{"the smallest two-byte integer", "190100"},
		{"the largest two-byte integer", "19ffff"},
		{"the smallest four-byte integer", "1a00010000"},
		{"the largest four-byte integer", "1affffffff"},
		{"the smallest eight-byte integer", "1b0000000100000000"},
		{"the largest integer", "1bffffffffffffffff"},
		{"an empty byte string", "40"},
		{"a byte string", "43010203"},
		{"a byte string of 24 bytes", "5818" + strings.Repeat("aa", 24)},
		{"an empty text", "60"},
		{"a text with an accent, a sign of three bytes and one of four", "69c3a9e282acf09f9880"},
		{"a text with a no-break space, the first sign after the controls", "62c2a0"},
		{"an empty array", "80"},
		{"an array of everything", "8401414260f6"},
		{"arrays six deep", "818181818180"},
		{"null", "f6"},
		{"bytes that wrap what would be too deep", "81818181818147818181818181f6"},
	} {
		in := unhex(t, c.in)
		if err := Valid(in); err != nil {
			t.Errorf("%s: %v", c.caption, err)
		}
	}
}

// spec §2.3: one refusal for each kind of deviation.
func TestRefuses(t *testing.T) {
	for _, c := range []struct{ caption, in, says string }{
		{"nothing", "", "found the end"},
		{"23 in two bytes", "1817", "shortest form"},
		{"0 in two bytes", "1800", "shortest form"},
		{"255 in three bytes", "1900ff", "shortest form"},
		{"65535 in five bytes", "1a0000ffff", "shortest form"},
		{"2^32-1 in nine bytes", "1b00000000ffffffff", "shortest form"},
		{"a length in two bytes that fits into one", "5803010203", "shortest form"},
		{"an array head in two bytes that fits into one", "980101", "shortest form"},
		{"a text length in two bytes that fits into one", "780161", "shortest form"},
		{"reserved argument 28", "1c", "shortest form"},
		{"reserved argument 30", "5e", "shortest form"},
		{"indefinite byte string", "5f4101ff", "indefinite"},
		{"indefinite text", "7f6161ff", "indefinite"},
		{"indefinite array", "9f01ff", "indefinite"},
		{"a break alone", "ff", "begins no value"},
		{"negative", "20", "begins no value"},
		{"large negative", "3903e7", "begins no value"},
		{"map", "a10102", "begins no value"},
		{"empty map", "a0", "begins no value"},
		{"tag", "c074", "begins no value"},
		{"self-described CBOR", "d9d9f700", "begins no value"},
		{"half float", "f93c00", "begins no value"},
		{"single float", "fa47c35000", "begins no value"},
		{"double float", "fb3ff199999999999a", "begins no value"},
		{"false", "f4", "begins no value"},
		{"true", "f5", "begins no value"},
		{"undefined", "f7", "begins no value"},
		{"simple value 16", "f0", "begins no value"},
		{"null in two bytes", "f816", "begins no value"},
		{"trailing byte", "0000", "follow the value"},
		{"trailing byte after an array", "810000", "follow the value"},
		{"an integer that is cut off", "19ff", "cut off"},
		{"a byte string that is cut off", "420a", "cut off"},
		{"a text that is cut off", "6261", "cut off"},
		{"an array that is cut off", "8201", "an array of 2 items"},
		{"an array whose last item is cut off", "82014241", "cut off"},
		{"an array that claims 2^63 items", "9b8000000000000000", "an array of"},
		{"a byte string that claims 2^64-1 bytes", "5bffffffffffffffff", "want 0 to"},
		{"a byte string that claims 4 GiB", "5b0000000100000000" + "00", "cut off"},
		{"arrays seven deep", "81818181818180", "deeper than 6"},
		{"control character NUL", "6100", "U+0000"},
		{"control character newline", "610a", "U+000A"},
		{"control character DEL", "617f", "U+007F"},
		{"control character U+0085", "62c285", "U+0085"},
		{"text that is cut inside a sign", "61c3", "UTF-8"},
		{"overlong text", "62c080", "UTF-8"},
		{"text with a surrogate", "63eda080", "UTF-8"},
		{"text above U+10FFFF", "64f4908080", "UTF-8"},
	} {
		err := Valid(unhex(t, c.in))
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", c.caption, err, c.says)
		}
	}
}

// spec §2.3: the schema's own limits.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		caption, in string
		read        func(*Reader)
		ok          bool
	}{
		{"the greatest integer that is wanted", "0a", func(r *Reader) { r.Uint(10) }, true},
		{"an integer above it", "0b", func(r *Reader) { r.Uint(10) }, false},
		{"bytes where an integer is wanted", "4101", func(r *Reader) { r.Uint(10) }, false},
		{"null where an integer is wanted", "f6", func(r *Reader) { r.Uint(10) }, false},
		{"truth 0", "00", func(r *Reader) { r.Bool() }, true},
		{"truth 1", "01", func(r *Reader) { r.Bool() }, true},
		{"truth 2", "02", func(r *Reader) { r.Bool() }, false},
		{"the least bytes", "4101", func(r *Reader) { r.Bytes(1, 2) }, true},
		{"the most bytes", "420102", func(r *Reader) { r.Bytes(1, 2) }, true},
		{"too few bytes", "40", func(r *Reader) { r.Bytes(1, 2) }, false},
		{"too many bytes", "43010203", func(r *Reader) { r.Bytes(1, 2) }, false},
		{"text where bytes are wanted", "6161", func(r *Reader) { r.Bytes(1, 2) }, false},
		{"an array where bytes are wanted", "8101", func(r *Reader) { r.Bytes(1, 1) }, false},
		{"the most text, in bytes", "62c3a9", func(r *Reader) { r.Text(0, 2) }, true},
		{"too much text, in bytes", "64c3a9c3a9", func(r *Reader) { r.Text(0, 3) }, false},
		{"bytes where text is wanted", "4161", func(r *Reader) { r.Text(0, 2) }, false},
		{"the most items", "820102", func(r *Reader) { r.Array(1, 2); r.Uint(9); r.Uint(9) }, true},
		{"too many items", "83010203", func(r *Reader) { r.Array(1, 2); r.Uint(9); r.Uint(9); r.Uint(9) }, false},
		{"too few items", "80", func(r *Reader) { r.Array(1, 2) }, false},
		{"bytes left over", "0000", func(r *Reader) { r.Uint(9) }, false},
	} {
		r := NewReader(unhex(t, c.in))
		c.read(&r)
		if err := r.End(); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", c.caption, err, c.ok)
		}
	}
}

func TestReaderStopsAtTheFirstReason(t *testing.T) {
	r := NewReader(unhex(t, "8301024103"))
	r.Array(3, 3)
	if n := r.Uint(9); n != 1 {
		t.Fatalf("read %d, want 1", n)
	}
	r.Bytes(1, 1) // but an integer comes
	first := r.Err()
	if first == nil || !strings.Contains(first.Error(), "at byte 2") {
		t.Fatalf("error %v, want one at byte 2", first)
	}
	if r.Uint(9) != 0 || r.Bytes(0, 9) != nil || r.Text(0, 9) != "" || r.Array(0, 9) != 0 || r.Null() || r.Bool() || r.Claim() != 0 {
		t.Error("a stopped reader returned a value")
	}
	r.Fail("another reason")
	r.Skip(MaxDepth)
	if r.Err() != first || r.End() != first {
		t.Errorf("the reason changed to %v", r.Err())
	}
}

func TestFailWrapsItsCause(t *testing.T) {
	cause := errors.New("the schema says no")
	r := NewReader([]byte{0})
	r.Fail("field: %w", cause)
	if !errors.Is(r.Err(), cause) || !errors.Is(r.Err(), ErrMalformed) {
		t.Errorf("%v wraps not both", r.Err())
	}
}

func TestClaimReadsNothing(t *testing.T) {
	for _, c := range []struct {
		caption, in string
		want        uint64
	}{
		{"a string that is there", "420102", 2},
		{"a string whose bytes are not there", "5a00200000", 2 << 20},
		{"a length that is not in its shortest form", "5802", 0},
		{"an integer", "07", 0},
		{"the end", "", 0},
	} {
		r := NewReader(unhex(t, c.in))
		if got := r.Claim(); got != c.want || r.Offset() != 0 || r.Err() != nil {
			t.Errorf("%s: claim %d at %d, %v; want %d", c.caption, got, r.Offset(), r.Err(), c.want)
		}
	}
}

// What a reader returns points into the input and cannot be appended to over it.
func TestResultsPointIntoTheInput(t *testing.T) {
	in := unhex(t, "82420102 4103")
	r := NewReader(in)
	r.Array(2, 2)
	start := r.Offset()
	first := r.Bytes(2, 2)
	r.Bytes(1, 1)
	if &first[0] != &in[2] || cap(first) != 2 {
		t.Errorf("the bytes were copied, or have room for %d", cap(first))
	}
	if since := r.Since(start); !bytes.Equal(since, in[1:]) || cap(since) != len(since) {
		t.Errorf("since: %x with room for %d", since, cap(since))
	}
}

// spec §2.3: nothing is allocated from a length claim.
func TestReadingAllocatesNothing(t *testing.T) {
	in := unhex(t, "8518c8430102031904d280f6")
	if n := testing.AllocsPerRun(100, func() {
		r := NewReader(in)
		r.Array(5, 5)
		r.Uint(1000)
		r.Bytes(3, 3)
		r.Uint(5000)
		r.Array(0, 9)
		r.Null()
		if r.End() != nil {
			t.Fatal(r.Err())
		}
	}); n != 0 {
		t.Errorf("%v allocations to read a value without text, want 0", n)
	}
	if n := testing.AllocsPerRun(100, func() { _ = Valid(in) }); n != 0 {
		t.Errorf("%v allocations to validate a value, want 0", n)
	}
}

// A claim of gigabytes costs as much as a claim of nothing: the text of the error.
func TestHostileLengthsAllocateNoMoreThanTheirError(t *testing.T) {
	for _, c := range []struct{ caption, in string }{
		{"bytes of 2^62", "5b4000000000000000"},
		{"bytes of 4 GiB", "5b0000000100000000"},
		{"text of 1 GiB", "7a40000000"},
		{"an array of 2^62", "9b4000000000000000"},
		{"an array of 4 Gi", "9affffffff00"},
		{"arrays of arrays of arrays", "9a7fffffff9a7fffffff9a7fffffff00"},
	} {
		in := unhex(t, c.in)
		if n := testing.AllocsPerRun(50, func() { _ = Valid(in) }); n > 12 {
			t.Errorf("%s: %v allocations", c.caption, n)
		}
		if n := bytesAllocated(func() { _ = Valid(in) }); n > 4096 {
			t.Errorf("%s: %d bytes allocated", c.caption, n)
		}
	}
}

// bytesAllocated returns how much the heap was asked for by one call of f.
func bytesAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
