package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/export-profile/export-profile/profile"
)

// openStore opens what --from names.
func (f *closureFlags) openStore(ctx context.Context, t terminal, say *speaker) (profile.Store, error) {
	if err := f.cacheFlags.check(); err != nil {
		return nil, err
	}
	image, ok, err := f.fromImage()
	if err != nil {
		return nil, err
	}
	if ok {
		return f.openImage(ctx, t.in, say, image)
	}
	store, err := f.open(ctx, t, say, &f.cacheFlags)
	return store, f.hintElsewhere(err)
}

// roots returns the named profiles or the default one. For an image, the default is every path that no other one refers to.
func (f *closureFlags) roots(ctx context.Context, store profile.Store, say *speaker) ([]profile.Path, error) {
	if image, ok := store.(*imageStore); ok && len(f.profiles) == 0 {
		return image.roots(ctx)
	}
	profiles, err := f.resolve(ctx, store)
	if err != nil {
		return nil, f.hintClosure(err)
	}
	roots := make([]profile.Path, len(profiles))
	for i, p := range profiles {
		roots[i] = p.Path
		say.debugf("profile %q is %s", p.Name, p.Path)
	}
	return roots, nil
}

// resolve resolves the named profiles, or the default one.
func (f *closureFlags) resolve(ctx context.Context, store profile.Store) ([]*profile.Profile, error) {
	names := f.profiles
	if len(names) == 0 && len(f.from) == 0 {
		name, err := defaultProfile(store.StoreDir())
		if err != nil {
			return nil, err
		}
		names = []string{name}
	}
	if len(names) == 0 {
		p, err := profile.Default(ctx, store)
		if _, lists := store.(profile.Lister); err != nil && !lists && hint(err) == "" {
			err = withHint(err, "name the profile with --profile, as in --profile %s/…-hello-1.0", store.StoreDir())
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
		if err != nil {
			return nil, hintProfile(err)
		}
		if !seen[p.Path] {
			profiles = append(profiles, p)
		}
		seen[p.Path] = true
	}
	return profiles, nil
}

// hintProfile adds a hint about the names of profiles.
func hintProfile(err error) error {
	var outside *profile.OutsideError
	switch {
	case hint(err) != "", errors.Is(err, profile.ErrUnlisted):
		return err
	case errors.Is(err, fs.ErrNotExist):
		return withHint(err, "name an existing link or a whole store path with --profile, or the store that has it with --from FILE")
	case errors.As(err, &outside) && outside.StoreDir() != "":
		return withHint(err, "say --store-dir %s if that is a store path", outside.StoreDir())
	case errors.Is(err, profile.ErrOutside):
		return withHint(err, "name a link to a store path, or a whole store path, with --profile")
	}
	return err
}
