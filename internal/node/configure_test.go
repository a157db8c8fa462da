package node_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"upsycle/identity"
	"upsycle/internal/config"
	"upsycle/internal/node"
)

// Every setting of a file that concerns the node reaches it.
func TestFromConfig(t *testing.T) {
	b, c := key("B").Address(), key("C").Address()
	file := filepath.Join(t.TempDir(), "router.yaml")
	text := `
listen: [tls://127.0.0.1:7420]
peers:
  - tls://b.example.org:7420#` + b.Text(identity.RouterText) + `
  - ` + c.Text(identity.RouterText) + `
data: data
services: [local, ` + b.Text(identity.ServiceText) + `]
edges: any
can-root: false
limits: {custody: 3MiB, mailbox-bytes: 2MiB, mailbox-entries: 7, clients: 5, links: 9}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Env{Home: "/home/ann"})
	if err != nil {
		t.Fatal(err)
	}
	got := node.FromConfig(cfg, key("A"))
	want := node.Config{
		Key:    key("A"),
		Listen: []identity.Endpoint{{Scheme: identity.SchemeTLS, Where: "127.0.0.1:7420"}},
		Peers:  []identity.Endpoint{identity.Endpoint{Scheme: identity.SchemeTLS, Where: "b.example.org:7420"}.WithPin(b)},
		Accept: []identity.Address{c}, Data: filepath.Join(filepath.Dir(file), "data"), NoRoot: true, Links: 9,
		Services: node.Access{Keys: []identity.Address{b}, Local: true}, Edges: node.Access{Any: true},
	}
	want.Limits.Backbone.Custody = 3 << 20
	want.Limits.Home.MailboxBytes, want.Limits.Home.MailboxEntries, want.Limits.Home.Clients = 2<<20, 7, 5
	if got.Key.Address() != want.Key.Address() {
		t.Errorf("another key: %v", got.Key)
	}
	got.Key, want.Key = identity.Key{}, identity.Key{} // functions are never equal
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
