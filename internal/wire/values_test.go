package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// edit returns the frame with field i replaced.
func edit(t testing.TB, f Frame, i int, field []byte) []byte {
	list := fields(t, f.AppendTo(nil))
	list[i] = field
	return join(list)
}

func num(n uint64) []byte { return cbor.AppendUint(nil, n) }

func text(s string) []byte { return cbor.AppendText(nil, s) }

func str(n int) []byte { return cbor.AppendBytes(nil, make([]byte, n)) }

// list encodes n times the same item.
func list(n int, item []byte) []byte {
	b := cbor.AppendArray(nil, n)
	for range n {
		b = append(b, item...)
	}
	return b
}

// spec §3.3, §3.4, §5.1, §5.2, §5.3, §5.4, §5.5, §8.1, §8.3, §9.1, §9.2, §10.1,
// §11.1, §11.2, §11.3: each field at its limit and one beyond it.
func TestRanges(t *testing.T) {
	e, root := testEnvelope(t), addr(t, 3)
	hello := &Hello{Versions: []uint64{1}, Agent: "a"}
	announce, _ := testAnnounce(t)
	stamp := Stamp{root, testTime}
	resync := &Resync{Root: root, Target: group(t)}
	data, pull := &Data{root, 0, stamp, e}, &Pull{0, prefixes(1)}
	gap, sub := &Gap{Target: group(t)}, &Subscribe{Target: group(t)}
	offer := &Offer{root, group(t), false, [8]byte{}, prefixes(1)}
	interest := &Interest{root, []InterestEntry{{group(t), Receiver, nil}}}
	elsewhere := &Elsewhere{root, []ElsewhereEntry{{group(t), true}}}
	key := appendKey(nil, root)
	hop := append(append(append([]byte{0x83}, key...), 0), str(64)...)
	entry := append(append([]byte{0x84, 0}, key...), 1, 0xf6)
	where := append(append([]byte{0x83, 0}, key...), 1)
	stampField := func(n uint64) []byte { return append(append([]byte{0x82}, key...), num(n)...) }
	for _, c := range []struct {
		caption   string
		frame     Frame
		field     int
		good, bad []byte
	}{
		{"hello versions, most", hello, 1, list(8, num(1)), list(9, num(1))},
		{"hello versions, least", hello, 1, list(1, num(1)), list(0, nil)},
		{"hello role", hello, 2, num(2), num(3)},
		{"hello now", hello, 3, num(1<<48 - 1), num(1 << 48)},
		{"hello boot, too long", hello, 4, str(8), str(9)},
		{"hello boot, too short", hello, 4, str(8), str(7)},
		{"hello features", hello, 6, list(32, num(1)), list(33, num(1))},
		{"hello agent", hello, 7, text(strings.Repeat("x", 64)), text(strings.Repeat("x", 65))},
		{"hello agent without controls", hello, 7, text("a b"), text("a\nb")},
		{"close code", &Close{}, 1, num(1<<32 - 1), num(1 << 32)},
		{"close text", &Close{}, 2, text(strings.Repeat("x", 256)), text(strings.Repeat("x", 257))},
		{"attach resume", &Attach{Homes: testHomes(t)}, 2, append(append([]byte{0x82}, str(8)...), 1), append([]byte{0x81}, str(8)...)},
		{"attach resume box", &Attach{Homes: testHomes(t)}, 2, append(append([]byte{0x82}, str(8)...), 1), append(append([]byte{0x82}, str(7)...), 1)},
		{"attached box", &Attached{}, 2, str(8), str(16)},
		{"subscribe kind", sub, 2, num(1), num(2)},
		{"subscribe mode", sub, 4, num(1), num(2)},
		{"subscribe since", sub, 5, num(1<<48 - 1), num(1 << 48)},
		{"unsubscribe kind", &Unsubscribe{0, group(t)}, 2, num(1), num(2)},
		{"published id", &Published{}, 1, str(32), str(16)},
		{"published retry-after, least", &Published{}, 3, num(1), num(0)},
		{"published retry-after, most", &Published{}, 3, num(1<<32 - 1), num(1 << 32)},
		{"delivered ranges", &Delivered{}, 2, list(1, []byte{0x82, 2, 2}), list(33, []byte{0x82, 2, 2})},
		{"delivered range of three", &Delivered{}, 2, list(1, []byte{0x82, 2, 2}), list(1, []byte{0x83, 2, 2, 2})},
		{"delivered range beside n", &Delivered{}, 2, list(1, []byte{0x82, 2, 2}), list(1, []byte{0x82, 1, 2})},
		{"delivered range below n", &Delivered{N: 5}, 2, list(1, []byte{0x82, 7, 7}), list(1, []byte{0x82, 4, 4})},
		{"delivered range backwards", &Delivered{}, 2, list(1, []byte{0x82, 3, 3}), list(1, []byte{0x82, 3, 2})},
		{"delivered ranges that touch", &Delivered{}, 2, []byte{0x82, 0x82, 2, 3, 0x82, 5, 6}, []byte{0x82, 0x82, 2, 3, 0x82, 4, 6}},
		{"delivered ranges that fall", &Delivered{}, 2, []byte{0x82, 0x82, 2, 3, 0x82, 5, 6}, []byte{0x82, 0x82, 5, 6, 0x82, 2, 3}},
		{"gap kind", gap, 2, num(1), num(2)},
		{"gap from", gap, 4, num(1<<48 - 1), num(1 << 48)},
		{"gap to", gap, 5, num(1<<48 - 1), num(1 << 48)},
		{"announce seq", announce, 2, num(1<<62 - 1), num(1 << 62)},
		{"announce issued", announce, 3, num(1<<48 - 1), num(1 << 48)},
		{"announce class", announce, 4, num(1), num(2)},
		{"announce signature", announce, 5, str(64), str(63)},
		{"announce hops, most", announce, 6, list(24, hop), list(25, hop)},
		{"announce hops, least", announce, 6, list(1, hop), list(0, nil)},
		{"announce metric", announce, 6, list(1, hop), list(1, append(append(append([]byte{0x83}, key...), num(1<<31)...), str(64)...))},
		{"announce hop of two", announce, 6, list(1, hop), list(1, append(append([]byte{0x82}, key...), 0))},
		{"seqreq want", &SeqReq{Root: root}, 2, num(1<<62 - 1), num(1 << 62)},
		{"seqreq hops", &SeqReq{Root: root}, 3, num(32), num(33)},
		{"interest entries, most", interest, 2, list(512, entry), list(513, entry)},
		{"interest entries, least", interest, 2, list(1, entry), list(0, nil)},
		{"interest flags", interest, 2, list(1, append(append([]byte{0x84, 0}, key...), 7, 0xf6)), list(1, append(append([]byte{0x84, 0}, key...), 8, 0xf6))},
		{"interest kind", interest, 2, list(1, entry), list(1, append(append([]byte{0x84, 2}, key...), 1, 0xf6))},
		{"elsewhere entries, most", elsewhere, 2, list(512, where), list(513, where)},
		{"elsewhere entries, least", elsewhere, 2, list(1, where), list(0, nil)},
		{"elsewhere yes", elsewhere, 2, list(1, where), list(1, append(append([]byte{0x83, 0}, key...), 2))},
		{"data hops", data, 2, num(48), num(49)},
		{"data stamp", data, 3, stampField(1<<48 - 1), stampField(1 << 48)},
		{"data stamp of three", data, 3, stampField(1), append(append([]byte{0x83}, key...), 1, 1)},
		{"offer kind", offer, 2, num(1), num(2)},
		{"offer deep", offer, 4, num(1), num(2)},
		{"offer oid", offer, 5, str(8), str(7)},
		{"offer ids, most", offer, 6, list(512, str(16)), list(513, str(16))},
		{"offer ids, least", offer, 6, list(1, str(16)), list(0, nil)},
		{"offer id", offer, 6, list(1, str(16)), list(1, str(32))},
		{"pull hops", pull, 1, num(48), num(49)},
		{"pull ids", pull, 2, list(256, str(16)), list(257, str(16))},
		{"resync since", resync, 4, num(1<<48 - 1), num(1 << 48)},
		{"resync kind", resync, 2, num(1), num(2)},
		{"resync oid", resync, 5, str(8), str(9)},
		{"nohave ids", &NoHave{prefixes(1)}, 1, list(256, str(16)), list(257, str(16))},
	} {
		if _, err := Decode(edit(t, c.frame, c.field, c.good), nil); err != nil {
			t.Errorf("%s: at its limit: %v", c.caption, err)
		}
		wantCode(t, c.caption+" beyond its limit", edit(t, c.frame, c.field, c.bad), Malformed)
	}
}

