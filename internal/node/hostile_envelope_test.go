package node_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// envelopeRaids are messages without a right to exist.
func envelopeRaids() []raid {
	minute := uint64(60_000)
	now := uint64(time.Now().UnixMilli())
	day := 24 * 60 * minute
	refused := func(code wire.Code, make func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope) func(*testing.T, *siege) {
		return func(t *testing.T, s *siege) {
			r := s.intrude(t, s.unix, s.fresh())
			defer r.hangUp()
			r.wantPublished(make(t, s, r.key), code)
			r.alive()
		}
	}
	// A writer of a group whose certificate is spoiled in one way.
	writer := func(code wire.Code, change func(c *envelope.Certificate, h *envelope.Header)) func(*testing.T, *siege) {
		return refused(code, func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope {
			group := key("a guarded group")
			c := &envelope.Certificate{Group: group.Address(), Writer: by.Address(), NotBefore: now - day, NotAfter: now + day, Rights: envelope.MayStore}
			h := header(envelope.Target{Kind: envelope.Group, To: group.Address()})
			change(c, &h)
			c.Encode()
			c.Signed.Sig = group.Sign(identity.LabelWriter, c.Signed.Body)
			return assembled(t, h, c, by)
		})
	}
	return []raid{
		{"a message whose time to live is over", refused(wire.Expired, func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope {
			h := header(envelope.Target{Kind: envelope.Group, To: by.Address()})
			h.Time, h.TTL = now-10*minute, 60
			return assembled(t, h, nil, by)
		}), "publish refused"},
		{"a message of the future", refused(wire.Clock, func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope {
			h := header(envelope.Target{Kind: envelope.Group, To: by.Address()})
			h.Time = now + 60*minute
			return assembled(t, h, nil, by)
		}), "publish refused"},
		{"a message that nobody signed", refused(wire.BadSignature, func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope {
			return forged(t, by)
		}), "fault charged"},
		{"a message in the honest group", refused(wire.BadSignature, func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope {
			h := header(s.pair.target())
			h.First, h.From = s.pair.sent.Load(), s.pair.group.Address()
			return assembled(t, h, nil, by)
		}), "fault charged"},
		{"another body than the signed one", refused(wire.BadSignature, func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope {
			h := header(envelope.Target{Kind: envelope.Group, To: by.Address()})
			h.From, h.BodyHash = by.Address(), sha256.Sum256([]byte("another"))
			text := h.AppendTo(nil)
			return parsed(t, envelope.Assemble(text, by.Sign(identity.LabelEnvelope, text), nil, envelope.PlainBody(nil)))
		}), "fault charged"},
		{"a certificate for another group", writer(wire.NotAWriter, func(c *envelope.Certificate, h *envelope.Header) {
			h.Target.To = key("another group").Address()
		}), "fault charged"},
		{"a certificate for another writer", writer(wire.NotAWriter, func(c *envelope.Certificate, h *envelope.Header) {
			c.Writer = key("another writer").Address()
		}), "fault charged"},
		{"a certificate that has ended", writer(wire.CertExpired, func(c *envelope.Certificate, h *envelope.Header) {
			c.NotBefore, c.NotAfter = now-2*day, now-day
		}), "fault charged"},
		{"a certificate for 401 days", writer(wire.CertExpired, func(c *envelope.Certificate, h *envelope.Header) {
			c.NotAfter = c.NotBefore + 401*day
		}), "fault charged"},
		{"a certificate without the right", writer(wire.NotAWriter, func(c *envelope.Certificate, h *envelope.Header) {
			c.Rights = envelope.MayLive
		}), "fault charged"},
		{"a certificate that the writer signed itself", refused(wire.NotAWriter, func(t *testing.T, s *siege, by identity.Key) *envelope.Envelope {
			c := &envelope.Certificate{Group: s.pair.group.Address(), Writer: by.Address(), NotBefore: now - day, NotAfter: now + day, Rights: 3}
			c.Encode()
			c.Signed.Sig = by.Sign(identity.LabelWriter, c.Signed.Body)
			return assembled(t, header(s.pair.target()), c, by)
		}), "fault charged"},
		{"twenty forgeries, and back again", tooManyFaults, "link refused"},
		{"a flipped bit in each byte of a message", flippedBits, ""},
		{"the honest writer's messages once more", replays, "publish again"},
	}
}

