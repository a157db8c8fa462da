package upsycle

import (
	"upsycle/internal/envelope"
)

// A sealer turns items into the body of an envelope and back. It is the one place
// that encryption will fill; this version has the plain one only.
type sealer interface {
	// seal returns the body of items and the flags that say what it is. h has
	// everything but hashes and signature.
	seal(h *envelope.Header, items [][]byte) (body []byte, flags envelope.Flags, err error)
	// open returns the items of e and whether they were encrypted. The items
	// may point into e.
	open(e *envelope.Envelope) (items [][]byte, encrypted bool, err error)
	// overhead is how many bytes a body has beside its items' own encoding.
	overhead() int
}

// errSealed says that a body is encrypted, which this version cannot open.
var errSealed = &plainError{"the message is encrypted and this version reads plaintext only", "update this program"}

// plain is the sealer that leaves bodies readable, and says so in their flags.
type plain struct{}

func (plain) seal(_ *envelope.Header, items [][]byte) ([]byte, envelope.Flags, error) {
	return envelope.PlainBody(items), envelope.Plain, nil
}

func (plain) open(e *envelope.Envelope) ([][]byte, bool, error) {
	if e.Flags&envelope.Plain == 0 {
		return nil, true, errSealed
	}
	items, err := envelope.PlainItems(e.Body, e.Count)
	return items, false, err
}

func (plain) overhead() int { return 3 } // the head of an array of up to 1,024 items
