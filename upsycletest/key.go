package upsycletest

import (
	"crypto/sha256"
	"testing"

	"upsycle/identity"
)

// Key returns the key of that name: the same one for the same name, always. It is
// for tests only, since everybody can make it.
func Key(tb testing.TB, name string) identity.Key {
	tb.Helper()
	seed := sha256.Sum256([]byte("upsycletest " + name))
	key, err := identity.NewKey(seed[:])
	if err != nil {
		tb.Fatalf("upsycletest: a key for %q: %v", name, err)
	}
	return key
}
