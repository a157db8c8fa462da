package wire

import (
	"errors"
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Type is a frame's number. 0–7 are the link's, 8–31 attachment, 32–63 backbone.
type Type uint64

// The frames that this version knows.
const (
	TypeHello       Type = 0
	TypePing        Type = 1
	TypePong        Type = 2
	TypeClose       Type = 3
	TypeAttach      Type = 8
	TypeAttached    Type = 9
	TypeSubscribe   Type = 10
	TypeSubscribed  Type = 11
	TypeUnsubscribe Type = 12
	TypePublish     Type = 13
	TypePublished   Type = 14
	TypeDeliver     Type = 15
	TypeDelivered   Type = 16
	TypeGap         Type = 17
	TypeAnnounce    Type = 32
	TypeRetract     Type = 33
	TypeSeqReq      Type = 34
	TypeGraft       Type = 35
	TypePrune       Type = 36
	TypeInterest    Type = 37
	TypeElsewhere   Type = 38
	TypeData        Type = 39
	TypeOffer       Type = 40
	TypePull        Type = 41
	TypePulled      Type = 42
	TypeNoHave      Type = 43
	TypeResync      Type = 44
)

// Sizes of frames in bytes, without the head of their byte string (spec §3).
const (
	FrameMax        = 1_114_112 // what routers announce and accept
	FrameMaxService = 65_536    // the least that a service may announce
	FrameMaxHello   = 4_096     // before the other side's hello
)

// A Frame is one value on a link (spec §3.2). Frames are immutable once made and may be sent
// on any number of links at once. What Decode returns points into its input.
type Frame interface {
	Type() Type
	AppendTo(b []byte) []byte // appends the encoded array [type, …]
	Weight() int              // an upper bound of the encoded length; queues are charged by it
	String() string
}

// A Fault is an error of a frame as received. Code is what a close says of it.
type Fault struct {
	Code Code
	Text string
}

// Error returns one sentence.
func (f *Fault) Error() string { return f.Text }

// Decode reads the frame that fills b. A frame of an unknown type comes as
// *Unknown if it is of the dialect at least; anything else that has no known shape
// is a *Fault. The caller has held the length of b against the limit of the link.
func Decode(b []byte, keys identity.KeyChecker) (Frame, error) {
	d := decoder{Reader: cbor.NewReader(b), keys: keys}
	d.n = d.Array(1, 64)
	f := d.frame(Type(d.Uint(1<<32 - 1)))
	if u, ok := f.(*Unknown); ok {
		u.Bytes = len(b)
		for n := d.n - 1; n > 0 && d.Err() == nil; n-- {
			d.Skip(cbor.MaxDepth - 1)
		}
	}
	if err := d.End(); err != nil {
		return nil, faultOf(err)
	}
	return f, nil
}

// faultOf finds the code of what a reader remembered: a size, a fault inside of
// an envelope or document, or else malformed.
func faultOf(err error) *Fault {
	if envelope.IsTooLarge(err) {
		return &Fault{TooLarge, err.Error()}
	}
	var f *envelope.Fault
	if errors.As(err, &f) {
		return &Fault{CodeOf(f), err.Error()}
	}
	return &Fault{Malformed, err.Error()}
}

// CodeOf returns the code that tells of an envelope's fault.
func CodeOf(f *envelope.Fault) Code {
	switch f.Kind {
	case envelope.TooLarge:
		return TooLarge
	case envelope.Newer:
		return BadVersion
	case envelope.BadSignature:
		return BadSignature
	case envelope.NotAWriter:
		return NotAWriter
	case envelope.CertTime:
		return CertExpired
	}
	return Malformed
}

// A decoder reads the fields of one frame. n is the number of items of its
// array, the type included. Each frame has a method that reads its fields in
// order and lets the reader remember the first reason to refuse; so no method
// asks for an error between two fields, and loops end when there is one.
type decoder struct {
	cbor.Reader
	keys identity.KeyChecker
	n    int
}

// fields wants n fields after the type. Within a version no frame grows or
// shrinks: what is new gets a new type (spec §3.2).
func (d *decoder) fields(n int) {
	if d.Err() == nil && d.n != n+1 {
		d.Fail("a frame of %d fields, want %d", d.n, n+1)
	}
}

// frame reads the link's and attachment's frames, and asks backboneFrame for the
// others.
func (d *decoder) frame(t Type) Frame {
	switch t {
	case TypeHello:
		return d.hello()
	case TypePing:
		return d.ping()
	case TypePong:
		return d.pong()
	case TypeClose:
		return d.close()
	case TypeAttach:
		return d.attach()
	case TypeAttached:
		return d.attached()
	case TypeSubscribe:
		return d.subscribe()
	case TypeSubscribed:
		return d.subscribed()
	case TypeUnsubscribe:
		return d.unsubscribe()
	case TypePublish:
		return d.publish()
	case TypePublished:
		return d.published()
	case TypeDeliver:
		return d.deliver()
	case TypeDelivered:
		return d.delivered()
	case TypeGap:
		return d.gap()
	}
	return d.backboneFrame(t)
}

func (d *decoder) backboneFrame(t Type) Frame {
	switch t {
	case TypeAnnounce:
		return d.announce()
	case TypeRetract:
		return d.retract()
	case TypeSeqReq:
		return d.seqreq()
	case TypeGraft:
		return d.graft()
	case TypePrune:
		return d.prune()
	case TypeInterest:
		return d.interest()
	case TypeElsewhere:
		return d.elsewhere()
	case TypeData:
		return d.data()
	case TypeOffer:
		return d.offer()
	case TypePull:
		return d.pull()
	case TypePulled:
		return d.pulled()
	case TypeNoHave:
		return d.nohave()
	case TypeResync:
		return d.resync()
	}
	return &Unknown{Number: t}
}

// Unknown stands for a frame of a type that this version does not know. It is
// skipped, counted and charged.
type Unknown struct {
	Number Type
	Bytes  int
}

// Type returns the number that was read.
func (f *Unknown) Type() Type { return f.Number }

// AppendTo panics: nobody sends what it does not know.
func (f *Unknown) AppendTo([]byte) []byte { panic("wire: an unknown frame cannot be sent") }

// Weight returns the bytes that were received.
func (f *Unknown) Weight() int { return f.Bytes }

func (f *Unknown) String() string { return fmt.Sprintf("unknown{%d}", f.Number) }

// begin appends the head of a frame and its type; its fields follow.
func begin(b []byte, t Type, fields int) []byte {
	return cbor.AppendUint(cbor.AppendArray(b, fields+1), uint64(t))
}

func appendKey(b []byte, a identity.Address) []byte {
	return a.AppendTo(cbor.AppendBytesHead(b, identity.AddressSize))
}

func (d *decoder) key() identity.Address { return readKey(&d.Reader, d.keys) }

// readKey reads a key and holds it against spec §2.2, through the cache of keys
// that passed where there is one.
func readKey(r *cbor.Reader, keys identity.KeyChecker) identity.Address {
	b := r.Bytes(identity.AddressSize, identity.AddressSize)
	if r.Err() != nil {
		return identity.Address{}
	}
	a, err := identity.Checked(keys, b)
	if err != nil {
		r.Fail("%w", err)
	}
	return a
}

func (d *decoder) sig() (s identity.Signature) {
	copy(s[:], d.Bytes(64, 64))
	return s
}

func (d *decoder) id() (id envelope.ID) {
	copy(id[:], d.Bytes(32, 32))
	return id
}

func (d *decoder) eight() (b [8]byte) {
	copy(b[:], d.Bytes(8, 8))
	return b
}

func (d *decoder) target() envelope.Target {
	kind := envelope.Kind(d.Uint(1))
	return envelope.Target{Kind: kind, To: d.key()}
}

func appendTarget(b []byte, t envelope.Target) []byte {
	return appendKey(cbor.AppendUint(b, uint64(t.Kind)), t.To)
}

// code reads any code below 2^32: later versions may know more than this one.
func (d *decoder) code() Code { return Code(d.Uint(1<<32 - 1)) }

const anyUint = 1<<64 - 1
