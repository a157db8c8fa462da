package node_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// smallOrder is a point that the whole world knows the private half of.
const smallOrder = "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// frameRaids are bytes and frames that make no sense after a good hello.
func frameRaids() []raid {
	chance := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 4096)
	for i := range noise {
		noise[i] = byte(chance.Uint32())
	}
	noise[0] = 0xe3 // no byte string
	ping := func(body string) []byte { return framed([]byte(body)) }
	group := cbor.AppendBytes([]byte("\x00"), key("any group").Address().Bytes())
	subscribe := func(ref string, target []byte, rest string) []byte {
		return framed(append(append([]byte("\x87\x0a"+ref), target...), rest...))
	}
	weak := cbor.AppendBytes([]byte("\x00"), []byte(smallOrder))
	huge := append([]byte("\x82\x0d\x84"), cbor.AppendBytes(cbor.AppendBytes(nil, make([]byte, 100)), make([]byte, 64))...)
	huge = append(huge, "\xf6\x5a\x00\x10\x00\x01"...) // a body of 1 MiB and one byte is claimed
	raids := []raid{
		{"a frame cut off", cutOff, ""},
		{"garbage that goes on", endlessNoise, ""},
		{"a promise that is kept slowly", slowFrame, ""},
		{"a frame of an unknown type", unknownFrame, "unknown frame"},
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		code  wire.Code
	}{
		{"garbage", noise, wire.Malformed},
		{"an empty frame", []byte("\x40"), wire.Malformed},
		{"a promise of 4 GiB", []byte("\x5a\xff\xff\xff\xff"), wire.TooLarge},
		{"a promise of 16 EiB", []byte("\x5b\xff\xff\xff\xff\xff\xff\xff\xff"), wire.TooLarge},
		{"one byte more than max-frame", []byte("\x5a\x00\x11\x00\x01"), wire.TooLarge},
		{"a frame of indefinite length", []byte("\x5f\x42\x81\x05\xff"), wire.Malformed},
		{"a frame's length not in its shortest form", []byte("\x58\x03\x82\x01\x05"), wire.Malformed},
		{"a text string instead of a frame", []byte("\x63\x82\x01\x05"), wire.Malformed},
		{"an integer not in its shortest form", ping("\x82\x01\x18\x05"), wire.Malformed},
		{"an array head not in its shortest form", ping("\x98\x02\x01\x05"), wire.Malformed},
		{"an array of indefinite length", ping("\x9f\x01\x05\xff"), wire.Malformed},
		{"a tag", ping("\x82\x01\xc1\x05"), wire.Malformed},
		{"a negative number", ping("\x82\x01\x20"), wire.Malformed},
		{"a float", ping("\x82\x01\xf9\x3c\x00"), wire.Malformed},
		{"a map", ping("\xa1\x01\x05"), wire.Malformed},
		{"undefined", ping("\x82\x01\xf7"), wire.Malformed},
		{"a field too many", ping("\x83\x01\x05\x05"), wire.Malformed},
		{"a field too few", ping("\x81\x01"), wire.Malformed},
		{"bytes after the frame", ping("\x82\x01\x05\x00"), wire.Malformed},
		{"a frame that ends early", ping("\x82\x01"), wire.Malformed},
		{"an array that claims 2^32 items", ping("\x9a\xff\xff\xff\xff\x01"), wire.Malformed},
		{"a type of 2^32", ping("\x81\x1b\x00\x00\x00\x01\x00\x00\x00\x00"), wire.Malformed},
		{"an unknown type outside of the dialect", ping("\x82\x18\x63\xfb"), wire.Malformed},
		{"an unknown type nested seven deep", ping("\x82\x18\x63\x81\x81\x81\x81\x81\x81\x00"), wire.Malformed},
		{"a key of small order", subscribe("\x01", weak, "\x00\xf6\xf6"), wire.Malformed},
		{"a mode that is none", subscribe("\x01", group, "\x02\xf6\xf6"), wire.Malformed},
		{"a body that claims more than 1 MiB", framed(huge), wire.TooLarge},
		{"a second hello", framed(greeting().AppendTo(nil)), wire.Malformed},
		{"ranges that fall", framed((&wire.Delivered{N: 5, Also: []wire.Range{{First: 9, Last: 8}}}).AppendTo(nil)), wire.Malformed},
	} {
		raids = append(raids, raid{name: c.name, do: func(t *testing.T, s *siege) {
			r := s.intrude(t, s.unix, s.fresh())
			defer r.hangUp()
			r.write(c.bytes)
			r.wantClose(c.code)
		}})
	}
	return raids
}

// cutOff hangs up within a frame, at each of its first bytes.
func cutOff(t *testing.T, s *siege) {
	b := framed((&wire.Publish{Envelope: letter(t, s.fresh(), key("A").Address())}).AppendTo(nil))
	for n := 1; n < 8; n++ {
		r := s.intrude(t, s.unix, s.fresh())
		r.write(b[:n])
		r.hangUp()
	}
}

