package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/profile/scan"
	"github.com/export-profile/export-profile/profile/source"
)

// openedSource is a source of a store, with its form.
type openedSource struct {
	from string
	form source.Form
}

// hintOpen adds what to do about a source that cannot be opened, if its name shows what it is.
func (f *sourceFlags) hintOpen(ctx context.Context, err error) error {
	if errors.Is(err, localstore.ErrNoDatabase) && slices.ContainsFunc(f.from, func(from string) bool { return strings.Contains(from, "state=") }) {
		return withHint(err, "state=DIR names the directory with db/db.sqlite in it, such as /nix/var/nix or /var/guix")
	}
	if err == nil || hint(err) != "" {
		return err
	}
	var references *source.ReferencesError
	if errors.As(err, &references) {
		return withHint(err, "%s", f.hintReferences())
	}
	var dirs *source.StoreDirError
	if errors.As(err, &dirs) {
		switch {
		case dirs.Other == "--store-dir":
			return withHint(err, "say --store-dir %s, or leave the flag out", dirs.Dir)
		case strings.HasPrefix(dirs.Other, "?store="):
			return withHint(err, "say ?store=%s, or leave it out", dirs.Dir)
		case dirs.Other == "--references" && dirs.Dir.IsGuix():
			return withHint(err, "leave out --references: Guix writes none, and its store, streams and servers have them")
		case dirs.Other == "--references":
			return withHint(err, "write the references with the Nix of that store: nix path-info --json -r PROFILE > FILE")
		}
		return withHint(err, "an image has the store paths of one store directory: make an image of each")
	}
	var stores *profile.StoresError
	if errors.As(err, &stores) {
		return withHint(err, "say --store-dir %s or --store-dir %s", stores.Dirs[0], stores.Dirs[1])
	}
	var other *localstore.OtherDirError
	if errors.As(err, &other) {
		return withHint(err, "copy the store and its database from the same machine, or leave the database out")
	}
	for _, from := range f.from {
		switch {
		case profile.CheckBase(filepath.Base(from)) == nil && exists(from):
			return withHint(err, "it is a store path, and --from names a store: --from %s --profile %s", filepath.Dir(from), filepath.Base(from))
		case exists(filepath.Join(from, "registration")):
			return withHint(err, "it only describes a store: --references %s, and the store with --from", from)
		case exists(filepath.Join(from, "db/db.sqlite")):
			return withHint(err, "name the store, too: --from 'local?real=STORE&state=%s'", from)
		case source.OnlyNix(from):
			return withHint(err, "Nix can read it: nix-store --export $(nix-store -qR PROFILE) | export-profile … --from -")
		case exists(filepath.Join(from, ispec.ImageLayoutFile)):
			return hintImage(err, layoutPrefix+from)
		case isImageArchive(ctx, from):
			return hintImage(err, ociArchivePrefix+from)
		case slices.ContainsFunc(otherTransports, func(t string) bool { return strings.HasPrefix(from, t+":") || from == t }), isImageNearly(from):
			return withHint(err, "closure, why, ls, diff and sbom look into an image: %s", imageForms)
		}
	}
	var format *source.TarError
	if errors.As(err, &format) && format.IsImage {
		return withHint(err, "as a source of store paths, write a tar of the store: guix pack -f tarball, or nix-store -qR PROFILE | tar -czf FILE -T -")
	}
	if err := f.hintInside(err); hint(err) != "" {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		if f.references != "" && !exists(f.references) {
			return withHint(err, "%s", f.hintReferences())
		}
		return withHint(err, "--from names a store: a file, a directory or https://…; make a file with: %s", makeStream)
	}
	return err
}

// hintClosure adds what to do about a closure that the sources do not have whole or that is not trusted.
func (f *sourceFlags) hintClosure(err error) error {
	var closure *profile.ClosureError
	var hash *nar.HashError
	var place *scan.PlaceError
	switch {
	case errors.As(err, &place) && f.storeDir == "":
		return withHint(err, "say --store-dir %s if that is where the store paths belong", place.Dir)
	case errors.Is(err, profile.ErrUnlisted) && errors.As(err, &closure):
		return withHint(err, "%s lacks part of the closure, as if made without -r; %s", f.references, f.hintReferences())
	case errors.Is(err, profile.ErrUnlisted):
		return withHint(err, "%s is about other store paths; %s", f.references, f.hintReferences())
	case f.references != "" && errors.As(err, &hash) && hash.AppleDouble == "":
		return withHint(err, "copy the files and write %s at the same time: nix path-info --json -r PROFILE > %[1]s", f.references)
	case !errors.As(err, &closure) || len(closure.Missing)+len(closure.Lost) == 0:
		if f.requireSigs && errors.Is(err, profile.ErrUntrusted) {
			return withHint(err, "trust the signer's key with --trusted-public-key, or leave out --require-sigs")
		}
		return err
	case len(closure.Untrusted) > 0:
		return withHint(err, "%s, and trust the signer's key with --trusted-public-key", f.hintWhole(closure))
	}
	return withHint(err, "%s", f.hintWhole(closure))
}

