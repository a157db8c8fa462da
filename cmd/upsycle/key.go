package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"upsycle/identity"
	"upsycle/internal/safefile"
)

// keyCommand is "upsycle key": files with one private key each.
func keyCommand(std stdio) *cobra.Command {
	var role, out string
	create := &cobra.Command{
		Use:     "new --role router|service|group [--out FILE]",
		Short:   "make a key and print its public form",
		Example: "  upsycle key new --role router --out router.pem",
		Args:    words(),
		RunE:    func(*cobra.Command, []string) error { return newKey(std, role, out) },
	}
	create.Flags().StringVar(&role, "role", "", "what the key is for: router, service or group")
	create.Flags().StringVar(&out, "out", "", "file to write the private key to (default: ROLE.pem)")
	show := &cobra.Command{
		Use:     "show FILE [--role router|service|group]",
		Short:   "print the public form of the key in a file",
		Example: "  upsycle key show router.pem --role router",
		Args:    words("FILE"),
		RunE:    func(_ *cobra.Command, args []string) error { return showKey(std, args[0], role) },
	}
	show.Flags().StringVar(&role, "role", "", "print one form only: router, service or group")
	return parent("key", "make and show keys", create, show)
}

// textRole reads a role's name.
func textRole(name string) (identity.TextRole, error) {
	for _, r := range []identity.TextRole{identity.RouterText, identity.ServiceText, identity.GroupText} {
		if r.String() == name {
			return r, nil
		}
	}
	text := fmt.Sprintf("the role %q is not known", name)
	if name == "" {
		text = "say what the key is for"
	}
	return 0, usage(hinted(text, "use --role router, --role service or --role group"))
}

// newKey makes a key file. It prints the public form only; the private one is in
// the file and nowhere else.
func newKey(std stdio, role, out string) error {
	r, err := textRole(role)
	if err != nil {
		return err
	}
	if out == "" { // never stdout: a private key must not end up in a terminal's memory
		out = role + ".pem"
	}
	key, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := safefile.Write(out, identity.MarshalPEM(key)); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return hinted(out+" is there already", "a key is never overwritten; choose another name with --out")
		}
		return err
	}
	fmt.Fprintf(std.err, "private key written to %s\n", out)
	fmt.Fprintln(std.out, key.Address().Text(r))
	return nil
}

// showKey prints the public form of a key: one key can be used in any role, but
// that is told apart in text, so that a router's key is not taken for a group's.
func showKey(std stdio, path, role string) error {
	key, err := readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return hinted("there is no file "+path, "make a key with: upsycle key new --role service --out "+path)
	}
	if err != nil {
		return err
	}
	if role != "" {
		r, err := textRole(role)
		if err != nil {
			return err
		}
		fmt.Fprintln(std.out, key.Address().Text(r))
		return nil
	}
	for _, r := range []identity.TextRole{identity.RouterText, identity.ServiceText, identity.GroupText} {
		fmt.Fprintf(std.out, "as a %-8s %s\n", r.String()+":", key.Address().Text(r))
	}
	return nil
}

// keyFile reads the key of --key; "" gives the zero key.
func keyFile(path string) (identity.Key, error) {
	if path == "" {
		return identity.Key{}, nil
	}
	key, err := readKey(path)
	if errors.Is(err, os.ErrNotExist) {
		return key, hinted("there is no key file "+path, "make one with: upsycle key new --role service --out "+path)
	}
	return key, err
}
