package node_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// scaled is a number of floods, a tenth of it with -short.
func scaled(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

// floodRaids are too much of what would be allowed.
func floodRaids() []raid {
	return []raid{
		{"ten thousand messages over one link", publishFlood, "publish accepted"},
		{"a thousand connections that say nothing", silentFlood, throttled},
		{"a thousand connections that hang up", hangUpFlood, handshakeFailed},
		{"a hundred thousand subscriptions", subscriptionFlood, ""},
		{"a client that never reads", neverReads, ""},
		{"a client that never acknowledges", neverAcknowledges, ""},
		{"pings without end", pingFlood, ""},
		{"one key linked again and again", samekeyFlood, "links ended"},
		{"holes without end", holeFlood, ""},
		{"acknowledgements of what is long gone", staleAcknowledgements, ""},
		{"subscribed and unsubscribed beside a full mailbox", turnabout, ""},
	}
}

// publishFlood sends as fast as the link takes it. Each message gets its answer.
func publishFlood(t *testing.T, s *siege) {
	n := scaled(10_000)
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	var all bytes.Buffer
	for i := range n {
		all.Write(framed((&wire.Publish{Envelope: groupLetter(t, r.key, uint64(i))}).AppendTo(nil)))
	}
	var writing sync.WaitGroup
	writing.Go(func() { r.write(all.Bytes()) })
	codes := make(map[wire.Code]int)
	for range n {
		codes[reply[*wire.Published](r).Code]++
	}
	writing.Wait()
	if codes[wire.OK]+codes[wire.Rate] != n {
		t.Errorf("answered %v, want only ok and rate", codes)
	}
}

// silentFlood opens many connections from one source and leaves them open. Somebody
// from elsewhere gets in.
func silentFlood(t *testing.T, s *siege) {
	source := net.IPv4(127, 2, 0, 1)
	for range scaled(1000) {
		conn := dialFrom(t, s.tcp, source)
		defer conn.Close()
	}
	s.stillOpen(t)
}

func hangUpFlood(t *testing.T, s *siege) {
	source := net.IPv4(127, 2, 0, 2)
	for range scaled(1000) {
		dialFrom(t, s.tcp, source).Close()
	}
	s.stillOpen(t)
}

// stillOpen attaches over TCP from an address of its own, and soon: what a stranger
// does at the door must not keep others outside.
func (s *siege) stillOpen(t *testing.T) {
	t.Helper()
	began := time.Now()
	s.intrude(t, s.tcp, s.fresh()).hangUp()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("an honest client waited for %v at the door", took)
	}
}

// subscriptionFlood subscribes ten clients to all that each may, and one more.
func subscriptionFlood(t *testing.T, s *siege) {
	const each = 10_000
	all := subscriptions(each + 1)
	for range scaled(10) {
		r := s.intrude(t, s.unix, s.fresh())
		var writing sync.WaitGroup
		writing.Go(func() { r.write(all) })
		codes := make(map[wire.Code]int)
		for range each + 1 {
			codes[reply[*wire.Subscribed](r).Code]++
		}
		writing.Wait()
		if codes[wire.OK] != each || codes[wire.Quota] != 1 {
			t.Errorf("answered %v, want %d ok and one quota", codes, each)
		}
		r.hangUp()
	}
}

// subscriptions are n frames, each for another group, while linked.
func subscriptions(n int) []byte {
	var b []byte
	for i := range n {
		t := envelope.Target{Kind: envelope.Group, To: manyKeys(i)}
		b = append(b, framed((&wire.Subscribe{Ref: uint64(i), Target: t, Mode: wire.WhileLinked}).AppendTo(nil))...)
	}
	return b
}

// neverReads subscribes to what it publishes, publishes without end, and reads
// nothing, neither answers nor what is delivered.
func neverReads(t *testing.T, s *siege) {
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	r.say(&wire.Subscribe{Ref: 1, Target: envelope.Target{Kind: envelope.Group, To: r.key.Address()}})
	for i := range scaled(3000) {
		h := header(envelope.Target{Kind: envelope.Group, To: r.key.Address()})
		h.First = uint64(i)
		e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{make([]byte, 4096)}), r.key)
		if err != nil {
			t.Fatal(err)
		}
		r.conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := r.conn.Write(framed((&wire.Publish{Envelope: e}).AppendTo(nil))); err != nil {
			break // closed as too slow, which is right too
		}
	}
	s.pair.whole(t)
	s.withinHeap(t)
}

