package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Problem is one thing that is wrong with a configuration.
type Problem struct {
	File         string // as it was named; empty if there is no file
	Line, Column int    // counted from 1; 0 where the file as a whole is meant
	Text         string // one sentence
	Hint         string // what to do about it
}

// String is "FILE:LINE:COL: sentence" and the hint on a line of its own.
func (p Problem) String() string {
	at := p.File
	if at == "" {
		at = "configuration"
	}
	if p.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", at, p.Line, p.Column)
	}
	s := at + ": " + p.Text
	if p.Hint != "" {
		s += "\n  hint: " + p.Hint
	}
	return s
}

// Problems is the error of Load, Parse and Default: all that is wrong, in the
// order of the file. It is never empty.
type Problems []Problem

// Error is the Problems as String writes them, one after the other.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problemsMax bounds what is reported of one file; a file that is no
// configuration at all would fill the screen.
const problemsMax = 50

// problem notes one at a node; nil means the file as a whole.
func (p *parser) problem(at *node, text, hint string) {
	one := Problem{File: p.file, Text: text, Hint: hint}
	if at != nil {
		one.Line, one.Column = at.line, at.column
	}
	p.problems = append(p.problems, one)
}

func (p *parser) sorted() Problems {
	slices.SortStableFunc(p.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if more := len(p.problems) - problemsMax; more > 0 {
		p.problems = append(p.problems[:problemsMax], Problem{File: p.file, Text: fmt.Sprintf("and %d more", more), Hint: "mend these first"})
	}
	return p.problems
}

// quoted shows a text from the file, cut to 64 bytes.
func quoted(s string) string {
	if len(s) > 64 {
		return strconv.Quote(s[:64]) + "…"
	}
	return strconv.Quote(s)
}

// nearest returns the known name that s was probably meant to be, or nothing.
func nearest(s string, known []string) string {
	best, least := "", 3 // at most two slips, and fewer than the name has letters
	for _, k := range known {
		if d := distance(strings.ToLower(s), k); d < least && d < len(k)-1 {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to make a into b.
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
