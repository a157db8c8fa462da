package attach

import (
	"slices"
	"testing"

	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

func TestPublishReachesTheSubscriber(t *testing.T) {
	w := newWorld(t)
	w.real = true
	h, p, s := w.newCore(1, Limits{}), w.newService(2), w.newService(3)
	w.link(p, h)
	w.link(s, h)
	s.want(groupTarget(t))
	list := letters(t, 5)
	p.publish(list...)
	w.wait(1000)
	if got := s.app.numbers(); !slices.Equal(got, upTo(5)) {
		t.Errorf("got %v", got)
	}
	for i, e := range list {
		if !slices.Equal(p.app.taken[e.ID], []wire.Code{wire.OK}) {
			t.Errorf("publish %d: %v", i, p.app.taken[e.ID])
		}
	}
	if z := h.home.Sizes(); z.MailBytes != 0 || z.Taking != 0 || z.Storing != 0 {
		t.Errorf("left at the home: %+v", z)
	}
	if len(h.closes) > 0 || len(p.app.gaps)+len(s.app.gaps) > 0 {
		t.Errorf("closes %v, gaps %v", h.closes, s.app.gaps)
	}
}

// story is a publisher and a subscriber at one home; what it returns says which
// of the messages were lost, doubled or out of order.
func story(t *testing.T, list []*envelope.Envelope, edge bool, cuts ...int) (frames int, s *proc, taken [][]wire.Code) {
	w := newWorld(t)
	for _, k := range cuts {
		w.cutAt[k] = true
	}
	h := w.newCore(1, Limits{})
	p, s := w.newService(2), w.newService(3)
	dials := [][2]*proc{{p, h}, {s, h}}
	if edge {
		e := w.newEdge(4, h)
		dials = [][2]*proc{{e, h}, {p, e}, {s, h}}
	}
	connect := func() {
		for _, d := range dials {
			if !slices.ContainsFunc(w.links, func(l *pair) bool { return l.up && l.ends == d }) {
				w.link(d[0], d[1])
			}
		}
	}
	connect()
	s.want(groupTarget(t))
	w.wait(100)
	// A subscription that a cut kept from the home would rightly miss what was
	// published before; the home's memory of it is tried from here on.
	for range 3 {
		connect()
		w.wait(100)
	}
	for i, e := range list {
		p.publish(e)
		if i%2 == 1 {
			w.wait(5)
		}
	}
	for range 5 {
		w.wait(1000)
		connect()
	}
	w.wait(10_000)
	for _, e := range list {
		taken = append(taken, p.app.taken[e.ID])
	}
	return w.frames, s, taken
}

// H1, H2: whichever frame a link breaks at, in either direction, each message
// arrives once and in order.
func TestCutAtEveryFrame(t *testing.T) {
	list := letters(t, 5)
	for _, edge := range []bool{false, true} {
		frames, _, _ := story(t, list, edge)
		for k := 1; k <= frames; k++ {
			verify(t, list, edge, k)
		}
	}
}

// Two cuts: the second may fall into the repair of the first.
func TestCutTwice(t *testing.T) {
	list := letters(t, 3)
	frames, _, _ := story(t, list, false)
	for k := 1; k <= frames; k++ {
		for d := 1; d <= 12; d++ {
			verify(t, list, false, k, k+d)
		}
	}
}

func verify(t *testing.T, list []*envelope.Envelope, edge bool, cuts ...int) {
	t.Helper()
	_, s, taken := story(t, list, edge, cuts...)
	if got := s.app.numbers(); !slices.Equal(got, upTo(len(list))) {
		t.Errorf("edge %v, cut at %v: got %v", edge, cuts, got)
	}
	for i, codes := range taken {
		if !slices.Equal(codes, []wire.Code{wire.OK}) {
			t.Errorf("edge %v, cut at %v: publish %d was answered %v", edge, cuts, i, codes)
		}
	}
	if len(s.app.gaps) > 0 {
		t.Errorf("edge %v, cut at %v: gaps %v", edge, cuts, s.app.gaps)
	}
}
