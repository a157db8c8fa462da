package tree

import (
	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// ownRoot is this router as a root.
type ownRoot struct {
	running bool
	raising bool             // a new number is being signed
	seq     int64            // the highest number of this life
	want    int64            // T6: the highest number that was asked for
	refresh int64            // when the number is raised unasked
	raised  [raiseMany]int64 // when it was raised, as a ring
	raises  int
}

// start makes this router a root (R3). Its number starts at the clock's seconds,
// so that a lost disk does no harm while the clock is right (T8).
func (f *Forest) start(now int64) {
	t := f.byRoot[f.cfg.Self]
	if t == nil {
		f.makeRoom(now, f.cfg.Self)
		t = f.plant(now, f.cfg.Self)
	}
	f.own.running = true
	f.desk.Count(machine.RootStarted, 0)
	f.gain(now, t)
	f.raise(now, max(f.own.seq+1, now/1000))
}

// stop ends it. The tree stays known until T8 forgets it; children stay until they
// prune.
func (f *Forest) stop(now int64) {
	f.own.running = false
	f.own.want = 0
	f.desk.Count(machine.RootStopped, 0)
	f.lose(now, f.byRoot[f.cfg.Self])
}

// raise has a new number signed. It counts once the signature is there.
func (f *Forest) raise(now, seq int64) {
	o := &f.own
	o.raising, o.seq = true, seq
	o.raised[o.raises%raiseMany] = now
	o.raises++
	o.refresh = now + refresh - int64(f.random.Uint64N(refreshJitter))
	token := f.desk.Sign(machine.OwnerTree, identity.LabelRoot, wire.RootBody(f.cfg.Self, uint64(seq), uint64(now), wire.Automatic))
	f.signing[token] = &signing{seq: seq, issued: now}
}

func (f *Forest) onRaised(now int64, g *signing, sig identity.Signature) {
	f.own.raising = false
	t := f.byRoot[f.cfg.Self]
	if !f.own.running || g.seq != f.own.seq {
		return // stopped meanwhile, maybe started again with a later number
	}
	fr := &wire.Announce{Root: f.cfg.Self, Seq: uint64(g.seq), Issued: uint64(g.issued), Class: wire.Automatic, RootSig: sig}
	body := wire.RootBody(fr.Root, fr.Seq, fr.Issued, fr.Class)
	t.via = &advert{frame: fr, tail: wire.ChainHash(body, sig), checked: true}
	t.rung = rung{g.seq, 0}
	t.version++
	t.dirty = true
	f.raiseDue(now)
}

// onWant is T6 at the root.
func (f *Forest) onWant(now, want int64) {
	if !f.own.running || want > now/1000+wantAhead {
		return
	}
	f.own.want = max(f.own.want, want)
	f.raiseDue(now)
}

// raiseDue raises the number if somebody asked for a higher one, though not more
// often than T6 allows, or if it is time to (T8). Tick comes back to what is left.
func (f *Forest) raiseDue(now int64) {
	if at := f.own.raiseAt(); at != 0 && now >= at {
		f.raise(now, max(f.own.seq+1, f.own.want))
	}
}

// raiseAt is when the next number is given out; 0: this router is no root, or a
// number is on its way.
func (o *ownRoot) raiseAt() int64 {
	switch {
	case !o.running || o.raising:
		return 0
	case o.want <= o.seq:
		return o.refresh
	}
	last := o.raised[(o.raises+raiseMany-1)%raiseMany]
	first := o.raised[o.raises%raiseMany] // the tenth last, once there were ten
	if o.raises >= raiseMany && last-first < raiseWindow {
		return last + raisePauseLong
	}
	return last + raisePause
}
