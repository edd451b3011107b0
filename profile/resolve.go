package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// Profile is a resolved name. The next install may change the link, but never the store object.
type Profile struct {
	Name string // as given to Resolve
	Path Path   // the store object it leads to
}

// ErrOutside reports a name that leads to no store object.
var ErrOutside = errors.New("leads out of the store")

// OutsideError is an ErrOutside about a name that leads to an existing file.
type OutsideError struct{ End string }

func (e *OutsideError) Error() string { return fmt.Sprintf("%v: it ends at %q", ErrOutside, e.End) }
func (e *OutsideError) Unwrap() error { return ErrOutside }

// StoreDir returns the store directory of the end if that is in an object of another store directory, or else "".
func (e *OutsideError) StoreDir() string {
	for i, c := range e.End + "/" {
		if c == '/' {
			if p, err := ParsePath(e.End[:i]); err == nil {
				return p.StoreDir().String()
			}
		}
	}
	return ""
}

// Resolve finds the store object that a name leads to. The name may be a store path, the path of a file inside one,
// the base name of a store path, or a link such as ~/.nix-profile or the result link of a build.
//
// Resolve follows links as the kernel does, until the name or a link is written as a path in the store.
// The rest of that path does not count, even if the object is itself a link. Nix does the same (Store::followLinksToStore):
// /nix/store/X/sw is X, but /run/current-system/sw, which lies in X too, is the object that the link sw names.
// Nix refuses a file below a link that is no link itself; Resolve returns the object that it lies in.
//
// If the store is a [Linker], names below /nix (see [OwnDirs]) and below the store's root belong to its file system,
// and all others to this machine's. An object that is not there has its links in the store.
//
// The error wraps fs.ErrNotExist if the name does not exist or leads to nothing in the store,
// and ErrOutside if it leads to a file that is in no store.
// An object that is untrusted or has no files is no error: [FindClosure] reports it, together with all others.
func Resolve(ctx context.Context, s Store, name string) (*Profile, error) {
	p, err := findObject(ctx, s, name)
	if err != nil {
		return nil, fmt.Errorf("profile %q: %w", name, err)
	}
	if info, err := s.Info(ctx, p); err != nil && !known(info, err) {
		return nil, fmt.Errorf("profile %q: %w", name, err)
	}
	return &Profile{Name: name, Path: p}, nil
}

// known reports whether a store that refuses an object knows it: the object is untrusted, or its files are missing.
func known(info *Info, err error) bool {
	return errors.Is(err, ErrUntrusted) || info != nil && errors.Is(err, fs.ErrNotExist)
}

func findObject(ctx context.Context, s Store, name string) (Path, error) {
	if !strings.Contains(name, "/") {
		if p, err := ParseBase(s.StoreDir(), name); err == nil {
			return p, nil
		}
	}
	at, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	l := lookup{ctx: ctx, store: s, dir: s.StoreDir(), inner: hostLinks{}}
	if inner, ok := s.(Linker); ok {
		l.inner = inner
	}
	return l.follow(at)
}

// Default finds the profile of a store if the user names none: the default profile of the file system around the store,
// or else the only object that no other refers to.
// If there are several such objects, the error is an [AmbiguousError].
// Like [Resolve], it accepts objects that are untrusted or have no files.
func Default(ctx context.Context, s Store) (*Profile, error) {
	if l, ok := s.(Linker); ok {
		defaultLink := DefaultLink(s.StoreDir())
		if _, err := l.Readlink(defaultLink); !errors.Is(err, fs.ErrNotExist) {
			return Resolve(ctx, s, defaultLink)
		}
	}
	tops, n, err := findTops(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("find default profile: %w", err)
	}
	switch {
	case n == 0:
		return nil, fmt.Errorf("find default profile: %w", ErrEmpty)
	case len(tops) == 0:
		return nil, fmt.Errorf("find default profile: no object that nothing else refers to among %d", n)
	case len(tops) == 1:
		return &Profile{Name: tops[0].Base(), Path: tops[0]}, nil
	}
	return nil, &AmbiguousError{Candidates: tops}
}

// Tops returns the objects of a store that no other object refers to, in the order of [Lister.Paths].
func Tops(ctx context.Context, s Store) ([]Path, error) {
	tops, _, err := findTops(ctx, s)
	return tops, err
}

// findTops is [Tops], and also returns how many objects the store has.
func findTops(ctx context.Context, s Store) (tops []Path, n int, err error) {
	l, ok := s.(Lister)
	if !ok {
		return nil, 0, errors.New("the store cannot list its objects, so the profile must be named")
	}
	paths, err := l.Paths(ctx)
	if err != nil {
		return nil, 0, err
	}
	needed := make(map[Path]bool)
	for _, p := range paths {
		info, err := s.Info(ctx, p)
		if err != nil && (info == nil || !known(info, err)) {
			return nil, 0, err
		}
		for _, ref := range info.References {
			if ref != p {
				needed[ref] = true
			}
		}
	}
	for _, p := range paths {
		if !needed[p] {
			tops = append(tops, p)
		}
	}
	return tops, len(paths), nil
}

// AmbiguousError reports that several objects could be the default profile.
type AmbiguousError struct {
	Candidates []Path // sorted
}

func (e *AmbiguousError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "find default profile: %d objects that nothing else refers to: ", len(e.Candidates))
	listFew(&b, len(e.Candidates), func(i int) string { return e.Candidates[i].Base() })
	return b.String()
}
