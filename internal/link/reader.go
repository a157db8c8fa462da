package link

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"upsycle/internal/cbor"
	"upsycle/internal/wire"
)

// A frameReader cuts a CBOR sequence of byte strings (RFC 8742, spec §3.2) into
// frames. It trusts no length: each is held against limit before anything is
// allocated, and the buffer grows only as bytes arrive. It belongs to one
// goroutine.
type frameReader struct {
	src    io.Reader
	limit  int             // of the link's present state
	shares *budget         // for frames above bigFrame
	stop   <-chan struct{} // ends the wait for a share
	due    func(time.Time) // told by when a large frame must be complete; zero: there is none

	buf        []byte
	start, end int // buf[start:end] was read ahead
}

func newFrameReader(src io.Reader, limit int, shares *budget) *frameReader {
	return &frameReader{src: src, limit: limit, shares: shares, due: func(time.Time) {}, buf: make([]byte, readBuffer)}
}

// next returns the next frame's bytes, which the caller owns, and its length on
// the wire. It returns io.EOF at the end of the input between two frames, an
// *ending for what the peer must be told, and any other error of the source.
func (r *frameReader) next() (frame []byte, size int, err error) {
	n, head, err := r.head()
	if err != nil {
		return nil, 0, err
	}
	if n > uint64(r.limit) {
		return nil, 0, fault(wire.TooLarge, "a frame of %d bytes, at most %d are accepted here", n, r.limit)
	}
	if n <= bigFrame {
		frame, err = r.body(int(n))
	} else {
		frame, err = r.bigBody(int(n))
	}
	return frame, head + int(n), err
}

// head reads the head of a byte string and returns its argument and length. Only
// the shortest definite form is accepted (RFC 8949 §4.2.1).
func (r *frameReader) head() (n uint64, size int, err error) {
	if err := r.want(1); err != nil {
		return 0, 0, err
	}
	first := r.buf[r.start]
	info := first & 0x1f
	const byteString = 2 << 5
	if first&0xe0 != byteString || info > 27 {
		return 0, 0, fault(wire.Malformed, "want a byte string of definite length, found the byte 0x%02x", first)
	}
	n, size = uint64(info), 1
	if info >= 24 {
		size += 1 << (info - 24)
		if err := r.want(size); err != nil {
			return 0, 0, cutOff(err)
		}
		var argument [8]byte
		copy(argument[8-(size-1):], r.buf[r.start+1:r.start+size])
		n = binary.BigEndian.Uint64(argument[:])
	}
	if cbor.HeadLen(n) != size {
		return 0, 0, fault(wire.Malformed, "a frame's length of %d is not in its shortest form", n)
	}
	r.start += size
	return n, size, nil
}

// bigBody reads a body that needs a share of the budget. The share bounds memory;
// the deadline keeps one link from holding its share with a promise.
func (r *frameReader) bigBody(n int) ([]byte, error) {
	if !r.shares.take(n, r.stop) {
		return nil, errStopped
	}
	defer r.shares.give(n)
	due := time.Now().Add(assemblyTime)
	r.due(due)
	defer r.due(time.Time{})
	frame, err := r.body(n)
	if errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(due) {
		err = fault(wire.Rate, "a frame of %d bytes was not complete after %v", n, assemblyTime)
	}
	return frame, err
}

var errStopped = errors.New("link: ended while a frame waited for memory")

// body reads n bytes into a buffer of their own. It allocates at most firstBuffer
// plus three times what has arrived.
func (r *frameReader) body(n int) ([]byte, error) {
	frame := make([]byte, min(n, max(r.end-r.start, firstBuffer)))
	got := 0
	for {
		m := copy(frame[got:], r.buf[r.start:r.end])
		r.start += m
		if got += m; got == n {
			return frame, nil
		}
		if got == len(frame) {
			bigger := make([]byte, min(n, 2*got))
			copy(bigger, frame)
			frame = bigger
		}
		// Small rests come through the buffer, together with what follows them.
		if n-got < len(r.buf) {
			if err := r.want(1); err != nil {
				return nil, cutOff(err)
			}
			continue
		}
		m, err := r.src.Read(frame[got:])
		if got += m; err != nil && got < n {
			return nil, cutOff(err)
		}
	}
}

// want makes at least n bytes, at most nine, stand in the buffer.
func (r *frameReader) want(n int) error {
	if r.end-r.start >= n {
		return nil
	}
	r.end = copy(r.buf, r.buf[r.start:r.end])
	r.start = 0
	for r.end < n {
		m, err := r.src.Read(r.buf[r.end:])
		if r.end += m; err != nil && r.end < n {
			return err
		}
	}
	return nil
}

// cutOff tells an end within a frame from one between two frames.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
