package link

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// A Handler takes what links bring; it is what drives a machine.
type Handler interface {
	// Event gets LinkUp, FrameIn, RTT and LinkDown. All calls for one link come
	// from one goroutine, LinkUp first and LinkDown last. It may block: the link
	// is then not read, which is back-pressure. It returns an error only if ctx
	// ended or nobody takes events any more; the link ends then.
	Event(ctx context.Context, ev machine.Event) error
	// Drained must not block. It is never called after LinkDown of that link.
	Drained(ev machine.Drained)
}

// Config is what a Hub needs. Key, Handler and Network must be set.
type Config struct {
	Key     identity.Key
	Role    wire.Role // ours
	Agent   string    // program and version, cut to 64 bytes; told to every peer
	Handler Handler
	Network Network
	Log     *slog.Logger     // nil: silent
	Now     func() time.Time // the clock that hello tells; nil: time.Now
	Notify  func(Notice)     // told of what people want to know; must not block; nil: nobody
	// Deny is asked before the peer has proved its key, so it must only look and
	// change nothing; nil: nobody is denied. All other policy belongs to the gate.
	Deny   func(identity.Address) bool
	Limits Limits
}

// A Hub holds all links of one process. Its methods may be called from any
// goroutine. Inputs: Listen, Dial, Undial, Send, CloseLink, Pause, Drain, Close.
// Queries: Links, Counters, Self.
type Hub struct {
	config      Config
	log         *slog.Logger
	self        identity.Address
	certificate tls.Certificate
	accepting   *tls.Config
	boot        [8]byte
	keys        *keyCache
	shares      *budget // for large frames of attachments
	coreShares  *budget // and of the backbone: clients that promise much must not hold up routers
	door        *door
	count       counters

	dialling   context.Context // ends when the hub drains or closes
	stopDials  context.CancelFunc
	handling   context.Context // of calls of the Handler; ends last
	stopEvents context.CancelFunc
	running    sync.WaitGroup // every goroutine of the hub

	mu        sync.RWMutex
	shut      bool // nothing new
	next      machine.LinkID
	links     map[machine.LinkID]*link
	byKey     map[identity.Address]*link
	strangers map[net.Conn]struct{} // connections that have not said hello
	listeners []net.Listener
	dials     map[string]*dial
}

// NewHub makes a hub without links. It panics if the key is missing: that is the
// caller's fault, not a peer's.
func NewHub(config Config) *Hub {
	certificate, err := ownCertificate(config.Key)
	if err != nil {
		panic("link: NewHub without a key: " + err.Error())
	}
	config.Limits = config.Limits.withDefaults()
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Notify == nil {
		config.Notify = func(Notice) {}
	}
	h := &Hub{
		config: config, log: config.Log, self: config.Key.Address(), certificate: certificate,
		keys: newKeyCache(keyCacheSize), shares: newBudget(config.Limits.Assembly), coreShares: newBudget(config.Limits.Assembly), door: newDoor(config.Limits),
		links: make(map[machine.LinkID]*link), byKey: make(map[identity.Address]*link),
		strangers: make(map[net.Conn]struct{}), dials: make(map[string]*dial),
	}
	rand.Read(h.boot[:])
	h.accepting = linkConfig(certificate, identity.Address{}, h.refuse)
	h.dialling, h.stopDials = context.WithCancel(context.Background())
	h.handling, h.stopEvents = context.WithCancel(context.Background())
	return h
}

// Self returns the address that this hub proves to its peers.
func (h *Hub) Self() identity.Address { return h.self }

// Send queues a frame. It never blocks. A link that has ended takes it in
// silence: LinkDown is under way. Drained answers once the frame has left.
func (h *Hub) Send(id machine.LinkID, class machine.Class, f wire.Frame) {
	if l := h.link(id); l != nil {
		if e := l.out.put(class, f); e != nil {
			l.end(e)
		}
	}
}

// CloseLink ends a link with a close frame after the control frames that wait.
// It does not wait for the end; LinkDown tells of it.
func (h *Hub) CloseLink(id machine.LinkID, code wire.Code, text string) {
	if l := h.link(id); l != nil {
		l.end(&ending{code: code, text: text, say: true})
	}
}

// Pause stops reading a link until an instant, at most a third of the time after
// which the peer would take it for dead. Later calls replace earlier ones.
func (h *Hub) Pause(id machine.LinkID, until time.Time) {
	if l := h.link(id); l != nil {
		l.pause(until)
	}
}

// Drain ends everything politely: no new links, close 15 to all, and waits until
// they are gone or ctx ends, whose error it returns then. Close is still wanted.
func (h *Hub) Drain(ctx context.Context) error {
	h.shutDoor()
	for _, l := range h.all() {
		l.end(fault(wire.ShuttingDown, "this side is shutting down"))
	}
	gone := make(chan struct{})
	go func() { h.running.Wait(); close(gone) }()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		h.cut() // so that the goroutine above ends, too
		<-gone
		return ctx.Err()
	}
}

// Close ends all links with close 15 and waits for every goroutine of the hub. A
// Handler that does not take the last events for 4 seconds misses them. A second
// Close does nothing.
func (h *Hub) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	h.Drain(ctx)
	h.stopEvents()
	return nil
}

// errHubClosed answers calls that come too late.
var errHubClosed = errors.New("link: this process is shutting down")

func (h *Hub) event(ev machine.Event) error { return h.config.Handler.Event(h.handling, ev) }

func (h *Hub) refuse(peer identity.Address) error {
	if h.config.Deny != nil && h.config.Deny(peer) {
		return errDenied
	}
	return nil
}

func (h *Hub) link(id machine.LinkID) *link {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.links[id]
}

// all returns the links by id.
func (h *Hub) all() []*link {
	h.mu.RLock()
	defer h.mu.RUnlock()
	list := make([]*link, 0, len(h.links))
	for _, l := range h.links {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b *link) int { return int(a.id) - int(b.id) })
	return list
}

// shutDoor lets nothing new begin and ends what has not said hello.
func (h *Hub) shutDoor() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.shut = true
	h.stopDials()
	for _, l := range h.listeners {
		l.Close()
	}
	for conn := range h.strangers {
		conn.Close()
	}
}

// cut breaks all connections and gives up on the Handler.
func (h *Hub) cut() {
	for _, l := range h.all() {
		l.raw.Close()
	}
	h.stopEvents()
}

// begin counts a goroutine of the hub, unless the hub is shut.
func (h *Hub) begin(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut {
		return false
	}
	h.running.Go(f)
	return true
}

// meet remembers a connection until part, so that Close can end it.
func (h *Hub) meet(conn net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shut {
		return false
	}
	h.strangers[conn] = struct{}{}
	return true
}

func (h *Hub) part(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.strangers, conn)
}
