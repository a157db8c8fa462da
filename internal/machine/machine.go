package machine

import "time"

// A Machine decides. Step never blocks and never fails on what a peer sent: bad
// input becomes a Close or a counted drop. It panics only when an invariant of
// our own is broken. It is not safe for concurrent use.
type Machine interface {
	// Step handles one event and appends its effects to out; now never goes
	// backwards.
	Step(now time.Time, ev Event, out []Effect) []Effect
	// Deadline is when a Tick is wanted at the latest; zero: nothing pending.
	Deadline() time.Time
}

// LinkID names one connection from hello to its end. It is never used again in
// the life of a process. Zero names none.
type LinkID uint64

// Token ties an answer to its question. The high byte names the sub-machine that
// asked (see Desk), so that answers find their way back. Zero is no token.
type Token uint64

// Owner is the part of a token that names who asked.
type Owner uint8

// The owners of tokens.
const (
	OwnerGate Owner = iota + 1
	OwnerTree
	OwnerBackbone
	OwnerHome
	OwnerClient
	OwnerRouter
	OwnerEnd // the SDK's own machine
)

// Owner returns who asked.
func (t Token) Owner() Owner { return Owner(t >> 56) }

// Class says in which queue of a link a frame waits; lower goes first (spec
// §10.3).
type Class uint8

// The classes of frames.
const (
	Control   Class = iota // all but envelopes
	Repair                 // pulled
	Bulk                   // data, publish, deliver
	ClassesNo = 3
)

// String returns the class's name.
func (c Class) String() string {
	switch c {
	case Control:
		return "control"
	case Repair:
		return "repair"
	}
	return "bulk"
}
