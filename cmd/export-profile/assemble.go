package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/nixdb"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/overlay"
)

// selection is what all commands have in common that look at a store: from a source to a closure.
type selection struct {
	sources
	cacheFlags
	profiles []string

	images *imageFlags // nil where --from cannot be a finished image
}

func (s *selection) flags(fs *pflag.FlagSet) {
	s.sources.flags(fs)
	fs.StringArrayVar(&s.profiles, "profile", nil, "take `NAME`: a profile or result link, a store path or its base name; repeatable")
}

// find opens the source, resolves the profiles and finds their closure. No file is read, but those of a finished image.
// The caller closes the store.
func (s *selection) find(ctx context.Context, t terminal, say *speaker) (_ *profile.Closure, _ profile.Store, err error) {
	if err := s.cacheFlags.check(); err != nil {
		return nil, nil, err
	}
	image, finished, err := s.image()
	if err != nil {
		return nil, nil, err
	}
	var store profile.Store
	if finished {
		store, err = s.openImage(ctx, t.in, say, image)
	} else {
		store, err = s.open(ctx, t, say, &s.cacheFlags)
	}
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	roots, err := s.roots(ctx, store, say)
	if err != nil {
		return nil, nil, err
	}
	closure, err := profile.FindClosure(ctx, store, roots...)
	if s.requireSigs && errors.Is(err, profile.ErrUntrusted) {
		err = withHint(err, "trust the key of whoever signs there with --trusted-public-key, or leave out --require-sigs")
	}
	if err != nil {
		return nil, nil, err
	}
	say.debugf("closure: %d store paths, %d bytes", len(closure.Infos), closure.Size())
	return closure, store, nil
}

// assembly is what rootfs and image have in common: from a source to all parts of a root filesystem.
type assembly struct {
	selection
	overlayFlags
	bare    bool
	user    string
	users   []string
	groups  []string
	caFiles []string
	nixDB   bool
	under   baseFlags
}

func (a *assembly) flags(fs *pflag.FlagSet) {
	a.selection.flags(fs)
	fs.StringVar(&a.user, "user", "", "run as `USER`: NAME:UID[:GID] with an account and a home, or UID[:GID], root or nobody")
	fs.StringArrayVar(&a.users, "add-user", nil, "add `ACCOUNT`, NAME:UID[:GID][:HOME[:SHELL]]; repeatable")
	fs.StringArrayVar(&a.groups, "add-group", nil, "add `GROUP`, NAME:GID[:MEMBER,…]; repeatable")
	a.overlayFlags.flags(fs)
	fs.StringArrayVar(&a.caFiles, "ca-file", nil, "trust the PEM certificates in `FILE`, too; repeatable")
	fs.BoolVar(&a.bare, "bare", false, "only the files that the original script makes: no /tmp, accounts or certificate links")
	fs.BoolVar(&a.nixDB, "with-nix-db", false, "add Nix's database of what is in the store, for a Nix that runs there")
	a.selection.cacheFlags.flags(fs)
}

// assembled is all that is written, before a byte of it is. The parts are those of top: the closure's, without what
// the base image has, and the base files. They are read when they are written, so that their store is open until Close.
type assembled struct {
	store   profile.Store
	closure *profile.Closure
	base    *rootfs.BaseFiles
	top     *overlay.Overlay
	under   *baseImage // nil without one
	user    rootfs.User
	arch    string // of the profiles' programs, or ""
}

// Close frees what reading the parts takes.
func (a *assembled) Close() error {
	var top error
	if a.top != nil {
		top = a.top.Close()
	}
	return errors.Join(top, a.under.Close(), a.store.Close())
}

// assemble opens the source, resolves the profiles, finds their closure, and makes the base files.
// Of a base image for several platforms, it takes the one that was asked for, or else that of the profiles.
func (a *assembly) assemble(ctx context.Context, t terminal, say *speaker, asked ispec.Platform) (_ *assembled, err error) {
	options, user, err := a.options()
	if err != nil {
		return nil, err
	}
	changes, err := a.overlayFlags.options()
	if err != nil {
		return nil, err
	}
	if a.nixDB && a.under.name != "" {
		return nil, usagef("", "--with-nix-db does not know the store paths of --base")
	}
	if readsStdin(changes) && slices.Contains(a.from, "-") {
		return nil, usagef("", "--add - and --from - both read standard input")
	}
	all := &assembled{user: user}
	if all.closure, all.store, err = a.find(ctx, t, say); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, all.Close())
		}
	}()
	for _, root := range all.closure.Roots {
		options.Profiles = append(options.Profiles, root.Root())
	}
	parts := all.closure.Parts(ctx)
	view := rootfs.NewView(parts, a.facts())
	if all.under, err = a.under.read(ctx, say, view, options.Profiles, asked, &a.cacheFlags); err != nil {
		return nil, err
	}
	options.Lower = all.under.lower()
	if all.base, err = rootfs.Base(view, options); err != nil {
		return nil, err
	}
	if a.nixDB {
		if err := addNixDB(all.base, all.closure); err != nil {
			return nil, err
		}
	}
	for _, note := range all.base.Notes {
		say.notef("%s", note)
	}
	arch, err := architecture(all.base, options.Profiles)
	if err != nil {
		return nil, err
	}
	all.arch = all.under.architecture(arch)
	changes.Lower = all.under.lower()
	if parts, err = all.under.without(parts, say); err != nil {
		return nil, err
	}
	if all.top, err = a.apply(ctx, t, say, &a.cacheFlags, append(parts, all.base.Part), view, changes); err != nil {
		return nil, err
	}
	return all, nil
}

