package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// twoToys makes two toys with a link.
func twoToys(cfg Config) (*World, *Node, *Node, *Link) {
	w := NewWorld(cfg)
	n := toys(w, 2)
	l := w.Connect(n[0], n[1], 5*time.Millisecond)
	w.Run(time.Second)
	return w, n[0], n[1], l
}

func frames(t *toy) (list []string) {
	for _, s := range t.log {
		if strings.HasPrefix(s, "in ") {
			list = append(list, s[strings.Index(s, " ")+1:])
		}
	}
	return list
}

func pings(link machine.LinkID, from, to uint64) func(*toy, time.Time) {
	return func(t *toy, _ time.Time) {
		for i := from; i < to; i++ {
			t.desk.Send(link, machine.Control, &wire.Ping{N: i})
		}
	}
}

func TestFramesArriveInOrder(t *testing.T) {
	for _, cfg := range []Config{{Seed: 1}, {Seed: 2, Overtake: true}, {Seed: 3, Bandwidth: 1000}, {Seed: 4, Wire: true, Overtake: true, Bandwidth: 1000}} {
		w, a, b, _ := twoToys(cfg)
		order(a, pings(linkTo(a, b), 0, 10))
		w.Run(3 * time.Millisecond)
		order(a, pings(linkTo(a, b), 10, 20))
		w.Run(5 * time.Second)
		got := frames(b.toy())
		for i := range 20 {
			if want := fmt.Sprintf("#%d ping{%d}", linkTo(b, a), i); len(got) != 20 || got[i] != want {
				t.Fatalf("%+v: frames %v, want %s at %d", cfg, got, want, i)
			}
		}
		if len(w.Faults()) > 0 {
			t.Errorf("%+v: %v", cfg, w.Faults())
		}
	}
}

func TestControlOvertakesBulk(t *testing.T) {
	overtaken := false
	for seed := range uint64(20) {
		w, a, b, _ := twoToys(Config{Seed: seed, Overtake: true})
		order(a, func(x *toy, _ time.Time) {
			x.desk.Send(linkTo(a, b), machine.Bulk, &wire.Ping{N: 1})
			x.desk.Send(linkTo(a, b), machine.Control, &wire.Ping{N: 2})
			x.desk.Send(linkTo(a, b), machine.Bulk, &wire.Ping{N: 3})
		})
		w.Run(time.Second)
		got := strings.Join(frames(b.toy()), " ")
		if strings.Index(got, "{1}") > strings.Index(got, "{3}") {
			t.Errorf("seed %d: bulk frames changed places: %s", seed, got)
		}
		if strings.Index(got, "{2}") > strings.Index(got, "{3}") {
			t.Errorf("seed %d: a bulk frame overtook a control frame: %s", seed, got)
		}
		overtaken = overtaken || strings.Index(got, "{2}") < strings.Index(got, "{1}")
	}
	if !overtaken {
		t.Error("no control frame overtook a bulk frame in 20 runs")
	}
}

func TestCutIsNoticedAndHealed(t *testing.T) {
	w, a, b, l := twoToys(Config{Seed: 5})
	order(a, pings(linkTo(a, b), 0, 1))
	l.Cut() // the ping is under way
	w.Run(50 * time.Millisecond)
	if len(frames(b.toy())) != 0 {
		t.Error("a frame crossed a link that was cut")
	}
	if a.endTo(b) == nil {
		t.Error("the cut was noticed in under 0.1 s")
	}
	w.Run(time.Second)
	if a.endTo(b) != nil || b.endTo(a) != nil {
		t.Error("the cut was not noticed within a second")
	}
	l.Heal()
	w.Run(2 * time.Second)
	if !l.Live() {
		t.Fatal("the link did not come back")
	}
	checkLinkLog(t, a.toy().log)
	checkLinkLog(t, b.toy().log)
}

