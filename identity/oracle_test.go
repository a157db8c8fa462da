package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The tests of this file hold our own code against other people's.

// keyOf draws a key.
func keyOf(t *rapid.T) Key {
	k, err := NewKey(rapid.SliceOfN(rapid.Byte(), SeedSize, SeedSize).Draw(t, "seed"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Every address prints and reads back in every form.
func TestTextRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := keyOf(t).Address()
		for role := NoText; role <= GroupText; role++ {
			s := a.Text(role)
			for _, form := range []string{s, strings.ToUpper(s)} {
				if got, r, err := ParseAddress(form); err != nil || got != a || r != role {
					t.Fatalf("%s reads back as %v, %v, %v", form, got, r, err)
				}
			}
			if !strings.HasPrefix(s, a.Short(role)) {
				t.Fatalf("%s does not begin %s", a.Short(role), s)
			}
		}
	})
}

// Bech32m promises to find any four mistyped characters.
func TestBech32mFindsFourSlips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(keyOf(t).Address().Text(RouterText))
		at := rapid.SliceOfNDistinct(rapid.IntRange(4, TextSize-1), 1, 4, rapid.ID[int]).Draw(t, "at")
		for _, i := range at {
			old := strings.IndexByte(bechAlphabet, text[i])
			text[i] = bechAlphabet[(old+rapid.IntRange(1, 31).Draw(t, "by"))%32]
		}
		if _, _, err := ParseAddress(string(text)); err == nil {
			t.Fatalf("%s is accepted with %d slips", text, len(at))
		}
	})
}

// One character more or less is found by the length alone.
func TestBech32mFindsLengths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(keyOf(t).Address().Text(GroupText))
		i := rapid.IntRange(4, TextSize-1).Draw(t, "at")
		for _, wrong := range [][]byte{slices.Delete(slices.Clone(text), i, i+1), slices.Insert(slices.Clone(text), i, text[i])} {
			if _, _, err := ParseAddress(string(wrong)); err == nil || !strings.Contains(err.Error(), "62 characters") {
				t.Fatalf("%s: %v", wrong, err)
			}
		}
	})
}

// base58 against big integers.
func TestBase58AgainstBigInt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.RuneFrom([]rune(base58Alphabet)), 0, didMax, -1).Draw(t, "text")
		number := new(big.Int)
		for _, c := range s {
			number.Mul(number, big.NewInt(58)).Add(number, big.NewInt(int64(strings.IndexRune(base58Alphabet, c))))
		}
		zeros := len(s) - len(strings.TrimLeft(s, "1"))
		want := append(make([]byte, zeros), number.Bytes()...)
		if got, err := base58Decode(s); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q is %x, %v, want %x", s, got, err, want)
		}
	})
}

// did:key as the big integers of the other direction write it.
func TestDIDRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := keyOf(t).Address()
		n := new(big.Int).SetBytes(append([]byte{codecHigh, codecLow}, a.Bytes()...))
		var text []byte
		for n.Sign() > 0 {
			digit := new(big.Int)
			n.DivMod(n, big.NewInt(58), digit)
			text = append(text, base58Alphabet[digit.Int64()])
		}
		slices.Reverse(text)
		if got, role, err := ParseAddress("did:key:z" + string(text)); err != nil || got != a || role != NoText {
			t.Fatalf("did:key:z%s: %v, %v, %v", text, got, role, err)
		}
	})
}

// The key files against the standard library's PKCS#8.
func TestPEMAgainstX509(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := keyOf(t)
		der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(k.Seed()))
		if err != nil {
			t.Fatal(err)
		}
		file := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		if !bytes.Equal(file, MarshalPEM(k)) {
			t.Fatalf("the library writes\n%s", file)
		}
		if got, err := ParsePEM(file); err != nil || got.Address() != k.Address() {
			t.Fatalf("%v, %v", got.Address(), err)
		}
	})
}

