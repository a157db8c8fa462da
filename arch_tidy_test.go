package upsycle_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Caps of the code that ships. Tests may be longer: a table is not read like a
// function.
const (
	capFunctionLines = 70
	capFileLines     = 600
	capParameters    = 5
	capLevels        = 4 // blocks inside each other, the body of the function not counted
)

// beyond are the functions and files that may be beyond a cap, with the size they
// may have. The list may only shrink: what has become smaller must be lowered
// here, and removed when it is within the cap.
var beyond = map[string]int{}

// homeless are words that name no owner, and what to write instead.
var homeless = map[string]string{
	"util": "the name of what it works on", "utils": "the name of what it works on",
	"common": "the room that owns it", "shared": "the room that owns it", "misc": "the room that owns it",
	"helper": "a function beside its one user", "helpers": "a function beside its one user",
	"manager": "a noun that fits \"the … does\"", "types": "the room that owns the types",
}

// plain are methods that a standard interface documents.
const plain = "String Error Unwrap Is As Format LogValue Len Less Swap Push Pop " +
	"MarshalText UnmarshalText MarshalJSON UnmarshalJSON MarshalYAML UnmarshalYAML Read Write"

// A tidiness looks at the form of one file.
type tidiness struct {
	reading *reading
	source  source
	beyond  map[string]int  // the allow-list
	used    map[string]bool // entries of it that are needed
	faults  []string
}

func (c *tidiness) fault(at token.Pos, format string, args ...any) {
	where := c.source.path
	if at.IsValid() {
		where = fmt.Sprintf("%s:%d", where, c.line(at))
	}
	c.faults = append(c.faults, where+": "+fmt.Sprintf(format, args...))
}

func (c *tidiness) line(at token.Pos) int { return c.reading.fset.Position(at).Line }

// checkTidy returns what is untidy in the house.
func checkTidy(r *reading, beyond map[string]int) (faults []string) {
	used := map[string]bool{}
	for _, s := range r.sources {
		c := &tidiness{reading: r, source: s, beyond: beyond, used: used}
		c.checkNames()
		c.checkComments()
		if s.test {
			c.checkTest()
		} else {
			c.checkSize()
			c.checkDocs()
		}
		faults = append(faults, c.faults...)
	}
	for name := range beyond {
		if !used[name] {
			faults = append(faults, fmt.Sprintf("%s is within its cap now: take it from the list", name))
		}
	}
	return append(faults, checkPackages(r)...)
}

// size compares one size with its cap and with the allow-list.
func (c *tidiness) size(at token.Pos, name, what string, size, limit int) {
	if size <= limit {
		return
	}
	allowed, ok := c.beyond[name]
	c.used[name] = true
	switch {
	case !ok:
		c.fault(at, "%s has %d %s, the cap is %d", name, size, what, limit)
	case size > allowed:
		c.fault(at, "%s has grown to %d %s, the list allows %d", name, size, what, allowed)
	case size < allowed:
		c.fault(at, "%s has shrunk to %d %s: lower its entry in the list", name, size, what)
	}
}

func (c *tidiness) checkSize() {
	c.size(token.NoPos, c.source.path, "lines", strings.Count(string(c.source.text), "\n"), capFileLines)
	for _, d := range c.source.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := c.source.room + "." + f.Name.Name
		if f.Recv != nil {
			name = c.source.room + "." + receiver(f) + "." + f.Name.Name
		}
		c.size(f.Pos(), name, "lines", c.line(f.End())-c.line(f.Pos())+1, capFunctionLines)
		c.size(f.Pos(), name+" parameters", "parameters", f.Type.Params.NumFields(), capParameters)
		if f.Body != nil {
			c.size(f.Pos(), name+" levels", "levels", levels(f.Body), capLevels)
		}
	}
}

// levels returns how many blocks lie inside each other below n. An else-if is as
// deep as its if, and a case as deep as its switch.
func levels(n ast.Node) (deepest int) {
	ast.Inspect(n, func(inner ast.Node) bool {
		if inner == n {
			return true
		}
		switch inner := inner.(type) {
		case *ast.IfStmt:
			deepest = max(deepest, ifLevels(inner))
			return false
		case *ast.ForStmt, *ast.RangeStmt, *ast.SwitchStmt, *ast.TypeSwitchStmt, *ast.SelectStmt, *ast.FuncLit:
			deepest = max(deepest, 1+levels(inner))
			return false
		}
		return true
	})
	return deepest
}

func ifLevels(n *ast.IfStmt) int {
	deepest := 1 + levels(n.Body)
	switch other := n.Else.(type) {
	case *ast.IfStmt:
		return max(deepest, ifLevels(other))
	case *ast.BlockStmt:
		return max(deepest, 1+levels(other))
	}
	return deepest
}

