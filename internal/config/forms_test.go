package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"upsycle/identity"
)

// One configuration in the ways in which people write YAML.
func TestFormsOfYAML(t *testing.T) {
	block := `listen:
  - tls://127.0.0.1:7420
peers:
  - tls://b.example.org:7420#` + routerB + `
log:
  level: warn
can-root: false
data: /d
`
	want, err := Parse("f", []byte(block), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ caption, text string }{
		{"lists without indentation", strings.ReplaceAll(block, "\n  - ", "\n- ")},
		{"CRLF", strings.ReplaceAll(block, "\n", "\r\n")},
		{"no line break at the end", strings.TrimSuffix(block, "\n")},
		{"comments and blank lines", "# head\n\n" + strings.ReplaceAll(block, "\ndata", "   # why\n\n# more\ndata")},
		{"document marks", "---\n" + block + "...\n"},
		{"a version", "%YAML 1.1\n---\n" + block},
		{"a byte order mark", "\ufeff" + block},
		{"double quotes", strings.ReplaceAll(block, "/d", `"\u002Fd"`)},
		{"single quotes", strings.ReplaceAll(block, "/d", "'/d'")},
		{"one line", `{listen: ["tls://127.0.0.1:7420"], peers: ["tls://b.example.org:7420#` + routerB + `"], log: {level: warn}, can-root: false, data: /d}`},
		{"JSON", `{"listen": ["tls://127.0.0.1:7420"], "peers": ["tls://b.example.org:7420#` + routerB + `"], "log": {"level": "warn"}, "can-root": false, "data": "/d"}`},
		{"another order", "data: /d\n" + strings.TrimSuffix(block, "data: /d\n")},
		{"a tab before a comment", strings.ReplaceAll(block, "level: warn", "level: warn\t# quiet")},
		{"true in capitals", strings.ReplaceAll(block, "false", "False")},
	} {
		got, err := Parse("f", []byte(c.text), testEnv)
		if err != nil {
			t.Errorf("%s: %v", c.caption, err)
			continue
		}
		same(t, c.caption, got, want)
	}
}

// Lines and columns count from 1, in characters, at the value or name meant.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		caption, text string
		line, column  int
	}{
		{"a name", "listne: []\n", 1, 1},
		{"a name after blank lines and comments", "\n# x\n\nlistne: []\n", 4, 1},
		{"a value", "can-root:   maybe\n", 1, 13},
		{"a value on the next line", "can-root:\n    maybe\n", 2, 5},
		{"an entry", "listen:\n- tls://a:1\n-   tls://a\n", 3, 5},
		{"an entry in brackets", "listen: [tls://a:1, tls://a]\n", 1, 21},
		{"after signs of several bytes", "data: é\nlog: {format: text, level: é, x: 1, level: info}\n", 2, 28},
		{"inside a table", "limits:\n  links: none\n", 2, 10},
		{"a name inside a table", "limits:\n  link: 1\n", 2, 3},
		{"CRLF", "data: /d\r\ncan-root: maybe\r\n", 2, 11},
		{"a control character after a sign of two bytes", "data: é\x02\n", 1, 8},
		{"what is not UTF-8", "data: /d\nkey: \xff\n", 2, 6},
		{"a tab", "log:\n  \tlevel: info\n", 2, 3},
		{"an unknown alias", "data: /d\nkey:  *x\n", 2, 7},
		{"a second document", "data: /d\n\n---\nkey: /k\n", 3, 1},
	} {
		_, err := Parse("f", []byte(c.text), testEnv)
		var ps Problems
		if !errors.As(err, &ps) || ps[0].Line != c.line || ps[0].Column != c.column {
			t.Errorf("%s: %v, want line %d, column %d", c.caption, err, c.line, c.column)
		}
	}
}

