package identity

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"testing"

	"filippo.io/edwards25519"
)

// seeded is the key whose seed is n, 32 times.
func seeded(t testing.TB, n byte) Key {
	t.Helper()
	k, err := NewKey(bytes.Repeat([]byte{n}, SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// smallOrder lists the eight points of small order, and the other ways to write
// them that decoders are known to take.
var smallOrder = []struct{ caption, hex string }{
	{"order 1", "0100000000000000000000000000000000000000000000000000000000000000"},
	{"order 2", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 4", "0000000000000000000000000000000000000000000000000000000000000000"},
	{"order 4, odd", "0000000000000000000000000000000000000000000000000000000000000080"},
	{"order 8, first", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"},
	{"order 8, first, odd", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"},
	{"order 8, second", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"},
	{"order 8, second, odd", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"},
	{"order 1, sign of zero", "0100000000000000000000000000000000000000000000000000000000000080"},
	{"order 2, sign of zero", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
	{"order 4 as p", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 4 as p, odd", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
	{"order 1 as p+1", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"},
	{"order 1 as p+1, sign of zero", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"},
}

// spec §2.2: an address is no point of small order, in whatever way it is written.
func TestSmallOrderIsNoAddress(t *testing.T) {
	for _, c := range smallOrder {
		if _, err := NewAddress(unhex(t, c.hex)); !errors.Is(err, ErrBadKey) {
			t.Errorf("%s: %v, want ErrBadKey", c.caption, err)
		}
		if _, _, err := ParseAddress(c.hex); !errors.Is(err, ErrBadKey) {
			t.Errorf("%s as hexadecimal: %v, want ErrBadKey", c.caption, err)
		}
		text := bechEncode("upr", fives(unhex(t, c.hex)))
		if _, _, err := ParseAddress(text); !errors.Is(err, ErrBadKey) {
			t.Errorf("%s as bech32m: %v, want ErrBadKey", c.caption, err)
		}
	}
}

// spec §2.2: y is below p = 2^255 - 19. All 19 values that fit into 255 bits and
// are not below it are refused, with both signs; some of them decode.
func TestNonCanonicalIsNoAddress(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	decoded := 0
	for k := range int64(19) {
		b := new(big.Int).Add(p, big.NewInt(k)).FillBytes(make([]byte, 32))
		slices.Reverse(b)
		for _, sign := range []byte{0, 0x80} {
			b[31] = b[31]&0x7f | sign
			if _, err := new(edwards25519.Point).SetBytes(b); err == nil {
				decoded++
			}
			if _, err := NewAddress(b); !errors.Is(err, ErrBadKey) {
				t.Errorf("p+%d with sign %#x: %v, want ErrBadKey", k, sign, err)
			}
		}
	}
	if decoded == 0 {
		t.Error("no case decodes: the test shows nothing")
	}
}

func TestWrongLengthOrNoPoint(t *testing.T) {
	good := seeded(t, 1).Address().Bytes()
	for _, c := range []struct {
		caption string
		in      []byte
	}{
		{"nil", nil},
		{"31 bytes", good[:31]},
		{"33 bytes", append(slices.Clone(good), 0)},
		{"y of no point", append([]byte{2}, make([]byte, 31)...)},
	} {
		if a, err := NewAddress(c.in); !errors.Is(err, ErrBadKey) || !a.IsZero() {
			t.Errorf("%s: %v, %v, want the zero address and ErrBadKey", c.caption, a, err)
		}
	}
}

// Decision: large order is enough. A point with a small-order part is an address,
// as crypto/ed25519 verifies under it like every other implementation of the rule.
func TestMixedOrderIsAnAddress(t *testing.T) {
	p, err := new(edwards25519.Point).SetBytes(seeded(t, 1).Address().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	torsion, err := new(edwards25519.Point).SetBytes(unhex(t, smallOrder[4].hex))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewAddress(p.Add(p, torsion).Bytes()); err != nil {
		t.Error(err)
	}
}

func TestAddressIsAValue(t *testing.T) {
	a, b := seeded(t, 1).Address(), seeded(t, 2).Address()
	copied := a.Bytes()
	copied[0]++
	if bytes.Equal(a.Bytes(), copied) {
		t.Error("Bytes does not copy")
	}
	if again, err := NewAddress(a.Bytes()); err != nil || again != a {
		t.Errorf("read back: %v, %v", again, err)
	}
	if got := a.AppendTo([]byte{7}); got[0] != 7 || !bytes.Equal(got[1:], a.Bytes()) {
		t.Errorf("AppendTo: %x", got)
	}
	if a.Compare(b) != bytes.Compare(a.Bytes(), b.Bytes()) || a.Compare(a) != 0 {
		t.Error("Compare is not the order of the bytes")
	}
	if a.IsZero() || !(Address{}).IsZero() || (Address{}).String() != "nobody" || a.String() != "8a88e3dd" {
		t.Errorf("%v %v", a, Address{})
	}
}

// onlyOne lets one key pass, as a cache would.
type onlyOne struct{ a Address }

func (o onlyOne) Address(b []byte) (Address, error) {
	if bytes.Equal(b, o.a.Bytes()) {
		return o.a, nil
	}
	return Address{}, ErrBadKey
}

func TestCheckedAsksTheChecker(t *testing.T) {
	a, b := seeded(t, 1).Address(), seeded(t, 2).Address()
	if got, err := Checked(nil, a.Bytes()); err != nil || got != a {
		t.Errorf("no checker: %v, %v", got, err)
	}
	if got, err := Checked(onlyOne{a}, a.Bytes()); err != nil || got != a {
		t.Errorf("checker, known: %v, %v", got, err)
	}
	if _, err := Checked(onlyOne{a}, b.Bytes()); err == nil {
		t.Error("checker, unknown: accepted")
	}
}
