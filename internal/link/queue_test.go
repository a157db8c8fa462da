package link

import (
	"bytes"
	"fmt"
	"testing"

	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

func testQueue() *queue { return newQueue(Limits{}.withDefaults()) }

func names(items []item) (list []string) {
	for _, it := range items {
		list = append(list, it.frame.String())
	}
	return list
}

// spec §10.3: control, then repair, then bulk; within a class in order.
func TestQueueOrder(t *testing.T) {
	q := testQueue()
	q.put(machine.Bulk, graft(1))
	q.put(machine.Repair, graft(2))
	q.put(machine.Control, graft(3))
	q.put(machine.Bulk, graft(4))
	q.put(machine.Control, graft(5))
	var b batch
	if !q.take(&b) {
		t.Fatal("nothing to take")
	}
	want := fmt.Sprint(names([]item{{frame: graft(3)}, {frame: graft(5)}, {frame: graft(2)}, {frame: graft(1)}, {frame: graft(4)}}))
	if got := fmt.Sprint(names(b.items)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if b.weight != [3]int{80, 40, 80} || q.queued() != 0 {
		t.Errorf("weights %v, %d left", b.weight, q.queued())
	}
	if q.take(&b) {
		t.Error("an empty queue gave a batch")
	}
}

// A batch is bounded, so that a control frame soon overtakes what waits.
func TestQueueBatch(t *testing.T) {
	q := testQueue()
	for range 20 {
		q.put(machine.Bulk, publish(t, 20_000))
	}
	var b batch
	q.take(&b)
	if b.weight[machine.Bulk] < batchBytes || b.weight[machine.Bulk] > batchBytes+25_000 {
		t.Errorf("a batch of %d bytes", b.weight[machine.Bulk])
	}
	q.put(machine.Control, graft(1))
	q.take(&b)
	if b.items[0].frame.Type() != wire.TypeGraft {
		t.Errorf("the control frame waited behind %v", b.items[0].frame)
	}
}

// The link's own frames are nobody's business: no weight is reported.
func TestQueueOwnFrames(t *testing.T) {
	q := testQueue()
	q.putOwn(&wire.Ping{N: 1})
	q.putPong(&wire.Pong{N: 1})
	var b batch
	if q.take(&b); len(b.items) != 2 || b.weight != [3]int{} {
		t.Errorf("%d frames, weights %v", len(b.items), b.weight)
	}
	for range pongsMax {
		if e := q.putPong(&wire.Pong{}); e != nil {
			t.Fatal(e)
		}
	}
	if e := q.putPong(&wire.Pong{}); e == nil || e.code != wire.Rate {
		t.Errorf("one pong too many: %v", e)
	}
}

// The bounds hold, each with code 11; what was queued is then dropped.
func TestQueueBounds(t *testing.T) {
	limits := Limits{ControlQueue: 100, EnvelopeQueue: 200}
	for _, c := range []struct {
		class machine.Class
		fits  int
	}{{machine.Control, 2}, {machine.Repair, 5}, {machine.Bulk, 5}} {
		q := newQueue(limits)
		for i := range c.fits {
			if e := q.put(c.class, graft(1)); e != nil {
				t.Fatalf("%v: frame %d: %v", c.class, i, e)
			}
		}
		e := q.put(c.class, graft(1))
		if e == nil || e.code != wire.Rate || !e.say || !e.abrupt {
			t.Fatalf("%v: one frame too many: %+v", c.class, e)
		}
		q.finish(e.closeFrame(), e.abrupt)
		var b batch
		if q.take(&b); len(b.items) != 0 || b.last == nil {
			t.Errorf("%v: %d frames before the close", c.class, len(b.items))
		}
	}
}

// A close goes out once, after control frames and instead of envelopes; nothing
// is taken after it.
func TestQueueFinish(t *testing.T) {
	q := testQueue()
	q.put(machine.Bulk, graft(1))
	q.put(machine.Control, graft(2))
	q.finish(&wire.Close{Code: wire.Quota}, false)
	q.finish(&wire.Close{Code: wire.Rate}, false)
	q.put(machine.Control, graft(3))
	var b batch
	if !q.take(&b) || len(b.items) != 1 || b.last == nil || b.last.Code != wire.Quota {
		t.Errorf("%d frames and the close %v", len(b.items), b.last)
	}
	if q.take(&b) {
		t.Error("something came after the last frame")
	}
}

// A long queue that never runs empty does not grow for ever.
func TestLaneCompacts(t *testing.T) {
	q := testQueue()
	var b batch
	sent, got := 0, 0
	for range 200 {
		for range 3000 {
			sent++
			q.put(machine.Bulk, &wire.Ping{N: uint64(sent)})
		}
		for q.queued() > 500*16 {
			q.take(&b)
			for _, it := range b.items {
				if got++; it.frame.(*wire.Ping).N != uint64(got) {
					t.Fatalf("frame %d is %v", got, it.frame)
				}
			}
		}
	}
	if n := cap(q.lanes[machine.Bulk].items); n > 20_000 {
		t.Errorf("a lane holds room for %d frames", n)
	}
}

// liar is a frame whose Weight is not what it encodes to.
type liar struct {
	wire.Frame
	weight, size int
}

func (f liar) Weight() int              { return f.weight }
func (f liar) AppendTo(b []byte) []byte { return append(b, make([]byte, f.size)...) }

// Whatever Weight guesses, the head on the wire is the shortest.
func TestAppendFrame(t *testing.T) {
	prefix := []byte("before")
	for _, weight := range []int{0, 23, 24, 255, 256, 65535, 65536} {
		for _, size := range []int{0, 1, 23, 24, 255, 256, 65535, 65536} {
			b := appendFrame(bytes.Clone(prefix), liar{weight: weight, size: size})
			if !bytes.HasPrefix(b, prefix) {
				t.Fatalf("weight %d, size %d: what stood before was changed", weight, size)
			}
			frame, _, err := reader(b[len(prefix):], 1<<20).next()
			if err != nil || !bytes.Equal(frame, make([]byte, size)) {
				t.Errorf("weight %d, size %d: %d bytes, %v", weight, size, len(frame), err)
			}
		}
	}
}
