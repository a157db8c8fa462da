package identity

import (
	"errors"
	"strings"
	"testing"
)

func TestParseEndpointTakes(t *testing.T) {
	pin := seeded(t, 1).Address()
	text := "#" + pin.Text(RouterText)
	for _, c := range []struct {
		s    string
		want Endpoint
	}{
		{"tls://example.org:7420", Endpoint{Scheme: SchemeTLS, Where: "example.org:7420"}},
		{"tls://127.0.0.1:0", Endpoint{Scheme: SchemeTLS, Where: "127.0.0.1:0"}},
		{"tls://:7420", Endpoint{Scheme: SchemeTLS, Where: ":7420"}},
		{"tls://[::1]:65535", Endpoint{Scheme: SchemeTLS, Where: "[::1]:65535"}},
		{"tls://[::]:1", Endpoint{Scheme: SchemeTLS, Where: "[::]:1"}},
		{"tls://[fe80::1%eth0]:1", Endpoint{Scheme: SchemeTLS, Where: "[fe80::1%eth0]:1"}},
		{"tls://[2001:db8::192.0.2.1]:1", Endpoint{Scheme: SchemeTLS, Where: "[2001:db8::192.0.2.1]:1"}},
		{"tls://[1:2:3:4:5:6:7:8]:1", Endpoint{Scheme: SchemeTLS, Where: "[1:2:3:4:5:6:7:8]:1"}},
		{"unix:///run/upsycle/router.sock", Endpoint{Scheme: SchemeUnix, Where: "/run/upsycle/router.sock"}},
		{"unix:///a b", Endpoint{Scheme: SchemeUnix, Where: "/a b"}},
		{"mem:a", Endpoint{Scheme: SchemeMem, Where: "a"}},
	} {
		for _, pinned := range []bool{false, true} {
			s, want := c.s, c.want
			if pinned {
				s, want = s+text, want.WithPin(pin)
			}
			e, err := ParseEndpoint(s)
			if err != nil || e != want {
				t.Errorf("%s: %v, %v", s, e, err)
			}
			if e.String() != s || e.Bare() != c.want {
				t.Errorf("%s prints back as %s", s, e)
			}
		}
	}
}

// A pin without checksum is taken, and printed with one.
func TestParseEndpointOtherPins(t *testing.T) {
	pin := seeded(t, 1).Address()
	for _, s := range []string{exampleGroup, exampleGroupDID, strings.ToUpper(pin.Text(RouterText))} {
		e, err := ParseEndpoint("tls://h:1#" + s)
		if err != nil || e.Pin != pin || e.String() != "tls://h:1#"+pin.Text(RouterText) {
			t.Errorf("pin %s: %v, %v", s, e, err)
		}
	}
}

func TestParseEndpointRefuses(t *testing.T) {
	for _, c := range []struct{ caption, s, says string }{
		{"nothing", "", "empty text"},
		{"a pin alone", "#" + exampleText, "empty text"},
		{"a word", "gateway", "without a scheme"},
		{"host and port", "example.org:7420", "without a scheme"},
		{"a path", "/run/router.sock", "without a scheme"},
		{"https", "https://example.org", `unknown scheme "https"`},
		{"upper case", "TLS://example.org:7420", "does not begin with tls://"},
		{"one slash", "tls:/example.org:7420", "does not begin with tls://"},
		{"no port", "tls://example.org", "without a port"},
		{"port that is a name", "tls://example.org:https", `port "https"`},
		{"port above 65535", "tls://example.org:65536", "65535"},
		{"port with a leading zero", "tls://example.org:07420", "port"},
		{"negative port", "tls://example.org:-1", "port"},
		{"IPv6 without brackets", "tls://2001:db8::1:7420", "colon"},
		{"IPv6 with one bracket", "tls://[::1:7420", "in brackets"},
		{"a name in brackets", "tls://[example.org]:7420", "not an IPv6 address"},
		{"IPv6 of nine groups", "tls://[1:2:3:4:5:6:7:8:9]:1", "not an IPv6 address"},
		{"IPv6 with two gaps", "tls://[1::2::3]:1", "not an IPv6 address"},
		{"IPv6 of a long group", "tls://[::12345]:1", "not an IPv6 address"},
		{"IPv6 without zone", "tls://[fe80::1%]:1", "not an IPv6 address"},
		{"a path after the host", "tls://example.org/x:1", "no host name"},
		{"a user", "tls://me@example.org:1", "no host name"},
		{"a blank in the host", "tls://example .org:1", "no host name"},
		{"a host that is too long", "tls://" + strings.Repeat("a", 254) + ":1", "no host name"},
		{"a line break", "tls://example.org:1\n", "control character"},
		{"a relative socket", "unix://router.sock", "not absolute"},
		{"no path", "unix://", "not absolute"},
		{"a directory", "unix:///run/", "slash"},
		{"a path that is too long", "unix:///" + strings.Repeat("a", 107), "108 bytes"},
		{"a memory endpoint without a name", "mem:", "endpoint in memory"},
		{"a memory endpoint with slashes", "mem://a", "endpoint in memory"},
		{"an empty pin", "tls://h:1#", "the pin after #: an empty text"},
		{"a group's key as pin", "tls://h:1#" + exampleText, "this is a group's key, not a router's"},
		{"a word as pin", "tls://h:1#router", "the pin after #: this is not a key"},
		{"two pins", "tls://h:1#" + exampleGroup + "#" + exampleGroup, "the pin after #"},
		{"a small-order pin", "tls://h:1#" + smallOrder[0].hex, "no valid key"},
	} {
		e, err := ParseEndpoint(c.s)
		if err == nil || !strings.Contains(err.Error(), c.says) || !e.IsZero() {
			t.Errorf("%s: %v, %v, want it to say %q", c.caption, e, err, c.says)
		}
		var text *TextError
		if !errors.As(err, &text) || text.Hint() == "" {
			t.Errorf("%s: no hint", c.caption)
		}
	}
}

func TestHostPort(t *testing.T) {
	for _, c := range []struct{ s, host, port string }{
		{"tls://example.org:7420", "example.org", "7420"},
		{"tls://[::1]:1", "::1", "1"},
		{"tls://:1", "", "1"},
		{"unix:///a:1", "", ""},
	} {
		e, err := ParseEndpoint(c.s)
		if err != nil {
			t.Fatal(err)
		}
		if host, port := e.HostPort(); host != c.host || port != c.port {
			t.Errorf("%s: %q, %q", c.s, host, port)
		}
	}
}

func TestZeroEndpoint(t *testing.T) {
	var e Endpoint
	if !e.IsZero() || e.String() != "" {
		t.Errorf("%q", e.String())
	}
}

// What is accepted prints back as an equal endpoint, and that text is stable.
func FuzzParseEndpoint(f *testing.F) {
	for _, s := range []string{"tls://h:1#" + exampleGroup, "tls://[::1]:1", "unix:///a", "mem:a", "tls://[fe80::1%eth0]:1#" + exampleText, "#", "unix://#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEndpoint(s)
		if err != nil {
			return
		}
		again, err := ParseEndpoint(e.String())
		if err != nil || again != e {
			t.Fatalf("%q prints as %q and reads back as %v, %v", s, e, again, err)
		}
		if !e.HasPin && e.String() != s {
			t.Fatalf("%q prints back as %q", s, e)
		}
	})
}
