package node_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/node"
	"upsycle/internal/wire"
)

// Counters of the links' hub, as the node names them.
const (
	handshakeFailed = "handshakes failed"
	throttled       = "connections throttled"
)

// doorRaids are what never becomes a link.
func doorRaids() []raid {
	raids := []raid{
		{"a wrong pin", wrongPin, handshakeFailed},
		{"a missing pin", missingPin, ""},
		{"a stolen certificate without its key", stolenCertificate, handshakeFailed},
		{"plain bytes", bare("\x00\x01\x02\x03 no TLS at all"), handshakeFailed},
		{"HTTP", bare("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), handshakeFailed},
		{"SSH", bare("SSH-2.0-x\r\n"), handshakeFailed},
		{"the beginning of a ClientHello", bare("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), handshakeFailed},
	}
	own := key("rogue").Private()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	point := func(hexadecimal string) tls.Certificate {
		b, _ := hex.DecodeString(hexadecimal)
		return certificateOf(ed25519.PublicKey(b), own)
	}
	good := certificateOf(own.Public(), own)
	for _, c := range []struct {
		name   string
		config *tls.Config
	}{
		{"TLS 1.2", rogueTLS(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, good)},
		{"no ALPN", rogueTLS(func(c *tls.Config) { c.NextProtos = nil }, good)},
		{"an RSA certificate", rogueTLS(nil, certificateOf(rsaKey.Public(), rsaKey))},
		{"an ECDSA certificate", rogueTLS(nil, certificateOf(ecKey.Public(), ecKey))},
		{"no certificate", rogueTLS(nil)},
		{"the neutral element as key", rogueTLS(nil, point("0100000000000000000000000000000000000000000000000000000000000000"))},
		{"a point of order eight as key", rogueTLS(nil, point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))},
		{"a key that is not canonical", rogueTLS(nil, point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"))},
	} {
		raids = append(raids, raid{c.name, func(t *testing.T, s *siege) { s.noLink(t, c.config) }, handshakeFailed})
	}
	return raids
}

// noLink makes a handshake that must not become a link. A client's handshake
// returns before the router has judged its certificate, so the proof is that not
// even a hello comes.
func (s *siege) noLink(t *testing.T, config *tls.Config) {
	t.Helper()
	conn := tls.Client(s.dial(t, s.tcp), config)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	n, err := conn.Read(make([]byte, 1))
	if err == nil || n > 0 {
		t.Error("the router said hello")
	}
	if strings.Contains(err.Error(), "timeout") {
		t.Error("the router did not close")
	}
}

// bare sends bytes instead of TLS, and half-closes.
func bare(text string) func(*testing.T, *siege) {
	return func(t *testing.T, s *siege) {
		conn := s.dial(t, s.tcp)
		defer conn.Close()
		conn.Write([]byte(text))
		conn.(interface{ CloseWrite() error }).CloseWrite()
		if b := gone(t, conn); len(b) > 7 { // an alert
			t.Errorf("the router told a stranger %d bytes: %q", len(b), b)
		}
	}
}

// A router that is dialled under another's pin learns nothing, and who dialled is
// told what is wrong.
func wrongPin(t *testing.T, s *siege) {
	log := &book{}
	n := s.start(node.Config{
		Key: key("C"), Peers: []identity.Endpoint{s.tcp.WithPin(key("somebody else").Address())},
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	defer n.Stop()
	await(t, "the dial to fail", func() bool { return log.has("another key than the pinned one answers") && log.has("Compare the part") })
}

func missingPin(t *testing.T, s *siege) {
	n, err := node.New(node.Config{Key: key("C"), Peers: []identity.Endpoint{{Scheme: identity.SchemeTLS, Where: s.tcp.Where}}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	var e *node.Error
	if err := n.Start(t.Context()); !errors.As(err, &e) || !strings.Contains(e.Error(), "names no key") || e.Hint() == "" {
		t.Errorf("%v, want a sentence and a hint about the missing pin", err)
	}
}

// L7: whoever has only a copy of a certificate disturbs nothing of its owner's.
// The pair's links are counted after every raid.
func stolenCertificate(t *testing.T, s *siege) {
	own := key("thief").Private()
	for _, victim := range []identity.Key{s.pair.writer.key, key("B")} {
		copied := certificateOf(victim.Private().Public(), victim.Private())
		copied.PrivateKey = own
		s.noLink(t, rogueTLS(nil, copied))
		s.noLink(t, rogueTLS(nil, certificateOf(victim.Private().Public(), own)))
	}
	if st, err := s.a.Status(t.Context()); err != nil || len(st.Peers) != 1 {
		t.Errorf("A lost its peer: %v %v", st.Peers, err)
	}
}

// helloRaids are what proves its key and gets no further.
func helloRaids() []raid {
	hello := func(change func(*wire.Hello)) []byte {
		f := greeting()
		change(f)
		return framed(f.AppendTo(nil))
	}
	hour := func(sign int64) []byte {
		return hello(func(f *wire.Hello) { f.Now = uint64(time.Now().UnixMilli() + sign*3600_000) })
	}
	big := cbor.AppendBytesHead(nil, wire.FrameMaxHello+1)
	var raids []raid
	for _, c := range []struct {
		name    string
		bytes   []byte
		code    wire.Code
		counter string
	}{
		{"a clock an hour ahead", hour(1), wire.Clock, handshakeFailed},
		{"a clock an hour behind", hour(-1), wire.Clock, handshakeFailed},
		{"version 2 only", hello(func(f *wire.Hello) { f.Versions = []uint64{2} }), wire.BadVersion, handshakeFailed},
		{"a role that is none", hello(func(f *wire.Hello) { f.Role = 3 }), wire.Malformed, handshakeFailed},
		{"a max-frame that is too small", hello(func(f *wire.Hello) { f.MaxFrame = 100 }), wire.Malformed, handshakeFailed},
		{"garbage instead of hello", []byte("\xff\xff\xff\xff"), wire.Malformed, handshakeFailed},
		{"a hello of more than 4 KiB", append(big, make([]byte, 100)...), wire.TooLarge, handshakeFailed},
		{"a promise of 4 GiB before hello", []byte("\x5a\xff\xff\xff\xff"), wire.TooLarge, handshakeFailed},
		{"a ping before hello", framed((&wire.Ping{N: 1}).AppendTo(nil)), wire.Malformed, handshakeFailed},
		{"an unknown frame before hello", framed([]byte("\x81\x18\x63")), wire.Malformed, handshakeFailed},
		{"a core that is not configured", hello(func(f *wire.Hello) { f.Role = wire.Core }), wire.NotAllowed, "link refused"},
		{"an edge that is not admitted", hello(func(f *wire.Hello) { f.Role = wire.Edge }), wire.NotAllowed, "link refused"},
	} {
		raids = append(raids, raid{c.name, func(t *testing.T, s *siege) {
			r := s.shake(t, s.tcp, s.fresh())
			defer r.hangUp()
			r.write(c.bytes)
			r.wantClose(c.code)
		}, c.counter})
	}
	return raids
}
