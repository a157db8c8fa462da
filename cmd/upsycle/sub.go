package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

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

func (f *readFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.count, "count", 0, "end after so many items (0: never)")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "end with an error after this time, like 30s (0: never)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object a line: id, seq, from, time, payload (base64), encrypted; gap where one occurs")
}

func subCommand(std stdio) *cobra.Command {
	var flags attachFlags
	var read readFlags
	cmd := &cobra.Command{
		Use:     "sub [--router ENDPOINT] [--key FILE] [--count N] [--timeout D] [--json] GROUP",
		Short:   "print what is published to a group",
		Long:    "Subscribe to a group and print each item as a line. GROUP is a name from your key ring or a key (upg1…).",
		Example: "  upsycle sub reading-club\n  upsycle sub --count 1 --timeout 30s --json reading-club",
		Args:    words(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return subscribe(cmd.Context(), std, flags, read, args[0])
		},
	}
	flags.add(cmd, "a fresh key")
	read.add(cmd)
	return cmd
}

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
		return err
	}
	defer conn.Close()
	s, err := conn.Listen(ctx, group)
	if err != nil {
		return read.ended(err)
	}
	fmt.Fprintln(std.err, "subscribed; messages are plaintext")
	return read.print(std.out, s.Items(ctx))
}

func (f readFlags) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, f.timeout)
}

// print writes items until the count is reached. Each is acknowledged once it was
// written, the last one too.
func (f readFlags) print(w io.Writer, items iter.Seq2[upsycle.Item, error]) error {
	seen := 0
	for item, err := range items {
		if err != nil {
			return f.ended(err)
		}
		if err := f.write(w, item); err != nil {
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

// A line is one item of --json. Fields are only ever added.
type line struct {
	ID        string    `json:"id,omitempty"`
	Seq       uint64    `json:"seq"`
	From      string    `json:"from,omitempty"`
	Time      time.Time `json:"time,omitzero"`
	Payload   string    `json:"payload,omitempty"`
	Encrypted bool      `json:"encrypted"`
	Late      bool      `json:"late,omitempty"`
	Gap       *gap      `json:"gap,omitempty"`
}

type gap struct {
	Count uint64    `json:"count"`
	Why   string    `json:"why"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
}

func (f readFlags) write(w io.Writer, item upsycle.Item) error {
	if !f.json {
		return writeText(w, item)
	}
	l := line{Seq: item.Seq, Encrypted: item.Encrypted, Late: item.Late}
	if item.Gap != nil {
		l.Gap = &gap{item.Gap.Count, item.Gap.Why.String(), item.Gap.FromTime.UTC(), item.Gap.ToTime.UTC()}
	} else {
		l.ID = fmt.Sprintf("%x", item.ID[:])
		l.From = item.From.Text(identity.ServiceText)
		l.Time = item.Time.UTC()
		l.Payload = base64.StdEncoding.EncodeToString(item.Payload)
	}
	return json.NewEncoder(w).Encode(l)
}

func writeText(w io.Writer, item upsycle.Item) error {
	if item.Gap != nil {
		_, err := fmt.Fprintf(w, "-- %d items missing: %s --\n", item.Gap.Count, item.Gap.Why)
		return err
	}
	_, err := w.Write(append(append([]byte(nil), item.Payload...), '\n'))
	return err
}
