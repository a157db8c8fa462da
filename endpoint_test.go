package upsycle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsycle/identity"
)

// userRouter makes the directory of a user's router, with content as the address
// file.
func userRouter(t *testing.T, content string) string {
	t.Helper()
	runtime := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	t.Setenv(EndpointVariable, "")
	dir := filepath.Join(runtime, "upsycle")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if content != "" {
		if err := os.WriteFile(filepath.Join(dir, addressFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDefaultEndpoint(t *testing.T) {
	router := testKey(3).Address()
	dir := userRouter(t, router.Text(identity.RouterText)+"\n")
	ep, err := resolve("")
	if err != nil {
		t.Fatal(err)
	}
	want := identity.Endpoint{Scheme: identity.SchemeUnix, Where: filepath.Join(dir, "router.sock"), Pin: router, HasPin: true}
	if ep != want {
		t.Errorf("%v, want %v", ep, want)
	}
	other := "tls://localhost:7420#" + router.Text(identity.RouterText)
	t.Setenv(EndpointVariable, other)
	if ep, err := resolve(""); err != nil || ep.String() != other {
		t.Errorf("%v, %v, want $%s", ep, err, EndpointVariable)
	}
}

func TestDefaultEndpointRefused(t *testing.T) {
	for _, c := range []struct {
		caption, content string
		spoil            func(dir string) error
		want, hint       string
	}{
		{"no router", "", func(string) error { return nil }, "no router of this user", "upsycle run"},
		{"no directory", "", os.Remove, "no router of this user", "upsycle run"},
		{"others may enter", "x", func(dir string) error { return os.Chmod(dir, 0o755) }, "others may access it", "chmod"},
		{"others may write", "x", func(dir string) error { return os.Chmod(filepath.Join(dir, addressFile), 0o666) }, "others may access it", "chmod"},
		{"garbage", "garbage", func(string) error { return nil }, "the pin after #", ""},
		{"a service's key", testKey(1).Address().Text(identity.ServiceText), func(string) error { return nil }, "a service's key", ""},
	} {
		dir := userRouter(t, c.content)
		if err := c.spoil(dir); err != nil {
			t.Fatal(err)
		}
		_, err := resolve("")
		var d *DialError
		if !errors.As(err, &d) || !strings.Contains(err.Error(), c.want) || !strings.Contains(Hint(err), c.hint) {
			t.Errorf("%s: %v (hint: %s)", c.caption, err, Hint(err))
		}
	}
}

// Without a runtime directory the rule is /tmp/upsycle-UID, as config has it.
func TestUserDir(t *testing.T) {
	for _, value := range []string{"", "relative"} {
		t.Setenv("XDG_RUNTIME_DIR", value)
		if dir := userDir(); !strings.HasPrefix(dir, "/tmp/upsycle-") {
			t.Errorf("%q: %s", value, dir)
		}
	}
}

func TestResolveRefusesText(t *testing.T) {
	for _, text := range []string{"localhost:7420", "http://x", "tls://x", "unix://relative", "tls://x:1#ups1"} {
		_, err := resolve(text)
		var d *DialError
		if !errors.As(err, &d) || Hint(err) == "" {
			t.Errorf("%q: %v (hint: %s)", text, err, Hint(err))
		}
	}
	if Hint(fs.ErrNotExist) != "" {
		t.Error("a hint from nowhere")
	}
}
