package link

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// spec §3.1: the own certificate is the same at every start and holds nothing but
// the key.
const certificateSum = "4738a9b007224bef"

func TestOwnCertificate(t *testing.T) {
	first, err := ownCertificate(keyOf(1))
	if err != nil {
		t.Fatal(err)
	}
	second, _ := ownCertificate(keyOf(1))
	der := first.Certificate[0]
	if len(der) != 176 || !bytes.Equal(der, second.Certificate[0]) {
		t.Errorf("%d bytes, want the same 176 at every start", len(der))
	}
	// Frozen: an implementation elsewhere may want to compare.
	sum := sha256.Sum256(der)
	if got := hex.EncodeToString(sum[:8]); got != certificateSum {
		t.Errorf("the certificate of seed 32 × 01 hashes to %s…, want %s…", got, certificateSum)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil || cert.Subject.String() != "" || len(cert.Extensions) != 0 || cert.NotAfter.Year() != 9999 {
		t.Errorf("subject %q, %d extensions, until %v, %v", cert.Subject, len(cert.Extensions), cert.NotAfter, err)
	}
	if _, err := ownCertificate(identity.Key{}); err == nil {
		t.Error("a zero key got a certificate")
	}
}

// forge makes a certificate of public that signer signs; whether the two belong
// together is the forger's business.
func forge(t *testing.T, public crypto.PublicKey, signer crypto.Signer, padding int) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	if padding > 0 {
		template.DNSNames = []string{strings.Repeat("a", padding)}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A rogue is a peer that presents what it should not.
type rogue struct {
	caption string
	config  func(good tls.Certificate, victim identity.Key) *tls.Config
}

// rogues are the peers of L1 to L5 and L7 that must become no link on either side.
func rogues(t *testing.T) []rogue {
	own := keyOf(66).Private()
	with := func(key crypto.PrivateKey, chain ...[]byte) func(tls.Certificate, identity.Key) *tls.Config {
		return func(tls.Certificate, identity.Key) *tls.Config {
			return rogueConfig(tls.Certificate{Certificate: chain, PrivateKey: key})
		}
	}
	change := func(f func(*tls.Config)) func(tls.Certificate, identity.Key) *tls.Config {
		return func(good tls.Certificate, _ identity.Key) *tls.Config {
			config := rogueConfig(good)
			f(config)
			return config
		}
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	point := func(hexadecimal string) ed25519.PublicKey {
		b, _ := hex.DecodeString(hexadecimal)
		return b
	}
	honest := forge(t, own.Public(), own, 0)
	return []rogue{
		{"a stolen certificate without its key", func(_ tls.Certificate, victim identity.Key) *tls.Config {
			stolen, _ := ownCertificate(victim)
			return rogueConfig(tls.Certificate{Certificate: stolen.Certificate, PrivateKey: own})
		}},
		{"a home-made certificate of the victim's key", func(_ tls.Certificate, victim identity.Key) *tls.Config {
			return rogueConfig(tls.Certificate{Certificate: [][]byte{forge(t, victim.Private().Public(), own, 0)}, PrivateKey: own})
		}},
		{"TLS 1.2", change(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 })},
		{"no ALPN", change(func(c *tls.Config) { c.NextProtos = nil })},
		{"another ALPN", change(func(c *tls.Config) { c.NextProtos = []string{"h2"} })},
		{"an RSA certificate", with(rsaKey, forge(t, rsaKey.Public(), rsaKey, 0))},
		{"an ECDSA certificate", with(ecKey, forge(t, ecKey.Public(), ecKey, 0))},
		{"no certificate", with(nil)},
		{"two certificates", with(own, honest, honest)},
		{"a certificate of more than 1 KiB", with(own, forge(t, own.Public(), own, 1024))},
		{"a certificate of 64 KiB", with(own, forge(t, own.Public(), own, 64<<10))},
		{"the neutral element as key", with(own, forge(t, point("0100000000000000000000000000000000000000000000000000000000000000"), own, 0))},
		{"a point of order eight", with(own, forge(t, point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), own, 0))},
		{"a point that is not canonical", with(own, forge(t, point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), own, 0))},
	}
}

