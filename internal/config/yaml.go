package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A node is a value of the file with its place. The library's own tree stays in
// this file.
type node struct {
	kind         kind
	text         string // of a scalar
	tag          string // of a scalar, as YAML sees it: "!!str", "!!int", "!!bool", "!!null" …
	items        []*node
	entries      []entry
	line, column int
}

type entry struct{ key, value *node }

type kind uint8

const (
	scalar kind = iota
	list
	table
)

// deepest is how many lists and tables may lie in each other. Nothing that we
// read needs more than three.
const deepest = 8

// document parses b, notes what is wrong with it as YAML, and returns its only
// document: nil if there is none to go on with, or if it is empty.
func (p *parser) document(b []byte) *node {
	if !p.cleanText(b) {
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	var doc, second yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil // nothing, or comments only: everything has its default
	} else if err != nil {
		p.syntax(b, err)
		return nil
	}
	switch err := d.Decode(&second); {
	case err == nil:
		p.problem(&node{line: second.Line, column: 1}, "a second document begins here", "one file is one router: remove the line --- and what follows, or make it a file of its own")
	case !errors.Is(err, io.EOF):
		p.syntax(b, err)
	}
	if len(doc.Content) != 1 {
		return nil
	}
	root := p.convert(doc.Content[0], 0)
	switch {
	case root == nil || root.kind == scalar && root.tag == "!!null":
		return nil
	case root.kind != table:
		p.problem(root, "the file is not a table of settings", `a line looks like "name: value"`)
		return nil
	}
	return root
}

// convert copies n, and returns nil where n holds what we do not take.
func (p *parser) convert(n *yaml.Node, depth int) *node {
	out := &node{line: n.Line, column: n.Column, text: n.Value}
	switch {
	case depth > deepest:
		p.problem(out, "values are nested too deep", "no setting needs that")
		return nil
	case n.Kind == yaml.AliasNode:
		p.problem(out, fmt.Sprintf("the alias *%s", n.Value), "write the value itself; aliases are not taken")
		return nil
	case n.Anchor != "":
		p.problem(out, fmt.Sprintf("the anchor &%s", n.Anchor), "remove it; if the value shall begin with &, put it into quotes")
		return nil
	case n.Style&yaml.TaggedStyle != 0:
		p.problem(out, fmt.Sprintf("the tag %s", quoted(n.Tag)), "remove it; if the value shall begin with !, put it into quotes")
		return nil
	}
	switch n.Kind {
	case yaml.ScalarNode:
		out.kind, out.tag = scalar, n.ShortTag()
	case yaml.SequenceNode:
		out.kind = list
		for _, c := range n.Content {
			if item := p.convert(c, depth+1); item != nil {
				out.items = append(out.items, item)
			}
		}
	case yaml.MappingNode:
		out.kind = table
		p.convertTable(n, out, depth)
	}
	return out
}

// convertTable copies the pairs of n, and refuses keys that stand twice: which of
// them would count is nothing to guess.
func (p *parser) convertTable(n *yaml.Node, out *node, depth int) {
	first := map[string]*node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := p.convert(n.Content[i], depth+1), p.convert(n.Content[i+1], depth+1)
		switch {
		case key == nil:
		case key.kind != scalar:
			p.problem(key, "a list or table where a name is wanted", `a line looks like "name: value"`)
		case first[key.text] != nil:
			p.problem(key, fmt.Sprintf("%s stands here a second time", quoted(key.text)), fmt.Sprintf("it is in line %d already: keep one of them", first[key.text].line))
		default:
			first[key.text] = key
			out.entries = append(out.entries, entry{key, value})
		}
	}
}

// cleanText refuses what is no text, with a place; the library names none.
func (p *parser) cleanText(b []byte) bool {
	line, column := 1, 1
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		at := &node{line: line, column: column}
		if r == utf8.RuneError && n == 1 {
			p.problem(at, "the file is not UTF-8 text", "save it as UTF-8")
			return false
		}
		if r < 0x20 && r != '\n' && r != '\r' && r != '\t' || r == 0x7f {
			p.problem(at, fmt.Sprintf("the control character %U", r), "remove it")
			return false
		}
		i, column = i+n, column+1
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return true
}

var (
	yamlPlace  = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlAnchor = regexp.MustCompile(`^yaml: unknown anchor '(.*)' referenced$`)
)

// syntax notes the library's complaint. It stops at the first, names no column,
// and its line may be one too early, so the hint shows two lines.
func (p *parser) syntax(b []byte, err error) {
	lines := strings.Split(string(b), "\n")
	if m := yamlAnchor.FindStringSubmatch(err.Error()); m != nil {
		p.problem(findText(lines, "*"+m[1]), fmt.Sprintf("the alias *%s", m[1]), "write the value itself; if it shall begin with *, put it into quotes")
		return
	}
	if at := tabIndent(lines); at != nil {
		p.problem(at, "a tab where a line is indented", "indent with spaces")
		return
	}
	m := yamlPlace.FindStringSubmatch(err.Error())
	if m == nil {
		m = []string{"", ""}
	}
	line, _ := strconv.Atoi(m[1]) // the library leaves out line 1
	at, hint := lookAt(lines, min(max(line, 1), len(lines)))
	p.problem(at, "this is not YAML: "+err.Error()[len(m[0]):], hint)
}

// lookAt returns the place where the text of a line begins, and a hint that shows
// it and the next. At the file's end what is wrong stands before it.
func lookAt(lines []string, line int) (*node, string) {
	show := func(i int) string { return strings.TrimSpace(lines[i-1]) }
	if show(line) == "" {
		for line > 1 && show(line) == "" {
			line--
		}
		return &node{line: line, column: 1}, "a quote or a bracket that begins here or above does not end"
	}
	hint := "look at " + quoted(show(line))
	if line < len(lines) && show(line+1) != "" {
		hint += " and the next line, " + quoted(show(line+1))
	}
	text := lines[line-1]
	return &node{line: line, column: 1 + len(text) - len(strings.TrimLeft(text, " "))}, hint
}

// findText returns the first place of s, or line 1.
func findText(lines []string, s string) *node {
	for i, l := range lines {
		if at := strings.Index(l, s); at >= 0 {
			return &node{line: i + 1, column: at + 1}
		}
	}
	return &node{line: 1, column: 1}
}

// tabIndent returns the place of the first tab that indents something.
func tabIndent(lines []string) *node {
	for i, l := range lines {
		rest := strings.TrimLeft(l, " \t")
		indent := l[:len(l)-len(rest)]
		if tab := strings.IndexByte(indent, '\t'); tab >= 0 && rest != "" && rest[0] != '#' {
			return &node{line: i + 1, column: tab + 1}
		}
	}
	return nil
}
