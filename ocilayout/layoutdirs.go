package ocilayout

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// layoutDirs are a layout's own directory and that of its blobs.
// They are held open: whoever else may write there cannot put a link into their place meanwhile.
type layoutDirs struct{ top, blobs *os.File }

// openDirs opens them, and makes those of the blobs if they are missing.
// A link in their place is followed only in this user's own layout, if it is this user's:
// nobody else chooses where files are put.
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

// openDirIn opens or makes a directory in another one.
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

// ownLink says whether a directory is this user's, and a link in it, too.
func ownLink(at int, name string) bool {
	var dir, link unix.Stat_t
	return unix.Fstat(at, &dir) == nil && unix.Fstatat(at, name, &link, unix.AT_SYMLINK_NOFOLLOW) == nil &&
		link.Mode&unix.S_IFMT == unix.S_IFLNK && int(dir.Uid) == os.Geteuid() && int(link.Uid) == os.Geteuid()
}
