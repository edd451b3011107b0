package ocilayout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// layoutDirs are the top directory of a layout, blobs and blobs/sha256.
// They stay open, so that another user with write access cannot meanwhile replace them by links.
type layoutDirs struct {
	top        *os.File // belongs to the caller
	all, blobs *os.File // nil if they do not exist
}

// openDirs opens the directories of a layout, and creates those of the blobs if necessary.
// It follows a link in their place only if the link and the layout belong to this user:
// no other user may choose where files go.
func openDirs(layout *os.File, own *owner) (d *layoutDirs, err error) {
	d = &layoutDirs{top: layout}
	if d.all, err = openDirIn(layout, ispec.ImageBlobsDir, own); err == nil {
		d.blobs, err = openDirIn(d.all, filepath.Base(blobs), own)
	}
	if err != nil {
		d.close()
	}
	return d, err
}

// findDirs opens those directories of a layout that exist. It follows no link.
func findDirs(layout *os.File) (d *layoutDirs, err error) {
	d = &layoutDirs{top: layout}
	if d.all, err = findDirIn(layout, ispec.ImageBlobsDir); d.all != nil {
		d.blobs, err = findDirIn(d.all, filepath.Base(blobs))
	}
	if err != nil {
		d.close()
	}
	return d, err
}

// findDirIn returns nil if the directory does not exist.
func findDirIn(parent *os.File, name string) (*os.File, error) {
	fd, err := openat(int(parent.Fd()), name, unix.O_NOFOLLOW)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(parent.Name(), name)), nil
}

// openat opens a directory in another one.
func openat(at int, name string, flags int) (fd int, err error) {
	for {
		fd, err = unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

func (d *layoutDirs) close() {
	for _, f := range []*os.File{d.all, d.blobs} {
		if f != nil {
			f.Close()
		}
	}
}

// openDirIn opens or creates a directory in another one.
func openDirIn(parent *os.File, name string, own *owner) (_ *os.File, err error) {
	path := filepath.Join(parent.Name(), name)
	defer func() {
		if err != nil {
			err = &fs.PathError{Op: "open directory", Path: path, Err: err}
		}
	}()
	at := int(parent.Fd())
	err = unix.Mkdirat(at, name, 0o700)
	made := err == nil
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	flags := 0
	if made || !ownLink(at, name) {
		flags = unix.O_NOFOLLOW
	}
	fd, err := openat(at, name, flags)
	if flags != 0 && (err == unix.ENOTDIR || err == unix.ELOOP) {
		return nil, errors.New("it is a link that another user may have made, or no directory")
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	if made {
		if own != nil {
			err = unix.Fchown(fd, own.uid, own.gid)
		}
		if err = errors.Join(err, unix.Fchmod(fd, 0o755)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// ownLink reports whether a name is a link of this user, in a directory of this user.
func ownLink(at int, name string) bool {
	var dir, link unix.Stat_t
	return unix.Fstat(at, &dir) == nil && unix.Fstatat(at, name, &link, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		link.Mode&unix.S_IFMT == unix.S_IFLNK && int(dir.Uid) == os.Geteuid() && int(link.Uid) == os.Geteuid()
}
