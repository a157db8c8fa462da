package tree

import (
	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A check is a question to Verify about the signatures of one announcement. Of one
// neighbour and root at most one is under way: what comes meanwhile waits, and only
// the newest of it, so a flood of announcements costs no more than the last.
type check struct {
	nb     *neighbour
	advert *advert
	prints []identity.Hash // of what was asked, in order
	stale  bool            // something newer came: the answer is only good for the charge
	next   *advert         // to be checked when the answer is there, or nil
}

// check has the signatures of a checked that are not known to hold yet. An
// unchanged beginning of a chain, which is most of it as a rule, costs nothing.
func (f *Forest) check(now int64, nb *neighbour, a *advert) {
	claims := a.frame.Claims(f.cfg.Self)
	c := &check{nb: nb, advert: a}
	asked := claims[:0]
	for i := range claims {
		a.tail = wire.ChainHash(claims[i].Body, claims[i].Sig)
		if !f.proven.has(a.tail) {
			asked = append(asked, claims[i])
			c.prints = append(c.prints, a.tail)
		}
	}
	root := a.frame.Root
	a.checking = len(asked) > 0
	if !a.checking {
		a.checked = true
		f.onProven(now, nb, a)
		return
	}
	if before := nb.checks[root]; before != nil {
		before.stale, before.next = true, a
		return
	}
	nb.checks[root] = c
	f.checks[f.desk.Verify(machine.OwnerTree, nb.link, asked...)] = c
}

// supersede drops what waits for its check. The question that is under way stays
// on record, so that a bad signature is charged all the same: nobody gets checks
// for free by sending the next announcement fast enough.
func (f *Forest) supersede(nb *neighbour, root identity.Address) {
	if c := nb.checks[root]; c != nil {
		c.stale, c.next = true, nil
	}
}

func (f *Forest) onVerified(now int64, token machine.Token, failed int) {
	c, ok := f.checks[token]
	if !ok {
		return
	}
	root := c.advert.frame.Root
	delete(f.checks, token)
	delete(c.nb.checks, root)
	c.advert.checking = false
	f.learn(c, failed)
	if failed >= 0 {
		f.charge(now, c.nb, wire.BadSignature, "a signature of an announcement does not hold")
	}
	switch {
	case c.nb.gone:
	case c.next != nil:
		f.check(now, c.nb, c.next)
	case c.stale:
	case failed >= 0:
		f.withdraw(now, c.nb, root) // it counts as a retraction
	default:
		c.advert.checked = true
		f.onProven(now, c.nb, c.advert)
	}
}

// learn remembers the signatures that were found to hold: all, or those before
// the first that does not.
func (f *Forest) learn(c *check, failed int) {
	good := c.prints
	if failed >= 0 {
		good = good[:min(failed, len(good))]
	}
	for _, p := range good {
		f.proven.add(p)
	}
}

// A claimSet remembers signatures that hold, each by the hash that stands for it
// and for all before it in its chain. The oldest make room for new ones.
type claimSet struct {
	set  map[identity.Hash]bool
	ring []identity.Hash
	next int
}

func newClaimSet() claimSet { return claimSet{set: make(map[identity.Hash]bool)} }

func (c *claimSet) has(h identity.Hash) bool { return c.set[h] }

func (c *claimSet) add(h identity.Hash) {
	if c.set[h] {
		return
	}
	c.set[h] = true
	if len(c.ring) < claimsKnown {
		c.ring = append(c.ring, h)
		return
	}
	delete(c.set, c.ring[c.next])
	c.ring[c.next] = h
	c.next = (c.next + 1) % claimsKnown
}
