package upsycle

import (
	"encoding/binary"
	"testing"

	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// Beyond what an honest router has on its way, gaps of one reason become one. What
// they count is not lost.
func TestGapsBeyondTheWindowAreOne(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	const more = 5000
	for n := range queuedMax + more {
		r.gap(wire.Gap{Target: r.target, FromTime: 7, ToTime: uint64(n), Count: 1, Why: wire.WhyHole}, attach.Receipt{Home: testKey(9).Address(), N: uint64(n + 1)})
	}
	tp := r.topics[r.target]
	if tp.count != queuedMax {
		t.Errorf("%d gaps are kept, want %d", tp.count, queuedMax)
	}
	var total uint64
	for item, err := range s.Items(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		total += item.Gap.Count
		if item.Ack(); tp.count == 0 {
			break
		}
	}
	if total != queuedMax+more {
		t.Errorf("the gaps count %d, want %d", total, queuedMax+more)
	}
	if r.bytes != 0 {
		t.Errorf("%d bytes are left", r.bytes)
	}
}

// Who has read a gap and does not acknowledge it is told of the next one, up to a
// bound.
func TestReadGapsTakeInNothing(t *testing.T) {
	r := newRig(t)
	s := r.sub()
	for range queuedMax {
		r.gap(wire.Gap{Target: r.target, Count: 1, Why: wire.WhyHole}, attach.Receipt{})
	}
	read(t, s, 1)
	for range s.queue {
		s.take()
	}
	before := r.topics[r.target].count
	r.gap(wire.Gap{Target: r.target, Count: 1, Why: wire.WhyHole}, attach.Receipt{})
	if n := r.topics[r.target].count; n != before+1 {
		t.Errorf("%d deliveries, want one more than %d", n, before)
	}
}

// A router that delivers what nobody asked for, in target after target, fills
// neither the table of targets nor the memory.
func TestTopicsNobodyAskedForAreBounded(t *testing.T) {
	r := newRig(t)
	for n := range topicsMax + 10 {
		e := &envelope.Envelope{Header: envelope.Header{Target: envelope.Target{Kind: envelope.Group, To: numberedAddress(t, n)}, Count: 1}, Raw: make([]byte, 10_000)}
		r.deliver(e, attach.Receipt{Home: testKey(9).Address(), N: uint64(n + 1)}, false)
		r.gap(wire.Gap{Target: envelope.Target{Kind: envelope.Address, To: e.Target.To}, Count: 1}, attach.Receipt{})
	}
	if len(r.topics) != topicsMax {
		t.Errorf("%d targets, want %d", len(r.topics), topicsMax)
	}
	if r.bytes > allBytesMax+topicsMax*deliveryCost {
		t.Errorf("%d bytes are kept, the bound is %d", r.bytes, allBytesMax)
	}
	if got := len(r.told); got != 10 {
		t.Errorf("%d were acknowledged unseen, want the last 10", got)
	}
}

// numberedAddress is a valid address; every other number or so has one.
func numberedAddress(t *testing.T, n int) identity.Address {
	t.Helper()
	var b [identity.AddressSize]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	for i := range 255 {
		b[16] = byte(i + 1)
		if a, err := identity.NewAddress(b[:]); err == nil {
			return a
		}
	}
	t.Fatal("no address")
	return identity.Address{}
}
