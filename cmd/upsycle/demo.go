package main

import (
	"context"
	"encoding/json"
	"io"
	"os"

	"github.com/spf13/cobra"

	"upsycle/internal/demo"
)

// demoCommand is "upsycle demo". It needs no router, no key ring and no directory.
func demoCommand(std stdio) *cobra.Command {
	var asJSON bool
	var from string
	cmd := &cobra.Command{
		Use:   "demo [--json] [--from FILE]",
		Short: "show three routers and four services at work",
		Long: `Start three routers on this machine, linked in a triangle, and four services; let them
publish, subscribe and write to each other; let a forger try; stop a router and bring
it back. It takes about half a minute, needs no configuration and leaves nothing behind.`,
		Example: "  upsycle demo\n  upsycle demo --json --from lines.txt",
		Args:    words(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), std, asJSON, from) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object at the end, and the story to stderr")
	cmd.Flags().StringVar(&from, "from", "", "publish the lines of this file (- for stdin)")
	return cmd
}

// runDemo shows the story on stdout, or with --json the report there and the story
// on stderr: a script reads one object, and whoever watches sees why.
func runDemo(ctx context.Context, std stdio, asJSON bool, from string) error {
	opts := demo.Options{Out: std.out}
	if asJSON {
		opts.Out = std.err
	}
	switch from {
	case "":
	case "-":
		opts.From = std.in
	default:
		f, err := os.Open(from)
		if err != nil {
			return hinted("the file to publish cannot be read: "+err.Error(), "name a text file with --from")
		}
		defer f.Close()
		opts.From = io.Reader(f)
	}
	r, err := demo.Run(ctx, opts)
	if err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(std.out).Encode(r); err != nil {
			return err
		}
	}
	if !r.OK {
		return hinted("the demonstration did not go as expected", "run it again on a machine with less to do; if it fails again, report it")
	}
	return nil
}
