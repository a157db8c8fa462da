package upsycle_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The tests in the arch files guard the house that ARCHITECTURE.md describes:
// which package may import which, what a pure room may do, what a router may
// reach. They read the source, so they need no more than Go. Each is tried on
// planted faults, because a guard that can not fail guards nothing.

// cellar is what all rooms above may import.
const cellar = "identity cbor ordered envelope wire machine "

// pure are the rooms without clock, goroutine, I/O and chance.
const pure = cellar + "directory gate tree attach backbone router"

// house says which rooms a room may import. A room is a directory; "internal/" is
// left out of its name, and the root is upsycle. A commit that changes this table
// changes ARCHITECTURE.md too and says why in docs/decisions/.
var house = map[string]string{
	"identity":  "",
	"cbor":      "",
	"ordered":   "",
	"envelope":  "identity cbor",
	"wire":      "identity cbor envelope",
	"machine":   "identity envelope wire",
	"directory": cellar,
	"gate":      cellar + "directory",
	"tree":      cellar,
	"attach":    cellar + "directory gate",
	"backbone":  cellar + "directory gate tree",
	"router":    cellar + "directory gate attach backbone tree",

	"link":       cellar + "safefile",
	"loop":       cellar,
	"safefile":   "",
	"store":      "machine",
	"store/disk": "store machine",
	"config":     "identity",
	"control":    "identity",
	"node":       "router loop link store config control safefile identity wire machine",

	"upsycle":     cellar + "attach gate directory loop link safefile",
	"upsycletest": "upsycle node config link identity",
	"sim":         cellar + "router attach gate directory store",
	"demo":        "upsycle node config control identity link machine wire envelope",
	"cmd/upsycle": "upsycle node config control demo safefile identity",

	"examples":                  "upsycle upsycletest identity",
	"testdata/vectors/generate": cellar,
}

// public are the rooms that programs of others may import, or run.
const public = "upsycle identity upsycletest cmd/upsycle examples testdata/vectors/generate"

// modules says which rooms may import a third-party module outside of tests.
var modules = map[string]string{
	"filippo.io/edwards25519":          "identity",
	"github.com/cockroachdb/pebble/v2": "store/disk",
	"golang.org/x/time":                "link",
	"golang.org/x/sys":                 "link control safefile",
	"golang.org/x/term":                "cmd/upsycle",
	"go.yaml.in/yaml/v3":               "config",
	"github.com/spf13/cobra":           "cmd/upsycle",
	"github.com/lmittmann/tint":        "cmd/upsycle",
}

// testModules says which rooms may import a module in tests; "*" are all.
var testModules = map[string]string{
	"github.com/fxamacker/cbor/v2":    "cbor",
	"pgregory.net/rapid":              "*",
	"github.com/google/go-cmp":        "*",
	"go.uber.org/goleak":              "*",
	"github.com/rogpeppe/go-internal": "cmd/upsycle",
}

// sdkModules are the modules that a program with our SDK must build, and no more.
const sdkModules = "filippo.io/edwards25519 golang.org/x/sys golang.org/x/time"

// A source is one Go file of ours.
type source struct {
	path string // from the module's root
	room string
	test bool
	text []byte
	file *ast.File
}

// A reading is all Go files of the module.
type reading struct {
	fset    *token.FileSet
	sources []source
}

