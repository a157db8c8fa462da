package tree

import (
	"bytes"
	"encoding/binary"
	"slices"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// Map returns the primary and the secondary root of a target: the two counting
// roots of highest weight (R4), as of the last recount. Zero: there is none.
// It allocates nothing and costs a hash for each counting root.
func (f *Forest) Map(t envelope.Target) (p, s identity.Address) {
	var first, second uint64
	for _, c := range f.counting { // in ascending order of keys, so that a tie goes to the lower
		switch w := weight(t, c.root); {
		case p.IsZero() || w > first:
			p, s = c.root, p
			first, second = w, first
		case s.IsZero() || w > second:
			s, second = c.root, w
		}
	}
	return p, s
}

// PublishRoot returns the root on whose tree an envelope for t sets out: the one of
// highest weight among those that count and have had reach for SETTLE, else the
// primary. Subscribers join a new root at once and publishers use it SETTLE later,
// so two routers whose views are one step apart still share a root. It reports
// whether there is any, and allocates nothing.
func (f *Forest) PublishRoot(now int64, t envelope.Target) (identity.Address, bool) {
	var best identity.Address
	var most uint64
	for _, c := range f.counting {
		if !c.reach || now-c.since < settle {
			continue
		}
		if w := weight(t, c.root); best.IsZero() || w > most {
			best, most = c.root, w
		}
	}
	if best.IsZero() {
		best, _ = f.Map(t)
	}
	return best, !best.IsZero()
}

// recount is R2: the three usable roots of best rank count. It runs at the end of
// every input, but its result changes only when reach is gained and HOLD after it
// was lost, since that is when usable does.
func (f *Forest) recount(now int64) {
	var best [rootsCounting]*tree
	for _, t := range f.trees {
		t.usable = f.isUsable(now, t)
		for i := 0; t.usable && i < len(best); i++ {
			if best[i] == nil || outranks(t.rank, best[i].rank) {
				copy(best[i+1:], best[i:])
				best[i] = t
				break
			}
		}
	}
	if f.counts(best[:]) {
		return
	}
	f.counting, f.countingKeys = nil, nil
	for _, t := range f.trees {
		f.setCounting(now, t, slices.Contains(best[:], t))
	}
	f.changed(Change{Kind: Counting})
}

// counts reports whether best, which may end in nils, is what counts already.
func (f *Forest) counts(best []*tree) bool {
	n := 0
	for _, t := range best {
		if t == nil {
			continue
		}
		if !t.counting {
			return false
		}
		n++
	}
	return n == len(f.counting)
}

func (f *Forest) setCounting(now int64, t *tree, counting bool) {
	if t.counting && !counting {
		t.lingers = now + linger
	}
	t.counting = counting
	if counting {
		f.counting = append(f.counting, t)
		f.countingKeys = append(f.countingKeys, t.root)
	}
}

// isUsable reports whether a root may count: there is a way to it, or was HOLD ago.
func (f *Forest) isUsable(now int64, t *tree) bool {
	if t.root == f.cfg.Self {
		return f.own.running
	}
	return t.reach || t.via != nil && now < t.lost+hold
}

// rankOf is the order of automatic roots; lower is better.
func rankOf(root identity.Address) identity.Hash {
	var buf [40]byte
	return identity.HashOf(identity.LabelRank, appendKey(cbor.AppendArray(buf[:0], 1), root))
}

func outranks(a, b identity.Hash) bool { return bytes.Compare(a[:], b[:]) < 0 }

// weight is what a root is worth to a target.
func weight(t envelope.Target, root identity.Address) uint64 {
	var buf [80]byte
	b := cbor.AppendUint(cbor.AppendArray(buf[:0], 3), uint64(t.Kind))
	h := identity.HashOf(identity.LabelMap, appendKey(appendKey(b, t.To), root))
	return binary.BigEndian.Uint64(h[:8])
}

func appendKey(b []byte, a identity.Address) []byte {
	return a.AppendTo(cbor.AppendBytesHead(b, identity.AddressSize))
}
