package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/spf13/cobra"

	"upsycle/internal/control"
)

// statusCommand is "upsycle status". It asks the router over its control socket and
// so needs no key.
func statusCommand(std stdio) *cobra.Command {
	var socket string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status [--control PATH] [--json]",
		Short:   "show what a router on this machine does",
		Example: "  upsycle status\n  upsycle status --control /var/lib/upsycle/control.sock --json",
		Args:    words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The control socket proves who asks by who may open it.
			path, err := controlPath(socket)
			if err != nil {
				return err
			}
			s, err := control.NewClient(path).Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(std.out).Encode(s)
			}
			printStatus(std.out, s)
			return nil
		},
	}
	cmd.Flags().StringVar(&socket, "control", "", "control socket of the router (default: $UPSYCLE_CONTROL, then the per-user router's)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// printStatus writes a status for people: one fact a line, its kind first.
func printStatus(w io.Writer, s control.Status) {
	up := time.Duration(s.UptimeMs) * time.Millisecond
	fmt.Fprintf(w, "%s %s, version %s, up %s; message bodies are %s\n", s.Role, s.Address, s.Version, up.Round(time.Second), s.Encryption)
	for _, ep := range s.Endpoints {
		fmt.Fprintf(w, "listens   %s\n", ep)
	}
	for _, p := range s.Peers {
		fmt.Fprintf(w, "peer      %s  %d ms\n", p.Address, p.RTTMs)
	}
	for _, r := range s.Roots {
		fmt.Fprintf(w, "root      %s  %s\n", r.Address, rootState(s.Address, r))
	}
	for _, c := range s.Clients {
		state := "away"
		if c.Attached {
			state = "attached"
		}
		fmt.Fprintf(w, "client    %s  %s, %d subscriptions, %d waiting\n", c.Address, state, c.Subscriptions, c.Waiting)
	}
	for _, t := range s.Targets {
		fmt.Fprintf(w, "%-9s %s  wanted %v, sender %v, %d held\n", t.Kind, t.Address, t.Wanted, t.Sender, t.Held)
	}
	printCounters(w, s.Counters)
}

// rootState says in words how a router stands to the root of a tree.
func rootState(self string, r control.Root) string {
	switch {
	case r.Address == self:
		return "this router"
	case !r.Reach:
		return "out of reach"
	case !r.Counting:
		return "known, not in use"
	}
	return fmt.Sprintf("reached, %d away", r.Metric)
}

// printCounters shows what has happened at all, in the order of the names.
func printCounters(w io.Writer, counters map[string]uint64) {
	names := make([]string, 0, len(counters))
	for n, v := range counters {
		if v > 0 {
			names = append(names, n)
		}
	}
	sort.Strings(names)
	for _, n := range names {
		fmt.Fprintf(w, "counted   %s: %d\n", n, counters[n])
	}
}
