package identity

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The fixtures were made by "openssl genpkey -algorithm ed25519", the public
// halves and the signature over "upsycle/1 id" NUL "hello" by openssl as well.
func TestPEMOfOpenSSL(t *testing.T) {
	for _, name := range []string{"openssl-1", "openssl-2"} {
		file := fixture(t, name+".pem")
		k, err := ParsePEM(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if want := strings.TrimSpace(string(fixture(t, name+".pub"))); k.Address().Text(NoText) != want {
			t.Errorf("%s: address %s, want %s", name, k.Address().Text(NoText), want)
		}
		if got := MarshalPEM(k); !bytes.Equal(got, file) {
			t.Errorf("%s: we write other bytes than openssl", name)
		}
		if block, _ := pem.Decode(file); len(block.Bytes) != 48 {
			t.Errorf("%s: %d bytes of DER, want 48", name, len(block.Bytes))
		}
	}
	k, err := ParsePEM(fixture(t, "openssl-1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	var sig Signature
	copy(sig[:], unhex(t, strings.TrimSpace(string(fixture(t, "openssl-1.sig")))))
	if k.Sign(LabelID, []byte("hello")) != sig || !k.Address().Verify(LabelID, []byte("hello"), sig) {
		t.Error("openssl signs otherwise")
	}
}

// Where the openssl program is installed it reads what we write, and we read
// what it writes today; the fixtures above stand in for it everywhere else.
func TestPEMWithOpenSSLProgram(t *testing.T) {
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Logf("no openssl program here (%v): the committed fixtures were compared instead", err)
		return
	}
	out, err := exec.Command(program, "genpkey", "-algorithm", "ed25519").Output()
	if err != nil {
		t.Fatalf("openssl genpkey: %v", err)
	}
	k, err := ParsePEM(out)
	if err != nil || !bytes.Equal(MarshalPEM(k), out) {
		t.Errorf("a fresh key of openssl: %v", err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, MarshalPEM(seeded(t, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	der, err := exec.Command(program, "pkey", "-in", file, "-pubout", "-outform", "DER").Output()
	if err != nil || !bytes.HasSuffix(der, seeded(t, 1).Address().Bytes()) {
		t.Errorf("openssl reads our key as %x, %v", der, err)
	}
}

func TestParsePEMRefuses(t *testing.T) {
	good := MarshalPEM(seeded(t, 1))
	block, _ := pem.Decode(good)
	with := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}) }
	changed := func(i int) []byte {
		der := bytes.Clone(block.Bytes)
		der[i] ^= 1
		return with(der)
	}
	for _, c := range []struct {
		caption string
		in      []byte
		says    string
	}{
		{"nothing", nil, "empty"},
		{"blank lines", []byte("\n\n"), "empty"},
		{"text", []byte("secret"), "not a PEM file"},
		{"cut off", good[:60], "not a PEM file"},
		{"X25519", fixture(t, "x25519.pem"), "not an Ed25519 private key"},
		{"Ed448", fixture(t, "ed448.pem"), "not an Ed25519 private key"},
		{"P-256", fixture(t, "p256.pem"), "not an Ed25519 private key"},
		{"P-256 in SEC 1", fixture(t, "ec-sec1.pem"), "no private key in PKCS#8"},
		{"a public key", fixture(t, "public.pem"), "public key"},
		{"an encrypted key", fixture(t, "encrypted.pem"), "passphrase"},
		{"OpenSSH", pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY"}), "OpenSSH"},
		{"a header", pem.EncodeToMemory(&pem.Block{Type: pemType, Headers: map[string]string{"A": "b"}, Bytes: block.Bytes}), "headers"},
		{"two keys", append(bytes.Clone(good), good...), "before or after"},
		{"text before", append([]byte("mine:\n"), good...), "before or after"},
		{"text after", append(bytes.Clone(good), "mine"...), "before or after"},
		{"a byte more", with(append(bytes.Clone(block.Bytes), 0)), "not an Ed25519"},
		{"a byte less", with(block.Bytes[:47]), "not an Ed25519"},
		{"no DER", with(nil), "not an Ed25519"},
		{"version 1, with a public half", changed(4), "not an Ed25519"},
		{"another algorithm", changed(11), "not an Ed25519"},
	} {
		k, err := ParsePEM(c.in)
		var text *TextError
		if !errors.As(err, &text) || !strings.Contains(text.Error(), c.says) || text.Hint() == "" || !k.IsZero() {
			t.Errorf("%s: %v, want it to say %q", c.caption, err, c.says)
		}
	}
}

func TestMarshalPEMOfNoKey(t *testing.T) {
	if b := MarshalPEM(Key{}); b != nil {
		t.Errorf("%s", b)
	}
}

// What is accepted prints back as a file that reads as the same key.
func FuzzParsePEM(f *testing.F) {
	f.Add(MarshalPEM(seeded(f, 1)))
	f.Add(fixture(f, "openssl-1.pem"))
	f.Add(fixture(f, "encrypted.pem"))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParsePEM(b)
		if err != nil {
			return
		}
		again, err := ParsePEM(MarshalPEM(k))
		if err != nil || again.Address() != k.Address() || !bytes.Equal(again.Seed(), k.Seed()) {
			t.Fatalf("reads back otherwise: %v", err)
		}
	})
}
