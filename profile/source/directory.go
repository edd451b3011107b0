package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/scan"
)

// openDirectory opens whatever form of a store a directory is.
func openDirectory(ctx context.Context, dir string, o Options) (profile.Store, error) {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	if has("nix/store") {
		return openRoot(ctx, dir, o)
	}
	if has("nix-cache-info") {
		return openCache(ctx, dir, o)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if root, ok := strings.CutSuffix(abs, profile.StoreDir); ok {
		return openRoot(ctx, root+"/", o)
	}
	names, err := readNames(dir)
	if err != nil {
		return nil, err
	}
	// In whatever order they are read: an object may be called like a .narinfo, but none of these like an object.
	switch {
	case slices.ContainsFunc(names, func(name string) bool { return profile.CheckBase(name) == nil }):
		s, err := localstore.OpenObjects(dir)
		if err != nil {
			return nil, err
		}
		return withoutDatabase(dir, s, o)
	case slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, ".narinfo") }):
		return openCache(ctx, dir, o)
	}
	return nil, &NotStoreError{dir, "a directory without nix/store, nix-cache-info or store objects in it"}
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// openRoot opens the store of a root directory.
func openRoot(ctx context.Context, root string, o Options) (profile.Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	s, err := localstore.Open(ctx, root, localOptions(o))
	if err == nil || !errors.Is(err, localstore.ErrNoDatabase) {
		return s, err
	}
	// Nix's own store without a database is no copy of one: without word of the references,
	// it is better to say so than to read all of it.
	if root == "/" && o.References == "" {
		return nil, err
	}
	if s, err = localstore.Open(ctx, root, localstore.Options{NoDatabase: true}); err != nil {
		return nil, err
	}
	return withoutDatabase(root, s, o)
}

// withoutDatabase is a store of files alone: with references, they say the rest; else it is scanned.
func withoutDatabase(from string, s *localstore.Store, o Options) (profile.Store, error) {
	if o.References != "" {
		return s, nil
	}
	names, err := s.Names()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return scanned(from, s, scan.Candidates(names, s.IsLock), o)
}

// scanned is a store whose references are found by scanning, and says so.
func scanned(from string, s profile.Store, candidates []profile.Path, o Options) (profile.Store, error) {
	found, err := scan.Overlay(s, candidates)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.Note != nil {
		o.Note("there is no database in " + from + ": references are found by scanning, which can find more than Nix registered")
	}
	return found, nil
}
