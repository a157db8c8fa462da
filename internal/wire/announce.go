package wire

import (
	"fmt"

	"upsycle/identity"
	"upsycle/internal/cbor"
	"upsycle/internal/envelope"
)

// ChainMax is the most hops of an announcement, and so the depth of a tree.
const ChainMax = 24

// MetricMax bounds a metric, so that sums never overflow.
const MetricMax = 1<<31 - 1

// RootClass says how a root came to be one.
type RootClass uint64

// The classes of root.
const (
	Pinned    RootClass = 0
	Automatic RootClass = 1
)

// A Hop is one router on the way from the root. Its signature covers all that
// precedes it and the key of the next, so no hop can be cut out or moved.
type Hop struct {
	Key    identity.Address
	Metric uint64 // its distance from the root, at most MetricMax
	Sig    identity.Signature
}

// Announce offers its sender as parent in the tree of Root (spec §8.1). It is
// made for one neighbour, whom the last signature names.
//
// The decoder checks ranges. Whether the keys are distinct, the metrics rise and
// the last hop is the link's peer is part of being live, which tree decides.
type Announce struct {
	Root    identity.Address
	Seq     uint64 // below 2^62; only the root may raise it
	Issued  uint64 // when the root raised it, Unix milliseconds
	Class   RootClass
	RootSig identity.Signature
	Hops    []Hop // the root first, with metric 0; the last is the sender
}

// Type returns TypeAnnounce.
func (f *Announce) Type() Type { return TypeAnnounce }

// AppendTo appends the encoded frame.
func (f *Announce) AppendTo(b []byte) []byte {
	b = appendKey(begin(b, TypeAnnounce, 6), f.Root)
	b = cbor.AppendUint(cbor.AppendUint(b, f.Seq), f.Issued)
	b = cbor.AppendUint(b, uint64(f.Class))
	b = cbor.AppendBytes(b, f.RootSig[:])
	b = cbor.AppendArray(b, len(f.Hops))
	for i := range f.Hops {
		b = appendKey(cbor.AppendArray(b, 3), f.Hops[i].Key)
		b = cbor.AppendUint(b, f.Hops[i].Metric)
		b = cbor.AppendBytes(b, f.Hops[i].Sig[:])
	}
	return b
}

// Weight returns an upper bound of the encoded length.
func (f *Announce) Weight() int { return 160 + 108*len(f.Hops) }

func (f *Announce) String() string {
	last := uint64(0)
	if n := len(f.Hops); n > 0 {
		last = f.Hops[n-1].Metric
	}
	return fmt.Sprintf("announce{root %v seq %d metric %d hops %d}", f.Root, f.Seq, last, len(f.Hops))
}

func (d *decoder) announce() Frame {
	d.fields(6)
	f := &Announce{Root: d.key(), Seq: d.Uint(1<<62 - 1), Issued: d.Uint(envelope.TimeMax), Class: RootClass(d.Uint(1)), RootSig: d.sig()}
	for n := d.Array(1, ChainMax); n > 0 && d.Err() == nil; n-- {
		d.Array(3, 3)
		f.Hops = append(f.Hops, Hop{Key: d.key(), Metric: d.Uint(MetricMax), Sig: d.sig()})
	}
	return f
}

// RootBody returns the bytes that a root signs under LabelRoot.
func RootBody(root identity.Address, seq, issued uint64, class RootClass) []byte {
	b := cbor.AppendUint(cbor.AppendArray(nil, 5), documentVersion)
	b = cbor.AppendUint(cbor.AppendUint(appendKey(b, root), seq), issued)
	return cbor.AppendUint(b, uint64(class))
}

// ChainHash returns what the next hop's body names as prev: the hash of the
// signed document before it.
func ChainHash(body []byte, sig identity.Signature) identity.Hash {
	s := envelope.Signed{Body: body, Sig: sig}
	return identity.HashOf(identity.LabelChain, s.AppendTo(nil))
}

// HopBody returns the bytes that a hop signs under LabelHop; next is the key of
// the router that the announcement is sent to.
func HopBody(prev identity.Hash, key identity.Address, metric uint64, next identity.Address) []byte {
	b := cbor.AppendBytes(cbor.AppendArray(nil, 4), prev[:])
	return appendKey(cbor.AppendUint(appendKey(b, key), metric), next)
}

// Claims returns the signatures that must hold for the announcement to be what
// its routers said, receiver being who got it: the root's, then one for each hop.
func (f *Announce) Claims(receiver identity.Address) []identity.Claim {
	body := RootBody(f.Root, f.Seq, f.Issued, f.Class)
	claims := make([]identity.Claim, 0, len(f.Hops)+1)
	claims = append(claims, identity.Claim{Key: f.Root, Label: identity.LabelRoot, Body: body, Sig: f.RootSig})
	prev := ChainHash(body, f.RootSig)
	for i := range f.Hops {
		next := receiver
		if i+1 < len(f.Hops) {
			next = f.Hops[i+1].Key
		}
		body = HopBody(prev, f.Hops[i].Key, f.Hops[i].Metric, next)
		claims = append(claims, identity.Claim{Key: f.Hops[i].Key, Label: identity.LabelHop, Body: body, Sig: f.Hops[i].Sig})
		prev = ChainHash(body, f.Hops[i].Sig)
	}
	return claims
}