// spec §6.1, §6.2: the documents.
func TestDocuments(t *testing.T) {
	homes, grant := testHomes(t), testGrant(t, 9)
	parseHomes := func(b []byte) error { _, err := ParseHomes(envelope.Signed{Body: b}, nil); return err }
	parseGrant := func(b []byte) error { _, err := ParseGrant(envelope.Signed{Body: b}, nil); return err }
	key := appendKey(nil, addr(t, 3))
	for _, c := range []struct {
		caption string
		parse   func([]byte) error
		body    []byte
		field   int
		with    []byte
		want    Code
	}{
		{"homes as they are", parseHomes, homes.Signed.Body, 0, num(1), OK},
		{"homes of version 2", parseHomes, homes.Signed.Body, 0, num(2), BadVersion},
		{"homes, four", parseHomes, homes.Signed.Body, 3, list(4, key), OK},
		{"homes, five", parseHomes, homes.Signed.Body, 3, list(5, key), Malformed},
		{"former homes, eight", parseHomes, homes.Signed.Body, 4, list(8, key), OK},
		{"former homes, nine", parseHomes, homes.Signed.Body, 4, list(9, key), Malformed},
		{"homes of nobody", parseHomes, homes.Signed.Body, 1, str(32), Malformed},
		{"homes without an epoch", parseHomes, homes.Signed.Body, 2, []byte{0xf6}, Malformed},
		{"grant as it is", parseGrant, grant.Signed.Body, 0, num(1), OK},
		{"grant of version 2", parseGrant, grant.Signed.Body, 0, num(2), BadVersion},
		{"grant of version 0", parseGrant, grant.Signed.Body, 0, num(0), BadVersion},
		{"grant of nobody", parseGrant, grant.Signed.Body, 1, str(32), Malformed},
		{"grant to nobody", parseGrant, grant.Signed.Body, 2, str(32), Malformed},
		{"grant until 2^48-1", parseGrant, grant.Signed.Body, 3, num(1<<48 - 1), OK},
		{"grant until 2^48", parseGrant, grant.Signed.Body, 3, num(1 << 48), Malformed},
	} {
		parts := fields(t, c.body)
		parts[c.field] = c.with
		err := c.parse(join(parts))
		got := OK
		if err != nil {
			got = faultOf(err).Code
		}
		if got != c.want {
			t.Errorf("%s: %v, want %v: %v", c.caption, got, c.want, err)
		}
		if c.want == OK && c.parse(join(parts[:len(parts)-1])) == nil {
			t.Errorf("%s, a field less: accepted", c.caption)
		}
		if c.want == OK && c.parse(append(join(parts), 0)) == nil {
			t.Errorf("%s, a byte more: accepted", c.caption)
		}
	}
	if !errors.Is(parseGrant(nil), cbor.ErrMalformed) {
		t.Error("a grant of no bytes does not say that it is malformed")
	}
}