// hintReferences says how to make a file of references.
func (f *sourceFlags) hintReferences() string {
	name := f.references
	if fi, err := os.Stat(name); err != nil || !fi.Mode().IsRegular() {
		name = "FILE"
	}
	return "write the references with: nix path-info --json -r PROFILE > " + name
}

// makeStream makes an export stream: with Nix, or with Guix.
const makeStream = "nix-store --export $(nix-store -qR PROFILE) > FILE, or guix archive --export -r PROFILE > FILE"

// likelyProfile returns the store path that is most likely a profile: one with the name that Guix or Nix gives them, or else the last.
func likelyProfile(paths []profile.Path) profile.Path {
	likely := paths[len(paths)-1]
	for _, p := range paths {
		if p.Name() == "profile" || p.Name() == "user-environment" {
			likely = p
		}
	}
	return likely
}

const addSource = "add a source that has the rest with another --from"

// hintWholeGuix is hintWhole for a store of Guix.
func hintWholeGuix(from string, form source.Form) string {
	switch form {
	case source.Machine:
		return "repair the store as root: guix gc --verify=contents,repair"
	case source.StoreDirectory:
		return fmt.Sprintf("copy the whole closure: cp -a $(guix gc -R PROFILE) %s, or %s", from, addSource)
	case source.ExportStream:
		return "export the whole closure of the profile: guix archive --export -r PROFILE"
	case source.Tar:
		return "put the whole closure into the tar: guix gc -R PROFILE | tar -czf FILE -T -"
	}
	return addSource
}

// hintWhole says how to get the whole closure of a profile into the only source.
func (f *sourceFlags) hintWhole(closure *profile.ClosureError) string {
	if len(f.opened) != 1 {
		return addSource
	}
	from, form := f.opened[0].from, f.opened[0].form
	if missing := slices.Concat(closure.Missing, closure.Lost); missing[0].Path.StoreDir().IsGuix() {
		return hintWholeGuix(from, form)
	}
	switch form {
	case source.Machine:
		return "repair the store as root: nix-store --verify --check-contents --repair"
	case source.CopiedStore:
		return fmt.Sprintf("copy the whole closure: nix copy --no-check-sigs --to %s PROFILE, or %s", from, addSource)
	case source.StoreDirectory:
		return fmt.Sprintf("copy the whole closure: cp -a $(nix-store -qR PROFILE) %s, or %s", from, addSource)
	case source.CacheDirectory:
		if abs, err := filepath.Abs(from); err == nil {
			from = abs
		}
		return fmt.Sprintf("copy the whole closure: nix copy --to file://%s PROFILE, or %s", from, addSource)
	case source.ExportStream:
		return "export the whole closure of the profile: nix-store --export $(nix-store -qR PROFILE)"
	case source.Tar:
		return "put the whole closure into the tar: nix-store -qR PROFILE | tar -czf FILE -T -"
	}
	return addSource + ", as in --from https://cache.nixos.org"
}

// hintRead says what to do about the files of a store path that a source lacks or has damaged, or "".
func hintRead(err error) string {
	var login *source.LoginError
	var file *source.NARError
	var hash *nar.HashError
	switch {
	case errors.As(err, &login) && login.Sent:
		return fmt.Sprintf("%s refuses the login: correct it in ~/.netrc, in the file of --netrc or in the URL", login.Host)
	case errors.As(err, &login):
		return fmt.Sprintf("name a file with a login with --netrc: machine %s login USER password PASSWORD", login.Host)
	case errors.Is(err, profile.ErrNoFiles):
		return "add a source that has it with another --from"
	case errors.As(err, &hash), errors.As(err, &file) && file.Damaged():
		return "copy the store path again, or add a source that has it whole with another --from"
	}
	return ""
}
