package identity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"filippo.io/edwards25519"
)

// Why small-order points are refused (spec §2.2): under the neutral point the
// signature "R neutral, S zero" holds for every message, and anybody can write it.
func TestSmallOrderKeysVerifyAnything(t *testing.T) {
	neutral := unhex(t, smallOrder[0].hex)
	forged := append(bytes.Clone(neutral), make([]byte, 32)...)
	for _, message := range []string{"", "pay", "another message"} {
		if !ed25519.Verify(neutral, []byte(message), forged) {
			t.Errorf("%q: the library refuses; the check of addresses may be needless now", message)
		}
		var sig Signature
		copy(sig[:], forged)
		if (Address{}).Verify("", []byte(message), sig) {
			t.Errorf("%q: nobody signs", message)
		}
	}
}

// Whatever 32 bytes are taken are a point in the one encoding it has, outside
// the small subgroup, and come back as they were.
func FuzzNewAddress(f *testing.F) {
	f.Add(seeded(f, 1).Address().Bytes())
	for _, c := range smallOrder {
		f.Add(unhex(f, c.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := NewAddress(b)
		if (err == nil) == a.IsZero() {
			t.Fatalf("%x: %v, %v", b, a, err)
		}
		if err != nil {
			return
		}
		p, err := new(edwards25519.Point).SetBytes(b)
		if err != nil || !bytes.Equal(p.Bytes(), b) || !bytes.Equal(a.Bytes(), b) {
			t.Fatalf("%x is taken", b)
		}
		for _, c := range smallOrder {
			if hex.EncodeToString(b) == c.hex {
				t.Fatalf("%s is taken", c.caption)
			}
		}
	})
}

// The rule of the house is crypto/ed25519's own, neither wider nor narrower.
func FuzzVerify(f *testing.F) {
	k := seeded(f, 1)
	sig := k.Sign(LabelID, []byte("body"))
	f.Add(k.Address().Bytes(), []byte("body"), sig[:])
	f.Add(k.Address().Bytes(), []byte{}, make([]byte, 64))
	f.Fuzz(func(t *testing.T, key, body, s []byte) {
		a, err := NewAddress(key)
		if err != nil || len(s) != len(Signature{}) {
			return
		}
		want := ed25519.Verify(key, append([]byte(LabelID), body...), s)
		if got := a.Verify(LabelID, body, Signature(s)); got != want {
			t.Fatalf("we say %v, the library %v", got, want)
		}
		if got := (Claim{Key: a, Label: LabelID, Body: body, Sig: Signature(s)}).Holds(); got != want {
			t.Fatalf("the claim says %v, the library %v", got, want)
		}
	})
}

// A refusal is one line, not longer than a screen's width or two, whatever was
// given: the text may come from somebody else.
func TestRefusalsAreShort(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	for _, s := range []string{
		long, "upr1" + long, "did:key:z" + long, long + "://h:1", "tls://" + long + ":1", "tls://h:" + long, "unix:///" + long,
		"mem:" + long, "tls://[" + long + "]:1", "tls://h:1#" + long, "a\nb", "tls://a\"\\b:1", "\x1b[2J://h:1", "tls://é\u202e:1", "upr1\x00",
		strings.Repeat("é", 1<<10) + "://h:1",
	} {
		for what, err := range map[string]error{"address": second(ParseAddress(s)), "endpoint": justError(ParseEndpoint(s))} {
			var text *TextError
			if !errors.As(err, &text) {
				t.Errorf("%s %.20q: %v", what, s, err)
				continue
			}
			for _, line := range []string{text.Error(), text.Hint()} {
				if len(line) > 400 || strings.ContainsAny(line, "\n\x1b\x00\u202e") || !utf8.ValidString(line) || line == "" {
					t.Errorf("%s %.20q: %q", what, s, line)
				}
			}
		}
	}
}

func second(_ Address, _ TextRole, err error) error { return err }

func justError(_ Endpoint, err error) error { return err }

// Neither a key file that is refused nor its bytes stand in the refusal.
func TestRefusedKeysAreNotQuoted(t *testing.T) {
	secret := "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U="
	for _, file := range []string{
		"-----BEGIN PRIVATE KEY-----\n" + secret + "\n-----END PRIVATE KEY-----\n",
		"-----BEGIN RSA PRIVATE KEY-----\n" + secret + "\n-----END RSA PRIVATE KEY-----\n",
		secret,
		string(MarshalPEM(seeded(t, 7))) + secret,
	} {
		_, err := ParsePEM([]byte(file))
		var text *TextError
		if !errors.As(err, &text) || strings.Contains(text.Error()+text.Hint(), secret[:8]) || strings.Contains(text.Error(), "MC4C") {
			t.Errorf("%v", err)
		}
	}
	// A private key pasted where an address is wanted is not repeated either.
	for _, s := range []string{secret, "AGE-SECRET-KEY-1" + strings.Repeat("Q", 40), strings.Repeat("ab", 31)} {
		if _, _, err := ParseAddress(s); err == nil || strings.Contains(err.Error(), s[len(s)-8:]) {
			t.Errorf("%v", err)
		}
	}
}

// ErrBadKey is found through every way in.
func TestBadKeyIsFound(t *testing.T) {
	bad := smallOrder[2].hex
	for what, err := range map[string]error{
		"address":         second(ParseAddress(bad)),
		"endpoint":        justError(ParseEndpoint("tls://h:1#" + bad)),
		"address as role": func() error { _, err := ParseAddressAs(bad, RouterText); return err }(),
	} {
		if !errors.Is(err, ErrBadKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"a word":       second(ParseAddress("word")),
		"a wrong role": func() error { _, err := ParseAddressAs(exampleText, RouterText); return err }(),
	} {
		if errors.Is(err, ErrBadKey) {
			t.Errorf("%s is ErrBadKey: %v", what, err)
		}
	}
}

// A Key may be used by any number of goroutines; run with -race.
func TestKeyInManyGoroutines(t *testing.T) {
	k := seeded(t, 1)
	want := k.Sign(LabelID, []byte("x"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				if k.Sign(LabelID, []byte("x")) != want || !k.Address().Verify(LabelID, []byte("x"), want) {
					t.Error("another signature")
				}
			}
		})
	}
	all.Wait()
}

// What is handed out is the caller's.
func TestSeedIsACopy(t *testing.T) {
	k := seeded(t, 1)
	before := k.Sign(LabelID, nil)
	clear(k.Seed())
	if k.Sign(LabelID, nil) != before {
		t.Error("the key changed with the copy of its seed")
	}
	seed := bytes.Repeat([]byte{1}, SeedSize)
	k, err := NewKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	clear(seed)
	if k.Sign(LabelID, nil) != before {
		t.Error("the key changed with the seed it was made of")
	}
}

func BenchmarkNewAddress(b *testing.B) {
	raw := seeded(b, 1).Address().Bytes()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewAddress(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	k := seeded(b, 1)
	body := make([]byte, 165) // the size of a header with certificate
	claim := Claim{Key: k.Address(), Label: LabelEnvelope, Body: body, Sig: k.Sign(LabelEnvelope, body)}
	b.ReportAllocs()
	for b.Loop() {
		if !claim.Holds() {
			b.Fatal("refused")
		}
	}
}

func BenchmarkParseAddress(b *testing.B) {
	for b.Loop() {
		if _, _, err := ParseAddress(exampleText); err != nil {
			b.Fatal(err)
		}
	}
}