// Whatever we take as a key file, the standard library takes too, as the same key.
func TestPEMIsNoWiderThanX509(t *testing.T) {
	good, _ := pem.Decode(MarshalPEM(seeded(t, 1)))
	for i := range len(good.Bytes) * 8 {
		der := bytes.Clone(good.Bytes)
		der[i/8] ^= 1 << (i % 8)
		k, err := ParsePEM(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if (err == nil) != (i/8 >= len(derPrefix)) {
			t.Fatalf("bit %d flipped: %v", i, err)
		}
		if err != nil {
			continue
		}
		theirs, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil || !bytes.Equal(theirs.(ed25519.PrivateKey).Seed(), k.Seed()) {
			t.Fatalf("bit %d flipped: the library says %v", i, err)
		}
	}
}

// IPv6 hosts against package netip: written out from its addresses, and as
// garbage over the same characters. Of zones we take fewer than package netip.
func TestIPv6AgainstNetip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 0, 1, 0xfe, 0xff}), 16, 16).Draw(t, "bytes")
		a := netip.AddrFrom16([16]byte(b))
		for _, s := range []string{a.String(), a.StringExpanded(), a.WithZone("eth0").String()} {
			if !isIPv6(s) {
				t.Fatalf("%s is refused", s)
			}
		}
		s := rapid.StringOfN(rapid.RuneFrom([]rune("012af:::::.")), 0, 24, -1).Draw(t, "text")
		if rapid.Bool().Draw(t, "dotted") {
			s += rapid.SampledFrom([]string{"1.2.3.4", ":1.2.3.4", "::1.2.3.4", "1.2.3.256", ".1.2.3.4"}).Draw(t, "tail")
		}
		theirs, err := netip.ParseAddr(s)
		if ours := isIPv6(s); ours != (err == nil && theirs.Is6()) {
			t.Fatalf("%q: we say %v, netip %v, %v", s, ours, theirs, err)
		}
	})
}

// What we take as host and port, package net splits into the same two.
func TestHostPortAgainstNet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.RuneFrom([]rune("ab1.:-_[]%@/ ")), 0, 16, -1).Draw(t, "text")
		e, err := ParseEndpoint("tls://" + s)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(s)
		if h, p := e.HostPort(); err != nil || h != host || p != port {
			t.Fatalf("%q: we say %q, %q, net says %q, %q, %v", s, h, p, host, port, err)
		}
	})
}

// Endpoints built from their parts print as a text that reads back.
func TestEndpointRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		host := rapid.StringMatching(`[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?|\[::1\]|\[fe80::1%en0\]|`).Draw(t, "host")
		port := rapid.Uint16().Draw(t, "port")
		e := Endpoint{Scheme: SchemeTLS, Where: host + ":" + big.NewInt(int64(port)).String()}
		if rapid.Bool().Draw(t, "unix") {
			e = Endpoint{Scheme: SchemeUnix, Where: rapid.StringMatching(`(/[a-z .=&é-]{1,10}){1,4}`).Draw(t, "path")}
		}
		if rapid.Bool().Draw(t, "pinned") {
			e = e.WithPin(keyOf(t).Address())
		}
		if got, err := ParseEndpoint(e.String()); err != nil || got != e {
			t.Fatalf("%s reads back as %v, %v", e, got, err)
		}
	})
}

// RFC 8032 §7.1, tests 1 to 3: our signatures are plain Ed25519 over label || body.
func TestRFC8032(t *testing.T) {
	for _, c := range []struct{ caption, seed, public, message, sig string }{
		{
			"test 1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
		},
		{
			"test 2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
			"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
			"92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
		},
		{
			"test 3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
		},
	} {
		k, err := NewKey(unhex(t, c.seed))
		if err != nil || k.Address().Text(NoText) != c.public {
			t.Fatalf("%s: %s, %v", c.caption, k.Address().Text(NoText), err)
		}
		message := unhex(t, c.message)
		sig := k.Sign(Label(message), nil)
		if !bytes.Equal(sig[:], unhex(t, c.sig)) || sig != k.Sign("", message) || !k.Address().Verify("", message, sig) {
			t.Errorf("%s: signature %x", c.caption, sig)
		}
	}
}

// One bit of a signature, of the body or of the key is enough to refuse it.
func TestEveryBitCounts(t *testing.T) {
	k := seeded(t, 1)
	body := []byte("upsycle")
	sig := k.Sign(LabelGrant, body)
	for i := range len(sig) * 8 {
		wrong := sig
		wrong[i/8] ^= 1 << (i % 8)
		if k.Address().Verify(LabelGrant, body, wrong) {
			t.Errorf("bit %d of the signature flipped: accepted", i)
		}
	}
	for i := range len(body) * 8 {
		wrong := bytes.Clone(body)
		wrong[i/8] ^= 1 << (i % 8)
		if k.Address().Verify(LabelGrant, wrong, sig) {
			t.Errorf("bit %d of the body flipped: accepted", i)
		}
	}
	for i := range AddressSize * 8 {
		b := k.Address().Bytes()
		b[i/8] ^= 1 << (i % 8)
		if a, err := NewAddress(b); err == nil && a.Verify(LabelGrant, body, sig) {
			t.Errorf("bit %d of the key flipped: accepted", i)
		}
	}
}
