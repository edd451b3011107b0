package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
)

// findStores opens the stores of the machine. Without --store-dir, image reads the first that has store objects,
// and doctor the first that can be read.
func (d *doctor) findStores(ctx context.Context) {
	d.Container = exists(filepath.Join(d.root, ".dockerenv")) || exists(filepath.Join(d.root, "run/.containerenv"))
	chosen := false
	for _, dir := range profile.KnownStoreDirs {
		place := filepath.Join(d.root, dir.String())
		if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if !chosen && slices.ContainsFunc(namesIn(place), func(name string) bool { return profile.CheckBase(name) == nil }) {
			d.byDefault, chosen = dir, true
		}
		found := foundStore{Dir: dir.String(), Manager: "Nix"}
		if dir.IsGuix() {
			found.Manager = "Guix"
		}
		s, err := localstore.Open(ctx, d.root, localstore.Options{StoreDir: dir})
		if err != nil {
			d.storeProblem(dir, place, err)
			d.Stores = append(d.Stores, found)
			continue
		}
		paths, _ := s.Paths(ctx) // fails only if ctx is done
		found.Paths = len(paths)
		if found.Usable = found.Paths > 0; !found.Usable {
			d.problem(aboutStore, "install a package, or name another store with --from", "the database of %s has no store paths", dir)
		}
		d.Stores = append(d.Stores, found)
		if found.Usable && d.store == nil {
			d.store = s
			continue
		}
		_ = s.Close()
	}
}

// storeProblem says why the store in a directory cannot be read.
func (d *doctor) storeProblem(dir profile.StoreDir, place string, err error) {
	var hint string
	switch {
	case errors.Is(err, localstore.ErrNoDatabase):
		hint = "read its files without the database: export-profile image --from " + shellWord(place) + " --profile PROFILE oci:hello:v1"
	case errors.Is(err, fs.ErrPermission):
		hint = "let this user read it, or export it as another user: " + exportFrom(dir)
	case dir.IsGuix():
		hint = "see whether Guix can read it: guix gc --verify"
	default:
		hint = "see whether Nix can read it: nix-store --verify"
	}
	d.problem(aboutStore, hint, "%v", err)
}

// exportFrom returns a command that writes an export stream of a store.
func exportFrom(dir profile.StoreDir) string {
	if dir.IsGuix() {
		return "guix archive --export -r $(readlink -f ~/.guix-profile) > hello.export"
	}
	return "nix-store --export $(nix-store -qR ./result) > hello.export"
}

// storeDir returns the store directory whose profiles image looks for.
func (d *doctor) storeDir() (dir profile.StoreDir) {
	if d.store != nil {
		return d.store.StoreDir()
	}
	for _, s := range d.Stores {
		if s.Manager == "Guix" && len(d.Stores) == 1 {
			return profile.KnownStoreDirs[1]
		}
	}
	return dir
}

// findProfile finds the profile that image takes without --profile.
func (d *doctor) findProfile(ctx context.Context) {
	name, err := defaultProfile(d.storeDir())
	if err != nil {
		return // image says so, and what is in the working directory may do
	}
	found := d.resolve(ctx, name)
	d.Profile = &found
}
