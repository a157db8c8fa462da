package machine

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/wire"
)

// An Event is something that happened. The types below are all there are; a
// shell makes them and hands over what they hold.
type Event interface {
	event()
	String() string
}

// LinkUp tells of a link whose two sides have said hello. LinkDown of an older
// link of the same key always precedes it.
type LinkUp struct {
	Link     LinkID
	Peer     identity.Address
	Role     wire.Role // the peer's
	Boot     [8]byte   // the peer's
	MaxFrame int       // bytes that the peer accepts
	Dialled  bool      // by us
	Local    bool      // over a unix socket, from a process of the router's own user
	Replaces bool      // another process's link of the same key was ended for this one
	RTT      int       // milliseconds, measured by the first ping; 0 where unknown
}

// LinkDown tells of a link's end. Nothing of that link comes after it.
type LinkDown struct {
	Link LinkID
	Peer identity.Address
}

// RTT tells of a link's smoothed round-trip time.
type RTT struct {
	Link   LinkID
	Millis int
}

// FrameIn brings a frame that was decoded in the link's reader. Bytes is its
// length on the wire.
type FrameIn struct {
	Link  LinkID
	Frame wire.Frame
	Bytes int
}

// Drained says that Weight of frames sent on Link in Class has left the queue.
type Drained struct {
	Link   LinkID
	Class  Class
	Weight int
}

// Verified answers Verify. Failed is the index of the first claim that does not
// hold, -1 if all do. One link's answers come in the order asked.
type Verified struct {
	Token  Token
	Failed int
}

// Signed answers Sign.
type Signed struct {
	Token Token
	Sig   identity.Signature
}

// Stored answers Store, in the order asked. Err is nil once the rows are as
// durable as the store makes them.
type Stored struct {
	Token Token
	Err   error
}

// Loaded answers Load, in the order asked: a value for each key, nil where there
// is no such row. The values must not be changed.
type Loaded struct {
	Token  Token
	Values [][]byte
	Err    error // the store's; then Values is nil
}

// Command carries an operator's change or an application's call. Call is of a
// type that the machine which gets it declares.
type Command struct{ Call fmt.Stringer }

// Tick says that Deadline has come.
type Tick struct{}

func (LinkUp) event()   {}
func (LinkDown) event() {}
func (RTT) event()      {}
func (FrameIn) event()  {}
func (Drained) event()  {}
func (Verified) event() {}
func (Signed) event()   {}
func (Stored) event()   {}
func (Loaded) event()   {}
func (Command) event()  {}
func (Tick) event()     {}

func (e LinkUp) String() string {
	return fmt.Sprintf("link-up #%d %v %v", e.Link, e.Role, e.Peer)
}
func (e LinkDown) String() string { return fmt.Sprintf("link-down #%d %v", e.Link, e.Peer) }
func (e RTT) String() string      { return fmt.Sprintf("rtt #%d %d ms", e.Link, e.Millis) }
func (e FrameIn) String() string  { return fmt.Sprintf("in #%d %v", e.Link, e.Frame) }
func (e Drained) String() string {
	return fmt.Sprintf("drained #%d %v %d B", e.Link, e.Class, e.Weight)
}
func (e Verified) String() string { return fmt.Sprintf("verified %x %d", uint64(e.Token), e.Failed) }
func (e Signed) String() string   { return fmt.Sprintf("signed %x", uint64(e.Token)) }
func (e Stored) String() string   { return fmt.Sprintf("stored %x %v", uint64(e.Token), e.Err) }
func (e Loaded) String() string {
	return fmt.Sprintf("loaded %x %d rows %v", uint64(e.Token), len(e.Values), e.Err)
}
func (e Command) String() string { return "command " + e.Call.String() }
func (e Tick) String() string    { return "tick" }
