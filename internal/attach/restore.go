package attach

import (
	"errors"
	"fmt"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// ErrBegun says that a row came after the first input.
var ErrBegun = errors.New("attach: rows are restored before the first input")

// revival is what a home collects from its rows until its life begins.
type revival struct {
	letters map[envelope.ID]*letter
	order   []*letter // the same, in the order of rows
	marks   []*mark
	held    []*holding
	byName  map[envelope.Stream]*mark
}

// Restore takes back one row of an earlier life, of the tables in HomeTables, in the
// order of keys. An error says which row is damaged; then nothing may be begun with
// this home. It keeps nothing of the row's memory.
func (h *Home) Restore(row machine.Row) error {
	if h.begun {
		return ErrBegun
	}
	if h.revive == nil {
		h.revive = &revival{letters: make(map[envelope.ID]*letter), byName: make(map[envelope.Stream]*mark)}
	}
	if len(row.Key) == 0 {
		return rowError(row, errors.New("an empty key"))
	}
	var err error
	switch row.Key[0] {
	case boxTable:
		err = h.restoreClient(row)
	case markTable:
		err = h.restoreMark(row)
	case letterTable:
		err = h.restoreLetter(row)
	case mailTable:
		err = h.restoreMail(row)
	case holdTable:
		err = h.restoreHolding(row)
	case subTable:
		err = h.restoreSubscription(row)
	default:
		err = errors.New("not a table of a home")
	}
	if err != nil {
		return rowError(row, err)
	}
	return nil
}

func (h *Home) restoreClient(row machine.Row) error {
	r := newRowReader(row, h.keys)
	a := r.cutAddress()
	r.Array(5, 5)
	role := wire.Role(r.Uint(1))
	c := newClient(a, wire.Box{})
	copy(c.box[:], r.Bytes(len(c.box), len(c.box)))
	c.role, c.last, c.since, c.homes = role, r.Uint(1<<63-1), r.time(), r.homes(a)
	c.saved, c.stored = c.last, true
	switch err := r.end(); {
	case err != nil:
		return err
	case c.homes == nil:
		return errors.New("there is no homes document")
	case !c.homes.Names(h.cfg.Self):
		return errors.New("the homes document does not name this router: the rows are another router's")
	}
	h.clients.Set(a, c)
	h.dir.PutHomes(c.homes)
	return nil
}

func (h *Home) restoreMark(row machine.Row) error {
	m, err := markRead(row, h.keys)
	if err != nil {
		return err
	}
	h.revive.keep(m)
	return nil
}

func (v *revival) keep(m *mark) {
	v.marks = append(v.marks, m)
	v.byName[m.stream] = m
}

// restoreLetter notes an envelope, not its bytes: it is read again when its turn
// comes. What is stored counts as delivered here.
func (h *Home) restoreLetter(row machine.Row) error {
	e, err := envelopeRead(row.Value, h.keys)
	if err != nil {
		return err
	}
	l := newLetter(e, nil)
	if string(row.Key) != string(letterKey(l.id, l.expires)) {
		return errors.New("the envelope is not the one that its key names")
	}
	m := h.revive.byName[e.Stream()]
	if m == nil {
		m = &mark{stream: e.Stream()}
		h.revive.keep(m)
	}
	m.add(e.First, e.Next()-1, l.expires)
	l.envelope, l.mark, l.durable = nil, m, true
	h.revive.letters[l.id] = l
	h.revive.order = append(h.revive.order, l)
	return nil
}

// envelopeRead parses an envelope of a row and holds its body against its hash: the
// signature was checked before it was stored.
func envelopeRead(b []byte, keys keyring) (*envelope.Envelope, error) {
	e, err := envelope.Parse(b, keys)
	switch {
	case err != nil:
		return nil, err
	case e.Newer != nil:
		return nil, fmt.Errorf("the envelope is of a later version: %w", e.Newer)
	case !e.BodyClaim().Holds():
		return nil, errors.New("the body is not the one that was signed")
	}
	return e, nil
}

func (h *Home) restoreMail(row machine.Row) error {
	r := newRowReader(row, h.keys)
	a, n := r.cutAddress(), r.cutUint64()
	c, ok := h.clients.Get(a)
	switch {
	case r.Err() != nil:
		return r.end()
	case !ok:
		return errors.New("there is no such client")
	case c.newest != nil && n <= c.newest.n, n == 0, n > 1<<62:
		return errors.New("a number out of order")
	}
	e := &entry{n: n, stored: true, size: entryCost}
	var target envelope.Target
	if r.Array(7, 8) == 8 { // a gap is stored as its frame
		g, err := gapRead(row.Value, h.keys)
		if err != nil {
			return err
		}
		e.gap, target = g, g.Target
	} else {
		var err error
		if e.letter, target, err = h.mailRead(r); err != nil {
			return err
		}
		e.letter.boxes++
		e.size += e.letter.size
	}
	if len(r.key) > 0 {
		return errors.New("the key is too long")
	}
	c.append(target, e)
	// Of one target no more than a window can have been sent, the oldest.
	e.told = e.lane.rows <= windowEnvelopes
	c.last = max(c.last, n)
	h.bytes += e.size
	return nil
}

func gapRead(b []byte, keys keyring) (*wire.Gap, error) {
	f, err := wire.Decode(b, keys)
	if err != nil {
		return nil, err
	}
	g, ok := f.(*wire.Gap)
	if !ok || g.N != 0 {
		return nil, errors.New("neither an envelope nor a gap")
	}
	return g, nil
}

// mailRead reads what a mail row says of its envelope and finds that. One that is
// not there is made from the row, to tell of.
func (h *Home) mailRead(r *rowReader) (*letter, envelope.Target, error) {
	l := &letter{absent: true, durable: true}
	copy(l.id[:], r.Bytes(len(l.id), len(l.id)))
	l.time, l.expires = r.Uint(envelope.TimeMax), r.time()
	l.size = int(r.Uint(envelope.SizeMax))
	t := r.target()
	l.count = int(r.Uint(envelope.ItemsMax))
	if err := r.End(); err != nil {
		return nil, t, err
	}
	if l.count == 0 {
		return nil, t, errors.New("an envelope of no items")
	}
	known, ok := h.revive.letters[l.id]
	if !ok {
		h.revive.letters[l.id] = l
		return l, t, nil
	}
	same := known.time == l.time && known.expires == l.expires && known.size == l.size && known.count == l.count
	if !same || !known.absent && known.mark.stream.Target != t {
		return nil, t, errors.New("the row and its envelope do not agree")
	}
	return known, t, nil
}

func (h *Home) restoreSubscription(row machine.Row) error {
	r := newRowReader(row, h.keys)
	a, t := r.cutAddress(), r.cutTarget()
	c, ok := h.clients.Get(a)
	r.Array(3, 3)
	if mode := r.Uint(1); wire.Mode(mode) != wire.Durable {
		r.Fail("mode %d", mode)
	}
	sub := &subscription{client: c, target: t, start: r.Uint(envelope.TimeMax), saved: true}
	grant, has := r.signed()
	if err := r.end(); err != nil {
		return err
	}
	if !ok {
		return errors.New("there is no such client")
	}
	if has {
		g, err := wire.ParseGrant(grant, h.keys)
		if err != nil {
			return fmt.Errorf("grant: %w", err)
		}
		if t.Kind != envelope.Address || g.Address != t.To {
			return errors.New("the grant is of another address")
		}
		sub.grant = g
	} else if t.Kind == envelope.Address {
		return errors.New("an address without a grant")
	}
	c.subs.Set(t, sub)
	h.subs++
	au, ok := h.audiences[t]
	if !ok {
		au = &audience{}
		h.audiences[t] = au
	}
	au.members = append(au.members, sub)
	return nil
}

// revived puts what was restored in its place: mail is ready to be sent, streams go
// on, leases and grants count, upstream hears what is wanted.
func (h *Home) revived(now int64) {
	v := h.revive
	if v == nil {
		return
	}
	h.revive = nil
	for _, c := range h.clients.All() {
		h.revivedClient(now, c)
	}
	for _, l := range v.order {
		h.given.add(l.id)
		if l.boxes == 0 { // nobody waits for it
			h.desk.Forget(letterKey(l.id, l.expires))
		}
	}
	for _, m := range v.marks {
		h.revivedMark(now, m)
	}
	for _, c := range h.clients.All() {
		for t := range c.subs.All() {
			if a := h.audiences[t]; !a.told {
				a.told = true
				h.up.Want(now, t, a.grant)
			}
		}
	}
	for _, hd := range v.held {
		h.revivedHolding(now, hd)
	}
}

// revivedClient makes a client's mail ready, with gaps where envelopes are missing,
// and ends subscriptions whose grant ended meanwhile.
func (h *Home) revivedClient(now int64, c *client) {
	c.lease = now + leaseTime
	if c.since != 0 {
		c.lease = c.since + leaseTime
	}
	x := &erasure{}
	for e := c.oldest; e != nil; e = e.next {
		if l := e.letter; l != nil && l.absent {
			h.lack(e, errNoRow)
			h.replace(c, e, missing(now, l), x)
		}
		if !e.gone {
			c.unsent.push(e)
		}
	}
	h.commit(c, x)
	for t, sub := range c.subs.All() {
		g := sub.grant
		if g == nil {
			continue
		}
		a := h.audiences[t]
		if int64(g.NotAfter) < now {
			c.subs.Delete(t)
			h.subs--
			if a.remove(sub); len(a.members) == 0 {
				delete(h.audiences, t)
			}
			h.desk.Forget(subKey(c, t))
			continue
		}
		h.dir.PutGrant(now, g)
		c.grantUntil(g)
		if a.grant == nil || g.NotAfter > a.grant.NotAfter {
			a.grant = g
		}
	}
}

// revivedMark lets a stream go on where it was, if anybody wants it.
func (h *Home) revivedMark(now int64, m *mark) {
	a, ok := h.audiences[m.stream.Target]
	if !ok || m.until < now || len(h.marks) >= streamsMax {
		m.gone = true
		h.desk.Forget(m.key())
		return
	}
	h.keepMark(a, m)
	h.order.resume(now, m)
}
