package main

import (
	"context"
	"io/fs"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// noStore is the store of --no-profile, which has no objects. The store directory is that of the base image, if there is one.
type noStore struct{}

func (noStore) StoreDir() profile.StoreDir { return profile.StoreDir{} }

func (noStore) Info(context.Context, profile.Path) (*profile.Info, error) {
	return nil, fs.ErrNotExist
}

func (noStore) Files(context.Context, profile.Path) rootfs.Tree {
	return func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, fs.ErrNotExist) }
}

func (noStore) Close() error { return nil }

// findNothing returns the closure of --no-profile.
func findNothing(ctx context.Context) (*profile.Closure, profile.Store, error) {
	closure, err := profile.FindClosure(ctx, noStore{})
	return closure, noStore{}, err
}

// checkNoProfile refuses flags that are about a profile if there is none.
func (f *assemblyFlags) checkNoProfile() error {
	if !f.noProfile {
		return nil
	}
	for _, other := range []struct {
		flag  string
		given bool
	}{
		{"--profile", len(f.profiles) > 0},
		{"--from", len(f.from) > 0},
		{"--references", f.references != ""},
		{"--store-dir", f.storeDir != ""},
		{"--verify-store", f.verify},
		{"--require-sigs", f.requireSigs},
		{"--no-check-sigs", f.noCheckSigs},
		{"--trusted-public-key", len(f.trusted) > 0},
		{"--with-nix-db", f.nixDB},
		{"--sbom-in-image", f.sbom.word != ""},
		{"--metadata", len(f.metadataFiles) > 0},
	} {
		if other.given {
			return inChapter("no-packages", usagef("leave out one of them", "%s is about a profile, and --no-profile makes an image without one", other.flag))
		}
	}
	if len(f.changes) == 0 && f.base.name == "" {
		return inChapter("no-packages", usagef("as in --no-profile --add ./server:/bin/server", "--no-profile: nothing is added"))
	}
	return nil
}