// endlessNoise goes on after its close frame is due. The router reads a little of
// it away, and then no more.
func endlessNoise(t *testing.T, s *siege) {
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	go func() {
		for {
			if _, err := r.conn.Write(bytes.Repeat([]byte{0xff}, 1<<16)); err != nil {
				return
			}
		}
	}()
	r.wantClose(wire.Malformed)
	await(t, "the router to hang up", func() bool { _, err := r.conn.Write([]byte{0xff}); return err != nil })
}

// slowFrame promises the largest frame many times and sends a few bytes of each:
// what is promised costs nothing.
func slowFrame(t *testing.T, s *siege) {
	for range 20 {
		r := s.intrude(t, s.unix, s.fresh())
		defer r.hangUp()
		r.write(append(cbor.AppendBytesHead(nil, wire.FrameMax), make([]byte, 1000)...))
	}
	s.pair.whole(t)
	s.withinHeap(t)
}

// unknownFrame sends frames of types that this version does not know. What follows
// them is understood.
func unknownFrame(t *testing.T, s *siege) {
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	before := s.a.Counters()["unknown frame"]
	for _, body := range []string{"\x81\x04", "\x82\x12\x80", "\x83\x18\x3f\x81\x43abc\xf6", "\x81\x1a\xff\xff\xff\xff"} {
		r.write(framed([]byte(body)))
	}
	r.alive()
	await(t, "four unknown frames", func() bool { return s.a.Counters()["unknown frame"] == before+4 })
}

// attachRaids are attachments that are none, and frames out of order.
func attachRaids() []raid {
	return []raid{
		{"publish before attach", func(t *testing.T, s *siege) {
			r := s.meet(t, s.unix, s.fresh())
			defer r.hangUp()
			r.say(&wire.Publish{Envelope: letter(t, r.key, key("A").Address())})
			r.wantClose(wire.Malformed)
		}, ""},
		{"a second attach", func(t *testing.T, s *siege) {
			r := s.intrude(t, s.unix, s.fresh())
			defer r.hangUp()
			r.say(&wire.Attach{Homes: homes(r.key, s.a.Address(), nil)})
			r.wantClose(wire.Malformed)
		}, ""},
		{"backbone frames on an attachment", backboneFrames, "frame ignored"},
		{"frames that only a home sends", homeFrames, "frame ignored"},
		{"another client's attach", func(t *testing.T, s *siege) {
			s.refusedAttach(t, s.fresh(), homes(s.pair.writer.key, s.a.Address(), nil), wire.NotAllowed)
		}, "link refused"},
		{"a homes document for another home", func(t *testing.T, s *siege) {
			k := s.fresh()
			s.refusedAttach(t, k, homes(k, s.b.Address(), nil), wire.NotAllowed)
		}, "link refused"},
		{"a homes document for nobody", func(t *testing.T, s *siege) {
			k := s.fresh()
			s.refusedAttach(t, k, homes(k, s.a.Address(), func(h *wire.Homes) { h.Homes = nil }), wire.NotAllowed)
		}, "link refused"},
		{"a homes document that nobody signed", func(t *testing.T, s *siege) {
			k := s.fresh()
			h := homes(k, s.a.Address(), nil)
			h.Signed.Sig[3] ^= 1
			s.refusedAttach(t, k, h, wire.BadSignature)
		}, "fault charged"},
		{"an older homes document", olderHomes, "link refused"},
		{"a resume of numbers that were never given", wildResume, ""},
		{"no grant for another's address", func(t *testing.T, s *siege) {
			s.grantRaid(t, nil, wire.NoGrant)
		}, ""},
		{"a grant that names another router", func(t *testing.T, s *siege) {
			s.grantRaid(t, func(g *wire.Grant) { g.Router = s.b.Address() }, wire.NoGrant)
		}, ""},
		{"a grant of another address", func(t *testing.T, s *siege) {
			s.grantRaid(t, func(g *wire.Grant) { g.Address = key("yet another").Address() }, wire.NoGrant)
		}, ""},
		{"a grant that has ended", func(t *testing.T, s *siege) {
			s.grantRaid(t, func(g *wire.Grant) { g.NotAfter = uint64(time.Now().Add(-time.Minute).UnixMilli()) }, wire.NoGrant)
		}, ""},
		{"a grant for too long", func(t *testing.T, s *siege) {
			s.grantRaid(t, func(g *wire.Grant) { g.NotAfter = uint64(time.Now().Add(9 * 24 * time.Hour).UnixMilli()) }, wire.NoGrant)
		}, ""},
		{"a grant that the raider signed itself", func(t *testing.T, s *siege) {
			s.grantRaid(t, func(*wire.Grant) {}, wire.BadSignature)
		}, "fault charged"},
	}
}

func (s *siege) refusedAttach(t *testing.T, k identity.Key, h *wire.Homes, code wire.Code) {
	t.Helper()
	r := s.meet(t, s.unix, k)
	defer r.hangUp()
	r.say(&wire.Attach{Homes: h})
	if a := reply[*wire.Attached](r); a.Code != code {
		t.Errorf("attached with %v, want %v", a.Code, code)
	}
	r.wantClose(code)
}

