package backbone

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A script is what crossed the links, a line for each frame: "B>A interest R".
// The frames of the trees are left out: they are tree's.
type script struct {
	lines []string
}

// record begins a script.
func (n *network) record() *script {
	s := &script{}
	n.tap = func(from, to *core, f wire.Frame) {
		if line := lineOf(f); line != "" {
			s.lines = append(s.lines, from.name+">"+to.name+" "+line)
		}
	}
	return s
}

// take returns the lines since the last time.
func (s *script) take() []string {
	lines := s.lines
	s.lines = nil
	return lines
}

func lineOf(f wire.Frame) string {
	switch f := f.(type) {
	case *wire.Graft:
		return "graft"
	case *wire.Prune:
		return "prune"
	case *wire.Interest:
		words := []string{"interest"}
		for _, e := range f.Entries {
			words = append(words, e.Flags.String())
		}
		return strings.Join(words, " ")
	case *wire.Elsewhere:
		words := []string{"elsewhere"}
		for _, e := range f.Entries {
			words = append(words, map[bool]string{true: "yes", false: "no"}[e.Yes])
		}
		return strings.Join(words, " ")
	case *wire.Data:
		return fmt.Sprintf("data %d", f.Envelope.First)
	case *wire.Offer:
		return fmt.Sprintf("offer %d", len(f.IDs))
	case *wire.Pull:
		return fmt.Sprintf("pull %d", len(f.IDs))
	case *wire.Pulled:
		return fmt.Sprintf("pulled %d", f.Envelope.First)
	case *wire.NoHave:
		return fmt.Sprintf("nohave %d", len(f.IDs))
	}
	return ""
}

// want compares the lines since the last time with what must have crossed.
func (s *script) want(t *testing.T, caption string, want ...string) {
	t.Helper()
	if got := s.take(); !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", caption, got, want)
	}
}

// wantBesides is want, the offers by age (S1) left out: they have a test of their
// own.
func (s *script) wantBesides(t *testing.T, caption string, want ...string) {
	t.Helper()
	got := slices.DeleteFunc(s.take(), func(line string) bool { return strings.Contains(line, " offer ") })
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", caption, got, want)
	}
}

// TestLineOfThree is the worked example of interest, on the line R–A–B with R the
// only root, frame by frame (spec §9.1, §9.2, §9.3).
func TestLineOfThree(t *testing.T) {
	n := newNamed(t, "RAB", "R")
	s := n.record()
	n.link("RA", "AB")
	n.run(settled)
	s.want(t, "the trees", "A>R graft", "B>A graft")
	r, a, b := n.core("R"), n.core("A"), n.core("B")

	b.want(groupTarget(), nil)
	n.run(1_000)
	s.want(t, "B subscribes", "B>A interest R", "A>R interest R")

	a.publish(n.message(1))
	n.run(1_000)
	// The way up is open as long as R has said nothing. R tells A in the same
	// gathering in which it hears of A's sending.
	s.want(t, "A sends for the first time", "A>B data 1", "A>R data 1", "A>R interest RSH", "R>A elsewhere no")

	a.publish(n.message(2))
	n.run(1_000)
	s.wantBesides(t, "A sends again", "A>B data 2")

	r.want(groupTarget(), nil)
	n.run(100)
	s.want(t, "R subscribes: the way up opens, and what passed by lately is offered",
		"R>A elsewhere yes", "A>R offer 2")
	n.run(2_000)
	s.wantBesides(t, "R lacks the second", "R>A pull 1", "A>R pulled 2")

	a.publish(n.message(3))
	n.run(1_000)
	s.wantBesides(t, "from then on both ways", "A>B data 3", "A>R data 3")
	b.publish(n.message(4))
	n.run(1_000)
	s.wantBesides(t, "B sends too", "B>A data 4", "A>R data 4", "B>A interest RSH", "A>B elsewhere yes")

	b.do(func(now int64) { b.b.Unwant(now, groupTarget()) })
	n.run(clearAfter - 100)
	s.wantBesides(t, "B unsubscribes: nothing until CLEAR")
	n.run(1_000)
	s.wantBesides(t, "CLEAR later", "B>A interest SH", "A>R interest SH")
	r.do(func(now int64) { r.b.Unwant(now, groupTarget()) })
	n.run(clearAfter + 1_000)
	s.wantBesides(t, "nobody is left", "R>A elsewhere no", "A>B elsewhere no")
	for _, c := range n.nodes {
		if want := map[string]int{"R": 3, "A": 0, "B": 3}[c.name]; len(c.delivered) != want {
			t.Errorf("%s was handed %d envelopes, want %d", c.name, len(c.delivered), want)
		}
	}
}

