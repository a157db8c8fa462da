package node_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// A raider speaks TLS and frames by itself, so that it can say what no program of
// ours would. Its methods fail the test only where the raider itself errs.
type raider struct {
	t    *testing.T
	key  identity.Key
	raw  net.Conn
	conn *tls.Conn
}

// fresh is a key that was not used before: a key that was closed for its faults
// is banned for a while.
func (s *siege) fresh() identity.Key {
	return key(fmt.Sprintf("raider %d", s.raiders.Add(1)))
}

// dial opens a bare connection. Over TCP each comes from an address of its own, as
// many strangers would.
func (s *siege) dial(t *testing.T, at identity.Endpoint) net.Conn {
	t.Helper()
	if at.Scheme == identity.SchemeUnix {
		conn, err := net.Dial("unix", at.Where)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	n := s.raiders.Add(1)
	return dialFrom(t, at, net.IPv4(127, 1, byte(n>>8), byte(n)))
}

func dialFrom(t *testing.T, at identity.Endpoint, source net.IP) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: source}}
	conn, err := d.DialContext(context.Background(), "tcp", at.Where)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// certificateOf wraps public into a certificate that signer signs. Whether they
// belong together is the raider's business.
func certificateOf(public crypto.PublicKey, signer crypto.Signer) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer}
}

func rogueTLS(change func(*tls.Config), certs ...tls.Certificate) *tls.Config {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"upsycle/1"}, InsecureSkipVerify: true, Certificates: certs,
	}
	if change != nil {
		change(c)
	}
	return c
}

// shake makes the TLS handshake of a raider whose key is good.
func (s *siege) shake(t *testing.T, at identity.Endpoint, k identity.Key) *raider {
	t.Helper()
	r := &raider{t: t, key: k, raw: s.dial(t, at)}
	private := k.Private()
	r.conn = tls.Client(r.raw, rogueTLS(nil, certificateOf(private.Public(), private)))
	r.conn.SetDeadline(time.Now().Add(patience))
	t.Cleanup(r.hangUp)
	if err := r.conn.Handshake(); err != nil {
		t.Fatalf("the handshake of a good key: %v", err)
	}
	return r
}

// greeting is a hello without fault.
func greeting() *wire.Hello {
	return &wire.Hello{
		Versions: []uint64{wire.Version}, Now: uint64(time.Now().UnixMilli()), Boot: [8]byte{1},
		MaxFrame: wire.FrameMax, Agent: "raider",
	}
}

// meet goes as far as a link.
func (s *siege) meet(t *testing.T, at identity.Endpoint, k identity.Key) *raider {
	t.Helper()
	r := s.shake(t, at, k)
	r.say(greeting())
	if _, ok := r.hear().(*wire.Hello); !ok {
		t.Fatal("no hello came")
	}
	return r
}

// intrude goes as far as an attachment.
func (s *siege) intrude(t *testing.T, at identity.Endpoint, k identity.Key) *raider {
	t.Helper()
	r := s.meet(t, at, k)
	r.say(&wire.Attach{Homes: homes(k, s.a.Address(), nil)})
	if a := reply[*wire.Attached](r); a.Code != wire.OK {
		t.Fatalf("attached with %v", a.Code)
	}
	return r
}

func homes(k identity.Key, home identity.Address, change func(*wire.Homes)) *wire.Homes {
	h := &wire.Homes{Client: k.Address(), Epoch: uint64(time.Now().UnixMilli()), Homes: []identity.Address{home}}
	if change != nil {
		change(h)
	}
	h.Encode()
	h.Signed.Sig = k.Sign(identity.LabelHomes, h.Signed.Body)
	return h
}

// framed is a frame as it stands on the wire.
func framed(body []byte) []byte { return cbor.AppendBytes(nil, body) }

// say sends frames in one write.
func (r *raider) say(frames ...wire.Frame) {
	r.t.Helper()
	var b []byte
	for _, f := range frames {
		b = append(b, framed(f.AppendTo(nil))...)
	}
	r.write(b)
}

// write sends bytes as they are. The router may have closed the link already: its
// close frame is what counts then.
func (r *raider) write(b []byte) {
	r.conn.Write(b)
}

// hear returns the next frame, other than pings; nil: the link ended.
func (r *raider) hear() wire.Frame {
	r.t.Helper()
	for {
		body, err := r.body()
		if err != nil {
			if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
				r.t.Fatal("the router neither answered nor closed")
			}
			return nil
		}
		f, err := wire.Decode(body, nil)
		if err != nil {
			r.t.Fatalf("the router sent what is no frame: %v", err)
		}
		if _, ping := f.(*wire.Ping); !ping {
			return f
		}
	}
}

func (r *raider) body() ([]byte, error) {
	var head [9]byte
	if _, err := io.ReadFull(r.conn, head[:1]); err != nil {
		return nil, err
	}
	n, more := uint64(head[0]&31), 0
	if n >= 24 {
		more = 1 << (n - 24)
		if _, err := io.ReadFull(r.conn, head[9-more:]); err != nil {
			return nil, err
		}
		n = binary.BigEndian.Uint64(head[1:])
		if more < 8 {
			n &= 1<<(8*more) - 1
		}
	}
	body := make([]byte, n)
	_, err := io.ReadFull(r.conn, body)
	return body, err
}

// reply returns the next frame of a kind; others are passed over.
func reply[T wire.Frame](r *raider) (f T) {
	r.t.Helper()
	for {
		switch got := r.hear().(type) {
		case T:
			return got
		case *wire.Close:
			r.t.Fatalf("closed where an answer was due: %v", got)
		case nil:
			r.t.Fatal("the link ended without a word")
		}
	}
}

// closed returns the close frame that ends the link.
func (r *raider) closed() *wire.Close {
	r.t.Helper()
	for {
		switch got := r.hear().(type) {
		case *wire.Close:
			return got
		case nil:
			r.t.Fatal("the link ended without a word")
		}
	}
}

// wantClose holds the close frame against a code; it always has a sentence.
func (r *raider) wantClose(code wire.Code) {
	r.t.Helper()
	if c := r.closed(); c.Code != code || c.Text == "" {
		r.t.Errorf("closed with %v %q, want %v and a sentence", c.Code, c.Text, code)
	}
}

// wantPublished publishes and holds the answer against a code.
func (r *raider) wantPublished(e *envelope.Envelope, code wire.Code) {
	r.t.Helper()
	r.say(&wire.Publish{Envelope: e})
	if p := reply[*wire.Published](r); p.Code != code || p.ID != e.ID {
		r.t.Errorf("published with %v, want %v", p.Code, code)
	}
}

// alive shows that the link is understood still.
func (r *raider) alive() {
	r.t.Helper()
	r.say(&wire.Ping{N: 77})
	if p := reply[*wire.Pong](r); p.N != 77 {
		r.t.Errorf("pong %d", p.N)
	}
}

func (r *raider) hangUp() { r.raw.Close() }

// gone reads a bare connection to its end and returns what came.
func gone(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(conn)
	if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
		t.Error("the router did not close")
	}
	return b
}
