package gate

import (
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A bucket is a budget that fills by a rate, in thousandths of a unit so that
// milliseconds need no fractions. The zero bucket is full. It may be overdrawn:
// what has arrived has arrived, and the debt says how long to wait.
type bucket struct {
	used int64 // thousandths below full
	at   int64 // when it was last looked at
}

// look returns how far the bucket is overdrawn at now, in milliseconds of its
// rate (units a second); 0 where it is not.
func (b *bucket) look(now, rate int64) int64 {
	b.fill(now, rate)
	if debt := b.used - burst*1000*rate; debt > 0 {
		return (debt + rate - 1) / rate
	}
	return 0
}

// debit takes units out.
func (b *bucket) debit(now, rate, units int64) {
	b.fill(now, rate)
	b.used += 1000 * units
}

// full reports whether nothing is missing at now.
func (b *bucket) full(now, rate int64) bool {
	b.fill(now, rate)
	return b.used == 0
}

func (b *bucket) fill(now, rate int64) {
	elapsed := now - b.at
	b.at = now
	if b.used/rate < elapsed { // by division: elapsed × rate may not fit
		b.used = 0
	} else {
		b.used -= elapsed * rate
	}
}

// Arrived debits a frame from its link's budget. A member's link that is above it
// is read more slowly: control frames cannot be dropped for a rate (spec §12).
func (g *Gate) Arrived(now int64, id machine.LinkID, bytes int) {
	g.now = now
	l, ok := g.links[id]
	if !ok || l.trusted {
		return
	}
	most := &g.cfg.Limits
	l.frames.debit(now, most.MemberFrames, 1)
	l.bytes.debit(now, most.MemberBytes, int64(bytes))
	if wait := max(l.frames.look(now, most.MemberFrames), l.bytes.look(now, most.MemberBytes)); wait > 0 {
		g.pause(now, id, l, wait)
	}
}

// Worked debits work that no frame's length shows: steps through a table that a
// client's frame made necessary and that brought nothing. stepsPerFrame of them
// cost as much as one frame.
func (g *Gate) Worked(now int64, id machine.LinkID, steps int) {
	g.now = now
	l, ok := g.links[id]
	if !ok || l.trusted || steps < stepsPerFrame {
		return
	}
	rate := g.cfg.Limits.MemberFrames
	l.frames.debit(now, rate, int64(steps/stepsPerFrame))
	if wait := l.frames.look(now, rate); wait > 0 {
		g.pause(now, id, l, wait)
	}
}

// pause asks for a link not to be read for a while, unless it is asked already.
func (g *Gate) pause(now int64, id machine.LinkID, l *link, wait int64) {
	if l.paused > now {
		return
	}
	l.paused = now + wait
	g.desk.Do(machine.Pause{Link: id, Until: time.UnixMilli(l.paused)})
}

// Charge counts a fault against the link that brought it (spec §12.1). Twenty in a
// minute close it with code 6, and its peer is refused for a while.
func (g *Gate) Charge(now int64, id machine.LinkID, code wire.Code, text string) {
	g.now = now
	g.desk.Do(machine.Report{Event: machine.FaultCharged, Link: id, Code: code, Text: text})
	l, ok := g.links[id]
	if !ok || l.closing {
		return
	}
	if len(l.faults) == FaultsMax-1 {
		if now-l.faults[0] < faultWindow {
			l.closing = true
			g.bans.add(now, l.peer)
			g.desk.Close(id, wire.BadSignature, "too many faults in a minute; the last: "+text)
			return
		}
		l.faults = append(l.faults[:0], l.faults[1:]...)
	}
	l.faults = append(l.faults, now)
}

// bans remembers who was closed for faults.
type bans struct {
	at    map[identity.Address]ban
	order []identity.Address // as they were added
}

type ban struct{ until, length int64 }

func newBans() bans { return bans{at: make(map[identity.Address]ban)} }

func (b *bans) holds(now int64, peer identity.Address) bool { return now < b.at[peer].until }

// add bans a peer, for twice as long as the last time.
func (b *bans) add(now int64, peer identity.Address) {
	old, ok := b.at[peer]
	if !ok {
		if len(b.order) == bansMax {
			delete(b.at, b.order[0])
			b.order = append(b.order[:0], b.order[1:]...)
		}
		b.order = append(b.order, peer)
	}
	length := min(max(2*old.length, banFirst), banMax)
	b.at[peer] = ban{now + length, length}
}

// writers holds the budgets of those who wrote a short while ago.
type writers struct {
	at    map[identity.Address]*writer
	order queue[identity.Address]
}

type writer struct{ envelopes, bytes bucket }

func newWriters() writers { return writers{at: make(map[identity.Address]*writer)} }

// look returns how long a writer has to wait; 0: it may go on. It changes nothing
// that counts: a forger may look as often as it likes (spec §4.4, budget trap).
func (w *writers) look(now int64, from identity.Address, l *Limits) int64 {
	b, ok := w.at[from]
	if !ok {
		return 0
	}
	return max(b.envelopes.look(now, l.WriterEnvelopes), b.bytes.look(now, l.WriterBytes))
}

// debit charges an envelope whose signature held to its writer.
func (w *writers) debit(now int64, from identity.Address, bytes int, l *Limits) {
	b, ok := w.at[from]
	if !ok {
		if w.tidy(now, l); len(w.at) >= WritersMax {
			return
		}
		b = &writer{}
		w.at[from] = b
		w.order.push(from)
	}
	b.envelopes.debit(now, l.WriterEnvelopes, 1)
	b.bytes.debit(now, l.WriterBytes, int64(bytes))
}

// tidy looks at the two oldest budgets and forgets those that are full again.
// Two for each that comes: the table shrinks while it is used.
func (w *writers) tidy(now int64, l *Limits) {
	for range 2 {
		from, ok := w.order.pop()
		if !ok {
			return
		}
		b := w.at[from]
		if b.envelopes.full(now, l.WriterEnvelopes) && b.bytes.full(now, l.WriterBytes) {
			delete(w.at, from)
			continue
		}
		w.order.push(from)
	}
}