func TestPathsInFiles(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"/etc/upsycle/router.yaml", "/var/lib/upsycle", "/var/lib/upsycle"},
		{"/etc/upsycle/router.yaml", "/var//lib/../lib/upsycle/", "/var/lib/upsycle"},
		{"/etc/upsycle/router.yaml", "state", "/etc/upsycle/state"},
		{"/etc/upsycle/router.yaml", "../state", "/etc/state"},
		{"router.yaml", "state", "state"},
		{"a/router.yaml", "./state", "a/state"},
		{"/etc/router.yaml", "~/state", "/home/ada/state"},
		{"/etc/router.yaml", "~state", "/etc/~state"},
		{"/etc/router.yaml", "'7'", "/etc/7"},
	} {
		cfg, err := Parse(c.file, []byte("data: "+c.text+"\n"), testEnv)
		if err != nil || cfg.Data != c.want || cfg.Key != c.want+"/"+KeyName {
			t.Errorf("%s in %s: %s, %s, %v", c.text, c.file, cfg.Data, cfg.Key, err)
		}
	}
}

// A limit takes its least and its largest value, and nothing beyond.
func TestLimitRanges(t *testing.T) {
	for _, c := range []struct{ name, least, most, below, above string }{
		{"custody", "1MiB", "1TiB", "1023KiB", "1025GiB"},
		{"mailbox-bytes", "64KiB", "1TiB", "65535", "2TiB"},
		{"mailbox-entries", "1", "100000000", "0", "100000001"},
		{"clients", "1", "1000000", "0", "1000001"},
		{"links", "1", "1000000", "0", "1000001"},
	} {
		for _, v := range []string{c.least, c.most} {
			if _, err := Parse("f", []byte("limits: {"+c.name+": "+v+"}\n"), testEnv); err != nil {
				t.Errorf("%s: %s: %v", c.name, v, err)
			}
		}
		for _, v := range []string{c.below, c.above, "99999999999999999999999", "-1", "''", "[]", "{}", "true", "1.5"} {
			_, err := Parse("f", []byte("limits: {"+c.name+": "+v+"}\n"), testEnv)
			if err == nil || !strings.Contains(err.Error(), ": "+c.name+" ") {
				t.Errorf("%s: %s: %v", c.name, v, err)
			}
		}
	}
}

