package router

import (
	"upsycle/identity"
	"upsycle/internal/attach"
	"upsycle/internal/backbone"
	"upsycle/internal/tree"
	"upsycle/internal/wire"
)

// Snapshot is the state of a router in plain values, for status and checkers. It
// is the caller's.
type Snapshot struct {
	Self    identity.Address
	Role    wire.Role
	Peers   []backbone.LinkState
	Roots   []tree.RootState
	Trees   []backbone.TreeState
	Local   []backbone.LocalState
	Clients []attach.ClientState
	Tables  []TableState
}

// TableState is how full a table is. Limit 0: bounded by another table.
type TableState struct {
	Name        string
	Used, Limit int
}

// Snapshot returns the present state. On an edge, the parts about the backbone
// are empty.
func (r *Router) Snapshot() Snapshot {
	s := Snapshot{Self: r.self, Role: r.cfg.Role, Clients: r.home.Clients()}
	// Before the first Step a core has none either.
	if b := r.backbone; b != nil {
		s.Peers, s.Roots, s.Trees, s.Local = b.Links(), b.Roots(), b.Trees(), b.Locals()
		s.Tables = tables(b.Sizes())
	}
	return s
}

// tables names what an operator sees growing, with the bounds of docs/limits.md.
func tables(z backbone.Sizes) []TableState {
	return []TableState{
		{"interest entries", z.Entries, backbone.EntriesMax},
		{"targets", z.Subjects, backbone.TargetsMax},
		{"missing envelopes", z.Missing, backbone.MissingMax},
		{"offer numbers", z.Offers, backbone.OffersMax},
		{"cached envelopes", z.CacheEnvelopes, 0},
		{"cached bytes", z.CacheBytes, backbone.CacheBytesMax},
		{"envelopes in custody", z.CustodyEnvelopes, 0},
		{"bytes in custody", z.CustodyBytes, z.CustodyLimit},
		{"grant checks", z.GrantChecks, backbone.ChecksMax},
	}
}
