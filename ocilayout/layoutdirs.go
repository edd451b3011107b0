package ocilayout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// layoutDirs are the top directory of a layout and that of its blobs.
// They stay open, so that another user with write access cannot meanwhile replace them by links.
type layoutDirs struct{ top, blobs *os.File }

// openDirs opens the directories of a layout, and creates those of the blobs if necessary.
// It follows a link in their place only if the link and the layout belong to this user:
// no other user may choose where files go.
func openDirs(path string, own *owner) (d *layoutDirs, err error) {
	d = &layoutDirs{}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if d.top, err = os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
		return d, err
	}
	all, err := openDirIn(d.top, ispec.ImageBlobsDir, own)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	d.blobs, err = openDirIn(all, filepath.Base(blobs), own)
	return d, err
}

func (d *layoutDirs) Close() error {
	var errs []error
	for _, f := range []*os.File{d.top, d.blobs} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
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
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if made || !ownLink(at, name) {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(at, name, flags, 0)
	if flags&unix.O_NOFOLLOW != 0 && (err == unix.ENOTDIR || err == unix.ELOOP) {
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
