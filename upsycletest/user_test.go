package upsycletest_test

import (
	"path/filepath"
	"testing"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/node"
	"upsycle/internal/safefile"
	"upsycle/upsycletest"
)

// Over real sockets: the user's own router is found without being named.
func TestDialUserRouter(t *testing.T) {
	runtime := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", runtime)
	t.Setenv(upsycle.EndpointVariable, "")
	dir := filepath.Join(runtime, "upsycle")
	key := upsycletest.Key(t, "router")
	writeUserRouter(t, dir, key.Address())
	cfg := node.Config{Key: key, Version: "test", Listen: []identity.Endpoint{{Scheme: identity.SchemeUnix, Where: filepath.Join(dir, "router.sock")}}}
	cfg.Services.Local = true
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	conn, err := upsycle.Dial(ctx(t), "", identity.Key{})
	if err != nil {
		t.Fatalf("%v (hint: %s)", err, upsycle.Hint(err))
	}
	defer conn.Close()
	if err := conn.Publish(ctx(t), upsycle.GroupKey(upsycletest.Key(t, "club")), []byte("over a socket")); err != nil {
		t.Error(err)
	}
}

func writeUserRouter(t *testing.T, dir string, router identity.Address) {
	t.Helper()
	if err := safefile.EnsureDir(dir); err != nil {
		t.Fatal(err)
	}
	if err := safefile.Write(filepath.Join(dir, "router.addr"), []byte(router.Text(identity.RouterText)+"\n")); err != nil {
		t.Fatal(err)
	}
}
