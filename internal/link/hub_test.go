package link

import (
	"testing"

	"upsycle/identity"
	"upsycle/internal/machine"
	"upsycle/internal/wire"
)

// networks are what every exchange must work over.
func networks(t *testing.T) map[string]struct {
	Network
	at identity.Endpoint
} {
	return map[string]struct {
		Network
		at identity.Endpoint
	}{
		"memory":   {NewMemory(), mem("home")},
		"loopback": {System(), identity.Endpoint{Scheme: identity.SchemeTLS, Where: "127.0.0.1:0"}},
		"ipv6":     {System(), identity.Endpoint{Scheme: identity.SchemeTLS, Where: "[::1]:0"}},
		"unix":     {System(), identity.Endpoint{Scheme: identity.SchemeUnix, Where: t.TempDir() + "/s"}},
	}
}

// spec §3: two programs prove their keys, say hello, and carry frames both ways.
func TestExchange(t *testing.T) {
	for name, network := range networks(t) {
		t.Run(name, func(t *testing.T) {
			home, client, up, down := pairOf(t, network, network.at, [2]wire.Role{wire.Core, wire.Service})
			want := machine.LinkUp{Link: up.Link, Peer: client.Self(), Role: wire.Service, Boot: client.boot, MaxFrame: wire.FrameMax, Local: name == "unix"}
			if up != want {
				t.Errorf("home saw %+v, want %+v", up, want)
			}
			want = machine.LinkUp{Link: down.Link, Peer: home.Self(), Role: wire.Core, Boot: home.boot, MaxFrame: wire.FrameMax, Dialled: true, Local: name == "unix"}
			if down != want {
				t.Errorf("client saw %+v, want %+v", down, want)
			}
			big := publish(t, 1<<20-100)
			client.Send(down.Link, machine.Bulk, big)
			client.Send(down.Link, machine.Control, graft(3))
			home.Send(up.Link, machine.Control, graft(4))
			home.rec.await(t, "both frames", func() bool { return len(home.rec.frames()) == 2 })
			client.rec.await(t, "a frame", func() bool { return len(client.rec.frames()) == 1 })
			client.rec.await(t, "drained", func() bool {
				d := client.rec.drained[down.Link]
				return d[machine.Bulk] == big.Weight() && d[machine.Control] == graft(3).Weight()
			})
			client.CloseLink(down.Link, wire.NotAllowed, "that was all")
			home.rec.awaitDown(t, 1)
			client.rec.awaitDown(t, 1)
			if n := home.rec.awaitNotice(t, LinkEnded, 1); n.Code != wire.NotAllowed || !n.ByPeer || n.Hint == "" {
				t.Errorf("home was told %+v", n)
			}
		})
	}
}
