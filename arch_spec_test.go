package upsycle_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"upsycle/internal/wire"
)

var (
	clauseHeading = regexp.MustCompile(`(?m)^### §(\d+(?:\.\d+)+) `)
	chapter       = regexp.MustCompile(`(?m)^## (\d+)\. `)
	anyClause     = regexp.MustCompile(`§(\d+(?:\.\d+)*)`)
	ownClauses    = regexp.MustCompile(`spec §\d+(\.\d+)*((,| and| to) §\d+(\.\d+)*)*`)
	limitName     = regexp.MustCompile(`^(limit|Limit)([A-Z]|$)|(^max|Max)([A-Z]|$)|[a-z]Limit$`)
)

// checkClauses returns the clauses of the spec that no test cites, and the
// citations in code of clauses that do not exist. RFCs have sections too, so in
// code only "spec §" counts as ours.
func checkClauses(r *reading, spec string) (faults []string) {
	known, cited := map[string]bool{}, map[string]bool{}
	for _, m := range chapter.FindAllStringSubmatch(spec, -1) {
		known[m[1]] = true
	}
	for _, s := range r.sources {
		if !s.test || isGuard(s) {
			continue
		}
		for _, m := range anyClause.FindAllSubmatch(s.text, -1) {
			cited[string(m[1])] = true
		}
	}
	for _, m := range clauseHeading.FindAllStringSubmatch(spec, -1) {
		known[m[1]] = true
		if !cited[m[1]] {
			faults = append(faults, fmt.Sprintf("docs/spec.md §%s: no test cites it", m[1]))
		}
	}
	for _, s := range r.sources {
		if isGuard(s) {
			continue
		}
		for _, m := range anyClause.FindAllSubmatch(bytes.Join(ownClauses.FindAll(s.text, -1), []byte(" ")), -1) {
			if clause := string(m[1]); !known[clause] {
				faults = append(faults, fmt.Sprintf("%s cites spec §%s, which does not exist", s.path, clause))
			}
		}
	}
	return faults
}

// isGuard reports whether s is one of the files of these tests, which hold planted
// citations.
func isGuard(s source) bool { return strings.HasPrefix(s.path, "arch_") }

// checkCodes returns the codes that the spec does not show as the programs print
// them.
func checkCodes(spec string) (faults []string) {
	for c := wire.OK; c.String() != fmt.Sprintf("code %d", c); c++ {
		retry := "no"
		if c.Retry() {
			retry = "yes"
		}
		row := fmt.Sprintf("| %d | %s | %s | %s | %s |", c, c, c.Sentence(), c.Hint(), retry)
		if !strings.Contains(spec, row) {
			faults = append(faults, "docs/spec.md lacks the row "+row)
		}
	}
	return faults
}

// checkLabels returns the labels in code that the spec does not name.
func checkLabels(r *reading, spec string) (faults []string) {
	for _, c := range constants(r) {
		word, isLabel := strings.CutPrefix(c.text, "upsycle/1 ")
		word, ends := strings.CutSuffix(word, "\x00")
		switch {
		case !isLabel:
		case !ends:
			faults = append(faults, fmt.Sprintf("%s: the label %s does not end in NUL", c.room, c.name))
		case !strings.Contains(spec, "`"+word+"`"):
			faults = append(faults, fmt.Sprintf("docs/spec.md does not name the label `%s`", word))
		}
	}
	return faults
}

// A constant is one that the product declares at the top level.
type constant struct {
	room, name string
	text       string // its value, if it is a string literal
}

func constants(r *reading) (all []constant) {
	for _, s := range r.sources {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				all = append(all, constantsOf(s.room, spec.(*ast.ValueSpec))...)
			}
		}
	}
	return all
}

func constantsOf(room string, spec *ast.ValueSpec) (all []constant) {
	for i, name := range spec.Names {
		c := constant{room: room, name: name.Name}
		if i < len(spec.Values) {
			if lit, ok := spec.Values[i].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				c.text, _ = strconv.Unquote(lit.Value)
			}
		}
		all = append(all, c)
	}
	return all
}

// A limitRow is a row of docs/limits.md: | `room.Name` | value | why | test |
var limitRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|\n]*\\|([^|\n]*)\\|([^|\n]*)\\|$")

// untested is how many limits have no test that crosses them. It may only become
// smaller.
const untested = 4

