package link

import (
	"errors"
	"io/fs"
	"net"
	"syscall"
	"time"

	"upsycle/identity"
)

// A ListenError says why an endpoint cannot be listened on, with a hint.
type ListenError struct {
	Text, Hint string
	Err        error
}

// Error returns one sentence.
func (e *ListenError) Error() string { return e.Text }

// Unwrap returns the system's own error.
func (e *ListenError) Unwrap() error { return e.Err }

// Listen accepts links at ep until Drain or Close. A pin of ep is ignored: the
// hub proves its own key. It returns the endpoint as others dial it, with the
// port that was found for port 0 and pinned to our key. The error is a
// *ListenError.
func (h *Hub) Listen(ep identity.Endpoint) (bound identity.Endpoint, err error) {
	l, err := h.config.Network.Listen(ep)
	if err != nil {
		return identity.Endpoint{}, listenError(ep, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut {
		l.Close()
		return identity.Endpoint{}, listenError(ep, errHubClosed)
	}
	h.listeners = append(h.listeners, l)
	h.running.Go(func() { h.accept(l) })
	bound = ep.WithPin(h.self)
	if ep.Scheme != identity.SchemeUnix {
		bound.Where = l.Addr().String()
	}
	h.log.Info("listening", "endpoint", bound)
	return bound, nil
}

// accept takes connections until the listener is closed.
func (h *Hub) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case h.dialling.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				conn.Close()
			}
			return
		case err != nil:
			// Mostly: out of file descriptors. Others may be freed.
			h.log.Error("cannot accept a connection", "at", l.Addr(), "why", err)
			sleep(h.dialling, time.Second)
		default:
			h.admit(conn)
		}
	}
}

// admit starts the life of an accepted connection, if the door lets it in.
func (h *Hub) admit(conn net.Conn) {
	h.count.accepted.Add(1)
	source := sourceOf(conn)
	if !h.door.enter(source) {
		h.count.throttled.Add(1)
		conn.Close()
		return
	}
	if !h.door.await(h.dialling, source) || !h.begin(func() { h.receive(conn, source) }) {
		h.door.leave(source)
		conn.Close()
	}
}

// receive is the life of an accepted connection.
func (h *Hub) receive(conn net.Conn, source string) {
	origin := conn.RemoteAddr().String()
	if origin == "" || origin == "@" {
		origin = "a unix socket"
	}
	why, up := h.serve(conn, caller{
		config:  h.accepting,
		origin:  origin,
		greeted: func() { h.door.leave(source) },
		joined:  func(*link) {},
	})
	if up || h.dialling.Err() != nil {
		return
	}
	h.count.failed.Add(1)
	n := Notice{Event: StrangerFailed, Origin: origin}.because(why)
	if h.door.log.Allow() {
		h.log.Info("a connection did not become a link", "from", origin, "why", n.Text, "hint", n.Hint)
	}
	h.config.Notify(n)
}

func listenError(ep identity.Endpoint, err error) *ListenError {
	e := &ListenError{Text: "cannot listen on " + ep.Bare().String() + ": " + trimmed(err), Hint: "Check host and port, or the path, of the listen entry.", Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		e.Text = "cannot listen on " + ep.Bare().String() + ": another program uses it"
		e.Hint = "Stop the other program, or choose another port or path."
	case errors.Is(err, fs.ErrPermission):
		e.Text = "cannot listen on " + ep.Bare().String() + ": this user may not"
		e.Hint = "Choose a port from 1024 on, or a directory that belongs to this user."
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e.Text = "cannot listen on " + ep.Bare().String() + ": no interface of this machine has that address"
		e.Hint = "Use an address of this machine, or leave the host out to listen on all."
	case errors.Is(err, fs.ErrNotExist):
		e.Text = "cannot listen on " + ep.Bare().String() + ": the directory does not exist"
		e.Hint = "Make the directory, or choose another path."
	}
	return e
}
