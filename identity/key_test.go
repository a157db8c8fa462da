package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

func TestNewKeyWantsASeed(t *testing.T) {
	k := seeded(t, 1)
	for _, n := range []int{0, 31, 33, 64} {
		if _, err := NewKey(make([]byte, n)); !errors.Is(err, ErrBadSeed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if again, err := NewKey(k.Seed()); err != nil || again.Address() != k.Address() {
		t.Errorf("%v", err)
	}
	if !(Key{}).IsZero() || k.IsZero() {
		t.Error("IsZero")
	}
}

func TestGenerateKey(t *testing.T) {
	k, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{1}, 40)))
	if err != nil || k.Address() != seeded(t, 1).Address() {
		t.Errorf("%v, %v", k.Address(), err)
	}
	if _, err := GenerateKey(bytes.NewReader(make([]byte, 31))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("random that ends: %v", err)
	}
}

// hidden holds a Key where package fmt cannot call its methods.
type hidden struct{ key Key }

// secretForms are the ways in which the bytes of a seed could show.
func secretForms(k Key) []string {
	seed := k.Seed()
	return []string{
		string(seed), fmt.Sprintf("%x", seed), fmt.Sprintf("%X", seed), fmt.Sprintf("% x", seed[:8]),
		strings.Trim(fmt.Sprint(seed[:8]), "[]"), strings.Trim(fmt.Sprintf("%#v", seed[:8])[len("[]byte"):], "{}"),
	}
}

// Secret types print "[secret]", in every format.
func TestKeyPrintsRedacted(t *testing.T) {
	k := seeded(t, 0xab)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "% x", "%100v", "%-5s"} {
		if got := fmt.Sprintf(verb, k); got != "[secret]" {
			t.Errorf("%s prints %q", verb, got)
		}
		for _, v := range []any{&k, []Key{k}, map[string]Key{"k": k}, hidden{k}, &hidden{k}, []hidden{{k}}} {
			noSecret(t, fmt.Sprintf("%s of %T", verb, v), fmt.Sprintf(verb, v), k)
		}
	}
	noSecret(t, "%p", fmt.Sprintf("%p %T", k, k), k)
	if k.String() != "[secret]" || k.GoString() != "[secret]" {
		t.Error("String or GoString")
	}
}

func TestKeyMarshalsRedacted(t *testing.T) {
	k := seeded(t, 0xab)
	b, err := json.Marshal(map[string]any{"key": k, "pointer": &k, "hidden": hidden{k}})
	if err != nil || string(b) != `{"hidden":{},"key":"[secret]","pointer":"[secret]"}` {
		t.Errorf("JSON %s, %v", b, err)
	}
	if b, err := k.MarshalText(); err != nil || string(b) != "[secret]" {
		t.Errorf("text %s, %v", b, err)
	}
	for _, handler := range []func(io.Writer) slog.Handler{
		func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var out bytes.Buffer
		slog.New(handler(&out)).Info("loaded", "key", k, "pointer", &k, "hidden", hidden{k}, slog.Group("g", "key", k))
		noSecret(t, "log", out.String(), k)
		if strings.Count(out.String(), "[secret]") < 2 {
			t.Errorf("log %s", out.String())
		}
	}
}

func noSecret(t *testing.T, caption, got string, k Key) {
	t.Helper()
	for _, form := range secretForms(k) {
		if strings.Contains(got, form) {
			t.Errorf("%s shows the secret: %q", caption, got)
		}
	}
}

// spec §2.1: the label is part of what is signed.
func TestSignUnderLabel(t *testing.T) {
	k, other := seeded(t, 1), seeded(t, 2)
	body := []byte("body")
	sig := k.Sign(LabelWriter, body)
	if !k.Address().Verify(LabelWriter, body, sig) {
		t.Fatal("own signature refused")
	}
	flipped := sig
	flipped[40] ^= 1
	for _, c := range []struct {
		caption string
		ok      bool
	}{
		{"another label", k.Address().Verify(LabelGrant, body, sig)},
		{"another body", k.Address().Verify(LabelWriter, []byte("Body"), sig)},
		{"another key", other.Address().Verify(LabelWriter, body, sig)},
		{"nobody", Address{}.Verify(LabelWriter, body, sig)},
		{"a flipped bit", k.Address().Verify(LabelWriter, body, flipped)},
		{"no signature", k.Address().Verify(LabelWriter, body, Signature{})},
	} {
		if c.ok {
			t.Errorf("%s: accepted", c.caption)
		}
	}
}

// spec §2.2: S must be below the order of the group, or one signature has two forms.
func TestVerifyWantsCanonicalS(t *testing.T) {
	k := seeded(t, 1)
	sig := k.Sign(LabelID, nil)
	order := unhex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	carry := 0
	for i := range order {
		sum := int(sig[32+i]) + int(order[i]) + carry
		sig[32+i], carry = byte(sum), sum>>8
	}
	if k.Address().Verify(LabelID, nil, sig) {
		t.Error("S plus the group's order is accepted")
	}
}
