package backbone

import (
	"time"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A pace is what one kind of frame may bring over a link in a second. No control
// frame is dropped for its rate, since a lost interest or prune would stay lost:
// a link that is above it is read more slowly (spec §12.1, §12.2).
type pace struct {
	used int64 // thousandths of a unit above what has been worked off
	at   int64 // when it was last looked at
}

// spend takes units out, at a rate of so many a second, and returns how many
// milliseconds the link is ahead of its rate; 0: it is within, or within the burst
// that a new branch needs.
func (p *pace) spend(now, rate, units int64) int64 {
	if elapsed := now - p.at; p.used/rate < elapsed { // by division: elapsed × rate may not fit
		p.used = 0
	} else {
		p.used -= elapsed * rate
	}
	// It has arrived, so it is debited in full, whatever the debt.
	p.at = now
	p.used += 1000 * units
	if ahead := p.used - 1000*rate*paceBurst; ahead > 0 {
		return (ahead + rate - 1) / rate
	}
	return 0
}

// paces are those of one link.
type paces struct{ announces, seqreqs, entries, offers, pulls pace }

// charge debits a frame from the pace of its kind. Data and answers have none: the
// queues of F3 and the checks that are under way bound them.
func (p *paces) charge(now int64, f wire.Frame) int64 {
	switch f := f.(type) {
	case *wire.Announce, *wire.Retract:
		return p.announces.spend(now, announceRate, 1)
	case *wire.SeqReq:
		return p.seqreqs.spend(now, seqreqRate, 1)
	case *wire.Interest:
		return p.entries.spend(now, entryRate, int64(len(f.Entries)))
	case *wire.Elsewhere:
		return p.entries.spend(now, entryRate, int64(len(f.Entries)))
	case *wire.Graft, *wire.Prune:
		return p.entries.spend(now, entryRate, 1)
	case *wire.Offer:
		return p.offers.spend(now, offerRate, int64(len(f.IDs)))
	case *wire.Pull:
		return p.pulls.spend(now, pullRate, int64(len(f.IDs)))
	case *wire.NoHave:
		return p.pulls.spend(now, pullRate, int64(len(f.IDs)))
	}
	return 0
}

// slow asks for a neighbour's link not to be read for so many milliseconds, a
// second at most: what it owes after that is asked for again with its next frame,
// and its pongs are read in between.
func (b *Backbone) slow(now int64, n *neighbour, wait int64) {
	if wait <= 0 || n.pausedTill > now {
		return
	}
	n.pausedTill = now + min(wait, pauseMax)
	b.desk.Do(machine.Pause{Link: n.link, Until: time.UnixMilli(n.pausedTill)})
}
