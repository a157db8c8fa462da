// Command upsycle is the router of the UPSYCLE network and everything that goes
// with it at a command line: keys, groups, publishing, subscribing, sending mail,
// the demonstration and the router's status.
//
// Answers go to stdout, everything else to stderr. Exit status 0: done; 1: refused
// or failed; 2: the words of the command were wrong. What is wrong is one line, and
// a line "hint:" says what to type.
//
// The environment:
//
//	UPSYCLE_ROUTER   endpoint that pub, sub, send and recv attach to without --router
//	UPSYCLE_KEYS     directory of the key ring; else upsycle in the user's configuration
//	UPSYCLE_CONTROL  control socket that status asks without --control
//	XDG_RUNTIME_DIR  the per-user router's socket lies in upsycle below it
//	XDG_STATE_HOME   the per-user router's data lies in upsycle below it
//
// One file holds one verb or noun. It turns words into calls of the SDK, of a node
// or of the control client; nothing is decided here. attach.go finds the router and
// holds it to its key, keyring.go knows who signs, errors.go ends a command. The
// scripts in testdata are the contract of the words, and read like a tutorial.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// main lets a signal end what runs, in order: run drains, pub and sub finish what is
// under way.
func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], stdio{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// stdio is what a command reads and writes, so that tests can be the terminal.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// run carries out one command line and returns the exit status.
func run(ctx context.Context, args []string, std stdio) int {
	root := rootCommand(std)
	root.SetArgs(args)
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	return exitCode(std.err, root.ExecuteContext(ctx))
}

// rootCommand builds all commands anew: they share no state, so a test can run
// many command lines in one process.
func rootCommand(std stdio) *cobra.Command {
	root := &cobra.Command{
		Use:           "upsycle",
		Short:         "a message router for groups and devices, where every message is signed and checked at every hop",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          known,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(hinted(err.Error(), "see: "+cmd.CommandPath()+" --help"))
	})
	root.AddCommand(
		runCommand(std), demoCommand(std), keyCommand(std), groupCommand(std),
		pubCommand(std), subCommand(std), sendCommand(std), recvCommand(std),
		statusCommand(std), configCommand(std), storeCommand(std), versionCommand(std),
	)
	root.CompletionOptions.HiddenDefaultCmd = true
	return root
}

const rootLong = `UPSYCLE router: services attach to the nearest router, routers link to each other,
and together they carry messages to groups and addresses that are public keys.
Every message is signed by its writer and checked at every hop.

In this version message bodies are plaintext: every router on the way can read them.`

// words makes a command take exactly the arguments named, like "GROUP".
func words(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		help := "see: " + cmd.CommandPath() + " --help"
		switch {
		case len(args) < len(names):
			return usage(hinted(fmt.Sprintf("%s wants %s", cmd.CommandPath(), names[len(args)]), help))
		case len(args) > len(names):
			return usage(hinted(fmt.Sprintf("%s does not know what to do with %q", cmd.CommandPath(), args[len(names)]), help))
		}
		return nil
	}
}

// known refuses words that are no command, and guesses what was meant.
func known(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "see: " + cmd.CommandPath() + " --help"
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		hint = "did you mean: " + cmd.CommandPath() + " " + meant[0]
	}
	return usage(hinted(fmt.Sprintf("%s has no command %q", cmd.CommandPath(), args[0]), hint))
}

// parent makes a command that only has subcommands, and says so when one is missing.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: known, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(children...)
	return cmd
}