// rogueConfig is a TLS configuration that checks nothing.
func rogueConfig(cert tls.Certificate) *tls.Config {
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{alpn},
		ClientAuth: tls.RequireAnyClientCert, InsecureSkipVerify: true,
	}
	if cert.Certificate != nil {
		config.Certificates = []tls.Certificate{cert}
	}
	return config
}

// L1 to L5 and L7, the peer dialling: the handshake fails, and the owner of the
// key that was claimed does not notice.
func TestRogueClient(t *testing.T) {
	network := NewMemory()
	home, victim, up, down := pairOf(t, network, mem("home"), [2]wire.Role{wire.Core, wire.Edge})
	good, _ := ownCertificate(keyOf(66))
	for i, r := range rogues(t) {
		before, links := home.Counters(), home.Links()
		p := rawDial(t, network, mem("home"), r.config(good, victim.key))
		if err := p.Handshake(); err == nil {
			p.Write(appendFrame(nil, goodHello(wire.Edge))) // Go's client is done before the server has judged
			if b, err := p.in.next1(); err == nil {
				t.Errorf("%s: the hub answered %x", r.caption, b)
			}
		}
		p.Close()
		n := home.rec.awaitNotice(t, StrangerFailed, i+1)
		if n.Text == "" || n.Hint == "" || !n.Peer.IsZero() {
			t.Errorf("%s: told %+v", r.caption, n)
		}
		after := home.Counters()
		before.Accepted, before.HandshakeFailed = after.Accepted, before.HandshakeFailed+1
		if after != before {
			t.Errorf("%s: counters %+v, want %+v", r.caption, after, before)
		}
		if now := home.Links(); !sameLinks(now, links) {
			t.Errorf("%s: links %+v, were %+v", r.caption, now, links)
		}
		checkAlive(t, home, up.Link, victim, i+1)
	}
	if victim.rec.downs() > 0 || len(victim.rec.ups()) != 1 || victim.Links()[0].Link != down.Link {
		t.Errorf("the victim saw %v", victim.rec.events)
	}
}

func (r *frameReader) next1() ([]byte, error) {
	b, _, err := r.next()
	return b, err
}

func sameLinks(a, b []Info) bool {
	return slices.EqualFunc(a, b, func(a, b Info) bool {
		a.RTT, a.Queued, b.RTT, b.Queued = 0, 0, 0, 0
		return a == b
	})
}

// checkAlive sends the nth frame over a link.
func checkAlive(t *testing.T, from *node, link machine.LinkID, to *node, n int) {
	t.Helper()
	from.Send(link, machine.Control, graft(1))
	to.rec.await(t, "a frame on the living link", func() bool { return len(to.rec.frames()) == n })
}

// The same peers, listening: the dial fails, no key is stored, and the link to
// the real router is not touched. The hub's own dials wait while a link is up, so
// the connection is handed to it here.
func TestRogueServer(t *testing.T) {
	network := NewMemory()
	home, client, up, _ := pairOf(t, network, mem("home"), [2]wire.Role{wire.Core, wire.Edge})
	good, _ := ownCertificate(keyOf(66))
	for i, r := range rogues(t) {
		for _, pinned := range []bool{true, false} {
			near, far := ends(t, network)
			go func() {
				server := tls.Server(far, r.config(good, home.key))
				server.Handshake()
				server.Write(appendFrame(nil, goodHello(wire.Core)))
			}()
			trusted := false
			c := caller{dialled: true, origin: "rogue", greeted: func() {}, joined: func(*link) { t.Errorf("%s: became a link", r.caption) }}
			pin := identity.Address{}
			if pinned {
				pin = home.Self()
			} else {
				c.trust = func(identity.Address) error { trusted = true; return nil }
			}
			c.config = linkConfig(client.certificate, pin, client.refuse)
			before := client.Counters()
			why, linked := client.serve(near, c)
			var shake *handshakeError
			if linked || !errors.As(why, &shake) {
				t.Errorf("%s, pinned %v: %v", r.caption, pinned, why)
			}
			if trusted {
				t.Errorf("%s: a key was offered for trust that was not proved", r.caption)
			}
			if client.Counters() != before {
				t.Errorf("%s: counters changed", r.caption)
			}
			far.Close()
		}
		checkAlive(t, home, up.Link, client, i+1)
	}
	if client.rec.downs() > 0 || len(client.rec.ups()) != 1 {
		t.Errorf("the client saw %v", client.rec.events)
	}
}