// A document of another version inside of a frame keeps its code, and one above
// its size too.
func TestDocumentsInFrames(t *testing.T) {
	signed := func(body []byte) []byte { return (&envelope.Signed{Body: body}).AppendTo(nil) }
	sub := &Subscribe{Target: mail(t), Grant: testGrant(t, 9)}
	attach := &Attach{Homes: testHomes(t)}
	wantCode(t, "a grant of version 2", edit(t, sub, 6, signed([]byte{0x81, 2})), BadVersion)
	wantCode(t, "a grant of 129 bytes", edit(t, sub, 6, signed(make([]byte, 129))), TooLarge)
	wantCode(t, "a grant of 128 bytes of zero", edit(t, sub, 6, signed(make([]byte, 128))), Malformed)
	wantCode(t, "homes of version 2", edit(t, attach, 1, signed([]byte{0x81, 2})), BadVersion)
	wantCode(t, "homes of 1025 bytes", edit(t, attach, 1, signed(make([]byte, 1025))), TooLarge)
	wantCode(t, "no homes", edit(t, attach, 1, []byte{0xf6}), Malformed)
}

// spec §2.1: each document is signed under its own label.
func TestDocumentClaims(t *testing.T) {
	homes, grant := testHomes(t), testGrant(t, 9)
	if !homes.Claim().Holds() || !grant.Claim().Holds() {
		t.Error("a fresh document's claim does not hold")
	}
	forged := *grant
	forged.Signed.Sig = testKey(t, 9).Sign(identity.LabelHomes, grant.Signed.Body)
	if forged.Claim().Holds() {
		t.Error("a signature under another label holds")
	}
	stolen := *grant
	stolen.Signed.Sig = testKey(t, 3).Sign(identity.LabelGrant, grant.Signed.Body)
	if stolen.Claim().Holds() {
		t.Error("the router's signature holds for the address's")
	}
	if !homes.Names(addr(t, 4)) || homes.Names(addr(t, 6)) {
		t.Error("Names takes former homes for homes, or forgets one")
	}
	if got := fmt.Sprint(grant, (*Grant)(nil)); !strings.Contains(got, "grant{") || !strings.Contains(got, "no grant") {
		t.Errorf("grants print as %s", got)
	}
}

