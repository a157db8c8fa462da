package wire

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

const testTime = 1_767_225_600_000 // 2026-01-01

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testKey(t testing.TB, seed byte) identity.Key {
	t.Helper()
	k, err := identity.NewKey(bytes.Repeat([]byte{seed}, identity.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func addr(t testing.TB, seed byte) identity.Address { return testKey(t, seed).Address() }

func group(t testing.TB) envelope.Target {
	return envelope.Target{Kind: envelope.Group, To: addr(t, 1)}
}

func mail(t testing.TB) envelope.Target {
	return envelope.Target{Kind: envelope.Address, To: addr(t, 9)}
}

func testEnvelope(t testing.TB) *envelope.Envelope {
	t.Helper()
	e, err := envelope.Sign(envelope.Header{
		Target: group(t), Run: envelope.Run{5, 5, 5, 5, 5, 5, 5, 5},
		Count: 1, Time: testTime, TTL: 604_800, Flags: envelope.Plain,
	}, nil, envelope.PlainBody([][]byte{[]byte("hello")}), testKey(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func testGrant(t testing.TB, seed byte) *Grant {
	g := &Grant{Address: addr(t, seed), Router: addr(t, 3), NotAfter: testTime + GrantLifeMax}
	g.Encode()
	g.Signed.Sig = testKey(t, seed).Sign(identity.LabelGrant, g.Signed.Body)
	return g
}

func testHomes(t testing.TB) *Homes {
	h := &Homes{Client: addr(t, 9), Epoch: testTime, Homes: []identity.Address{addr(t, 3), addr(t, 4)}, Former: []identity.Address{addr(t, 6)}}
	h.Encode()
	h.Signed.Sig = testKey(t, 9).Sign(identity.LabelHomes, h.Signed.Body)
	return h
}

// testAnnounce goes from the root through two more routers to the receiver.
func testAnnounce(t testing.TB, path ...identity.Key) (*Announce, identity.Address) {
	if path == nil {
		path = []identity.Key{testKey(t, 3), testKey(t, 4), testKey(t, 6), testKey(t, 8)}
	}
	root := path[0]
	f := &Announce{Root: root.Address(), Seq: testTime / 1000, Issued: testTime, Class: Automatic}
	body := RootBody(f.Root, f.Seq, f.Issued, f.Class)
	f.RootSig = root.Sign(identity.LabelRoot, body)
	prev := ChainHash(body, f.RootSig)
	for i, k := range path[:len(path)-1] {
		h := Hop{Key: k.Address(), Metric: uint64(i) * 64}
		body = HopBody(prev, h.Key, h.Metric, path[i+1].Address())
		h.Sig = k.Sign(identity.LabelHop, body)
		prev = ChainHash(body, h.Sig)
		f.Hops = append(f.Hops, h)
	}
	return f, path[len(path)-1].Address()
}

func prefixes(n int) []Prefix {
	list := make([]Prefix, n)
	for i := range list {
		list[i][0], list[i][15] = byte(i>>8), byte(i)
	}
	return list
}

// A named frame of the tests.
type sample struct {
	caption string
	frame   Frame
}

// samples returns frames of every type, with each optional field there and not
// there, and each list at its least and at its most.
func samples(t testing.TB) []sample {
	e, g := testEnvelope(t), testGrant(t, 9)
	root := addr(t, 3)
	stamp := Stamp{root, testTime}
	announce, _ := testAnnounce(t)
	homesOnly := &Homes{Client: addr(t, 9)}
	homesOnly.Encode()
	var ranges []Range
	for i := uint64(0); i < RangesMax; i++ {
		ranges = append(ranges, Range{1<<63 + 3*i, 1<<63 + 3*i + 1})
	}
	full := make([]uint64, 32)
	for i := range full {
		full[i] = anyUint
	}
	long := &Announce{Root: root, Seq: 1<<62 - 1, Issued: envelope.TimeMax, Class: Pinned}
	interest, elsewhere := &Interest{Root: root}, &Elsewhere{Root: root}
	for range ChainMax {
		long.Hops = append(long.Hops, Hop{Key: root, Metric: MetricMax})
	}
	for range EntriesMax {
		interest.Entries = append(interest.Entries, InterestEntry{mail(t), Receiver | Sender | Holder, g})
		elsewhere.Entries = append(elsewhere.Entries, ElsewhereEntry{mail(t), true})
	}
	return []sample{
		{"hello", &Hello{Versions: []uint64{1}, Role: Core, Now: testTime, Boot: [8]byte{1}, MaxFrame: FrameMax, Agent: "upsycle/0.1 é"}},
		{"hello, full", &Hello{Versions: full[:8], Role: Service, Now: 1<<48 - 1, MaxFrame: anyUint, Features: full, Agent: strings.Repeat("x", 64)}},
		{"ping", &Ping{0}}, {"ping, greatest", &Ping{anyUint}}, {"pong", &Pong{1}}, {"pong, greatest", &Pong{anyUint}},
		{"close", &Close{Superseded, "a newer connection took over"}}, {"close without text", &Close{Code: OK}},
		{"close, full", &Close{1<<32 - 1, strings.Repeat("y", CloseTextMax)}},
		{"attach", &Attach{Homes: testHomes(t)}}, {"attach, resume", &Attach{Homes: testHomes(t), Resume: &Resume{Box{1, 2}, anyUint}}},
		{"attach without homes", &Attach{Homes: homesOnly}},
		{"attached", &Attached{Epoch: testTime, Box: Box{7}, Last: 12, Code: OK}}, {"attached, greatest", &Attached{anyUint, Box{}, anyUint, 1<<32 - 1, true}},
		{"subscribe", &Subscribe{Ref: 1, Target: group(t)}},
		{"subscribe, all", &Subscribe{Ref: anyUint, Target: mail(t), Mode: WhileLinked, HasSince: true, Since: envelope.TimeMax, Grant: g}},
		{"subscribe since 0", &Subscribe{Target: group(t), HasSince: true}},
		{"subscribed", &Subscribed{2, NoGrant}}, {"subscribed, greatest", &Subscribed{anyUint, 1<<32 - 1}},
		{"unsubscribe", &Unsubscribe{3, mail(t)}}, {"unsubscribe, greatest", &Unsubscribe{anyUint, group(t)}},
		{"publish", &Publish{e}},
		{"published", &Published{ID: e.ID}}, {"published, refused", &Published{e.ID, Quota, 1000}}, {"published, greatest", &Published{e.ID, 1<<32 - 1, 1<<32 - 1}},
		{"deliver", &Deliver{7, e}}, {"deliver, greatest", &Deliver{anyUint, e}},
		{"delivered", &Delivered{N: 7}}, {"delivered, also", &Delivered{7, []Range{{9, 9}, {11, 20}}}}, {"delivered, full", &Delivered{1 << 62, ranges}},
		{"gap", &Gap{N: 8, Target: group(t), FromTime: testTime, ToTime: testTime + 1, Count: 3, Why: WhyHole}},
		{"gap, greatest", &Gap{anyUint, mail(t), envelope.TimeMax, envelope.TimeMax, anyUint, 1<<32 - 1}},
		{"announce", announce}, {"announce, full", long},
		{"retract", &Retract{root}}, {"graft", &Graft{root}}, {"prune", &Prune{root}},
		{"seqreq", &SeqReq{root, 5, 32}}, {"seqreq, greatest", &SeqReq{root, 1<<62 - 1, 0}},
		{"interest", &Interest{root, []InterestEntry{{group(t), Receiver, nil}, {mail(t), Receiver, g}, {group(t), 0, nil}}}}, {"interest, full", interest},
		{"elsewhere", &Elsewhere{root, []ElsewhereEntry{{group(t), true}, {mail(t), false}}}}, {"elsewhere, full", elsewhere},
		{"data", &Data{root, 0, stamp, e}}, {"data, far", &Data{root, HopsMax, Stamp{root, envelope.TimeMax}, e}},
		{"offer", &Offer{root, group(t), false, [8]byte{1}, prefixes(1)}}, {"offer, full", &Offer{root, mail(t), true, [8]byte{2}, prefixes(EntriesMax)}},
		{"pull", &Pull{HopsMax, prefixes(2)}}, {"pull, full", &Pull{0, prefixes(PullMax)}},
		{"pulled", &Pulled{stamp, e}}, {"nohave", &NoHave{prefixes(1)}}, {"nohave, full", &NoHave{prefixes(PullMax)}},
		{"resync", &Resync{group(t).To, group(t), testTime, [8]byte{9}}}, {"resync of all", &Resync{group(t).To, mail(t), envelope.TimeMax, [8]byte{}}},
	}
}

// fields takes a frame's bytes apart into its fields.
func fields(t testing.TB, b []byte) [][]byte {
	t.Helper()
	r := cbor.NewReader(b)
	var list [][]byte
	for n := r.Array(0, 64); n > 0; n-- {
		start := r.Offset()
		r.Skip(cbor.MaxDepth)
		list = append(list, r.Since(start))
	}
	if err := r.End(); err != nil {
		t.Fatal(err)
	}
	return list
}

// join is the inverse of fields.
func join(list [][]byte) []byte {
	return append(cbor.AppendArray(nil, len(list)), bytes.Join(list, nil)...)
}
