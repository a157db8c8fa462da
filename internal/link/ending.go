package link

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"upsycle/internal/wire"
)

// An ending is why a connection ended. The first one of a link wins.
type ending struct {
	code   wire.Code // OK where the connection broke without a word
	text   string    // one sentence; the peer's own if byPeer
	say    bool      // the peer is told in a close frame
	byPeer bool      // the peer told us in a close frame
	abrupt bool      // say it, but drop what is queued
	cause  error     // what the connection reported, where it broke
}

// Error returns one sentence; a peer's text is quoted and cut.
func (e *ending) Error() string {
	switch {
	case e.byPeer:
		return fmt.Sprintf("the other side closed the link: %v: %s", e.code, quoted(e.text))
	case e.cause != nil:
		return fmt.Sprintf("the connection broke: %v", e.cause)
	}
	return e.text
}

// Unwrap returns the connection's own error.
func (e *ending) Unwrap() error { return e.cause }

// fault is an ending that the peer is told of.
func fault(code wire.Code, format string, args ...any) *ending {
	return &ending{code: code, text: fmt.Sprintf(format, args...), say: true}
}

// broke is the ending of a connection that reported err.
func broke(err error) *ending {
	var e *ending
	if errors.As(err, &e) {
		return e
	}
	return &ending{cause: err}
}

// closeFrame is what the peer is told. The text is cut to what a close may hold
// and freed from what text on the wire must not hold, since faults may quote the
// peer's own bytes.
func (e *ending) closeFrame() *wire.Close {
	return &wire.Close{Code: e.code, Text: plain(e.text, wire.CloseTextMax)}
}

func plain(s string, max int) string {
	s = strings.Map(func(c rune) rune {
		if c < 0x20 || c >= 0x7f && c < 0xa0 || c == utf8.RuneError {
			return '?'
		}
		return c
	}, s)
	for len(s) > max {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// quotedMax is how much of a peer's text a log shows.
const quotedMax = 64

// quoted makes a peer's text fit for a log or a terminal.
func quoted(s string) string { return fmt.Sprintf("%q", plain(s, quotedMax)) }