func TestAccess(t *testing.T) {
	a, b := address(t, routerA), address(t, routerB)
	for _, c := range []struct {
		text string
		want Access
	}{
		{"local", Access{Local: true}},
		{"any", Access{Any: true}},
		{"[]", Access{}},
		{"[local]", Access{Local: true}},
		{"[" + routerA + "]", Access{Keys: []identity.Address{a}}},
		{"[" + routerB + ", local, " + routerA + "]", Access{Local: true, Keys: []identity.Address{b, a}}},
	} {
		cfg, err := Parse("f", []byte("edges: "+c.text+"\n"), testEnv)
		got := cfg.Edges
		if err != nil || got.Local != c.want.Local || got.Any != c.want.Any || !slices.Equal(got.Keys, c.want.Keys) {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
}

// An edge that lets edges attach, and homes beside peers, are told even where
// the lists have faults of their own.
func TestConflictsAreToldBesideFaults(t *testing.T) {
	_, err := Parse("f", []byte("edges: any\nhomes: [tls://a.example.org:7420#"+routerA+", nowhere]\npeers: [nowhere]\n"), testEnv)
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 4 {
		t.Fatalf("%v", err)
	}
	for _, says := range []string{"f:1:1: an edge router lets no", "f:3:1: a router has homes", "f:2:", "f:3:9: this is not a key"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}

// drawConfig makes a Config that a file can say.
func drawConfig(t *rapid.T) Config {
	keys := rapid.SliceOfNDistinct(rapid.ByteRange(1, 250), 0, 6, rapid.ID[byte]).Draw(t, "keys")
	cfg := Config{
		Data: "/" + rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "data"), Key: "/" + rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "key"),
		CanRoot: rapid.Bool().Draw(t, "can-root"), Services: Access{Any: true}, Edges: Access{Local: true},
		Limits: Limits{
			Custody: rapid.Int64Range(1<<20, 1<<40).Draw(t, "custody"), MailboxBytes: rapid.Int64Range(1<<16, 1<<40).Draw(t, "bytes"),
			MailboxEntries: rapid.IntRange(1, 1e8).Draw(t, "entries"), Clients: rapid.IntRange(1, 1e6).Draw(t, "clients"), Links: rapid.IntRange(1, 1e6).Draw(t, "links"),
		},
		Log: Log{Level: rapid.SampledFrom([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}).Draw(t, "level"), JSON: rapid.Bool().Draw(t, "json")},
	}
	edge := rapid.Bool().Draw(t, "edge")
	for i, n := range keys {
		k, err := identity.NewKey(bytes.Repeat([]byte{n}, identity.SeedSize))
		if err != nil {
			t.Fatal(err)
		}
		e := identity.Endpoint{Scheme: identity.SchemeTLS, Where: fmt.Sprintf("h%d.example.org:%d", i, 1+int(n))}.WithPin(k.Address())
		switch {
		case edge:
			cfg.Homes = append(cfg.Homes, e)
		case n%2 == 0:
			cfg.Peers = append(cfg.Peers, e)
		default:
			cfg.Accept = append(cfg.Accept, k.Address())
		}
		cfg.Listen = append(cfg.Listen, identity.Endpoint{Scheme: identity.SchemeUnix, Where: fmt.Sprintf("/run/%d", i)})
	}
	return cfg
}

// write says cfg as a file.
func write(cfg Config) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	lines := func(name string, entries []string) {
		line("%s: [%s]", name, strings.Join(entries, ", "))
	}
	text := func(list []identity.Endpoint) (out []string) {
		for _, e := range list {
			out = append(out, `"`+e.String()+`"`)
		}
		return out
	}
	lines("listen", text(cfg.Listen))
	peers := text(cfg.Peers)
	for _, a := range cfg.Accept {
		peers = append(peers, a.Text(identity.RouterText))
	}
	lines("peers", peers)
	lines("homes", text(cfg.Homes))
	line("data: %s\nkey: %s\ncan-root: %v\nservices: any", cfg.Data, cfg.Key, cfg.CanRoot)
	line("limits: {custody: %d, mailbox-bytes: %s}", cfg.Limits.Custody, sizeText(cfg.Limits.MailboxBytes))
	at := strings.LastIndexByte(b.String(), '}')
	out := b.String()[:at] + fmt.Sprintf(", mailbox-entries: %d, clients: %d, links: %d}\n", cfg.Limits.MailboxEntries, cfg.Limits.Clients, cfg.Limits.Links)
	format := "text"
	if cfg.Log.JSON {
		format = "json"
	}
	return out + fmt.Sprintf("log:\n  level: %s\n  format: %s\n", strings.ToLower(cfg.Log.Level.String()), format)
}

// What a file says is what comes out, whatever it is.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := drawConfig(rt)
		text := write(want)
		got, err := Parse("/etc/f", []byte(text), testEnv)
		if err != nil {
			rt.Fatalf("%s\n%v", text, err)
		}
		same(t, text, got, want)
	})
}

// A faulty line more is one problem more, at that line, and the others stay.
func TestFaultsAreIndependent(t *testing.T) {
	faults := []string{"colour: green", "can-root: maybe", "listen: tls://a", "services: some", "edges: [x]", "limits: 3", "data: 7"}
	rapid.Check(t, func(t *rapid.T) {
		chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(faults), 1, len(faults), rapid.ID[string]).Draw(t, "faults")
		_, err := Parse("f", []byte(strings.Join(chosen, "\n")+"\n"), testEnv)
		var ps Problems
		if !errors.As(err, &ps) || len(ps) != len(chosen) {
			t.Fatalf("%d problems of %d faults: %v", len(ps), len(chosen), err)
		}
		for i, p := range ps {
			if p.Line != i+1 {
				t.Fatalf("problem %d stands in line %d", i+1, p.Line)
			}
		}
	})
}
