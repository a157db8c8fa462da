package attach

import (
	"bytes"
	"encoding/binary"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/directory"
	"upsycle/internal/envelope"
	"upsycle/internal/gate"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// filled is the disk of an edge router with rows in each of its tables, and who it
// belongs to.
func filled(t testing.TB) (*world, *proc) {
	w := newWorld(t)
	h, p, away := w.newCore(1, Limits{}), w.newRaw(2, wire.Service), w.newRaw(3, wire.Service)
	e := w.newEdge(4, h)
	l := w.link(e, h)
	e.home.cfg.Limits.MailboxEntries = 5
	away.join(e)
	own := envelope.Target{Kind: envelope.Address, To: away.key.Address()}
	away.say(&wire.Subscribe{Ref: 2, Target: own, Grant: away.grantOf(e, w.now+7*24*3600_000), HasSince: true, Since: 77})
	w.link(p, e)
	p.say(&wire.Attach{Homes: p.homesOf(1, e)})
	list := letters(t, 12)
	for _, m := range list[:3] {
		p.say(&wire.Publish{Envelope: m})
	}
	away.say(&wire.Delivered{N: 3})
	w.cut(l)
	for _, l := range w.links {
		if l.ends[0] == away {
			w.cut(l)
		}
	}
	w.settle()
	for _, m := range append(list[3:], numbered1(t, 20), numbered1(t, 25)) { // the last two wait behind holes
		p.say(&wire.Publish{Envelope: m})
	}
	return w, e
}

// rowsOf are rows in the order of keys.
func rowsOf(disk map[string][]byte) (list []machine.Row) {
	for _, key := range slices.Sorted(maps.Keys(disk)) {
		list = append(list, machine.Row{Key: []byte(key), Value: disk[key]})
	}
	return list
}

// A reader takes rows as a process does when it begins.
type reader struct {
	desk   machine.Desk
	gate   *gate.Gate
	home   *Home
	client *Client
}

func newReader(e *proc) *reader {
	r := &reader{}
	r.gate = gate.New(gate.Config{Self: e.key.Address(), Role: wire.Edge}, &r.desk)
	r.home = NewHome(HomeConfig{Self: e.key.Address(), Role: wire.Edge}, &r.desk, r.gate, directory.New())
	r.client = NewClient(ClientConfig{Self: e.key.Address(), Role: wire.Edge, Homes: e.client.cfg.Homes}, &r.desk, r.gate)
	r.client.Bind(r.home)
	r.home.Bind(r.client)
	return r
}

// take returns the first error.
func (r *reader) take(rows []machine.Row) error {
	for _, row := range rows {
		restore := r.home.Restore
		if len(row.Key) > 0 && strings.IndexByte(ClientTables, row.Key[0]) >= 0 {
			restore = r.client.Restore
		}
		if err := restore(row); err != nil {
			return err
		}
	}
	return nil
}

// live begins the life of what was restored and lets a week pass.
func (r *reader) live(t interface{ Fatalf(string, ...any) }, now int64) {
	for range 40 {
		r.desk.Begin(nil)
		r.home.Tick(now)
		r.client.Tick(now)
		for _, e := range r.desk.End() {
			if s, ok := e.(machine.Store); ok && s.Token.Owner() == machine.OwnerHome {
				r.desk.Begin(nil)
				r.home.Stored(now, s.Token, nil)
				r.desk.End()
			}
		}
		checkMailbox(t, r.home)
		now += 5 * 3600_000
	}
}

// All tables are there, and what is restored writes the same rows again.
func TestRowsRoundTrip(t *testing.T) {
	w, e := filled(t)
	rows := rowsOf(e.disk)
	found := make(map[byte]int)
	for _, row := range rows {
		found[row.Key[0]]++
	}
	for _, table := range []byte(HomeTables + ClientTables) {
		if found[table] == 0 {
			t.Errorf("no row of table %c (%s)", table, tableName(table))
		}
	}
	r := newReader(e)
	if err := r.take(rows); err != nil {
		t.Fatal(err)
	}
	again := make(map[string][]byte)
	put := func(row machine.Row) { again[string(row.Key)] = row.Value }
	for _, c := range r.home.clients.All() {
		put(c.boxRow())
		for x := c.oldest; x != nil; x = x.next {
			put(mailRow(c, x))
		}
		for _, sub := range c.subs.All() {
			put(sub.row())
		}
	}
	for _, m := range r.home.revive.marks {
		put(m.row())
	}
	for _, h := range r.client.homes {
		put(h.row())
	}
	for _, p := range r.client.outbox.byTurn.All() {
		put(machine.Row{Key: outboxKey(p), Value: p.envelope.Raw})
	}
	for key, value := range e.disk {
		switch got, ok := again[key]; {
		case key[0] == letterTable || key[0] == markTable || key[0] == holdTable:
		case !ok:
			t.Errorf("row %x is not written again", key)
		case key[0] != boxTable && !bytes.Equal(got, value):
			t.Errorf("row %x is written as %x, was %x", key, got, value)
		}
	}
	r.live(t, w.now)
}

// Each byte of each row, changed in some ways: the row is refused with the name of its
// table, or what comes of it lives without a panic.
func TestDamagedRows(t *testing.T) {
	w, e := filled(t)
	rows := rowsOf(e.disk)
	refused := make(map[byte]int)
	lives := 0
	try := func(i int, row machine.Row) {
		list := slices.Clone(rows)
		list[i] = row
		r := newReader(e)
		if err := r.take(list); err != nil {
			refused[rows[i].Key[0]]++
			if !strings.Contains(err.Error(), "table ") {
				t.Errorf("the error %q names no table", err)
			}
			return
		}
		if lives++; lives%7 == 0 { // a life takes a while
			r.live(t, w.now)
		}
	}
	tried := make(map[byte]int)
	for i, row := range rows {
		if tried[row.Key[0]]++; tried[row.Key[0]] > 3 {
			continue
		}
		for at := range row.Key {
			key := bytes.Clone(row.Key)
			key[at] ^= 0x11
			try(i, machine.Row{Key: key, Value: row.Value})
		}
		for at := range row.Value {
			value := bytes.Clone(row.Value)
			value[at] ^= 0x11
			try(i, machine.Row{Key: row.Key, Value: value})
			try(i, machine.Row{Key: row.Key, Value: row.Value[:at]})
		}
		try(i, machine.Row{Key: row.Key[:len(row.Key)-1], Value: row.Value})
		try(i, machine.Row{Key: append(bytes.Clone(row.Key), 0), Value: row.Value})
		try(i, machine.Row{Key: row.Key, Value: append(bytes.Clone(row.Value), 0)})
	}
	for _, table := range []byte(HomeTables + ClientTables) {
		if refused[table] < 10 {
			t.Errorf("only %d changes of table %c were refused", refused[table], table)
		}
	}
}

// Each field of each table with a value that it cannot have.
func TestWrongFields(t *testing.T) {
	_, e := filled(t)
	rows := rowsOf(e.disk)
	nobody := testKey(t, 99).Address()
	uint := func(n uint64) []byte { return cbor.AppendUint(nil, n) }
	for _, x := range []struct {
		caption string
		table   byte
		field   int
		value   []byte
		want    string
	}{
		{"a role that cannot attach", boxTable, 0, uint(2), "a client's mailbox"},
		{"a box of 7 bytes", boxTable, 1, cbor.AppendBytes(nil, make([]byte, 7)), "a client's mailbox"},
		{"a last number that cannot be", boxTable, 2, uint(1 << 63), "a client's mailbox"},
		{"a time that cannot be", boxTable, 3, uint(1 << 60), "a client's mailbox"},
		{"no homes document", boxTable, 4, cbor.AppendNull(nil), "no homes document"},
		{"a time that cannot be", markTable, 0, uint(1 << 60), "a stream's delivered numbers"},
		{"no ranges", markTable, 1, cbor.AppendArray(nil, 0), "a stream's delivered numbers"},
		{"a box of 9 bytes", homeTable, 0, cbor.AppendBytes(nil, make([]byte, 9)), "a home"},
		{"a number without a box", homeTable, 0, cbor.AppendNull(nil), "a number without a mailbox"},
		{"a number that cannot be", homeTable, 1, uint(1 << 50), "a home"},
		{"a document that is none", homeTable, 2, uint(1), "a home"},
		{"an id of 31 bytes", mailTable, 0, cbor.AppendBytes(nil, make([]byte, 31)), "mail"},
		{"another time", mailTable, 1, uint(5), "do not agree"},
		{"another end", mailTable, 2, uint(5), "do not agree"},
		{"another size", mailTable, 3, uint(5), "do not agree"},
		{"another kind", mailTable, 4, uint(1), "do not agree"},
		{"another target", mailTable, 5, cbor.AppendBytes(nil, nobody.Bytes()), "do not agree"},
		{"a key that is none", mailTable, 5, cbor.AppendBytes(nil, make([]byte, 32)), "mail"},
		{"no items", mailTable, 6, uint(0), "no items"},
		{"mode 1", subTable, 0, uint(1), "a subscription"},
		{"a start that cannot be", subTable, 1, uint(1 << 60), "a subscription"},
		{"a grant that is none", subTable, 2, uint(7), "a subscription"},
	} {
		list := slices.Clone(rows)
		for i, row := range list {
			if row.Key[0] != x.table || x.table == mailTable && row.Value[0] != 0x87 {
				continue
			}
			list[i].Value = withField(t, row.Value, x.field, x.value)
			if x.caption == "a number without a box" {
				list[i].Value = withField(t, list[i].Value, 1, uint(3))
			}
		}
		err := newReader(e).take(list)
		if err == nil || !strings.Contains(err.Error(), "table "+string(x.table)) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("table %c, %s: %v", x.table, x.caption, err)
		}
	}
}

