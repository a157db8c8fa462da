package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"upsycle/internal/config"
	"upsycle/internal/node"
)

func storeCommand(std stdio) *cobra.Command {
	var data string
	check := &cobra.Command{
		Use:     "check [--data DIR]",
		Short:   "read all of a router's store and say what is damaged",
		Long:    "Read all of the store in a router's data directory, without changing it. The router must not run.",
		Example: "  upsycle store check\n  upsycle store check --data /var/lib/upsycle",
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			return withData(data, func(d string) error { return checkStore(std, d) })
		},
	}
	stat := &cobra.Command{
		Use:     "stat [--data DIR]",
		Short:   "show what is in a router's store, and how large it is",
		Example: "  upsycle store stat",
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			return withData(data, func(d string) error { return statStore(std, d) })
		},
	}
	var asJSON bool
	dump := &cobra.Command{
		Use:     "dump [--data DIR] [--json]",
		Short:   "write all rows of a router's store to stdout",
		Long:    "Write all rows as a CBOR sequence of [key, value], or with --json as one array a line in hexadecimal digits.",
		Example: "  upsycle store dump --json | head",
		Args:    words(),
		RunE: func(*cobra.Command, []string) error {
			return withData(data, func(d string) error { return node.DumpStore(d, std.out, asJSON) })
		},
	}
	dump.Flags().BoolVar(&asJSON, "json", false, "lines of JSON instead of CBOR")
	store := parent("store", "look into a router's store", check, stat, dump)
	store.PersistentFlags().StringVar(&data, "data", "", "the router's data directory (default: the per-user router's)")
	return store
}

// withData runs f on the data directory that was named, or the per-user router's.
func withData(data string, f func(data string) error) error {
	if data == "" {
		cfg, err := config.Default(config.System())
		if err != nil {
			return err
		}
		data = cfg.Data
	}
	if _, err := os.Stat(data); err != nil {
		return hinted("there is no data directory "+data, "name the directory under data: in the router's configuration with --data")
	}
	return f(data)
}

func checkStore(std stdio, data string) error {
	key, err := readKey(filepath.Join(data, config.KeyName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if key.IsZero() {
		fmt.Fprintf(std.err, "there is no %s in %s: the form of the rows is not checked\n", config.KeyName, data)
	}
	r, err := node.CheckStore(data, key.Address())
	if err != nil {
		return err
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(std.err, "damaged: %v\n", d)
	}
	for _, o := range r.Odd {
		fmt.Fprintf(std.err, "odd row %x: %v\n", o.Key, o.Err)
	}
	if !r.Sound() {
		return hinted(fmt.Sprintf("the store in %s is damaged", data), "restore it from a backup, or move it aside: nothing in it was changed")
	}
	fmt.Fprintf(std.out, "%s: sound, schema %d, %d rows, %d bytes in %d files\n", data, r.Schema, r.Rows, r.Bytes, r.Files)
	return nil
}

func statStore(std stdio, data string) error {
	s, err := node.StatStore(data)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.out, "schema %d, %d rows, %d bytes, %d bytes on disk\n", s.Schema, s.Rows, s.Bytes, s.Disk)
	for _, t := range s.Tables {
		fmt.Fprintf(std.out, "%-22s %10d rows %14d bytes\n", node.TableName(t.First), t.Rows, t.Keys+t.Values)
	}
	return nil
}
