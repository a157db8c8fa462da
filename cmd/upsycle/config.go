package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"upsycle/internal/config"
)

func configCommand(std stdio) *cobra.Command {
	check := &cobra.Command{
		Use:     "check FILE",
		Short:   "check a configuration file and say everything that is wrong with it",
		Example: "  upsycle config check /etc/upsycle/router.yaml",
		Args:    words(cobra.ExactArgs(1)),
		RunE:    func(_ *cobra.Command, args []string) error { return checkConfig(std, args[0]) },
	}
	example := &cobra.Command{
		Use:     "example",
		Short:   "print a commented example",
		Example: "  upsycle config example > router.yaml",
		Args:    words(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(std.out, config.Example())
			return err
		},
	}
	return parent("config", "check configuration files", check, example)
}

func checkConfig(std stdio, file string) error {
	cfg, err := config.Load(file, config.System())
	var problems config.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			fmt.Fprintln(std.err, p)
		}
		return errSilent
	}
	if err != nil {
		return err
	}
	kind := "a core router"
	if cfg.Edge() {
		kind = "an edge router"
	}
	fmt.Fprintf(std.out, "%s: ok, %s with data in %s\n", file, kind, cfg.Data)
	return nil
}
