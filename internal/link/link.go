package link

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A link is one connection whose two sides have said hello. Its reader runs in
// the goroutine that called run, its writer in another; end may be called by
// anybody.
type link struct {
	hub      *Hub
	id       machine.LinkID // set by the hub when it joins
	peer     identity.Address
	hello    *wire.Hello // the peer's
	dialled  bool        // by us
	local    bool
	replaces bool   // another process's link of this key gave way to it
	origin   string // the other end's address, for people
	conn     *tls.Conn
	raw      net.Conn
	in       *frameReader
	out      *queue
	batch    batch // the writer's
	since    time.Time

	pingEvery, patience time.Duration
	lastRead            time.Time // the reader's: when its last Read returned

	mu         sync.Mutex
	reason     *ending   // set once
	aliveUntil time.Time // a pong must come before
	due        time.Time // a large frame must be complete before; zero: none
	pausedTill time.Time
	pulse      pulse
	unsendable *ending // writing failed: the reader has a moment to learn why

	tell    sync.Mutex // held while the core is told of drained frames
	silent  bool       // guarded by tell: LinkDown is next
	stopped chan struct{}
	flushed chan struct{} // closed when the writer has returned
	down    chan struct{} // closed when LinkDown has been handled
}

// newLink makes the link of a connection; it does not start anything.
func (h *Hub) newLink(conn *tls.Conn, raw net.Conn, peer identity.Address, hello *wire.Hello) *link {
	l := &link{
		hub: h, peer: peer, hello: hello, conn: conn, raw: raw, since: time.Now(),
		out:     newQueue(h.config.Limits),
		stopped: make(chan struct{}), flushed: make(chan struct{}), down: make(chan struct{}),
		pingEvery: pingClient, patience: patienceClient,
	}
	if l.backbone() {
		l.pingEvery, l.patience = pingCore, patienceCore
	}
	return l
}

// backbone says whether both sides are cores.
func (l *link) backbone() bool { return l.hub.config.Role == wire.Core && l.hello.Role == wire.Core }

// run is the link's life from LinkUp to LinkDown and the last byte. before is the
// link whose place this one took, or nil.
func (l *link) run(before *link) *ending {
	l.hub.waitDown(before) // L2: the older link's LinkDown comes first
	go l.write()
	up := l.up()
	if up {
		l.end(broke(l.read()))
		l.tell.Lock()
		l.silent = true
		l.tell.Unlock()
		l.hub.event(machine.LinkDown{Link: l.id, Peer: l.peer})
	}
	l.hub.leave(l)
	close(l.down)
	l.linger()
	return l.reason
}

// up tells of the link, unless it was closed while it waited.
func (l *link) up() bool {
	l.mu.Lock()
	l.extend()
	ended := l.reason != nil
	l.mu.Unlock()
	if ended {
		return false
	}
	if err := l.hub.event(machine.LinkUp{
		Link: l.id, Peer: l.peer, Role: l.hello.Role, Boot: l.hello.Boot,
		MaxFrame: int(min(l.hello.MaxFrame, 1<<30)), Dialled: l.dialled, Local: l.local, Replaces: l.replaces,
	}); err != nil {
		l.end(broke(err))
		return false
	}
	return true
}

// read hands on frames until something ends the link.
func (l *link) read() error {
	l.in.limit = l.hub.config.Limits.MaxFrame
	l.in.src, l.in.stop, l.in.due = l, l.stopped, l.setDue
	if l.backbone() {
		l.in.shares = l.hub.coreShares
	}
	l.lastRead = time.Now()
	for {
		b, size, err := l.in.next()
		if err != nil {
			return l.readError(err)
		}
		f, err := wire.Decode(b, l.hub.keys)
		if err != nil {
			return malformed(err)
		}
		if err := l.frame(f, size); err != nil {
			return err
		}
	}
}

// frame handles the link's own frames and hands on all others.
func (l *link) frame(f wire.Frame, size int) error {
	switch f := f.(type) {
	case *wire.Ping:
		if e := l.out.putPong(&wire.Pong{N: f.N}); e != nil {
			return e
		}
		return nil
	case *wire.Pong:
		return l.pong(f.N)
	case *wire.Close:
		return &ending{code: f.Code, text: f.Text, byPeer: true}
	case *wire.Hello:
		return fault(wire.Malformed, "a second hello")
	}
	if !l.awaitPause() {
		return errStopped
	}
	return l.hub.event(machine.FrameIn{Link: l.id, Frame: f, Bytes: size})
}

