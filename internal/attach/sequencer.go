package attach

import (
	"slices"

	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// SequencerLimits bound a Sequencer; zero values are the defaults of a home.
type SequencerLimits struct {
	Wait      int64 // milliseconds that anything waits behind a hole
	Join      int64 // milliseconds that a stream waits whose beginning is in doubt; 0: it starts where it is seen first
	Envelopes int   // that wait in one stream
	Bytes     int   // that wait in one stream
	Total     int   // bytes that wait in all streams
	Streams   int   // that are known
	Keep      bool  // streams stay while anything of them may come again, if there is room
}

// A Sequencer puts each stream in order (F5). Within a stream (target, from, run)
// the numbers of the items tell: an envelope ahead of a hole waits until the hole
// is filled, for 30 s at most and within bounds; then a gap tells of the hole and
// the stream goes on. What fills it later passes at once, marked late. In a live
// stream a hole is a gap at once. Streams never wait for each other.
//
// A stream that began after its target was wanted (Since) is known from its first
// number on: the first of a young subscription may be repaired while the next is
// pushed already. Any other stream starts where it is seen first, after waiting for
// Join, if its beginning may only seem to lie before: what was before the start is
// no gap.
//
// Inputs: Since, Put, Excuse, Forget, Tick; each but the first appends to a list what passes, in order.
// Queries: Deadline, Held. Times are Unix milliseconds. It is not safe for
// concurrent use.
type Sequencer struct {
	limits  SequencerLimits
	streams map[envelope.Stream]*stream
	targets map[envelope.Target]*targetStreams
	since   map[envelope.Target]int64 // what begins later is seen from its beginning
	ages    fifo[*stream]             // for forgetting idle ones
	due     ordered.Agenda[*stream]
	held    int // bytes
	count   int // envelopes
}

// Order says how an envelope passed.
type Order uint8

// The orders.
const (
	InOrder   Order = iota
	Late            // fills a hole that was given up, or precedes what was seen first
	Duplicate       // its numbers passed before; only its receipt matters
	Hole            // no envelope: Gap tells what is missing
)

// Passed is what a Sequencer lets through.
type Passed struct {
	Order    Order
	Admitted gate.Admitted // zero for a hole
	Receipt  Receipt
	Gap      wire.Gap // of a hole
}

type stream struct {
	key   envelope.Stream
	next  uint64         // the number that is expected
	joins bool           // nothing passed yet: the first of held will be the start
	holes []wire.Range   // numbers below next that did not pass
	held  []*waiting     // ascending by number
	came  fifo[*waiting] // held, in the order in which they came, and some that passed
	bytes int            // of held
	armed bool           // a note in due exists
	last  uint64         // time of the last that passed in order
	used  int64
	until int64 // when all of it has expired
	gone  bool
}

type waiting struct {
	a  gate.Admitted // zero: passed
	r  Receipt
	at int64
}

// oldest returns when the first of what is held came; something is held. Each
// entry of came is looked at once, so that many holes cost no more than their
// number.
func (st *stream) oldest() int64 {
	for {
		if w, _ := st.came.peek(); !w.a.IsZero() {
			return w.at
		}
		st.came.pop()
	}
}

// targetStreams are the streams of one target, and how many items of it were
// reported missing without saying of which stream.
type targetStreams struct {
	list    []*stream
	excused uint64
}

// NewSequencer returns a Sequencer that knows no stream.
func NewSequencer(l SequencerLimits) *Sequencer {
	if l.Wait == 0 {
		l.Wait = holeWait
	}
	l.Envelopes, l.Bytes = or(l.Envelopes, heldEnvelopes), or(l.Bytes, heldBytes)
	l.Total, l.Streams = or(l.Total, heldTotal), or(l.Streams, streamsMax)
	return &Sequencer{
		limits:  l,
		streams: make(map[envelope.Stream]*stream),
		targets: make(map[envelope.Target]*targetStreams),
		since:   make(map[envelope.Target]int64),
	}
}

// Since says that what is published to a target from now on will come. Of several
// calls the first counts, until Forget.
func (s *Sequencer) Since(now int64, t envelope.Target) {
	if _, ok := s.since[t]; !ok {
		s.since[t] = now
	}
}

// Put takes an envelope and appends to out what passes now: it may be held, or
// bring others along.
func (s *Sequencer) Put(now int64, a gate.Admitted, r Receipt, out []Passed) []Passed {
	e := a.Envelope()
	st := s.stream(now, e)
	if st == nil { // no room to remember it
		return append(out, Passed{Admitted: a, Receipt: r})
	}
	st.used = now
	switch {
	case e.Next() <= st.next:
		order := Duplicate
		if st.fill(e.First, e.Next()-1) {
			order = Late
		}
		return append(out, Passed{Order: order, Admitted: a, Receipt: r})
	case e.First <= st.next:
		return s.release(st, append(out, st.pass(a, r)))
	case st.joins:
		return s.hold(st, &waiting{a, r, now}, out)
	case e.Flags&envelope.Live != 0 || e.First-st.next <= s.targets[st.key.Target].excused:
		out = s.skip(st, e.First, e.Time, out)
		return s.release(st, append(out, st.pass(a, r)))
	}
	return s.hold(st, &waiting{a, r, now}, out)
}

// Excuse says that count items of a target are known to be missing, because a
// router told of a gap: holes of that size pass without a wait and are not told
// again.
func (s *Sequencer) Excuse(t envelope.Target, count uint64) {
	if l, ok := s.targets[t]; ok {
		l.excused += min(count, 1<<32) // a wild count must not wrap around
	}
}

// Forget drops what is known of a target's streams, since nobody wants it any
// more. What was held passes.
func (s *Sequencer) Forget(t envelope.Target, out []Passed) []Passed {
	delete(s.since, t)
	l, ok := s.targets[t]
	if !ok {
		return out
	}
	for _, st := range slices.Clone(l.list) {
		for len(st.held) > 0 {
			w := s.take(st)
			out = append(out, Passed{Admitted: w.a, Receipt: w.r})
		}
		s.drop(st)
	}
	return out
}

// Tick gives up the holes behind which something waited long enough.
func (s *Sequencer) Tick(now int64, out []Passed) []Passed {
	for st, ok := s.due.Pop(now); ok; st, ok = s.due.Pop(now) {
		st.armed = false
		for len(st.held) > 0 && now-st.oldest() >= s.wait(st) {
			out = s.giveUp(st, out)
		}
		s.arm(st)
	}
	return out
}

// Deadline returns when a Tick is wanted; 0: never.
func (s *Sequencer) Deadline() int64 {
	at, _ := s.due.Next()
	return at
}

// Held returns how many envelopes wait, and their bytes.
func (s *Sequencer) Held() (envelopes, bytes int) { return s.count, s.held }

// stream finds or starts the stream of e.
func (s *Sequencer) stream(now int64, e *envelope.Envelope) *stream {
	key := e.Stream()
	if st, ok := s.streams[key]; ok {
		return st
	}
	s.forgetIdle(now)
	if len(s.streams) >= s.limits.Streams {
		s.overlook(now, key.Target)
		return nil
	}
	st := &stream{key: key, used: now}
	if e.First > 0 {
		s.join(now, st, e)
	}
	s.know(st)
	return st
}

// know puts a new stream into the tables.
func (s *Sequencer) know(st *stream) {
	s.streams[st.key] = st
	l, ok := s.targets[st.key.Target]
	if !ok {
		l = &targetStreams{}
		s.targets[st.key.Target] = l
	}
	l.list = append(l.list, st)
	s.ages.push(st)
}

// resume makes a stream known of which the numbers in ranges passed in an earlier
// life. Those between and before them are holes that nobody waits for.
func (s *Sequencer) resume(now int64, m *mark) {
	if len(s.streams) >= s.limits.Streams {
		return
	}
	st := &stream{key: m.stream, used: now, until: m.until}
	for _, r := range m.ranges {
		if r.First > st.next {
			st.holes = append(st.holes, wire.Range{First: st.next, Last: r.First - 1})
		}
		st.next = r.Last + 1
	}
	s.know(st)
}

// join decides where a stream begins of which something else than the first came:
// at that, or at the number 0, or at what comes within Join. The run says when the
// stream began by its publisher's clock, which is ahead of ours by what the
// envelope's time is.
func (s *Sequencer) join(now int64, st *stream, e *envelope.Envelope) {
	since, ok := s.since[st.key.Target]
	began := int64(st.key.Run.Start())
	known := ok && began <= int64(e.Time) // else the run holds no time
	began -= max(0, int64(e.Time)-now)
	switch {
	case e.Flags&envelope.Live != 0:
		st.begin(e.First)
	case known && began >= since: // a hole like any other
	case s.limits.Join == 0, known && began < since-joinDoubt:
		st.begin(e.First)
	default:
		st.joins = true
	}
}

// overlook takes note that streams of a target may begin unseen.
func (s *Sequencer) overlook(now int64, t envelope.Target) {
	if _, ok := s.since[t]; ok {
		s.since[t] = now
	}
}

// forgetIdle looks at the two oldest streams.
func (s *Sequencer) forgetIdle(now int64) {
	for range 2 {
		st, ok := s.ages.pop()
		switch {
		case !ok:
			return
		case st.gone:
		case len(st.held) > 0 || now-st.used < streamIdle,
			s.limits.Keep && st.until >= now && len(s.streams) < s.limits.Streams:
			s.ages.push(st)
		default:
			s.overlook(now, st.key.Target)
			s.drop(st)
		}
	}
}

// drop forgets a stream. Its place in ages is taken out when its turn comes.
func (s *Sequencer) drop(st *stream) {
	st.gone = true
	delete(s.streams, st.key)
	l := s.targets[st.key.Target]
	if i := slices.Index(l.list, st); i >= 0 {
		l.list = slices.Delete(l.list, i, i+1)
	}
	if len(l.list) == 0 {
		delete(s.targets, st.key.Target)
	}
}

// hold lets w wait. Two of one number: the first stays.
func (s *Sequencer) hold(st *stream, w *waiting, out []Passed) []Passed {
	e := w.a.Envelope()
	i, found := slices.BinarySearchFunc(st.held, e.First, func(w *waiting, first uint64) int {
		switch have := w.a.Envelope().First; {
		case have < first:
			return -1
		case have > first:
			return 1
		}
		return 0
	})
	if found {
		return append(out, Passed{Order: Duplicate, Admitted: w.a, Receipt: w.r})
	}
	st.held = slices.Insert(st.held, i, w)
	st.remember(w)
	size := len(e.Raw)
	st.bytes, s.held, s.count = st.bytes+size, s.held+size, s.count+1
	s.arm(st)
	for len(st.held) > s.limits.Envelopes || len(st.held) > 0 && (st.bytes > s.limits.Bytes || s.held > s.limits.Total) {
		out = s.giveUp(st, out)
	}
	return out
}

// arm makes sure that a Tick looks at the stream when its holes are due.
func (s *Sequencer) arm(st *stream) {
	if !st.armed && len(st.held) > 0 {
		st.armed = true
		s.due.Put(st.oldest()+s.wait(st), st)
	}
}

// wait returns how long the first of what is held has to.
func (s *Sequencer) wait(st *stream) int64 {
	if st.joins {
		return s.limits.Join
	}
	return s.limits.Wait
}

// giveUp lets the stream go on behind its first hole, or begin.
func (s *Sequencer) giveUp(st *stream, out []Passed) []Passed {
	first := st.held[0].a.Envelope()
	if st.joins {
		st.begin(first.First)
		return s.release(st, out)
	}
	return s.release(st, s.skip(st, first.First, first.Time, out))
}

// release passes what follows without a hole.
func (s *Sequencer) release(st *stream, out []Passed) []Passed {
	for len(st.held) > 0 && st.held[0].a.Envelope().First <= st.next {
		w := s.take(st)
		if w.a.Envelope().Next() <= st.next {
			out = append(out, Passed{Order: Duplicate, Admitted: w.a, Receipt: w.r})
			continue
		}
		out = append(out, st.pass(w.a, w.r))
	}
	return out
}

// remember puts w at the end of came. What passed there goes when it is the most.
func (st *stream) remember(w *waiting) {
	if n := st.came.len(); n > 64 && n > 2*len(st.held) {
		var rest fifo[*waiting]
		for w, ok := st.came.pop(); ok; w, ok = st.came.pop() {
			if !w.a.IsZero() {
				rest.push(w)
			}
		}
		st.came = rest
	}
	st.came.push(w)
}

// take takes out the first of what is held.
func (s *Sequencer) take(st *stream) waiting {
	w := *st.held[0]
	*st.held[0] = waiting{}
	st.held[0] = nil
	if st.held = st.held[1:]; len(st.held) == 0 {
		st.held = nil
		st.came.clear()
	}
	size := len(w.a.Envelope().Raw)
	st.bytes, s.held, s.count = st.bytes-size, s.held-size, s.count-1
	return w
}

// skip moves the stream to the number first over a hole, of which a gap tells as
// far as nobody told of it before. to is the time of what follows the hole.
func (s *Sequencer) skip(st *stream, first, to uint64, out []Passed) []Passed {
	count := first - st.next
	l := s.targets[st.key.Target]
	told := min(count, l.excused)
	l.excused -= told
	st.holes = append(st.holes, wire.Range{First: st.next, Last: first - 1})
	if len(st.holes) > holesKept {
		st.holes = slices.Delete(st.holes, 0, 1)
	}
	st.next = first
	if count == told {
		return out
	}
	from := st.last
	if from == 0 || from > to {
		from = to
	}
	return append(out, Passed{Order: Hole, Gap: wire.Gap{
		Target: st.key.Target, FromTime: from, ToTime: to, Count: count - told, Why: wire.WhyHole,
	}})
}

// begin makes a number the first that is expected. What precedes it counts as a
// hole that nobody waits for: it may still come.
func (st *stream) begin(first uint64) {
	st.joins, st.next = false, first
	if first > 0 {
		st.holes = []wire.Range{{First: 0, Last: first - 1}}
	}
}

// pass moves the stream behind an envelope.
func (st *stream) pass(a gate.Admitted, r Receipt) Passed {
	e := a.Envelope()
	st.joins = false
	st.next, st.last = e.Next(), e.Time
	st.until = max(st.until, int64(e.Expires()))
	return Passed{Admitted: a, Receipt: r}
}

// fill cuts the numbers first to last out of the holes and reports whether any of
// them lay in one.
func (st *stream) fill(first, last uint64) bool {
	for i, h := range st.holes {
		if last < h.First || h.Last < first {
			continue
		}
		var rest []wire.Range
		if h.First < first {
			rest = append(rest, wire.Range{First: h.First, Last: first - 1})
		}
		if last < h.Last {
			rest = append(rest, wire.Range{First: last + 1, Last: h.Last})
		}
		st.holes = slices.Replace(st.holes, i, i+1, rest...)
		return true
	}
	return false
}