// addNixDB adds the state that Nix keeps beside its store.
func addNixDB(base *rootfs.BaseFiles, closure *profile.Closure) error {
	files, err := nixdb.Files(closure)
	if err == nil {
		base.Part, err = rootfs.Extend(base.Part, files)
	}
	return err
}

// options reads what the flags name before anything long is begun.
func (a *assembly) options() (o rootfs.Options, user rootfs.User, err error) {
	o.Bare = a.bare
	if a.user != "" {
		if user, err = rootfs.ParseUser(a.user); err != nil {
			return o, user, usagef("as in --user app:1000", "--user: %v", err)
		}
		o.User = user
	}
	for _, word := range a.users {
		account, err := rootfs.ParseAccount(word)
		if err != nil {
			return o, user, usagef("", "--add-user: %v", err)
		}
		o.Users = append(o.Users, account)
	}
	for _, word := range a.groups {
		group, err := rootfs.ParseGroup(word)
		if err != nil {
			return o, user, usagef("", "--add-group: %v", err)
		}
		o.Groups = append(o.Groups, group)
	}
	if a.bare && len(o.Users)+len(o.Groups) > 0 {
		return o, user, usagef("", "--add-user and --add-group change files, and with --bare there are none but the script's")
	}
	if a.bare && len(a.caFiles) > 0 {
		return o, user, usagef("", "--ca-file adds a file, and with --bare there are none but the script's")
	}
	if a.bare && a.nixDB {
		return o, user, usagef("", "--with-nix-db adds files, and with --bare there are none but the script's")
	}
	for _, name := range a.caFiles {
		b, err := os.ReadFile(name)
		if err == nil {
			err = rootfs.CheckCertificates(b)
		}
		if err != nil {
			return o, user, fmt.Errorf("read certificates %q: %w", name, err)
		}
		o.CAFiles = append(o.CAFiles, b)
	}
	return o, user, nil
}

// roots are the profiles that were named, or the default one; of a finished image, all that nothing else refers to.
func (s *selection) roots(ctx context.Context, store profile.Store, say *speaker) ([]profile.Path, error) {
	if image, ok := store.(*imageStore); ok && len(s.profiles) == 0 {
		return image.roots(ctx)
	}
	profiles, err := s.resolve(ctx, store)
	if err != nil {
		return nil, err
	}
	roots := make([]profile.Path, len(profiles))
	for i, p := range profiles {
		roots[i] = p.Path
		say.debugf("profile %q is %s", p.Name, p.Path)
	}
	return roots, nil
}

// resolve finds the profiles that were named, or the default one.
func (s *selection) resolve(ctx context.Context, store profile.Store) ([]*profile.Profile, error) {
	names := s.profiles
	if len(names) == 0 && len(s.from) == 0 {
		name, err := defaultProfile()
		if err != nil {
			return nil, err
		}
		names = []string{name}
	}
	if len(names) == 0 {
		p, err := profile.Default(ctx, store)
		if _, lists := store.(profile.Lister); err != nil && !lists && hint(err) == "" {
			err = withHint(err, "name the profile with --profile, as in --profile /nix/store/…-hello-1.0")
		}
		if err != nil {
			return nil, err
		}
		return []*profile.Profile{p}, nil
	}
	var profiles []*profile.Profile
	seen := make(map[profile.Path]bool)
	for _, name := range names {
		p, err := profile.Resolve(ctx, store, name)
		if errors.Is(err, fs.ErrNotExist) && hint(err) == "" {
			err = withHint(err, "name a profile that is there with --profile NAME, or say with --from FILE where the store is that has it")
		}
		if err != nil {
			return nil, err
		}
		if !seen[p.Path] {
			profiles = append(profiles, p)
		}
		seen[p.Path] = true
	}
	return profiles, nil
}

// noProfileError says where a profile of this user was looked for.
type noProfileError struct{ tried []string }

func (e *noProfileError) Error() string {
	return fmt.Sprintf("find profile: none of %q exists", e.tried)
}

func (e *noProfileError) Unwrap() error { return fs.ErrNotExist }

// defaultProfile is the first of the links that Nix may have made for this user.
// One that dangles is taken, too: to pass over it would export another profile than the user's.
func defaultProfile() (string, error) {
	if p := os.Getenv("NIX_PROFILE"); p != "" {
		return p, nil
	}
	var tried []string
	if home, err := os.UserHomeDir(); err == nil {
		tried = append(tried, filepath.Join(home, ".nix-profile"))
	}
	state := os.Getenv("NIX_STATE_HOME")
	if state == "" {
		if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
			state = filepath.Join(dir, "nix")
		} else if home, err := os.UserHomeDir(); err == nil {
			state = filepath.Join(home, ".local/state/nix")
		}
	}
	if state != "" {
		tried = append(tried, filepath.Join(state, "profile"), filepath.Join(state, "profiles/profile"))
	}
	if user := os.Getenv("USER"); user != "" && filepath.IsLocal(user) {
		tried = append(tried, filepath.Join("/nix/var/nix/profiles/per-user", user, "profile"))
	}
	tried = append(tried, "/nix/var/nix/profiles/default")
	for _, name := range tried {
		if _, err := os.Lstat(name); err == nil {
			return name, nil
		}
	}
	return "", &noProfileError{tried}
}

// architecture is the one that the programs of all profiles are for.
func architecture(base *rootfs.BaseFiles, profiles []string) (string, error) {
	arch, of := "", ""
	for i, p := range profiles {
		switch a := base.Architectures[i]; {
		case a == "" || a == arch:
		case arch == "":
			arch, of = a, p
		default:
			return "", fmt.Errorf("profiles of two architectures: %q is for %s, %q for %s", of, arch, p, a)
		}
	}
	return arch, nil
}