// L1: another router answers than the one that was pinned.
func TestWrongPin(t *testing.T) {
	network := NewMemory()
	home := newNode(t, keyOf(1), wire.Core, network)
	client := newNode(t, keyOf(2), wire.Service, network)
	home.listen(t, mem("home"))
	client.dial(t, mem("home").WithPin(keyOf(3).Address()))
	n := client.rec.awaitNotice(t, DialFailed, 2)
	if !strings.Contains(n.Text, "another key than the pinned one") || n.Hint == "" || n.Retry == 0 {
		t.Errorf("told %+v", n)
	}
	if m := home.rec.awaitNotice(t, StrangerFailed, 1); !strings.Contains(m.Text, "refused the handshake") {
		t.Errorf("the router was told %q", m.Text)
	}
	if len(home.Links())+len(client.Links()) != 0 {
		t.Error("a link came about")
	}
}

// A key on the deny list gets no handshake, and nothing else changes.
func TestDenied(t *testing.T) {
	network := NewMemory()
	home := newNode(t, keyOf(1), wire.Core, network, func(c *Config) {
		c.Deny = func(a identity.Address) bool { return a == keyOf(2).Address() }
	})
	client := newNode(t, keyOf(2), wire.Service, network)
	client.dial(t, home.listen(t, mem("home")))
	if n := home.rec.awaitNotice(t, StrangerFailed, 1); !strings.Contains(n.Text, "deny list") {
		t.Errorf("told %q", n.Text)
	}
	client.rec.awaitNotice(t, DialFailed, 1)
}

// L5: a peer may offer more names than ours. L6: no ticket is given out, so none
// can be offered after a ban.
func TestHonestOddities(t *testing.T) {
	network := NewMemory()
	home := newNode(t, keyOf(1), wire.Core, network)
	home.listen(t, mem("home"))
	config := rawConfig(t, keyOf(2))
	config.NextProtos = []string{"h2", alpn}
	cache := &countingCache{}
	config.ClientSessionCache = cache
	config.SessionTicketsDisabled = false
	for n := range 2 {
		p := rawDial(t, network, mem("home"), config)
		p.send(t, goodHello(wire.Service))
		home.rec.awaitUp(t, n+1)
		if p.receive(t); p.ConnectionState().DidResume || cache.puts > 0 {
			t.Errorf("connection %d: resumed %v, %d tickets", n, p.ConnectionState().DidResume, cache.puts)
		}
		p.Close()
		home.rec.awaitDown(t, n+1)
	}
}

type countingCache struct{ puts int }

func (c *countingCache) Get(string) (*tls.ClientSessionState, bool)  { return nil, false }
func (c *countingCache) Put(_ string, state *tls.ClientSessionState) { c.puts++ }

// A tap is a network that records every byte, and may change some.
type tap struct {
	Network
	mu     sync.Mutex
	bytes  []byte
	change func(total int, p []byte) // of what the dialling side sends
}

func (t *tap) Dial(ctx context.Context, ep identity.Endpoint) (net.Conn, error) {
	conn, err := t.Network.Dial(ctx, ep)
	return &tapped{conn, t, 0}, err
}

type tapped struct {
	net.Conn
	tap  *tap
	sent int
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tap.record(p[:n])
	return n, err
}

func (c *tapped) Write(p []byte) (int, error) {
	c.tap.record(p)
	if c.tap.change != nil {
		p = bytes.Clone(p)
		c.tap.change(c.sent, p)
	}
	c.sent += len(p)
	return c.Conn.Write(p)
}

func (t *tap) record(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
}