// olderHomes goes back behind an epoch while the mailbox is there.
func olderHomes(t *testing.T, s *siege) {
	k := s.fresh()
	first := s.intrude(t, s.unix, k)
	defer first.hangUp()
	first.say(&wire.Subscribe{Ref: 1, Target: envelope.Target{To: key("any group").Address()}}) // else nothing is kept of who goes
	reply[*wire.Subscribed](first)
	s.refusedAttach(t, k, homes(k, s.a.Address(), func(h *wire.Homes) { h.Epoch = 1 }), wire.NotAllowed)
	first.wantClose(wire.Superseded)
}

// wildResume acknowledges all numbers there are, in the box that it has and in
// another. Neither is an error, and what comes later has its numbers.
func wildResume(t *testing.T, s *siege) {
	k, group := s.fresh(), s.fresh()
	r := s.intrude(t, s.unix, k)
	r.say(&wire.Subscribe{Ref: 1, Target: envelope.Target{Kind: envelope.Group, To: group.Address()}})
	reply[*wire.Subscribed](r)
	r.say(&wire.Delivered{N: 1<<64 - 1}, &wire.Delivered{N: 0, Also: []wire.Range{{First: 2, Last: 1<<64 - 1}}})
	r.hangUp()
	r = s.meet(t, s.unix, k)
	defer r.hangUp()
	r.say(&wire.Attach{Homes: homes(k, s.a.Address(), nil), Resume: &wire.Resume{Box: wire.Box{9}, N: 1<<64 - 1}})
	reply[*wire.Attached](r)
	r.wantPublished(groupLetter(t, group, 0), wire.OK)
	if d := reply[*wire.Deliver](r); d.N != 1 {
		t.Errorf("delivered with number %d, want 1", d.N)
	}
	r.say(&wire.Unsubscribe{Ref: 2, Target: envelope.Target{Kind: envelope.Group, To: group.Address()}})
	reply[*wire.Subscribed](r)
}

func groupLetter(t *testing.T, group identity.Key, first uint64) *envelope.Envelope {
	t.Helper()
	h := header(envelope.Target{Kind: envelope.Group, To: group.Address()})
	h.First = first
	e, err := envelope.Sign(h, nil, envelope.PlainBody([][]byte{[]byte("x")}), group)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// backboneFrames tries to take part in trees over an attachment.
func backboneFrames(t *testing.T, s *siege) {
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	root := s.a.Address()
	before := s.a.Counters()
	frames := []wire.Frame{
		&wire.Graft{Root: root}, &wire.Prune{Root: root}, &wire.Retract{Root: root},
		&wire.SeqReq{Root: root, Want: 1 << 40, Hops: 32},
		&wire.Interest{Root: root, Entries: []wire.InterestEntry{{Target: s.pair.target(), Flags: 1}}},
		&wire.Data{Root: root, Stamp: wire.Stamp{Ingress: root, Time: uint64(time.Now().UnixMilli())}, Envelope: groupLetter(t, r.key, 0)},
		&wire.Pull{Hops: 48, IDs: []wire.Prefix{{1}}},
	}
	r.say(frames...)
	r.alive()
	await(t, "all of them to be ignored", func() bool {
		after := s.a.Counters()
		return after["frame ignored"]-before["frame ignored"] == uint64(len(frames)) && after["forwarded"] >= before["forwarded"]
	})
}

// homeFrames says to a home what a home says.
func homeFrames(t *testing.T, s *siege) {
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	e := groupLetter(t, r.key, 0)
	r.say(
		&wire.Attached{Box: wire.Box{1}}, &wire.Subscribed{Ref: 1}, &wire.Published{ID: e.ID}, &wire.Deliver{N: 1, Envelope: e},
		&wire.Gap{N: 2, Target: e.Target, Count: 1 << 62, Why: 1},
	)
	r.alive()
}

// grantRaid subscribes to an address that is not the raider's, with a grant that
// the address signed if change is nil or spoils it, and the raider signed where the
// signature is what is wrong.
func (s *siege) grantRaid(t *testing.T, change func(*wire.Grant), code wire.Code) {
	t.Helper()
	victim := key("victim")
	r := s.intrude(t, s.unix, s.fresh())
	defer r.hangUp()
	f := &wire.Subscribe{Ref: 7, Target: envelope.Target{Kind: envelope.Address, To: victim.Address()}}
	if change != nil {
		f.Grant = &wire.Grant{Address: victim.Address(), Router: r.key.Address(), NotAfter: uint64(time.Now().Add(time.Hour).UnixMilli())}
		change(f.Grant)
		f.Grant.Encode()
		signer := victim
		if code == wire.BadSignature {
			signer = r.key
		}
		f.Grant.Signed.Sig = signer.Sign(identity.LabelGrant, f.Grant.Signed.Body)
	}
	r.say(f)
	if a := reply[*wire.Subscribed](r); a.Ref != 7 || a.Code != code {
		t.Errorf("subscribed with %v, want %v", a.Code, code)
	}
	r.alive()
}

func (p *pair) target() envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: p.group.Address()}
}
