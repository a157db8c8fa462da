package main

import (
	"slices"
	"strconv"
	"strings"

	"upsycle/identity"
)

// A shape is a good frame and what may be wrong with each of its fields.
type shape struct {
	name   string
	fields [][]byte // the type first
	faults []fault
	also   []fault // good variants
}

// A fault replaces one field.
type fault struct {
	name    string
	field   int
	with    []byte
	comment string
}

// frameVectors covers spec §3.2 to §3.4, §5 and §8 to §11: each frame as it
// should be, with a field less and more, and one fault of each kind in each field.
func frameVectors(s *set) {
	for _, sh := range slices.Concat(linkShapes(), attachShapes(), treeShapes(), dataShapes()) {
		good := arr(sh.fields...)
		s.ok("frame", sh.name, "as it should be", good)
		for _, v := range sh.also {
			s.ok("frame", sh.name+"-"+v.name, v.comment, arr(with(sh.fields, v.field, v.with)...))
		}
		s.bad("frame", sh.name+"-less", 1, "a field missing", arr(sh.fields[:len(sh.fields)-1]...))
		s.bad("frame", sh.name+"-more", 1, "a field more", arr(append(sh.fields[:len(sh.fields):len(sh.fields)], num(0))...))
		s.bad("frame", sh.name+"-trailing", 1, "a byte after it", append(good[:len(good):len(good)], 0))
		s.bad("frame", sh.name+"-cut", 1, "cut off", good[:len(good)-1])
		for i := 1; i < len(sh.fields); i++ {
			s.bad("frame", sh.name+"-type-"+strconv.Itoa(i), 1, "a text for field "+strconv.Itoa(i), arr(with(sh.fields, i, wrongType(sh.fields[i]))...))
		}
		for _, f := range sh.faults {
			s.bad("frame", sh.name+"-"+f.name, 1, f.comment, arr(with(sh.fields, f.field, f.with)...))
		}
	}
	envelopesInFrames(s)
	unknownFrames(s)
}

// wrongType is a text, or bytes where a text is right.
func wrongType(field []byte) []byte {
	if field[0]>>5 == 3 {
		return unhex("4161")
	}
	return text("a")
}

func linkShapes() []shape {
	return []shape{
		{
			name:   "hello",
			fields: [][]byte{num(0), arr(num(1)), num(2), num(noon), str([]byte("bootboot")), num(1_114_112), arr(), text("upsycle/0.1")},
			also: []fault{
				{"versions-8", 1, many(8, num(1)), "the most versions"},
				{"features-32", 6, many(32, num(1<<64-1)), "the most features"},
				{"agent-64", 7, text(strings.Repeat("é", 32)), "the longest agent, in bytes"},
				{"agent-empty", 7, text(""), "no agent"},
			},
			faults: []fault{
				{"versions-0", 1, arr(), "no versions"},
				{"versions-9", 1, many(9, num(1)), "too many versions"},
				{"version-null", 1, arr(null()), "null for a version"},
				{"role-3", 2, num(3), "an unknown role"},
				{"now-2-48", 3, num(1 << 48), "a clock of 2^48"},
				{"now-long", 3, unhex("1900ff"), "a clock in a longer form"},
				{"boot-7", 4, zeros(7), "a boot of 7 bytes"},
				{"features-33", 6, many(33, num(1)), "too many features"},
				{"agent-65", 7, text(strings.Repeat("x", 65)), "an agent of 65 bytes"},
				{"agent-control", 7, text("a\nb"), "an agent with a line break"},
				{"agent-utf8", 7, unhex("61c3"), "an agent that is no UTF-8"},
			},
		},
		{
			name: "ping", fields: [][]byte{num(1), num(7)},
			also:   []fault{{"max", 1, num(1<<64 - 1), "the greatest number"}},
			faults: []fault{{"long", 1, unhex("1807"), "a number in a longer form"}, {"negative", 1, unhex("20"), "a negative number"}},
		},
		{
			name: "pong", fields: [][]byte{num(2), num(7)},
			faults: []fault{{"float", 1, unhex("f90000"), "a float"}, {"tag", 1, unhex("c007"), "a tag"}},
		},
		{
			name: "close", fields: [][]byte{num(3), num(14), text("a newer connection took over")},
			also: []fault{
				{"code-max", 1, num(1<<32 - 1), "the greatest code"},
				{"text-256", 2, text(strings.Repeat("x", 256)), "the longest text"},
			},
			faults: []fault{
				{"code-2-32", 1, num(1 << 32), "a code of 2^32"},
				{"text-257", 2, text(strings.Repeat("x", 257)), "a text of 257 bytes"},
				{"text-escape", 2, text("\x1b[31m"), "a text with an escape"},
				{"text-indefinite", 2, unhex("7f6161ff"), "a text of indefinite length"},
			},
		},
	}
}

