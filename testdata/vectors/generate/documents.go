package main

import "upsycle/identity"

// documentVectors covers spec §4.3, §6.1 and §6.2, each document alone.
func documentVectors(s *set) {
	documentSet(s, document{
		kind: "cert", label: identity.LabelWriter, signer: key(1), max: 256,
		fields: [][]byte{num(1), str(pub(1)), str(pub(2)), num(certFrom), num(certTo), num(3)},
		keys:   []int{1, 2}, times: []int{3, 4}, uints: []int{5},
	})
	documentSet(s, document{
		kind: "grant", label: identity.LabelGrant, signer: key(9), max: 128,
		fields: [][]byte{num(1), str(pub(9)), str(pub(3)), num(noon + 8*day)},
		keys:   []int{1, 2}, times: []int{3},
	})
	homes := document{
		kind: "homes", label: identity.LabelHomes, signer: key(9), max: 1024,
		fields: [][]byte{num(1), str(pub(9)), num(noon), arr(str(pub(3)), str(pub(4))), arr(str(pub(6)))},
		keys:   []int{1}, uints: []int{2},
	}
	documentSet(s, homes)
	k := str(pub(3))
	s.ok("homes", "none", "no homes", homes.sign(3, arr()))
	s.ok("homes", "four", "the most homes", homes.sign(3, many(4, k)))
	s.ok("homes", "former-eight", "the most former homes", homes.sign(4, many(8, k)))
	s.bad("homes", "five", 1, "one home too many", homes.sign(3, many(5, k)))
	s.bad("homes", "former-nine", 1, "one former home too many", homes.sign(4, many(9, k)))
	s.bad("homes", "home-small", 1, "a home of small order", homes.sign(3, arr(str(smallOrder()[2].key))))
	s.bad("homes", "homes-null", 1, "null for the list of homes", homes.sign(3, null()))
}

// A document describes the fields of one signed document, for faults of each
// class.
type document struct {
	kind   string
	label  identity.Label
	signer identity.Key
	max    int
	fields [][]byte
	keys   []int // fields that are keys
	times  []int // fields that are times
	uints  []int // fields that are any integer
}

// sign returns the document with field i replaced, signed.
func (d document) sign(i int, field []byte) []byte {
	return d.seal(arr(with(d.fields, i, field)...))
}

func (d document) seal(body []byte) []byte { return signed(d.signer, d.label, body) }

func documentSet(s *set, d document) {
	body := arr(d.fields...)
	good := d.seal(body)
	s.ok(d.kind, "ok", "as it should be", good)
	flip := func(at int) []byte {
		b := append([]byte(nil), good...)
		b[at] ^= 1
		return b
	}
	number := append(append([]int(nil), d.uints...), d.times...)[0]
	changed := arr(with(d.fields, number, num(noon+5))...)
	sig := d.signer.Sign(d.label, body)
	for _, c := range []struct {
		name    string
		code    int
		comment string
		data    []byte
	}{
		{"sig-flipped", 6, "one bit of the signature flipped", flip(len(good) - 1)},
		{"body-changed", 6, "a number changed after it was signed", arr(str(changed), str(sig[:]))},
		{"stranger", 6, "signed by another key", signed(key(7), d.label, body)},
		{"other-label", 6, "signed under another label", signed(d.signer, identity.LabelEnvelope, body)},
		{"version-2", 2, "a newer version", d.sign(0, num(2))},
		{"version-2-other", 2, "a newer version with other fields", d.seal(arr(num(2), text("x")))},
		{"version-null", 1, "no version", d.sign(0, null())},
		{"field-less", 1, "a field missing", d.seal(arr(d.fields[:len(d.fields)-1]...))},
		{"field-more", 1, "a field more", d.seal(arr(append(d.fields[:len(d.fields):len(d.fields)], num(0))...))},
		{"body-trailing", 1, "a byte after the fields", d.seal(append(body[:len(body):len(body)], 0))},
		{"body-empty", 1, "an empty body", d.seal(nil)},
		{"too-large", 3, "a body above its limit", d.seal(make([]byte, d.max+1))},
		{"large", 1, "a body at its limit that is none", d.seal(make([]byte, d.max))},
		{"trailing", 1, "a byte after it", append(good[:len(good):len(good)], 0)},
		{"one", 1, "a body without a signature", arr(str(body))},
		{"sig-32", 1, "a signature of 32 bytes", arr(str(body), zeros(32))},
		{"null", 1, "null", null()},
	} {
		s.bad(d.kind, c.name, c.code, c.comment, c.data)
	}
	for _, i := range d.keys {
		s.bad(d.kind, "key-small-"+string(rune('0'+i)), 1, "a key of small order", d.sign(i, str(smallOrder()[3].key)))
		s.bad(d.kind, "key-31-"+string(rune('0'+i)), 1, "a key of 31 bytes", d.sign(i, zeros(31)))
	}
	for _, i := range d.times {
		s.bad(d.kind, "time-2-48-"+string(rune('0'+i)), 1, "a time of 2^48", d.sign(i, num(1<<48)))
		s.bad(d.kind, "time-bytes-"+string(rune('0'+i)), 1, "bytes for a time", d.sign(i, zeros(6)))
	}
	for _, i := range d.uints {
		s.ok(d.kind, "uint-max-"+string(rune('0'+i)), "the greatest integer", d.sign(i, num(1<<64-1)))
		s.bad(d.kind, "uint-long-"+string(rune('0'+i)), 1, "an integer in a longer form", d.sign(i, unhex("1801")))
	}
}
