package upsycle

import (
	"errors"
	"fmt"
	"time"

	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// A Code says how something ended, in the one table of codes of the protocol. Its
// Sentence and Hint are what a person reads; Retry says whether the same message
// may be accepted later.
type Code = wire.Code

// The codes that a program may want to tell apart. CodeNone stands where no
// router said anything.
const (
	CodeNone         = wire.OK
	CodeTooLarge     = wire.TooLarge
	CodeClock        = wire.Clock
	CodeExpired      = wire.Expired
	CodeBadSignature = wire.BadSignature
	CodeNotAWriter   = wire.NotAWriter
	CodeCertExpired  = wire.CertExpired
	CodeNotAllowed   = wire.NotAllowed
	CodeQuota        = wire.Quota
	CodeRate         = wire.Rate
	CodeStorageFull  = wire.StorageFull
	CodeNoGrant      = wire.NoGrant
	CodeSuperseded   = wire.Superseded
	CodeShuttingDown = wire.ShuttingDown
)

// An ID names one envelope: what is signed, stored and recognised as a duplicate.
// All items that were published together share it.
type ID = envelope.ID

// Errors that end a Conn or a loop over items. Hint says what to do about each.
var (
	// ErrClosed says that Close was called.
	ErrClosed error = &plainError{"the connection was closed", "call Dial again"}
	// ErrSuperseded says that another process attached to the same router with
	// the same key. The Conn ends: two that fight for one key help nobody.
	ErrSuperseded error = &plainError{"another process attached with the same key and took over", wire.Superseded.Hint()}
	// ErrReadOnly says that a group handle has no key to sign with.
	ErrReadOnly error = &plainError{"this handle can only read the group", "use GroupKey with the group's key, or WriterOf with a writer's certificate"}
	// ErrUnsent comes from Close when messages were not acknowledged in time.
	ErrUnsent error = &plainError{"some messages were not acknowledged before the connection was closed", "wait for Publish to return before Close"}
)

// A plainError is one sentence and a hint.
type plainError struct{ text, hint string }

// Error returns the sentence.
func (e *plainError) Error() string { return e.text }

// Hint says what to do about it.
func (e *plainError) Hint() string { return e.hint }

// Hint returns what a person can do about err, or "" where nothing is known.
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// Refused says that the router refused a message or a subscription, and why.
type Refused struct {
	Code       Code
	ID         ID            // of the envelope; zero for a subscription
	Items      int           // how many items the envelope held
	RetryAfter time.Duration // when to try again; 0: the router did not say
}

// Error returns one sentence.
func (e *Refused) Error() string {
	if e.Items == 0 {
		return "the router refused the subscription: " + e.Code.Sentence()
	}
	return "the router refused the message: " + e.Code.Sentence()
}

// Hint says what to do about it.
func (e *Refused) Hint() string { return e.Code.Hint() }

// A DialError says why Dial did not attach to a router.
type DialError struct {
	Endpoint string // as it was used
	Code     Code   // what the router said; CodeNone: nothing
	text     string
	hint     string
	cause    error
	lost     bool // the attachment was lost, not refused
}

// Error returns one sentence.
func (e *DialError) Error() string {
	if e.lost {
		return e.text
	}
	if e.Endpoint == "" {
		return "cannot attach: " + e.text
	}
	return fmt.Sprintf("cannot attach to %s: %s", e.Endpoint, e.text)
}

// Hint says what to do about it.
func (e *DialError) Hint() string { return e.hint }

// Unwrap returns what was underneath: a context's error, an error of the network
// or of the text of the endpoint.
func (e *DialError) Unwrap() error { return e.cause }

// tooLarge is the refusal of a payload that no envelope could hold. The router is
// not asked.
func tooLarge() error { return &Refused{Code: wire.TooLarge, Items: 1} }

// A waitError is a context's error while the router was asking to try later.
type waitError struct {
	err  error
	code Code
}

// Error returns one sentence.
func (e *waitError) Error() string {
	return fmt.Sprintf("%v while the router asked to try later: %s", e.err, e.code.Sentence())
}

// Hint says what to do about it.
func (e *waitError) Hint() string { return e.code.Hint() }

// Unwrap returns the context's error.
func (e *waitError) Unwrap() error { return e.err }
