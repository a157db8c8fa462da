package link

import (
	"sync"
	"time"

	"upsycle/internal/cbor"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// writeBuffers holds buffers in which batches are encoded. They alias nothing:
// envelopes are copied into them once, and TLS encrypts from there.
var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, batchBytes+4096); return &b }}

// write is the writer's life: it sends what is queued and a ping now and then,
// until the link ends.
func (l *link) write() {
	defer close(l.flushed)
	ticker := time.NewTicker(l.pingEvery)
	defer ticker.Stop()
	l.ping() // the first round-trip time is wanted soon
	for {
		select {
		case <-l.out.wake:
		case <-ticker.C:
			l.ping()
		case <-l.stopped:
			l.flush()
			return
		}
		if !l.flush() {
			return
		}
	}
}

// flush sends batches until the queue is empty. It reports false when nothing
// more can or shall be sent.
func (l *link) flush() bool {
	for l.out.take(&l.batch) {
		if err := l.send(&l.batch); err != nil {
			l.unsent(err)
			return false
		}
		if l.batch.last != nil {
			l.conn.CloseWrite()
			return false
		}
		l.drained(&l.batch)
	}
	return true
}

// send encodes a batch into one buffer and writes it. Each part has stallTime to
// leave, so that a slow peer is told from a dead one.
func (l *link) send(b *batch) error {
	buffer := writeBuffers.Get().(*[]byte)
	out := (*buffer)[:0]
	for i := range b.items {
		out = appendFrame(out, b.items[i].frame)
		b.items[i] = item{}
	}
	if b.last != nil {
		out = appendFrame(out, b.last)
	}
	defer func() {
		if cap(out) <= 4*batchBytes { // a rare large frame must not stay in the pool
			*buffer = out[:0]
			writeBuffers.Put(buffer)
		}
	}()
	for rest := out; len(rest) > 0; {
		l.setWriteDeadline(time.Now().Add(stallTime))
		n, err := l.conn.Write(rest[:min(len(rest), batchBytes)])
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// unsent ends a link whose bytes do not leave.
func (l *link) unsent(err error) {
	if isTimeout(err) {
		l.end(&ending{code: wire.Rate, text: "the peer took nothing for " + stallTime.String()})
		return
	}
	l.writeFailed(broke(err))
}

// appendFrame appends f as one byte string. Its head is written after its body,
// whose length only encoding tells; Weight nearly always gives the head's right
// size, so nothing is moved.
func appendFrame(b []byte, f wire.Frame) []byte {
	start := len(b)
	guess := cbor.HeadLen(uint64(f.Weight()))
	b = append(b, make([]byte, guess)...)
	b = f.AppendTo(b)
	n := len(b) - start - guess
	if size := cbor.HeadLen(uint64(n)); size != guess {
		if size > guess { // a Weight that is no upper bound costs a move, not the link
			b = append(b, make([]byte, size-guess)...)
		}
		copy(b[start+size:], b[start+guess:start+guess+n])
		b = b[:start+size+n]
	}
	cbor.AppendBytesHead(b[:start], n) // there is room: it writes in place
	return b
}

// drained tells the core what has left, unless the link's end was told already.
func (l *link) drained(b *batch) {
	l.tell.Lock()
	defer l.tell.Unlock()
	for class, weight := range b.weight {
		if weight > 0 && !l.silent {
			l.hub.config.Handler.Drained(machine.Drained{Link: l.id, Class: machine.Class(class), Weight: weight})
		}
	}
}
