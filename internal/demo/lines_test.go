package demo

import (
	"slices"
	"strings"
	"testing"
)

func TestReadLines(t *testing.T) {
	for _, c := range []struct {
		caption, text string
		want          []string
	}{
		{"lines", "one\ntwo\n", []string{"one", "two"}},
		{"an empty line is an item", "one\n\ntwo\n", []string{"one", "", "two"}},
		{"no newline at the end", "one\ntwo", []string{"one", "two"}},
		{"nothing", "", nil},
	} {
		got, err := readLines(strings.NewReader(c.text))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", c.caption, got, err)
		}
	}
	if got, err := readLines(nil); got != nil || err != nil {
		t.Errorf("no reader: %q, %v", got, err)
	}
}

func TestLinesAreBounded(t *testing.T) {
	if got, err := readLines(strings.NewReader(strings.Repeat("x\n", linesMax))); err != nil || len(got) != linesMax {
		t.Errorf("%d lines, %v", len(got), err)
	}
	if _, err := readLines(strings.NewReader(strings.Repeat("x\n", linesMax+1))); err == nil {
		t.Error("one line more was taken")
	}
}
