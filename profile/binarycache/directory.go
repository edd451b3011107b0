package binarycache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/profile"
)

// directory is a cache in a directory.
type directory string

// maxCacheInfo limits a nix-cache-info, generously.
const maxCacheInfo = 64 << 10

// check checks that d is a binary cache, and returns its store directory.
// Narinfos without a nix-cache-info are enough: partial copies of a cache look like this.
func (d directory) check() (dir profile.StoreDir, err error) {
	b, err := readSmall(d.name(cacheInfoName), maxCacheInfo)
	if err == nil {
		if dir, _, err = parseCacheInfo(b); err != nil {
			err = fmt.Errorf("%s: %w", cacheInfoName, err)
		}
		return dir, err
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	names, err := d.narInfos(1)
	if err != nil {
		return dir, err
	}
	if len(names) == 0 {
		return dir, fmt.Errorf("not a binary cache: it has neither %s nor a narinfo: %w", cacheInfoName, fs.ErrNotExist)
	}
	if b, err = readSmall(d.name(names[0]), maxNarInfo); err != nil {
		return dir, nil // reading the object reports it
	}
	if n, err := ParseNarInfo(b); err == nil {
		dir = n.Path.StoreDir()
	}
	return dir, nil
}

// narInfos lists the names of the narinfos, sorted. A limit above 0 stops after the first few.
func (d directory) narInfos(limit int) ([]string, error) {
	f, err := os.Open(string(d))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var names []string
	for {
		some, err := f.Readdirnames(1024)
		for _, name := range some {
			if digest, ok := strings.CutSuffix(name, ".narinfo"); ok && profile.CheckBase(digest+"-x") == nil {
				names = append(names, name)
			}
		}
		if err == io.EOF || limit > 0 && len(names) >= limit {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Info implements [profile.Store]. Without its NAR, an object is missing: partial copies of a cache often lack NARs.
func (d *Directory) Info(ctx context.Context, p profile.Path) (*profile.Info, error) {
	o, err := d.object(ctx, p)
	if err != nil {
		return nil, err
	}
	if fs.ValidPath(o.info.URL) {
		if _, err := os.Stat(d.dir.name(o.info.URL)); errors.Is(err, fs.ErrNotExist) {
			return &o.info.Info, &noNARError{p, err}
		}
	}
	return &o.info.Info, nil
}

// noNARError reports an object whose narinfo is there, but not its NAR.
type noNARError struct {
	path profile.Path
	err  error // names the file and wraps fs.ErrNotExist
}

func (e *noNARError) Error() string {
	return fmt.Sprintf("the binary cache has no NAR of %q: %v", e.path, e.err)
}
func (e *noNARError) Unwrap() []error { return []error{e.err, profile.ErrNoFiles} }

// Paths implements [profile.Lister]. A narinfo that cannot be read is an error.
func (d *Directory) Paths(ctx context.Context) ([]profile.Path, error) {
	names, err := d.dir.narInfos(0)
	if err != nil {
		return nil, fmt.Errorf("list binary cache %q: %w", string(d.dir), err)
	}
	paths := make([]profile.Path, 0, len(names))
	for _, name := range names {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p, err := d.pathOf(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("list binary cache: %w", err)
		}
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return paths, nil
}

// pathOf returns the store path that the narinfo called name is about.
func (d *Directory) pathOf(ctx context.Context, name string) (profile.Path, error) {
	b, err := d.dir.read(ctx, name, maxNarInfo)
	if err != nil {
		return "", err
	}
	n, err := ParseNarInfo(b)
	switch {
	case err != nil:
	case n.Path.Digest()+".narinfo" != name:
		err = fmt.Errorf("it is about %q", n.Path)
	case n.Path.StoreDir() != d.StoreDir():
		err = fmt.Errorf("it is about %q, but the store directory of the cache is %s", n.Path, d.StoreDir())
	}
	if err != nil {
		return "", fmt.Errorf("read %q: %w", d.dir.name(name), err)
	}
	return n.Path, nil
}

func (d directory) name(file string) string { return filepath.Join(string(d), file) }

func (d directory) close() {}

func (d directory) read(_ context.Context, name string, limit int64) ([]byte, error) {
	return readSmall(d.name(name), limit)
}

// open opens a NAR, which must be below the directory. Nix refuses other URLs too, since 2.34.
// The result is an *os.File.
func (d directory) open(_ context.Context, n *NarInfo) (io.ReadCloser, error) {
	if !fs.ValidPath(n.URL) {
		return nil, fmt.Errorf("URL %q of %q is not a path below the binary cache", n.URL, n.Path)
	}
	return openRegular(d.name(n.URL))
}

// settle looks for a location whose file exists: a copy of a server may lack some.
// In the URLs of Guix, characters of names are encoded, as in "%2B". The files of a copy have one name or the other.
func (d directory) settle(n *NarInfo) {
	if len(n.Others) == 0 && !strings.Contains(n.URL, "%") {
		return
	}
	for _, l := range append([]Location{n.Location}, n.Others...) {
		decoded, _ := url.PathUnescape(l.URL) // or ""
		for _, name := range []string{l.URL, decoded} {
			if !fs.ValidPath(name) {
				continue
			}
			if _, err := os.Stat(d.name(name)); err == nil {
				n.Location = l
				n.URL = name
				return
			}
		}
	}
}

// openRegular opens a regular file. It does not block on a named pipe.
func openRegular(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("read %q: not a regular file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// readSmall reads a file of at most limit bytes.
func readSmall(name string, limit int64) ([]byte, error) {
	f, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAll(f, limit)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return b, nil
}

// readAll reads r to its end; more than limit bytes are an error.
func readAll(r io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return b, err
}
