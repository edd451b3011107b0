package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/scan"
)

// openDirectory recognises and opens a store in a directory.
func openDirectory(ctx context.Context, dir string, o Options) (profile.Store, error) {
	var forbidden error
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrPermission) {
			forbidden = err
		}
		return err == nil
	}
	dirs, err := o.storesIn(dir)
	if err != nil {
		return nil, err
	}
	if len(dirs) > 0 {
		d := dirs[0]
		s, err := openAt(ctx, dir, d, o)
		if isOther(err, o) && d.Root() == nixDir+"/store" {
			if s, err := openNix(ctx, filepath.Join(dir, nixDir), o); s != nil || err != nil {
				return s, err
			}
		}
		return s, err
	}
	if has("nix-cache-info") {
		return openCache(ctx, dir, o)
	}
	if has(nixDir + "/store") {
		if s, err := openNix(ctx, filepath.Join(dir, nixDir), o); s != nil || err != nil {
			return s, err
		}
	}
	if s, err := openNix(ctx, dir, o); s != nil || err != nil {
		return s, err
	}
	if forbidden != nil {
		return nil, fmt.Errorf("open store: %w", forbidden)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range o.dirs() {
		if root, ok := strings.CutSuffix(abs, d.String()); ok {
			return openRoot(ctx, root+"/", o.in(d))
		}
	}
	names, err := readNames(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	o = o.at(abs)
	// Look for objects first: the name of an object may end in .narinfo, but no narinfo has the name of an object.
	switch {
	case slices.ContainsFunc(names, func(name string) bool { return profile.CheckBase(name) == nil }):
		o.opened(dir, StoreDirectory)
		s, err := localstore.OpenObjects(dir, localOptions(o))
		if err != nil {
			return nil, err
		}
		return withoutDatabase(dir, s, o)
	case slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".narinfo") }):
		return openCache(ctx, dir, o)
	}
	var places strings.Builder
	for _, d := range o.dirs() {
		places.WriteString(d.Root() + ", ")
	}
	return nil, &NotStoreError{dir, "a directory without " + places.String() + "nix-cache-info or store objects in it"}
}

// storesIn returns the store directories in a root directory. If there are several, those without objects do not count.
// Several with objects are an error, except in this machine's root directory.
func (o Options) storesIn(root string) (dirs []profile.StoreDir, err error) {
	for _, d := range o.dirs() {
		if _, err := os.Stat(filepath.Join(root, d.Root())); err == nil {
			dirs = append(dirs, d)
		}
	}
	if len(dirs) < 2 {
		return dirs, nil
	}
	full := slices.Clone(dirs)
	full = slices.DeleteFunc(full, func(d profile.StoreDir) bool { return !hasObjects(filepath.Join(root, d.Root())) })
	switch {
	case len(full) == 0:
		return dirs, nil
	case len(full) > 1 && root != "/":
		return nil, fmt.Errorf("open store %q: %w", root, &profile.StoresError{Dirs: full})
	}
	return full, nil
}

// in returns the options for a store in a directory that was found.
func (o Options) in(dir profile.StoreDir) Options {
	o.StoreDir = &dir
	return o
}

// at returns the options for a directory of store objects. If its real place is that of a store directory, it is that one.
func (o Options) at(dir string) Options {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return o
	}
	for _, d := range o.dirs() {
		if strings.HasSuffix(real, d.String()) {
			return o.in(d)
		}
	}
	return o
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// openMachine opens the store of a root directory that is said to have one, such as that of this machine.
func openMachine(ctx context.Context, root string, o Options) (profile.Store, error) {
	dirs, err := o.storesIn(root)
	if err != nil {
		return nil, err
	}
	if len(dirs) > 0 {
		return openRoot(ctx, root, o.in(dirs[0]))
	}
	if root != "/" {
		if s, err := openNix(ctx, filepath.Join(root, nixDir), o); s != nil || err != nil {
			return s, err
		}
	}
	return openRoot(ctx, root, o)
}

// openRoot opens the store of a root directory.
func openRoot(ctx context.Context, root string, o Options) (profile.Store, error) {
	return openPlace(ctx, root, localOptions(o), o)
}

// openPlace opens the store of a root directory, or of a copy of /nix if the local options say so.
func openPlace(ctx context.Context, root string, local localstore.Options, o Options) (profile.Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	form := CopiedStore
	if root == "/" {
		form = Machine
	}
	o.opened(root, form)
	s, err := localstore.Open(ctx, root, local)
	if err == nil || !errors.Is(err, localstore.ErrNoDatabase) {
		return s, err
	}
	// This machine's own store should have a database. Without it and without references,
	// report an error rather than scan what the user has not named.
	if root == "/" && o.References == "" && !o.named {
		return nil, err
	}
	if s, err = localstore.Open(ctx, root, localstore.Options{StoreDir: local.StoreDir, NoDatabase: true, Nix: local.Nix, Hash: o.hash, Note: o.Note}); err != nil {
		return nil, err
	}
	return withoutDatabase(root, s, o)
}

// withoutDatabase completes a store without metadata: it scans the files unless Options.References is set.
func withoutDatabase(from string, s *localstore.Store, o Options) (profile.Store, error) {
	if o.References != "" && o.hashed {
		return s, nil
	}
	names, err := s.Names()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	o.noteAppleNames(from, names)
	if o.References != "" {
		return s, nil
	}
	return scanned(from, s, scan.Candidates(s.StoreDir(), names, s.IsLock), o)
}

// scanned wraps a store so that references are found by scanning, and notes that.
func scanned(from string, s profile.Store, candidates []profile.Path, o Options) (profile.Store, error) {
	found, err := scan.Overlay(s, candidates, o.others)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.scanning != nil {
		o.scanning(from)
	}
	if o.Note != nil {
		o.Note("no database in " + from + ": scanning for references, which may find more than are registered")
	}
	return found, nil
}
