package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"upsycle/identity"
)

// sendCommand is "upsycle send".
func sendCommand(std stdio) *cobra.Command {
	var flags attachFlags
	var whole bool
	cmd := &cobra.Command{
		Use:     "send [--router ENDPOINT] [--key FILE] [--whole] ADDRESS",
		Short:   "send each line of stdin to one service or router",
		Long:    "Send each line of stdin (--whole: all of stdin) to one address (ups1… or upr1…) and wait until the router has custody.",
		Example: "  upsycle send --whole ups1… < letter.txt",
		Args:    words("ADDRESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return send(cmd.Context(), std, flags, args[0], whole)
		},
	}
	flags.add(cmd, "the key ring's service key")
	cmd.Flags().BoolVar(&whole, "whole", false, "send all of stdin as one item")
	return cmd
}

// send is publish for one address. There is no group to be a writer of: the mail
// is signed by the key that it is attached with.
func send(ctx context.Context, std stdio, flags attachFlags, arg string, whole bool) error {
	to, role, err := identity.ParseAddress(arg)
	if err != nil {
		return usage(err)
	}
	if role == identity.GroupText {
		return usage(hinted("this is a group's key, not an address", "publish to a group with: upsycle pub GROUP"))
	}
	ring, err := openKeyring()
	if err != nil {
		return err
	}
	key, err := flags.ownKey(ring)
	if err != nil {
		return err
	}
	conn, err := flags.dial(ctx, std, key)
	if err != nil {
		return err
	}
	defer conn.Close()
	input := readItems(ctx, std.in, whole)
	n, err := conn.SendAll(ctx, to, input.items)
	return published(std, n, err, input.err)
}

// ownKey is the key ring's service key, unless --key names another.
func (f *attachFlags) ownKey(ring keyring) (identity.Key, error) {
	if f.key != "" {
		return keyFile(f.key)
	}
	return ring.service()
}

// recvCommand is "upsycle recv".
func recvCommand(std stdio) *cobra.Command {
	var flags attachFlags
	var read readFlags
	cmd := &cobra.Command{
		Use:     "recv [--router ENDPOINT] [--key FILE] [--count N] [--timeout D] [--json]",
		Short:   "print what is sent to you",
		Long:    "Print the mail that is sent to your service key, each item as a line. The address to give to others goes to stderr.",
		Example: "  upsycle recv --count 1",
		Args:    words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := read.check(); err != nil {
				return err
			}
			return receive(cmd.Context(), std, flags, read)
		},
	}
	flags.add(cmd, "the key ring's service key")
	read.add(cmd)
	return cmd
}

// receive is subscribe for the mail to the key that it is attached with.
func receive(ctx context.Context, std stdio, flags attachFlags, read readFlags) error {
	ring, err := openKeyring()
	if err != nil {
		return err
	}
	key, err := flags.ownKey(ring)
	if err != nil {
		return err
	}
	ctx, cancel := read.deadline(ctx)
	defer cancel()
	conn, err := flags.dial(ctx, std, key)
	if err != nil {
		return read.ended(err)
	}
	defer conn.Close()
	s, err := conn.ListenInbox(ctx)
	if err != nil {
		return read.ended(err)
	}
	fmt.Fprintf(std.err, "receiving for %s; messages are plaintext\n", key.Address().Text(identity.ServiceText))
	return read.print(std, s.Items(ctx))
}
