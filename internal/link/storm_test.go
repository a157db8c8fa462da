package link

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A core that was started anew takes its old link's place at once, although its
// neighbour has not noticed yet that the old one is dead.
func TestRestartedCore(t *testing.T) {
	for _, keys := range [][2]byte{{1, 2}, {2, 1}} {
		synctest.Test(t, func(t *testing.T) {
			network := NewMemory()
			stays := newNode(t, keyOf(keys[0]), wire.Core, network.Node("stays"))
			at := stays.listen(t, mem("x"))
			first := newNode(t, keyOf(keys[1]), wire.Core, network.Node("first life"))
			before := first.listen(t, mem("y"))
			stays.dial(t, before)
			stays.rec.awaitUp(t, 1)
			network.Freeze("stays", "first life")
			first.Close()
			second := newNode(t, keyOf(keys[1]), wire.Core, network.Node("second life"))
			second.dial(t, at)
			began := time.Now()
			up := stays.rec.awaitUp(t, 2)
			if took := time.Since(began); took > time.Second || up.Boot != second.boot {
				t.Errorf("linked after %v to %x", took, up.Boot)
			}
		})
	}
}

// Three cores that all dial each other, over a network that is cut, frozen and
// healed for an hour: when it is whole again every pair has one link, and what the
// cores were told was in order all the time (newNode checks it at the end).
func TestStorm(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			network := NewMemory()
			names := []string{"a", "b", "c"}
			var nodes []*node
			for i, name := range names {
				n := newNode(t, keyOf(byte(10*int(seed)+i)), wire.Core, network.Node(name))
				n.listen(t, mem(name))
				nodes = append(nodes, n)
			}
			for _, n := range nodes {
				for j, peer := range nodes {
					if peer != n {
						n.dial(t, mem(names[j]).WithPin(peer.Self()))
					}
				}
			}
			for range 200 {
				i := random.IntN(3)
				x, y := names[i], names[(i+1)%3]
				switch random.IntN(3) {
				case 0:
					network.Cut(x, y)
				case 1:
					network.Freeze(x, y)
				case 2:
					network.Heal(x, y)
				}
				time.Sleep(time.Duration(random.IntN(36)) * time.Second)
			}
			for i := range names {
				network.Heal(names[i], names[(i+1)%3])
			}
			time.Sleep(2 * time.Minute)
			for i, n := range nodes {
				links := n.Links()
				if len(links) != 2 || links[0].Peer == links[1].Peer {
					t.Errorf("seed %d: %s has links %+v", seed, names[i], links)
				}
				if c := n.Counters(); c.LinksUp < 5 || c.LinksUp != c.LinksEnded+2 {
					t.Errorf("seed %d: %s counts %+v", seed, names[i], c)
				}
			}
		})
	}
}

// Many goroutines send in all classes: each one's frames of a class arrive in
// order, and all that was sent is reported as drained.
func TestConcurrentSenders(t *testing.T) {
	home, client, _, down := pairOf(t, NewMemory(), mem("home"), [2]wire.Role{wire.Core, wire.Core})
	const senders, frames = 6, 500
	root := keyOf(1).Address()
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			for n := range frames {
				client.Send(down.Link, machine.Class(s%machine.ClassesNo), &wire.SeqReq{Root: root, Want: uint64(s), Hops: uint64(n % 32)})
			}
		})
	}
	group.Wait()
	home.rec.await(t, "all frames", func() bool { return len(home.rec.frames()) == senders*frames })
	next := map[uint64]uint64{}
	for _, f := range home.rec.frames() {
		f := f.(*wire.SeqReq)
		if f.Hops != next[f.Want]%32 {
			t.Fatalf("sender %d: frame %d where %d is next", f.Want, f.Hops, next[f.Want]%32)
		}
		next[f.Want]++
	}
	weight := (&wire.SeqReq{}).Weight() * 2 * frames
	client.rec.await(t, "all drained", func() bool {
		return client.rec.drained[down.Link] == [machine.ClassesNo]int{weight, weight, weight}
	})
}

// Frames for a link that has ended, or never was, vanish in silence, and so do
// other commands.
func TestCommandsForNoLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, client, up, _ := pairOf(t, NewMemory(), mem("home"), [2]wire.Role{wire.Core, wire.Service})
		client.Close()
		home.rec.awaitDown(t, 1)
		for _, id := range []machine.LinkID{0, up.Link, 99} {
			home.Send(id, machine.Control, graft(1))
			home.CloseLink(id, wire.Quota, "x")
			home.Pause(id, time.Now().Add(time.Hour))
		}
		home.Undial(mem("nobody"))
	})
}

// The reason that the peer gave is what is told, although writing to it fails at
// the same time.
func TestPeersReasonWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		at := home.listen(t, mem("home"))
		for n := range 10 {
			p := rawLink(t, network, at, keyOf(2), wire.Service)
			up := home.rec.awaitUp(t, n+1)
			f := publish(t, 10_000)
			for range 1000 {
				home.Send(up.Link, machine.Bulk, f)
			}
			synctest.Wait() // the writer waits for room
			p.send(t, &wire.Close{Code: wire.Quota, Text: "full"})
			p.raw.Close()
			if got := home.rec.awaitNotice(t, LinkEnded, n+1); got.Code != wire.Quota || !got.ByPeer {
				t.Fatalf("try %d: told %+v", n, got)
			}
		}
	})
}
