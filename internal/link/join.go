package link

import (
	"upsycle/identity"
	"upsycle/internal/wire"
)

// join makes l one of the hub's links, in the place of an older one of its key or
// not at all. Both sides have proved their keys and said hello. It returns the
// older link, whose LinkDown must come before l's LinkUp, or why l must end.
func (h *Hub) join(l *link) (before *link, refused *ending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	before = h.byKey[l.peer]
	switch {
	case h.shut:
		return nil, fault(wire.ShuttingDown, "this side is shutting down")
	case l.peer == h.self:
		return nil, fault(wire.NotAllowed, "this is my own key: a process does not link to itself")
	case before == nil && len(h.links) >= h.places(l):
		return nil, fault(wire.Quota, "no room for another link: %d are open", len(h.links))
	case before != nil && !before.ended() && !newerStays(h.self, l.peer, before.side(), l.side()):
		return nil, fault(wire.Superseded, "another link between these two routers stays")
	}
	h.next++
	l.id = h.next
	h.links[l.id], h.byKey[l.peer] = l, l
	if before != nil {
		l.replaces = !before.ended() && before.hello.Boot != l.hello.Boot
		before.end(fault(wire.Superseded, "a newer link of the same key took over"))
	}
	return before, nil
}

// places returns how many links there may be before l. The last ones are for the
// backbone: keys cost nothing, so clients alone could take all of them, and a core
// without its neighbours is of use to nobody. A peer that only claims to be a core
// is closed by the gate at once.
func (h *Hub) places(l *link) int {
	n := h.config.Limits.Links
	if l.backbone() {
		return n
	}
	return n - n/backboneShare
}

// leave forgets a link that is down.
func (h *Hub) leave(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.links, l.id)
	if h.byKey[l.peer] == l {
		delete(h.byKey, l.peer)
	}
}

// waitDown waits until LinkDown of l, which may be nil, has been handled.
func (h *Hub) waitDown(l *link) {
	if l == nil {
		return
	}
	select {
	case <-l.down:
	case <-h.handling.Done():
	}
}

// linked returns the link of a key, or nil.
func (h *Hub) linked(peer identity.Address) *link {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.byKey[peer]
}

// A side is what the choice between two links of one key depends on.
type side struct {
	backbone bool    // both ends are cores
	dialled  bool    // by us
	boot     [8]byte // the peer's
}

func (l *link) side() side { return side{l.backbone(), l.dialled, l.hello.Boot} }

// newerStays chooses between two links to one peer (spec §3.5). On attachments
// the newer wins: the older is what a client that lost its connection left
// behind. On the backbone both sides must come to the same choice although they
// may see the links in different order: the one dialled by the smaller key stays,
// unless the same side dialled again or the peer was started anew, which only the
// newer link can tell of.
func newerStays(self, peer identity.Address, older, newer side) bool {
	if !older.backbone || !newer.backbone {
		return true
	}
	if older.dialled == newer.dialled || older.boot != newer.boot {
		return true
	}
	return newer.dialled == (self.Compare(peer) < 0)
}
