package main

import (
	"upsycle/identity"
	"upsycle/internal/wire"
)

// chain makes the announcement that goes from path[0], the root, along path to
// its last key, the receiver.
func chain(path ...byte) *wire.Announce {
	root := key(path[0])
	f := &wire.Announce{Root: root.Address(), Seq: noon / 1000, Issued: noon, Class: wire.Automatic}
	body := arr(num(1), str(pub(path[0])), num(f.Seq), num(f.Issued), num(1))
	f.RootSig = root.Sign(identity.LabelRoot, body)
	sig := f.RootSig
	for i, seed := range path[:len(path)-1] {
		prev := identity.HashOf(identity.LabelChain, arr(str(body), str(sig[:])))
		metric := uint64(i) * 70
		body = arr(str(prev[:]), str(pub(seed)), num(metric), str(pub(path[i+1])))
		sig = key(seed).Sign(identity.LabelHop, body)
		f.Hops = append(f.Hops, wire.Hop{Key: key(seed).Address(), Metric: metric, Sig: sig})
	}
	return f
}

// announceVectors covers spec §8.1: the chain of signatures.
func announceVectors(s *set) {
	add := func(name, expect, comment string, receiver byte, f *wire.Announce) {
		s.add(vector{name: "announce-" + name, kind: "announce", expect: expect, comment: comment, receiver: pub(receiver), data: f.AppendTo(nil)})
	}
	add("root", "ok", "from the root itself", 4, chain(3, 4))
	add("three", "ok", "over three routers", 8, chain(3, 4, 6, 8))
	var long []byte
	for i := range byte(25) {
		long = append(long, 20+i)
	}
	add("longest", "ok", "the longest chain", 44, chain(long...))

	add("other-receiver", "6", "it was sent to somebody else", 9, chain(3, 4, 6, 8))
	for _, c := range []struct {
		name, comment string
		change        func(*wire.Announce)
	}{
		{"seq", "a higher number", func(f *wire.Announce) { f.Seq++ }},
		{"issued", "a later time", func(f *wire.Announce) { f.Issued++ }},
		{"class", "another class", func(f *wire.Announce) { f.Class = wire.Pinned }},
		{"root-sig", "one bit of the root's signature flipped", func(f *wire.Announce) { f.RootSig[0] ^= 1 }},
		{"other-root", "another root", func(f *wire.Announce) { f.Root = key(9).Address() }},
		{"metric", "a smaller metric in the middle", func(f *wire.Announce) { f.Hops[1].Metric-- }},
		{"last-metric", "a smaller metric at the end", func(f *wire.Announce) { f.Hops[2].Metric-- }},
		{"hop-sig", "one bit of a hop's signature flipped", func(f *wire.Announce) { f.Hops[1].Sig[63] ^= 1 }},
		{"shortened", "the middle hop cut out", func(f *wire.Announce) { f.Hops = append(f.Hops[:1:1], f.Hops[2]) }},
		{"cut-short", "the last hop cut off", func(f *wire.Announce) { f.Hops = f.Hops[:2] }},
		{"swapped", "two hops swapped", func(f *wire.Announce) { f.Hops[1], f.Hops[2] = f.Hops[2], f.Hops[1] }},
	} {
		f := chain(3, 4, 6, 8)
		c.change(f)
		add(c.name, "6", c.comment, 8, f)
	}
}