// assembled signs what envelope.Sign would refuse to make.
func assembled(t *testing.T, h envelope.Header, c *envelope.Certificate, by identity.Key) *envelope.Envelope {
	t.Helper()
	body := envelope.PlainBody([][]byte{[]byte("x")})
	if h.From.IsZero() {
		h.From = by.Address()
	}
	h.BodyHash = sha256.Sum256(body)
	if h.HasCert = c != nil; c != nil {
		h.CertHash = sha256.Sum256(c.Signed.Body)
	}
	text := h.AppendTo(nil)
	return parsed(t, envelope.Assemble(text, by.Sign(identity.LabelEnvelope, text), c, body))
}

func parsed(t *testing.T, b []byte) *envelope.Envelope {
	t.Helper()
	e, err := envelope.Parse(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// tooManyFaults goes on until the link is closed, and comes back with the same key,
// and then with the same faults under another: nobody else is refused for it.
func tooManyFaults(t *testing.T, s *siege) {
	k := s.fresh()
	r := s.intrude(t, s.unix, k)
	defer r.hangUp()
	for n := range 20 {
		h := header(envelope.Target{Kind: envelope.Group, To: key("any group").Address()})
		h.First, h.From = uint64(n), h.Target.To
		r.say(&wire.Publish{Envelope: assembled(t, h, nil, k)})
		if n < 19 {
			reply[*wire.Published](r)
		}
	}
	r.wantClose(wire.BadSignature)
	r.hangUp()
	r = s.meet(t, s.unix, k)
	defer r.hangUp()
	r.wantClose(wire.BadSignature)
	s.intrude(t, s.unix, s.fresh()).hangUp()
}

// flippedBits sends a good message once for each of its bytes, with one bit of that
// byte turned. Each copy is refused, by an answer or by the end of the link; the
// good one is taken afterwards, since no forged copy may stand in its way.
func flippedBits(t *testing.T, s *siege) {
	group, author := s.fresh(), s.fresh()
	now := uint64(time.Now().UnixMilli())
	c := envelope.IssueCertificate(group, author.Address(), now-60_000, now+3600_000, envelope.MayStore)
	good := assembled(t, header(envelope.Target{Kind: envelope.Group, To: group.Address()}), c, author)
	step := 1
	if testing.Short() {
		step = 7
	}
	var r *raider
	charged := 0
	for at := 0; at < len(good.Raw); at += step {
		if r == nil || charged == 15 {
			if r != nil {
				r.hangUp()
			}
			r, charged = s.intrude(t, s.unix, s.fresh()), 0
		}
		bad := slices.Clone(good.Raw)
		bad[at] ^= 1 << (at % 8)
		r.write(framed(append([]byte{0x82, byte(wire.TypePublish)}, bad...)))
		switch f := r.hear().(type) {
		case *wire.Published:
			charged++
			if f.Code == wire.OK {
				t.Errorf("byte %d: a changed message was taken", at)
			}
		case *wire.Close:
			if f.Code != wire.Malformed && f.Code != wire.TooLarge || f.Text == "" {
				t.Errorf("byte %d: closed with %v %q", at, f.Code, f.Text)
			}
			r.hangUp()
			r = nil
		default:
			t.Fatalf("byte %d: %v", at, f)
		}
	}
	if r != nil {
		r.hangUp()
	}
	r = s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	r.wantPublished(good, wire.OK)
}

// replays publishes what the honest writer has published: it is acknowledged and
// delivered to nobody once more, which the reader would notice.
func replays(t *testing.T, s *siege) {
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	for _, e := range s.pair.latest() {
		for range 3 {
			r.wantPublished(e, wire.OK)
		}
	}
}
