package link

import (
	"crypto/tls"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"upsycle/internal/wire"
)

// Who connects and hangs up, again and again, takes its own seats and not the turns
// of others: somebody else gets in at once.
func TestHangUpsDoNotBlockTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := NewMemory()
		home := newNode(t, keyOf(1), wire.Core, network)
		defer home.Close()
		at := home.listen(t, mem("home"))
		for range 1000 {
			conn, err := network.Node("nuisance").Dial(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			conn.Close()
		}
		began := time.Now()
		conn, err := network.Node("other").Dial(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		certificate, _ := ownCertificate(keyOf(2))
		peer := tls.Client(conn, linkConfig(certificate, home.Self(), home.refuse))
		if err := peer.Handshake(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("another client waited for %v", took)
		}
	})
}

// The memory of sources is bounded, and one that comes all the time stays in it.
func TestTurnsAreBounded(t *testing.T) {
	d := newDoor(Limits{}.withDefaults())
	for i := range 3 * turnsMax {
		d.turn(strconv.Itoa(i))
		if i%100 == 0 {
			d.turn("nuisance")
		}
	}
	if len(d.turns) > turnsMax || len(d.before) > turnsMax {
		t.Errorf("%d and %d sources are remembered, want %d each", len(d.turns), len(d.before), turnsMax)
	}
	if d.turn("nuisance") {
		t.Error("a source that took all its turns was forgotten")
	}
}
