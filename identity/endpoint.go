package identity

import (
	"fmt"
	"strconv"
	"strings"
)

// Endpoint says where a router listens, and as an option which router it must
// be. Its text form is
//
//	tls://host:port#upr1…      TLS over TCP; IPv6 hosts in brackets
//	unix:///path#upr1…         TLS over a unix socket
//	mem:name#upr1…             a link inside this process, for tests
//
// The part after # pins the key of the router; without it an endpoint can be
// listened on, and dialled only by whoever trusts on first use (spec §1.2).
// Endpoints are comparable.
type Endpoint struct {
	Scheme string  // "tls", "unix" or "mem"
	Where  string  // host:port, an absolute path, or a name
	Pin    Address // the router's address, if HasPin
	HasPin bool
}

// Schemes of endpoints.
const (
	SchemeTLS  = "tls"
	SchemeUnix = "unix"
	SchemeMem  = "mem"
)

const (
	hostMax = 253 // characters of a host name
	pathMax = 107 // bytes of a unix socket's path that Linux takes
	nameMax = 64  // characters of a name in memory

	hintEndpoint = "an endpoint looks like tls://host:port#upr1… or unix:///path#upr1…"
)

// ParseEndpoint reads the text form. It resolves and opens nothing. A pin may
// also come as did:key or as hexadecimal digits; String prints upr1… then. The
// error is a *TextError.
func ParseEndpoint(s string) (Endpoint, error) {
	// The first #: a path that holds one cannot be written as an endpoint, and is
	// refused for its pin.
	where, pin, hasPin := strings.Cut(s, "#")
	e, err := parseWhere(where)
	switch {
	case err != nil:
		return Endpoint{}, err
	case !hasPin:
		return e, nil
	}
	if e.Pin, err = ParseAddressAs(pin, RouterText); err != nil {
		return Endpoint{}, pinError(err)
	}
	e.HasPin = true
	return e, nil
}

// String returns the text form; ParseEndpoint reads it back as an equal value.
// It is empty for the zero Endpoint.
func (e Endpoint) String() string {
	if e.IsZero() {
		return ""
	}
	s := e.Scheme + "://" + e.Where
	if e.Scheme == SchemeMem {
		s = e.Scheme + ":" + e.Where
	}
	if e.HasPin {
		s += "#" + e.Pin.Text(RouterText)
	}
	return s
}

// IsZero reports whether e names no place.
func (e Endpoint) IsZero() bool { return e.Scheme == "" }

// WithPin returns e pinned to the router a.
func (e Endpoint) WithPin(a Address) Endpoint {
	e.Pin, e.HasPin = a, true
	return e
}

// Bare returns e without its pin.
func (e Endpoint) Bare() Endpoint {
	e.Pin, e.HasPin = Address{}, false
	return e
}

// HostPort returns host and port of a "tls" endpoint, the host without brackets,
// and empty texts for other schemes.
func (e Endpoint) HostPort() (host, port string) {
	i := strings.LastIndexByte(e.Where, ':')
	if e.Scheme != SchemeTLS || i < 0 {
		return "", ""
	}
	host = strings.TrimSuffix(strings.TrimPrefix(e.Where[:i], "["), "]")
	return host, e.Where[i+1:]
}

// parseWhere reads what stands before the #.
func parseWhere(s string) (Endpoint, error) {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return Endpoint{}, refuse("an endpoint with a control character", hintEndpoint)
		}
	}
	if where, ok := strings.CutPrefix(s, "tls://"); ok {
		return Endpoint{Scheme: SchemeTLS, Where: where}, checkHostPort(where)
	}
	if where, ok := strings.CutPrefix(s, "unix://"); ok {
		return Endpoint{Scheme: SchemeUnix, Where: where}, checkPath(where)
	}
	if where, ok := strings.CutPrefix(s, "mem:"); ok {
		return Endpoint{Scheme: SchemeMem, Where: where}, checkName(where)
	}
	return Endpoint{}, wrongScheme(s)
}

// wrongScheme says what is wrong with a text that begins with none of our schemes.
// The usual slips have sentences of their own: a bare path, upper case, one slash,
// the scheme of another protocol.
func wrongScheme(s string) error {
	scheme, _, ok := strings.Cut(s, ":")
	switch {
	case s == "":
		return refuse("an empty text where an endpoint is wanted", hintEndpoint)
	case strings.HasPrefix(s, "/"):
		return refuse("an endpoint without a scheme", "for a socket write unix:// before the path, so that three slashes follow each other")
	case strings.EqualFold(scheme, SchemeTLS), strings.EqualFold(scheme, SchemeUnix):
		return refuse("an endpoint that does not begin with tls:// or unix://", hintEndpoint+", in lower case and with two slashes")
	case ok && strings.Contains(s, "://"):
		return refuse(fmt.Sprintf("an endpoint of the unknown scheme %s", quoted(scheme)), hintEndpoint)
	}
	return refuse("an endpoint without a scheme", hintEndpoint)
}