// L9: who listens on the wire sees no server name, no key and no group.
func TestWireHidesKeys(t *testing.T) {
	wiretap := &tap{Network: NewMemory()}
	home, client, _, down := pairOf(t, wiretap, mem("home"), [2]wire.Role{wire.Core, wire.Service})
	f := publish(t, 100)
	client.Send(down.Link, machine.Bulk, f)
	client.Send(down.Link, machine.Control, graft(7))
	home.rec.await(t, "both frames", func() bool { return len(home.rec.frames()) == 2 })
	client.Close()
	home.Close()
	wiretap.mu.Lock()
	defer wiretap.mu.Unlock()
	for name, secret := range map[string][]byte{
		"the router's key": home.Self().Bytes(), "the client's key": client.Self().Bytes(),
		"the group": f.Envelope.Target.To.Bytes(), "a frame": f.AppendTo(nil), "a root": keyOf(7).Address().Bytes(),
	} {
		if bytes.Contains(wiretap.bytes, secret) {
			t.Errorf("%s stands in clear on the wire", name)
		}
	}
	if names := serverNames(t, wiretap.bytes); names != 0 {
		t.Errorf("the ClientHello has %d server names", names)
	}
}

// serverNames counts extensions of type 0 (RFC 6066 §3) in the ClientHello that a
// recording begins with.
func serverNames(t *testing.T, b []byte) (n int) {
	t.Helper()
	b = b[5:]                             // record header
	b = b[4+2+32:]                        // handshake header, version, random
	b = b[1+int(b[0]):]                   // session id
	b = b[2+(int(b[0])<<8|int(b[1])):]    // cipher suites (their length is below 256)
	b = b[1+int(b[0]):]                   // compression methods
	end := 2 + (int(b[0])<<8 | int(b[1])) // extensions
	seen := 0
	for b = b[2:end]; len(b) > 0; seen++ {
		size := int(b[2])<<8 | int(b[3])
		if b[0] == 0 && b[1] == 0 {
			n++
		}
		b = b[4+size:]
	}
	if seen < 4 {
		t.Fatalf("only %d extensions were found", seen)
	}
	return n
}

// L8: one flipped bit anywhere in what a peer sends ends at worst that link.
func TestFlippedBit(t *testing.T) {
	synctest.Test(t, testFlippedBit)
}

func testFlippedBit(t *testing.T) {
	base := NewMemory()
	home := newNode(t, keyOf(1), wire.Core, base)
	at := home.listen(t, mem("home"))
	bystander := newNode(t, keyOf(3), wire.Service, base)
	bystander.dial(t, at)
	up := home.rec.awaitUp(t, 1)
	for i, where := range []int{0, 3, 8, 60, 1400, 1700, 1900, 2050, 2200} {
		wiretap := &tap{Network: base, change: func(total int, p []byte) {
			if k := where - total; k >= 0 && k < len(p) {
				p[k] ^= 0x10
			}
		}}
		client := newNode(t, keyOf(2), wire.Service, wiretap)
		client.rec.onUp = func(up machine.LinkUp) {
			for range 10 {
				client.Send(up.Link, machine.Control, graft(7))
			}
		}
		client.dial(t, at)
		client.rec.await(t, "an end", func() bool {
			return slices.ContainsFunc(client.rec.notices, func(n Notice) bool { return n.Event == DialFailed || n.Event == LinkEnded })
		})
		client.Close()
		checkAlive(t, home, up.Link, bystander, i+1)
	}
}

// L10: links between two programs of ours use the hybrid key exchange; without it
// there is a warning.
func TestHybridKeyExchange(t *testing.T) {
	for _, hybrid := range []bool{true, false} {
		if !hybrid {
			t.Setenv("GODEBUG", "tlsmlkem=0")
		}
		var log syncBuffer
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		client := newNode(t, keyOf(2), wire.Core, network)
		client.dial(t, home.listen(t, mem("home")))
		home.rec.awaitUp(t, 1)
		if got := home.Links()[0].Hybrid; got != hybrid {
			t.Errorf("hybrid %v, want %v", got, hybrid)
		}
		if warned := strings.Contains(log.String(), "quantum"); warned == hybrid {
			t.Errorf("hybrid %v: log %s", hybrid, log.String())
		}
		client.Close()
		home.Close()
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