// receiver returns the name of a method's type.
func receiver(f *ast.FuncDecl) string {
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	switch generic := t.(type) {
	case *ast.IndexExpr:
		t = generic.X
	case *ast.IndexListExpr:
		t = generic.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

var homelessPart = regexp.MustCompile(`(Util|Utils|Helper|Manager)($|[A-Z])`)

func (c *tidiness) checkNames() {
	names := []string{strings.TrimSuffix(c.source.file.Name.Name, "_test"), strings.TrimSuffix(path.Base(c.source.path), ".go")}
	for _, name := range names {
		if better, bad := homeless[name]; bad {
			c.fault(c.source.file.Package, "%q names no owner; write %s", name, better)
		}
	}
	for _, d := range c.source.file.Decls {
		for _, name := range declared(d) {
			// testing.TB has a method Helper; whoever stands in for it must too.
			if m := homelessPart.FindStringSubmatch(name.Name); m != nil && name.Name != "Helper" {
				c.fault(name.Pos(), "%s names no owner; write %s", name.Name, homeless[strings.ToLower(m[1])])
			}
		}
	}
}

// declared returns the names that a declaration makes.
func declared(d ast.Decl) (names []*ast.Ident) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		return []*ast.Ident{d.Name}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name)
			case *ast.ValueSpec:
				names = append(names, spec.Names...)
			}
		}
	}
	return names
}

// The words are cut in two so that this file does not speak of them.
var unfinished = regexp.MustCompile(`\b(FIX` + `ME|TO` + `DO|XX` + `X|HA` + `CK)\b`)

func (c *tidiness) checkComments() {
	for _, group := range c.source.file.Comments {
		for _, comment := range group.List {
			if word := unfinished.FindString(comment.Text); word != "" {
				c.fault(comment.Pos(), "%s: finish it, or file an issue and say what holds today", word)
			}
		}
	}
}

// checkTest finds tests that are left out in silence.
func (c *tidiness) checkTest() {
	ast.Inspect(c.source.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && listed("Skip Skipf SkipNow", sel.Sel.Name) {
			if x, ok := sel.X.(*ast.Ident); ok && listed("t b f tb", x.Name) {
				c.fault(n.Pos(), "skips a test; a missing tool must fail")
			}
		}
		return true
	})
}

// checkDocs finds exported names without a comment. A comment on a group of
// constants or variables, or at the end of the line, is one.
func (c *tidiness) checkDocs() {
	for _, d := range c.source.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc == nil && d.Name.IsExported() && !(d.Recv != nil && (!ast.IsExported(receiver(d)) || listed(plain, d.Name.Name))) {
				c.fault(d.Pos(), "%s has no comment", d.Name.Name)
			}
		case *ast.GenDecl:
			c.checkGroup(d)
		}
	}
}

func (c *tidiness) checkGroup(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		var documented bool
		var names []*ast.Ident
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			documented, names = spec.Doc != nil || spec.Comment != nil, []*ast.Ident{spec.Name}
		case *ast.ValueSpec:
			documented, names = spec.Doc != nil || spec.Comment != nil, spec.Names
		}
		for _, name := range names {
			if name.IsExported() && !documented && d.Doc == nil {
				c.fault(name.Pos(), "%s has no comment", name.Name)
			}
		}
	}
}

// checkPackages finds rooms that do not say what they are.
func checkPackages(r *reading) (faults []string) {
	documented := map[string]bool{}
	for _, s := range r.sources {
		dir := path.Dir(s.path)
		documented[dir] = documented[dir] || s.file.Doc != nil && !s.test
	}
	for dir, ok := range documented {
		if !ok {
			faults = append(faults, fmt.Sprintf("%s has no package comment: say in doc.go what it is and what it is not", dir))
		}
	}
	slices.Sort(faults)
	return faults
}

// A bar is how much of a room is comment and how much test stands against it.
type bar struct{ lines, comments, tests int }

// bars measures every room. Lines with a comment count, also where code stands
// before it.
func bars(r *reading) map[string]bar {
	all := map[string]bar{}
	for _, s := range r.sources {
		b, lines := all[s.room], strings.Count(string(s.text), "\n")
		if s.test {
			b.tests += lines
		} else {
			b.lines += lines
			for _, group := range s.file.Comments {
				b.comments += r.fset.Position(group.End()).Line - r.fset.Position(group.Pos()).Line + 1
			}
		}
		all[s.room] = b
	}
	return all
}

