package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"upsycle/identity"
)

// groupCommand is "upsycle group": the groups in this user's key ring. Nothing here
// asks a router: a group exists by its key alone.
func groupCommand(std stdio) *cobra.Command {
	create := &cobra.Command{
		Use:     "new NAME",
		Short:   "make a group and print the key to share",
		Long:    "Make a group: a key of its own, kept in your key ring under NAME, and a writer's certificate for this device.\nWhoever has the printed key can subscribe; only who has a certificate can publish.",
		Example: "  upsycle group new reading-club",
		Args:    words("NAME"),
		RunE:    func(_ *cobra.Command, args []string) error { return newGroup(std, args[0]) },
	}
	show := &cobra.Command{
		Use:     "show GROUP",
		Short:   "print a group's key and what you may do there",
		Example: "  upsycle group show reading-club",
		Args:    words("GROUP"),
		RunE:    func(_ *cobra.Command, args []string) error { return showGroup(std, args[0]) },
	}
	list := &cobra.Command{
		Use:     "list",
		Short:   "list the groups in your key ring",
		Example: "  upsycle group list",
		Args:    words(),
		RunE:    func(*cobra.Command, []string) error { return listGroups(std) },
	}
	return parent("group", "make and show groups", create, show, list)
}

// newGroup prints the group's key alone on stdout, so that a script can share it.
func newGroup(std stdio, name string) error {
	ring, err := openKeyring()
	if err != nil {
		return err
	}
	a, err := ring.newGroup(name)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "group %q made; its messages are plaintext in this version\nshare this key with who should subscribe:\n", name)
	fmt.Fprintln(std.out, a.Text(identity.GroupText))
	return nil
}

// showGroup prints a group's key, and on stderr what this user may do there.
func showGroup(std stdio, arg string) error {
	ring, err := openKeyring()
	if err != nil {
		return err
	}
	name, a, err := ring.group(arg)
	if err != nil {
		return err
	}
	g, err := ring.handle(name, a)
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, a.Text(identity.GroupText))
	switch {
	case !g.CanPublish():
		fmt.Fprintln(std.err, "you can subscribe; you have no key to publish with")
	default:
		fmt.Fprintf(std.err, "you can subscribe, and publish as %s\n", g.Writer().Text(identity.ServiceText))
	}
	fmt.Fprintln(std.err, "messages are plaintext in this version: every router on the way can read them")
	return nil
}

// listGroups prints a group a line, the key first: it has the same length for all.
func listGroups(std stdio) error {
	ring, err := openKeyring()
	if err != nil {
		return err
	}
	names, err := ring.groups()
	if err != nil {
		return err
	}
	for _, n := range names {
		a, err := ring.groupAddress(n)
		if err != nil {
			return err
		}
		fmt.Fprintf(std.out, "%s  %s\n", a.Text(identity.GroupText), n)
	}
	if len(names) == 0 {
		fmt.Fprintln(std.err, "no groups yet; make one with: upsycle group new NAME")
	}
	return nil
}