func homesDoc() []byte {
	return signed(key(9), identity.LabelHomes, arr(num(1), str(pub(9)), num(noon), arr(str(pub(3))), arr()))
}

func grantDoc(address byte) []byte {
	return signed(key(address), identity.LabelGrant, arr(num(1), str(pub(address)), str(pub(3)), num(noon+8*day)))
}

func attachShapes() []shape {
	g, id, code := str(pub(1)), zeros(32), num(1<<32)
	small := str(smallOrder()[0].key)
	env := ownMessage().bytes()
	return []shape{
		{
			name: "attach", fields: [][]byte{num(8), homesDoc(), null()},
			also: []fault{{"resume", 2, arr(zeros(8), num(1<<64-1)), "with what it knows"}},
			faults: []fault{
				{"homes-null", 1, null(), "no homes document"},
				{"resume-box-7", 2, arr(zeros(7), num(1)), "a box of 7 bytes"},
				{"resume-3", 2, arr(zeros(8), num(1), num(1)), "three fields"},
				{"resume-0", 2, num(0), "0 for null"},
			},
		},
		{
			name: "attached", fields: [][]byte{num(9), num(noon), zeros(8), num(12), num(0), num(1)},
			faults: []fault{{"box-9", 2, zeros(9), "a box of 9 bytes"}, {"code", 4, code, "a code of 2^32"}, {"displaced-2", 5, num(2), "2 for a truth value"}},
		},
		{
			name: "subscribe", fields: [][]byte{num(10), num(1), num(0), g, num(0), null(), null()},
			also: []fault{
				{"grant", 6, grantDoc(1), "with a grant"}, {"since-0", 5, num(0), "since the beginning of time"},
				{"since-max", 5, num(1<<48 - 1), "since the latest time"}, {"mode-1", 4, num(1), "only while linked"},
			},
			faults: []fault{
				{"kind-2", 2, num(2), "an unknown kind"}, {"key-small", 3, small, "a key of small order"}, {"mode-2", 4, num(2), "an unknown mode"},
				{"since-2-48", 5, num(1 << 48), "a time of 2^48"}, {"grant-unsigned", 6, arr(zeros(79)), "a grant without a signature"},
			},
		},
		{name: "subscribed", fields: [][]byte{num(11), num(1), num(13)}, faults: []fault{{"code", 2, code, "a code of 2^32"}}},
		{
			name: "unsubscribe", fields: [][]byte{num(12), num(1), num(1), g},
			faults: []fault{{"kind-2", 2, num(2), "an unknown kind"}, {"key-33", 3, zeros(33), "a key of 33 bytes"}},
		},
		{name: "publish", fields: [][]byte{num(13), env}, also: []fault{{"mail", 1, mailMessage().bytes(), "mail"}, {"writer", 1, writerMessage().bytes(), "a writer's"}}},
		{
			name: "published", fields: [][]byte{num(14), id, num(0), null()},
			also: []fault{{"retry-1", 3, num(1), "again after a millisecond"}, {"retry-max", 3, num(1<<32 - 1), "again after the longest time"}},
			faults: []fault{
				{"id-16", 1, zeros(16), "half an id"}, {"code", 2, code, "a code of 2^32"},
				{"retry-0", 3, num(0), "0 for null"}, {"retry-2-32", 3, num(1 << 32), "a time of 2^32"},
			},
		},
		{name: "deliver", fields: [][]byte{num(15), num(7), env}, also: []fault{{"n-0", 1, num(0), "a live one"}}},
		{
			name: "delivered", fields: [][]byte{num(16), num(7), arr(arr(num(9), num(9)), arr(num(11), num(20)))},
			also: []fault{{"none", 2, arr(), "no ranges"}, {"full", 2, ranges(32), "the most ranges"}},
			faults: []fault{
				{"ranges-33", 2, ranges(33), "too many ranges"}, {"touch-n", 2, arr(arr(num(8), num(9))), "a range beside n"},
				{"below-n", 2, arr(arr(num(3), num(4))), "a range below n"}, {"backwards", 2, arr(arr(num(10), num(9))), "a range that ends before it begins"},
				{"touch", 2, arr(arr(num(9), num(9)), arr(num(10), num(20))), "ranges that touch"},
				{"fall", 2, arr(arr(num(11), num(20)), arr(num(9), num(9))), "ranges that fall"}, {"three", 2, arr(arr(num(9), num(9), num(9))), "a range of three"},
			},
		},
		{
			name: "gap", fields: [][]byte{num(17), num(8), num(0), g, num(noon), num(noon + 1), num(3), num(4)},
			also: []fault{{"why-max", 7, num(1<<32 - 1), "an unknown reason"}, {"count-max", 6, num(1<<64 - 1), "the greatest count"}},
			faults: []fault{
				{"kind-2", 2, num(2), "an unknown kind"}, {"key-small", 3, small, "a key of small order"}, {"from-2-48", 4, num(1 << 48), "a time of 2^48"},
				{"to-2-48", 5, num(1 << 48), "a time of 2^48"}, {"why-2-32", 7, num(1 << 32), "a reason of 2^32"},
			},
		},
	}
}

