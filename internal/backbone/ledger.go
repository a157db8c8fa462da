package backbone

import (
	"encoding/binary"
	"errors"
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// A Ledger is the durable part of a backbone: what is in custody, how far the
// routes to each root are covered, what was exposed again after a cut. Rows fill
// it before the backbone begins; afterwards the backbone alone changes it. Bodies
// are in the store: the Ledger holds what must be known of them.
type Ledger struct {
	hours    *ordered.Map[uint32, []*held] // custody by the hour in which it is over
	bytes    int                           // of envelopes in custody
	restored []*held                       // in the order of their stamps, until the backbone begins
	covered  *ordered.Map[identity.Address, int64]
	exposed  map[envelope.Target][]exposure
	had      hadTable
}

// An exposure says that what was exposed since From was offered again at At (S5).
type exposure struct{ from, at int64 }

// The tables of this room, by the first byte of a key.
const (
	custodyTable  = 'c' // | hour | id → [stamp, envelope]
	coverageTable = 'v' // | root → last instant with a route
	exposureTable = 'x' // | kind | to → [* [from, at]]
	hadRows       = 'k' // | hour | id prefix → nothing: delivered here
)

// Tables are the first bytes of the keys that Restore takes.
const Tables = "ckvx"

// NewLedger returns an empty one.
func NewLedger() *Ledger {
	return &Ledger{
		hours:   ordered.NewMap[uint32, []*held](compareHours),
		covered: ordered.NewMap[identity.Address, int64](identity.Address.Compare),
		exposed: make(map[envelope.Target][]exposure),
		had:     newHadTable(HadMax),
	}
}

func compareHours(a, b uint32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// ErrRow says that a row cannot be what this room wrote.
var ErrRow = errors.New("backbone: a row of the store is damaged")

// Restore takes one row, of any of the Tables. It keeps nothing of the slices but
// what a custody row says of its envelope. The error wraps ErrRow.
func (l *Ledger) Restore(row machine.Row, keys identity.KeyChecker) error {
	var err error
	switch {
	case len(row.Key) == 0:
		err = errors.New("an empty key")
	case row.Key[0] == custodyTable:
		err = l.restoreCustody(row, keys)
	case row.Key[0] == coverageTable:
		err = l.restoreCoverage(row, keys)
	case row.Key[0] == exposureTable:
		err = l.restoreExposure(row, keys)
	case row.Key[0] == hadRows:
		err = l.had.restore(row)
	default:
		err = fmt.Errorf("no table %q", row.Key[0])
	}
	if err != nil {
		return fmt.Errorf("%w: %x: %v", ErrRow, row.Key, err)
	}
	return nil
}

func (l *Ledger) restoreCustody(row machine.Row, keys identity.KeyChecker) error {
	stamp, raw, err := custodyValue(row.Value)
	if err != nil {
		return err
	}
	e, err := envelope.Parse(raw, keys)
	switch {
	case err != nil:
		return err
	case e.Newer != nil:
		return e.Newer
	}
	h := &held{full: e.ID, id: wire.PrefixOf(e.ID), target: e.Target, expires: int64(e.Expires()), bytes: len(raw), own: true}
	h.stamp.Time, h.at = uint64(stamp), stamp
	if string(row.Key) != string(custodyKey(h)) {
		return errors.New("the key is not the envelope's")
	}
	l.restored = append(l.restored, h)
	return nil
}

func (l *Ledger) restoreCoverage(row machine.Row, keys identity.KeyChecker) error {
	root, err := identity.Checked(keys, row.Key[1:])
	if err != nil {
		return err
	}
	r := cbor.NewReader(row.Value)
	at := r.Uint(envelope.TimeMax)
	l.covered.Set(root, int64(at))
	return r.End()
}

func (l *Ledger) restoreExposure(row machine.Row, keys identity.KeyChecker) error {
	if len(row.Key) != 2+identity.AddressSize || row.Key[1] > 1 {
		return errors.New("no target in the key")
	}
	to, err := identity.Checked(keys, row.Key[2:])
	if err != nil {
		return err
	}
	r := cbor.NewReader(row.Value)
	var list []exposure
	for n := r.Array(1, exposuresMax); n > 0 && r.Err() == nil; n-- {
		r.Array(2, 2)
		list = append(list, exposure{int64(r.Uint(envelope.TimeMax)), int64(r.Uint(envelope.TimeMax))})
	}
	l.exposed[envelope.Target{Kind: envelope.Kind(row.Key[1]), To: to}] = list
	return r.End()
}

// hourOf returns the hour, since 1970, in which something that expires at ms is
// over for certain: rows of one hour go with one range.
func hourOf(ms int64) uint32 { return uint32((ms + hour) / hour) }

const hour = 3_600_000

func hourKey(table byte, h uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{table}, h)
}

func custodyKey(h *held) []byte {
	return append(hourKey(custodyTable, hourOf(h.expires)), h.full[:]...)
}

func custodyRow(h *held) machine.Row {
	raw := h.a.Envelope().Raw
	v := cbor.AppendUint(cbor.AppendArray(make([]byte, 0, len(raw)+24), 2), h.stamp.Time)
	return machine.Row{Key: custodyKey(h), Value: cbor.AppendBytes(v, raw)}
}

// custodyValue takes the value of a custody row apart; raw points into it.
func custodyValue(v []byte) (stamp int64, raw []byte, err error) {
	r := cbor.NewReader(v)
	r.Array(2, 2)
	at := r.Uint(envelope.TimeMax)
	raw = r.Bytes(1, envelope.SizeMax)
	return int64(at), raw, r.End()
}

// add notes what is in custody now.
func (l *Ledger) add(h *held) {
	at := hourOf(h.expires)
	l.hours.Set(at, append(l.hours.At(at), h))
	l.bytes += h.bytes
}

// over takes out the envelopes of the hours that are past at now, and returns them
// with the row that deletes them.
func (l *Ledger) over(now int64) (list []*held, rows []machine.Row) {
	for at, held := range l.hours.All() {
		if int64(at)*hour > now {
			break
		}
		l.hours.Delete(at)
		list = append(list, held...)
		rows = append(rows, machine.Row{Key: hourKey(custodyTable, at), End: hourKey(custodyTable, at+1)})
	}
	for _, h := range list {
		l.bytes -= h.bytes
	}
	return list, rows
}

// next returns when over has something to do; 0: nothing is in custody.
func (l *Ledger) next() int64 {
	for at := range l.hours.All() {
		return int64(at) * hour
	}
	return 0
}

func coverageRow(root identity.Address, at int64) machine.Row {
	return machine.Row{Key: root.AppendTo([]byte{coverageTable}), Value: cbor.AppendUint(nil, uint64(at))}
}

func exposureKey(t envelope.Target) []byte {
	return t.To.AppendTo([]byte{exposureTable, byte(t.Kind)})
}

func exposureRow(t envelope.Target, list []exposure) machine.Row {
	v := cbor.AppendArray(nil, len(list))
	for _, x := range list {
		v = cbor.AppendUint(cbor.AppendUint(cbor.AppendArray(v, 2), uint64(max(x.from, 0))), uint64(x.at))
	}
	return machine.Row{Key: exposureKey(t), Value: v}
}

// expose notes that what was exposed since from is offered again at now. An older
// note that this one covers goes; of too many, the two oldest become one that
// says of more envelopes that they were offered later: they are offered once more
// than needed.
func (l *Ledger) expose(t envelope.Target, from, now int64) machine.Row {
	var list []exposure
	for _, x := range l.exposed[t] {
		if from <= x.at {
			from = min(from, x.from)
			continue
		}
		list = append(list, x)
	}
	list = append(list, exposure{from, now})
	if len(list) > exposuresMax {
		list[1].from = min(list[0].from, list[1].from)
		list = list[1:]
	}
	l.exposed[t] = list
	return exposureRow(t, list)
}

// exposedAt returns when h was last offered after a cut, or its stamp's time.
func (l *Ledger) exposedAt(h *held) int64 {
	at := int64(h.stamp.Time)
	for _, x := range l.exposed[h.target] {
		if at >= x.from {
			at = x.at
		}
	}
	return at
}

// bring turns the value of a custody row into an envelope that may be sent. It was
// admitted before it was stored, and the store checks its own bytes.
func bring(g *gate.Gate, value []byte, want envelope.ID) (gate.Admitted, error) {
	_, raw, err := custodyValue(value)
	if err != nil {
		return gate.Admitted{}, err
	}
	e, err := envelope.Parse(raw, nil)
	switch {
	case err != nil:
		return gate.Admitted{}, err
	case e.ID != want:
		return gate.Admitted{}, errors.New("another envelope under this key")
	}
	return g.Own(e), nil
}
