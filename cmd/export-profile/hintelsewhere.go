package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/source"
	"github.com/export-profile/export-profile/rootfs"
)

// hintElsewhere adds to say --store-dir if this machine has no store in /nix/store, but the profile leads to one elsewhere,
// or to name a store that has no database.
func (f *closureFlags) hintElsewhere(err error) error {
	if !errors.Is(err, localstore.ErrNoDatabase) || len(f.from) > 0 {
		return err
	}
	dirs := profile.KnownStoreDirs
	if dir, dirErr := f.dir(); dirErr == nil && dir != nil {
		dirs = []profile.StoreDir{*dir}
	}
	for _, dir := range dirs {
		if exists(dir.String()) && !exists(profile.StateDir(dir)+"/db/db.sqlite") {
			return withHint(err, "read the files of the store without its database: --from %s --profile PROFILE", dir)
		}
	}
	if f.storeDir != "" {
		return err
	}
	names := f.profiles
	if len(names) == 0 {
		if name, err := defaultProfile(profile.StoreDir{}); err == nil {
			names = []string{name}
		}
	}
	for _, name := range names {
		if dir := leadsTo(name); dir != "" {
			return withHint(err, "%q leads to a store path in %s: say --store-dir %[2]s", name, dir)
		}
	}
	return err
}

// leadsTo returns the store directory that a link leads to, or "".
func leadsTo(name string) string {
	const maxLinks = 40 // as Linux
	for range maxLinks {
		abs, err := filepath.Abs(name)
		if err != nil {
			return ""
		}
		if dir := (&profile.OutsideError{End: abs}).StoreDir(); dir != "" {
			return dir
		}
		target, err := os.Readlink(abs)
		if err != nil {
			return ""
		}
		if name = target; !filepath.IsAbs(target) {
			name = filepath.Join(filepath.Dir(abs), target)
		}
	}
	return ""
}

// hintInside adds to say --store-dir if a root directory has a store of Nix elsewhere than in nix/store.
func (f *sourceFlags) hintInside(err error) error {
	var not *source.NotStoreError
	if !errors.As(err, &not) || f.storeDir != "" {
		return err
	}
	for _, around := range []string{"*", "*/*", "home/*/*", "home/*/.local/*"} {
		const database = "/var/nix/db/db.sqlite"
		found, globErr := fs.Glob(os.DirFS(not.Source), around+database)
		if globErr != nil || len(found) == 0 {
			continue
		}
		place := strings.TrimSuffix(found[0], database) + "/store"
		if dir, dirErr := rootfs.ParseStoreDir("/" + place); dirErr == nil && exists(filepath.Join(not.Source, place)) {
			return withHint(err, "a store is in %s in it: say --store-dir %s if its store paths begin with that", place, dir)
		}
	}
	return err
}
