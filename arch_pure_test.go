package upsycle_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// impure are packages that a pure room may not import, nor any below them.
const impure = "net os sync context log io/fs crypto/rand reflect unsafe runtime syscall testing"

// clocks are the functions and variables of package time that know what time or
// which place it is, or that wait.
const clocks = "Now Since Until After AfterFunc NewTimer NewTicker Tick Sleep Local LoadLocation"

// seeded are the functions of math/rand that take their chance from an argument.
const seeded = "New NewPCG NewChaCha8 NewSource NewZipf"

// A purity looks for what makes one package depend on more than its arguments.
type purity struct {
	room   string
	fset   *token.FileSet
	files  []*ast.File
	info   *types.Info
	pkg    *types.Package
	sorted map[*ast.Ident]bool // uses of maps.Keys and the like whose order is mended at once
	found  map[string]bool
}

// checkPure type-checks the files of one room and returns what is not pure. Export
// data comes from load.
func checkPure(room string, fset *token.FileSet, files []*ast.File, load importer.Lookup) []string {
	p := &purity{room: room, fset: fset, files: files, found: map[string]bool{}, sorted: map[*ast.Ident]bool{},
		info: &types.Info{
			Types: map[ast.Expr]types.TypeAndValue{},
			Defs:  map[*ast.Ident]types.Object{},
			Uses:  map[*ast.Ident]types.Object{},
		}}
	cfg := types.Config{
		Importer: importer.ForCompiler(fset, "gc", load),
		Error:    func(err error) { p.fault(token.NoPos, "%v", err) },
	}
	p.pkg, _ = cfg.Check("upsycle/"+room, fset, files, p.info) // errors went to Error
	for _, f := range files {
		p.checkImports(f)
		p.checkComments(f)
		p.checkVariables(f)
		ast.Inspect(f, p.node)
	}
	p.checkTypes()
	p.checkUses()
	var all []string
	for f := range p.found {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

func (p *purity) fault(at token.Pos, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if at.IsValid() {
		pos := p.fset.Position(at)
		text = fmt.Sprintf("%s:%d: %s", pos.Filename, pos.Line, text)
	}
	p.found[text] = true
}

func (p *purity) checkImports(f *ast.File) {
	for _, imported := range (source{file: f}).imports() {
		switch {
		case p.room == "identity" && imported == "log/slog": // for LogValue
		case below(impure, imported), imported == "C":
			p.fault(f.Package, "imports %s", imported)
		}
	}
}

// checkComments finds directives that hide code from this test, or from the
// compiler's checks.
func (p *purity) checkComments(f *ast.File) {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:build") || strings.HasPrefix(c.Text, "//go:linkname") {
				p.fault(c.Pos(), "has the directive %s", c.Text)
			}
		}
	}
	name := p.fset.Position(f.Package).Filename
	if regexp.MustCompile(`_(linux|windows|darwin|freebsd|unix|amd64|arm64|386|arm|wasm)\.go$`).MatchString(name) {
		p.fault(f.Package, "is for one system only")
	}
}

// checkVariables finds package variables. Errors that are compared are the one
// kind allowed, and nobody may assign to them; "_" holds nothing.
func (p *purity) checkVariables(f *ast.File) {
	for _, d := range f.Decls {
		gen, ok := d.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				obj := p.info.Defs[name]
				if name.Name != "_" && (obj == nil || obj.Type().String() != "error") {
					p.fault(name.Pos(), "the package variable %s can change; use a constant or a switch", name.Name)
				}
			}
		}
	}
}

// node finds statements.
func (p *purity) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		p.fault(n.Pos(), "starts a goroutine")
	case *ast.SelectStmt:
		p.fault(n.Pos(), "has a select")
	case *ast.SendStmt:
		p.fault(n.Pos(), "sends on a channel")
	case *ast.ChanType:
		p.fault(n.Pos(), "has a channel")
	case *ast.RangeStmt:
		if ranges(p.info.TypeOf(n.X)) {
			p.fault(n.Pos(), "ranges over a map")
		}
	case *ast.AssignStmt:
		for _, left := range n.Lhs {
			p.checkTarget(left)
		}
	case *ast.IncDecStmt:
		p.checkTarget(n.X)
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			p.checkTarget(n.X)
		}
	case *ast.CallExpr:
		p.noteSorted(n)
	}
	return true
}

