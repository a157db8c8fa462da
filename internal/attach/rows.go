package attach

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// The tables of this room, by the first byte of their keys. Home.Restore takes the
// rows of HomeTables, Client.Restore those of ClientTables; in the order of keys
// each row finds what it refers to. Integers in keys are big endian, values are
// CBOR; an hour counts from 1970, and all that stands under it is over when it
// begins.
//
//	b | client (32)                             [role, box (8), last n, away since ms (0: attached), homes signed]
//	d | kind (1) | to (32) | from (32) | run (8) [until ms, [* [first, last]]]    numbers of a stream that lie or lay in mailboxes
//	e | hour (4) | id (32)                      the bytes of an envelope, once for all mailboxes
//	h | home (32)                               [box (8) / null, n, homes signed / null]
//	m | client (32) | n (8)                     [id (32), time ms, expires ms, size, kind, to (32), count], or a gap frame with n = 0
//	o | turn (8)                                the bytes of an envelope
//	q | turn (8)                                the bytes of an envelope that waits behind a hole
//	s | client (32) | kind (1) | to (32)        [mode 0, start ms, grant signed / null]
const (
	HomeTables   = "bdemqs"
	ClientTables = "ho"

	boxTable    = 'b'
	markTable   = 'd'
	letterTable = 'e'
	homeTable   = 'h'
	mailTable   = 'm'
	outboxTable = 'o'
	holdTable   = 'q'
	subTable    = 's'
)

// tableName says what a table holds, for errors.
func tableName(table byte) string {
	switch table {
	case boxTable:
		return "a client's mailbox"
	case markTable:
		return "a stream's delivered numbers"
	case letterTable:
		return "an envelope in mailboxes"
	case homeTable:
		return "a home"
	case mailTable:
		return "mail"
	case outboxTable:
		return "the outbox"
	case holdTable:
		return "what waits behind a hole"
	case subTable:
		return "a subscription"
	}
	return "no table of this room"
}

// rowError says which row cannot be read, and why.
func rowError(row machine.Row, why error) error {
	table := byte('?')
	if len(row.Key) > 0 {
		table = row.Key[0]
	}
	return fmt.Errorf("attach: a row of table %c (%s) is damaged: key %x: %w", table, tableName(table), row.Key, why)
}

// keyring checks the keys in rows, each once.
type keyring map[[identity.AddressSize]byte]identity.Address

// Address implements identity.KeyChecker.
func (k keyring) Address(b []byte) (identity.Address, error) {
	if len(b) != identity.AddressSize {
		return identity.NewAddress(b)
	}
	known, ok := k[[identity.AddressSize]byte(b)]
	if ok {
		return known, nil
	}
	a, err := identity.NewAddress(b)
	if err == nil {
		if len(k) >= keyringMax {
			clear(k)
		}
		k[[identity.AddressSize]byte(b)] = a
	}
	return a, err
}

// rowReader reads the parts of a key, then the fields of a value.
type rowReader struct {
	cbor.Reader
	key  []byte // what is left of it
	keys keyring
}

func newRowReader(row machine.Row, keys keyring) *rowReader {
	return &rowReader{Reader: cbor.NewReader(row.Value), key: row.Key[1:], keys: keys}
}

// cut takes n bytes from the front of the key; zeros where it is too short.
func (r *rowReader) cut(n int) []byte {
	if len(r.key) < n {
		r.Fail("the key is too short")
		return make([]byte, n)
	}
	b := r.key[:n]
	r.key = r.key[n:]
	return b
}

func (r *rowReader) address(b []byte) identity.Address {
	if r.Err() != nil {
		return identity.Address{}
	}
	a, err := r.keys.Address(b)
	if err != nil {
		r.Fail("%w", err)
	}
	return a
}

// cutAddress and cutTarget read parts of the key.
func (r *rowReader) cutAddress() identity.Address {
	return r.address(r.cut(identity.AddressSize))
}

func (r *rowReader) cutTarget() envelope.Target {
	kind := r.cut(1)[0]
	if kind > 1 {
		r.Fail("kind %d", kind)
	}
	return envelope.Target{Kind: envelope.Kind(kind), To: r.cutAddress()}
}

func (r *rowReader) cutUint64() uint64 { return binary.BigEndian.Uint64(r.cut(8)) }

// target reads two fields of the value.
func (r *rowReader) target() envelope.Target {
	kind := envelope.Kind(r.Uint(1))
	return envelope.Target{Kind: kind, To: r.address(r.Bytes(identity.AddressSize, identity.AddressSize))}
}

