package envelope

import (
	"errors"
	"fmt"
)

// FaultKind says what is wrong with an envelope, in the terms of spec §4.4.
type FaultKind uint8

// The faults of Check. All but Newer would have been seen by every honest
// router, so they are charged to the link that brought the bytes.
const (
	Malformed    FaultKind = iota + 1 // not deterministic CBOR, wrong shape, out of range, bad key
	TooLarge                          // header, certificate or body above its limit
	Newer                             // unknown version, kind or flag: never charged
	BadSignature                      // a hash or the envelope's signature does not hold
	NotAWriter                        // the certificate is for another group, writer or class, or its signature does not hold
	CertTime                          // the envelope's time is outside of its certificate's, or that lives too long
)

// A Fault is an envelope's own fault, as opposed to one of time, place or policy.
type Fault struct {
	Kind FaultKind
	Text string
}

// Error returns one sentence.
func (f *Fault) Error() string { return f.Text }

func faultf(kind FaultKind, format string, args ...any) *Fault {
	return &Fault{kind, fmt.Sprintf(format, args...)}
}

// IsTooLarge reports whether err, from Read or Parse, is about a size.
func IsTooLarge(err error) bool {
	var f *Fault
	return errors.Is(err, errTooLarge) || errors.As(err, &f) && f.Kind == TooLarge
}
