package link

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// low and high are two addresses in this order.
func lowAndHigh() (low, high identity.Key) {
	low, high = keyOf(1), keyOf(2)
	if low.Address().Compare(high.Address()) > 0 {
		low, high = high, low
	}
	return low, high
}

// spec §3.5: which of two links of one key stays.
func TestNewerStays(t *testing.T) {
	lowKey, highKey := lowAndHigh()
	low, high := lowKey.Address(), highKey.Address()
	b1, b2 := [8]byte{1}, [8]byte{2}
	for _, c := range []struct {
		caption      string
		self, peer   identity.Address
		older, newer side
		want         bool
	}{
		{"attachment: the newer", low, high, side{false, true, b1}, side{false, false, b1}, true},
		{"attachment, the other way: the newer", low, high, side{false, false, b1}, side{false, true, b1}, true},
		{"a key that was a client and is a core now: the newer", low, high, side{false, true, b1}, side{true, false, b1}, true},
		{"both dialled by us: the newer", high, low, side{true, true, b1}, side{true, true, b1}, true},
		{"both dialled by the peer: the newer", low, high, side{true, false, b1}, side{true, false, b1}, true},
		{"the peer was started anew: the newer", low, high, side{true, true, b1}, side{true, false, b2}, true},
		{"the peer was started anew, we are larger: the newer", high, low, side{true, false, b1}, side{true, true, b2}, true},
		{"we are smaller and dialled the newer: the newer", low, high, side{true, false, b1}, side{true, true, b1}, true},
		{"we are smaller and dialled the older: the older", low, high, side{true, true, b1}, side{true, false, b1}, false},
		{"the peer is smaller and dialled the newer: the newer", high, low, side{true, true, b1}, side{true, false, b1}, true},
		{"the peer is smaller and dialled the older: the older", high, low, side{true, false, b1}, side{true, true, b1}, false},
	} {
		if got := newerStays(c.self, c.peer, c.older, c.newer); got != c.want {
			t.Errorf("%s: newer stays: %v", c.caption, got)
		}
	}
}

// Both ends keep the same of two links that cross, in whatever order they see
// them; else they would close both.
func TestBothSidesAgree(t *testing.T) {
	lowKey, highKey := lowAndHigh()
	low, high := lowKey.Address(), highKey.Address()
	boot := [8]byte{1}
	kept := func(self, peer identity.Address, firstDialled bool) (dialledByLow bool) {
		older, newer := side{true, firstDialled, boot}, side{true, !firstDialled, boot}
		stays := older
		if newerStays(self, peer, older, newer) {
			stays = newer
		}
		return stays.dialled == (self == low)
	}
	for _, lowFirst := range []bool{true, false} {
		for _, highFirst := range []bool{true, false} {
			if a, b := kept(low, high, lowFirst), kept(high, low, highFirst); !a || !b {
				t.Errorf("order %v, %v: the lower keeps its own %v, the higher keeps the lower's %v", lowFirst, highFirst, a, b)
			}
		}
	}
}

// Two cores that dial each other at once end with one link, the same at both
// ends, and leave it alone.
func TestCrossedDials(t *testing.T) {
	for n := range 20 {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemory()
			a := newNode(t, keyOf(byte(1+n)), wire.Core, network)
			b := newNode(t, keyOf(byte(101+n)), wire.Core, network)
			atA, atB := a.listen(t, mem("a")), b.listen(t, mem("b"))
			a.dial(t, atB)
			b.dial(t, atA)
			time.Sleep(time.Minute)
			ends := func() [2]Info {
				la, lb := a.Links(), b.Links()
				if len(la) != 1 || len(lb) != 1 || la[0].Dialled == lb[0].Dialled {
					t.Fatalf("links %+v and %+v", la, lb)
				}
				return [2]Info{la[0], lb[0]}
			}
			before := ends()
			time.Sleep(10 * time.Minute)
			if after := ends(); after[0].Link != before[0].Link || after[1].Link != before[1].Link {
				t.Errorf("the link was replaced: %+v, then %+v", before, after)
			}
			a.Send(before[0].Link, machine.Control, graft(1))
			synctest.Wait()
			if len(b.rec.frames()) != 1 {
				t.Error("the link does not carry")
			}
		})
	}
}

