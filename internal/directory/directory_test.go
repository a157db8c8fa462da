package directory

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
	"upsycle/identity"
	"upsycle/internal/wire"
)

const start = 1_767_225_600_000

func testKey(t testing.TB, seed byte) identity.Key {
	t.Helper()
	k, err := identity.NewKey(bytes.Repeat([]byte{seed}, identity.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func grant(of identity.Key, router identity.Address, notAfter uint64) *wire.Grant {
	g := &wire.Grant{Address: of.Address(), Router: router, NotAfter: notAfter}
	g.Encode()
	g.Signed.Sig = of.Sign(identity.LabelGrant, g.Signed.Body)
	return g
}

func homes(of identity.Key, epoch uint64, at ...identity.Address) *wire.Homes {
	h := &wire.Homes{Client: of.Address(), Epoch: epoch, Homes: at}
	h.Encode()
	h.Signed.Sig = of.Sign(identity.LabelHomes, h.Signed.Body)
	return h
}

// spec §6.2: the later end wins, whatever the order in which they come.
func TestLaterGrantWins(t *testing.T) {
	a, r := testKey(t, 1), testKey(t, 2).Address()
	early, late := grant(a, r, start+1000), grant(a, r, start+2000)
	for _, order := range [][]*wire.Grant{{early, late}, {late, early}} {
		d := New()
		for _, g := range order {
			d.PutGrant(start, g)
		}
		if d.HasGrant(early) || !d.HasGrant(late) {
			t.Errorf("known after %v: early %v, late %v", order, d.HasGrant(early), d.HasGrant(late))
		}
	}
}

func TestGrantsOfOneAddressForTwoRouters(t *testing.T) {
	a := testKey(t, 1)
	one, two := grant(a, testKey(t, 2).Address(), start+1000), grant(a, testKey(t, 3).Address(), start+1000)
	d := New()
	d.PutGrant(start, one)
	d.PutGrant(start, two)
	if !d.HasGrant(one) || !d.HasGrant(two) {
		t.Error("one home's grant displaced another's")
	}
}

// spec §4.4: a memory of verified documents matches body and signature.
func TestOtherSignatureIsUnknown(t *testing.T) {
	g := grant(testKey(t, 1), testKey(t, 2).Address(), start+1000)
	forged := *g
	forged.Signed.Sig[0] ^= 1
	d := New()
	d.PutGrant(start, g)
	if d.HasGrant(&forged) {
		t.Error("an altered signature passed for a verified one")
	}
}

func TestGrantEnds(t *testing.T) {
	a, r := testKey(t, 1), testKey(t, 2).Address()
	d := New()
	d.PutGrant(start, grant(a, r, start-1))
	if n, _ := d.Sizes(); n != 0 {
		t.Error("a grant that had ended was kept")
	}
	d.PutGrant(start, grant(a, r, start+1000))
	d.PutGrant(start, grant(a, r, start+5000))
	other := grant(testKey(t, 3), r, start+90_000)
	d.PutGrant(start+1001, other)
	if n, _ := d.Sizes(); n != 2 {
		t.Errorf("%d grants, want the renewed one and the other", n)
	}
	d.PutGrant(start+5001, other)
	if n, _ := d.Sizes(); n != 1 {
		t.Errorf("%d grants after the end of one, want 1", n)
	}
}

func TestGrantsAreBounded(t *testing.T) {
	d := New()
	d.grantsMax = 2
	router := testKey(t, 9).Address()
	first := grant(testKey(t, 1), router, start+1000)
	for _, g := range []*wire.Grant{first, grant(testKey(t, 2), router, start+1000), grant(testKey(t, 3), router, start+1000)} {
		d.PutGrant(start, g)
	}
	if n, _ := d.Sizes(); n != 2 || !d.HasGrant(first) {
		t.Errorf("%d grants, want the first two", n)
	}
	d.PutGrant(start, grant(testKey(t, 1), router, start+2000))
	if d.HasGrant(first) {
		t.Error("a full table refused the renewal of what it holds")
	}
}

// spec §6.1: epochs.
func TestJudge(t *testing.T) {
	c, r, q := testKey(t, 1), testKey(t, 2).Address(), testKey(t, 3).Address()
	known := homes(c, 7, r)
	resigned := *known
	resigned.Signed.Sig[3] ^= 1
	for _, x := range []struct {
		caption string
		doc     *wire.Homes
		want    Standing
	}{
		{"a higher epoch", homes(c, 8, r), News},
		{"the same document", homes(c, 7, r), Known},
		{"the same body, another signature", &resigned, Resigned},
		{"a lower epoch", homes(c, 6, r), Older},
		{"the same epoch, another home", homes(c, 7, q), Conflict},
		{"another client", homes(testKey(t, 4), 1, r), News},
	} {
		d := New()
		d.PutHomes(known)
		if got := d.Judge(x.doc); got != x.want {
			t.Errorf("%s: %v, want %v", x.caption, got, x.want)
		}
	}
}

func TestForgetHomes(t *testing.T) {
	c, r := testKey(t, 1), testKey(t, 2).Address()
	d := New()
	d.PutHomes(homes(c, 7, r))
	d.ForgetHomes(c.Address())
	if d.Homes(c.Address()) != nil || d.Judge(homes(c, 1, r)) != News {
		t.Error("a forgotten client's epoch still counts")
	}
}

func TestHomesAreBounded(t *testing.T) {
	d := New()
	d.homesMax = 1
	at := testKey(t, 9).Address()
	if !d.PutHomes(homes(testKey(t, 1), 1, at)) || d.PutHomes(homes(testKey(t, 2), 1, at)) {
		t.Error("want the first client and no other")
	}
	if !d.PutHomes(homes(testKey(t, 1), 2, at)) {
		t.Error("a full table refused the next epoch of a client it holds")
	}
}

// Documents in any order and repetition end in the highest epoch and the latest
// end.
func TestOrderDoesNotMatter(t *testing.T) {
	c, r := testKey(t, 1), testKey(t, 2).Address()
	rapid.Check(t, func(t *rapid.T) {
		d := New()
		var top uint64
		for _, n := range rapid.SliceOfN(rapid.Uint64Range(1, 9), 1, 20).Draw(t, "numbers") {
			top = max(top, n)
			d.PutHomes(homes(c, n, r))
			d.PutGrant(start, grant(c, r, start+n))
		}
		if got := d.Homes(c.Address()).Epoch; got != top {
			t.Fatalf("epoch %d, want %d", got, top)
		}
		if !d.HasGrant(grant(c, r, start+top)) {
			t.Fatal("the latest grant is not known")
		}
	})
}