// neverAcknowledges reads all that comes and acknowledges nothing: the window of
// the target is all that it gets.
func neverAcknowledges(t *testing.T, s *siege) {
	const window = 256 // spec §5.4
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	target := envelope.Target{Kind: envelope.Group, To: r.key.Address()}
	r.say(&wire.Subscribe{Ref: 1, Target: target})
	delivered := 0
	for i := range window + 100 {
		r.say(&wire.Publish{Envelope: groupLetter(t, r.key, uint64(i))})
		for answered := false; !answered; {
			switch r.hear().(type) {
			case *wire.Published:
				answered = true
			case *wire.Deliver:
				delivered++
			}
		}
	}
	r.say(&wire.Unsubscribe{Ref: 2, Target: target})
	for {
		f := r.hear()
		if _, ok := f.(*wire.Deliver); ok {
			delivered++
		}
		if a, ok := f.(*wire.Subscribed); ok && a.Ref == 2 {
			break
		}
	}
	if delivered != window {
		t.Errorf("%d were delivered and none acknowledged, want %d", delivered, window)
	}
}

// pingFlood asks faster than it reads the answers.
func pingFlood(t *testing.T, s *siege) {
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	pings := bytes.Repeat(framed((&wire.Ping{N: 1 << 40}).AppendTo(nil)), 1000)
	for {
		r.conn.SetWriteDeadline(time.Now().Add(patience))
		if _, err := r.conn.Write(pings); err != nil {
			if errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			return // closed with code 11, which stands behind the pongs that nobody read
		}
	}
}

// samekeyFlood links one key again and again; each link displaces the one before.
func samekeyFlood(t *testing.T, s *siege) {
	k := s.fresh()
	var last *raider
	for range scaled(100) {
		r := s.shake(t, s.unix, k)
		hello := greeting()
		hello.Boot = [8]byte(k.Address().Bytes())
		hello.Boot[0] = byte(s.raiders.Add(1))
		r.say(hello)
		r.say(&wire.Attach{Homes: homes(k, s.a.Address(), nil)})
		if last != nil {
			defer last.hangUp()
		}
		last = r
	}
	reply[*wire.Hello](last)
	reply[*wire.Attached](last)
	last.hangUp()
}

// holeFlood publishes live messages whose numbers leap, in a group to which a
// durable client subscribed that is away. Each leap is a gap, and all of them must
// become few: one that is on its way to the store takes in no more.
func holeFlood(t *testing.T, s *siege) {
	group := s.fresh()
	away := s.intrude(t, s.unix, s.fresh())
	target := envelope.Target{Kind: envelope.Group, To: group.Address()}
	away.say(&wire.Subscribe{Ref: 1, Target: target})
	reply[*wire.Subscribed](away)
	away.hangUp()
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	for i := range scaled(2000) {
		h := header(target)
		h.First, h.Flags = uint64(10*i), envelope.Plain|envelope.Live
		e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{[]byte("x")}), group)
		if err != nil {
			t.Fatal(err)
		}
		r.wantPublished(e, wire.OK)
	}
	st, err := s.a.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range st.Clients {
		if c.Address == away.key.Address().Text(identity.ServiceText) && c.Waiting > 16 {
			t.Errorf("%d gaps wait in the mailbox of who is away, want them to become a few", c.Waiting)
		}
	}
}

// fillMailbox publishes to its own client more than the window, so that a mailbox
// with many entries stands, and returns the raider and its target.
func (s *siege) fillMailbox(t *testing.T, n int) (*raider, envelope.Target) {
	t.Helper()
	r := s.intrude(t, s.unix, s.fresh())
	target := envelope.Target{Kind: envelope.Group, To: r.key.Address()}
	r.say(&wire.Subscribe{Ref: 1, Target: target})
	var all []byte
	for i := range n {
		all = append(all, framed((&wire.Publish{Envelope: groupLetter(t, r.key, uint64(i))}).AppendTo(nil))...)
	}
	var writing sync.WaitGroup
	writing.Go(func() { r.write(all) })
	for range n {
		reply[*wire.Published](r)
	}
	writing.Wait()
	return r, target
}

