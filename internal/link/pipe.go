package link

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is what one direction of a pipe takes before its writer waits: about
// what two kernels hold of a TCP connection.
const pipeBuffer = 256 << 10

// A stream is one direction of a connection inside the process: bytes in order,
// a bounded buffer, deadlines as of net.Conn. All waiting is on one condition, so
// it counts as blocked in testing/synctest.
type stream struct {
	mu       sync.Mutex
	changed  sync.Cond
	data     bytes.Buffer
	finished bool  // the writer closed: EOF once data is read
	deaf     bool  // the reader closed: writes fail
	broken   error // the network cut it: both fail at once
	frozen   bool  // the network holds everything back
	reading  deadline
	writing  deadline
}

func newStream() *stream {
	s := &stream{}
	s.changed.L = &s.mu
	return s
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.deaf:
			return 0, net.ErrClosed
		case s.reading.passed():
			return 0, os.ErrDeadlineExceeded
		case s.broken != nil:
			return 0, s.broken
		case len(p) == 0:
			return 0, nil
		case s.data.Len() > 0 && !s.frozen:
			n, _ := s.data.Read(p)
			s.changed.Broadcast()
			return n, nil
		case s.finished && !s.frozen:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.finished:
			return n, net.ErrClosed
		case s.writing.passed():
			return n, os.ErrDeadlineExceeded
		case s.broken != nil:
			return n, s.broken
		case s.deaf && !s.frozen:
			return n, syscall.EPIPE
		case len(p) == 0:
			return n, nil
		}
		if room := pipeBuffer - s.data.Len(); room > 0 {
			m, _ := s.data.Write(p[:min(len(p), room)])
			n, p = n+m, p[m:]
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

// update changes the stream's state and wakes whoever waits for it.
func (s *stream) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changed.Broadcast()
}

// A deadline wakes a stream's waiters when it passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set is called with the stream's lock held.
func (d *deadline) set(s *stream, at time.Time) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = at, nil
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		d.timer = time.AfterFunc(wait, func() { s.update(func() {}) })
	}
}

// A pipe is one end of a connection inside the process.
type pipe struct {
	in, out       *stream
	local, remote memoryAddr
	closed        func() // tells the network
	once          sync.Once
}

// newPipe connects two ends.
func newPipe(a, b memoryAddr, closed func()) (*pipe, *pipe) {
	there, back := newStream(), newStream()
	return &pipe{in: back, out: there, local: a, remote: b, closed: closed},
		&pipe{in: there, out: back, local: b, remote: a, closed: closed}
}

// Read reads what the other end has written.
func (p *pipe) Read(b []byte) (int, error) { return p.in.read(b) }

// Write writes; it waits while the buffer is full.
func (p *pipe) Write(b []byte) (int, error) { return p.out.write(b) }

// Close ends both directions. What was written can still be read by the other
// end.
func (p *pipe) Close() error {
	p.once.Do(func() {
		p.out.update(func() { p.out.finished = true; p.out.writing.set(p.out, time.Time{}) })
		p.in.update(func() { p.in.deaf = true; p.in.reading.set(p.in, time.Time{}) })
		p.closed()
	})
	return nil
}

// CloseWrite ends one direction, as of a half-closed TCP connection.
func (p *pipe) CloseWrite() error {
	p.out.update(func() { p.out.finished = true })
	return nil
}

// LocalAddr returns this end's name.
func (p *pipe) LocalAddr() net.Addr { return p.local }

// RemoteAddr returns the other end's name.
func (p *pipe) RemoteAddr() net.Addr { return p.remote }

// SetDeadline sets both deadlines.
func (p *pipe) SetDeadline(t time.Time) error {
	p.SetReadDeadline(t)
	return p.SetWriteDeadline(t)
}

// SetReadDeadline bounds reads, also one that waits already.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.in.update(func() { p.in.reading.set(p.in, t) })
	return nil
}

// SetWriteDeadline bounds writes, also one that waits already.
func (p *pipe) SetWriteDeadline(t time.Time) error {
	p.out.update(func() { p.out.writing.set(p.out, t) })
	return nil
}

// fail breaks both directions at once.
func (p *pipe) fail(err error) {
	for _, s := range []*stream{p.in, p.out} {
		s.update(func() { s.broken = err; s.data.Reset() })
	}
}

// freeze holds back everything in both directions, or lets it go on.
func (p *pipe) freeze(on bool) {
	for _, s := range []*stream{p.in, p.out} {
		s.update(func() { s.frozen = on })
	}
}
