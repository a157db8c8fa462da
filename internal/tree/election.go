package tree

import (
	"cmp"
	"encoding/binary"

	"upsycle/identity"
)

// A ballot is what R3 watches.
type ballot struct {
	rank  identity.Hash // this router's
	share int64         // the same, in 2^-32 of all ranks
	none  spell         // no root is usable
	few   spell         // fewer than three usable ones have a better rank
	many  spell         // three or more have
}

// A spell is a condition and since when it has held without a break.
type spell struct {
	on bool
	at int64
}

func (s *spell) note(now int64, on bool) {
	if on && !s.on {
		s.at = now
	}
	s.on = on
}

// scaled returns the part of ms that the rank is of all ranks.
func (b *ballot) scaled(ms int64) int64 { return ms * b.share >> 32 }

func shareOf(rank identity.Hash) int64 { return int64(binary.BigEndian.Uint32(rank[:4])) }

// elect is R3: it starts or stops this router as a root, and reports whether it
// did. recount has just run.
func (f *Forest) elect(now int64) bool {
	usable, better := f.usableRoots()
	f.ballot.none.note(now, usable == 0)
	f.ballot.few.note(now, better < rootsCounting)
	f.ballot.many.note(now, better >= rootsCounting)
	at := f.electAt()
	if at == 0 || now < at {
		return false
	}
	if f.own.running {
		f.stop(now)
	} else {
		f.start(now)
	}
	return true
}

// electAt is when this router starts or stops, if nothing changes until then; 0:
// it does not.
func (f *Forest) electAt() int64 {
	b := &f.ballot
	if f.own.running {
		if b.many.on {
			return b.many.at + stopMany
		}
		return 0
	}
	if !f.cfg.CanRoot {
		return 0
	}
	at := int64(0)
	if b.few.on {
		at = max(b.few.at, f.boot+upFirst) + startFew + b.scaled(startFewRank)
	}
	if b.none.on {
		// The best ranks go first and spare the others the start.
		alone := b.none.at + startAlone + b.scaled(startAloneRank)
		at = min(alone, cmp.Or(at, alone))
	}
	return at
}

// usableRoots counts the usable roots, and those with a better rank than this
// router's.
func (f *Forest) usableRoots() (all, better int) {
	for _, t := range f.trees {
		if !t.usable {
			continue
		}
		all++
		if t.root != f.cfg.Self && outranks(t.rank, f.ballot.rank) {
			better++
		}
	}
	return all, better
}