// checkTarget finds assignments to package variables, which includes those of
// other packages.
func (p *purity) checkTarget(e ast.Expr) {
	var name *ast.Ident
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		name = e
	case *ast.SelectorExpr:
		name = e.Sel
	default:
		return
	}
	if v, ok := p.info.Uses[name].(*types.Var); ok && !v.IsField() && v.Pkg() != nil && v.Parent() == v.Pkg().Scope() {
		p.fault(e.Pos(), "changes the package variable %s", v.Name())
	}
}

// noteSorted remembers slices.Sorted(maps.Keys(m)) and its like, which are fine.
func (p *purity) noteSorted(call *ast.CallExpr) {
	if !p.isOf(call.Fun, "slices", "Sorted SortedFunc") || len(call.Args) == 0 {
		return
	}
	if inner, ok := call.Args[0].(*ast.CallExpr); ok {
		if sel, ok := inner.Fun.(*ast.SelectorExpr); ok {
			p.sorted[sel.Sel] = true
		}
	}
}

// isOf reports whether fun is one of the named functions of a package.
func (p *purity) isOf(fun ast.Expr, pkg, names string) bool {
	sel, ok := fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	obj := p.info.Uses[sel.Sel]
	return obj != nil && obj.Pkg() != nil && obj.Pkg().Path() == pkg && listed(names, obj.Name())
}

// ranges reports whether a range over t has no order of its own. For a type
// parameter every type that it may be counts.
func ranges(t types.Type) bool {
	if t == nil {
		return false
	}
	if param, ok := t.(*types.TypeParam); ok {
		bound := param.Constraint().Underlying().(*types.Interface)
		for i := range bound.NumEmbeddeds() {
			if ranges(bound.EmbeddedType(i)) {
				return true
			}
		}
		return false
	}
	if union, ok := t.(*types.Union); ok {
		for i := range union.Len() {
			if ranges(union.Term(i).Type()) {
				return true
			}
		}
		return false
	}
	_, ok := t.Underlying().(*types.Map)
	return ok
}

// checkTypes finds floats and channels that no syntax shows: results of calls,
// untyped constants, variables of inferred type.
func (p *purity) checkTypes() {
	for e, tv := range p.info.Types {
		p.checkType(e.Pos(), tv.Type)
	}
	for name, obj := range p.info.Defs {
		if obj != nil {
			p.checkType(name.Pos(), obj.Type())
		}
	}
}

func (p *purity) checkType(at token.Pos, t types.Type) {
	if t == nil {
		return
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		if u.Info()&(types.IsFloat|types.IsComplex) != 0 {
			p.fault(at, "has a float")
		}
	case *types.Chan:
		p.fault(at, "has a channel")
	}
}

// checkUses finds functions that know the time, throw dice or show a map's order.
func (p *purity) checkUses() {
	for name, obj := range p.info.Uses {
		if obj.Pkg() == nil || obj.Parent() != obj.Pkg().Scope() { // methods and fields
			continue
		}
		_, isFunc := obj.(*types.Func)
		switch obj.Pkg().Path() {
		case "time":
			if listed(clocks, obj.Name()) {
				p.fault(name.Pos(), "uses time.%s", obj.Name())
			}
		case "math/rand", "math/rand/v2":
			if isFunc && !listed(seeded, obj.Name()) {
				p.fault(name.Pos(), "uses the global rand.%s", obj.Name())
			}
		case "maps":
			if listed("Keys Values All", obj.Name()) && !p.sorted[name] {
				p.fault(name.Pos(), "uses maps.%s without sorting it", obj.Name())
			}
		case "iter":
			if listed("Pull Pull2", obj.Name()) {
				p.fault(name.Pos(), "uses iter.%s", obj.Name())
			}
		}
	}
}

// exports returns a lookup of the compiled form of packages and what they need.
func exports(t *testing.T, packages ...string) importer.Lookup {
	t.Helper()
	files := map[string]string{}
	args := append([]string{"-e", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}, packages...)
	for line := range strings.Lines(goList(t, args...)) {
		if f := strings.Fields(line); len(f) == 2 {
			files[f[0]] = f[1]
		}
	}
	return func(imported string) (io.ReadCloser, error) {
		if files[imported] == "" {
			return nil, fmt.Errorf("%s can not be built", imported)
		}
		return os.Open(files[imported])
	}
}

func TestPureCore(t *testing.T) {
	r := readHouse(t)
	byRoom := map[string][]*ast.File{}
	var packages []string
	for _, s := range r.sources {
		if s.test || !listed(pure, s.room) {
			continue
		}
		if byRoom[s.room] == nil {
			packages = append(packages, "./"+path.Dir(s.path))
		}
		byRoom[s.room] = append(byRoom[s.room], s.file)
	}
	load := exports(t, packages...)
	for _, room := range strings.Fields(pure) {
		if len(byRoom[room]) == 0 {
			t.Errorf("the room %s is empty", room)
			continue
		}
		report(t, checkPure(room, r.fset, byRoom[room], load))
	}
}

