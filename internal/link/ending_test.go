package link

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"upsycle/internal/wire"
)

// What is told to a peer is always a close frame that it can read, whatever bytes
// the fault quotes.
func TestCloseFrame(t *testing.T) {
	for _, text := range []string{
		"", "plain", strings.Repeat("a", 300), strings.Repeat("é", 200), strings.Repeat("a", 255) + "é",
		"line\nbreak", "\x00\x7f\u0085", "broken \xff\xfe UTF-8", "\u2028", "emoji 🙂",
	} {
		f := fault(wire.Malformed, "%s", text).closeFrame()
		if len(f.Text) > wire.CloseTextMax || !utf8.ValidString(f.Text) {
			t.Errorf("%q became %q", text, f.Text)
		}
		back, err := wire.Decode(f.AppendTo(nil), nil)
		if err != nil || *back.(*wire.Close) != *f {
			t.Errorf("%q: a peer reads %v, %v", text, back, err)
		}
	}
}

func TestEndingSentences(t *testing.T) {
	for _, c := range []struct {
		e    *ending
		want string
	}{
		{fault(wire.Rate, "too much: %d", 3), "too much: 3"},
		{&ending{cause: io.ErrUnexpectedEOF}, "the connection broke: unexpected EOF"},
		{&ending{code: wire.Quota, text: "no \x1b[31mroom", byPeer: true}, `the other side closed the link: quota: "no ?[31mroom"`},
		{&ending{byPeer: true, text: strings.Repeat("x", 200)}, `the other side closed the link: ok: "` + strings.Repeat("x", quotedMax) + `"`},
	} {
		if got := c.e.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	if e := broke(syscall.EPIPE); !errors.Is(e, syscall.EPIPE) || e.say {
		t.Errorf("a broken connection: %+v", e)
	}
	if first := fault(wire.Rate, "x"); broke(first) != first {
		t.Error("an ending was wrapped into another")
	}
}

// Sixteen KiB may be read before the handshake is done, and any number after it.
func TestMetered(t *testing.T) {
	near, far := newPipe("a", "b", func() {})
	defer near.Close()
	go func() { far.Write(make([]byte, 3*handshakeBytes)); far.Close() }()
	m := newMetered(near)
	n, err := io.Copy(io.Discard, readerOnly{m})
	if n != handshakeBytes || !errors.Is(err, errHandshakeSize) {
		t.Errorf("read %d bytes, then %v", n, err)
	}
	m.free()
	if n, err = io.Copy(io.Discard, readerOnly{m}); n != 2*handshakeBytes || err != nil {
		t.Errorf("after the handshake %d bytes, then %v", n, err)
	}
	if _, ok := any(m).(net.Conn); !ok {
		t.Error("it is no connection any more")
	}
}

// readerOnly hides other methods from io.Copy.
type readerOnly struct{ io.Reader }
