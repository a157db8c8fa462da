package backbone

import (
	"errors"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

const (
	minute = 60_000
	anHour = 3_600_000
)

// publishMany publishes a number of envelopes at c, one every gap milliseconds, and
// returns the ids that were acknowledged.
func (c *core) publishMany(first, count int, gap int64) []envelope.ID {
	var ids []envelope.ID
	for i := range count {
		id := c.publish(c.net.message(first + i))
		c.net.run(gap)
		if c.taken[id] == wire.OK {
			ids = append(ids, id)
		}
	}
	return ids
}

// expectOnce says which of ids did not arrive exactly once at c.
func expectOnce(t *testing.T, c *core, ids []envelope.ID) {
	t.Helper()
	for i, id := range ids {
		if got := c.got(id); got != 1 {
			t.Errorf("%s got envelope %d %d times", c.name, i, got)
		}
	}
}

// TestAcknowledgedSurvivesACrash: what the ingress acknowledged while nobody could
// be reached arrives after it crashed and came back (F1, S5; spec §10.2).
func TestAcknowledgedSurvivesACrash(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	a, b := n.core("A"), n.core("B")
	b.want(groupTarget(), nil)
	n.run(minute)
	n.cut("AB")
	ids := a.publishMany(0, 20, 100)
	if len(ids) != 20 {
		t.Fatalf("%d of 20 acknowledged", len(ids))
	}
	a.crash()
	n.run(minute)
	a.restart()
	if z := a.b.Sizes(); z.CustodyEnvelopes != 20 {
		t.Fatalf("%d in custody after the restart", z.CustodyEnvelopes)
	}
	n.run(minute)
	n.link("AB")
	n.run(5 * minute)
	expectOnce(t, b, ids)
}

// TestCrashAtEveryStore: whatever the instant of a crash, what was acknowledged is
// in custody afterwards, and what was only asked for was not acknowledged.
func TestCrashAtEveryStore(t *testing.T) {
	for k := range 12 {
		n := newNetwork(t, 1)
		a := n.core("A")
		n.run(settled)
		n.hold = true
		for i := range 12 {
			a.publish(n.message(i))
		}
		for i := range k { // so many were stored, in the order asked
			a.apply(a.asked[i].Rows)
			a.do(func(now int64) { a.b.Stored(now, a.asked[i].Token, nil) })
		}
		if len(a.taken) != k {
			t.Fatalf("%d stored, %d acknowledged", k, len(a.taken))
		}
		acknowledged := a.taken
		a.crash()
		n.hold = false
		a.restart()
		if z := a.b.Sizes(); z.CustodyEnvelopes != k {
			t.Errorf("%d stored, %d in custody after the crash", k, z.CustodyEnvelopes)
		}
		for id := range acknowledged {
			if h := a.b.kept.at[wire.PrefixOf(id)]; h == nil || h.full != id {
				t.Errorf("%v was acknowledged and is gone", id)
			}
		}
	}
}

// TestLongOutage: a subscriber that was cut off for hours, longer than J3 knows,
// asks (S5) and gets everything, once.
func TestLongOutage(t *testing.T) {
	for _, away := range []int64{3 * minute, 30 * minute, 5 * anHour} {
		n := newNetwork(t, 3)
		n.link("AB", "BC")
		n.run(settled)
		a, c := n.core("A"), n.core("C")
		c.want(groupTarget(), nil)
		n.run(2 * minute)
		before := a.publishMany(0, 5, 1_000)
		n.run(minute)
		n.cut("BC")
		n.run(10_000)
		during := a.publishMany(5, 10, away/10)
		n.link("BC")
		n.run(5 * minute)
		expectOnce(t, c, append(before, during...))
		after := a.publishMany(15, 5, 1_000)
		n.run(minute)
		expectOnce(t, c, after)
		if t.Failed() {
			t.Fatalf("away for %d min", away/minute)
		}
	}
}

// TestHolderAwayLong: a holder that comes back after all requests of the
// subscribers have been made offers everything (GONE).
func TestHolderAwayLong(t *testing.T) {
	n := newNetwork(t, 3)
	n.link("AB", "BC")
	n.run(settled)
	a, c := n.core("A"), n.core("C")
	n.run(2 * minute)
	n.cut("AB")
	n.run(10_000)
	c.want(groupTarget(), nil) // A's envelopes are from before as well as after
	ids := a.publishMany(0, 10, 1_000)
	a.crash()
	n.run(9 * anHour)
	a.restart()
	n.link("AB")
	n.run(10 * minute)
	expectOnce(t, c, ids)
}

// TestSubscriberCrash: a subscriber's router that crashed asks for what it missed
// while it was down, and does not pull what it had.
func TestSubscriberCrash(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	a, b := n.core("A"), n.core("B")
	b.want(groupTarget(), nil)
	n.run(2 * minute)
	first := a.publishMany(0, 5, 1_000)
	n.run(10_000)
	expectOnce(t, b, first)
	b.crash()
	second := a.publishMany(5, 5, 1_000)
	n.run(20 * minute)
	b.restart()
	b.want(groupTarget(), nil)
	n.link("AB")
	n.run(10 * minute)
	expectOnce(t, b, append(first, second...))
}

// TestOffersByAge: ids are offered at the ages of S1 until the envelope expires,
// and never after (spec §11.1).
func TestOffersByAge(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	a := n.core("A")
	n.core("B").want(groupTarget(), nil)
	n.run(minute)
	var ages []int64
	start := n.now
	n.tap = func(from, _ *core, f wire.Frame) {
		if o, ok := f.(*wire.Offer); ok && from == a {
			age := (n.now - start) / 1000
			if len(ages) == 0 || ages[len(ages)-1] != age {
				ages = append(ages, age)
			}
			_ = o
		}
	}
	a.publish(n.message(0)) // lives a day
	n.run(26 * anHour)
	want := []int64{2, 10, 60, 600, 3600, 21600}
	if len(ages) < len(want) || len(ages) > len(want)+2 {
		t.Fatalf("offered at %v s, want %v and perhaps its last hour", ages, want)
	}
	for i := range want {
		if ages[i] < want[i] || ages[i] > want[i]+2 {
			t.Errorf("offer %d after %d s, want %d", i, ages[i], want[i])
		}
	}
	if z := a.b.Sizes(); z.CustodyEnvelopes != 0 || len(a.rows) != 0 && a.countRows(custodyTable) != 0 {
		t.Errorf("%d in custody, %d rows after its expiry", z.CustodyEnvelopes, a.countRows(custodyTable))
	}
}

func (c *core) countRows(table byte) int {
	n := 0
	for k := range c.rows {
		if k[0] == table {
			n++
		}
	}
	return n
}

// TestOldBodiesAreLoaded: ten minutes on, the bytes are in the store only, and a
// pull is answered from there; a body that is gone is reported and said.
func TestOldBodiesAreLoaded(t *testing.T) {
	n := newNetwork(t, 2)
	n.run(settled)
	a, b := n.core("A"), n.core("B")
	ids := a.publishMany(0, 3, 100)
	n.run(2 * cacheLife)
	if a.b.kept.warm.bytes != 0 {
		t.Fatalf("%d bytes are still in memory", a.b.kept.warm.bytes)
	}
	for k := range a.rows {
		if k[0] == custodyTable && string(k[5:]) == string(ids[2][:]) {
			delete(a.rows, k) // a fault of the store
		}
	}
	b.want(groupTarget(), nil)
	b.do(func(now int64) { b.b.subjects.At(groupTarget()).wantedAt = 0 })
	n.link("AB")
	n.run(5 * minute)
	expectOnce(t, b, ids[:2])
	if b.got(ids[2]) != 0 || a.counts[machine.StoreFault] == 0 {
		t.Errorf("got %d, faults %d", b.got(ids[2]), a.counts[machine.StoreFault])
	}
}

// TestDamagedRows: each byte of each kind of row, flipped: refused, or read as
// another valid row; never a panic, and never with a wrong envelope.
func TestDamagedRows(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	a, b := n.core("A"), n.core("B")
	b.want(groupTarget(), nil)
	n.run(2 * minute)
	a.publishMany(0, 1, 1_000)
	n.cut("AB")
	n.run(2 * minute)
	n.link("AB")
	n.run(2 * minute)
	a.do(func(now int64) { a.b.reoffer(now, job{at: groupTarget()}) })
	tables := make(map[byte]bool)
	for _, c := range n.nodes {
		for k, v := range c.rows {
			tables[k[0]] = true
			flipEach(t, []byte(k), v)
		}
	}
	for _, table := range []byte(Tables) {
		if !tables[table] {
			t.Errorf("no row of table %c was written", table)
		}
	}
}

func flipEach(t *testing.T, key, value []byte) {
	t.Helper()
	for i := range len(key) + len(value) {
		k, v := append([]byte(nil), key...), append([]byte(nil), value...)
		if i < len(k) {
			k[i] ^= 0x10
		} else {
			v[i-len(k)] ^= 0x10
		}
		l := NewLedger()
		err := l.Restore(machine.Row{Key: k, Value: v}, nil)
		if err != nil && !errors.Is(err, ErrRow) {
			t.Errorf("%c: byte %d: %v does not wrap ErrRow", key[0], i, err)
		}
		if key[0] == custodyTable && i > 0 && i < len(k) && err == nil {
			t.Errorf("a custody row under another key was taken (byte %d)", i)
		}
	}
}

// TestExposures: notes of re-offers stay few, and never say that an envelope was
// offered earlier than it was (S5).
func TestExposures(t *testing.T) {
	l := NewLedger()
	target := groupTarget()
	h := &held{target: target, stamp: wire.Stamp{Time: 1_000}}
	for i := int64(1); i <= 100; i++ {
		l.expose(target, i*10_000, i*10_000+5_000) // each after the one before: none covers another
		if len(l.exposed[target]) > exposuresMax {
			t.Fatalf("%d notes", len(l.exposed[target]))
		}
	}
	if at := l.exposedAt(h); at < 1_000 {
		t.Errorf("exposed at %d", at)
	}
	l.expose(target, 0, 2_000_000)
	if len(l.exposed[target]) != 1 || l.exposedAt(h) != 2_000_000 {
		t.Errorf("a note that covers all others: %v, exposed at %d", l.exposed[target], l.exposedAt(h))
	}
}

// TestHadIsBounded crosses HadMax with a small table: what expires first goes.
func TestHadIsBounded(t *testing.T) {
	table := newHadTable(3)
	for i := range 5 {
		table.add(wire.Prefix{byte(i)}, int64(i+1)*anHour)
	}
	if table.has(wire.Prefix{0}) || table.has(wire.Prefix{1}) || !table.has(wire.Prefix{4}) || len(table.ids) != 3 {
		t.Errorf("%d ids are left", len(table.ids))
	}
}

// TestResyncIsPassedOnce: a request walks through the tree once, and a holder that
// is a subscriber too answers whoever else asks (S4; spec §11.3).
func TestResyncIsPassedOnce(t *testing.T) {
	n := newNetwork(t, 3)
	n.link("AB", "BC", "AC")
	n.run(settled)
	n.core("A").publishMany(0, 1, 100)
	for _, c := range n.nodes {
		c.want(groupTarget(), nil)
	}
	n.run(minute)
	seen := 0
	n.tap = func(_, _ *core, f wire.Frame) {
		if _, ok := f.(*wire.Resync); ok {
			seen++
		}
	}
	c := n.core("C")
	c.do(func(now int64) {
		c.b.askSince(now, c.b.subjects.At(groupTarget()), now-anHour)
	})
	n.run(30_000)
	if seen == 0 || seen > 8 {
		t.Errorf("one request made %d frames", seen)
	}
}

// TestRepairTablesAreBounded crosses the bounds of what S4 and S5 remember.
func TestRepairTablesAreBounded(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	a := n.core("A")
	a.publishMany(0, 1, 100)
	a.do(func(now int64) {
		for i := range routesMax + 100 {
			a.b.routeChanged(now, testKey(5_000+i).Address())
		}
	})
	if len(a.b.routes) != routesMax {
		t.Errorf("%d routes", len(a.b.routes))
	}
	s := a.b.subjects.At(groupTarget())
	a.do(func(now int64) {
		for i := range answerRootsMax + 5 {
			a.b.answerLater(now, s, now-anHour, testKey(5_000+i).Address())
		}
	})
	if len(s.answerOn) != answerRootsMax {
		t.Errorf("an answer on %d trees", len(s.answerOn))
	}
	for i := range passedMax { // what a table holds is not looked at here
		t := envelope.Target{Kind: envelope.Kind(i % 256), To: testKey(i / 256).Address()}
		a.b.passed[passedKey{primary(a), t}] = passedOn{}
	}
	link := n.links[[2]int{'A', 'B'}].id
	a.do(func(now int64) {
		a.b.Frame(now, link, &wire.Resync{Root: primary(a), Target: groupTarget(), Since: uint64(now - anHour), OID: [8]byte{1}})
	})
	if len(a.b.passed) != 1 {
		t.Errorf("%d resyncs are remembered", len(a.b.passed))
	}
}

// TestLoadsAreBounded: who pulls more old envelopes at once than are loaded at a
// time is told nohave for the rest, and gets them later.
func TestLoadsAreBounded(t *testing.T) {
	n := newNetwork(t, 2)
	n.link("AB")
	n.run(settled)
	a := n.core("A")
	const many = loadsMax + 50
	var ids []wire.Prefix
	for i := range many {
		ids = append(ids, wire.PrefixOf(a.publish(n.message(i))))
	}
	n.run(2 * cacheLife)
	link := n.links[[2]int{'A', 'B'}].id
	none := 0
	n.tap = func(_, _ *core, f wire.Frame) {
		if f, ok := f.(*wire.NoHave); ok {
			none += len(f.IDs)
		}
	}
	a.do(func(now int64) {
		for rest := ids; len(rest) > 0; rest = rest[min(len(rest), wire.PullMax):] {
			a.b.Frame(now, link, &wire.Pull{Hops: wire.HopsMax, IDs: rest[:min(len(rest), wire.PullMax)]})
		}
		if len(a.b.loads) != loadsMax {
			t.Errorf("%d loads at once", len(a.b.loads))
		}
	})
	n.run(1_000)
	if none != many-loadsMax || len(a.b.loads)+len(a.b.fetching) != 0 {
		t.Errorf("%d told nohave, %d loads left", none, len(a.b.loads))
	}
}

// TestCustodyNumberIsBounded crosses CustodyMax with a small table.
func TestCustodyNumberIsBounded(t *testing.T) {
	n := newNetwork(t, 1)
	n.run(settled)
	a := n.core("A")
	a.b.bounds.custody = 3
	if ids := a.publishMany(0, 5, 10); len(ids) != 3 || a.b.Sizes().CustodyEnvelopes != 3 {
		t.Errorf("%d accepted", len(ids))
	}
}
