package identity

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// The keys of the worked example (spec §4.5): seeds of 32 × 01 and 32 × 02.
const (
	exampleGroup    = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c"
	exampleText     = "upg132yw8ht5p8cetl2jmvknewjawt9xwzdlrk2pyxlnwjyqrdq0dawqr03y4a"
	exampleWriter   = "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
	exampleGroupDID = "did:key:z6Mkon3Necd6NkkyfoGoHxid2znGc59LU3K7mubaRcFbLfLX"
)

func TestWorkedExample(t *testing.T) {
	g, w := seeded(t, 1).Address(), seeded(t, 2).Address()
	if hex.EncodeToString(g.Bytes()) != exampleGroup || hex.EncodeToString(w.Bytes()) != exampleWriter {
		t.Fatalf("keys %x %x", g.Bytes(), w.Bytes())
	}
	if got := g.Text(GroupText); got != exampleText || len(got) != TextSize {
		t.Errorf("text %s, want %s", got, exampleText)
	}
	if got := g.Short(GroupText); got != "upg132yw8ht5" {
		t.Errorf("short %s", got)
	}
}

// spec §1.2: the text forms that are taken, and what role they name.
func TestParseAddressTakes(t *testing.T) {
	g := seeded(t, 1).Address()
	for _, c := range []struct {
		caption, s string
		role       TextRole
	}{
		{"a group", exampleText, GroupText},
		{"a group in upper case", strings.ToUpper(exampleText), GroupText},
		{"a router", g.Text(RouterText), RouterText},
		{"a service", g.Text(ServiceText), ServiceText},
		{"hexadecimal", exampleGroup, NoText},
		{"hexadecimal in upper case", strings.ToUpper(exampleGroup), NoText},
		{"did:key", exampleGroupDID, NoText},
	} {
		if a, role, err := ParseAddress(c.s); err != nil || a != g || role != c.role {
			t.Errorf("%s: %v, %v, %v", c.caption, a, role, err)
		}
	}
}

// The first two are from the test vectors of the did:key method, the last is the
// worked example's group, converted by a program that shares no code with ours.
func TestDIDKeyVectors(t *testing.T) {
	for _, c := range []struct{ did, hex string }{
		{"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"},
		{"did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"},
		{exampleGroupDID, exampleGroup},
	} {
		a, role, err := ParseAddress(c.did)
		if err != nil || role != NoText || a.Text(NoText) != c.hex {
			t.Errorf("%s: %s, %v, %v, want %s", c.did, a.Text(NoText), role, err, c.hex)
		}
	}
}

func TestParseAddressRefuses(t *testing.T) {
	g := seeded(t, 1).Address()
	flip := func(s string, i int, c byte) string { return s[:i] + string(c) + s[i+1:] }
	dirty := append(fives(g.Bytes()), 0)[:52]
	dirty[51] |= 1
	for _, c := range []struct{ caption, s, says string }{
		{"nothing", "", "empty text"},
		{"a word", "gateway", "not a key"},
		{"a file name", "router.pem", "not a key"},
		{"one character short", exampleText[:61], "has 62 characters, this has 61"},
		{"one character more", exampleText + "q", "has 62 characters, this has 63"},
		{"a prefix alone", "upg1", "this has 4"},
		{"mixed case", flip(exampleText, 10, 'H'), "mixed"},
		{"the letter o", flip(exampleText, 9, 'o'), "character 10, 'o'"},
		{"a blank inside", flip(exampleText, 9, ' '), "character 10 does not occur"},
		{"an accent", exampleText[:9] + "é" + exampleText[11:], "character 10 does not occur"},
		{"the older Bech32", bech32Old(t, exampleText), "mistyped"},
		{"padding that is not zero", bechEncode("upg", dirty), "last bits"},
		{"another prefix", bechEncode("upx", fives(g.Bytes())), `prefix "upx"`},
		{"another role's prefix on the same characters", "upr" + exampleText[3:], "mistyped"},
		{"63 hexadecimal digits", exampleGroup[:63], "64 digits, this has 63"},
		{"65 hexadecimal digits", exampleGroup + "0", "64 digits, this has 65"},
		{"a did:key of X25519", "did:key:z6LSeu9HkTHSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F", "not an Ed25519 key"},
		{"a did:key of secp256k1", "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", "not an Ed25519 key"},
		{"a did:key that is too long", "did:key:z" + strings.Repeat("6", 50), "too long"},
		{"a did:key in base 64", "did:key:uAQID", "another base"},
		{"a did:key with a fragment", exampleGroupDID + "#key", "fragment"},
		{"a did:key with a letter that base58 has not", flip(exampleGroupDID, 20, 'l'), "character 21"},
		{"a did:key with a leading zero byte", "did:key:z1" + exampleGroupDID[9:], "not an Ed25519 key"},
		{"a did:key that is cut off", exampleGroupDID[:40], "not an Ed25519 key"},
		{"another did method", "did:web:example.org", "not a key"},
	} {
		a, role, err := ParseAddress(c.s)
		if err == nil || !strings.Contains(err.Error(), c.says) || !a.IsZero() || role != NoText {
			t.Errorf("%s: %v, %v, %v, want it to say %q", c.caption, a, role, err, c.says)
		}
		var text *TextError
		if !errors.As(err, &text) || text.Hint() == "" {
			t.Errorf("%s: no hint", c.caption)
		}
	}
}