// Read reads from the connection and watches over the peer's life. It is the
// source of the frame reader.
func (l *link) Read(p []byte) (int, error) {
	if time.Since(l.lastRead) > heldUp {
		l.mu.Lock()
		l.extend() // we did not look, so we cannot blame the peer
		l.mu.Unlock()
	}
	n, err := l.conn.Read(p)
	l.lastRead = time.Now()
	return n, err
}

// readError says why reading ended.
func (l *link) readError(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.unsendable != nil:
		return l.unsendable
	case err == io.EOF:
		return &ending{text: "the other side hung up"}
	case isTimeout(err) && !time.Now().Before(l.aliveUntil):
		return &ending{code: wire.Rate, text: "no pong came for " + l.patience.String()}
	}
	return err
}

// ping queues the next ping.
func (l *link) ping() {
	l.mu.Lock()
	f := l.pulse.ping(time.Now())
	l.mu.Unlock()
	if e := l.out.putOwn(f); e != nil {
		l.end(e)
	}
}

// pong takes an answer: the peer lives, and may have come nearer.
func (l *link) pong(n uint64) error {
	l.mu.Lock()
	alive, tell := l.pulse.pong(n, time.Now())
	if alive {
		l.extend()
	}
	millis := int((l.pulse.srtt + time.Millisecond/2) / time.Millisecond)
	l.mu.Unlock()
	if !tell {
		return nil
	}
	return l.hub.event(machine.RTT{Link: l.id, Millis: millis})
}

// extend gives the peer its whole patience anew. The caller holds mu.
func (l *link) extend() {
	if l.unsendable != nil {
		return
	}
	l.aliveUntil = time.Now().Add(l.patience)
	l.applyReadDeadline()
}

// setDue sets by when a large frame must be complete; zero takes it back.
func (l *link) setDue(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.due = t
	l.applyReadDeadline()
}

// applyReadDeadline sets the earlier of the two deadlines. The caller holds mu.
func (l *link) applyReadDeadline() {
	t := l.aliveUntil
	if !l.due.IsZero() && l.due.Before(t) {
		t = l.due
	}
	if l.reason == nil { // else end has set one that has passed
		l.conn.SetReadDeadline(t)
	}
}

// setWriteDeadline bounds the next write, but never beyond the flush of a link
// that ends.
func (l *link) setWriteDeadline(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reason == nil {
		l.conn.SetWriteDeadline(t)
	}
}

// writeFailed ends the link soon. The peer's close frame may stand unread in our
// socket, and is a better reason than a broken pipe.
func (l *link) writeFailed(e *ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unsendable = e
	l.aliveUntil = time.Now().Add(lingerTime)
	l.applyReadDeadline()
}

// pause makes the reader wait until t, but never as long as would make the peer
// give up: it would take the silence for a dead link.
func (l *link) pause(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if latest := time.Now().Add(l.patience / 3); t.After(latest) {
		t = latest
	}
	l.pausedTill = t
}

// awaitPause waits until a pause is over; false: the link ended.
func (l *link) awaitPause() bool {
	for {
		l.mu.Lock()
		wait := time.Until(l.pausedTill)
		l.mu.Unlock()
		if wait <= 0 {
			return true
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.stopped:
			timer.Stop()
			return false
		}
	}
}

// end makes the link end for a reason; only the first counts. It does not wait.
func (l *link) end(e *ending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reason != nil {
		return
	}
	l.reason = e
	if e.say {
		l.conn.SetWriteDeadline(time.Now().Add(flushTime)) // also for a write under way
		l.out.finish(e.closeFrame(), e.abrupt)
	} else {
		l.raw.Close()
	}
	l.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	close(l.stopped)
}

// ended says whether the link's end is under way.
func (l *link) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason != nil
}

// linger closes the connection once the close frame is out. A socket that is
// closed while bytes wait in it resets the connection, and the peer might lose
// the frame that tells it why; so they are read away for a moment, undecrypted.
func (l *link) linger() {
	<-l.flushed
	if l.reason.say {
		lingerOn(l.raw)
	}
	l.raw.Close()
}

// lingerOn also ends our direction, so that two sides that close at the same time
// do not wait for each other.
func lingerOn(raw net.Conn) {
	if half, ok := raw.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	raw.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, raw, lingerRead)
}
