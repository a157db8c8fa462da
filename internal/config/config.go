package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"upsycle/identity"
)

// MaxSize is the largest configuration file in bytes.
const MaxSize = 1 << 20

// KeyName is the name of a router's key file in its data directory.
const KeyName = "router.pem"

// Config is what one router runs with. Paths are as written, or relative to the
// configuration file's directory where they were relative there.
type Config struct {
	Listen []identity.Endpoint // where others reach this router; without pins
	Peers  []identity.Endpoint // cores to dial, pinned; these make backbone links
	Accept []identity.Address  // cores that may dial us and are not dialled
	Homes  []identity.Endpoint // an edge router's homes, pinned, the preferred one first

	Key  string // file of the router's private key
	Data string // directory that only this router uses

	Services Access // which services may attach
	Edges    Access // which edge routers may attach
	CanRoot  bool   // may become the automatic root of a tree

	Limits Limits
	Log    Log
}

// Edge reports whether this is an edge router: one with homes.
func (c Config) Edge() bool { return len(c.Homes) > 0 }

// Access says who may attach in one role. The zero value lets nobody in.
type Access struct {
	Keys  []identity.Address // these keys, from anywhere
	Local bool               // any key over a unix socket, from the router's own user
	Any   bool               // any key from anywhere
}

// Limits are the bounds that an operator may set.
type Limits struct {
	Custody        int64 // bytes of envelopes held for others until they expire
	MailboxBytes   int64 // bytes that wait for one attached client
	MailboxEntries int   // envelopes that wait for one attached client
	Clients        int   // services and edge routers that are attached or have a mailbox
	Links          int   // links of any kind at once
}

// Log says how much is logged, and how.
type Log struct {
	Level slog.Level
	JSON  bool // one JSON object a line instead of text
}

// Default returns the Config of a router without a file: it listens on the
// per-user socket only, lets in what runs as the same user, and has no peers.
// The error is Problems if the environment names no home directory.
func Default(env Env) (Config, error) { return Parse("", nil, env) }

// Load reads and parses the file at path. The error is Problems.
func Load(path string, env Env) (Config, error) {
	b, err := read(path)
	if err != nil {
		return Config{}, Problems{{File: path, Text: err.Error(), Hint: readHint(err)}}
	}
	return Parse(path, b, env)
}

// Parse reads b, the content of the file name. Relative paths in it are taken
// from name's directory. The error is Problems and holds all there are, in the
// order of the file.
func Parse(name string, b []byte, env Env) (Config, error) {
	p := &parser{file: name, env: env, cfg: defaults(env)}
	if root := p.document(b); root != nil {
		p.table(root, "", rootFields())
	}
	p.finish()
	if len(p.problems) > 0 {
		return Config{}, p.sorted()
	}
	return p.cfg, nil
}

func defaults(env Env) Config {
	return Config{
		Listen: []identity.Endpoint{env.Listen()}, Data: env.DataDir(),
		Services: Access{Local: true}, Edges: Access{Local: true}, CanRoot: true,
		Limits: Limits{
			Custody: custodyDefault, MailboxBytes: mailboxBytesDefault, MailboxEntries: mailboxEntriesDefault,
			Clients: clientsDefault, Links: linksDefault,
		},
	}
}

var errTooLarge = fmt.Errorf("the file is larger than %d bytes", MaxSize)

// read returns the file, with an error that does not repeat the path.
func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, bare(err)
	case info.IsDir():
		return nil, errors.New("is a directory")
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(b) > MaxSize {
		return nil, errTooLarge
	}
	return b, nil
}

func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func readHint(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "check the path; a router runs without any file too"
	case errors.Is(err, fs.ErrPermission):
		return "run as a user who may read it"
	}
	return "name a configuration file in YAML"
}

// finish checks what no single value shows.
func (p *parser) finish() {
	homes, peers, edges := p.given["homes"], p.given["peers"], p.given["edges"]
	if !homes.empty() && !peers.empty() {
		p.problem(later(homes.key, peers.key), "a router has homes (an edge) or peers (a core), not both for now",
			"keep homes if this router serves its own services only, peers if it relays between routers")
	}
	if !homes.empty() && edges.key != nil {
		p.problem(edges.key, "an edge router lets no edge routers attach", "remove edges, or replace homes by peers")
	}
	if p.cfg.Data == "" && p.given["data"].key == nil {
		p.problem(nil, "there is no directory for data: neither XDG_STATE_HOME nor HOME is set", "set data: DIRECTORY, or HOME")
	}
	if p.cfg.Key == "" {
		p.cfg.Key = filepath.Join(p.cfg.Data, KeyName)
	}
}

// empty reports whether a list was not given, or has no entries.
func (e entry) empty() bool { return e.value == nil || len(e.value.items) == 0 }

func later(a, b *node) *node {
	if a.line > b.line || a.line == b.line && a.column > b.column {
		return a
	}
	return b
}
