package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Profile is a resolved name. The next install may change the link, but never the store object.
type Profile struct {
	Name string // as given to Resolve
	Path Path   // the store object it leads to
}

// maxLinks limits links on the way to a store object, as in Nix.
const maxLinks = 1024

// Resolve finds the store object that a name leads to. The name may be a store path, the path of a file inside one,
// the base name of a store path, or a link such as ~/.nix-profile or the result link of a build.
//
// Resolve follows links one by one and stops at the first store object, even if that is itself a link.
// It drops the part of a path below the object. Nix does the same (Store::followLinksToStore).
// If the store is a [Linker], names below /nix and below the store's root belong to its file system,
// and all others to this machine's.
//
// The error wraps fs.ErrNotExist if the name does not exist or leads to nothing in the store.
// An untrusted object is no error: [FindClosure] reports it, together with all others.
func Resolve(ctx context.Context, s Store, name string) (*Profile, error) {
	p, err := findObject(s, name)
	if err != nil {
		return nil, fmt.Errorf("profile %q: %w", name, err)
	}
	if _, err := s.Info(ctx, p); err != nil && !errors.Is(err, ErrUntrusted) {
		return nil, fmt.Errorf("profile %q: %w", name, err)
	}
	return &Profile{Name: name, Path: p}, nil
}

func findObject(s Store, name string) (Path, error) {
	if !strings.Contains(name, "/") {
		if p, err := ParseBase(name); err == nil {
			return p, nil
		}
	}
	at, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	w := walker{inner: hostLinks{}}
	if l, ok := s.(Linker); ok {
		w.inner = l
	}
	return w.follow(at)
}

// walker follows links from this machine's file system into the store's.
type walker struct {
	inner  Linker
	inside bool // the current path belongs to inner
}

func (w *walker) follow(at string) (Path, error) {
	for links := range maxLinks {
		at = w.enter(path.Clean(at))
		if strings.HasPrefix(at, StoreDir+"/") {
			p, _, err := ObjectOf(at)
			return p, err
		}
		next, err := w.hop(at)
		if errors.Is(err, fs.ErrNotExist) && links > 0 {
			return "", fmt.Errorf("dangling link: it leads to %q: %w", at, fs.ErrNotExist)
		}
		if err != nil {
			return "", err
		}
		if next == "" {
			return "", fmt.Errorf("leads out of the store: it ends at %q", at)
		}
		at = next
	}
	return "", fmt.Errorf("more than %d links", maxLinks)
}

// enter switches to the store's file system if the path belongs to it, and returns the path there.
func (w *walker) enter(at string) string {
	if rest, ok := w.inner.Inside(at); ok {
		w.inside = true
		return rest
	}
	if !w.inside && strings.HasPrefix(at, "/nix/") {
		if _, err := w.inner.Readlink(at); err == nil || errors.Is(err, ErrNoLink) {
			w.inside = true
		}
	}
	return at
}

// hop follows the first link on the way down to at. It returns "" if there is no link.
func (w *walker) hop(at string) (string, error) {
	var links Linker = hostLinks{}
	if w.inside {
		links = w.inner
	}
	for i := 1; i <= len(at); i++ {
		if i < len(at) && at[i] != '/' {
			continue
		}
		target, err := links.Readlink(at[:i])
		if errors.Is(err, ErrNoLink) {
			continue
		}
		if err != nil {
			return "", err
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(at[:i]), target)
		}
		return target + at[i:], nil
	}
	return "", nil
}

// hostLinks reads links in this machine's file system.
type hostLinks struct{}

func (hostLinks) Inside(name string) (string, bool) { return name, true }

func (hostLinks) Readlink(name string) (string, error) {
	target, err := os.Readlink(name)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	if fi, statErr := os.Lstat(name); statErr != nil {
		return "", statErr
	} else if fi.Mode().Type() != fs.ModeSymlink {
		return "", fmt.Errorf("%q: %w", name, ErrNoLink)
	}
	return "", err
}

// defaultLink is the link to the profile of all users.
const defaultLink = "/nix/var/nix/profiles/default"

// Default finds the profile of a store if the user names none: the default profile of the file system around the store,
// or else the only object that no other refers to.
// If there are several such objects, the error is an [AmbiguousError].
// Like [Resolve], it accepts untrusted objects.
func Default(ctx context.Context, s Store) (*Profile, error) {
	if l, ok := s.(Linker); ok {
		if _, err := l.Readlink(defaultLink); !errors.Is(err, fs.ErrNotExist) {
			return Resolve(ctx, s, defaultLink)
		}
	}
	tops, n, err := findTops(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("find default profile: %w", err)
	}
	switch len(tops) {
	case 0:
		return nil, fmt.Errorf("find default profile: no object that nothing else refers to among %d: %w", n, fs.ErrNotExist)
	case 1:
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
		if err != nil && (info == nil || !errors.Is(err, ErrUntrusted)) {
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
