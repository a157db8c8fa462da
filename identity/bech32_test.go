package identity

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// BIP 350, "Test vectors for Bech32m": valid strings.
func TestBIP350Valid(t *testing.T) {
	for _, s := range []string{
		"A1LQFN3A",
		"a1lqfn3a",
		"an83characterlonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11sg7hg6",
		"abcdef1l7aum6echk45nj3s0wdvt2fg8x9yrzpqzd3ryx",
		"11llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllludsr8",
		"split1checkupstagehandshakeupstreamerranterredcaperredlc445v",
		"?1v759aa",
	} {
		prefix, values, err := bechDecode(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if got := bechEncode(prefix, values); got != strings.ToLower(s) {
			t.Errorf("%s prints back as %s", s, got)
		}
	}
}

// BIP 350, "Test vectors for Bech32m": strings that are not valid, with its
// reasons, and the data of its address vectors that break our rules too.
func TestBIP350Invalid(t *testing.T) {
	for _, c := range []struct{ caption, s string }{
		{"prefix character out of range, space", "\x201xj0phk"},
		{"prefix character out of range, DEL", "\x7f1g6xzxy"},
		{"prefix character out of range, 0x80", "\x801vctc34"},
		{"overall length exceeded", "an84characterslonghumanreadablepartthatcontainsthetheexcludedcharactersbioandnumber11d6pts4"},
		{"no separator", "qyrz8wqd2c9m"},
		{"empty prefix", "1qyrz8wqd2c9m"},
		{"invalid data character b", "y1b0jsk6g"},
		{"invalid data character i", "lt1igcx5c0"},
		{"too short a checksum", "in1muywd"},
		{"invalid character in the checksum, i", "mm1crxm3i"},
		{"invalid character in the checksum, o", "au1s5cgom"},
		{"checksum over the upper-case prefix", "M1VUXWEZ"},
		{"empty prefix, short", "16plkw9"},
		{"empty prefix, shorter", "1p2gdwpf"},
		{"Bech32 instead of Bech32m", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd"},
		{"Bech32 instead of Bech32m, upper case", "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL"},
		{"mixed case", "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq"},
	} {
		if prefix, _, err := bechDecode(c.s); err == nil {
			t.Errorf("%s: %q is accepted with prefix %q", c.caption, c.s, prefix)
		}
	}
}

// BIP 350 lists one text with a whole value of padding and one with padding that
// is not zero. The checksums of both hold.
func TestBIP350Padding(t *testing.T) {
	for _, c := range []struct{ caption, s string }{
		{"zero padding of more than 4 bits", "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf"},
		{"padding that is not zero", "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j"},
	} {
		_, values, err := bechDecode(c.s)
		if err != nil {
			t.Fatalf("%s: %v", c.caption, err)
		}
		if _, ok := eights(values[1:]); ok {
			t.Errorf("%s: accepted", c.caption)
		}
	}
}

func TestFivesAndEights(t *testing.T) {
	for n := range 40 {
		b := bytes.Repeat([]byte{0xa5}, n)
		if got, ok := eights(fives(b)); !ok || !bytes.Equal(got, b) {
			t.Errorf("%d bytes come back as %x, %v", n, got, ok)
		}
	}
}

// One mistyped character is found and named, wherever it stands.
func TestMistypedIsNamed(t *testing.T) {
	good := seeded(t, 1).Address().Text(GroupText)
	for i := 4; i < len(good); i++ {
		wrong := []byte(good)
		wrong[i] = bechAlphabet[(strings.IndexByte(bechAlphabet, wrong[i])+9)%32]
		_, _, err := ParseAddress(string(wrong))
		if err == nil {
			t.Fatalf("character %d changed: accepted", i+1)
		}
		if want := "character " + strconv.Itoa(i+1) + ","; !strings.Contains(err.Error(), want) {
			t.Errorf("character %d changed: %v", i+1, err)
		}
	}
}

// Two neighbours in the wrong order are refused, whether or not they can be named.
func TestSwapIsRefused(t *testing.T) {
	good := seeded(t, 2).Address().Text(RouterText)
	for i := 4; i+1 < len(good); i++ {
		b := []byte(good)
		b[i], b[i+1] = b[i+1], b[i]
		if _, _, err := ParseAddress(string(b)); string(b) != good && err == nil {
			t.Errorf("characters %d and %d swapped: accepted", i+1, i+2)
		}
	}
}
