package link

import (
	"sync"
	"testing"

	"upsycle/identity"
)

// The cache gives the verdict of the check itself, first and second time.
func TestKeyCacheVerdict(t *testing.T) {
	c := newKeyCache(16)
	good := keyOf(1).Address().Bytes()
	small := append([]byte{1}, make([]byte, 31)...) // the neutral element
	for range 3 {
		if a, err := c.Address(good); err != nil || a != keyOf(1).Address() {
			t.Errorf("a good key: %v, %v", a, err)
		}
		for caption, bad := range map[string][]byte{"small order": small, "short": good[:31], "long": append(good[:32:32], 0), "none": nil} {
			if _, err := c.Address(bad); err != identity.ErrBadKey {
				t.Errorf("%s: %v", caption, err)
			}
		}
	}
	if len(c.young) != 1 {
		t.Errorf("%d keys are remembered, want the good one only", len(c.young))
	}
}

// The cache is bounded, and keys in use survive a flood.
func TestKeyCacheBound(t *testing.T) {
	c := newKeyCache(16)
	used := keyOf(0).Address()
	for n := range 100 {
		c.Address(keyOf(byte(n)).Address().Bytes())
		c.Address(used.Bytes())
		if len(c.young)+len(c.old) > 16 {
			t.Fatalf("%d keys after %d", len(c.young)+len(c.old), n)
		}
		if _, young := c.young[[32]byte(used.Bytes())]; !young {
			t.Fatalf("a key in use was forgotten after %d others", n)
		}
	}
}

func TestKeyCacheConcurrent(t *testing.T) {
	c := newKeyCache(16)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			for n := range 100 {
				want := keyOf(byte(n * (i + 1))).Address()
				if got, err := c.Address(want.Bytes()); got != want || err != nil {
					t.Errorf("%v, %v", got, err)
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkKeyCacheHit(b *testing.B) {
	c := newKeyCache(keyCacheSize)
	key := keyOf(1).Address().Bytes()
	for b.Loop() {
		c.Address(key)
	}
}
