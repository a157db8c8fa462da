package tree

import (
	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A check is a question to Verify about the signatures of one announcement.
type check struct {
	nb     *neighbour
	advert *advert
	prints []identity.Hash // of what was asked, in order
	stale  bool            // something newer came: the answer is only good for the charge
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
	if len(asked) == 0 {
		a.checked = true
		f.onProven(now, nb, a)
		return
	}
	a.checking = true
	nb.checks[a.frame.Root] = c
	f.checks[f.desk.Verify(machine.OwnerTree, nb.link, asked...)] = c
}

// supersede drops what waits for its check. The question stays on record, so that
// a bad signature is charged all the same: nobody gets checks for free by sending
// the next announcement fast enough.
func (f *Forest) supersede(nb *neighbour, root identity.Address) {
	if c := nb.checks[root]; c != nil {
		c.stale = true
		delete(nb.checks, root)
	}
}

func (f *Forest) onVerified(now int64, token machine.Token, failed int) {
	c, ok := f.checks[token]
	if !ok {
		return
	}
	delete(f.checks, token)
	c.advert.checking = false
	good := len(c.prints)
	if failed >= 0 {
		good = min(failed, good)
		f.charge(now, c.nb, wire.BadSignature, "a signature of an announcement does not hold")
	}
	for _, p := range c.prints[:good] {
		f.proven.add(p)
	}
	if c.stale || c.nb.gone {
		return
	}
	root := c.advert.frame.Root
	delete(c.nb.checks, root)
	if failed >= 0 {
		f.withdraw(now, c.nb, root) // it counts as a retraction
		return
	}
	c.advert.checked = true
	f.onProven(now, c.nb, c.advert)
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
