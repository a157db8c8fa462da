package wire

import (
	"bytes"
	"reflect"
	"testing"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"

	"pgregory.net/rapid"
)

// A drawer makes random frames that are right. Keys come from a handful, since a
// point costs more than a frame.
type drawer struct {
	*rapid.T
	keys     []identity.Address
	envelope *envelope.Envelope
	grants   []*Grant
}

func newDrawer(t testing.TB) drawer {
	d := drawer{envelope: testEnvelope(t), grants: []*Grant{nil, testGrant(t, 9), testGrant(t, 1)}}
	for _, seed := range []byte{1, 2, 3, 4, 9} {
		d.keys = append(d.keys, addr(t, seed))
	}
	return d
}

func (d drawer) key() identity.Address { return rapid.SampledFrom(d.keys).Draw(d.T, "key") }

func (d drawer) target() envelope.Target {
	return envelope.Target{Kind: envelope.Kind(rapid.IntRange(0, 1).Draw(d.T, "kind")), To: d.key()}
}

func (d drawer) upTo(max uint64) uint64 {
	edge := rapid.SampledFrom([]uint64{0, 1, 23, 24, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, max}).Draw(d.T, "edge")
	if rapid.Bool().Draw(d.T, "at an edge") {
		return min(edge, max)
	}
	return rapid.Uint64Max(max).Draw(d.T, "n")
}

func (d drawer) any() uint64 { return d.upTo(anyUint) }
func (d drawer) ms() uint64  { return d.upTo(envelope.TimeMax) }
func (d drawer) code() Code  { return Code(d.upTo(1<<32 - 1)) }
func (d drawer) yes() bool   { return rapid.Bool().Draw(d.T, "yes") }
func (d drawer) grant() *Grant {
	return rapid.SampledFrom(d.grants).Draw(d.T, "grant")
}
func (d drawer) stamp() Stamp { return Stamp{d.key(), d.ms()} }

func (d drawer) fill(b []byte) {
	copy(b, rapid.SliceOfN(rapid.Byte(), len(b), len(b)).Draw(d.T, "bytes"))
}

func (d drawer) eight() (b [8]byte) {
	d.fill(b[:])
	return b
}

func (d drawer) sig() (s identity.Signature) {
	d.fill(s[:])
	return s
}

func (d drawer) id() (id envelope.ID) {
	d.fill(id[:])
	return id
}

func (d drawer) count(least, most int) int { return rapid.IntRange(least, most).Draw(d.T, "count") }

func (d drawer) prefixes() []Prefix {
	list := make([]Prefix, d.count(1, 20))
	for i := range list {
		d.fill(list[i][:])
	}
	return list
}

func (d drawer) uints(least, most int) []uint64 {
	list := make([]uint64, d.count(least, most))
	for i := range list {
		list[i] = d.any()
	}
	return list
}

func (d drawer) text(max int) string {
	s := rapid.StringMatching(`[ -~é€]{0,60}`).Draw(d.T, "text")
	for len(s) > max {
		_, size := lastRune(s)
		s = s[:len(s)-size]
	}
	return s
}

func lastRune(s string) (rune, int) {
	r := []rune(s)
	return r[len(r)-1], len(string(r[len(r)-1]))
}

func (d drawer) homes() *Homes {
	h := &Homes{Client: d.key(), Epoch: d.any()}
	for range d.count(0, 4) {
		h.Homes = append(h.Homes, d.key())
	}
	for range d.count(0, 8) {
		h.Former = append(h.Former, d.key())
	}
	h.Encode()
	h.Signed.Sig = d.sig()
	return h
}

func (d drawer) ranges(n uint64) (list []Range) {
	for range d.count(0, RangesMax) {
		first := n + 2 + d.upTo(5)
		if first < n || first > 1<<63 {
			break
		}
		last := first + d.upTo(5)
		list = append(list, Range{first, last})
		n = last
	}
	return list
}

// frame draws a frame: half of the time a link's or attachment's, or else one of
// the backbone.
func (d drawer) frame() Frame {
	switch Type(rapid.SampledFrom(allTypes()).Draw(d.T, "type")) {
	case TypeHello:
		return &Hello{d.uints(1, 8), Role(d.count(0, 2)), d.ms(), d.eight(), d.any(), d.uints(1, 32), d.text(64)}
	case TypePing:
		return &Ping{d.any()}
	case TypePong:
		return &Pong{d.any()}
	case TypeClose:
		return &Close{d.code(), d.text(CloseTextMax)}
	case TypeAttach:
		f := &Attach{Homes: d.homes()}
		if d.yes() {
			f.Resume = &Resume{d.eight(), d.any()}
		}
		return f
	case TypeAttached:
		return &Attached{d.any(), d.eight(), d.any(), d.code(), d.yes()}
	case TypeSubscribe:
		f := &Subscribe{Ref: d.any(), Target: d.target(), Mode: Mode(d.count(0, 1)), HasSince: d.yes(), Grant: d.grant()}
		if f.HasSince {
			f.Since = d.ms()
		}
		return f
	case TypeSubscribed:
		return &Subscribed{d.any(), d.code()}
	case TypeUnsubscribe:
		return &Unsubscribe{d.any(), d.target()}
	case TypePublished:
		return &Published{d.id(), d.code(), d.upTo(1<<32 - 1)}
	case TypeDelivered:
		n := d.upTo(1 << 62)
		return &Delivered{n, d.ranges(n)}
	case TypeGap:
		return &Gap{d.any(), d.target(), d.ms(), d.ms(), d.any(), Why(d.code())}
	}
	return d.backboneFrame()
}