// checkHostPort judges the shape only: whether a host exists is found by dialling.
// An empty host means every interface, for those who listen.
func checkHostPort(where string) error {
	// The last colon, so that an IPv6 host without brackets is told as such.
	i := strings.LastIndexByte(where, ':')
	if i < 0 {
		return refuse("an endpoint without a port", "add the port: tls://host:port; 7420 is the usual one")
	}
	host, port := where[:i], where[i+1:]
	// One text for each port: no sign, no leading zero.
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return refuse(fmt.Sprintf("the port %s is not a number from 0 to 65535", quoted(port)), "write tls://host:port, and an IPv6 host in brackets: tls://[::1]:7420")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok || !isIPv6(inner) {
			return refuse(fmt.Sprintf("the host %s is not an IPv6 address in brackets", quoted(host)), "write it like tls://[2001:db8::1]:7420")
		}
		return nil
	}
	if strings.Contains(host, ":") {
		return refuse(fmt.Sprintf("the host %s holds a colon", quoted(host)), "write an IPv6 host in brackets: tls://[2001:db8::1]:7420")
	}
	if !isHost(host) {
		return refuse(fmt.Sprintf("the host %s is no host name", quoted(host)), "letters, digits, dots and hyphens, at most 253 characters")
	}
	return nil
}

// checkPath judges a socket's path: absolute, since whoever dials may stand in
// another directory, and no longer than the system can bind.
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return refuse("the path of a unix endpoint is not absolute", "write unix:// and then the path from /, so that three slashes follow each other")
	case len(path) > pathMax:
		return refuse(fmt.Sprintf("the path of a unix socket has %d bytes, at most %d are possible", len(path), pathMax), "choose a shorter path")
	case strings.HasSuffix(path, "/"):
		return refuse("the path of a unix endpoint ends in a slash", "name the socket's file, not its directory")
	}
	return nil
}

// checkName judges the name of an endpoint in memory by the rule of host names, so
// that neither # nor a blank can stand in it.
func checkName(name string) error {
	if name == "" || len(name) > nameMax || !isHost(name) {
		return refuse(fmt.Sprintf("the name %s of an endpoint in memory", quoted(name)), "letters, digits, dots and hyphens, at most 64 characters")
	}
	return nil
}

// pinError says that the text after # is what was refused.
func pinError(err error) error {
	e, ok := err.(*TextError)
	if !ok {
		return err
	}
	return &TextError{text: "the pin after #: " + e.text, hint: e.hint, cause: e.cause}
}

// isHost tells a host name or IPv4 address from a slip of the pen; the empty text
// passes. Underscores are no part of host names, but resolvers take them.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return len(s) <= hostMax
}

// isIPv6 tells an IPv6 address from a slip of the pen: up to eight groups of
// hexadecimal digits, one gap at most, dotted decimals at the end, a zone.
func isIPv6(s string) bool {
	s, zone, hasZone := strings.Cut(s, "%")
	if hasZone && (zone == "" || !isHost(zone)) {
		return false
	}
	if last := strings.LastIndexByte(s, ':'); last >= 0 && isIPv4(s[last+1:]) {
		s = s[:last+1] + "0:0" // the decimals stand for two groups
	}
	head, tail, gap := strings.Cut(s, "::")
	a, b := countGroups(head), countGroups(tail)
	if a < 0 || b < 0 {
		return false
	}
	return a+b == 8 && !gap || a+b < 8 && gap
}

// countGroups counts the groups of hexadecimal digits in part of an IPv6 address,
// of which there may be none; it returns -1 for anything else.
func countGroups(part string) int {
	if part == "" {
		return 0
	}
	groups := strings.Split(part, ":")
	for _, g := range groups {
		if !isHex(g) || len(g) > 4 {
			return -1
		}
	}
	return len(groups)
}

// isIPv4 wants four decimal numbers without leading zeros, which some readers take
// as octal.
func isIPv4(s string) bool {
	parts := strings.Split(s, ".")
	for _, p := range parts {
		if n, err := strconv.ParseUint(p, 10, 8); err != nil || strconv.FormatUint(n, 10) != p {
			return false
		}
	}
	return len(parts) == 4
}

// quoted shows a text that somebody else wrote, cut to 64 bytes.
func quoted(s string) string {
	if len(s) > 64 {
		return strconv.Quote(s[:64]) + "…"
	}
	return strconv.Quote(s)
}
