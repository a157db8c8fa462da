package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/safefile"
)

func testRing(t *testing.T) keyring {
	t.Helper()
	return keyring{filepath.Join(t.TempDir(), "ring")}
}

func testKey(t *testing.T) identity.Key {
	t.Helper()
	k, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The ring is $UPSYCLE_KEYS, else the user's configuration directory; without
// either the error says what to set.
func TestOpenKeyring(t *testing.T) {
	t.Setenv("UPSYCLE_KEYS", "/ring")
	if k, err := openKeyring(); err != nil || k.dir != "/ring" {
		t.Errorf("%v, %v", k, err)
	}
	t.Setenv("UPSYCLE_KEYS", "")
	t.Setenv("XDG_CONFIG_HOME", "/config")
	if k, err := openKeyring(); err != nil || k.dir != "/config/upsycle" {
		t.Errorf("%v, %v", k, err)
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", "")
	if _, err := openKeyring(); err == nil || !strings.Contains(hintOf(err, ""), "UPSYCLE_KEYS") {
		t.Errorf("without a home: %v", err)
	}
}

// The service key is made once.
func TestServiceKeyStays(t *testing.T) {
	ring := testRing(t)
	first, err := ring.service()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ring.service()
	if err != nil || again.Address() != first.Address() {
		t.Errorf("another key: %v", err)
	}
}

func TestGroups(t *testing.T) {
	ring := testRing(t)
	if names, err := ring.groups(); err != nil || len(names) != 0 {
		t.Fatalf("an empty ring has %q, %v", names, err)
	}
	a, err := ring.newGroup("reading-club")
	if err != nil {
		t.Fatal(err)
	}
	b, err := ring.newGroup("chess")
	if err != nil {
		t.Fatal(err)
	}
	// What is half made, or not ours, is no group.
	for _, name := range []string{".half", "Other", "empty"} {
		if err := os.MkdirAll(ring.groupDir(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := ring.groups(); err != nil || strings.Join(names, " ") != "chess reading-club" {
		t.Errorf("groups %q, %v", names, err)
	}
	for _, c := range []struct {
		arg, name string
		a         identity.Address
	}{
		{"chess", "chess", b},
		{a.Text(identity.GroupText), "reading-club", a},
		{testKey(t).Address().Text(identity.GroupText), "", identity.Address{}},
	} {
		name, got, err := ring.group(c.arg)
		if err != nil || name != c.name || !c.a.IsZero() && got != c.a {
			t.Errorf("%s: %q, %v, %v", c.arg, name, got, err)
		}
	}
}

func TestGroupNames(t *testing.T) {
	ring := testRing(t)
	for _, name := range []string{"", "A", "a b", "../a", ".a", "-a", strings.Repeat("a", 33), "a/b", "é"} {
		if _, err := ring.newGroup(name); err == nil {
			t.Errorf("%q became a group", name)
		}
	}
	for _, name := range []string{"a", "0", "a.b-c_d", strings.Repeat("a", 32)} {
		if _, err := ring.newGroup(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := ring.newGroup(name); err == nil {
			t.Errorf("%q was made twice", name)
		}
	}
}

// How a user signs depends on the files: with the writer's key and certificate,
// with the group's own, or not at all.
func TestHandle(t *testing.T) {
	for _, c := range []struct {
		caption    string
		remove     []string
		canPublish bool
		asGroup    bool
	}{
		{"the maker, as a writer", nil, true, false},
		{"a writer without the group's key", []string{"group.pem"}, true, false},
		{"the group's key alone", []string{"writer.pem", "writer.cert"}, true, true},
		{"a reader", []string{"group.pem", "writer.pem", "writer.cert"}, false, false},
	} {
		ring := testRing(t)
		a, err := ring.newGroup("club")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range c.remove {
			if err := os.Remove(filepath.Join(ring.groupDir("club"), f)); err != nil {
				t.Fatal(err)
			}
		}
		g, err := ring.handle("club", a)
		if err != nil || g.CanPublish() != c.canPublish || g.Address() != a {
			t.Errorf("%s: %+v, %v", c.caption, g, err)
		}
		if (g.Writer() == a) != c.asGroup {
			t.Errorf("%s: signs as %v", c.caption, g.Writer())
		}
	}
}

// Files that were damaged, exchanged or opened to others are named, with what to do.
func TestDamagedGroup(t *testing.T) {
	write := func(t *testing.T, path string, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		caption, want string
		damage        func(t *testing.T, dir string)
	}{
		{"another group's key", "is not the key of the group", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "group.pem"), identity.MarshalPEM(testKey(t)))
		}},
		{"no key at all", "group.pem: ", func(t *testing.T, dir string) { write(t, filepath.Join(dir, "group.pem"), []byte("x")) }},
		{"open to others", "others may access it", func(t *testing.T, dir string) {
			if err := os.Chmod(filepath.Join(dir, "writer.pem"), 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{"a certificate that is no text", "is damaged", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "group.pem")) // with it the certificate would be made anew
			write(t, filepath.Join(dir, "writer.cert"), []byte("not hexadecimal"))
		}},
		{"no certificate", "cannot be read", func(t *testing.T, dir string) {
			os.Remove(filepath.Join(dir, "group.pem"))
			os.Remove(filepath.Join(dir, "writer.cert"))
		}},
		{"a certificate of another group", "another group", func(t *testing.T, dir string) {
			writer, err := readKey(filepath.Join(dir, "writer.pem"))
			if err != nil {
				t.Fatal(err)
			}
			cert, err := upsycle.IssueWriter(testKey(t), writer.Address(), time.Now().Add(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			os.Remove(filepath.Join(dir, "group.pem"))
			write(t, filepath.Join(dir, "writer.cert"), []byte(hex.EncodeToString(cert)))
		}},
	} {
		ring := testRing(t)
		a, err := ring.newGroup("club")
		if err != nil {
			t.Fatal(err)
		}
		c.damage(t, ring.groupDir("club"))
		if _, err := ring.handle("club", a); err == nil || !strings.Contains(err.Error(), c.want) || hintOf(err, "") == "" {
			t.Errorf("%s: %v (hint: %s), want %q", c.caption, err, hintOf(err, ""), c.want)
		}
	}
}

// A certificate is renewed a month before its end, and not before.
func TestRenewal(t *testing.T) {
	ring := testRing(t)
	a, err := ring.newGroup("club")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(ring.groupDir("club"), "writer.cert")
	for _, c := range []struct {
		age  time.Duration
		made bool
	}{{0, false}, {certificateLife - certificateRenew - time.Hour, false}, {certificateLife - certificateRenew + time.Hour, true}} {
		at := time.Now().Add(-c.age)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
		if _, err := ring.handle("club", a); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if made := info.ModTime().Sub(at) > time.Minute; made != c.made {
			t.Errorf("at the age of %v it was renewed: %v", c.age, made)
		}
	}
}

// What was trusted once is known, for that endpoint only.
func TestKnownRouters(t *testing.T) {
	ring := testRing(t)
	router := testKey(t).Address()
	if a, err := ring.knownRouter("tls://h:1"); err != nil || !a.IsZero() {
		t.Errorf("a stranger is known: %v, %v", a, err)
	}
	var said strings.Builder
	if err := ring.trust(stdio{nil, nil, &said}, "tls://h:1", router); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), router.Text(identity.RouterText)) {
		t.Errorf("the key was not shown: %s", said.String())
	}
	if a, err := ring.knownRouter("tls://h:1"); err != nil || a != router {
		t.Errorf("it was forgotten: %v, %v", a, err)
	}
	if a, err := ring.knownRouter("tls://h:2"); err != nil || !a.IsZero() {
		t.Errorf("another endpoint is known: %v, %v", a, err)
	}
	if err := os.WriteFile(ring.knownFile("tls://h:1"), []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ring.knownRouter("tls://h:1"); err == nil {
		t.Error("garbage was taken for a key")
	}
}

// A key file that exists is never overwritten, and errors keep what is underneath.
func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.pem")
	if k, err := keyFile(""); err != nil || !k.IsZero() {
		t.Errorf("no file: %v, %v", k, err)
	}
	if _, err := readKey(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	key := testKey(t)
	if err := safefile.Write(path, identity.MarshalPEM(key)); err != nil {
		t.Fatal(err)
	}
	if k, err := keyFile(path); err != nil || k.Address() != key.Address() {
		t.Errorf("%v, %v", k, err)
	}
}
