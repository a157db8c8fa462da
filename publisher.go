package upsycle

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// The bounds of what waits to be published, for one Conn.
const (
	flightMax      = 256      // envelopes without acknowledgement
	flightBytesMax = 32 << 20 // bytes of these
	laneFlightMax  = 8        // of one lane: fewer make fuller envelopes
	waitingMax     = 16 << 20 // bytes of payloads that wait to be signed
	lanesMax       = 4096     // lanes that are remembered while idle
)

// A lane says where items go and who signs them. Items of one lane share
// envelopes and one stream of numbers.
type lane struct {
	target envelope.Target
	signer identity.Key
	cert   *envelope.Certificate
}

// A laneKey names a lane. Live envelopes have a stream of their own: one that was
// dropped must not look like a hole that can be repaired (spec §4).
type laneKey struct {
	target envelope.Target
	from   identity.Address
	live   bool
}

// A publisher gathers items into envelopes and signs them, one after the other on
// one goroutine. While one is being signed, or while too many are under way, the
// next fills; alone, an item goes at once. No timer is involved.
type publisher struct {
	sealer sealer
	now    func() time.Time
	post   func(*envelope.Envelope) error // hands over to the machine; may block
	wake   chan struct{}                  // capacity 1: ready may have changed

	mu      sync.Mutex
	lines   map[laneKey]*line
	ready   []*line       // have a batch that may be signed, in turn
	waiting int           // bytes not yet signed
	flight  int           // envelopes not acknowledged
	flown   int           // bytes of these
	under   map[ID]*batch // the batches of these
	room    chan struct{} // closed and made anew when there is more room
	blocked int           // how many wait for room
	closed  error         // not nil: nothing more is taken
	dead    bool          // abandoned: nothing more is signed either
	idle    chan struct{} // closed when nothing is left, once drain asked; else nil
}

// A line is the state of one lane.
type line struct {
	lane
	run     envelope.Run
	next    uint64   // the number of the next item
	batches []*batch // to be signed; the last may be open
	flight  int
	queued  bool // in ready
}

// A batch is the items of one envelope, before and while it is under way.
type batch struct {
	line  *line
	terms terms
	buf   []byte // payloads, end to end
	ends  []int  // where each ends
	size  int    // of the encoded body
	wired int    // bytes of the envelope

	later atomic.Uint64 // the code with which the router last put it off; 0: none

	done chan struct{} // closed with err set
	err  error
}

func newPublisher(s sealer, post func(*envelope.Envelope) error) *publisher {
	return &publisher{
		sealer: s, now: time.Now, post: post,
		wake: make(chan struct{}, 1), room: make(chan struct{}),
		lines: make(map[laneKey]*line), under: make(map[ID]*batch),
	}
}

// add puts a copy of payload into an envelope of l, waiting for room. It returns
// the batch that tells what became of it.
func (p *publisher) add(ctx context.Context, l lane, t terms, payload []byte) (*batch, error) {
	size := cbor.HeadLen(uint64(len(payload))) + len(payload)
	if size+p.sealer.overhead() > envelope.BodyMax {
		return nil, tooLarge()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	for {
		if p.closed != nil {
			defer p.mu.Unlock()
			return nil, p.closed
		}
		if b := p.place(l, t, size); b != nil {
			b.buf = append(b.buf, payload...)
			b.ends = append(b.ends, len(b.buf))
			b.size += size
			p.waiting += size
			p.mu.Unlock()
			p.poke()
			return b, nil
		}
		room := p.room
		p.blocked++
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		p.mu.Lock()
		if p.blocked--; ctx.Err() != nil {
			p.mu.Unlock()
			return nil, ctx.Err()
		}
	}
}

// place returns a batch of l with room for size bytes under t, or nil. A lane has
// at most one batch that is full and one that fills.
func (p *publisher) place(l lane, t terms, size int) *batch {
	ln := p.line(l, t)
	if n := len(ln.batches); n > 0 {
		b := ln.batches[n-1]
		if b.terms == t && len(b.ends) < envelope.ItemsMax && b.size+size <= envelope.BodyMax {
			return b
		}
		if n > 1 {
			return nil
		}
	}
	if p.waiting > 0 && p.waiting+size > waitingMax {
		return nil
	}
	b := &batch{line: ln, terms: t, size: p.sealer.overhead(), done: make(chan struct{})}
	ln.batches = append(ln.batches, b)
	p.enqueue(ln)
	return b
}

// line returns the state of a lane. A certificate or key that changed starts
// nothing new: the numbers go on.
func (p *publisher) line(l lane, t terms) *line {
	key := laneKey{l.target, l.signer.Address(), t.flags&envelope.Live != 0}
	ln := p.lines[key]
	if ln == nil {
		if len(p.lines) >= lanesMax {
			p.forgetIdle()
		}
		ln = &line{run: newRun()}
		p.lines[key] = ln
	}
	ln.lane = l
	return ln
}

// forgetIdle drops the lanes with nothing under way. When one is used again it
// has a new run, which receivers take as a publisher that started anew.
func (p *publisher) forgetIdle() {
	for key, ln := range p.lines {
		if len(ln.batches) == 0 && ln.flight == 0 {
			delete(p.lines, key)
		}
	}
}

// newRun names the stream of a publisher that starts now.
func newRun() envelope.Run {
	var chance [2]byte
	rand.Read(chance[:])
	return envelope.NewRun(uint64(time.Now().UnixMilli()), binary.BigEndian.Uint16(chance[:]))
}

// enqueue puts ln in turn, if it has something that may be signed now.
func (p *publisher) enqueue(ln *line) {
	if !ln.queued && len(ln.batches) > 0 && ln.flight < laneFlightMax {
		ln.queued = true
		p.ready = append(p.ready, ln)
	}
}

func (p *publisher) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// work signs until stop is closed.
func (p *publisher) work(stop <-chan struct{}) {
	for {
		b := p.take()
		if b == nil {
			select {
			case <-p.wake:
			case <-stop:
				return
			}
			continue
		}
		if e := p.sign(b); e != nil {
			if err := p.post(e); err != nil {
				p.finish(e.ID, err)
			}
		}
	}
}

// take closes the next batch and returns it; nil where there is none, or too much
// is under way.
func (p *publisher) take() *batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.ready) == 0 || p.flight >= flightMax || p.flown >= flightBytesMax {
		return nil
	}
	ln := p.ready[0]
	p.ready = p.ready[1:]
	ln.queued = false
	b := ln.batches[0]
	ln.batches = ln.batches[1:]
	ln.flight++
	p.flight++
	p.waiting -= b.size - p.sealer.overhead()
	p.enqueue(ln)
	p.more()
	return b
}

