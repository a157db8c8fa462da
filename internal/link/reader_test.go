package link

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"upsycle/internal/cbor"
	"upsycle/internal/wire"
)

func reader(b []byte, limit int) *frameReader {
	return newFrameReader(bytes.NewReader(b), limit, newBudget(64<<20))
}

// spec §3.2: a CBOR sequence of byte strings, shortest heads, a limit.
func TestReaderRefuses(t *testing.T) {
	for _, c := range []struct {
		caption string
		in      string
		code    wire.Code // OK: a plain error
		err     error
	}{
		{"nothing", "", wire.OK, io.EOF},
		{"an integer", "\x01", wire.Malformed, nil},
		{"a text string", "\x61a", wire.Malformed, nil},
		{"an array", "\x81\x01", wire.Malformed, nil},
		{"an indefinite byte string", "\x5f\x41a\xff", wire.Malformed, nil},
		{"a reserved length", "\x5c", wire.Malformed, nil},
		{"one byte where none is needed", "\x58\x17" + strings.Repeat("a", 23), wire.Malformed, nil},
		{"two bytes where one will do", "\x59\x00\xff", wire.Malformed, nil},
		{"four bytes where two will do", "\x5a\x00\x00\xff\xff", wire.Malformed, nil},
		{"eight bytes where four will do", "\x5b\x00\x00\x00\x00\xff\xff\xff\xff", wire.Malformed, nil},
		{"a head that is cut off", "\x5a\x00\x00", wire.OK, io.ErrUnexpectedEOF},
		{"a body that is cut off", "\x43ab", wire.OK, io.ErrUnexpectedEOF},
		{"a large body that is cut off", "\x5a\x00\x01\x00\x01ab", wire.OK, io.ErrUnexpectedEOF},
		{"one byte too many", "\x5a\x00\x02\x00\x01", wire.TooLarge, nil},
		{"four gigabytes", "\x5a\xff\xff\xff\xff", wire.TooLarge, nil},
		{"the largest promise", "\x5b\xff\xff\xff\xff\xff\xff\xff\xff", wire.TooLarge, nil},
	} {
		_, _, err := reader([]byte(c.in), 0x20000).next()
		var e *ending
		switch {
		case c.code != wire.OK && (!errors.As(err, &e) || e.code != c.code || !e.say):
			t.Errorf("%s: %v, want a close with %v", c.caption, err, c.code)
		case c.code == wire.OK && err != c.err:
			t.Errorf("%s: %v, want %v", c.caption, err, c.err)
		}
	}
}

// Frames of all sizes come out as they went in, however the bytes are cut.
func TestReaderReads(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, n := range []int{0, 1, 23, 24, 255, 256, 4095, 4096, 4097, 65535, 65536, 65537, 300_000} {
		body := bytes.Repeat([]byte{byte(n)}, n)
		want = append(want, body)
		stream = cbor.AppendBytes(stream, body)
	}
	for name, source := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "half": iotest.HalfReader(bytes.NewReader(stream)),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(stream)), "with the error": iotest.DataErrReader(bytes.NewReader(stream)),
	} {
		r := newFrameReader(source, 1<<20, newBudget(1<<20))
		total := 0
		for i, body := range want {
			got, size, err := r.next()
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("%s: frame %d: %d bytes, %v", name, i, len(got), err)
			}
			if cap(got) > len(got) && len(got) > 0 {
				t.Errorf("%s: frame %d has room behind it, which an append would share", name, i)
			}
			total += size
		}
		if _, _, err := r.next(); err != io.EOF || total != len(stream) {
			t.Errorf("%s: at the end %v after %d of %d bytes", name, err, total, len(stream))
		}
		if r.shares.free != 1<<20 {
			t.Errorf("%s: %d bytes of the budget are left, want all", name, r.shares.free)
		}
	}
}

// Two frames never share memory: decoded frames point into theirs.
func TestReaderDoesNotReuse(t *testing.T) {
	r := reader([]byte("\x43aaa\x43bbb"), 10)
	first, _, _ := r.next()
	second, _, _ := r.next()
	copy(second, "ccc")
	if string(first) != "aaa" {
		t.Errorf("the first frame became %q", first)
	}
}

// A promise of the largest frame costs no more than what arrives.
func TestReaderAllocatesWhatArrives(t *testing.T) {
	input := append([]byte("\x5a\x00\x10\x00\x00"), make([]byte, 10_000)...)
	allocated := bytesAllocated(func() { reader(input, wire.FrameMax).next() })
	if allocated > 4*uint64(len(input))+64<<10 {
		t.Errorf("%d bytes allocated for %d that arrived", allocated, len(input))
	}
}

func bytesAllocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A share of the budget is held while a large frame is under assembly, given back
// in every case, and waited for by others.
func TestReaderShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shares := newBudget(200_000)
		source, feed := io.Pipe()
		slow := newFrameReader(source, 1<<20, shares)
		go slow.next()
		feed.Write(cbor.AppendBytesHead(nil, 150_000))
		synctest.Wait()
		second := newFrameReader(bytes.NewReader(cbor.AppendBytes(nil, make([]byte, 100_000))), 1<<20, shares)
		done := make(chan error)
		go func() { _, _, err := second.next(); done <- err }()
		small := newFrameReader(bytes.NewReader(cbor.AppendBytes(nil, make([]byte, bigFrame))), 1<<20, shares)
		if _, _, err := small.next(); err != nil {
			t.Errorf("a small frame waits for no share: %v", err)
		}
		synctest.Wait()
		select {
		case <-done:
			t.Error("the second large frame did not wait")
		default:
		}
		feed.Close() // the first frame is cut off
		if err := <-done; err != nil {
			t.Error(err)
		}
		if shares.free != 200_000 {
			t.Errorf("%d bytes are free, want all", shares.free)
		}
		stop := make(chan struct{})
		shares.take(200_000, nil)
		third := newFrameReader(bytes.NewReader(cbor.AppendBytes(nil, make([]byte, 100_000))), 1<<20, shares)
		third.stop = stop
		go func() { _, _, err := third.next(); done <- err }()
		time.Sleep(time.Second)
		close(stop)
		if err := <-done; err != errStopped {
			t.Errorf("a link that ended while it waited: %v", err)
		}
	})
}

// F1: any bytes. The reader ends with an error, allocates in proportion, and what
// it accepts is exactly what is written again.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x43abc\x58\x18aaaaaaaaaaaaaaaaaaaaaaaa"))
	f.Add([]byte("\x5a\xff\xff\xff\xff"))
	f.Add([]byte("\x5b\x00\x00\x00\x01\x00\x00\x00\x00"))
	f.Add(appendFrame(appendFrame(nil, goodHello(wire.Core)), &wire.Ping{N: 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		r := reader(b, 100_000)
		for {
			frame, size, err := r.next()
			if err != nil {
				break
			}
			again = cbor.AppendBytes(again, frame)
			if size != len(frame)+cbor.HeadLen(uint64(len(frame))) {
				t.Fatalf("a frame of %d bytes, said to be %d on the wire", len(frame), size)
			}
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("read %x from %x", again, b)
		}
		if r.shares.free != 64<<20 {
			t.Fatal("a share was not given back")
		}
	})
}