// A second process with the same key takes the attachment over; the first is told
// and does not come back.
func TestNewerAttachment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		first := newNode(t, keyOf(2), wire.Service, network)
		first.dial(t, at)
		home.rec.awaitUp(t, 1)
		second := newNode(t, keyOf(2), wire.Service, network)
		second.dial(t, at)
		n := first.rec.awaitNotice(t, DialStopped, 1)
		if n.Code != wire.Superseded || !n.ByPeer || n.Text == "" || n.Hint == "" {
			t.Errorf("the first was told %+v", n)
		}
		time.Sleep(10 * time.Minute)
		events, _ := home.rec.snapshot()
		var kinds []string
		for _, ev := range events {
			kinds = append(kinds, fmt.Sprintf("%T", ev))
		}
		if want := []string{"machine.LinkUp", "machine.LinkDown", "machine.LinkUp"}; !slices.Equal(kinds, want) {
			t.Errorf("home saw %v", events)
		}
		if len(second.Links()) != 1 || len(first.Links()) != 0 {
			t.Error("the wrong link stays")
		}
		if err := first.Dial(at, DialOptions{}); err != nil {
			t.Errorf("asked again, the first must dial: %v", err)
		}
		second.rec.awaitNotice(t, DialStopped, 1)
	})
}

// LinkDown of the older link has returned before LinkUp of the newer is called,
// even when the core is slow; a third link waits for its turn.
func TestDownBeforeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		rawLink(t, network, at, keyOf(2), wire.Service)
		home.rec.awaitUp(t, 1)
		block := make(chan struct{})
		home.rec.mu.Lock()
		home.rec.block = block
		home.rec.mu.Unlock()
		second := rawLink(t, network, at, keyOf(2), wire.Service)
		synctest.Wait()
		third := rawLink(t, network, at, keyOf(2), wire.Service)
		synctest.Wait()
		if events, _ := home.rec.snapshot(); len(events) != 2 || len(home.rec.ups()) != 1 {
			t.Fatalf("while the core is at link-down: %v", events)
		}
		close(block)
		home.rec.awaitUp(t, 2)
		second.awaitClose(t, wire.Superseded)
		third.send(t, graft(1))
		home.rec.await(t, "a frame", func() bool { return len(home.rec.frames()) == 1 })
		if ups := home.rec.ups(); len(ups) != 2 || ups[1].Link != 3 {
			t.Errorf("links that came up: %v", ups)
		}
	})
}

// A hub has room for so many links; a key that is linked already may replace its
// own.
func TestLinkCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network, func(c *Config) { c.Limits.Links = 2 })
		at := home.listen(t, mem("home"))
		rawLink(t, network, at, keyOf(2), wire.Service)
		rawLink(t, network, at, keyOf(3), wire.Service)
		home.rec.awaitUp(t, 2)
		p := rawLink(t, network, at, keyOf(4), wire.Service)
		p.awaitClose(t, wire.Quota)
		rawLink(t, network, at, keyOf(3), wire.Service)
		home.rec.awaitUp(t, 3)
		if len(home.Links()) != 2 {
			t.Errorf("links %+v", home.Links())
		}
	})
}

// A hub does not link to itself, by pin or by surprise.
func TestSelfDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		if err := home.Dial(at, DialOptions{}); err == nil {
			t.Error("a dial that is pinned to one's own key began")
		}
		p := rawLink(t, network, at, keyOf(1), wire.Core)
		p.awaitClose(t, wire.NotAllowed)
		if events, _ := home.rec.snapshot(); len(events) != 0 {
			t.Errorf("the core saw %v", events)
		}
	})
}

// Clients do not take the places of the backbone, however many keys they have.
func TestBackboneHasPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network, func(c *Config) {
			c.Limits.Links, c.Limits.HandshakesPerSource = backboneShare, 100
		})
		at := home.listen(t, mem("home"))
		for n := range backboneShare - 1 {
			rawLink(t, network, at, keyOf(byte(10+n)), wire.Service)
		}
		home.rec.awaitUp(t, backboneShare-1)
		late := rawLink(t, network, at, keyOf(200), wire.Service)
		late.awaitClose(t, wire.Quota)
		rawLink(t, network, at, keyOf(201), wire.Core)
		home.rec.awaitUp(t, backboneShare)
		more := rawLink(t, network, at, keyOf(202), wire.Core)
		more.awaitClose(t, wire.Quota)
	})
}