// more tells those who wait that there is room.
func (p *publisher) more() {
	if p.blocked > 0 {
		close(p.room)
		p.room = make(chan struct{})
	}
}

// sign makes the envelope of b and notes that it is under way. It returns nil if
// that failed, which b has been told.
func (p *publisher) sign(b *batch) *envelope.Envelope {
	p.mu.Lock()
	ln := b.line
	l, h := ln.lane, envelope.Header{
		Target: ln.target, From: ln.signer.Address(), Run: ln.run, First: ln.next, Count: len(b.ends),
		Time: uint64(p.now().UnixMilli()), TTL: b.terms.ttl, Flags: b.terms.flags,
	}
	ln.next += uint64(h.Count)
	p.mu.Unlock()
	e, err := p.envelope(h, l, b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && p.dead {
		err = p.closed
	}
	if err != nil {
		p.landed(b, err)
		return nil
	}
	b.buf, b.wired = nil, len(e.Raw)
	p.flown += b.wired
	p.under[e.ID] = b
	return e
}

func (p *publisher) envelope(h envelope.Header, l lane, b *batch) (*envelope.Envelope, error) {
	body, flags, err := p.sealer.seal(&h, b.items())
	if err != nil {
		return nil, err
	}
	h.Flags |= flags
	return envelope.Sign(h, l.cert, body, l.signer)
}

func (b *batch) items() [][]byte {
	items := make([][]byte, len(b.ends))
	from := 0
	for i, end := range b.ends {
		items[i], from = b.buf[from:end:end], end
	}
	return items
}

// putOff notes that the router asks to try later, which the machine does.
func (p *publisher) putOff(id ID, code wire.Code) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if b := p.under[id]; b != nil {
		b.later.Store(uint64(code))
	}
}

// taken is the router's answer, which is final.
func (p *publisher) taken(id ID, code wire.Code, retryAfter uint64) {
	if code == wire.OK {
		p.finish(id, nil)
		return
	}
	p.finish(id, &Refused{Code: code, RetryAfter: time.Duration(retryAfter) * time.Millisecond})
}

func (p *publisher) finish(id ID, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.under[id]
	if b == nil {
		return
	}
	delete(p.under, id)
	p.flown -= b.wired
	if r, ok := err.(*Refused); ok {
		r.ID, r.Items = id, len(b.ends)
	}
	p.landed(b, err)
}

// landed ends the flight of b. After a refusal the lane starts a new run, so that
// receivers do not wait for the numbers that will never come.
func (p *publisher) landed(b *batch, err error) {
	if err != nil {
		b.line.run, b.line.next = newRun(), 0
	}
	b.line.flight--
	p.flight--
	b.finish(err)
	p.enqueue(b.line)
	p.poke()
	p.settled()
}

func (b *batch) finish(err error) {
	b.err = err
	close(b.done)
}

// settled tells drain when nothing is left.
func (p *publisher) settled() {
	if p.idle != nil && p.flight == 0 && p.waiting == 0 {
		close(p.idle)
		p.idle = nil
	}
}

// drain takes nothing more and returns a channel that is closed when all that was
// taken has been acknowledged or refused.
func (p *publisher) drain(why error) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut(why)
	idle := make(chan struct{})
	p.idle = idle
	p.settled()
	return idle
}

// abandon fails all that is left and reports whether there was any. Nothing is
// taken or signed afterwards.
func (p *publisher) abandon(why error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut(why)
	p.dead = true
	left := false
	for id, b := range p.under {
		left = true
		delete(p.under, id)
		p.landed(b, why)
	}
	for _, ln := range p.lines {
		for _, b := range ln.batches {
			left = true
			p.waiting -= b.size - p.sealer.overhead()
			b.finish(why)
		}
		ln.batches, ln.queued = nil, false
	}
	p.ready = nil
	p.settled()
	return left
}

func (p *publisher) shut(why error) {
	if p.closed == nil {
		p.closed = why
		close(p.room)
		p.room = make(chan struct{})
	}
}

// wait returns what became of the batch, or ctx's error, with what the router said
// last if it put the batch off.
func (b *batch) wait(ctx context.Context) error {
	select {
	case <-b.done:
		return b.err
	default:
	}
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
	}
	if code := wire.Code(b.later.Load()); code != wire.OK {
		return &waitError{ctx.Err(), code}
	}
	return ctx.Err()
}

func (b *batch) isDone() bool {
	select {
	case <-b.done:
		return true
	default:
		return false
	}
}
