package router

import (
	"encoding/binary"

	"upsycle/identity"
)

// start is when the tests' time begins, in Unix milliseconds.
const start = 1_767_225_600_000

func testKey(n int) identity.Key {
	var seed [identity.SeedSize]byte
	binary.BigEndian.PutUint64(seed[:], uint64(n)+1)
	k, err := identity.NewKey(seed[:])
	if err != nil {
		panic(err)
	}
	return k
}
