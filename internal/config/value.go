package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"upsycle/identity"
)

// list returns the scalars of a list. What else stands in it is noted.
func (p *parser) list(name string, v *node) []*node {
	if v.kind != list {
		p.problem(v, fmt.Sprintf("%s is a list", name), `begin each entry with "- " on a line of its own, or write [one, two]`)
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.items), func(n *node) bool {
		switch {
		case n.kind != scalar:
			p.problem(n, fmt.Sprintf("a list or table where an entry of %s is wanted", name), "an entry is one text; put it into quotes if it holds a colon and a blank")
		case n.tag == "!!null":
			p.problem(n, fmt.Sprintf("an empty entry of %s", name), "remove it")
		default:
			return false
		}
		return true
	})
}

// endpoint reads tls:// and unix://; endpoints in memory are for tests in Go.
func (p *parser) endpoint(n *node) (identity.Endpoint, bool) {
	e, err := identity.ParseEndpoint(n.text)
	switch {
	case err != nil:
		p.refused(n, err)
	case e.Scheme == identity.SchemeMem:
		p.problem(n, "an endpoint in memory", "an endpoint looks like tls://host:port or unix:///path")
	default:
		return e, true
	}
	return identity.Endpoint{}, false
}

// pinned reads an endpoint that will be dialled: it says which router it is, and
// has a host and a port to dial.
func (p *parser) pinned(n *node) (identity.Endpoint, bool) {
	e, ok := p.endpoint(n)
	if !ok {
		return e, false
	}
	host, port := e.HostPort()
	switch {
	case !e.HasPin:
		p.problem(n, "the key of the router to dial is missing",
			fmt.Sprintf("append # and its key, without a blank: %s#upr1…; the other router prints it when it starts", e))
	case e.Scheme == identity.SchemeTLS && host == "":
		p.problem(n, "the host to dial is missing", "write tls://host:port#upr1…")
	case e.Scheme == identity.SchemeTLS && port == "0":
		p.problem(n, "nobody can be dialled on port 0", "name the port that the other router listens on")
	default:
		return e, true
	}
	return e, false
}

// refused notes what package identity said.
func (p *parser) refused(n *node, err error) {
	var e *identity.TextError
	hint := ""
	if errors.As(err, &e) {
		hint = e.Hint()
	}
	p.problem(n, err.Error(), hint)
}

// path reads a file name: ~/ is the home directory, and what is relative starts
// at the configuration file's directory.
func (p *parser) path(key, v *node) string {
	if v.kind != scalar || v.tag != "!!str" || v.text == "" {
		p.problem(v, fmt.Sprintf("%s is a path", key.text), "write it like /var/lib/upsycle; put it into quotes if it looks like a number")
		return ""
	}
	if rest, ok := strings.CutPrefix(v.text, "~/"); ok {
		if p.env.Home == "" {
			p.problem(v, "a path that begins with ~/ while HOME is not set", "write the whole path")
			return ""
		}
		return filepath.Join(p.env.Home, rest)
	}
	if filepath.IsAbs(v.text) {
		return filepath.Clean(v.text)
	}
	return filepath.Join(filepath.Dir(p.file), v.text)
}

func (p *parser) boolean(key, v *node) bool {
	if v.kind != scalar || v.tag != "!!bool" {
		p.problem(v, fmt.Sprintf("%s is true or false", key.text), "write true or false, without quotes")
	}
	return strings.EqualFold(v.text, "true")
}

// choice returns which of the words v is, or -1.
func (p *parser) choice(key, v *node, words ...string) int {
	if v.kind == scalar {
		if i := slices.Index(words, v.text); i >= 0 {
			return i
		}
	}
	hint := "write one of these words in lower case"
	if w := nearest(v.text, words); w != "" {
		hint = fmt.Sprintf("did you mean %q?", w)
	}
	p.problem(v, fmt.Sprintf("%s is one of %s", key.text, strings.Join(words, ", ")), hint)
	return -1
}

// count reads a whole number in decimal digits.
func (p *parser) count(key, v *node, least, most int) int {
	n, err := strconv.Atoi(v.text)
	if v.kind != scalar || v.tag != "!!int" || err != nil || strconv.Itoa(n) != v.text {
		p.problem(v, fmt.Sprintf("%s is a whole number", key.text), "write it in digits, without quotes and separators, like 5000")
		return 0
	}
	if n < least || n > most {
		p.problem(v, fmt.Sprintf("%s lies between %d and %d", key.text, least, most), "choose a number in this range, or remove the line to get the default")
	}
	return n
}

// size reads bytes: a whole number, and KiB, MiB, GiB or TiB.
func (p *parser) size(key, v *node, least, most int64) int64 {
	n, ok := parseSize(v.text)
	if v.kind != scalar || !ok {
		p.problem(v, fmt.Sprintf("%s is a size in bytes", key.text), sizeHint(v.text))
		return 0
	}
	if n < least || n > most {
		p.problem(v, fmt.Sprintf("%s lies between %s and %s", key.text, sizeText(least), sizeText(most)), "choose a size in this range, or remove the line to get the default")
	}
	return n
}

// units have factors of 1024, 1024², 1024³ and 1024⁴ bytes.
const units = "KMGT"

func parseSize(s string) (int64, bool) {
	digits, shift := s, 0
	if rest, ok := strings.CutSuffix(s, "iB"); ok && rest != "" {
		i := strings.IndexByte(units, rest[len(rest)-1])
		if i < 0 {
			return 0, false
		}
		digits, shift = strings.TrimRight(rest[:len(rest)-1], " "), 10*(i+1)
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != digits || n < 0 || n > (1<<62)>>shift {
		return 0, false
	}
	return n << shift, true
}

func sizeHint(s string) string {
	digits := strings.TrimRight(s, "kKmMgGtTiIbB ")
	if n, err := strconv.ParseUint(digits, 10, 32); err == nil && len(digits) < len(s) {
		unit := strings.ToUpper(strings.TrimLeft(s[len(digits):], " "))
		if unit != "" && strings.Contains(units, unit[:1]) {
			return fmt.Sprintf("did you mean %d%siB?", n, unit[:1])
		}
	}
	return "write it like 256MiB; KiB, MiB, GiB and TiB are known"
}

func sizeText(n int64) string {
	unit := 0
	for n >= 1024 && n%1024 == 0 && unit < len(units) {
		n, unit = n>>10, unit+1
	}
	if unit == 0 {
		return strconv.FormatInt(n, 10)
	}
	return fmt.Sprintf("%d%ciB", n, units[unit-1])
}
