package link

import (
	"sync"

	"upsycle/identity"
)

// keyCacheSize is how many checked keys all links of a process remember together
// (spec §2.2). A check costs a square root, a look-up a tenth of a microsecond.
const keyCacheSize = 64 << 10

// A keyCache remembers keys that passed the check, in two generations: when the
// young one is full it becomes the old one. Keys in use move to the young
// generation, so a flood of new keys cannot push out those of living links for
// longer than one check. Keys that failed are not remembered: they end the link.
// It is safe for concurrent use.
type keyCache struct {
	mu         sync.Mutex
	young, old map[[identity.AddressSize]byte]identity.Address
	half       int
}

func newKeyCache(size int) *keyCache {
	return &keyCache{young: make(map[[identity.AddressSize]byte]identity.Address), half: size / 2}
}

// Address checks b, or knows it; see identity.NewAddress.
func (c *keyCache) Address(b []byte) (identity.Address, error) {
	if len(b) != identity.AddressSize {
		return identity.Address{}, identity.ErrBadKey
	}
	key := [identity.AddressSize]byte(b)
	c.mu.Lock()
	a, known := c.young[key]
	if !known {
		if a, known = c.old[key]; known {
			c.put(key, a)
		}
	}
	c.mu.Unlock()
	if known {
		return a, nil
	}
	a, err := identity.NewAddress(b) // outside of the lock: it is the slow part
	if err != nil {
		return a, err
	}
	c.mu.Lock()
	c.put(key, a)
	c.mu.Unlock()
	return a, nil
}

func (c *keyCache) put(key [identity.AddressSize]byte, a identity.Address) {
	if len(c.young) >= c.half {
		c.old = c.young
		c.young = make(map[[identity.AddressSize]byte]identity.Address)
	}
	c.young[key] = a
}