// checkLinkLog checks L2 and that no link number comes twice.
func checkLinkLog(t *testing.T, log []string) {
	t.Helper()
	open, used := "", map[string]bool{}
	for _, s := range log {
		f := strings.Fields(s)
		switch f[0] {
		case "link-up":
			if open != "" || used[f[1]] {
				t.Errorf("link-up %s while %q is open, used %v: %v", f[1], open, used[f[1]], log)
			}
			open, used[f[1]] = f[1], true
		case "link-down":
			if open != f[1] {
				t.Errorf("link-down %s, open is %q", f[1], open)
			}
			open = ""
		case "in":
			if open != f[1] {
				t.Errorf("%q arrived, open is %q", s, open)
			}
		}
	}
}

func TestFlapsKeepTheRulesOfLinks(t *testing.T) {
	for seed := range uint64(30) {
		w, a, b, l := twoToys(Config{Seed: seed, Overtake: seed%2 == 0})
		lives := []*toy{a.toy(), b.toy()}
		for i := range 40 {
			switch w.random.IntN(6) {
			case 0, 1:
				l.Cut()
			case 2, 3:
				l.Heal()
			case 4:
				b.Crash()
				b.Boot()
				lives = append(lives, b.toy())
			case 5:
				if e := a.endTo(b); e != nil {
					order(a, func(x *toy, _ time.Time) { x.desk.Close(e.id, wire.Rate, "") })
				}
			}
			for _, p := range [][2]*Node{{a, b}, {b, a}} {
				if e := p[0].endTo(p[1]); e != nil {
					order(p[0], pings(e.id, uint64(i), uint64(i)+2))
				}
			}
			w.Run(time.Duration(w.between(0, 500*time.Millisecond)) * time.Microsecond)
		}
		l.Heal()
		w.Run(70 * time.Second) // a link that was closed on purpose comes back late
		if !l.Live() {
			t.Errorf("seed %d: the link is down", seed)
		}
		for _, x := range lives {
			checkLinkLog(t, x.log)
		}
	}
}

func TestCrashLosesMemoryAndLinks(t *testing.T) {
	w, a, b, _ := twoToys(Config{Seed: 6})
	first := a.toy()
	order(a, func(x *toy, _ time.Time) { x.desk.Sign(machine.OwnerTree, identity.LabelHop, []byte("x")) })
	before := len(first.log)
	a.Crash()
	w.Run(5 * time.Second)
	if len(first.log) != before {
		t.Errorf("a dead machine got %v", first.log[before:])
	}
	if b.endTo(a) != nil {
		t.Error("the neighbour did not notice the crash")
	}
	a.Boot()
	w.Run(time.Second)
	if a.endTo(b) == nil || a.toy() == first {
		t.Error("the new life has no link, or the old memory")
	}
}

func TestAnswersComeInOrder(t *testing.T) {
	w, a, b, _ := twoToys(Config{Seed: 7, StoreLate: true})
	key := a.key
	good := identity.Claim{Key: key.Address(), Label: identity.LabelHop, Body: []byte("body")}
	good.Sig = w.ring.sign(key, good.Label, good.Body)
	bad := good
	bad.Body = []byte("another")
	order(a, func(x *toy, _ time.Time) {
		for i := range 10 {
			claims := []identity.Claim{good, good}
			if i == 3 {
				claims[1] = bad
			}
			x.desk.Verify(machine.OwnerTree, linkTo(a, b), claims...)
			x.desk.Store(machine.OwnerHome, machine.Row{Key: []byte{1, byte(i)}, Value: []byte("v")})
		}
	})
	w.Run(time.Second)
	var verified, stored []string
	for _, s := range a.toy().log {
		switch f := strings.Fields(s); f[0] {
		case "verified":
			verified = append(verified, f[1])
			if want := map[bool]string{true: "1", false: "-1"}[len(verified) == 4]; f[2] != want {
				t.Errorf("answer %d says %s, want %s", len(verified), f[2], want)
			}
		case "stored":
			stored = append(stored, f[1])
		}
	}
	if len(verified) != 10 || !slices.IsSorted(verified) || len(stored) != 10 || !slices.IsSorted(stored) {
		t.Errorf("verified %v, stored %v", verified, stored)
	}
	a.settle(0)
	if v, _ := a.store.Get([]byte{1, 9}); string(v) != "v" {
		t.Error("the row was not stored")
	}
}

