package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"upsycle"
	"upsycle/identity"
)

// readFlags are what sub and recv have in common.
type readFlags struct {
	count   int
	timeout time.Duration
	json    bool
}

// add gives a command the flags.
func (f *readFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.count, "count", 0, "end after so many items (0: never)")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "end with an error after this time, like 30s (0: never)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a line: id, seq, from, time, payload (base64), encrypted; gap where one occurs")
}

// check refuses numbers that make no sense.
func (f *readFlags) check() error {
	if f.count < 0 || f.timeout < 0 {
		return usage(hinted("--count and --timeout cannot be less than nothing", "leave them out for no end"))
	}
	return nil
}

// subCommand is "upsycle sub".
func subCommand(std stdio) *cobra.Command {
	var flags attachFlags
	var read readFlags
	cmd := &cobra.Command{
		Use:     "sub [--router ENDPOINT] [--key FILE] [--count N] [--timeout D] [--json] GROUP",
		Short:   "print what is published to a group",
		Long:    "Subscribe to a group and print each item as a line. GROUP is a name from your key ring or a key (upg1…).",
		Example: "  upsycle sub reading-club\n  upsycle sub --count 1 --timeout 30s --json reading-club",
		Args:    words("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := read.check(); err != nil {
				return err
			}
			return subscribe(cmd.Context(), std, flags, read, args[0])
		},
	}
	flags.add(cmd, "a fresh key")
	read.add(cmd)
	return cmd
}

// subscribe says on stderr when the subscription is in force: what is published
// from then on will come.
func subscribe(ctx context.Context, std stdio, flags attachFlags, read readFlags, arg string) error {
	ring, err := openKeyring()
	if err != nil {
		return err
	}
	_, group, err := ring.group(arg)
	if err != nil {
		return err
	}
	ctx, cancel := read.deadline(ctx)
	defer cancel()
	conn, err := flags.dial(ctx, std, identity.Key{})
	if err != nil {
		return read.ended(err)
	}
	defer conn.Close()
	s, err := conn.Listen(ctx, group)
	if err != nil {
		return read.ended(err)
	}
	fmt.Fprintln(std.err, "subscribed; messages are plaintext")
	return read.print(std, s.Items(ctx))
}

// deadline bounds dialling and reading together.
func (f readFlags) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, f.timeout)
}

// print writes items until the count is reached. Each is acknowledged once it was
// written, the last one too.
func (f readFlags) print(std stdio, items iter.Seq2[upsycle.Item, error]) error {
	write := writeText
	switch {
	case f.json:
		write = writeJSON
	case isTerminal(std.out):
		write = writeScreen
	}
	seen := 0
	for item, err := range items {
		if err != nil {
			return f.ended(err)
		}
		if err := write(std.out, item); err != nil {
			return err
		}
		item.Ack()
		if item.Gap == nil {
			seen++
		}
		if f.count > 0 && seen >= f.count {
			return nil
		}
	}
	return nil
}

// ended turns the end of a context into the user's words: an interrupt is no
// error, a timeout is one.
func (f readFlags) ended(err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return hinted(fmt.Sprintf("the time of %s was over before enough items came", f.timeout), "raise --timeout, or see whether the publisher is attached: upsycle status")
	}
	return err
}

// A line is one item of --json. Fields are only ever added. Those of a message are
// there for every message, and none of them for a gap.
type line struct {
	ID        string     `json:"id,omitempty"`
	Seq       *uint64    `json:"seq,omitempty"`
	From      string     `json:"from,omitempty"`
	Time      *time.Time `json:"time,omitempty"`
	Payload   *string    `json:"payload,omitempty"` // base64
	Encrypted bool       `json:"encrypted"`
	Late      bool       `json:"late,omitempty"` // it fills a gap that was told before
	Gap       *gap       `json:"gap,omitempty"`
}

// A gap tells of items that will not come.
type gap struct {
	Count uint64    `json:"count"`
	Why   string    `json:"why"`
	From  time.Time `json:"from"` // they were published between from
	To    time.Time `json:"to"`   // and to
}

// writeJSON writes an item as one JSON object on a line.
func writeJSON(w io.Writer, item upsycle.Item) error {
	l := line{Encrypted: item.Encrypted, Late: item.Late}
	if item.Gap != nil {
		l.Gap = &gap{item.Gap.Count, item.Gap.Why.String(), item.Gap.FromTime.UTC(), item.Gap.ToTime.UTC()}
	} else {
		at, payload := item.Time.UTC(), base64.StdEncoding.EncodeToString(item.Payload)
		l.ID, l.Seq, l.Time, l.Payload = fmt.Sprintf("%x", item.ID[:]), &item.Seq, &at, &payload
		l.From = item.From.Text(identity.ServiceText)
	}
	return json.NewEncoder(w).Encode(l)
}

// writeText writes a payload as it is, and a line end: what reads it is a program.
func writeText(w io.Writer, item upsycle.Item) error {
	if item.Gap != nil {
		_, err := fmt.Fprintf(w, "-- %d items missing: %s --\n", item.Gap.Count, item.Gap.Why)
		return err
	}
	_, err := w.Write(append(append([]byte(nil), item.Payload...), '\n'))
	return err
}

// writeScreen is writeText for a terminal, which must not obey what somebody else
// published.
func writeScreen(w io.Writer, item upsycle.Item) error {
	item.Payload = []byte(visible(string(item.Payload)))
	return writeText(w, item)
}

// visible shows what cannot be printed as Go would write it in a string. Tabs stay.
func visible(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		switch part := s[i : i+size]; {
		case c == '\t', strconv.IsPrint(c) && (c != utf8.RuneError || size > 1):
			b.WriteString(part)
		default:
			quoted := strconv.Quote(part)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return b.String()
}