// checkLimits returns the limits in code that docs/limits.md lacks, and what it
// names that does not exist. A limit is a constant whose name says so: MaxX, XMax.
// The simulator's are not the product's.
func checkLimits(r *reading, doc string, untested int) (faults []string) {
	declared, tests, without := map[string]bool{}, testNames(r), 0
	for _, c := range constants(r) {
		name := c.room + "." + c.name
		declared[name] = true
		if c.room != "sim" && limitName.MatchString(c.name) && !strings.Contains(doc, "| `"+name+"` |") {
			faults = append(faults, fmt.Sprintf("docs/limits.md has no row for %s", name))
		}
	}
	for _, m := range limitRow.FindAllStringSubmatch(doc, -1) {
		name, why, test := m[1], strings.TrimSpace(m[2]), strings.Trim(m[3], " `")
		switch {
		case !declared[name]:
			faults = append(faults, fmt.Sprintf("docs/limits.md has a row for %s, which does not exist", name))
		case why == "":
			faults = append(faults, fmt.Sprintf("docs/limits.md gives no reason for %s", name))
		case test == "none yet":
			without++
		case !tests[test]:
			faults = append(faults, fmt.Sprintf("docs/limits.md: %s should be crossed by %q, which does not exist", name, test))
		}
	}
	if without != untested {
		faults = append(faults, fmt.Sprintf("docs/limits.md has %d limits without a test, %d are allowed: write one, or lower the number", without, untested))
	}
	return faults
}

// testNames returns the tests, fuzz targets and benchmarks there are.
func testNames(r *reading) map[string]bool {
	all := map[string]bool{}
	for _, s := range r.sources {
		if !s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				all[f.Name.Name] = true
			}
		}
	}
	return all
}

func TestSpec(t *testing.T) {
	r, spec := readHouse(t), read(t, "docs/spec.md")
	report(t, checkClauses(r, spec))
	report(t, checkCodes(spec))
	report(t, checkLabels(r, spec))
	report(t, checkLimits(r, read(t, "docs/limits.md"), untested))
}

func TestSpecFindsFaults(t *testing.T) {
	spec := "## 4. Four\n### §4.1 One\n### §4.10 Ten\n"
	r := plant(t, "internal/gate/x_test.go", "package gate\n// spec §4.10, and RFC 8949 §4.2.1\n")
	expect(t, "a clause without a test", checkClauses(justLast(r), spec), "§4.1: no test")
	if faults := checkClauses(justLast(r), "## 4. Four\n### §4.10 Ten\n"); len(faults) > 0 {
		t.Errorf("a cited clause was blamed: %q", faults)
	}
	r = plant(t, "internal/gate/x.go", "package gate\n// spec §4.1, §99.1 and §99\n// of 2 §98\n")
	expect(t, "a clause that does not exist", checkClauses(r, spec), "internal/gate/x.go cites spec §99.1")
	expect(t, "another in its row", checkClauses(r, spec), "internal/gate/x.go cites spec §99,")

	real := read(t, "docs/spec.md")
	expect(t, "a code that is not in the spec", checkCodes(strings.Replace(real, "| 7 | not a writer |", "| 7 | writer |", 1)), "| 7 | not a writer |")
	expect(t, "a hint that has changed", checkCodes(strings.Replace(real, "Send more slowly.", "Wait.", 1)), "Send more slowly.")

	r = plant(t, "identity/x.go", "package identity\nconst LabelX Label = \"upsycle/1 planted\\x00\"\nconst LabelY = \"upsycle/1 grant\"")
	expect(t, "a label that is not in the spec", checkLabels(r, real), "label `planted`")
	expect(t, "a label without its NUL", checkLabels(r, real), "LabelY does not end")

	for _, c := range []struct{ caption, doc, want string }{
		{"a limit without a row", "", "no row for gate.plantedMax"},
		{"a row without a limit", "| `gate.nothingMax` | 1 | x | `TestSpec` |", "nothingMax, which does not exist"},
		{"a row without a reason", "| `gate.plantedMax` | 1 | | `TestSpec` |", "no reason for gate.plantedMax"},
		{"a row without its test", "| `gate.plantedMax` | 1 | x | `TestNothing` |", `crossed by "TestNothing"`},
		{"one more without a test", "| `gate.plantedMax` | 1 | x | none yet |", "has 1 limits without a test, 0 are allowed"},
	} {
		r := plant(t, "internal/gate/x.go", "package gate\nconst plantedMax = 3")
		expect(t, c.caption, checkLimits(r, c.doc, 0), c.want)
	}
	for _, name := range []string{"MaxDepth", "SeenMax", "helloLimit", "Limit", "maxFrame", "LimitX", "costRTTMax", "FrameMaxService"} {
		if !limitName.MatchString(name) {
			t.Errorf("%s is a limit", name)
		}
	}
	for _, name := range []string{"Climax", "limited", "Maximal", "RefusedTooLarge"} {
		if limitName.MatchString(name) {
			t.Errorf("%s is no limit", name)
		}
	}
}

// justLast returns a house of the last file only.
func justLast(r *reading) *reading {
	return &reading{fset: r.fset, sources: r.sources[len(r.sources)-1:]}
}
