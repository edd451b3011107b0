package source

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/binarycache"
	"github.com/export-profile/export-profile/profile/localstore"
)

// This file opens stores that are not in nix/store below a root: a volume for /nix, its store or its state directory,
// and Nix's own names of such stores.

// openNix opens a copy of /nix, given as the directory itself, as its store with a database beside it, or as its state directory.
// It returns nil for other directories.
func openNix(ctx context.Context, dir string, o Options) (profile.Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	has := func(name ...string) bool {
		_, err := os.Stat(filepath.Join(append([]string{dir}, name...)...))
		return err == nil
	}
	const database = "db/db.sqlite"
	for _, d := range o.dirs() { // Guix's state directory is not beside its store
		root, ok := strings.CutSuffix(dir, profile.StateDir(d))
		if _, err := os.Stat(root + d.String()); ok && err == nil && d.IsGuix() && has(database) {
			return openRoot(ctx, root+"/", o.in(d))
		}
	}
	switch {
	case has("store") && (has("var/nix", database) || hasObjects(filepath.Join(dir, "store"))):
	case filepath.Base(dir) == "store" && has("../var/nix", database):
		dir = filepath.Dir(dir)
	case has(database) && has("../../store"):
		dir = filepath.Join(dir, "../..")
	case has(database):
		return nil, &NotStoreError{dir, "Nix's state directory, without a store"}
	default:
		return nil, nil
	}
	// If the directory has the name of one around a store directory, such as nix, its parent is a root, which may have profiles, too.
	for _, d := range o.dirs() {
		if root, ok := strings.CutSuffix(dir, filepath.Dir(d.String())); ok {
			fi, err := os.Lstat(dir)
			if err != nil || !fi.IsDir() {
				continue
			}
			s, err := openAt(ctx, root+"/", d, o)
			if isOther(err, o) {
				break // as /opt/nix is, if its store directory is /opt/nix/store
			}
			return s, err
		}
	}
	o = o.at(filepath.Join(dir, "store"))
	local := localOptions(o)
	local.Nix = true
	return openPlace(ctx, dir, local, o)
}

// nixDir is where Nix puts its files below another root, whatever its store directory is.
const nixDir = "nix"

// openAt opens the store of a root directory at the place of a store directory.
// If isOther reports its error, the source may be opened otherwise.
func openAt(ctx context.Context, root string, d profile.StoreDir, o Options) (profile.Store, error) {
	in, opened := o.in(d), func() {}
	in.Opened = func(from string, f Form) { opened = func() { o.opened(from, f) } }
	s, err := openRoot(ctx, root, in)
	if !isOther(err, o) {
		opened()
	}
	return s, err
}

// isOther reports whether a database is of another store directory than that of its place, and the options do not say which.
func isOther(err error, o Options) bool {
	var other *localstore.OtherDirError
	return o.StoreDir == nil && errors.As(err, &other)
}

// hasObjects reports whether a directory has files with the names of store objects.
func hasObjects(dir string) bool {
	names, err := readNames(dir)
	return err == nil && slices.ContainsFunc(names, func(name string) bool { return profile.CheckBase(name) == nil })
}

// isLocal reports whether a source has Nix's name for a store on this machine: local, with settings after a question mark.
func isLocal(from string) (settings string, ok bool) {
	name, settings, _ := strings.Cut(from, "?")
	return settings, name == "local" || name == "local://"
}

// openLocal opens a store by the settings of Nix: root, real (the store directory) and state (the state directory).
func openLocal(ctx context.Context, settings string, o Options) (profile.Store, error) {
	values, err := url.ParseQuery(settings)
	if err != nil {
		return nil, errors.New("open store: the settings after local? are not valid")
	}
	root, real, state := values.Get("root"), values.Get("real"), values.Get("state")
	for _, name := range []string{"root", "real", "state", "log", "read-only", "require-sigs"} {
		values.Del(name)
	}
	dir, err := binarycache.ParseSettings(values.Encode())
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", "local?"+settings, err)
	}
	if dir != nil && o.StoreDir == nil {
		o = o.in(*dir)
	}
	if root == "" {
		root = "/"
	}
	if real == "" && state == "" {
		return openMachine(ctx, root, o)
	}
	if real != "" {
		o = o.at(real)
	}
	if real == "" {
		real = filepath.Join(root, o.dirs()[0].String())
	}
	if state == "" {
		state = filepath.Join(root, profile.StateDir(o.dirs()[0]))
	}
	o.opened(real, StoreDirectory)
	s, err := localstore.OpenParts(ctx, real, state, localOptions(o))
	if err == nil && dir != nil && s.StoreDir() != *dir {
		err = errors.Join(&StoreDirError{"local?" + settings, s.StoreDir(), "?store=" + dir.String(), *dir}, s.Close())
	}
	return asStore(s, err)
}

// asStore avoids a nil pointer in an interface.
func asStore(s *localstore.Store, err error) (profile.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