func (d drawer) backboneFrame() Frame {
	switch Type(rapid.SampledFrom(allTypes()).Draw(d.T, "backbone type")) {
	case TypeAnnounce:
		f := &Announce{Root: d.key(), Seq: d.upTo(1<<62 - 1), Issued: d.ms(), Class: RootClass(d.count(0, 1)), RootSig: d.sig()}
		for range d.count(1, ChainMax) {
			f.Hops = append(f.Hops, Hop{d.key(), d.upTo(MetricMax), d.sig()})
		}
		return f
	case TypeRetract:
		return &Retract{d.key()}
	case TypeSeqReq:
		return &SeqReq{d.key(), d.upTo(1<<62 - 1), d.upTo(SeqReqHopsMax)}
	case TypeGraft:
		return &Graft{d.key()}
	case TypePrune:
		return &Prune{d.key()}
	case TypeInterest:
		f := &Interest{Root: d.key()}
		for range d.count(1, 20) {
			f.Entries = append(f.Entries, InterestEntry{d.target(), InterestFlags(d.count(0, 7)), d.grant()})
		}
		return f
	case TypeElsewhere:
		f := &Elsewhere{Root: d.key()}
		for range d.count(1, 20) {
			f.Entries = append(f.Entries, ElsewhereEntry{d.target(), d.yes()})
		}
		return f
	case TypeData:
		return &Data{d.key(), d.upTo(HopsMax), d.stamp(), d.envelope}
	case TypeOffer:
		return &Offer{d.key(), d.target(), d.yes(), d.eight(), d.prefixes()}
	case TypePull:
		return &Pull{d.upTo(HopsMax), d.prefixes()}
	case TypeNoHave:
		return &NoHave{d.prefixes()}
	case TypeResync:
		return &Resync{d.key(), d.target(), d.ms(), d.eight()}
	}
	return &Pulled{d.stamp(), d.envelope}
}

// allTypes lists the numbers that the decoder knows.
func allTypes() (list []uint64) {
	for n := Type(0); n < 64; n++ {
		if _, unknown := (&decoder{}).frame(n).(*Unknown); !unknown {
			list = append(list, uint64(n))
		}
	}
	return list
}

// spec §2.3, §3.2: for any values in range, a frame is decoded into what was
// encoded, weighs enough, and is refused with any byte cut off or added.
func TestAnyFrame(t *testing.T) {
	d := newDrawer(t)
	rapid.Check(t, func(t *rapid.T) {
		d.T = t
		f := d.frame()
		b := f.AppendTo(nil)
		got, err := Decode(b, nil)
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		if len(b) > f.Weight() || cbor.Valid(b) != nil {
			t.Fatalf("%v: %d bytes, weight %d, %v", f, len(b), f.Weight(), cbor.Valid(b))
		}
		if again := got.AppendTo([]byte("x"))[1:]; !bytes.Equal(again, b) {
			t.Fatalf("%v is encoded again as %x, want %x", f, again, b)
		}
		switch f.(type) {
		case *Data, *Pulled: // the envelope points into other bytes
		default:
			if !reflect.DeepEqual(f, got) {
				t.Fatalf("decoded %+v, want %+v", got, f)
			}
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if f, err := Decode(b[:cut], nil); err == nil {
			t.Fatalf("the first %d of %d bytes are %v", cut, len(b), f)
		}
		if f, err := Decode(append(b, 0), nil); err == nil {
			t.Fatalf("with a byte more it is %v", f)
		}
	})
}

// Any single byte changed gives a fault, or another frame that stands for itself.
func TestAnyChangedByte(t *testing.T) {
	d := newDrawer(t)
	rapid.Check(t, func(t *rapid.T) {
		d.T = t
		b := d.frame().AppendTo(nil)
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		b[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		f, err := Decode(b, nil)
		if err != nil {
			return
		}
		if _, unknown := f.(*Unknown); unknown {
			return
		}
		if again := f.AppendTo(nil); !bytes.Equal(again, b) {
			t.Fatalf("%x is %v, which is encoded as %x", b, f, again)
		}
	})
}
