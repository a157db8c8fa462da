package wire

import (
	"fmt"

	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Mode of a subscription.
type Mode uint8

// The modes.
const (
	Durable     Mode = 0 // kept in the mailbox while the client is away
	WhileLinked Mode = 1 // ends with the link
)

// Subscribe asks for what is sent to a target (spec §5.2).
//
// An address is subscribed to with its grant, a group without; the decoder takes
// either for both, since a missing grant has a code of its own (NoGrant).
type Subscribe struct {
	Ref      uint64 // the client's number for the answer
	Target   envelope.Target
	Mode     Mode
	HasSince bool   // false: from now on
	Since    uint64 // Unix milliseconds, where HasSince
	Grant    *Grant // nil where none came
}

// Type returns TypeSubscribe.
func (f *Subscribe) Type() Type { return TypeSubscribe }

// AppendTo appends the encoded frame.
func (f *Subscribe) AppendTo(b []byte) []byte {
	b = cbor.AppendUint(begin(b, TypeSubscribe, 6), f.Ref)
	b = appendTarget(b, f.Target)
	b = cbor.AppendUint(b, uint64(f.Mode))
	if f.HasSince {
		b = cbor.AppendUint(b, f.Since)
	} else {
		b = cbor.AppendNull(b)
	}
	return appendGrant(b, f.Grant)
}

// Weight returns an upper bound of the encoded length.
func (f *Subscribe) Weight() int { return 256 }

func (f *Subscribe) String() string {
	return fmt.Sprintf("subscribe{#%d %v mode %d}", f.Ref, f.Target, f.Mode)
}

func (d *decoder) subscribe() Frame {
	d.fields(6)
	f := &Subscribe{Ref: d.Uint(anyUint), Target: d.target(), Mode: Mode(d.Uint(1))}
	if f.HasSince = !d.Null(); f.HasSince {
		f.Since = d.Uint(envelope.TimeMax)
	}
	f.Grant = d.grant()
	return f
}

// Subscribed answers Subscribe and Unsubscribe (spec §5.2). OK means that the
// subscription is as durable as the home's store.
type Subscribed struct {
	Ref  uint64 // the one that is answered
	Code Code
}

// Type returns TypeSubscribed.
func (f *Subscribed) Type() Type { return TypeSubscribed }

// AppendTo appends the encoded frame.
func (f *Subscribed) AppendTo(b []byte) []byte {
	return cbor.AppendUint(cbor.AppendUint(begin(b, TypeSubscribed, 2), f.Ref), uint64(f.Code))
}

// Weight returns an upper bound of the encoded length.
func (f *Subscribed) Weight() int { return 24 }

func (f *Subscribed) String() string { return fmt.Sprintf("subscribed{#%d %v}", f.Ref, f.Code) }

func (d *decoder) subscribed() Frame {
	d.fields(2)
	return &Subscribed{Ref: d.Uint(anyUint), Code: d.code()}
}

// Unsubscribe ends a subscription; Subscribed answers it (spec §5.2). It is OK to
// end what does not exist.
type Unsubscribe struct {
	Ref    uint64
	Target envelope.Target
}

// Type returns TypeUnsubscribe.
func (f *Unsubscribe) Type() Type { return TypeUnsubscribe }

// AppendTo appends the encoded frame.
func (f *Unsubscribe) AppendTo(b []byte) []byte {
	return appendTarget(cbor.AppendUint(begin(b, TypeUnsubscribe, 3), f.Ref), f.Target)
}

// Weight returns an upper bound of the encoded length.
func (f *Unsubscribe) Weight() int { return 56 }

func (f *Unsubscribe) String() string { return fmt.Sprintf("unsubscribe{#%d %v}", f.Ref, f.Target) }

func (d *decoder) unsubscribe() Frame {
	d.fields(3)
	return &Unsubscribe{Ref: d.Uint(anyUint), Target: d.target()}
}