// TestNewParentIsTold is T7's order: prune to the old parent, graft to the new
// one, then interest against an empty state; and J3: what passed by lately is
// offered to the new parent at once (spec §9.3).
func TestNewParentIsTold(t *testing.T) {
	n := newNamed(t, "RABC", "R")
	n.link("RA", "RB", "AC", "BC")
	n.run(settled)
	c := n.core("C")
	c.want(groupTarget(), nil)
	n.run(1_000)
	c.publish(n.message(1))
	n.run(1_000)
	p, _ := c.b.forest.Parent(n.core("R").key.Address())
	old, next := "A", "B"
	if p == n.ends("BC").id {
		old, next = next, old
	}
	s := n.record()
	// The old parent becomes far too dear: 20 % damp a change, this is above.
	c.do(func(now int64) { c.b.RTT(now, p, 900) })
	n.run(10)
	got := s.take()
	want := []string{"C>" + old + " prune", "C>" + next + " graft", "C>" + next + " interest RSH", "C>" + next + " offer 1"}
	if !slices.Equal(got[:min(4, len(got))], want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	n.run(1_000)
	for _, x := range n.nodes {
		if x.name != next && x.b.entries != 0 && x.name != "R" {
			t.Errorf("%s still has %d entries", x.name, x.b.entries)
		}
	}
	// The branch that was left withdrew at once, the new one told R.
	if got := n.core("R").b.Trees()[0].Children; len(got) != 2 || len(got[0].Entries)+len(got[1].Entries) != 1 {
		t.Errorf("R's children: %+v", got)
	}
}

// TestNothingFromAboveGoesUp: what the parent says of elsewhere never enters what
// it is told (J1), and interest that comes from a neighbour that is no child is
// not taken (spec §9.1, §9.2).
func TestNothingFromAboveGoesUp(t *testing.T) {
	n := newNamed(t, "RA", "R")
	n.link("RA")
	n.run(settled)
	a, root := n.core("A"), n.core("R").key.Address()
	s := n.record()
	a.arrives("RA", &wire.Interest{Root: root, Entries: []wire.InterestEntry{{Target: groupTarget(), Flags: wire.Receiver}}})
	a.arrives("RA", &wire.Elsewhere{Root: root, Entries: []wire.ElsewhereEntry{{Target: groupTarget(), Yes: true}}})
	n.run(1_000)
	s.want(t, "nothing")
	if a.b.entries != 0 || a.counts[machine.FrameIgnored] != 1 {
		t.Errorf("%d entries, %d frames ignored", a.b.entries, a.counts[machine.FrameIgnored])
	}
	if st := a.b.Trees(); len(st) != 1 || len(st[0].Elsewhere) != 0 || len(a.b.branches.At(root).elsewhere) != 0 {
		t.Error("elsewhere was taken for what was never sent up")
	}
	r := n.core("R")
	r.arrives("RA", &wire.Elsewhere{Root: root, Entries: []wire.ElsewhereEntry{{Target: groupTarget()}}})
	if r.counts[machine.FrameIgnored] != 1 {
		t.Error("elsewhere was taken from a child")
	}
}

// TestGraftIsIgnored from the own parent and for a tree that nobody knows (T7),
// and a second graft begins with an empty child.
func TestGraftIsIgnored(t *testing.T) {
	n := newNamed(t, "RAB", "R")
	n.link("RA", "AB")
	n.run(settled)
	a, root := n.core("A"), n.core("R").key.Address()
	a.arrives("RA", &wire.Graft{Root: root})
	a.arrives("AB", &wire.Graft{Root: testKey(77).Address()})
	if a.counts[machine.FrameIgnored] != 2 || a.b.branches.Len() != 1 || len(a.b.branches.At(root).kids) != 1 {
		t.Errorf("%d ignored, %d branches", a.counts[machine.FrameIgnored], a.b.branches.Len())
	}
	n.core("B").want(groupTarget(), nil)
	n.run(1_000)
	if a.b.entries != 1 {
		t.Fatalf("%d entries", a.b.entries)
	}
	s := n.record()
	a.arrives("AB", &wire.Graft{Root: root})
	n.run(100)
	s.want(t, "the parent hears that nobody is left", "A>R interest -")
	if a.b.entries != 0 || len(a.b.branches.At(root).kids) != 1 {
		t.Error("the child did not begin anew")
	}
	a.arrives("AB", &wire.Prune{Root: root})
	a.arrives("AB", &wire.Prune{Root: root})
	if len(a.b.branches.At(root).kids) != 0 {
		t.Error("a child is left after its prune")
	}
}

// TestGathering: many subscriptions at once go up in one frame of at most 512
// entries each (spec §9.1).
func TestGathering(t *testing.T) {
	n := newNamed(t, "RA", "R")
	n.link("RA")
	n.run(settled)
	s := n.record()
	a := n.core("A")
	a.do(func(now int64) {
		for i := range wire.EntriesMax + 3 {
			a.b.Want(now, envelope.Target{Kind: envelope.Group, To: testKey(2000 + i).Address()}, nil)
		}
	})
	n.run(100)
	got := s.take()
	if len(got) != 2 || strings.Count(got[0], " R") != wire.EntriesMax || strings.Count(got[1], " R") != 3 {
		t.Errorf("%d frames: %.60q", len(got), got)
	}
	if n.core("R").b.entries != wire.EntriesMax+3 {
		t.Errorf("R has %d entries", n.core("R").b.entries)
	}
	// Ends and begins again within CLEAR: the parent hears nothing.
	for range 3 {
		a.do(func(now int64) {
			a.b.Unwant(now, groupTarget())
			a.b.Want(now, groupTarget(), nil)
		})
		n.run(1_000)
	}
	s.want(t, "one subscription of the group", "A>R interest R")
}