func TestTicksComeAtTheDeadline(t *testing.T) {
	w := NewWorld(Config{})
	n := toys(w, 1)[0]
	n.Crash()
	n.Skew = -3 * time.Minute
	n.Boot()
	want := n.Clock().Add(1500 * time.Millisecond)
	order(n, func(x *toy, _ time.Time) { x.wakes = want.Add(time.Hour) })
	order(n, func(x *toy, _ time.Time) { x.wakes = want })
	var at time.Time
	n.toy().on = func(_ *toy, now time.Time, ev machine.Event) { at = now }
	w.Run(10 * time.Second)
	if !at.Equal(want) {
		t.Errorf("tick at %v, want %v", at, want)
	}
}

func TestPauseDelaysReading(t *testing.T) {
	w, a, b, _ := twoToys(Config{Seed: 8})
	order(b, func(x *toy, now time.Time) {
		x.desk.Do(machine.Pause{Link: linkTo(b, a), Until: now.Add(2 * time.Second)})
	})
	order(a, pings(linkTo(a, b), 0, 5))
	w.Run(1900 * time.Millisecond)
	if n := len(frames(b.toy())); n != 0 {
		t.Errorf("%d frames were read during the pause", n)
	}
	order(a, pings(linkTo(a, b), 5, 9))
	w.Run(time.Second)
	for i, s := range frames(b.toy()) {
		if !strings.Contains(s, fmt.Sprintf("{%d}", i)) {
			t.Errorf("frame %d is %s", i, s)
		}
	}
	if n := len(frames(b.toy())); n != 9 {
		t.Errorf("%d frames were read in the end, want 9", n)
	}
}

func TestDrainedTellsAllThatLeft(t *testing.T) {
	w, a, b, _ := twoToys(Config{Seed: 9, Bandwidth: 10_000})
	sum := 0
	a.toy().on = func(x *toy, now time.Time, ev machine.Event) {
		obey(x, now, ev)
		if d, ok := ev.(machine.Drained); ok {
			sum += d.Weight
		}
	}
	order(a, pings(linkTo(a, b), 0, 100))
	w.Run(10 * time.Second)
	if want := 100 * (&wire.Ping{N: 1}).Weight(); sum != want {
		t.Errorf("drained %d, want %d", sum, want)
	}
}

func TestSameSeedSameHash(t *testing.T) {
	hash := func(seed uint64) uint64 {
		w, a, b, l := twoToys(Config{Seed: seed, DeepHash: true})
		order(a, pings(linkTo(a, b), 0, 5))
		l.Cut()
		l.Heal()
		w.Run(5 * time.Second)
		order(b, func(x *toy, _ time.Time) {
			x.desk.Send(linkTo(b, a), machine.Control, &wire.Ping{N: uint64(b.endTo(a).id)})
		})
		w.Run(time.Second)
		return w.Hash
	}
	if first, again := hash(1), hash(1); first != again {
		t.Error("one seed gave two hashes")
	}
	w, a, b, _ := twoToys(Config{Seed: 1, DeepHash: true})
	before := w.Hash
	order(a, pings(linkTo(a, b), 0, 1))
	if w.Hash == before {
		t.Error("an effect did not change the hash")
	}
}

func TestGraphsAreConnected(t *testing.T) {
	w := NewWorld(Config{Seed: 1})
	for _, shape := range []Shape{Random, Line, Ring, Star, ScaleFree, Full} {
		for _, n := range []int{1, 2, 3, 10, 60} {
			edges := Graph(shape, n, 6, w.random)
			group := make([]int, n)
			for i := range group {
				group[i] = i
			}
			for _, e := range edges {
				from, to := group[e[1]], group[e[0]]
				for i := range group {
					if group[i] == from {
						group[i] = to
					}
				}
			}
			for i := range group {
				if group[i] != group[0] {
					t.Fatalf("%s of %d: node %d is apart", shape, n, i)
				}
			}
			if shape == Random && n == 60 && len(edges) != 180 {
				t.Errorf("mean degree %v, want 6", 2*float64(len(edges))/60)
			}
		}
	}
}
