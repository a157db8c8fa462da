package main

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"upsycle"
	"upsycle/identity"
	"upsycle/internal/safefile"
)

// A keyring is the directory with this user's keys: service.pem, the service that
// send and recv speak as, and one directory for each group by its local name:
//
//	groups/NAME/address      the group's text key, no secret
//	groups/NAME/group.pem    the group's own key, where this user made the group
//	groups/NAME/writer.pem   this device's writer key
//	groups/NAME/writer.cert  its certificate, in hexadecimal
//
// Beside them lies known/, the keys of routers that were trusted at first use.
type keyring struct{ dir string }

const (
	certificateLife  = 90 * 24 * time.Hour // spec §4.3 allows 400 days
	certificateRenew = 30 * 24 * time.Hour // renewed when less than this is left
)

// openKeyring finds the key ring: $UPSYCLE_KEYS, else the user's configuration
// directory. It is made when something is first written to it.
func openKeyring() (keyring, error) {
	if dir := os.Getenv("UPSYCLE_KEYS"); dir != "" {
		return keyring{dir}, nil
	}
	base, err := os.UserConfigDir()
	if err != nil {
		return keyring{}, hinted("there is no place for a key ring: neither HOME nor XDG_CONFIG_HOME is set", "set UPSYCLE_KEYS to a directory of your own")
	}
	return keyring{filepath.Join(base, "upsycle")}, nil
}

// service returns the key ring's service key, made at first use.
func (k keyring) service() (identity.Key, error) {
	path := filepath.Join(k.dir, "service.pem")
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	return k.newKey(path)
}

// newKey makes a key file and the directory that it lies in.
func (k keyring) newKey(path string) (identity.Key, error) {
	if err := safefile.EnsureDir(filepath.Dir(path)); err != nil {
		return identity.Key{}, err
	}
	key, err := identity.GenerateKey(rand.Reader)
	if err != nil {
		return identity.Key{}, err
	}
	return key, safefile.Write(path, identity.MarshalPEM(key))
}

// readKey reads a key file; errors say which file and what to type.
func readKey(path string) (identity.Key, error) {
	b, err := safefile.Read(path)
	if err != nil {
		return identity.Key{}, err
	}
	key, err := identity.ParsePEM(b)
	if err != nil {
		return identity.Key{}, hinted(path+": "+err.Error(), hintOf(err, "make a new key with: upsycle key new --role service --out FILE"))
	}
	return key, nil
}

// groupName is what a group may be called here: a directory's name on any system,
// and shorter than any text key.
var groupName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// groupDir is where the files of a group lie. name has passed groupName, or comes
// from the directory itself.
func (k keyring) groupDir(name string) string { return filepath.Join(k.dir, "groups", name) }

// newGroup makes a group with this device as its first writer.
func (k keyring) newGroup(name string) (identity.Address, error) {
	if !groupName.MatchString(name) {
		return identity.Address{}, hinted("\""+name+"\" is no name for a group", "use 1 to 32 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit")
	}
	taken := hinted("there is a group \""+name+"\" already", "show it with: upsycle group show "+name)
	if _, err := os.Lstat(k.groupDir(name)); err == nil {
		return identity.Address{}, taken
	}
	// Made elsewhere and moved into its place whole: a group without its key would
	// be of no use to anybody.
	next := filepath.Join(k.dir, "groups", "."+rand.Text())
	defer os.RemoveAll(next)
	group, err := k.newKey(filepath.Join(next, "group.pem"))
	if err != nil {
		return identity.Address{}, err
	}
	writer, err := k.newKey(filepath.Join(next, "writer.pem"))
	if err != nil {
		return identity.Address{}, err
	}
	if err := certify(next, group, writer.Address()); err != nil {
		return identity.Address{}, err
	}
	text := group.Address().Text(identity.GroupText)
	if err := safefile.Write(filepath.Join(next, "address"), []byte(text+"\n")); err != nil {
		return identity.Address{}, err
	}
	if err := os.Rename(next, k.groupDir(name)); errors.Is(err, fs.ErrExist) {
		return identity.Address{}, taken
	} else if err != nil {
		return identity.Address{}, err
	}
	return group.Address(), nil
}

