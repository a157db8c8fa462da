package attach

import (
	"errors"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// pump sends mail within the windows of its target and its client and the backlog
// of its link.
func (h *Home) pump(now int64, c *client) {
	s := c.session
	if s == nil {
		return
	}
	h.expire(now, c) // many at once make one gap
	for s.state == attached && s.backlog < backlogMax && c.flying.room(boxEnvelopes, boxBytes) {
		e := c.nextEntry()
		if e == nil {
			return
		}
		if h.hold(now, c, e); e.gone {
			continue // it joined a gap that waits
		}
		if e.letter != nil && e.letter.envelope == nil {
			c.head = e
			h.fetch(c, e)
			return
		}
		h.send(c, e)
	}
}

// hold puts a gap in the place of an entry that may not go any more.
func (h *Home) hold(now int64, c *client, e *entry) {
	l := e.letter
	if l == nil {
		return
	}
	why := wire.WhyTooLarge
	switch {
	case l.expires < now:
		why = wire.WhyExpired
		h.desk.Do(machine.Report{Event: machine.MailExpired, ID: l.id})
	case l.size+deliverHead <= c.session.maxFrame:
		return
	}
	x := &erasure{}
	h.replace(c, e, why, x)
	h.commit(c, x)
}

// send puts an entry on its way. From here on it is in flight: a gap takes in
// nothing more, since the client may have it already.
func (h *Home) send(c *client, e *entry) {
	s := c.session
	c.fly(e)
	if e.gap != nil {
		g := *e.gap // later ones of this lane make a gap of their own
		g.N = e.n
		h.bulk(s, &g)
		return
	}
	h.bulk(s, &wire.Deliver{N: e.n, Envelope: e.letter.envelope})
	h.desk.Do(machine.Report{Event: machine.Delivered, Link: s.link, ID: e.letter.id})
	h.trim(c, e)
}

// fetching is a Load of envelopes that are to be sent next.
type fetching struct {
	client  *client
	entries []*entry
}

// fetch reads the envelope of an entry from the store, and those of the next ones
// along with it. There is one Load for each client at a time; its mail waits, that
// of others does not.
func (h *Home) fetch(c *client, from *entry) {
	if c.loading != 0 {
		return
	}
	f := &fetching{client: c}
	var keys [][]byte
	bytes := 0
	for e, steps := from, 0; e != nil && steps < 4*fetchEnvelopes; e, steps = e.next, steps+1 {
		l := e.letter
		if l == nil || e.sent || l.envelope != nil || !l.durable {
			continue
		}
		bytes += l.size
		if len(keys) > 0 && (len(keys) >= fetchEnvelopes || bytes > bodiesOne || h.bodies > bodiesAll) {
			break
		}
		f.entries = append(f.entries, e)
		keys = append(keys, letterKey(l.id, l.expires))
	}
	c.loading = h.desk.Load(machine.OwnerHome, keys...)
	h.loads[c.loading] = f
}

// Loaded takes envelopes from the store. One that is not there, or is not itself any
// more, leaves a gap; a store that fails is asked again.
func (h *Home) Loaded(now int64, t machine.Token, values [][]byte, err error) {
	h.begin(now)
	f, ok := h.loads[t]
	if !ok {
		return
	}
	delete(h.loads, t)
	c := f.client
	if err != nil {
		h.desk.Do(machine.Report{Event: machine.TableFull, Code: wire.InternalFault, Text: "mail cannot be read: " + err.Error()})
		h.agenda.Put(now+retryMail, job{do: (*Home).fetchAgain, client: c})
		return
	}
	c.loading = 0
	x := &erasure{}
	for i, e := range f.entries {
		if e.letter == nil || e.gone {
			continue
		}
		if err := h.unfold(e.letter, values[i]); err != nil {
			h.lack(e, err)
			h.replace(c, e, missing(now, e.letter), x)
			continue
		}
		h.claim(c, e)
	}
	h.commit(c, x)
	h.pump(now, c)
}

// fetchAgain ends the pause after a Load that failed.
func (h *Home) fetchAgain(now int64, j job) {
	j.client.loading = 0
	h.pump(now, j.client)
}

var errNoRow = errors.New("there is no such row")

// unfold gives a letter its envelope back.
func (h *Home) unfold(l *letter, value []byte) error {
	if l.envelope != nil {
		return nil // another mailbox asked for it, too
	}
	if value == nil {
		return errNoRow
	}
	e, err := envelope.Parse(value, h.keys)
	if err != nil {
		return err
	}
	if e.ID != l.id {
		return errors.New("it is another envelope")
	}
	l.envelope = e
	return nil
}

// lack tells the operator of mail that should be there and is not.
func (h *Home) lack(e *entry, why error) {
	h.desk.Do(machine.Report{
		Event: machine.MailboxDropped, ID: e.letter.id,
		Text: "an envelope of a mailbox is missing or damaged: " + why.Error(),
	})
}

// missing is why a letter's row is not there: its hour may be over.
func missing(now int64, l *letter) wire.Why {
	if l.expires < now {
		return wire.WhyExpired
	}
	return wire.WhyHole
}

// deliverHead is what a deliver frame adds to its envelope at most.
const deliverHead = 16

// bulk sends a frame that waits behind others of its kind, gaps as well: they must
// not overtake the mail before them.
func (h *Home) bulk(s *session, f wire.Frame) {
	s.backlog += f.Weight()
	h.desk.Send(s.link, machine.Bulk, f)
}
