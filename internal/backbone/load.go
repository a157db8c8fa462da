package backbone

import (
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A loading is an envelope in custody whose bytes are on their way from the store,
// and the neighbours that wait for it.
type loading struct {
	held *held
	to   []machine.LinkID
}

// fetch gives h to n once its bytes are here; false: too much is being loaded.
func (b *Backbone) fetch(n *neighbour, h *held) bool {
	if t, ok := b.fetching[h.id]; ok {
		l := b.loads[t]
		if !containsLink(l.to, n.link) {
			l.to = append(l.to, n.link)
		}
		return true
	}
	if len(b.loads) >= loadsMax {
		return false
	}
	t := b.desk.Load(machine.OwnerBackbone, custodyKey(h))
	b.loads[t] = &loading{h, []machine.LinkID{n.link}}
	b.fetching[h.id] = t
	return true
}

// Loaded hands on what came from the store. What is not there, or is damaged, is
// reported: the asker tries another provider.
func (b *Backbone) Loaded(now int64, ev machine.Loaded) {
	l, ok := b.loads[ev.Token]
	if !ok {
		return
	}
	delete(b.loads, ev.Token)
	delete(b.fetching, l.held.id)
	if ev.Err != nil || len(ev.Values) != 1 || ev.Values[0] == nil {
		b.lostBody(l, "the store does not have it")
		return
	}
	a, err := bring(b.gate, ev.Values[0], l.held.full)
	if err != nil {
		b.lostBody(l, err.Error())
		return
	}
	h := *l.held // its bytes are given away, not kept
	h.a = a
	for _, link := range l.to {
		if n, up := b.neighbours.Get(link); up {
			b.give(n, &h)
		}
	}
}

func (b *Backbone) lostBody(l *loading, why string) {
	if !l.held.gone {
		b.desk.Do(machine.Report{Event: machine.StoreFault, ID: l.held.full, Text: "an envelope in custody cannot be read: " + why})
	}
	for _, link := range l.to {
		if b.neighbours.Has(link) {
			b.desk.Send(link, machine.Control, &wire.NoHave{IDs: []wire.Prefix{l.held.id}})
		}
	}
}

// note stores rows whose loss costs only repeated work.
func (b *Backbone) note(rows ...machine.Row) {
	if len(rows) > 0 {
		b.desk.Do(machine.Store{Rows: rows})
	}
}