// time reads milliseconds.
func (r *rowReader) time() int64 { return int64(r.Uint(envelope.TimeMax + 30*24*3600_000)) }

// signed reads a signed document, or null. It is a copy: documents stay.
func (r *rowReader) signed() (s envelope.Signed, ok bool) {
	if r.Null() {
		return s, false
	}
	s = envelope.ReadSigned(&r.Reader, envelope.HeaderMax*2)
	s.Body = bytes.Clone(s.Body)
	return s, r.Err() == nil
}

// homes reads a homes document of client whose signature held when it was stored;
// nil where there is none.
func (r *rowReader) homes(client identity.Address) *wire.Homes {
	s, ok := r.signed()
	if !ok {
		return nil
	}
	doc, err := wire.ParseHomes(s, r.keys)
	switch {
	case err != nil:
		r.Fail("homes document: %w", err)
	case doc.Client != client:
		r.Fail("the homes document is another client's")
	}
	return doc
}

// end returns what was wrong, if anything was.
func (r *rowReader) end() error {
	if r.Err() == nil && len(r.key) > 0 {
		r.Fail("the key is too long")
	}
	return r.End()
}

// numbered appends n so that keys sort by it.
func numbered(key []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(key, n) }

// addressKey is the key of what a table has of an address.
func addressKey(table byte, a identity.Address) []byte {
	return a.AppendTo(append(make([]byte, 0, 1+identity.AddressSize+8), table))
}

// allUnder deletes every row whose key begins with prefix and goes on for less than
// 120 bytes.
func allUnder(prefix []byte) machine.Row {
	return machine.Row{Key: prefix, End: append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, 120)...)}
}

func appendTargetKey(key []byte, t envelope.Target) []byte {
	return t.To.AppendTo(append(key, byte(t.Kind)))
}

func appendTarget(b []byte, t envelope.Target) []byte {
	return t.To.AppendTo(cbor.AppendBytesHead(cbor.AppendUint(b, uint64(t.Kind)), identity.AddressSize))
}

// hourMillis is an hour: letters that expire within one go together.
const hourMillis = 3600_000

// expiryHour is the first hour in which something that expires at an instant is
// over for sure.
func expiryHour(expires int64) uint32 { return uint32((expires + hourMillis) / hourMillis) }

// hourKey is where the letters of an hour begin.
func hourKey(hour uint32) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, 5+32), letterTable), hour)
}

// letterKey is the key of an envelope, which is stored once for all mailboxes.
func letterKey(id envelope.ID, expires int64) []byte {
	return append(hourKey(expiryHour(expires)), id[:]...)
}

// mailKey is the key of a number of a client's mailbox. Keys of one mailbox sort by
// number, so a range of them is read in the order of delivery.
func mailKey(c *client, n uint64) []byte { return numbered(addressKey(mailTable, c.address), n) }

// mailRow is the row of an entry: what it takes to tell of the envelope without it,
// or the encoded gap.
func mailRow(c *client, e *entry) machine.Row {
	key := mailKey(c, e.n)
	if e.gap != nil {
		return machine.Row{Key: key, Value: e.gap.AppendTo(nil)}
	}
	l := e.letter
	b := cbor.AppendBytes(cbor.AppendArray(make([]byte, 0, 112), 7), l.id[:])
	b = cbor.AppendUint(cbor.AppendUint(cbor.AppendUint(b, l.time), uint64(l.expires)), uint64(l.size))
	return machine.Row{Key: key, Value: cbor.AppendUint(appendTarget(b, e.lane.target), uint64(l.count))}
}

// boxRow is the row of a client. It must be written before a number beyond what the
// store knows otherwise leaves it.
func (c *client) boxRow() machine.Row {
	b := cbor.AppendUint(cbor.AppendArray(nil, 5), uint64(c.role))
	b = cbor.AppendUint(cbor.AppendBytes(b, c.box[:]), c.last)
	return machine.Row{Key: addressKey(boxTable, c.address), Value: c.homes.Signed.AppendTo(cbor.AppendUint(b, uint64(c.since)))}
}

// subKey is the key of a subscription.
func subKey(c *client, t envelope.Target) []byte {
	return appendTargetKey(addressKey(subTable, c.address), t)
}

// row is the row of a durable subscription.
func (sub *subscription) row() machine.Row {
	b := cbor.AppendUint(cbor.AppendUint(cbor.AppendArray(nil, 3), uint64(sub.mode)), sub.start)
	if sub.grant == nil {
		b = cbor.AppendNull(b)
	} else {
		b = sub.grant.Signed.AppendTo(b)
	}
	return machine.Row{Key: subKey(sub.client, sub.target), Value: b}
}