// spec §8.1: an announcement is good for exactly the receiver that its last hop
// names, and no hop can be cut out, changed or moved.
func TestAnnounceClaims(t *testing.T) {
	f, receiver := testAnnounce(t)
	if n := failed(f.Claims(receiver)); n != -1 {
		t.Fatalf("claim %d of a good announcement does not hold", n)
	}
	if len(f.Claims(receiver)) != len(f.Hops)+1 {
		t.Errorf("%d claims for %d hops and the root", len(f.Claims(receiver)), len(f.Hops))
	}
	for _, c := range []struct {
		caption string
		change  func(*Announce)
		fails   int
	}{
		{"another seq", func(f *Announce) { f.Seq++ }, 0},
		{"another time", func(f *Announce) { f.Issued++ }, 0},
		{"another class", func(f *Announce) { f.Class = Pinned }, 0},
		{"another root", func(f *Announce) { f.Root = addr(t, 8) }, 0},
		{"the root's signature changed", func(f *Announce) { f.RootSig[3] ^= 1 }, 0},
		{"the root's metric", func(f *Announce) { f.Hops[0].Metric = 1 }, 1},
		{"a smaller metric in the middle", func(f *Announce) { f.Hops[1].Metric-- }, 2},
		{"a smaller metric at the end", func(f *Announce) { f.Hops[2].Metric-- }, 3},
		{"the middle hop cut out", func(f *Announce) { f.Hops = append(f.Hops[:1:1], f.Hops[2]) }, 1},
		{"the last hop cut off", func(f *Announce) { f.Hops = f.Hops[:2] }, 2},
		{"a hop's signature changed", func(f *Announce) { f.Hops[1].Sig[0] ^= 1 }, 2},
	} {
		f, receiver := testAnnounce(t)
		c.change(f)
		if n := failed(f.Claims(receiver)); n != c.fails {
			t.Errorf("%s: claim %d fails first, want %d", c.caption, n, c.fails)
		}
	}
	if n := failed(f.Claims(addr(t, 1))); n != len(f.Hops) {
		t.Errorf("for another receiver claim %d fails first, want the last hop's", n)
	}
}

func failed(claims []identity.Claim) int {
	for i, c := range claims {
		if !c.Holds() {
			return i
		}
	}
	return -1
}

func TestSmallNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Service.String(), "service"}, {Edge.String(), "edge"}, {Core.String(), "core"},
		{InterestFlags(0).String(), "-"}, {Receiver.String(), "R"}, {(Sender | Holder).String(), "SH"}, {(Receiver | Sender | Holder).String(), "RSH"},
		{WhyQuota.String(), "quota"}, {WhyExpired.String(), "expired"}, {WhyLive.String(), "live under pressure"},
		{WhyHole.String(), "hole not repaired"}, {WhyLease.String(), "lease ended"}, {WhyTooLarge.String(), "larger than the client's frames"},
		{Why(99).String(), "reason 99"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	id := envelope.ID{1, 2, 3}
	if p := PrefixOf(id); p[0] != 1 || p[2] != 3 || len(p) != 16 {
		t.Errorf("prefix %x", p)
	}
}
