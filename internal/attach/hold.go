package attach

import (
	"errors"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// holding is an envelope that waits behind a hole of its stream, with a row of its
// own: no mailbox has it yet, and who brought it keeps nothing for this router. What
// came from a home with a receipt needs none: that home keeps it.
type holding struct {
	turn     uint64
	envelope *envelope.Envelope
	stored   bool
	gone     bool
}

// key is the key of a holding; they sort in the order in which they came.
func (hd *holding) key() []byte { return numbered([]byte{holdTable}, hd.turn) }

// passed reports whether an envelope is among what a sequencer let through.
func passed(list []Passed, id envelope.ID) bool {
	for i := range list {
		if p := &list[i]; p.Order != Hole && p.Admitted.Envelope().ID == id {
			return true
		}
	}
	return false
}

// keepHeld stores what the sequencer holds.
func (h *Home) keepHeld(e *envelope.Envelope) {
	if h.holds[e.ID] != nil {
		return // it was restored
	}
	h.holdTurn++
	hd := &holding{turn: h.holdTurn, envelope: e}
	h.holds[e.ID] = hd
	h.unsafe[e.ID] = struct{}{}
	h.storeHeld(0, job{holding: hd})
}

// storeHeld asks for a holding to be stored, if it still is one.
func (h *Home) storeHeld(_ int64, j job) {
	if hd := j.holding; !hd.gone {
		h.holdStores[h.desk.Store(machine.OwnerHome, machine.Row{Key: hd.key(), Value: hd.envelope.Raw})] = hd
	}
}

// heldStored takes the answer. What went on meanwhile is in a batch of its own.
func (h *Home) heldStored(now int64, hd *holding, err error) {
	switch {
	case hd.gone:
	case err != nil:
		h.desk.Do(machine.Report{Event: machine.TableFull, Code: wire.StorageFull, ID: hd.envelope.ID, Text: err.Error()})
		h.agenda.Put(now+retryMail, job{do: (*Home).storeHeld, holding: hd})
	default:
		hd.stored = true
		h.safe(hd.envelope.ID)
	}
}

// unhold ends a holding and returns it; nil: there is none. Its row is the caller's.
func (h *Home) unhold(id envelope.ID) *holding {
	hd, ok := h.holds[id]
	if !ok {
		return nil
	}
	hd.gone = true
	delete(h.holds, id)
	delete(h.unsafe, id)
	return hd
}

// safe notes that an envelope is durable here, for all who subscribed.
func (h *Home) safe(id envelope.ID) {
	delete(h.unsafe, id)
	h.answerTakers(id)
}

// restoreHolding takes back what waited behind a hole.
func (h *Home) restoreHolding(row machine.Row) error {
	r := newRowReader(row, h.keys)
	turn := r.cutUint64()
	if r.Err() != nil || len(r.key) > 0 || turn <= h.holdTurn || turn > 1<<62 {
		return errors.New("a turn out of order")
	}
	e, err := envelopeRead(append([]byte(nil), row.Value...), h.keys)
	if err != nil {
		return err
	}
	if h.holds[e.ID] != nil {
		return errors.New("the envelope is there twice")
	}
	h.holdTurn = turn
	hd := &holding{turn: turn, envelope: e, stored: true}
	h.holds[e.ID] = hd
	h.revive.held = append(h.revive.held, hd)
	return nil
}

// revivedHolding puts what waited into its stream again.
func (h *Home) revivedHolding(now int64, hd *holding) {
	if len(h.members(hd.envelope.Target)) == 0 {
		h.unhold(hd.envelope.ID)
		h.desk.Forget(hd.key())
		return
	}
	h.serve(now, h.gate.Own(hd.envelope), Receipt{}, nil)
}