// ranges encodes n ranges that are right.
func ranges(n int) []byte {
	var list [][]byte
	for i := range uint64(n) {
		list = append(list, arr(num(100+3*i), num(101+3*i)))
	}
	return arr(list...)
}

func treeShapes() []shape {
	root, small := str(pub(3)), str(smallOrder()[0].key)
	hop := arr(root, num(0), zeros(64))
	entry := arr(num(0), str(pub(1)), num(1), null())
	where := arr(num(0), str(pub(1)), num(1))
	rootOnly := func(name string, n uint64) shape {
		return shape{name: name, fields: [][]byte{num(n), root}, faults: []fault{{"root-small", 1, small, "a root of small order"}, {"root-31", 1, zeros(31), "a key of 31 bytes"}}}
	}
	return []shape{
		{
			name: "announce", fields: [][]byte{num(32), root, num(noon / 1000), num(noon), num(1), zeros(64), arr(hop)},
			also: []fault{{"hops-24", 6, many(24, hop), "the longest chain"}, {"seq-max", 2, num(1<<62 - 1), "the greatest number"}},
			faults: []fault{
				{"root-small", 1, small, "a root of small order"}, {"seq-2-62", 2, num(1 << 62), "a number of 2^62"}, {"issued-2-48", 3, num(1 << 48), "a time of 2^48"},
				{"class-2", 4, num(2), "an unknown class"}, {"sig-63", 5, zeros(63), "a signature of 63 bytes"}, {"hops-0", 6, arr(), "no hops"},
				{"hops-25", 6, many(25, hop), "too long a chain"}, {"metric-2-31", 6, arr(arr(root, num(1<<31), zeros(64))), "a metric of 2^31"},
				{"hop-key", 6, arr(arr(small, num(0), zeros(64))), "a hop of small order"}, {"hop-2", 6, arr(arr(root, num(0))), "a hop without a signature"},
				{"hop-sig-65", 6, arr(arr(root, num(0), zeros(65))), "a hop's signature of 65 bytes"},
			},
		},
		rootOnly("retract", 33),
		{
			name: "seqreq", fields: [][]byte{num(34), root, num(5), num(32)},
			faults: []fault{{"root-small", 1, small, "a root of small order"}, {"want-2-62", 2, num(1 << 62), "a number of 2^62"}, {"hops-33", 3, num(33), "too far"}},
		},
		rootOnly("graft", 35), rootOnly("prune", 36),
		{
			name: "interest", fields: [][]byte{num(37), root, arr(entry, arr(num(1), str(pub(9)), num(7), grantDoc(9)), arr(num(0), str(pub(2)), num(0), null()))},
			also: []fault{{"entries-512", 2, many(512, entry), "the most entries"}},
			faults: []fault{
				{"entries-0", 2, arr(), "no entries"}, {"entries-513", 2, many(513, entry), "too many entries"}, {"kind-2", 2, arr(arr(num(2), str(pub(1)), num(1), null())), "an unknown kind"},
				{"flags-8", 2, arr(arr(num(0), str(pub(1)), num(8), null())), "an unknown flag"}, {"key-small", 2, arr(arr(num(0), small, num(1), null())), "a key of small order"},
				{"entry-3", 2, arr(where), "an entry of three"}, {"grant-bytes", 2, arr(arr(num(1), str(pub(9)), num(1), zeros(79))), "bytes for a grant"},
			},
		},
		{
			name: "elsewhere", fields: [][]byte{num(38), root, arr(where, arr(num(1), str(pub(9)), num(0)))},
			also: []fault{{"entries-512", 2, many(512, where), "the most entries"}},
			faults: []fault{
				{"entries-0", 2, arr(), "no entries"}, {"entries-513", 2, many(513, where), "too many entries"},
				{"yes-2", 2, arr(arr(num(0), str(pub(1)), num(2))), "neither yes nor no"}, {"yes-true", 2, arr(arr(num(0), str(pub(1)), unhex("f5"))), "true for 1"},
			},
		},
	}
}