// staleAcknowledgements names numbers that were acknowledged before, over and over,
// beside a mailbox that is full: each frame costs a few bytes and must not cost the
// router a walk through the mailbox.
func staleAcknowledgements(t *testing.T, s *siege) {
	n := scaled(6000)
	r, _ := s.fillMailbox(t, n)
	defer r.hangUp()
	r.say(&wire.Delivered{N: 0, Also: []wire.Range{{First: 2, Last: uint64(n / 2)}}})
	r.alive()
	stale := framed((&wire.Delivered{N: 0, Also: []wire.Range{{First: 2, Last: uint64(n / 2)}}}).AppendTo(nil))
	r.write(bytes.Repeat(stale, scaled(20_000)))
	s.stillQuick(t)
}

// turnabout subscribes and unsubscribes beside a full mailbox.
func turnabout(t *testing.T, s *siege) {
	r, _ := s.fillMailbox(t, scaled(6000))
	defer r.hangUp()
	other := envelope.Target{Kind: envelope.Group, To: key("any group").Address()}
	pair := framed((&wire.Subscribe{Ref: 1, Target: other}).AppendTo(nil))
	pair = append(pair, framed((&wire.Unsubscribe{Ref: 2, Target: other}).AppendTo(nil))...)
	var writing sync.WaitGroup
	writing.Go(func() { r.write(bytes.Repeat(pair, scaled(10_000))) })
	go io.Copy(io.Discard, bufio.NewReader(r.conn))
	s.stillQuick(t)
	r.hangUp()
	writing.Wait()
}

// stillQuick measures how long the router takes for an honest message meanwhile.
func (s *siege) stillQuick(t *testing.T) {
	t.Helper()
	began := time.Now()
	s.pair.whole(t)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the honest traffic stood still for %v", took)
	}
}

// long runs what takes as long as the limits of time say, while the others run.
func (s *siege) long(others func()) {
	var loris sync.WaitGroup
	loris.Go(func() { s.lorisBeforeHandshake() })
	loris.Go(func() { s.lorisBeforeHello() })
	others()
	loris.Wait()
	s.pair.whole(s.t)
}

// lorisBeforeHandshake sends one byte of a ClientHello now and then. It is cut off
// after 10 s.
func (s *siege) lorisBeforeHandshake() {
	conn := s.dial(s.t, s.tcp)
	defer conn.Close()
	began := time.Now()
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for _, b := range append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), make([]byte, 400)...) {
		if _, err := conn.Write([]byte{b}); err != nil {
			break
		}
		<-pace.C
	}
	if took := time.Since(began); took < 9*time.Second || took > 15*time.Second {
		s.t.Errorf("a slow handshake was cut off after %v, want 10 s", took)
	}
}

// lorisBeforeHello proves its key and then sends one byte of its hello now and
// then. It is cut off after 5 s.
func (s *siege) lorisBeforeHello() {
	private := s.fresh().Private()
	conn := tls.Client(s.dial(s.t, s.tcp), rogueTLS(nil, certificateOf(private.Public(), private)))
	defer conn.Close()
	began := time.Now()
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	for _, b := range append([]byte("\x59\x0f\xff"), make([]byte, 400)...) {
		if _, err := conn.Write([]byte{b}); err != nil {
			break
		}
		<-pace.C
	}
	if took := time.Since(began); took < 4*time.Second || took > 10*time.Second {
		s.t.Errorf("a slow hello was cut off after %v, want 5 s", took)
	}
}

var many struct {
	sync.Mutex
	keys []identity.Address
}

// manyKeys returns the i-th of many addresses; they are made once.
func manyKeys(i int) identity.Address {
	many.Lock()
	defer many.Unlock()
	for len(many.keys) <= i {
		many.keys = append(many.keys, key(string(rune(len(many.keys)))+" of many").Address())
	}
	return many.keys[i]
}
