package sim

import (
	"encoding/binary"
	"maps"
	"slices"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
	"upsycle/internal/wire"
)

// weight is R4's weight of a root for a target, written a second time.
func weight(t envelope.Target, root identity.Address) uint64 {
	b := cbor.AppendUint(cbor.AppendArray(nil, 3), uint64(t.Kind))
	b = cbor.AppendBytes(cbor.AppendBytes(b, t.To.Bytes()), root.Bytes())
	h := identity.HashOf(identity.LabelMap, b)
	return binary.BigEndian.Uint64(h[:8])
}

// mapped returns the two best of roots, which are in ascending order, for a target.
func mapped(t envelope.Target, roots []identity.Address) (p, s identity.Address) {
	var pw, sw uint64
	for _, r := range roots {
		switch w := weight(t, r); {
		case p.IsZero() || w > pw:
			s, sw = p, pw
			p, pw = r, w
		case s.IsZero() || w > sw:
			s, sw = r, w
		}
	}
	return p, s
}

// CheckShown checks on a net that has been quiet for longer than CLEAR what each
// router shows of itself: R in the trees of the two roots that the map gives (R4),
// S and H in those of the primary and the publish root, and nothing else (J1). An S
// may stand longer: it ends LINGER after the last envelope, and CLEAR after that.
func CheckShown(n *Net) []string {
	var f findings
	for i := range n.Views {
		v := &n.Views[i]
		roots := v.counting()
		for _, l := range v.Locals {
			if !l.Wanted && !l.Sender && l.Held == 0 {
				continue
			}
			p, s := mapped(l.Target, roots)
			if l.Primary != p || l.Secondary != s {
				f.add("R4: %s maps %s to %s and %s, right is %s and %s", n.Name(v.Self), n.target(l.Target),
					n.Name(l.Primary), n.Name(l.Secondary), n.Name(p), n.Name(s))
			}
			for _, root := range l.places() {
				shown, want := l.Shown[root], l.loc(root)
				if !l.Sender {
					want |= shown & wire.Sender // counts CLEAR longer than LINGER lasts
				}
				if shown != want {
					f.add("J1: %s shows %v of %s in tree %s, right is %v", n.Name(v.Self), shown, n.target(l.Target), n.Name(root), want)
				}
			}
		}
	}
	return f
}

// places returns the trees in which something is or should be shown, in order.
func (l *LocalView) places() []identity.Address {
	set := map[identity.Address]bool{l.Primary: true, l.Secondary: true, l.Publish: true}
	for root := range l.Shown {
		set[root] = true
	}
	delete(set, identity.Address{})
	return slices.SortedFunc(maps.Keys(set), identity.Address.Compare)
}

// loc is J1's loc, written a second time.
func (l *LocalView) loc(root identity.Address) (f wire.InterestFlags) {
	if l.Wanted && (root == l.Primary || root == l.Secondary) {
		f |= wire.Receiver
	}
	if root == l.Primary || root == l.Publish {
		if l.Sender {
			f |= wire.Sender
		}
		if l.Held > 0 {
			f |= wire.Holder
		}
	}
	return f
}
