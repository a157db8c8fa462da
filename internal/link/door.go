package link

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/time/rate"
)

// A door bounds what strangers hold before they have proved a key and said hello
// (spec §3.1). It is safe for concurrent use.
type door struct {
	mu      sync.Mutex
	inside  int
	sources map[string]int
	turns   map[string]*rate.Limiter // of sources that came a short while ago
	before  map[string]*rate.Limiter // the generation before
	limits  Limits
	pace    *rate.Limiter
	log     *rate.Limiter // strangers must not fill the log
}

func newDoor(limits Limits) *door {
	return &door{
		sources: make(map[string]int), turns: make(map[string]*rate.Limiter), limits: limits,
		pace: rate.NewLimiter(rate.Limit(limits.AcceptsPerSecond), limits.AcceptsPerSecond),
		log:  rate.NewLimiter(1, 10),
	}
}

// enter lets a connection in, or says that it must be closed at once. An empty
// source, a process of our own user, counts only in the total.
func (d *door) enter(source string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside >= d.limits.Handshakes || source != "" && (d.sources[source] >= d.limits.HandshakesPerSource || !d.turn(source)) {
		return false
	}
	d.inside++
	if source != "" {
		d.sources[source]++
	}
	return true
}

// turn takes one of a source's own turns, if it has one left: half of the pace of
// all. Else who connects and hangs up, again and again, would take every turn of
// await, and all others would wait behind it.
func (d *door) turn(source string) bool {
	l := d.turns[source]
	if l == nil {
		if l = d.before[source]; l == nil {
			l = rate.NewLimiter(rate.Limit(d.limits.AcceptsPerSecond)/2, d.limits.AcceptsPerSecond)
		}
		if len(d.turns) >= turnsMax {
			d.before, d.turns = d.turns, make(map[string]*rate.Limiter)
		}
		d.turns[source] = l
	}
	return l.Allow()
}

// leave takes back what enter counted.
func (d *door) leave(source string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.inside--
	if source == "" {
		return
	}
	if d.sources[source]--; d.sources[source] == 0 {
		delete(d.sources, source)
	}
}

// await paces connections from other users and machines; false: ctx ended.
func (d *door) await(ctx context.Context, source string) bool {
	return source == "" || d.pace.Wait(ctx) == nil
}

// sourceOf names where a connection comes from, as far as limits care: an IPv4
// address, an IPv6 /64 (one customer has all of it), another local user. Empty:
// a process of our own user.
func sourceOf(conn net.Conn) string {
	switch remote := conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		ip := remote.AddrPort().Addr().Unmap().WithZone("")
		if ip.Is4() {
			return ip.String()
		}
		return netip.PrefixFrom(ip, 64).Masked().String()
	case *net.UnixAddr:
		uid, known := peerUser(conn)
		if known && uid == ownUser() {
			return ""
		}
		return "unix uid " + strconv.Itoa(uid)
	default:
		return remote.String()
	}
}

// sameUser says whether the other end is a process of our own user, which only a
// unix socket can tell. It chooses a class; it never replaces a proof of key.
func sameUser(conn net.Conn) bool {
	uid, known := peerUser(conn)
	return known && uid == ownUser()
}
