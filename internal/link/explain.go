package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"upsycle/internal/wire"
)

// explain puts an ending into one sentence and a hint for people.
func explain(n Notice, why *ending) (text, hint string) {
	switch {
	case why.byPeer:
		return why.Error(), why.code.Hint()
	case why.cause == nil && why.code != wire.OK:
		return why.text, why.code.Hint()
	case why.cause == nil:
		return why.text, "It is linked again by itself where it was dialled."
	}
	var shake *handshakeError
	if errors.As(why.cause, &shake) {
		return explainHandshake(n.Origin, shake.err)
	}
	if n.Event == DialFailed || n.Event == DialStopped {
		return explainDial(n.Origin, why.cause)
	}
	return why.Error(), "Look at the network between the two machines."
}

// explainHandshake is for connections whose TLS handshake failed.
func explainHandshake(origin string, err error) (text, hint string) {
	var plain tls.RecordHeaderError
	var alert *net.OpError // how TLS reports an alert of the other side
	switch {
	case errors.Is(err, errPin):
		return "another key than the pinned one answers at " + origin,
			"Compare the part of the endpoint after # with the address that the router shows; if it is right, somebody else answers there."
	case errors.Is(err, errDenied):
		return "the key at " + origin + " is on the deny list", "Take it off the deny list if it is welcome."
	case errors.Is(err, errKey), errors.Is(err, errForm):
		return "what speaks TLS at " + origin + " is not an UPSYCLE program of this version", "Check host and port, and update the older program."
	case errors.Is(err, errHandshakeSize):
		return "the handshake from " + origin + " is longer than 16 KiB", "What speaks there is not an UPSYCLE program."
	case errors.As(err, &plain):
		return "what speaks at " + origin + " does not speak TLS" + protocolOf(plain.RecordHeader), "Check the port; it may be that of another service."
	case errors.As(err, &alert) && alert.Op == "remote error":
		return "the other side at " + origin + " refused the handshake: " + alert.Err.Error(),
			"It may not know this key's kind, deny it, or run another version; its log says why."
	case isTimeout(err):
		return "the handshake with " + origin + " did not finish in " + handshakeTime.String(), "The port may belong to another service, or the machine may be overloaded."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the other side at " + origin + " hung up during the handshake", "It may have too many connections, or not be an UPSYCLE program; its log says more."
	}
	return "the handshake with " + origin + " failed: " + trimmed(err), "Both sides must be UPSYCLE programs of this version."
}

// protocolOf guesses from the first bytes what answered instead of TLS.
func protocolOf(head [5]byte) string {
	switch start := string(head[:]); {
	case strings.HasPrefix(start, "HTTP/"), strings.HasPrefix(start, "GET "), strings.HasPrefix(start, "POST"), strings.HasPrefix(start, "HEAD"):
		return ", but HTTP"
	case strings.HasPrefix(start, "SSH-"):
		return ", but SSH"
	}
	return ""
}

// explainDial is for connections that did not come about.
func explainDial(origin string, err error) (text, hint string) {
	var dns *net.DNSError
	var untrusted *untrustedError
	switch {
	case errors.As(err, &untrusted):
		return "the key that answers at " + origin + " was not trusted: " + trimmed(untrusted.err),
			"Compare it with the address that the router shows; if it is right, dial with that address after #."
	case errors.As(err, &dns):
		return "the name " + quoted(dns.Name) + " was not found", "Check the spelling of the endpoint and this machine's name server."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at " + origin, "Start the router there (upsycle run), or check host and port."
	case errors.Is(err, fs.ErrNotExist):
		return "there is no socket at " + origin, "Start the router (upsycle run), or check the path."
	case errors.Is(err, fs.ErrPermission):
		return "this user may not use the socket at " + origin, "Run as the router's user, or use a tls:// endpoint."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to " + origin, "Check this machine's network connection."
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return origin + " does not answer", "The machine may be off, or a firewall may drop the packets."
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return origin + " hung up before it said hello", "It may have too many connections, or not admit this key; its log says more."
	}
	return "the dial of " + origin + " failed: " + trimmed(err), "Look at the network between the two machines."
}

// trimmed drops our own prefix and control characters from an error's text.
func trimmed(err error) string { return plain(strings.TrimPrefix(err.Error(), "link: "), 200) }
