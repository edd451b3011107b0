package profile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// maxLinks limits links on the way to a store object, as in Nix.
const maxLinks = 1024

// lookup finds the store object that a name leads to. It follows links as the kernel does, also in the directories of a name,
// from this machine's file system into the store's. It ends at the first name or link that is written as a path
// in the store. So /nix/store/X/sw means X, but /run/current-system/sw means the object that the link sw names.
type lookup struct {
	ctx    context.Context
	store  Store
	dir    StoreDir
	inner  Linker // the store, or this machine's file system if the store has none around it
	inside bool   // the current path belongs to inner
	links  int
}

// follow looks up an absolute path.
func (l *lookup) follow(name string) (Path, error) {
	at, rest := "/", l.enter(path.Clean(name))
	if l.inStore(rest) {
		p, _, err := ObjectOf(l.dir, rest)
		return p, err
	}
	for rest != "" {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		switch elem {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := l.step(path.Join(at, elem))
		target, err := l.readlink(next)
		var absent *absentObjectError
		switch {
		case err == nil:
		case errors.Is(err, ErrNoLink):
			at = next
			continue
		case errors.As(err, &absent):
			return absent.path, nil // Store.Info says why it is absent
		case errors.Is(err, fs.ErrNotExist) && l.links > 0:
			return "", fmt.Errorf("dangling link: it leads to %q: %w", path.Join(next, rest), fs.ErrNotExist)
		default:
			return "", err
		}
		if l.links++; l.links >= maxLinks {
			return "", fmt.Errorf("more than %d links", maxLinks)
		}
		if path.IsAbs(target) {
			at, target = "/", l.enter(target)
		}
		if whole := path.Join(at, target); isEnd(rest) && l.inStore(whole) {
			p, _, err := ObjectOf(l.dir, whole)
			return p, err
		}
		rest = target + "/" + rest
	}
	if p, _, err := ObjectOf(l.dir, at); err == nil {
		return p, nil
	}
	return "", &OutsideError{at}
}

// inStore reports whether a clean path is written as one below the store directory.
func (l *lookup) inStore(path string) bool { return strings.HasPrefix(path, l.dir.String()+"/") }

// isEnd reports whether the rest of a path names nothing below.
func isEnd(rest string) bool { return strings.Trim(strings.ReplaceAll("/"+rest, "/.", "/"), "/") == "" }

// enter switches to the store's file system if an absolute path belongs to it, and returns the path there.
func (l *lookup) enter(name string) string {
	if rest, ok := l.inner.Inside(path.Clean(name)); ok {
		l.inside = true
		return rest
	}
	for _, own := range OwnDirs(l.dir) {
		if !l.inside && strings.HasPrefix(name, own+"/") {
			l.inside = exists(l.inner, path.Clean(name))
		}
	}
	return name
}

// step is like enter, for a path that has no links in it.
func (l *lookup) step(at string) string {
	if l.inside {
		return at
	}
	rest, ok := l.inner.Inside(at)
	if ok {
		l.inside = true
		return rest
	}
	return at
}

// exists reports whether a path exists, or at least the first link in it.
func exists(links Linker, name string) bool {
	for i := 1; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			continue
		}
		if _, err := links.Readlink(name[:i]); !errors.Is(err, ErrNoLink) {
			return err == nil
		}
	}
	return true
}

// readlink reads a link where the current path belongs.
// An object that is not there has the same files in the store.
func (l *lookup) readlink(name string) (string, error) {
	if l.dir.Above(strings.TrimPrefix(name, "/")) {
		return "", ErrNoLink // store paths are absolute, even if the directory lies elsewhere on disk
	}
	var links Linker = hostLinks{}
	if l.inside {
		links = l.inner
	}
	target, err := links.Readlink(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return target, err
	}
	p, _, outside := ObjectOf(l.dir, name)
	if outside != nil {
		return "", err
	}
	return l.readObject(p, name)
}

// readObject reads a link in an object of the store.
func (l *lookup) readObject(p Path, name string) (string, error) {
	for e, err := range l.store.Files(l.ctx, p) {
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, ErrUntrusted):
			return "", &absentObjectError{p}
		case err != nil:
			return "", err
		case "/"+e.Path == name && e.IsLink():
			return e.Target, nil
		case "/"+e.Path == name:
			return "", ErrNoLink
		}
	}
	return "", fmt.Errorf("%q is not in the store: %w", name, fs.ErrNotExist)
}

// absentObjectError reports that a lookup passes through an object whose files the store does not give.
type absentObjectError struct{ path Path }

func (e *absentObjectError) Error() string { return fmt.Sprintf("%q is not in the store", e.path) }

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
