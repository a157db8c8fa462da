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
	opts := []upsycle.Option{upsycle.WithAgent("upsycle " + version), upsycle.WithEvents(func(e upsycle.Event) { tellEvent(std, e) })}
	if !strings.Contains(endpoint, "#") {
		ring, err := openKeyring()
		if err != nil {
			return nil, err
		}
		pin, err := ring.knownRouter(endpoint)
		switch {
		case err != nil:
			return nil, err
		case !pin.IsZero():
			endpoint += "#" + pin.Text(identity.RouterText)
		case f.trust:
			opts = append(opts, upsycle.WithTrustOnFirstUse(func(a identity.Address) error { return ring.trust(std, endpoint, a) }))
		}
	}
	return upsycle.Dial(ctx, endpoint, key, opts...)
}

// tellEvent shows what happens to the connection, on stderr.
func tellEvent(std stdio, e upsycle.Event) {
	if e.Kind == upsycle.Connected {
		return
	}
	fmt.Fprintf(std.err, "%s: %v\n", e.Kind, e.Err)
}

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

func (k keyring) trust(std stdio, endpoint string, a identity.Address) error {
	text := a.Text(identity.RouterText)
	fmt.Fprintf(std.err, "%s says that it is %s; it is held to that key from now on\n", endpoint, text)
	path := k.knownFile(endpoint)
	if err := safefile.EnsureDir(filepath.Dir(path)); err != nil {
		return err
	}
	return safefile.Replace(path, []byte(text+"\n"+endpoint+"\n"))
}
