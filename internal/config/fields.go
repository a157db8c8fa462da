package config

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"upsycle/identity"
)

// A parser fills a Config and collects Problems.
type parser struct {
	file     string
	env      Env
	cfg      Config
	problems Problems
	given    map[string]entry           // settings at the top of the file
	keys     map[identity.Address]*node // keys of peers and homes
}

// A field is one setting: its name, and how its value goes into the Config.
type field struct {
	name string
	read func(p *parser, key, value *node)
}

// rootFields are the settings at the top of the file, in the order of the example.
func rootFields() []field {
	return []field{
		{"listen", func(p *parser, _, v *node) { p.cfg.Listen = p.listen(v) }},
		{"peers", func(p *parser, _, v *node) { p.peers(v) }},
		{"homes", func(p *parser, _, v *node) { p.homes(v) }},
		{"key", func(p *parser, k, v *node) { p.cfg.Key = p.path(k, v) }},
		{"data", func(p *parser, k, v *node) { p.cfg.Data = p.path(k, v) }},
		{"services", func(p *parser, k, v *node) { p.cfg.Services = p.access(k, v, identity.ServiceText) }},
		{"edges", func(p *parser, k, v *node) { p.cfg.Edges = p.access(k, v, identity.RouterText) }},
		{"can-root", func(p *parser, k, v *node) { p.cfg.CanRoot = p.boolean(k, v) }},
		{"limits", func(p *parser, _, v *node) { p.table(v, "limits", limitFields()) }},
		{"log", func(p *parser, _, v *node) { p.table(v, "log", logFields()) }},
	}
}

// The defaults of the limits; docs/limits.md has the reasons.
const (
	custodyDefault        = 4 << 30
	mailboxBytesDefault   = 64 << 20
	mailboxEntriesDefault = 50_000
	clientsDefault        = 10_000
	linksDefault          = 10_256
)

func limitFields() []field {
	return []field{
		{"custody", func(p *parser, k, v *node) { p.cfg.Limits.Custody = p.size(k, v, 1<<20, 1<<40) }},
		{"mailbox-bytes", func(p *parser, k, v *node) { p.cfg.Limits.MailboxBytes = p.size(k, v, 1<<16, 1<<40) }},
		{"mailbox-entries", func(p *parser, k, v *node) { p.cfg.Limits.MailboxEntries = p.count(k, v, 1, 100_000_000) }},
		{"clients", func(p *parser, k, v *node) { p.cfg.Limits.Clients = p.count(k, v, 1, 1_000_000) }},
		{"links", func(p *parser, k, v *node) { p.cfg.Limits.Links = p.count(k, v, 1, 1_000_000) }},
	}
}

func logFields() []field {
	return []field{
		{"level", func(p *parser, k, v *node) {
			levels := []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}
			if i := p.choice(k, v, "debug", "info", "warn", "error"); i >= 0 {
				p.cfg.Log.Level = levels[i]
			}
		}},
		{"format", func(p *parser, k, v *node) { p.cfg.Log.JSON = p.choice(k, v, "text", "json") == 1 }},
	}
}

