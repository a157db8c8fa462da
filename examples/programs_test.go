package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"upsycle/identity"
	"upsycle/internal/node"
	"upsycle/upsycletest"
)

// Each program runs as a user would run it, with the router in $UPSYCLE_ROUTER,
// and says what it should.
func TestPrograms(t *testing.T) {
	n, err := node.New(node.Config{
		Key: upsycletest.Key(t, "router"), Version: "test", Services: node.Access{Any: true},
		Listen: []identity.Endpoint{{Scheme: identity.SchemeTLS, Where: "127.0.0.1:0"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, "./...").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, c := range []struct{ program, want string }{
		{"hello", `(?s)^the group is upg1\w+\nitem 0 from ups1\w+: "hello, group" \(encrypted: false\)\n$`},
		{"mail", `^ups1\w+ wrote "for you alone"\n$`},
		{"writer", `(?s)^"I may write here", signed by the writer: true\nanother group: .*another group.*\n$`},
	} {
		t.Run(c.program, func(t *testing.T) {
			cmd := exec.Command(filepath.Join(dir, c.program))
			cmd.Env = append(os.Environ(), "UPSYCLE_ROUTER="+n.Endpoints()[0].String())
			out, err := cmd.CombinedOutput()
			if err != nil || !regexp.MustCompile(c.want).Match(out) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
