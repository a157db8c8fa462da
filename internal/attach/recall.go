package attach

import (
	"errors"
	"slices"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// Restore takes back one row of an earlier life, of the tables in ClientTables, in
// the order of keys. An error says which row is damaged; then nothing may be begun
// with this client. It keeps nothing of the row's memory. Only an edge router's
// client has rows: a service keeps nothing.
func (c *Client) Restore(row machine.Row) error {
	if c.begun {
		return ErrBegun
	}
	if len(row.Key) == 0 {
		return rowError(row, errors.New("an empty key"))
	}
	err := errors.New("not a table of a client")
	switch {
	case c.cfg.Role != wire.Edge:
		err = errors.New("a service keeps no rows")
	case row.Key[0] == homeTable:
		err = c.restoreHome(row)
	case row.Key[0] == outboxTable:
		err = c.restoreParcel(row)
	}
	if err != nil {
		return rowError(row, err)
	}
	return nil
}

// restoreParcel takes back an envelope of the outbox.
func (c *Client) restoreParcel(row machine.Row) error {
	r := newRowReader(row, c.keys)
	turn := r.cutUint64()
	if r.Err() != nil || len(r.key) > 0 || turn <= c.outbox.turn || turn > 1<<62 {
		return errors.New("a turn out of order")
	}
	e, err := envelopeRead(slices.Clone(row.Value), c.keys)
	if err != nil {
		return err
	}
	if _, twice := c.outbox.byID[e.ID]; twice {
		return errors.New("the envelope is there twice")
	}
	c.outbox.turn = turn - 1
	c.keep(0, e).stored = true
	return nil
}

// restoreHome takes back what is known of a home.
func (c *Client) restoreHome(row machine.Row) error {
	r := newRowReader(row, c.keys)
	a := r.cutAddress()
	r.Array(3, 3)
	h := newHome(a)
	if h.known = !r.Null(); h.known {
		copy(h.box[:], r.Bytes(len(h.box), len(h.box)))
	}
	h.tally.all = r.Uint(1 << 48)
	h.tally.top, h.saved = h.tally.all, h.tally.all
	doc := r.homes(c.cfg.Self)
	if err := r.end(); err != nil {
		return err
	}
	if !h.known && h.tally.all > 0 {
		return errors.New("a number without a mailbox")
	}
	if doc != nil {
		h.plan = &plan{doc: doc, signed: true}
		c.epoch = max(c.epoch, doc.Epoch)
	}
	for i, other := range c.homes {
		if other.address == a {
			c.homes[i] = h
			return nil
		}
	}
	if len(c.cfg.Homes) == 0 {
		c.homes = append(c.homes, h)
	} else {
		c.former = append(c.former, h.address)
	}
	return nil
}

// begin starts the client's life with its first input. What it keeps for its home is
// handed over there once more: those who subscribed next to the publisher may lack it.
func (c *Client) begin(now int64) {
	if c.begun {
		return
	}
	c.begun = true
	for _, a := range c.former { // homes of an earlier configuration
		c.desk.Forget(addressKey(homeTable, a))
	}
	c.former = nil
	c.revivedPlan()
	if len(c.outbox.byID) == 0 {
		return
	}
	c.again = now + sweepEvery
	for _, p := range c.outbox.byTurn.All() {
		if int64(p.envelope.Expires()) >= now {
			c.down.Deliver(now, c.gate.Own(p.envelope), Receipt{})
		}
	}
}

// revivedPlan goes on with the homes document, if the configured homes are those
// that it names. Else the next one is of a later epoch.
func (c *Client) revivedPlan() {
	for _, h := range c.homes {
		p := h.plan
		if p == nil {
			continue
		}
		list := c.cfg.Homes
		if len(list) == 0 {
			if !slices.Equal(p.doc.Homes, []identity.Address{h.address}) {
				h.plan = nil
			}
			continue
		}
		h.plan = nil
		if slices.Equal(p.doc.Homes, list[:min(len(list), homesInDocument)]) && (c.plan == nil || c.plan.doc.Epoch < p.doc.Epoch) {
			c.plan = p
		}
	}
}

// homeRow is the row of a home.
func (h *home) row() machine.Row {
	b := cbor.AppendArray(nil, 3)
	if h.known {
		b = cbor.AppendBytes(b, h.box[:])
	} else {
		b = cbor.AppendNull(b)
	}
	b = cbor.AppendUint(b, h.tally.all)
	if h.plan == nil || !h.plan.signed {
		b = cbor.AppendNull(b)
	} else {
		b = h.plan.doc.Signed.AppendTo(b)
	}
	return machine.Row{Key: addressKey(homeTable, h.address), Value: b}
}

// save writes what must be known of a home in another life. It may lag behind: what
// a home delivers again is recognised.
func (c *Client) save(h *home) {
	if c.cfg.Role != wire.Edge {
		return
	}
	h.saved = h.tally.all
	c.desk.Do(machine.Store{Rows: []machine.Row{h.row()}})
}
