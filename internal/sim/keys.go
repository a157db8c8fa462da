package sim

import (
	"encoding/binary"

	"upsycle/identity"
	"upsycle/internal/envelope"
)

// keyring makes keys from names, signs and verifies. With real false a signature
// is a hash that everybody could make: signatures are effects, so a machine cannot
// tell the difference, and a run takes a fraction of the time. What is checked is
// that machines ask the right questions and heed the answers.
type keyring struct {
	real  bool
	known map[[identity.AddressSize]byte]identity.Address
	names map[identity.Address]string
	keys  map[string]identity.Key
}

func newKeyring(real bool) *keyring {
	return &keyring{
		real:  real,
		known: make(map[[identity.AddressSize]byte]identity.Address),
		names: make(map[identity.Address]string),
		keys:  make(map[string]identity.Key),
	}
}

// key returns the key of a name, the same in every run.
func (k *keyring) key(name string) identity.Key {
	if key, ok := k.keys[name]; ok {
		return key
	}
	seed := identity.HashOf("sim key\x00", []byte(name))
	key, err := identity.NewKey(seed[:])
	if err != nil {
		panic("sim: " + err.Error()) // not for any name: a point of small order
	}
	k.keys[name] = key
	k.names[key.Address()] = name
	var b [identity.AddressSize]byte
	copy(b[:], key.Address().Bytes())
	k.known[b] = key.Address()
	return key
}

// name returns the name of an address, or its first characters.
func (k *keyring) name(a identity.Address) string {
	if n, ok := k.names[a]; ok {
		return n
	}
	return a.String()
}

// Address is identity.KeyChecker: keys of this world were checked when made.
func (k *keyring) Address(b []byte) (identity.Address, error) {
	if len(b) == identity.AddressSize {
		if a, ok := k.known[[identity.AddressSize]byte(b)]; ok {
			return a, nil
		}
	}
	return identity.NewAddress(b)
}

func (k *keyring) sign(key identity.Key, label identity.Label, body []byte) identity.Signature {
	if k.real {
		return key.Sign(label, body)
	}
	return quick(key.Address(), label, body)
}

func (k *keyring) holds(c identity.Claim) bool {
	if k.real || c.Key.IsZero() {
		return c.Holds()
	}
	return quick(c.Key, c.Label, c.Body) == c.Sig
}

// failed returns the index of the first claim that does not hold, or -1.
func (k *keyring) failed(claims []identity.Claim) int {
	for i := range claims {
		if !k.holds(claims[i]) {
			return i
		}
	}
	return -1
}

// quick stands for a signature: a hash of key, label and body, twice.
func quick(a identity.Address, label identity.Label, body []byte) (s identity.Signature) {
	var head [identity.AddressSize]byte
	h := identity.HashOf(label, a.AppendTo(head[:0]), body)
	copy(s[:], h[:])
	copy(s[32:], h[:])
	return s
}

// seal makes the signed envelope of one item. cert may be nil.
func (k *keyring) seal(h envelope.Header, cert *envelope.Certificate, key identity.Key, item []byte) *envelope.Envelope {
	body := envelope.PlainBody([][]byte{item})
	h.Count, h.Flags = 1, h.Flags|envelope.Plain
	e, err := envelope.Sign(h, cert, body, key)
	if err != nil {
		panic("sim: " + err.Error())
	}
	if k.real {
		return e
	}
	return k.resign(e, quick(e.From, identity.LabelEnvelope, e.HeaderBytes))
}

// resign returns e with another signature.
func (k *keyring) resign(e *envelope.Envelope, sig identity.Signature) *envelope.Envelope {
	raw := envelope.Assemble(e.HeaderBytes, sig, e.Cert, e.Body)
	out, err := envelope.Parse(raw, k)
	if err != nil {
		panic("sim: " + err.Error())
	}
	return out
}

// certificate lets writer publish in group between two instants (Unix ms).
func (k *keyring) certificate(group identity.Key, writer identity.Address, from, to uint64) *envelope.Certificate {
	c := envelope.IssueCertificate(group, writer, from, to, envelope.MayStore|envelope.MayLive)
	if !k.real {
		c.Signed.Sig = quick(c.Group, identity.LabelWriter, c.Signed.Body)
	}
	return c
}

// eight returns n as eight bytes.
func eight(n uint64) (b [8]byte) {
	binary.BigEndian.PutUint64(b[:], n)
	return b
}