func dataShapes() []shape {
	root, small := str(pub(3)), str(smallOrder()[0].key)
	env := ownMessage().bytes()
	stamp := arr(str(pub(3)), num(noon))
	p := zeros(16)
	return []shape{
		{
			name: "data", fields: [][]byte{num(39), root, num(0), stamp, env},
			also: []fault{{"hops-48", 2, num(48), "as far as it goes"}},
			faults: []fault{
				{"root-small", 1, small, "a root of small order"}, {"hops-49", 2, num(49), "too far"}, {"stamp-3", 3, arr(root, num(1), num(1)), "a stamp of three"},
				{"stamp-time", 3, arr(root, num(1<<48)), "a stamp of 2^48"}, {"stamp-key", 3, arr(small, num(1)), "an ingress of small order"},
			},
		},
		{
			name: "offer", fields: [][]byte{num(40), root, num(0), str(pub(1)), num(0), zeros(8), arr(p)},
			also: []fault{{"ids-512", 6, many(512, p), "the most ids"}, {"deep", 4, num(1), "deep"}},
			faults: []fault{
				{"kind-2", 2, num(2), "an unknown kind"}, {"key-small", 3, small, "a key of small order"}, {"deep-2", 4, num(2), "neither yes nor no"},
				{"oid-7", 5, zeros(7), "an oid of 7 bytes"}, {"ids-0", 6, arr(), "no ids"}, {"ids-513", 6, many(513, p), "too many ids"}, {"id-32", 6, arr(zeros(32)), "a whole id"},
			},
		},
		{
			name: "pull", fields: [][]byte{num(41), num(48), arr(p, p)},
			also:   []fault{{"ids-256", 2, many(256, p), "the most ids"}},
			faults: []fault{{"hops-49", 1, num(49), "too far"}, {"ids-0", 2, arr(), "no ids"}, {"ids-257", 2, many(257, p), "too many ids"}},
		},
		{name: "pulled", fields: [][]byte{num(42), stamp, env}, faults: []fault{{"stamp-null", 1, null(), "no stamp"}}},
		{
			name: "nohave", fields: [][]byte{num(43), arr(p)},
			also:   []fault{{"ids-256", 1, many(256, p), "the most ids"}},
			faults: []fault{{"ids-0", 1, arr(), "no ids"}, {"ids-257", 1, many(257, p), "too many ids"}, {"id-15", 1, arr(zeros(15)), "an id of 15 bytes"}},
		},
		{
			name: "resync", fields: [][]byte{num(44), root, num(0), str(pub(1)), num(noon), zeros(8)},
			also: []fault{{"since-0", 4, num(0), "everything"}},
			faults: []fault{
				{"kind-2", 2, num(2), "an unknown kind"}, {"key-small", 3, small, "a key of small order"},
				{"since-2-48", 4, num(1 << 48), "a time of 2^48"}, {"oid-7", 5, zeros(7), "an oid of 7 bytes"},
			},
		},
	}
}