// certify writes a certificate for writer, signed by the group, into a group's
// directory.
func certify(dir string, group identity.Key, writer identity.Address) error {
	cert, err := upsycle.IssueWriter(group, writer, time.Now().Add(certificateLife))
	if err != nil {
		return err
	}
	return safefile.Replace(filepath.Join(dir, "writer.cert"), []byte(hex.EncodeToString(cert)+"\n"))
}

// groups returns the names of the groups in the ring, in order.
func (k keyring) groups() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(k.dir, "groups"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !groupName.MatchString(e.Name()) {
			continue // half made, or none of ours
		}
		if _, err := k.groupAddress(e.Name()); err == nil {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// groupAddress returns the address of a group in the ring.
func (k keyring) groupAddress(name string) (identity.Address, error) {
	b, err := os.ReadFile(filepath.Join(k.groupDir(name), "address"))
	if err != nil {
		return identity.Address{}, err
	}
	return identity.ParseAddressAs(strings.TrimSpace(string(b)), identity.GroupText)
}

// group finds the group that a user names: a name from the ring, or a text key.
func (k keyring) group(arg string) (name string, a identity.Address, err error) {
	if groupName.MatchString(arg) {
		if a, err := k.groupAddress(arg); err == nil {
			return arg, a, nil
		}
	}
	a, err = identity.ParseAddressAs(arg, identity.GroupText)
	if err != nil {
		if len(arg) < 40 {
			return "", a, hinted("there is no group \""+arg+"\" in the key ring", "list them with: upsycle group list, or give the group's key (upg1…)")
		}
		return "", a, err
	}
	names, err := k.groups()
	if err != nil {
		return "", a, err
	}
	for _, n := range names {
		if other, err := k.groupAddress(n); err == nil && other == a {
			return n, a, nil
		}
	}
	return "", a, nil
}

// handle returns how this user signs in a group: as its writer, else with the
// group's own key, else not at all.
func (k keyring) handle(name string, a identity.Address) (upsycle.Group, error) {
	if name == "" {
		return upsycle.ReadGroup(a), nil
	}
	dir := k.groupDir(name)
	group, groupErr := readKey(filepath.Join(dir, "group.pem"))
	if groupErr != nil && !errors.Is(groupErr, fs.ErrNotExist) {
		return upsycle.Group{}, groupErr
	}
	if groupErr == nil && group.Address() != a {
		return upsycle.Group{}, hinted(filepath.Join(dir, "group.pem")+" is not the key of the group \""+name+"\"", "the file was replaced; restore it or make a new group")
	}
	writer, err := readKey(filepath.Join(dir, "writer.pem"))
	switch {
	case errors.Is(err, fs.ErrNotExist) && groupErr == nil:
		return upsycle.GroupKey(group), nil
	case errors.Is(err, fs.ErrNotExist):
		return upsycle.ReadGroup(a), nil
	case err != nil:
		return upsycle.Group{}, err
	}
	if groupErr == nil {
		if err := k.renew(name, group, writer.Address()); err != nil {
			return upsycle.Group{}, err
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "writer.cert"))
	if err != nil {
		return upsycle.Group{}, hinted("the writer's certificate of \""+name+"\" cannot be read: "+err.Error(), "ask the group's owner for a new one")
	}
	cert, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil {
		return upsycle.Group{}, hinted("the writer's certificate of \""+name+"\" is damaged", "ask the group's owner for a new one")
	}
	return upsycle.WriterOf(a, writer, cert)
}

// renew makes a new certificate when the old one is close to its end, as long as
// the group's own key is in the ring.
func (k keyring) renew(name string, group identity.Key, writer identity.Address) error {
	info, err := os.Stat(filepath.Join(k.groupDir(name), "writer.cert"))
	if err == nil && time.Since(info.ModTime()) < certificateLife-certificateRenew {
		return nil
	}
	return certify(k.groupDir(name), group, writer)
}
