package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/safefile"
)

// attachFlags are what pub, sub, send and recv have in common.
type attachFlags struct {
	router string // endpoint
	key    string // file
	trust  bool   // on first use
}

// add gives a command the flags; keyless says what happens without --key.
func (f *attachFlags) add(cmd *cobra.Command, keyless string) {
	cmd.Flags().StringVar(&f.router, "router", "", "router to attach to, like tls://host:port#upr1… (default: $UPSYCLE_ROUTER, then this user's router)")
	cmd.Flags().StringVar(&f.key, "key", "", "file with the service key to attach by (default: "+keyless+")")
	cmd.Flags().BoolVar(&f.trust, "trust-on-first-use", false, "accept the key of a router whose endpoint names none, show it, and hold it to that key from then on")
}

// dial attaches under the key of --key, or fallback.
func (f *attachFlags) dial(ctx context.Context, std stdio, fallback identity.Key) (*upsycle.Conn, error) {
	key, err := keyFile(f.key)
	if err != nil {
		return nil, err
	}
	if key.IsZero() {
		key = fallback
	}
	endpoint := f.router
	if endpoint == "" {
		if endpoint, err = upsycle.DefaultEndpoint(); err != nil {
			return nil, err
		}
	}
	opts := []upsycle.Option{upsycle.WithAgent("upsycle " + version), upsycle.WithEvents(teller(std))}
	if !strings.Contains(endpoint, "#") {
		ring, err := openKeyring()
		if err != nil {
			return nil, err
		}
		pin, err := ring.knownRouter(endpoint)
		switch {
		case err != nil:
			return nil, err
		case !pin.IsZero(): // trusted before: the flag changes nothing
			endpoint += "#" + pin.Text(identity.RouterText)
		case f.trust:
			opts = append(opts, upsycle.WithTrustOnFirstUse(func(a identity.Address) error { return ring.trust(std, endpoint, a) }))
		default:
			if _, err := identity.ParseEndpoint(endpoint); err != nil {
				return nil, usage(err)
			}
			return nil, hinted("the endpoint "+endpoint+" does not say which router must answer", "add # and the router's address (upr1…), or accept what answers with --trust-on-first-use")
		}
	}
	return upsycle.Dial(ctx, endpoint, key, opts...)
}

// teller shows on stderr what happens to the connection after the first dial,
// whose failure is the command's own error. Another process's taking over is one,
// too.
func teller(std stdio) func(upsycle.Event) {
	first := true
	return func(e upsycle.Event) {
		switch {
		case e.Kind == upsycle.Connected && first:
			first = false
		case e.Kind == upsycle.TookOver:
			fmt.Fprintf(std.err, "%s: %v\nhint: %s\n", e.Kind, e.Err, upsycle.Hint(e.Err))
		case e.Kind == upsycle.Connected:
			fmt.Fprintln(std.err, "connected again")
		case e.Kind != upsycle.Superseded && !first:
			fmt.Fprintf(std.err, "%s: %v\n", e.Kind, e.Err)
		}
	}
}

// knownFile is where the key of an endpoint is kept that was trusted at first use.
func (k keyring) knownFile(endpoint string) string {
	sum := sha256.Sum256([]byte(endpoint))
	return filepath.Join(k.dir, "known", hex.EncodeToString(sum[:8]))
}

// knownRouter returns the key that was accepted for an endpoint at first use; zero:
// none was.
func (k keyring) knownRouter(endpoint string) (identity.Address, error) {
	b, err := safefile.Read(k.knownFile(endpoint))
	if errors.Is(err, fs.ErrNotExist) {
		return identity.Address{}, nil
	}
	if err != nil {
		return identity.Address{}, err
	}
	text, _, _ := strings.Cut(string(b), "\n")
	return identity.ParseAddressAs(text, identity.RouterText)
}

// trust shows the key of a router that has proved it, and holds the endpoint to it.
func (k keyring) trust(std stdio, endpoint string, a identity.Address) error {
	text := a.Text(identity.RouterText)
	fmt.Fprintf(std.err, "%s says that it is %s; it is held to that key from now on\n", endpoint, text)
	path := k.knownFile(endpoint)
	if err := safefile.EnsureDir(filepath.Dir(path)); err != nil {
		return err
	}
	return safefile.Replace(path, []byte(text+"\n"+endpoint+"\n"))
}
