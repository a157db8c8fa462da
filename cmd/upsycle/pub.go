package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/spf13/cobra"

	"upsycle"
	"upsycle/identity"
)

// lineMax is the longest line that becomes an item: what one envelope holds.
const lineMax = 1<<20 - 8

// pubCommand is "upsycle pub".
func pubCommand(std stdio) *cobra.Command {
	var flags attachFlags
	var whole bool
	cmd := &cobra.Command{
		Use:   "pub [--router ENDPOINT] [--key FILE] [--whole] GROUP",
		Short: "publish each line of stdin to a group",
		Long: `Publish each line of stdin as one item (--whole: all of stdin as one) and wait until
the router has custody of all of them. GROUP is a name from your key ring or a key
(upg1…). The key ring decides how it is signed: as a writer, or with the group's key.`,
		Example: "  echo \"chapter 4 tonight\" | upsycle pub reading-club",
		Args:    words("GROUP"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return publish(cmd.Context(), std, flags, args[0], whole)
		},
	}
	flags.add(cmd, "a fresh key")
	cmd.Flags().BoolVar(&whole, "whole", false, "publish all of stdin as one item")
	return cmd
}

// publish is "upsycle pub": it returns once the router has custody of all items,
// or with the first that it refused.
func publish(ctx context.Context, std stdio, flags attachFlags, arg string, whole bool) error {
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
	if !g.CanPublish() {
		return hinted("you have no key to publish in this group with", "ask its owner for a writer's certificate, or make a group of your own: upsycle group new NAME")
	}
	// A fresh key, unless --key names one: what signs is the group's or the writer's
	// key, and two that publish at once must not displace each other.
	conn, err := flags.dial(ctx, std, identity.Key{})
	if err != nil {
		return err
	}
	defer conn.Close()
	input := readItems(ctx, std.in, whole)
	n, err := conn.PublishAll(ctx, g, input.items)
	return published(std, n, err, input.err)
}

// published says how it ended: what was accepted, and what was not and why.
func published(std stdio, n int, err, readErr error) error {
	fmt.Fprintf(std.err, "%d accepted, as plaintext\n", n)
	if err == nil {
		err = readErr
	}
	var refused *upsycle.Refused
	if errors.As(err, &refused) {
		return hinted(fmt.Sprintf("%v (code %d, %v)", err, uint64(refused.Code), refused.Code), refused.Hint())
	}
	if errors.Is(err, context.Canceled) {
		return hinted("interrupted: what was not accepted yet may still be delivered", "publish again what is missing at the other end")
	}
	return err
}

// An input reads items from stdin; err is what ended it early, once all items were
// taken.
type input struct {
	items iter.Seq[[]byte]
	err   error
}

// readItems reads each line as an item, or all of r as one. The items end when ctx
// does, even while r has nothing to read.
func readItems(ctx context.Context, r io.Reader, whole bool) *input {
	in := &input{}
	read := lineItems
	if whole {
		read = wholeItem
	}
	in.items = func(yield func([]byte) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		// A terminal cannot be told to stop reading, so it is read elsewhere.
		items, ended := make(chan []byte), make(chan error, 1)
		go func() {
			defer close(items)
			ended <- read(r, func(b []byte) bool {
				select {
				case items <- b:
					return true
				case <-ctx.Done():
					return false
				}
			})
		}()
		for {
			select {
			case b, more := <-items:
				if !more {
					in.err = <-ended
					return
				}
				if !yield(b) {
					return
				}
			case <-ctx.Done():
				in.err = ctx.Err()
				return
			}
		}
	}
	return in
}

// wholeItem takes all of r as one item.
func wholeItem(r io.Reader, take func([]byte) bool) error {
	b, err := io.ReadAll(io.LimitReader(r, lineMax+1))
	switch {
	case err != nil:
		return hinted("stdin cannot be read: "+err.Error(), "nothing was published")
	case len(b) > lineMax:
		return hinted(fmt.Sprintf("stdin holds more than %d bytes, which is more than one item may have", lineMax), "leave out --whole, or send it in parts")
	}
	take(b)
	return nil
}

// lineItems takes each line without its end. A line that is too long ends the input
// with an error; what came before it is published.
func lineItems(r io.Reader, take func([]byte) bool) error {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 64<<10), lineMax)
	line := 0
	for s.Scan() {
		line++
		if !take(append([]byte(nil), s.Bytes()...)) {
			return nil
		}
	}
	switch err := s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return hinted(fmt.Sprintf("line %d is longer than %d bytes, which is more than one item may have", line+1, lineMax), "the lines before it were published; split this one")
	case err != nil:
		return hinted("stdin cannot be read: "+err.Error(), "the lines before were published")
	}
	return nil
}
