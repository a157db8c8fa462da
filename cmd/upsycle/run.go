package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"upsycle/identity"
	"upsycle/internal/config"
	"upsycle/internal/node"
	"upsycle/internal/safefile"
)

// runCommand is "upsycle run".
func runCommand(std stdio) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run [--config FILE]",
		Short: "run a router",
		Long: `Run a router until it is interrupted. Without a configuration it listens on a unix
socket that only you can reach; services on this machine attach to it by themselves.`,
		Example: "  upsycle run\n  upsycle run --config /etc/upsycle/router.yaml",
		Args:    words(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return runRouter(cmd.Context(), std, file) },
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (YAML)")
	return cmd
}

// runRouter runs a router until a signal, which drains it.
func runRouter(ctx context.Context, std stdio, file string) error {
	cfg, err := loadConfig(file)
	if err != nil {
		return err
	}
	key, err := routerKey(cfg)
	if err != nil {
		return err
	}
	log := newLog(std.err, cfg.Log)
	nc := node.FromConfig(cfg, key)
	nc.Version, nc.Log, nc.Control = version, log, filepath.Join(cfg.Data, controlName)
	n, err := node.New(nc)
	if err != nil {
		return err
	}
	if err := userDirectory(cfg); err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	if err := writeAddrFile(n); err != nil {
		n.Stop()
		return err
	}
	announceRouter(std, n)
	return n.Wait()
}

// controlName is the control socket's name in the data directory.
const controlName = "control.sock"

// controlPath finds the control socket: the flag, $UPSYCLE_CONTROL, the per-user
// router's.
func controlPath(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if p := os.Getenv("UPSYCLE_CONTROL"); p != "" {
		return p, nil
	}
	cfg, err := config.Default(config.System())
	if err != nil {
		return "", err
	}
	return filepath.Join(cfg.Data, controlName), nil
}

// loadConfig reads a file, or returns what a router without one runs with.
func loadConfig(file string) (config.Config, error) {
	if file == "" {
		return config.Default(config.System())
	}
	return config.Load(file, config.System())
}

// routerKey reads the router's key, or makes it in the data directory at the
// first start. A key that the configuration names must be there: to make another
// would be another router.
func routerKey(cfg config.Config) (identity.Key, error) {
	if err := safefile.EnsureDir(cfg.Data); err != nil {
		return identity.Key{}, err
	}
	key, err := readKey(cfg.Key)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if cfg.Key != filepath.Join(cfg.Data, config.KeyName) {
		return key, hinted("there is no key file "+cfg.Key, "make it with: upsycle key new --role router --out "+cfg.Key)
	}
	key, err = identity.GenerateKey(rand.Reader)
	if err != nil {
		return key, err
	}
	if err = safefile.Write(cfg.Key, identity.MarshalPEM(key)); errors.Is(err, fs.ErrExist) {
		return readKey(cfg.Key) // another process was first, and may hold the lock soon
	}
	return key, err
}

// userDirectory makes the directory of the per-user socket, if the router listens
// there, and refuses one that somebody else made or can enter (spec §1.2).
func userDirectory(cfg config.Config) error {
	for _, ep := range cfg.Listen {
		if isUserSocket(ep) {
			return safefile.EnsureDir(filepath.Dir(ep.Where))
		}
	}
	return nil
}

// isUserSocket reports whether an endpoint is the one that services of this user
// look for when they are told none.
func isUserSocket(ep identity.Endpoint) bool {
	return ep.Scheme == identity.SchemeUnix && ep.Where == config.System().Socket()
}

// writeAddrFile puts the router's address beside the per-user socket: the pin of
// who dials it without being told one. Other sockets get none, since their
// directories may belong to more than one router, or user.
func writeAddrFile(n *node.Node) error {
	for _, ep := range n.Endpoints() {
		if isUserSocket(ep) {
			text := n.Address().Text(identity.RouterText) + "\n"
			return safefile.Replace(config.AddrFile(ep.Where), []byte(text))
		}
	}
	return nil
}

// announceRouter prints the address, which is the answer, and how to go on.
func announceRouter(std stdio, n *node.Node) {
	fmt.Fprintln(std.out, n.Address().Text(identity.RouterText))
	for _, ep := range n.Endpoints() {
		fmt.Fprintf(std.err, "listening on %s\n", ep)
	}
	fmt.Fprintln(std.err, "try: upsycle group new NAME; upsycle sub NAME; echo hello | upsycle pub NAME")
	fmt.Fprintln(std.err, "message bodies are plaintext in this version")
}

// isTerminal reports whether a person reads w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newLog writes for people on a terminal, plain text or JSON elsewhere.
func newLog(w io.Writer, cfg config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.JSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	if isTerminal(w) {
		return slog.New(tint.NewTextHandler(w, &tint.Options{Level: cfg.Level, TimeFormat: time.TimeOnly}))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
