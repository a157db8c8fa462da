package attach

import (
	"slices"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// batch is one Store: an envelope or gap in all mailboxes that it goes to.
type batch struct {
	target  envelope.Target
	stored  bool
	late    bool    // stands in a row behind a batch of its target that is not stored
	letter  *letter // nil for a gap
	entries []place
	held    *holding // what kept the letter until now; nil: nothing
	widened []place  // gaps of mailboxes that took this one in
	rows    []machine.Row
	receipt Receipt
}

// gone reports whether all of a batch has left the mailboxes.
func (b *batch) gone() bool {
	return !slices.ContainsFunc(b.entries, func(p place) bool { return !p.entry.gone })
}

// place is an entry and whose mailbox it is in.
type place struct {
	client *client
	entry  *entry
}

// Stored puts mail on its way whose numbers are durable now (H2). What came from
// a home of this router is acknowledged to it: it is in custody here. Behind a
// batch that could not be stored the later ones of its target wait, since streams
// are in order.
func (h *Home) Stored(now int64, t machine.Token, err error) {
	h.begin(now)
	b, ok := h.stores[t]
	if !ok {
		h.answered(now, t, err)
		return
	}
	delete(h.stores, t)
	row := h.behind[b.target]
	if !b.late && (err != nil || len(row) > 0) {
		b.late = true
		row = append(row, b)
		h.behind[b.target] = row
	}
	if err != nil {
		h.desk.Do(machine.Report{Event: machine.TableFull, Code: wire.StorageFull, Text: err.Error()})
		h.agenda.Put(now+retryMail, job{do: (*Home).storeAgain, batch: b})
		return
	}
	h.isStored(now, b)
}

// isStored acknowledges a batch and sends all that is stored up to the first of
// its target that is not.
func (h *Home) isStored(now int64, b *batch) {
	b.stored, b.rows = true, nil
	h.settle(b)
	h.done(now, b.receipt)
	if !b.late {
		h.mailOut(now, b)
		return
	}
	row := h.behind[b.target]
	for len(row) > 0 && row[0].stored {
		h.mailOut(now, row[0])
		row = row[1:]
	}
	if h.behind[b.target] = row; len(row) == 0 {
		delete(h.behind, b.target)
	}
}

// settle notes that a batch is durable.
func (h *Home) settle(b *batch) {
	for _, p := range b.entries {
		p.entry.stored = true
	}
	l := b.letter
	if l == nil {
		return
	}
	l.durable = true
	if l.mark != nil {
		l.mark.add(l.envelope.First, l.envelope.Next()-1, l.expires)
	}
	if l.claims == 0 {
		l.envelope = nil
	}
	h.safe(l.id)
}

// mailOut puts the entries of a stored batch on their way.
func (h *Home) mailOut(now int64, b *batch) {
	for _, p := range b.entries { // in the order of subscriptions
		if e, c := p.entry, p.client; !e.gone {
			c.unsent.push(e)
			h.pump(now, c)
			h.trim(c, e)
		}
	}
}

// storeAgain repeats a Store that failed, with the rows that are still wanted.
func (h *Home) storeAgain(now int64, j job) {
	b := j.batch
	b.rows = nil
	// What waits behind it and left the mailboxes meanwhile waits no more, so that
	// a store which stays broken keeps no more than the mailboxes do.
	h.behind[b.target] = slices.DeleteFunc(h.behind[b.target], func(x *batch) bool { return x != b && x.stored && x.gone() })
	if l := b.letter; l != nil && l.boxes > 0 {
		b.rows = append(b.rows, letterRow(l))
	}
	if b.held != nil {
		b.rows = append(b.rows, machine.Row{Key: b.held.key()})
	}
	for _, p := range slices.Concat(b.entries, b.widened) {
		if !p.entry.gone {
			b.rows = append(b.rows, mailRow(p.client, p.entry))
		}
	}
	if len(b.rows) == 0 { // nobody wants it any more
		h.isStored(now, b)
		return
	}
	h.store(b)
}

// store asks for a batch to be stored, then makes room for it: what must go goes
// after what came, in the store as well.
func (h *Home) store(b *batch) {
	h.stores[h.desk.Store(machine.OwnerHome, b.rows...)] = b
	for _, p := range b.entries {
		h.shrink(p.client)
	}
}

// letterRow is the row of an envelope.
func letterRow(l *letter) machine.Row {
	return machine.Row{Key: letterKey(l.id, l.expires), Value: l.envelope.Raw}
}

// done acknowledges upstream what is in custody here.
func (h *Home) done(now int64, r Receipt) {
	if r != (Receipt{}) {
		h.up.Done(now, r)
	}
}
