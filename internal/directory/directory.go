package directory

import (
	"bytes"

	"upsycle/identity"
	"upsycle/internal/envelope"
	"upsycle/internal/ordered"
	"upsycle/internal/wire"
)

// A Directory holds verified documents. Queries: HasGrant, Homes, Judge; inputs:
// PutGrant, PutHomes, ForgetHomes. Times are Unix milliseconds. It keeps the
// documents that it is given, which nobody may change. It is not safe for
// concurrent use.
type Directory struct {
	grants map[grantKey]*wire.Grant
	ends   ordered.Agenda[grantKey] // one note for each grant, when it may go
	homes  map[identity.Address]*wire.Homes

	grantsMax, homesMax int
}

// grantKey names who may receive for whom: an address may have several homes.
type grantKey struct{ address, router identity.Address }

// New returns an empty Directory.
func New() *Directory {
	return &Directory{
		grants: make(map[grantKey]*wire.Grant),
		homes:  make(map[identity.Address]*wire.Homes),

		grantsMax: GrantsMax, homesMax: HomesMax,
	}
}

// HasGrant reports whether exactly this document, signature included, was
// verified before. Another signature over the same body counts as unknown, since
// somebody with a cold memory would have to check it (spec §4.4).
func (d *Directory) HasGrant(g *wire.Grant) bool {
	known, ok := d.grants[grantKey{g.Address, g.Router}]
	return ok && same(known.Signed, g.Signed)
}

// PutGrant remembers a grant whose signature holds, until it ends. One that ends
// earlier than the known one is not kept.
func (d *Directory) PutGrant(now int64, g *wire.Grant) {
	d.forget(now)
	if int64(g.NotAfter) < now {
		return
	}
	key := grantKey{g.Address, g.Router}
	known, ok := d.grants[key]
	switch {
	case ok && known.NotAfter >= g.NotAfter:
		return
	case !ok && len(d.grants) >= d.grantsMax:
		return
	case !ok:
		d.ends.Put(int64(g.NotAfter)+1, key)
	}
	d.grants[key] = g
}

// forget drops the grants that have ended. A grant that was renewed meanwhile
// gets a new note, so each key has one.
func (d *Directory) forget(now int64) {
	for key, ok := d.ends.Pop(now); ok; key, ok = d.ends.Pop(now) {
		g := d.grants[key]
		if int64(g.NotAfter) < now {
			delete(d.grants, key)
			continue
		}
		d.ends.Put(int64(g.NotAfter)+1, key)
	}
}

// Standing says how a homes document relates to the one that is known.
type Standing uint8

// What Judge finds.
const (
	News     Standing = iota // a higher epoch, or the first of its client
	Known                    // exactly the known one, signature included
	Resigned                 // the known body under another signature
	Older                    // a lower epoch
	Conflict                 // the same epoch with other content
)

// Judge compares a document with the known one of its client. It looks at no
// signature.
func (d *Directory) Judge(h *wire.Homes) Standing {
	known, ok := d.homes[h.Client]
	switch {
	case !ok || h.Epoch > known.Epoch:
		return News
	case h.Epoch < known.Epoch:
		return Older
	case !bytes.Equal(h.Signed.Body, known.Signed.Body):
		return Conflict
	case h.Signed.Sig != known.Signed.Sig:
		return Resigned
	}
	return Known
}

// Homes returns the newest known document of a client, or nil.
func (d *Directory) Homes(client identity.Address) *wire.Homes { return d.homes[client] }

// PutHomes remembers a document whose signature holds if it is News. It reports
// whether the client has a known document now: false means that there is no room.
func (d *Directory) PutHomes(h *wire.Homes) bool {
	known := d.homes[h.Client]
	if known == nil && len(d.homes) >= d.homesMax {
		return false
	}
	if d.Judge(h) == News {
		d.homes[h.Client] = h
	}
	return true
}

// ForgetHomes forgets a client for which nothing is kept any more: its epochs
// protect a mailbox, and there is none.
func (d *Directory) ForgetHomes(client identity.Address) { delete(d.homes, client) }

// Sizes returns how many grants and homes documents there are.
func (d *Directory) Sizes() (grants, homes int) { return len(d.grants), len(d.homes) }

func same(a, b envelope.Signed) bool { return a.Sig == b.Sig && bytes.Equal(a.Body, b.Body) }