// withField replaces one field of an array.
func withField(t *testing.T, value []byte, field int, by []byte) []byte {
	t.Helper()
	r := cbor.NewReader(value)
	n := r.Array(1, 32)
	b := cbor.AppendArray(nil, n)
	for i := range n {
		at := r.Offset()
		if r.Skip(4); r.Err() != nil {
			t.Fatal(r.Err())
		}
		if i == field {
			b = append(b, by...)
		} else {
			b = append(b, r.Since(at)...)
		}
	}
	return b
}

// Rows that do not belong together, or to this router.
func TestStrangeRows(t *testing.T) {
	w, e := filled(t)
	rows := rowsOf(e.disk)
	without := func(table byte) (list []machine.Row) {
		for _, row := range rows {
			if row.Key[0] != table {
				list = append(list, row)
			}
		}
		return list
	}
	twice := func(table byte) (list []machine.Row) {
		for _, row := range rows {
			if list = append(list, row); row.Key[0] == table {
				list = append(list, row)
			}
		}
		return list
	}
	other := w.newEdge(44, w.procs[0])
	for _, x := range []struct {
		caption string
		who     *proc
		rows    []machine.Row
		want    string // empty: they are taken
	}{
		{"mail of no client", e, without(boxTable), "table m"},
		{"mail twice", e, twice(mailTable), "table m"},
		{"what waits twice", e, twice(holdTable), "table q"},
		{"the outbox twice", e, twice(outboxTable), "table o"},
		{"another router's", other, rows, "table b"},
		{"an empty key", e, []machine.Row{{}}, "table ?"},
		{"an unknown table", e, []machine.Row{{Key: []byte("z")}}, "no table of this room"},
		{"no letters", e, without(letterTable), ""},
		{"no marks", e, without(markTable), ""},
		{"no subscriptions", e, without(subTable), ""},
		{"no mail", e, without(mailTable), ""},
	} {
		r := newReader(x.who)
		err := r.take(x.rows)
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", x.caption, err)
		}
		if err == nil {
			r.live(t, w.now)
		}
	}
}

