package tree

import (
	"fmt"
	"slices"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// What the world checks: I1 to I3 around every step, I4 when it is quiet.

// check asserts I1, I2 and I3 around one step.
func (r *router) check(effects []machine.Effect, changes []Change) {
	for _, c := range changes {
		if c.Kind == Parent && c.New != 0 && r.inCycle(c.Root) {
			r.w.cycles++
			if !r.w.naive {
				r.w.t.Fatalf("I1: a cycle of parents\n%v", r.w)
			}
		}
		if c.Kind == Left && !r.forest.Knows(c.Root) {
			delete(r.seqs, c.Root)
			delete(r.fds, c.Root)
		}
	}
	if r.w.naive || len(effects)+len(changes) == 0 {
		return
	}
	r.checkOrder()
	r.checkAnnounced(effects)
}

// parentOf follows a pointer over a link that lives: this end has not ended, and
// the other router has not forgotten what it knew.
func (r *router) parentOf(root identity.Address) *router {
	link, ok := r.forest.Parent(root)
	if !ok {
		return nil
	}
	for _, e := range r.ends {
		if e.link == link && e.other.running() {
			return e.other.r
		}
	}
	return nil
}

func (r *router) inCycle(root identity.Address) bool {
	x := r
	for range r.w.routers {
		if x = x.parentOf(root); x == nil {
			return false
		}
		if x == r {
			return true
		}
	}
	return true // into a cycle further up
}

// checkOrder is I2 for all pointers at and of r.
func (r *router) checkOrder() {
	for _, t := range r.forest.trees {
		r.ordered(t.root)
		for _, e := range r.ends {
			if e.other.running() && e.other.r.parentOf(t.root) == r {
				e.other.r.ordered(t.root)
			}
		}
	}
}

func (r *router) ordered(root identity.Address) {
	p := r.parentOf(root)
	if p == nil {
		return
	}
	mine, theirs := r.forest.byRoot[root], p.forest.byRoot[root]
	if mine == nil || mine.parent == nil {
		return
	}
	fd := p.forest.past.look(root)
	if theirs != nil {
		fd = theirs.fd
	}
	if !fd.better(mine.fd) {
		r.w.t.Fatalf("I2: %s points at %s, but fd %v is not better than %v", r.name, p.name, fd, mine.fd)
	}
}

func (p *past) look(root identity.Address) rung {
	for _, m := range p.list {
		if m.root == root {
			return m.fd
		}
	}
	return never()
}

// checkAnnounced is I3, and of I2 that no number falls.
func (r *router) checkAnnounced(effects []machine.Effect) {
	signed := false
	for _, e := range effects {
		switch e := e.(type) {
		case machine.Sign:
			signed = signed || e.Label == identity.LabelHop
		case machine.Send:
			if fr, ok := e.Frame.(*wire.Announce); ok {
				r.announced(fr)
			}
		}
	}
	for _, t := range r.forest.trees {
		old, known := r.fds[t.root]
		if known && old != t.fd && (!signed || old.better(t.fd)) {
			r.w.t.Fatalf("I3: %s changed fd from %v to %v", r.name, old, t.fd)
		}
		r.fds[t.root] = t.fd
		for _, s := range t.slots {
			if s.token != 0 && r.forest.signing[s.token].version == t.version && t.rung.better(t.fd) {
				r.w.t.Fatalf("I3: %s signs %v, but its fd is %v", r.name, t.rung, t.fd)
			}
		}
	}
}

func (r *router) announced(fr *wire.Announce) {
	said := rung{int64(fr.Seq), int64(fr.Hops[len(fr.Hops)-1].Metric)}
	t := r.forest.byRoot[fr.Root]
	if said.better(t.fd) {
		r.w.t.Fatalf("I3: %s announces %v, but its fd is %v", r.name, said, t.fd)
	}
	if last, ok := r.seqs[fr.Root]; ok && said.seq < last {
		r.w.t.Fatalf("I2: %s announced %d after %d", r.name, said.seq, last)
	}
	r.seqs[fr.Root] = said.seq
}

// component returns the running routers that r is connected to, itself included.
func (w *world) component(r *router) []*router {
	part := []*router{r}
	for i := 0; i < len(part); i++ {
		for _, c := range w.cables {
			if !c.plugged || c.a != part[i] && c.b != part[i] {
				continue
			}
			for _, o := range []*router{c.a, c.b} {
				if !slices.Contains(part, o) {
					part = append(part, o)
				}
			}
		}
	}
	return part
}

// agreement is I4: it says what is wrong in a quiet network, or "".
func (w *world) agreement() string {
	for _, r := range w.routers {
		if !r.up {
			continue
		}
		part := w.component(r)
		if want := bestThree(part); !slices.Equal(r.forest.Counting(), want) {
			return fmt.Sprintf("%s counts %v, not %v", r.name, r.forest.Counting(), want)
		}
		for _, root := range r.forest.Counting() {
			if text := r.hangsOn(root); text != "" {
				return text
			}
		}
	}
	return ""
}

// bestThree returns who the roots of a part should be, by key.
func bestThree(part []*router) []identity.Address {
	var all []identity.Address
	for _, r := range part {
		if r.canRoot {
			all = append(all, r.addr)
		}
	}
	slices.SortFunc(all, func(a, b identity.Address) int {
		x, y := rankOf(a), rankOf(b)
		return slices.Compare(x[:], y[:])
	})
	all = all[:min(3, len(all))]
	slices.SortFunc(all, identity.Address.Compare)
	return all
}

// hangsOn checks that r has reach to root, at the sum of the costs on its chain.
func (r *router) hangsOn(root identity.Address) string {
	if !r.forest.Reach(root) {
		return fmt.Sprintf("%s has no reach to %v", r.name, root)
	}
	sum := int64(0)
	x := r
	for x.addr != root {
		link, _ := x.forest.Parent(root)
		i := slices.IndexFunc(x.ends, func(e *end) bool { return e.link == link })
		if i < 0 || !*x.ends[i].alive {
			return fmt.Sprintf("%s has no parent to %v", x.name, root)
		}
		sum += int64(x.ends[i].cable.cost)
		x = x.ends[i].other.r
	}
	if got := r.forest.byRoot[root].rung.metric; got != sum {
		return fmt.Sprintf("%s has metric %d to %v, its chain costs %d", r.name, got, root, sum)
	}
	return ""
}

func (w *world) mustAgree(caption string) {
	w.t.Helper()
	if text := w.agreement(); text != "" {
		w.t.Fatalf("%s: I4: %s\n%v", caption, text, w)
	}
}

func (w *world) String() string {
	s := ""
	for _, r := range w.routers {
		if r.up {
			s += r.name + " " + r.forest.String()
		}
	}
	return s
}
