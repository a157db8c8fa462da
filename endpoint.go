package upsycle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"upsycle/identity"
	"upsycle/internal/safefile"
)

// EndpointVariable names the environment variable that says which router a
// program attaches to when it was not told.
const EndpointVariable = "UPSYCLE_ROUTER"

// The files of the router of one user on one machine, in userDir. The package
// config has the same rule for the router's side; neither may import the other.
const (
	socketFile  = "router.sock"
	addressFile = "router.addr" // the router's address: the pin of its socket
)

// DefaultEndpoint returns the endpoint that Dial takes for "": the text in
// $UPSYCLE_ROUTER; or the socket of this user's router, which lies in
// $XDG_RUNTIME_DIR/upsycle, or where that is not set in /tmp/upsycle-UID, with the
// router's address in a file beside it. Only this user may enter that directory,
// so whoever wrote the address may be trusted (spec §1.2). The error is a
// *DialError.
func DefaultEndpoint() (string, error) {
	if text := os.Getenv(EndpointVariable); text != "" {
		return text, nil
	}
	dir := userDir()
	if _, err := os.Lstat(dir); err == nil {
		if err := safefile.EnsureDir(dir); err != nil {
			return "", &DialError{text: err.Error(), hint: Hint(err), cause: err}
		}
	}
	text, err := safefile.Read(filepath.Join(dir, addressFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &DialError{
			text: "no router of this user runs on this machine", cause: err,
			hint: "Start one (upsycle run), or say which router to use in $" + EndpointVariable + ".",
		}
	case err != nil:
		return "", &DialError{text: err.Error(), hint: Hint(err), cause: err}
	}
	ep := "unix://" + filepath.Join(dir, socketFile) + "#" + strings.TrimSpace(string(text))
	return ep, nil
}

// userDir is the directory of this user's router.
func userDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "upsycle")
	}
	return fmt.Sprintf("/tmp/upsycle-%d", os.Geteuid())
}

// resolve reads an endpoint's text; "" is the default one.
func resolve(text string) (identity.Endpoint, error) {
	where := ""
	if text == "" {
		var err error
		if text, err = DefaultEndpoint(); err != nil {
			return identity.Endpoint{}, err
		}
		where = fmt.Sprintf(" (from $%s or the user's router)", EndpointVariable)
	}
	ep, err := identity.ParseEndpoint(text)
	if err != nil {
		return ep, &DialError{text: err.Error() + where, hint: Hint(err), cause: err}
	}
	return ep, nil
}