// readHouse parses every Go file of the module, whatever its build constraints.
func readHouse(t *testing.T) *reading {
	t.Helper()
	r := &reading{fset: token.NewFileSet()}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return enter(name)
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return r.add(name, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// enter skips what is no part of this module's packages.
func enter(dir string) error {
	base := path.Base(dir)
	switch {
	case dir == ".", dir == "testdata", dir == "testdata/vectors", dir == "testdata/vectors/generate":
		return nil
	case base == "testdata", base[0] == '.', base[0] == '_':
		return fs.SkipDir
	}
	if _, err := os.Stat(path.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (r *reading) add(name string, text []byte) error {
	file, err := parser.ParseFile(r.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	r.sources = append(r.sources, source{
		path: name,
		room: roomOf(path.Dir(name)),
		test: strings.HasSuffix(name, "_test.go"),
		text: text,
		file: file,
	})
	return err
}

// plant returns the house with one more file, in a room of this test's choice.
func plant(t *testing.T, name, text string) *reading {
	t.Helper()
	r := readHouse(t)
	if err := r.add(name, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return r
}

func roomOf(dir string) string {
	switch {
	case dir == ".":
		return "upsycle"
	case strings.HasPrefix(dir, "examples/"):
		return "examples"
	}
	return strings.TrimPrefix(dir, "internal/")
}

// imports returns what a file imports.
func (s source) imports() []string {
	var all []string
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// ours returns the room of an import path of this module.
func ours(imported string) (room string, ok bool) {
	if imported == "upsycle" {
		return "upsycle", true
	}
	rest, ok := strings.CutPrefix(imported, "upsycle/")
	return roomOf(rest), ok
}

// listed reports whether word is one of the words of list.
func listed(list, word string) bool { return slices.Contains(strings.Fields(list), word) }

// further returns room and all rooms below it, by the table.
func further(table map[string]string, room string) []string {
	below := []string{room}
	for i := 0; i < len(below); i++ {
		for _, next := range strings.Fields(table[below[i]]) {
			if !slices.Contains(below, next) {
				below = append(below, next)
			}
		}
	}
	return below
}

// checkHouse returns every arrow that is not in the table, and every package
// without a row or row without a package.
func checkHouse(r *reading, table map[string]string) (faults []string) {
	rooms := map[string]bool{}
	for _, s := range r.sources {
		if _, ok := table[s.room]; !ok {
			faults = append(faults, fmt.Sprintf("%s: the room %q has no row in the table: give it one or delete it", s.path, s.room))
			continue
		}
		rooms[s.room] = true
		if !listed(public, s.room) && !strings.HasPrefix(s.path, "internal/") {
			faults = append(faults, fmt.Sprintf("%s: %q is not public, it belongs under internal/", s.path, s.room))
		}
		for _, imported := range s.imports() {
			if to, ok := ours(imported); ok && !mayImport(table, s, to) {
				faults = append(faults, fmt.Sprintf("%s: no arrow leads from %s to %s", s.path, s.room, to))
			}
		}
	}
	for room := range table {
		if !rooms[room] {
			faults = append(faults, fmt.Sprintf("the table has a row for %q, but there is no such room", room))
		}
	}
	slices.Sort(faults)
	return faults
}

func mayImport(table map[string]string, s source, to string) bool {
	if listed(table[s.room], to) {
		return true
	}
	return s.test && (to == "sim" || to == "upsycletest" || slices.Contains(further(table, s.room), to))
}

func TestHouse(t *testing.T) {
	report(t, checkHouse(readHouse(t), house))
}

func TestHouseFindsFaults(t *testing.T) {
	for _, c := range []struct{ caption, name, text, want string }{
		{"an arrow upward", "internal/wire/x.go", `package wire; import _ "upsycle/internal/router"`, "no arrow leads from wire to router"},
		{"an arrow upward in a test", "internal/wire/x_test.go", `package wire; import _ "upsycle/internal/gate"`, "no arrow leads from wire to gate"},
		{"a new room", "internal/util/x.go", `package util`, `the room "util" has no row`},
		{"a public room", "gate/x.go", `package gate`, `"gate" is not public`},
		{"the SDK imports the router", "x.go", `package upsycle; import _ "upsycle/internal/router"`, "no arrow leads from upsycle to router"},
		{"policy in the node", "internal/node/x.go", `package node; import _ "upsycle/internal/gate"`, "no arrow leads from node to gate"},
		{"a file of another system", "internal/cbor/x_plan9.go", "//go:build plan9\n\npackage cbor; import _ \"upsycle/internal/link\"", "no arrow leads from cbor to link"},
	} {
		expect(t, c.caption, checkHouse(plant(t, c.name, c.text), house), c.want)
	}
	expect(t, "a row without a room", checkHouse(readHouse(t), map[string]string{"attic": ""}), `a row for "attic"`)
	r := plant(t, "internal/gate/x_test.go", `package gate; import (_ "upsycle/internal/cbor"; _ "upsycle/internal/sim")`)
	for _, f := range checkHouse(r, house) {
		if strings.HasPrefix(f, "internal/gate/x_test.go") {
			t.Errorf("a test may import rooms further down and sim: %s", f)
		}
	}
}

// opens are the packages that can open a body. Routers move sealed bodies.
const opens = "upsycle/internal/seal upsycle/internal/post upsycle/internal/group " +
	"crypto/hpke crypto/ecdh crypto/cipher crypto/aes golang.org/x/crypto"

// checkBlind returns the imports by which what is reachable from rooms could open
// a body.
func checkBlind(r *reading, from ...string) (faults []string) {
	reached := slices.Clone(from)
	for i := 0; i < len(reached); i++ {
		for _, s := range r.sources {
			if s.test || s.room != reached[i] {
				continue
			}
			for _, imported := range s.imports() {
				if below(opens, imported) {
					faults = append(faults, fmt.Sprintf("%s: %s is reachable from a router and imports %s, which opens bodies", s.path, s.room, imported))
				}
				if to, ok := ours(imported); ok && !slices.Contains(reached, to) {
					reached = append(reached, to)
				}
			}
		}
	}
	return faults
}

// below reports whether a path is one of list, or a package under one of it.
func below(list, imported string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(p string) bool {
		return imported == p || strings.HasPrefix(imported, p+"/")
	})
}

func TestBlindRouter(t *testing.T) {
	report(t, checkBlind(readHouse(t), "node", "sim"))
}

func TestBlindRouterFindsFaults(t *testing.T) {
	for _, c := range []struct{ caption, name, text, want string }{
		{"a cipher in the node", "internal/node/x.go", `package node; import _ "crypto/aes"`, "imports crypto/aes"},
		{"far below", "internal/cbor/x.go", `package cbor; import _ "golang.org/x/crypto/chacha20poly1305"`, "cbor is reachable from a router"},
		{"the seal itself", "internal/gate/x.go", `package gate; import _ "upsycle/internal/seal"`, "imports upsycle/internal/seal"},
	} {
		// The planted arrow keeps the test honest while rooms are still missing.
		r := plant(t, c.name, c.text)
		if err := r.add("internal/node/y.go", []byte(`package node; import (_ "upsycle/internal/cbor"; _ "upsycle/internal/gate")`)); err != nil {
			t.Fatal(err)
		}
		expect(t, c.caption, checkBlind(r, "node"), c.want)
	}
}

// checkImports returns third-party imports outside of their room.
func checkImports(r *reading) (faults []string) {
	for _, s := range r.sources {
		for _, imported := range s.imports() {
			first, _, _ := strings.Cut(imported, "/")
			if _, own := ours(imported); own || !strings.Contains(first, ".") {
				continue
			}
			if !mayUse(modules, imported, s.room) && !(s.test && mayUse(testModules, imported, s.room)) {
				faults = append(faults, fmt.Sprintf("%s: %s may not import %s", s.path, s.room, imported))
			}
		}
	}
	return faults
}

func mayUse(table map[string]string, imported, room string) bool {
	for module, rooms := range table {
		if below(module, imported) && (rooms == "*" || listed(rooms, room)) {
			return true
		}
	}
	return false
}

// checkModules compares go.mod with the reasons in docs/dependencies.md, where
// modules stand in backquotes.
func checkModules(gomod, doc string) (faults []string) {
	var required []string
	for line := range strings.Lines(gomod) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		switch {
		case len(fields) > 0 && fields[0] == "replace":
			faults = append(faults, "go.mod has a replace")
		case len(fields) >= 2 && strings.HasPrefix(fields[1], "v") && strings.Contains(fields[0], "."):
			required = append(required, fields[0])
		}
	}
	var named []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(doc, -1) {
		named = append(named, m[1])
	}
	for _, m := range required {
		if !slices.Contains(named, m) {
			faults = append(faults, fmt.Sprintf("docs/dependencies.md has no row with the reason for %s", m))
		}
	}
	for _, m := range named {
		if !slices.Contains(required, m) {
			faults = append(faults, fmt.Sprintf("docs/dependencies.md has a row for %s, which go.mod does not require", m))
		}
	}
	return faults
}

// checkSDK returns the modules among built that the SDK should not need.
func checkSDK(built []string) (faults []string) {
	for _, m := range built {
		if m != "upsycle" && !listed(sdkModules, m) {
			faults = append(faults, fmt.Sprintf("a program with the SDK would have to build %s", m))
		}
	}
	return faults
}

func TestDeps(t *testing.T) {
	report(t, checkImports(readHouse(t)))
	report(t, checkModules(read(t, "go.mod"), read(t, "docs/dependencies.md")))
	report(t, checkSDK(strings.Fields(goList(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "."))))
}

func TestDepsFindsFaults(t *testing.T) {
	expect(t, "a module outside of its room", checkImports(plant(t, "internal/gate/x.go",
		`package gate; import _ "golang.org/x/time/rate"`)), "gate may not import golang.org/x/time/rate")
	expect(t, "a test module in the product", checkImports(plant(t, "internal/cbor/x.go",
		`package cbor; import _ "github.com/fxamacker/cbor/v2"`)), "cbor may not import")
	expect(t, "a module whose name only begins alike", checkImports(plant(t, "identity/x.go",
		`package identity; import _ "filippo.io/edwards25519x"`)), "may not import filippo.io/edwards25519x")
	good := "require (\n\ta.b/c v1.0.0 // indirect\n)\n"
	expect(t, "no reason", checkModules(good, "| module |"), "no row with the reason for a.b/c")
	expect(t, "a stale reason", checkModules(good, "| `a.b/c` | x |\n| `a.b/d` | y |"), "a row for a.b/d")
	expect(t, "a replace", checkModules("replace a.b/c => ../c\n", ""), "has a replace")
	expect(t, "a heavy SDK", checkSDK([]string{"upsycle", "golang.org/x/sys", "github.com/spf13/cobra"}), "build github.com/spf13/cobra")
}

// report makes each fault an error of the test.
func report(t *testing.T, faults []string) {
	t.Helper()
	for _, f := range faults {
		t.Error(f)
	}
}

// expect wants a fault that holds the words of want.
func expect(t *testing.T, caption string, faults []string, want string) {
	t.Helper()
	if !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
		t.Errorf("%s: the planted fault %q was not found", caption, want)
	}
}

// read returns a file of the project.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// goList asks the go command about packages.
func goList(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %q: %v\n%s", args, err, stderr.String())
	}
	return string(out)
}
