package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/binarycache"
)

// openOne recognises and opens one source.
func openOne(ctx context.Context, from string, o Options) (profile.Store, error) {
	o.named = from != ""
	switch {
	case from == "":
		return openMachine(ctx, "/", o)
	case from == "-":
		if o.Stdin == nil {
			return nil, fmt.Errorf("open store: standard input: %w", os.ErrInvalid)
		}
		return openFile(ctx, o.Stdin, o)
	case binarycache.IsURL(from):
		return openCache(ctx, from, o)
	}
	if scheme, path, ok := strings.Cut(from, "://"); ok && strings.EqualFold(scheme, "file") { // as in nix copy --to file://DIR?OPTIONS
		dir, settings, _ := strings.Cut(path, "?")
		said, err := binarycache.ParseSettings(settings)
		if err != nil {
			return nil, fmt.Errorf("open binary cache %q: %w", dir, err)
		}
		if from = dir; said != nil {
			return openSaid(ctx, from, *said, o)
		}
	}
	return openFileOrDirectory(ctx, from, o)
}

// openSaid opens a source whose name says its store directory. It is an error if the source has another one.
func openSaid(ctx context.Context, from string, said profile.StoreDir, o Options) (profile.Store, error) {
	if o.StoreDir == nil {
		o = o.in(said)
	}
	s, err := openFileOrDirectory(ctx, from, o)
	if err == nil && s.StoreDir() != said {
		return nil, errors.Join(&StoreDirError{from, s.StoreDir(), "?store=" + said.String(), said}, s.Close())
	}
	return s, err
}

// openFileOrDirectory recognises and opens a source that is not a server.
func openFileOrDirectory(ctx context.Context, from string, o Options) (profile.Store, error) {
	fi, err := os.Stat(from)
	if settings, ok := isLocal(from); ok && err != nil {
		return openLocal(ctx, settings, o)
	}
	if err != nil && OnlyNix(from) {
		return nil, &NotStoreError{from, "a store that only Nix can read"}
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if fi.IsDir() {
		return openDirectory(ctx, from, o)
	}
	f, err := os.Open(from)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := openFile(ctx, f, o)
	if err != nil {
		f.Close()
	}
	return s, err
}

func openCache(ctx context.Context, from string, o Options) (profile.Store, error) {
	form := CacheDirectory
	if binarycache.IsURL(from) {
		form = CacheServer
	}
	o.opened(from, form)
	return binarycache.Open(ctx, from, binarycache.Options{
		SpoolDir: o.SpoolDir,
		Progress: o.Progress,
		Workers:  o.workers,
		CacheDir: o.NarInfoDir,
		Netrc:    o.Netrc,
		Proxy:    o.Proxy,
		Retrying: o.Retrying,
	})
}
