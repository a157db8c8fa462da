package main

import (
	"bytes"
	"crypto/sha256"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// headerVectors covers spec §4.1 and §4.2, header alone.
func headerVectors(s *set) {
	s.ok("header", "worked-example", "the header of §4.5", unhex(`8c0100
		58208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c
		58208139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394
		4805050505050505050001 1b0000019b76daa800 1a00093a8000
		5820a76baf7d30b6e73cac322391d09b96e0ac9d06421da5457103ca407ec091dd45
		5820eb91c7be1b7f00032a86f7b960a29de498721ecb65b99e2f174f9f10c9dc578d`))
	edit := func(i int, field []byte) []byte { return ownMessage().set(i, field).headerBytes() }
	for _, c := range []struct {
		name, comment string
		data          []byte
	}{
		{"own", "a group's own message", ownMessage().headerBytes()},
		{"writer", "a writer's", writerMessage().headerBytes()},
		{"mail", "to an address", mailMessage().headerBytes()},
		{"count-1024", "the most items", edit(6, num(1024))},
		{"ttl-1", "the shortest life", edit(8, num(1))},
		{"ttl-max", "the longest life", edit(8, num(2_592_000))},
		{"time-max", "the latest time", edit(7, num(1<<48-1))},
		{"first-max", "the greatest number", edit(5, num(1<<63-2))},
		{"flags-15", "all flags", edit(9, num(15))},
	} {
		s.ok("header", c.name, c.comment, c.data)
	}
	good := ownMessage().headerBytes()
	for _, c := range []struct {
		name    string
		code    int
		comment string
		data    []byte
	}{
		{"version-0", 2, "version 0", edit(0, num(0))},
		{"version-2", 2, "version 2", edit(0, num(2))},
		{"version-2-other", 2, "version 2 with other fields, which nobody looks at", cat(unhex("8302"), unhex("ff00"))},
		{"version-long", 1, "the version in two bytes", cat(good[:1], unhex("1801"), good[2:])},
		{"version-bytes", 1, "the version is a byte string", edit(0, unhex("4101"))},
		{"kind-2", 2, "an unknown kind", edit(1, num(2))},
		{"kind-null", 1, "the kind is null", edit(1, null())},
		{"flag-16", 2, "an unknown flag", edit(9, num(16))},
		{"flag-2-63", 2, "the highest flag bit", edit(9, num(1<<63))},
		{"kind-2-count-0", 1, "an unknown kind does not excuse a count of 0", arr(with(with(ownMessage().fields(), 1, num(2)), 6, num(0))...)},
		{"count-0", 1, "no items", edit(6, num(0))},
		{"count-1025", 1, "too many items", edit(6, num(1025))},
		{"ttl-0", 1, "no life", edit(8, num(0))},
		{"ttl-over", 1, "a life above 30 days", edit(8, num(2_592_001))},
		{"time-2-48", 1, "a time of 2^48", edit(7, num(1<<48))},
		{"first-over", 1, "first + count = 2^63", edit(5, num(1<<63-1))},
		{"first-2-63", 1, "first = 2^63", edit(5, num(1<<63))},
		{"run-7", 1, "a run of 7 bytes", edit(4, zeros(7))},
		{"run-9", 1, "a run of 9 bytes", edit(4, zeros(9))},
		{"body-31", 1, "a hash of 31 bytes", edit(10, zeros(31))},
		{"cert-33", 1, "a hash of 33 bytes", edit(11, zeros(33))},
		{"cert-uint", 1, "a number for a hash", edit(11, num(0))},
		{"to-31", 1, "a key of 31 bytes", edit(2, str(pub(1)[:31]))},
		{"to-small", 1, "a group of small order", edit(2, str(smallOrder()[0].key))},
		{"from-small", 1, "a writer of small order", edit(3, str(smallOrder()[3].key))},
		{"from-not-canonical", 1, "a writer that is not canonical", edit(3, str(bytes.Repeat([]byte{0xff}, 32)))},
		{"fields-11", 1, "a field missing", arr(ownMessage().fields()[:11]...)},
		{"fields-13", 1, "a field more", arr(append(ownMessage().fields(), null())...)},
		{"count-long", 1, "the count in two bytes", edit(6, unhex("1801"))},
		{"trailing", 1, "a byte after it", append(append([]byte(nil), good...), 0)},
		{"cut", 1, "cut off", good[:len(good)-1]},
		{"empty-array", 1, "no fields at all", unhex("80")},
		{"too-large", 3, "513 bytes", make([]byte, 513)},
		{"large", 1, "512 bytes, but no header", make([]byte, 512)},
	} {
		s.bad("header", c.name, c.code, c.comment, c.data)
	}
}

// fields returns the encoded fields with the body's hash.
func (m *message) fields() [][]byte {
	m.headerBytes()
	return append([][]byte(nil), m.header...)
}

// envelopeVectors covers spec §4.4.
func envelopeVectors(s *set) {
	goodEnvelopes(s)
	brokenEnvelopes(s)
	certificateFaults(s)
}

func goodEnvelopes(s *set) {
	many := ownMessage()
	many.body = envelope.PlainBody(make([][]byte, 1024))
	sealed := ownMessage().set(9, num(0))
	sealed.body = unhex("8401500102030405060708090a0b0c0d0e0f10")
	live := writerMessage()
	live.certify(certBody(pub(1), pub(2), certFrom, certTo, 2))
	rights := writerMessage()
	rights.certify(certBody(pub(1), pub(2), certFrom, certTo, 1|1<<40))
	edges := writerMessage()
	edges.certify(certBody(pub(1), pub(2), noon, noon, 1))
	life := writerMessage()
	life.certify(certBody(pub(1), pub(2), noon-400*day, noon, 1))
	for _, c := range []struct {
		name, comment string
		data          []byte
	}{
		{"own", "signed by the group", ownMessage().bytes()},
		{"writer", "signed by a writer with a certificate", writerMessage().bytes()},
		{"mail", "to an address", mailMessage().bytes()},
		{"mail-to-self", "to the sender's own address", mailMessage().set(2, str(pub(2))).bytes()},
		{"live", "live, with the right to", live.set(9, num(5)).bytes()},
		{"items-1024", "the most items", many.set(6, num(1024)).bytes()},
		{"sealed", "a body that this version does not open", sealed.bytes()},
		{"cert-unknown-right", "a right that this version does not know, besides", rights.bytes()},
		{"cert-edges", "a certificate for the one millisecond", edges.bytes()},
		{"cert-400-days", "the longest life, in its last millisecond", life.bytes()},
	} {
		s.ok("envelope", c.name, c.comment, c.data)
	}
}

// A fault of an envelope: the code, and what is wrong.
type envelopeFault struct {
	name    string
	code    int
	comment string
	data    []byte
}

func brokenEnvelopes(s *set) {
	for _, list := range [][]envelopeFault{signatureFaults(), headerFaults(), shapeFaults()} {
		for _, c := range list {
			s.bad("envelope", c.name, c.code, c.comment, c.data)
		}
	}
}

// put encodes an envelope from parts that may be anything.
func put(header, sig, cert, body []byte) []byte { return arr(str(header), str(sig), cert, str(body)) }

func signatureFaults() []envelopeFault {
	own := ownMessage()
	good, header := own.bytes(), own.headerBytes()
	sig := own.signer.Sign(identity.LabelEnvelope, header)
	highS := append([]byte(nil), sig[:]...)
	addL(highS[32:])
	grant := own.signer.Sign(identity.LabelGrant, header)
	stranger := key(7).Sign(identity.LabelEnvelope, header)
	flip := func(at int) []byte {
		b := append([]byte(nil), good...)
		b[at] ^= 1
		return b
	}
	const headAt = 3 // the array's head, and two bytes of the header's
	return []envelopeFault{
		{"sig-flipped-r", 6, "one bit of R flipped", flip(headAt + len(header) + 2)},
		{"sig-flipped-s", 6, "one bit of S flipped", flip(headAt + len(header) + 2 + 40)},
		{"sig-high-s", 6, "S + l, the same point in another form", put(header, highS, null(), own.body)},
		{"sig-zero", 6, "no signature at all", put(header, make([]byte, 64), null(), own.body)},
		{"sig-other-label", 6, "signed under the label of grants", put(header, grant[:], null(), own.body)},
		{"sig-stranger", 6, "signed by another key", put(header, stranger[:], null(), own.body)},
		{"sig-63", 1, "a signature of 63 bytes", put(header, sig[:63], null(), own.body)},
		{"sig-65", 1, "a signature of 65 bytes", put(header, append(sig[:64:64], 0), null(), own.body)},
		{"header-flipped", 6, "one bit of the run flipped", flip(headAt + 75)},
		{"body-flipped", 6, "one bit of the body flipped", flip(len(good) - 1)},
		{"body-hash", 6, "the header names another body", ownMessage().set(10, zeros(32)).bytes()},
		{"body-longer", 6, "a byte more in the body", put(header, sig[:], null(), append(own.body[:len(own.body):len(own.body)], 0))},
		{"body-empty", 1, "no body", put(header, sig[:], null(), nil)},
		{"body-null", 1, "null for a body", arr(str(header), str(sig[:]), null(), null())},
		{"body-text", 1, "a text for a body", arr(str(header), str(sig[:]), null(), text("hello"))},
		{"body-claim", 3, "a body that claims 1 MiB and a byte; the bytes are not there", cat(unhex("84"), str(header), str(sig[:]), null(), unhex("5a00100001"))},
		{"body-claim-4gib", 3, "a body that claims 4 GiB", cat(unhex("84"), str(header), str(sig[:]), null(), unhex("5b0000000100000000"))},
		{"body-claim-fits", 1, "a body that claims 1 MiB; the bytes are not there", cat(unhex("84"), str(header), str(sig[:]), null(), unhex("5a00100000"))},
	}
}

func headerFaults() []envelopeFault {
	own := ownMessage()
	header := own.headerBytes()
	return []envelopeFault{
		{"header-too-large", 3, "a header of 513 bytes", own.around(make([]byte, 513))},
		{"header-claim", 3, "a header that claims 4 GiB", unhex("84 5b0000000100000000")},
		{"header-512", 1, "a header of 512 bytes that is none", own.around(make([]byte, 512))},
		{"header-empty", 1, "an empty header", own.around(nil)},
		{"header-trailing", 1, "a byte after the header's fields", own.around(append(header[:len(header):len(header)], 0))},
		{"header-long-int", 1, "an integer of the header in a longer form", own.around(cat(header[:1], unhex("1801"), header[2:]))},
		{"version-2", 2, "a newer version", ownMessage().set(0, num(2)).bytes()},
		{"kind-2", 2, "an unknown kind", ownMessage().set(1, num(2)).bytes()},
		{"flag-16", 2, "an unknown flag", ownMessage().set(9, num(20)).bytes()},
		{"count-0", 1, "no items", ownMessage().set(6, num(0)).bytes()},
		{"count-1025", 1, "too many items", ownMessage().set(6, num(1025)).bytes()},
		{"ttl-0", 1, "no life", ownMessage().set(8, num(0)).bytes()},
		{"ttl-over", 1, "a life above 30 days", ownMessage().set(8, num(2_592_001)).bytes()},
		{"key-small", 1, "a writer of small order", ownMessage().set(3, str(smallOrder()[1].key)).bytes()},
		{"key-not-canonical", 1, "a group that is not canonical", ownMessage().set(2, str(bytes.Repeat([]byte{0xff}, 32))).bytes()},
	}
}

func shapeFaults() []envelopeFault {
	own, writer := ownMessage(), writerMessage()
	good, header := own.bytes(), own.headerBytes()
	sig := own.signer.Sign(identity.LabelEnvelope, header)
	naked := writerMessage().set(11, null())
	naked.cert = null()
	extra := ownMessage()
	extra.certify(certBody(pub(1), pub(1), certFrom, certTo, 3))
	mail := mailMessage()
	mail.certify(certBody(pub(9), pub(2), certFrom, certTo, 3))
	return []envelopeFault{
		{"no-cert", 1, "a writer without a certificate", naked.bytes()},
		{"cert-for-own", 1, "a certificate though the group signs itself", extra.bytes()},
		{"cert-for-mail", 1, "a certificate on mail", mail.bytes()},
		{"cert-in-header-only", 1, "the header names a certificate that is not there", put(writer.headerBytes(), sig[:], null(), writer.body)},
		{"cert-in-envelope-only", 1, "a certificate that the header does not name", put(header, sig[:], writer.cert, own.body)},
		{"fields-3", 1, "three fields", arr(str(header), str(sig[:]), null())},
		{"fields-5", 1, "five fields", arr(str(header), str(sig[:]), null(), str(own.body), null())},
		{"trailing", 1, "a byte after it", append(good[:len(good):len(good)], 0)},
		{"cut", 1, "cut off", good[:len(good)-1]},
		{"long-array", 1, "the array's head in two bytes", cat(unhex("9804"), good[1:])},
		{"long-bytes", 1, "the header's length in three bytes", cat(unhex("84 5900"), good[2:])},
		{"version-2-trailing", 1, "a newer version does not excuse a byte after the envelope", append(ownMessage().set(0, num(2)).bytes(), 0)},
	}
}

// addL adds the order of the base point to a little-endian scalar.
func addL(s []byte) {
	l := unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := 0
	for i := range s {
		carry += int(s[i]) + int(l[i])
		s[i], carry = byte(carry), carry>>8
	}
}

func certificateFaults(s *set) {
	cert := func(body []byte) *message {
		m := writerMessage()
		m.certify(body)
		return m
	}
	flipped := writerMessage()
	flipped.cert = append([]byte(nil), flipped.cert...)
	flipped.cert[len(flipped.cert)-40] ^= 1
	self := writerMessage()
	self.cert = signed(key(2), identity.LabelWriter, certBody(pub(1), pub(2), certFrom, certTo, 3))
	label := writerMessage()
	label.cert = signed(key(1), identity.LabelGrant, certBody(pub(1), pub(2), certFrom, certTo, 3))
	other := writerMessage()
	other.headerBytes()
	other.cert = signed(key(1), identity.LabelWriter, certBody(pub(1), pub(2), certFrom, certTo+1, 3))
	large := writerMessage()
	large.cert = arr(zeros(257), zeros(64))
	full := writerMessage()
	full.cert = arr(zeros(256), zeros(64))
	newer := arr(num(2), text("anything"))
	short := arr(num(1), str(pub(1)), str(pub(2)), num(certFrom), num(certTo))
	for _, c := range []struct {
		name    string
		code    int
		comment string
		data    []byte
	}{
		{"other-group", 7, "a certificate of another group, truly signed by that", foreignCert().bytes()},
		{"other-group-named", 7, "a certificate that names another group", cert(certBody(pub(7), pub(2), certFrom, certTo, 3)).bytes()},
		{"other-writer", 7, "a certificate for another writer", cert(certBody(pub(1), pub(7), certFrom, certTo, 3)).bytes()},
		{"expired", 8, "it ended a millisecond before the message", cert(certBody(pub(1), pub(2), certFrom, noon-1, 3)).bytes()},
		{"not-yet", 8, "it begins a millisecond after the message", cert(certBody(pub(1), pub(2), noon+1, certTo, 3)).bytes()},
		{"life", 8, "it lives for 400 days and a millisecond", cert(certBody(pub(1), pub(2), noon-1, noon+400*day, 3)).bytes()},
		{"backwards", 8, "it ends before it begins", cert(certBody(pub(1), pub(2), noon, noon-1, 3)).bytes()},
		{"no-right-stored", 7, "a stored message under a right to live ones", cert(certBody(pub(1), pub(2), certFrom, certTo, 2)).bytes()},
		{"no-right-live", 7, "a live message under a right to stored ones", cert(certBody(pub(1), pub(2), certFrom, certTo, 1)).set(9, num(5)).bytes()},
		{"no-right", 7, "no right at all", cert(certBody(pub(1), pub(2), certFrom, certTo, 0)).bytes()},
		{"sig-flipped", 7, "one bit of the group's signature flipped", flipped.bytes()},
		{"self-signed", 7, "signed by the writer", self.bytes()},
		{"other-label", 7, "signed under the label of grants", label.bytes()},
		{"other-hash", 6, "a later certificate of the same writer", other.bytes()},
		{"version-2", 2, "a certificate of a newer version", cert(newer).bytes()},
		{"fields-5", 1, "a certificate of five fields", cert(short).bytes()},
		{"small-order", 1, "a certificate with a key of small order", cert(certBody(pub(1), smallOrder()[2].key, certFrom, certTo, 3)).bytes()},
		{"too-large", 3, "a certificate of 257 bytes", large.bytes()},
		{"256", 1, "256 bytes that are no certificate", full.bytes()},
		{"trailing", 1, "a byte after the certificate's fields", cert(append(certBody(pub(1), pub(2), certFrom, certTo, 3), 0)).bytes()},
	} {
		s.bad("envelope", "cert-"+c.name, c.code, c.comment, c.data)
	}
}

// foreignCert carries a certificate of group 7, named in the header by its hash.
func foreignCert() *message {
	m := writerMessage()
	body := certBody(pub(7), pub(2), certFrom, certTo, 3)
	hash := sha256.Sum256(body)
	m.header[11] = cbor.AppendBytes(nil, hash[:])
	m.cert = signed(key(7), identity.LabelWriter, body)
	return m
}