// table reads the pairs of n. within is the setting that n belongs to, empty at
// the top of the file.
func (p *parser) table(n *node, within string, fields []field) {
	if n.kind != table {
		p.problem(n, fmt.Sprintf("%s is a table of settings", within), `write "name: value" in lines below it, indented`)
		return
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	for _, e := range n.entries {
		i := slices.Index(names, e.key.text)
		if within == "" {
			p.note(e)
		}
		switch {
		case i < 0:
			p.unknown(e.key, within, names)
		case e.value == nil: // refused already
		case e.value.kind == scalar && e.value.tag == "!!null":
			p.problem(e.value, fmt.Sprintf("%s has no value", e.key.text), "give it one, or remove the line to get the default; [] is an empty list")
		default:
			fields[i].read(p, e.key, e.value)
		}
	}
}

func (p *parser) note(e entry) {
	if p.given == nil {
		p.given = map[string]entry{}
	}
	p.given[e.key.text] = e
}

func (p *parser) unknown(key *node, within string, names []string) {
	text := fmt.Sprintf("there is no setting %s", quoted(key.text))
	if within != "" {
		text += " in " + within
	}
	hint := "known are " + strings.Join(names, ", ")
	if k := nearest(key.text, names); k != "" {
		hint = fmt.Sprintf("did you mean %q?", k)
	}
	p.problem(key, text, hint)
}

// listen reads where the router listens. An endpoint twice would fail at start.
func (p *parser) listen(v *node) []identity.Endpoint {
	var out []identity.Endpoint
	for _, n := range p.list("listen", v) {
		e, ok := p.endpoint(n)
		switch {
		case !ok:
		case e.HasPin:
			p.problem(n, "a pin where this router listens", "remove # and what follows: the pin is this router's own key")
		case slices.Contains(out, e):
			p.problem(n, fmt.Sprintf("%s is listed twice", e), "keep one of them")
		default:
			out = append(out, e)
		}
	}
	return out
}

// peers reads pinned endpoints to dial, and keys alone to accept.
func (p *parser) peers(v *node) {
	for _, n := range p.list("peers", v) {
		if !looksLikeEndpoint(n.text) {
			if a, err := identity.ParseAddressAs(n.text, identity.RouterText); err != nil {
				p.refused(n, err)
			} else if p.fresh(n, a) {
				p.cfg.Accept = append(p.cfg.Accept, a)
			}
		} else if e, ok := p.pinned(n); ok && p.fresh(n, e.Pin) {
			p.cfg.Peers = append(p.cfg.Peers, e)
		}
	}
}

// looksLikeEndpoint tells what was meant, so that a slip in it is told as one.
func looksLikeEndpoint(s string) bool {
	return strings.ContainsAny(s, ":/") && !strings.HasPrefix(s, "did:")
}

// homes reads pinned endpoints; an edge dials its homes, so a key alone is no home.
func (p *parser) homes(v *node) {
	for _, n := range p.list("homes", v) {
		if _, _, err := identity.ParseAddress(n.text); err == nil {
			p.problem(n, "a key alone, without a place to dial", "an edge router dials its homes: write tls://host:port# before the key")
		} else if e, ok := p.pinned(n); ok && p.fresh(n, e.Pin) {
			p.cfg.Homes = append(p.cfg.Homes, e)
		}
	}
}

// fresh reports whether a was not named before: one link per pair of keys, and a
// router is either a peer or a home.
func (p *parser) fresh(n *node, a identity.Address) bool {
	if first := p.keys[a]; first != nil {
		p.problem(n, fmt.Sprintf("the router %s… is named twice", a.Short(identity.RouterText)), fmt.Sprintf("it is in line %d already: keep one of them", first.line))
		return false
	}
	if p.keys == nil {
		p.keys = map[identity.Address]*node{}
	}
	p.keys[a] = n
	return true
}

// access reads "local", "any", or a list of keys in which "local" may stand too.
func (p *parser) access(key, v *node, role identity.TextRole) Access {
	if v.kind == scalar {
		switch v.text {
		case "local":
			return Access{Local: true}
		case "any":
			return Access{Any: true}
		}
		p.problem(v, fmt.Sprintf("%s is local, any, or a list of keys, not %s", key.text, quoted(v.text)),
			fmt.Sprintf("a list looks like [local, %s1…]; [] lets nobody in", role.Prefix()))
		return Access{}
	}
	var a Access
	for _, n := range p.list(key.text, v) {
		switch n.text {
		case "local":
			a.Local = true
			continue
		case "any":
			p.problem(n, "any inside a list", fmt.Sprintf("write %s: any without a list", key.text))
			continue
		}
		k, err := identity.ParseAddressAs(n.text, role)
		switch {
		case err != nil:
			p.refused(n, err)
		case slices.Contains(a.Keys, k):
			p.problem(n, fmt.Sprintf("the key %s… is listed twice", k.Short(role)), "keep one of them")
		default:
			a.Keys = append(a.Keys, k)
		}
	}
	return a
}