func TestPureCoreFindsFaults(t *testing.T) {
	load := exports(t, "time", "maps", "slices", "iter", "math/rand/v2", "os/exec", "sync/atomic",
		"context", "errors", "log/slog", "crypto/rand", "unsafe")
	check := func(text string) []string {
		r := &reading{fset: token.NewFileSet()}
		if err := r.add("internal/planted/x.go", []byte("package planted\n"+text)); err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		return checkPure("planted", r.fset, []*ast.File{r.sources[0].file}, load)
	}
	for _, c := range planted {
		expect(t, c.text, check(c.text), c.want)
	}
	good := `import ("errors"; "maps"; "math/rand/v2"; "slices"; "time"; "iter")
		const big = 1 << 40
		var ErrX = errors.New("x")
		var _ iter.Seq[int] = nil
		func f(m map[int]int, now time.Time) (sum int64) {
			for _, k := range slices.Sorted(maps.Keys(m)) { sum += int64(m[k]) }
			rng := rand.New(rand.NewPCG(1, 2))
			for i := range rng.IntN(3) { sum += int64(i) * int64(1e6) }
			return sum + now.UnixMilli() + int64(5*time.Second)
		}`
	if faults := check(good); len(faults) > 0 {
		t.Errorf("pure code was blamed: %q", faults)
	}
}

type plantedFault struct{ text, want string }

var planted = []plantedFault{
	{`func f() { go f() }`, "starts a goroutine"},
	{`func f() { select {} }`, "has a select"},
	{`func f(c chan int) {}`, "has a channel"},
	{`import "time"; func f(t *time.Timer) { <-t.C }`, "has a channel"},
	{`import "time"; func f(t *time.Timer) { for range t.C {} }`, "has a channel"},
	{`var x = 1.5; func f() int { return 1 }`, "has a float"},
	{`func f(n int) int { return int(1.5 * float64(n)) }`, "has a float"},
	{`import "time"; func f(d time.Duration) bool { return d.Hours() > 3 }`, "has a float"},
	{`import "math/rand/v2"; func f(r *rand.Rand) bool { return r.Float64() < 1 }`, "has a float"},
	{`func f(m map[int]int) { for range m {} }`, "ranges over a map"},
	{`type named map[int]int; func f(m named) { for k := range m { _ = k } }`, "ranges over a map"},
	{`func f[M ~map[int]int | ~map[int]bool](m M) { for range m {} }`, "ranges over a map"},
	{`import "maps"; func f(m map[int]int) { for range maps.Keys(m) {} }`, "maps.Keys without sorting"},
	{`import ("maps"; "slices"); func f(m map[int]int) []int { return slices.Collect(maps.Values(m)) }`, "maps.Values without sorting"},
	{`import "time"; func f() int64 { return time.Now().Unix() }`, "uses time.Now"},
	{`import clock "time"; func f() { wait := clock.Sleep; wait(1) }`, "uses time.Sleep"},
	{`import . "time"; func f(t Time) Duration { return Since(t) }`, "uses time.Since"},
	{`import "time"; func f(t time.Time) time.Time { return t.In(time.Local) }`, "uses time.Local"},
	{`import "math/rand/v2"; func f() int { return rand.IntN(3) }`, "the global rand.IntN"},
	{`import "math/rand/v2"; func f() int { return rand.N(3) }`, "the global rand.N"},
	{`import "iter"; func f(s iter.Seq[int]) { iter.Pull(s) }`, "uses iter.Pull"},
	{`var table = map[int]int{}`, "the package variable table"},
	{`var count int`, "the package variable count"},
	{`import "errors"; var ErrX = errors.New("x"); func f() { ErrX = nil }`, "changes the package variable ErrX"},
	{`import "errors"; var ErrX = errors.New("x"); func f() *error { return &ErrX }`, "changes the package variable ErrX"},
	{`import _ "os/exec"`, "imports os/exec"},
	{`import _ "sync/atomic"`, "imports sync/atomic"},
	{`import _ "context"`, "imports context"},
	{`import _ "log/slog"`, "imports log/slog"},
	{`import _ "crypto/rand"`, "imports crypto/rand"},
	{`import _ "unsafe"`, "imports unsafe"},
	{`func f() int { return "one" }`, "cannot use"},
	{"//go:linkname f runtime.f\nfunc f()", "has the directive"},
}
