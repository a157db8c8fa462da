package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"upsycle/internal/config"
)

// A hint goes with an error: what the user can type or do.
type hintError struct{ text, hint string }

// Error returns the sentence.
func (e *hintError) Error() string { return e.text }

// Hint returns what the user can do.
func (e *hintError) Hint() string { return e.hint }

// hinted makes an error of one sentence and what to do about it.
func hinted(text, hint string) error { return &hintError{text, hint} }

// hintOf returns the hint of err, or fallback where it has none.
func hintOf(err error, fallback string) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	return fallback
}

// A usageError is a mistake in the words of the command: exit status 2.
type usageError struct{ error }

// usage marks an error as one of the command's words.
func usage(err error) error { return usageError{err} }

// Unwrap returns the mistake itself, with its hint.
func (e usageError) Unwrap() error { return e.error }

// exitCode prints err as one line and a hint, and returns the exit status: 0 done,
// 1 refused or failed, 2 the words were wrong.
func exitCode(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	var problems config.Problems
	if errors.As(err, &problems) { // each has its own place and hint
		for _, p := range problems {
			fmt.Fprintln(stderr, p)
		}
		return 1
	}
	if text := strings.TrimSpace(err.Error()); text != "" {
		fmt.Fprintf(stderr, "upsycle: %s\n", text)
		if h := hintOf(err, ""); h != "" {
			fmt.Fprintf(stderr, "hint: %s\n", h)
		}
	}
	var u usageError
	if errors.As(err, &u) {
		return 2
	}
	return 1
}
