package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"upsycle/internal/config"
)

// configCommand is "upsycle config": nothing below it starts anything.
func configCommand(std stdio) *cobra.Command {
	check := &cobra.Command{
		Use:     "check FILE",
		Short:   "check a configuration file and say everything that is wrong with it",
		Example: "  upsycle config check /etc/upsycle/router.yaml",
		Args:    words("FILE"),
		RunE:    func(_ *cobra.Command, args []string) error { return checkConfig(std, args[0]) },
	}
	example := &cobra.Command{
		Use:     "example",
		Short:   "print a commented example",
		Example: "  upsycle config example > router.yaml",
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(std.out, config.Example())
			return err
		},
	}
	return parent("config", "check configuration files", check, example)
}

// checkConfig says everything that is wrong with a file, or what it describes.
func checkConfig(std stdio, file string) error {
	cfg, err := config.Load(file, config.System())
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
