package config

import (
	"fmt"
	"os"
	"path/filepath"

	"upsycle/identity"
)

// Env is what the per-user paths depend on. The zero Env has no home directory.
type Env struct {
	Home    string // $HOME
	Runtime string // $XDG_RUNTIME_DIR
	State   string // $XDG_STATE_HOME
	UID     int
}

// System returns the Env of this process. Paths that are not absolute count as
// not set (XDG Base Directory Specification).
func System() Env {
	return Env{Home: absolute("HOME"), Runtime: absolute("XDG_RUNTIME_DIR"), State: absolute("XDG_STATE_HOME"), UID: os.Geteuid()}
}

func absolute(name string) string {
	if v := os.Getenv(name); filepath.IsAbs(v) {
		return v
	}
	return ""
}

// RuntimeDir is the directory of the per-user socket. It must be made and
// checked as safefile.EnsureDir does it: under /tmp anybody could have made it.
func (e Env) RuntimeDir() string {
	if e.Runtime != "" {
		return filepath.Join(e.Runtime, "upsycle")
	}
	return fmt.Sprintf("/tmp/upsycle-%d", e.UID)
}

// Socket is the path of the per-user socket.
func (e Env) Socket() string { return filepath.Join(e.RuntimeDir(), "router.sock") }

// Listen is the per-user socket as an endpoint without pin.
func (e Env) Listen() identity.Endpoint {
	return identity.Endpoint{Scheme: identity.SchemeUnix, Where: e.Socket()}
}

// DataDir is the directory for data of a router without configuration. It is
// empty if there is no home directory.
func (e Env) DataDir() string {
	switch {
	case e.State != "":
		return filepath.Join(e.State, "upsycle")
	case e.Home != "":
		return filepath.Join(e.Home, ".local", "state", "upsycle")
	}
	return ""
}

// AddrFile is the file beside a socket in which its router writes its address,
// upr1… and a line break: the pin for whoever dials the socket (spec §1.2). It is
// worth as much as the directory's owner and mode.
func AddrFile(socket string) string { return filepath.Join(filepath.Dir(socket), "router.addr") }
