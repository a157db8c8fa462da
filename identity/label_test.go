package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

// labels lists every label; a new one belongs here.
var labels = []Label{
	LabelEnvelope, LabelWriter, LabelGrant, LabelHomes, LabelRoot, LabelHop,
	LabelID, LabelChain, LabelRank, LabelMap,
}

// spec §2.1: a label ends in NUL, holds no other, and is no other's beginning.
func TestLabelsAreApart(t *testing.T) {
	for i, l := range labels {
		if !strings.HasPrefix(string(l), "upsycle/1 ") || strings.IndexByte(string(l), 0) != len(l)-1 {
			t.Errorf("label %q", l)
		}
		for j, m := range labels {
			if i != j && strings.HasPrefix(string(m), string(l)) {
				t.Errorf("%q begins %q", l, m)
			}
		}
	}
}

// The header of the worked example (spec §4.5), its id and its signature.
func TestWorkedExampleIDAndSignature(t *testing.T) {
	header := unhex(t, "8c01005820"+exampleGroup+"5820"+exampleWriter+"480505050505050505"+"0001"+
		"1b0000019b76daa800"+"1a00093a80"+"00"+
		"5820a76baf7d30b6e73cac322391d09b96e0ac9d06421da5457103ca407ec091dd45"+
		"5820eb91c7be1b7f00032a86f7b960a29de498721ecb65b99e2f174f9f10c9dc578d")
	if len(header) != 165 {
		t.Fatalf("%d bytes of header", len(header))
	}
	id := HashOf(LabelID, header)
	if got := hex.EncodeToString(id[:]); got != "c1ed76e21f4866938807f68d4646c2d47001d9d0ac89bb1f35570b5d6a888b5f" {
		t.Errorf("id %s", got)
	}
	sig := seeded(t, 2).Sign(LabelEnvelope, header)
	if got := hex.EncodeToString(sig[:]); got != "54286e65938efd24c8f61aa8d3b67fbaa10302100e48d54987353076c2b2d55f91717ca0f1e18551e611a46dc3cab141336ead1041952642bbbe10b861d4e50d" {
		t.Errorf("signature %s", got)
	}
	certificate := unhex(t, "86015820"+exampleGroup+"5820"+exampleWriter+"1b0000019b71b44c00"+"1b0000019d46570000"+"03")
	if sum := sha256.Sum256(certificate); hex.EncodeToString(sum[:]) != "eb91c7be1b7f00032a86f7b960a29de498721ecb65b99e2f174f9f10c9dc578d" {
		t.Errorf("certificate %x", sum)
	}
}

func TestHashOfJoinsParts(t *testing.T) {
	want := sha256.Sum256([]byte("upsycle/1 chain\x00abc"))
	if HashOf(LabelChain, []byte("a"), nil, []byte("bc")) != want || HashOf(LabelChain, []byte("abc")) != want {
		t.Error("parts are not joined")
	}
	if HashOf(LabelRank, []byte("abc")) == want {
		t.Error("the label is not hashed")
	}
}

func TestClaims(t *testing.T) {
	k, body := seeded(t, 1), []byte("body")
	sig := k.Sign(LabelHop, body)
	for _, c := range []struct {
		caption string
		claim   Claim
		want    bool
	}{
		{"a signature", Claim{Key: k.Address(), Label: LabelHop, Body: body, Sig: sig}, true},
		{"a signature under another label", Claim{Key: k.Address(), Label: LabelRoot, Body: body, Sig: sig}, false},
		{"a signature of somebody else", Claim{Key: seeded(t, 2).Address(), Label: LabelHop, Body: body, Sig: sig}, false},
		{"a hash", Claim{Body: body, Hash: sha256.Sum256(body)}, true},
		{"a hash of something else", Claim{Body: body, Hash: sha256.Sum256(nil)}, false},
		{"nothing", Claim{}, false},
	} {
		if got := c.claim.Holds(); got != c.want {
			t.Errorf("%s: %v", c.caption, got)
		}
	}
}
