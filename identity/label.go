package identity

import "crypto/sha256"

// A Label stands before everything that is signed or hashed, so that no input of
// one use reads as an input of another (spec §2.1). It ends in NUL and holds no
// other NUL; what follows it is deterministic CBOR.
type Label string

// The labels of version 1. One for each kind of thing that is signed or hashed.
const (
	LabelEnvelope Label = "upsycle/1 envelope\x00"
	LabelWriter   Label = "upsycle/1 writer\x00"
	LabelGrant    Label = "upsycle/1 grant\x00"
	LabelHomes    Label = "upsycle/1 homes\x00"
	LabelRoot     Label = "upsycle/1 root\x00"
	LabelHop      Label = "upsycle/1 hop\x00"

	LabelID    Label = "upsycle/1 id\x00"
	LabelChain Label = "upsycle/1 chain\x00"
	LabelRank  Label = "upsycle/1 rank\x00"
	LabelMap   Label = "upsycle/1 map\x00"
)

// Hash is a SHA-256 value.
type Hash [sha256.Size]byte

// HashOf returns SHA-256(label || parts…).
func HashOf(label Label, parts ...[]byte) Hash {
	h := sha256.New()
	var head [32]byte
	h.Write(append(head[:0], label...))
	for _, p := range parts {
		h.Write(p)
	}
	var sum Hash
	h.Sum(sum[:0])
	return sum
}

// A Claim is something that can be checked without knowing anything else: a
// signature, or the plain SHA-256 of bytes. Machines ask for claims to be
// checked, since each costs tens of microseconds and they can run in parallel.
// A Claim keeps the slice it was given; nobody may change it afterwards.
type Claim struct {
	Key   Address   // whose signature; the zero Address makes this a hash claim
	Label Label     // label of the signature
	Body  []byte    // what is signed (without the label), or hashed
	Sig   Signature // the claimed signature
	Hash  Hash      // the claimed plain SHA-256 of Body, for hash claims
}

// Holds checks the claim.
func (c Claim) Holds() bool {
	if c.Key.IsZero() {
		return sha256.Sum256(c.Body) == c.Hash
	}
	return c.Key.Verify(c.Label, c.Body, c.Sig)
}