// FuzzRestore: no rows make a router panic, when it takes them or afterwards.
func FuzzRestore(f *testing.F) {
	w, e := filled(f)
	rows := rowsOf(e.disk)
	for _, row := range rows {
		f.Add(row.Key, row.Value, uint16(1))
		f.Add(row.Key, row.Value[:len(row.Value)/2], uint16(3))
	}
	f.Fuzz(func(t *testing.T, key, value []byte, mask uint16) {
		disk := make(map[string][]byte)
		for i, row := range rows { // some of the true ones, and one that is not
			if mask>>(i%16)&1 == 0 {
				disk[string(row.Key)] = row.Value
			}
		}
		disk[string(key)] = value
		r := newReader(e)
		if err := r.take(rowsOf(disk)); err != nil {
			if !strings.Contains(err.Error(), "table ") {
				t.Fatalf("the error %q names no table", err)
			}
			return
		}
		r.live(t, w.now)
	})
}

// manyRows are the rows of mailboxes with n envelopes in all.
func manyRows(tb testing.TB, h *proc, clients, n int) (list []machine.Row) {
	disk := make(map[string][]byte)
	add := func(row machine.Row) { disk[string(row.Key)] = row.Value }
	var all []*client
	for i := range clients {
		key := testKey(tb, byte(10+i))
		c := newClient(key.Address(), wire.Box{byte(i)})
		doc := &wire.Homes{Client: c.address, Epoch: 1, Homes: addresses([]*proc{h})}
		doc.Encode()
		c.homes = doc
		add(c.boxRow())
		add((&subscription{client: c, target: groupTarget(tb)}).row())
		all = append(all, c)
	}
	e := numbered1(tb, 0)
	for i := range n {
		header := e.Header
		header.First, header.Count, header.Time = uint64(i), 1, start+uint64(i)
		m, err := envelope.Parse(envelope.Assemble(header.AppendTo(nil), e.Sig, nil, e.Body), nil)
		if err != nil {
			tb.Fatal(err)
		}
		l := newLetter(m, nil)
		add(letterRow(l))
		add(mailRow(all[i%clients], &entry{n: uint64(i + 1), letter: l, lane: &lane{target: m.Target}}))
	}
	return rowsOf(disk)
}

