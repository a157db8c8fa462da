package machine

import (
	"fmt"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// An Effect is something that a machine wants done. The types below are all
// there are.
type Effect interface {
	effect()
	String() string
}

// Send puts a frame into a link's queue. Drained answers, once for one or more
// frames. A frame for a link that has ended is dropped in silence: LinkDown is
// under way.
type Send struct {
	Link  LinkID
	Class Class
	Frame wire.Frame
}

// Verify asks whether all claims hold. Link names who is charged for the work:
// shells answer one link's questions in the order asked.
type Verify struct {
	Token  Token
	Link   LinkID
	Claims []identity.Claim
}

// Sign asks for the machine's own key's signature over label || body. No machine
// holds a secret key.
type Sign struct {
	Token Token
	Label identity.Label
	Body  []byte
}

// Row is one row of the store. A nil Value deletes it. Keys are the machine's:
// stores see bytes. A key is not empty, and no table has 0 as its first byte: that
// one is the store's own. The store keeps the slices.
//
// A non-nil End deletes every key in [Key, End) instead; Value is nil then. Like
// any deletion such a row never fails for want of room.
type Row struct {
	Key, Value []byte
	End        []byte
}

// Store asks for rows to be written in one commit. Token 0: no answer is wanted.
type Store struct {
	Token Token
	Rows  []Row
}

// Load asks for the values of rows. Loaded answers.
type Load struct {
	Token Token
	Keys  [][]byte
}

// Close ends a link with a close frame.
type Close struct {
	Link LinkID
	Code wire.Code
	Text string
}

// Pause stops reading a link until an instant: how a rate is enforced without
// dropping a control frame (spec §12).
type Pause struct {
	Link  LinkID
	Until time.Time
}

// Deliver hands an envelope to the shell: at a router, mail for the router
// itself; at an end, what the application subscribed to.
type Deliver struct{ Envelope *envelope.Envelope }

// Report tells log, metrics and trace of something worth counting or saying.
type Report struct {
	Event ReportEvent
	Link  LinkID      // or 0
	Code  wire.Code   // where a refusal is told
	ID    envelope.ID // where an envelope is meant
	Count int         // how many; 0 reads as 1
	Text  string      // one sentence; may hold a peer's text, which is quoted
}

func (Send) effect()    {}
func (Verify) effect()  {}
func (Sign) effect()    {}
func (Store) effect()   {}
func (Load) effect()    {}
func (Close) effect()   {}
func (Pause) effect()   {}
func (Deliver) effect() {}
func (Report) effect()  {}

func (e Send) String() string {
	return fmt.Sprintf("send #%d %v %v", e.Link, e.Class, e.Frame)
}
func (e Verify) String() string {
	return fmt.Sprintf("verify %x #%d %d claims", uint64(e.Token), e.Link, len(e.Claims))
}
func (e Sign) String() string    { return fmt.Sprintf("sign %x %d B", uint64(e.Token), len(e.Body)) }
func (e Store) String() string   { return fmt.Sprintf("store %x %d rows", uint64(e.Token), len(e.Rows)) }
func (e Close) String() string   { return fmt.Sprintf("close #%d %v %q", e.Link, e.Code, e.Text) }
func (e Load) String() string    { return fmt.Sprintf("load %x %d rows", uint64(e.Token), len(e.Keys)) }
func (e Pause) String() string   { return fmt.Sprintf("pause #%d", e.Link) }
func (e Deliver) String() string { return fmt.Sprintf("deliver %v", e.Envelope.ID) }
func (e Report) String() string {
	return fmt.Sprintf("report %v #%d %v %q", e.Event, e.Link, e.Code, e.Text)
}
