package localstore

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// root is a directory that acts as "/": an absolute link in it starts at the directory.
// Or else the directory acts as "/nix", or what is around another store directory, and there is nothing beside it.
// Its store directory is called store, whatever the store directory is called.
type root struct {
	dir  string // absolute
	real string // the same without links

	around string // the directory that dir acts as, such as "/nix", or "" if dir acts as "/"
	store  string // what its directory store acts as, such as "/nix/store", or "" if dir acts as "/"

	// guard keeps accesses inside a relocated root, even if its files change meanwhile.
	// It is nil for "/", which needs no guard. Without a guard, directories without read permission can be traversed.
	guard *os.Root
}

// openRoot opens a directory that acts as "/", or as what is around a store directory unless store is "".
func openRoot(dir, store string) (*root, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &root{dir: dir}
	r.setStore(store)
	if r.real, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, err
	}
	if r.relocated() {
		r.guard, err = os.OpenRoot(dir)
	}
	return r, err
}

func (r *root) relocated() bool { return r.real != "/" || r.store != "" }

func (r *root) setStore(store string) {
	if store != "" {
		r.store, r.around = store, strings.TrimSuffix(path.Dir(store), "/")
	}
}

func (r *root) close() error {
	if r.guard == nil {
		return nil
	}
	return r.guard.Close()
}

// place converts a path below the root to one below r.dir. It returns false if nothing can be there.
func (r *root) place(name string) (string, bool) {
	if r.store == "" {
		return name, true
	}
	name = path.Join("/", name)
	if rest, ok := cutDir(name, r.store); ok {
		return path.Join("store", rest), true
	}
	rest, ok := cutDir(name, r.around)
	return path.Join(".", rest), ok
}

// inside converts the path of a file in r.dir to one below the root. It is the inverse of place.
func (r *root) inside(place string) string {
	place = path.Join("/", place)
	if rest, ok := cutDir(place, "/store"); ok && r.store != "" {
		return path.Join(r.store, rest)
	}
	return path.Join("/", r.around, place)
}

// cutDir returns the path of a file relative to a directory that it is in.
func cutDir(name, dir string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, dir)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest[min(1, len(rest)):], true
}

// hostPath converts a path below the root to a path on this machine.
func (r *root) hostPath(name string) string {
	if place, ok := r.place(name); ok {
		name = place
	}
	return filepath.Join(r.dir, name)
}

// readlink reads the link at a relative path. No parent directory may be a link.
func (r *root) readlink(name string) (string, error) {
	if strings.HasPrefix(r.around+"/", path.Join("/", name)+"/") { // the directory itself, and those above it
		return "", syscall.EINVAL
	}
	name, ok := r.place(name)
	if !ok {
		return "", syscall.ENOENT
	}
	if r.guard == nil {
		return os.Readlink(filepath.Join(r.dir, name))
	}
	return r.guard.Readlink(name)
}

// openDir opens the directory at a relative path that contains no links.
func (r *root) openDir(name string) (*os.File, error) {
	const flags = os.O_RDONLY | unix.O_DIRECTORY
	name, ok := r.place(name)
	if !ok {
		return nil, syscall.ENOENT
	}
	if r.guard == nil {
		return os.OpenFile(filepath.Join(r.dir, name), flags, 0)
	}
	return r.guard.OpenFile(name, flags, 0)
}

// maxLinks limits the links in one path, as Linux does.
const maxLinks = 40

// resolve follows all links in an absolute path below the root.
// The result is relative to the root and contains no links.
// os.Root cannot do this, since it refuses absolute links.
func (r *root) resolve(name string) (string, error) {
	at, rest, links := ".", name, 0
	for rest != "" {
		var elem string
		elem, rest, _ = strings.Cut(rest, "/")
		if elem == "" || elem == "." {
			continue
		}
		if elem == ".." {
			at = path.Dir(at) // stays at "."
			continue
		}
		next := path.Join(at, elem)
		target, err := r.readlink(next)
		if errors.Is(err, syscall.EINVAL) {
			at = next
			continue
		}
		if err != nil {
			return "", r.named(next, err)
		}
		if links++; links > maxLinks {
			return "", r.named(name, syscall.ELOOP)
		}
		if path.IsAbs(target) {
			at = "."
		}
		rest = target + "/" + rest
	}
	return at, nil
}

// named adds the path on this machine to an error; os.Root does not know it.
func (r *root) named(name string, err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		err = e.Err
	}
	return &ReadError{r.hostPath(name), err}
}
