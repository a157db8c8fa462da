package attach

import (
	"encoding/binary"
	"testing"

	"upsycle/internal/envelope"
)

// The memory of delivered ids is bounded, and the oldest goes first.
func TestGivenIsBounded(t *testing.T) {
	g := newGiven()
	id := func(n int) (id envelope.ID) {
		binary.BigEndian.PutUint64(id[:], uint64(n))
		return id
	}
	for n := range givenMax {
		if !g.add(id(n)) {
			t.Fatalf("%d was known before", n)
		}
	}
	if g.add(id(0)) {
		t.Error("the oldest is forgotten before there is need")
	}
	if !g.add(id(givenMax)) || len(g.known) != givenMax {
		t.Errorf("%d are known", len(g.known))
	}
	if g.add(id(1)) || !g.add(id(0)) {
		t.Error("the oldest should have gone, and no other")
	}
}