// bech32Old replaces the checksum of s by that of Bech32, BIP 173.
func bech32Old(t *testing.T, s string) string {
	t.Helper()
	_, values, err := bechDecode(s)
	if err != nil {
		t.Fatal(err)
	}
	sum := bechSum(s[:3], append(values[:len(values):len(values)], 0, 0, 0, 0, 0, 0)) ^ 1
	out := s[:len(s)-bechChecksum]
	for i := bechChecksum - 1; i >= 0; i-- {
		out += string(bechAlphabet[sum>>(5*i)&31])
	}
	return out
}

func TestParseAddressAs(t *testing.T) {
	g := seeded(t, 1).Address()
	for _, c := range []struct {
		caption, s string
		want       TextRole
		says       string
	}{
		{"a group's where a router's is wanted", exampleText, RouterText, "this is a group's key, not a router's"},
		{"a router's where a service's is wanted", g.Text(RouterText), ServiceText, "this is a router's key, not a service's"},
		{"a service's where a group's is wanted", g.Text(ServiceText), GroupText, "this is a service's key, not a group's"},
		{"a group's where a group's is wanted", exampleText, GroupText, ""},
		{"hexadecimal says no role", exampleGroup, RouterText, ""},
		{"did:key says no role", exampleGroupDID, ServiceText, ""},
		{"any role", exampleText, NoText, ""},
		{"no key", "x", GroupText, "not a key"},
	} {
		a, err := ParseAddressAs(c.s, c.want)
		switch {
		case c.says == "" && (err != nil || a != g):
			t.Errorf("%s: %v, %v", c.caption, a, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || !a.IsZero()):
			t.Errorf("%s: %v, want it to say %q", c.caption, err, c.says)
		}
	}
}

func TestTextOfNobody(t *testing.T) {
	var nobody Address
	if nobody.Text(RouterText) != "nobody" || nobody.Short(GroupText) != "nobody" {
		t.Errorf("%s %s", nobody.Text(RouterText), nobody.Short(GroupText))
	}
	if _, _, err := ParseAddress("nobody"); err == nil {
		t.Error("nobody is accepted")
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		role         TextRole
		text, prefix string
	}{{NoText, "any", ""}, {RouterText, "router", "upr"}, {ServiceText, "service", "ups"}, {GroupText, "group", "upg"}, {9, "any", ""}} {
		if c.role.String() != c.text || c.role.Prefix() != c.prefix {
			t.Errorf("role %d: %s, %s", c.role, c.role, c.role.Prefix())
		}
	}
}

// What is accepted prints back equal, in lower case, under its role.
func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{exampleText, strings.ToUpper(exampleText), exampleGroup, exampleGroupDID, "upr1", "did:key:z", "", "\x80"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, role, err := ParseAddress(s)
		if err != nil {
			if !a.IsZero() {
				t.Fatalf("%q: an address and %v", s, err)
			}
			return
		}
		if role != NoText && a.Text(role) != strings.ToLower(s) {
			t.Fatalf("%q prints back as %s", s, a.Text(role))
		}
		if again, r, err := ParseAddress(a.Text(role)); err != nil || again != a || r != role {
			t.Fatalf("%q reads back as %v, %v, %v", s, again, r, err)
		}
	})
}
