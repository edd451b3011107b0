// Package source tells the forms of a store apart, by looking and never by a file's name.
//
//	""            the store of this machine
//	-             an export stream on standard input
//	a file        an export stream (nix-store --export); also a pipe or socket with a name
//	a directory   with nix/store in it: a relocated store
//
// What is recognised but not supported is refused by its name.
package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/exportstore"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/references"
)

// Options say how a source is read. The zero value is right.
type Options struct {
	// Stdin is what "-" stands for.
	Stdin *os.File
	// TempDir is where a stream that cannot be read twice is kept meanwhile, by default os.TempDir.
	TempDir string
	// References is a file that says what the objects' hashes and references are,
	// for a source that does not, or in place of what it says.
	References string
	// Verify checks the NAR hashes of this machine's store, too.
	Verify bool
	// Progress is called with the bytes of a stream read since the last call.
	Progress func(bytes int64)
}

// NotStoreError says what a source is instead of a form of a store that is supported.
type NotStoreError struct {
	Source, Is string
}

func (e *NotStoreError) Error() string {
	return fmt.Sprintf("open store %q: it is %s", e.Source, e.Is)
}

// Open opens the store that a source is. The error wraps fs.ErrNotExist if there is nothing.
func Open(ctx context.Context, from string, o Options) (profile.Store, error) {
	var infos []*profile.Info
	if o.References != "" {
		var err error
		if infos, err = readReferences(o.References); err != nil {
			return nil, err
		}
	}
	s, err := open(ctx, from, o)
	if err != nil || o.References == "" {
		return s, err
	}
	return references.Overlay(s, infos), nil
}

func open(ctx context.Context, from string, o Options) (profile.Store, error) {
	switch {
	case from == "":
		return openLocal(ctx, "/", o)
	case from == "-":
		return openExport(ctx, o.Stdin, o)
	case strings.HasPrefix(from, "http://"), strings.HasPrefix(from, "https://"):
		return nil, &NotStoreError{from, "a binary cache, which is not supported"}
	}
	fi, err := os.Stat(from)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if !fi.IsDir() {
		f, err := os.Open(from)
		if err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
		s, err := openExport(ctx, f, o)
		if err != nil {
			f.Close()
		}
		return s, err
	}
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(from, name))
		return err == nil
	}
	switch {
	case has("nix/store"):
		return openLocal(ctx, from, o)
	case has("nix-cache-info"):
		return nil, &NotStoreError{from, "a binary cache, which is not supported"}
	case strings.HasSuffix(filepath.Clean(from), "/nix/store"):
		return nil, &NotStoreError{from, "a store directory; name the directory that nix/store lies in"}
	}
	return nil, &NotStoreError{from, "a directory without nix/store in it"}
}

func openLocal(ctx context.Context, root string, o Options) (profile.Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	s, err := localstore.Open(ctx, root, localstore.Options{Verify: o.Verify, TempDir: o.TempDir})
	if errors.Is(err, localstore.ErrNoDatabase) && o.References != "" {
		return localstore.Open(ctx, root, localstore.Options{NoDatabase: true})
	}
	return s, err
}

func openExport(ctx context.Context, f *os.File, o Options) (profile.Store, error) {
	if f == nil {
		return nil, fmt.Errorf("open store: standard input: %w", fs.ErrInvalid)
	}
	return exportstore.Open(ctx, f, exportstore.Options{SpoolDir: o.TempDir, Progress: o.Progress})
}

func readReferences(name string) ([]*profile.Info, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read references: %w", err)
	}
	defer f.Close()
	infos, err := references.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("read references %q: %w", name, err)
	}
	return infos, nil
}