// BenchmarkRestore is the start of a router with 100,000 envelopes in 100 mailboxes.
func BenchmarkRestore(b *testing.B) {
	w := newWorld(b)
	h := w.newCore(1, Limits{})
	rows := manyRows(b, h, 100, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		h.build()
		h.desk.Begin(nil)
		for _, row := range rows {
			if err := h.home.Restore(row); err != nil {
				b.Fatal(err)
			}
		}
		h.home.Tick(start)
		h.desk.End()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(time.Microsecond)/100_000, "µs/envelope")
}

// 100,000 envelopes in mailboxes are an index in memory, no bodies, and all there.
func TestRestoreOfMany(t *testing.T) {
	w := newWorld(t)
	h := w.newCore(1, Limits{})
	for _, row := range manyRows(t, h, 50, 100_000) {
		h.disk[string(row.Key)] = row.Value
	}
	h.restart()
	z := h.home.Sizes()
	if z.Clients != 50 || z.Bodies != 0 || z.Streams != 1 {
		t.Errorf("%+v", z)
	}
	waiting := 0
	for _, c := range h.home.Clients() {
		waiting += c.Waiting
	}
	if waiting != 100_000 {
		t.Errorf("%d wait", waiting)
	}
}

// The memory of keys that were checked begins anew when it is full.
func TestKeyringIsBounded(t *testing.T) {
	k := make(keyring)
	a := testKey(t, 1).Address()
	for i := range keyringMax {
		b := [32]byte{byte(i), byte(i >> 8), 1}
		k[b] = a
	}
	if got, err := k.Address(a.Bytes()); err != nil || got != a || len(k) != 1 {
		t.Errorf("%v, %v, %d keys", got, err, len(k))
	}
	if _, err := k.Address(make([]byte, 31)); err == nil {
		t.Error("a short key passed")
	}
	if _, err := k.Address(make([]byte, 32)); err == nil || len(k) != 1 {
		t.Error("a bad key passed")
	}
}

// BenchmarkRestoreIdle is the start of a router with 100,000 mailboxes that are empty.
func BenchmarkRestoreIdle(b *testing.B) {
	const n = 100_000
	w := newWorld(b)
	h := w.newCore(1, Limits{Clients: n})
	disk := make(map[string][]byte)
	add := func(row machine.Row) { disk[string(row.Key)] = row.Value }
	for i := range n {
		key, err := identity.NewKey(binary.BigEndian.AppendUint32(make([]byte, 28), uint32(i)))
		if err != nil {
			b.Fatal(err)
		}
		c := newClient(key.Address(), wire.Box{1})
		c.homes = &wire.Homes{Client: c.address, Epoch: 1, Homes: addresses([]*proc{h})}
		c.homes.Encode()
		add(c.boxRow())
		add((&subscription{client: c, target: groupTarget(b)}).row())
	}
	rows := rowsOf(disk)
	b.ReportAllocs()
	for b.Loop() {
		h.build()
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.desk.Begin(nil)
		for _, row := range rows {
			if err := h.home.Restore(row); err != nil {
				b.Fatal(err)
			}
		}
		h.home.Tick(start)
		h.desk.End()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/mailbox")
	}
}
