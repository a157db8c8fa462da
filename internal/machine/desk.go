package machine

import (
	"upsycle/identity"
	"upsycle/internal/wire"
)

// A Desk gathers the effects of one Step and numbers the questions in them. All
// sub-machines of one machine share one Desk, so effects keep the order in which
// they were decided.
type Desk struct {
	out  []Effect
	last uint64
}

// Begin makes the Desk append to out until End.
func (d *Desk) Begin(out []Effect) { d.out = out }

// End returns what was gathered.
func (d *Desk) End() []Effect {
	out := d.out
	d.out = nil
	return out
}

// Token returns a new token of owner.
func (d *Desk) Token(owner Owner) Token {
	d.last++
	return Token(uint64(owner)<<56 | d.last)
}

// Do appends any effect.
func (d *Desk) Do(e Effect) { d.out = append(d.out, e) }

// Send appends a Send.
func (d *Desk) Send(link LinkID, class Class, f wire.Frame) { d.Do(Send{link, class, f}) }

// Verify appends a Verify of owner and returns its token.
func (d *Desk) Verify(owner Owner, link LinkID, claims ...identity.Claim) Token {
	t := d.Token(owner)
	d.Do(Verify{t, link, claims})
	return t
}

// Sign appends a Sign of owner and returns its token.
func (d *Desk) Sign(owner Owner, label identity.Label, body []byte) Token {
	t := d.Token(owner)
	d.Do(Sign{t, label, body})
	return t
}

// Store appends a Store of owner and returns its token.
func (d *Desk) Store(owner Owner, rows ...Row) Token {
	t := d.Token(owner)
	d.Do(Store{t, rows})
	return t
}

// Load appends a Load of owner and returns its token.
func (d *Desk) Load(owner Owner, keys ...[]byte) Token {
	t := d.Token(owner)
	d.Do(Load{t, keys})
	return t
}

// Forget appends a Store that deletes keys and wants no answer; nothing where
// there are no keys.
func (d *Desk) Forget(keys ...[]byte) {
	if len(keys) == 0 {
		return
	}
	rows := make([]Row, len(keys))
	for i, k := range keys {
		rows[i].Key = k
	}
	d.Do(Store{0, rows})
}

// Close appends a Close.
func (d *Desk) Close(link LinkID, code wire.Code, text string) { d.Do(Close{link, code, text}) }

// Count appends a Report that only counts.
func (d *Desk) Count(e ReportEvent, link LinkID) { d.Do(Report{Event: e, Link: link}) }