func TestTidy(t *testing.T) {
	r := readHouse(t)
	report(t, checkTidy(r, beyond))
	for room, b := range bars(r) { // seen with -v
		t.Logf("%-28s %5d lines, %2d %% comments, test : code %.2f",
			room, b.lines, 100*b.comments/max(1, b.lines), float64(b.tests)/float64(max(1, b.lines)))
	}
}

func TestBars(t *testing.T) {
	r := &reading{fset: token.NewFileSet()}
	for name, text := range map[string]string{
		"internal/gate/a.go":      "// Package gate is\n// planted.\npackage gate\n\nvar x = 1 // one\n",
		"internal/gate/a_test.go": "package gate\n// not counted\n",
	} {
		if err := r.add(name, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := bars(r)["gate"]; got != (bar{lines: 5, comments: 3, tests: 2}) {
		t.Errorf("got %+v", got)
	}
}

func TestTidyFindsFaults(t *testing.T) {
	long := "package gate\nfunc f() {\n" + strings.Repeat("\tf()\n", capFunctionLines) + "}\n"
	for _, c := range []struct{ caption, name, text, want string }{
		{"a long function", "internal/gate/x.go", long, "gate.f has 72 lines"},
		{"a long method", "internal/gate/x.go", strings.Replace(long, "func f", "func (p *pair[K, V]) f", 1), "gate.pair.f has 72 lines"},
		{"a long file", "internal/gate/x.go", "package gate\n" + strings.Repeat("\n", capFileLines), "internal/gate/x.go has 601 lines"},
		{"many parameters", "internal/gate/x.go", "package gate\nfunc f(a, b, c int, d, e, f bool) {}", "6 parameters"},
		{"deep nesting", "internal/gate/x.go", "package gate\nfunc f() { for { if true { switch { case true: func() { for {} }() } } } }", "5 levels"},
		{"deep in an else", "internal/gate/x.go", "package gate\nfunc f() { if a {} else if b {} else { for { for { for { for {} } } } } }", "5 levels"},
		{"a package without an owner", "internal/gate/x.go", "package helpers", `"helpers" names no owner; write a function beside`},
		{"a file without an owner", "internal/gate/common.go", "package gate", `"common" names no owner`},
		{"a type without an owner", "internal/gate/x.go", "package gate\ntype linkManager int", "linkManager names no owner; write a noun"},
		{"something unfinished", "internal/gate/x.go", "package gate\n// FIX" + "ME: later", "finish it"},
		{"something unfinished in a test", "internal/gate/x_test.go", "package gate\n/* TO" + "DO */", "finish it"},
		{"a skipped test", "internal/gate/x_test.go", "package gate\nfunc f(t *testing.T) { t.Skip() }", "skips a test"},
		{"an undocumented function", "internal/gate/x.go", "package gate\nfunc Foo() {}", "Foo has no comment"},
		{"an undocumented method", "internal/gate/x.go", "package gate\nfunc (g *Gate) Foo() {}", "Foo has no comment"},
		{"an undocumented type", "internal/gate/x.go", "package gate\ntype Foo int", "Foo has no comment"},
		{"an undocumented constant", "internal/gate/x.go", "package gate\nconst (\n\tFoo = 1 // good\n\tBar = 2\n)", "Bar has no comment"},
		{"an undocumented package", "internal/attic/x.go", "package attic", "internal/attic has no package comment"},
	} {
		expect(t, c.caption, checkTidy(plant(t, c.name, c.text), nil), c.want)
	}
	r := plant(t, "internal/gate/x.go", long)
	expect(t, "growth", checkTidy(r, map[string]int{"gate.f": 71}), "has grown to 72")
	expect(t, "an entry that is too high", checkTidy(r, map[string]int{"gate.f": 73}), "lower its entry")
	expect(t, "an entry that is not needed", checkTidy(r, map[string]int{"gate.g": 99}), "take it from the list")
	for _, f := range checkTidy(r, map[string]int{"gate.f": 72}) {
		if strings.Contains(f, "gate.f ") {
			t.Errorf("an entry of the list was not heeded: %s", f)
		}
	}
	fine := "package gate\nfunc f() { if a {} else if b {} else if c {} else if d {} else if e { for { for { for {} } } } }\n" +
		"type ring int\nfunc (r ring) Foo() {}\n// E is one.\ntype E int\nfunc (e E) Error() string { return \"\" }\n// Names.\nconst (\n\tA = 1\n\tB = 2\n)\n"
	for _, f := range checkTidy(plant(t, "internal/gate/fine.go", fine), nil) {
		if strings.HasPrefix(f, "internal/gate/fine.go") {
			t.Errorf("tidy code was blamed: %s", f)
		}
	}
}
