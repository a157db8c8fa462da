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
		Args:    words(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return publish(cmd.Context(), std, flags, args[0], whole)
		},
	}
	flags.add(cmd, "a fresh key")
	cmd.Flags().BoolVar(&whole, "whole", false, "publish all of stdin as one item")
	return cmd
}

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
	conn, err := flags.dial(ctx, std, identity.Key{})
	if err != nil {
		return err
	}
	defer conn.Close()
	input := readItems(std.in, whole)
	n, err := conn.PublishAll(ctx, g, input.items)
	return published(std, n, err, input.err)
}

// published says how it ended: what was accepted, and what was not and why.
func published(std stdio, n int, err, readErr error) error {
	fmt.Fprintf(std.err, "%d accepted, as plaintext\n", n)
	if err == nil {
		return readErr
	}
	var refused *upsycle.Refused
	if errors.As(err, &refused) {
		return hinted(fmt.Sprintf("item %d was refused (code %d, %s): %s", n+1, uint64(refused.Code), refused.Code, refused.Code.Sentence()), refused.Hint())
	}
	return err
}

// An input reads items from stdin; err is what ended it early, once it was read.
type input struct {
	items iter.Seq[[]byte]
	err   error
}

func readItems(r io.Reader, whole bool) *input {
	in := &input{}
	if whole {
		in.items = func(yield func([]byte) bool) {
			b, err := io.ReadAll(io.LimitReader(r, lineMax+1))
			switch {
			case err != nil:
				in.err = hinted("stdin cannot be read: "+err.Error(), "nothing was published")
			case len(b) > lineMax:
				in.err = hinted(fmt.Sprintf("stdin holds more than %d bytes, which is more than one item may have", lineMax), "leave out --whole, or send it in parts")
			default:
				yield(b)
			}
		}
		return in
	}
	in.items = in.lines(r)
	return in
}

// lines yields each line without its end. A line that is too long ends the input
// with an error; what came before it is published.
func (in *input) lines(r io.Reader) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 64<<10), lineMax)
		line := 0
		for s.Scan() {
			line++
			if !yield(append([]byte(nil), s.Bytes()...)) {
				return
			}
		}
		if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
			in.err = hinted(fmt.Sprintf("line %d is longer than %d bytes, which is more than one item may have", line+1, lineMax), "the lines before it were published; split this one")
		} else if err != nil {
			in.err = hinted("stdin cannot be read: "+err.Error(), "the lines before were published")
		}
	}
}