// envelopesInFrames keeps the code of what is wrong inside.
func envelopesInFrames(s *set) {
	own := ownMessage()
	publish := func(env []byte) []byte { return arr(num(13), env) }
	s.ok("frame", "publish-newer", "an envelope of a newer version is no fault of the frame", publish(ownMessage().set(0, num(2)).bytes()))
	s.ok("frame", "publish-sig-flipped", "signatures are not looked at when a frame is read", publish(arr(str(own.headerBytes()), zeros(64), null(), str(own.body))))
	s.bad("frame", "publish-count-0", 1, "an envelope without items", publish(ownMessage().set(6, num(0)).bytes()))
	s.bad("frame", "publish-header-513", 3, "a header of 513 bytes", publish(own.around(make([]byte, 513))))
	s.bad("frame", "publish-body-claim", 3, "a body that claims 4 GiB", cat(unhex("820d84"), str(own.headerBytes()), zeros(64), null(), unhex("5b0000000100000000")))
	s.bad("frame", "publish-envelope-null", 1, "no envelope", publish(null()))
	s.bad("frame", "deliver-no-cert", 1, "a writer without a certificate", arr(num(15), num(1), uncertified().bytes()))
	s.bad("frame", "data-key", 1, "an envelope to a key of small order", arr(num(39), str(pub(3)), num(0), arr(str(pub(3)), num(noon)), ownMessage().set(2, str(smallOrder()[0].key)).bytes()))
	s.bad("frame", "subscribe-grant-newer", 2, "a grant of a newer version", arr(num(10), num(1), num(1), str(pub(9)), num(0), null(), signed(key(9), identity.LabelGrant, arr(num(2), text("x")))))
	s.bad("frame", "subscribe-grant-129", 3, "a grant of 129 bytes", arr(num(10), num(1), num(1), str(pub(9)), num(0), null(), arr(zeros(129), zeros(64))))
	s.bad("frame", "attach-homes-1025", 3, "a homes document of 1025 bytes", arr(num(8), arr(zeros(1025), zeros(64)), null()))
	s.bad("frame", "attach-homes-newer", 2, "a homes document of a newer version", arr(num(8), arr(str(arr(num(9))), zeros(64)), null()))
}

func uncertified() *message {
	m := writerMessage().set(11, null())
	m.cert = null()
	return m
}

// unknownFrames covers the last paragraph of spec §3.2.
func unknownFrames(s *set) {
	for _, c := range []struct{ name, comment, hex string }{
		{"rootset", "rootset, which is not in this version", "83182d 41aa 00"},
		{"fetch", "fetch, which is not in this version", "8212 00"},
		{"alone", "a type alone", "81183f"},
		{"max", "the greatest type", "821affffffff 83016161f6"},
		{"deep", "as deep as it may be", "8204 8181818180"},
		{"fields-64", "the most fields", "9840 04" + strings.Repeat("00", 63)},
	} {
		s.add(vector{name: "frame-unknown-" + c.name, kind: "frame", expect: "unknown", comment: c.comment, data: unhex(c.hex)})
	}
	for _, c := range []struct{ name, comment, hex string }{
		{"bad-deep", "an unknown type, one too deep", "8204 818181818180"},
		{"bad-map", "an unknown type with a map", "8204a0"},
		{"bad-cut", "an unknown type that is cut off", "820441"},
		{"bad-trailing", "a byte after an unknown type", "810400"},
		{"bad-65", "65 fields", "9841 04" + strings.Repeat("00", 64)},
		{"bad-2-32", "a type of 2^32", "811b0000000100000000"},
		{"bad-type-bytes", "a type that is no number", "814104"},
		{"bad-empty", "no type", "80"},
		{"bad-nothing", "no bytes", ""},
		{"bad-not-array", "no array", "00"},
		{"bad-long-type", "a ping whose type is in two bytes", "82180107"},
		{"bad-long-array", "a ping whose array head is in two bytes", "98020107"},
		{"bad-indefinite", "a ping of indefinite length", "9f0107ff"},
	} {
		s.bad("frame", c.name, 1, c.comment, unhex(c.hex))
	}
}
