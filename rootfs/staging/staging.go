// Package staging prepares outputs out of sight and publishes them with a rename.
//
// A [Dir] is a locked directory beside its destination. A run that is killed leaves it behind;
// the next run with the same destination finds it unlocked and removes it ([Clean]).
// [Spool] makes temporary files without a name, which the kernel removes with the process.
// [WriteFile] makes small files that appear when they are complete.
//
// The locks are flocks, so they end with the process that holds them.
//
// Another user may have write access to the parent directory, and may exchange a staging directory for a link.
// So a Dir is used through its open file, which still leads to the directory that New made.
package staging

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Dir is a directory in which an output is made before it becomes visible.
//
// It lies beside its destination, or in it, so that publishing is a rename.
// It stays locked while its process lives:
// that tells the leftovers of a killed run from the work of a running one.
type Dir struct {
	// Path leads to the directory even after another process has moved it or put a link in its place:
	// it is /proc/self/fd/N, or the directory's name if there is no /proc.
	Path string

	parent *os.File // the directory in which it was made
	name   string   // in parent
	lock   *os.File // the directory itself
}

// ErrMoved says that another process has moved a staging directory, or put something else in its place.
var ErrMoved = errors.New("another process has moved it")

// LeftError reports a staging directory that could not be removed.
// The next run with the same destination removes it.
type LeftError struct {
	Path string
	Err  error
}

func (e *LeftError) Error() string { return fmt.Sprintf("remove %q: %v", e.Path, e.Err) }

func (e *LeftError) Unwrap() error { return e.Err }

// New makes an empty, locked staging directory in parent,
// named "."+name+".export-profile-" and a random suffix.
func New(parent, name string) (*Dir, error) {
	in, err := os.OpenFile(parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("make staging directory: %w", err)
	}
	return newDir(in, name)
}

// NewIn is New in an open directory.
func NewIn(parent *os.File, name string) (*Dir, error) {
	in, err := openIn(parent, ".")
	if err != nil {
		return nil, fmt.Errorf("make staging directory: %w", err)
	}
	return newDir(in, name)
}

// attempts limits how often New tries again because another process has taken the directory or its name.
const attempts = 1000

// newDir makes a staging directory in in, which it closes if it fails.
func newDir(in *os.File, name string) (_ *Dir, err error) {
	defer func() {
		if err != nil {
			in.Close()
			err = fmt.Errorf("make staging directory: %w", err)
		}
	}()
	for range attempts {
		d := &Dir{parent: in, name: prefix(name) + strconv.FormatUint(uint64(rand.Uint32()), 10)}
		err := unix.Mkdirat(int(in.Fd()), d.name, 0o700)
		if errors.Is(err, fs.ErrExist) || err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "mkdir", Path: d.shown(), Err: err}
		}
		d.lock, err = lockIn(in, d.name, unix.LOCK_EX|unix.LOCK_NB)
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, ErrMoved) {
			continue // another run's Clean found it before it was locked, or another user exchanged it
		}
		if err == nil {
			var ours bool
			if ours, err = d.isOurs(); err == nil && !ours {
				d.lock.Close() // another user's directory, which stays
				continue
			}
		}
		if err != nil {
			if d.lock != nil {
				d.lock.Close()
			}
			_ = unix.Unlinkat(int(in.Fd()), d.name, unix.AT_REMOVEDIR)
			return nil, fmt.Errorf("lock %q: %w", d.shown(), err)
		}
		d.Path = PathOf(d.lock, d.shown())
		return d, nil
	}
	return nil, fmt.Errorf("in %q: %w", in.Name(), ErrMoved)
}

// PathOf returns a path that leads to an open directory wherever it is moved, or the name if there is no /proc.
func PathOf(f *os.File, name string) string {
	held := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	want, err := f.Stat()
	if err != nil {
		return name
	}
	if have, err := os.Stat(held); err != nil || !os.SameFile(have, want) {
		return name
	}
	return held
}

// shown returns the name under which the directory was made.
func (d *Dir) shown() string { return filepath.Join(d.parent.Name(), d.name) }

// isOurs reports whether the locked directory is the one that New made: empty, and closed to other users.
// Some file systems give every file the same owner or mode. A new file shows what they would have given.
func (d *Dir) isOurs() (bool, error) {
	var dir, file unix.Stat_t
	if err := unix.Fstat(int(d.lock.Fd()), &dir); err != nil {
		return false, err
	}
	if int(dir.Uid) != os.Geteuid() || dir.Mode&0o077 != 0 {
		const probe = "probe"
		fd, err := unix.Openat(int(d.lock.Fd()), probe, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return false, err
		}
		err = unix.Fstat(fd, &file)
		if err := errors.Join(err, unix.Close(fd), unix.Unlinkat(int(d.lock.Fd()), probe, 0)); err != nil {
			return false, err
		}
		if dir.Uid != file.Uid || dir.Mode&0o077 != 0 && file.Mode&0o077 == 0 {
			return false, nil
		}
	}
	names, err := namesIn(d.lock)
	return len(names) == 0, err
}

// namesIn lists an open directory.
func namesIn(dir *os.File) ([]string, error) {
	fd, err := openIn(dir, ".")
	if err != nil {
		return nil, err
	}
	defer fd.Close()
	return fd.Readdirnames(-1)
}

// openIn opens a directory in another one. It follows no link.
func openIn(parent *os.File, name string) (*os.File, error) {
	for {
		fd, err := unix.Openat(int(parent.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return os.NewFile(uintptr(fd), filepath.Join(parent.Name(), name)), nil
		case unix.EINTR:
		default:
			return nil, &fs.PathError{Op: "open", Path: filepath.Join(parent.Name(), name), Err: err}
		}
	}
}

// Remove deletes the directory and its contents, and unlocks it. It leaves a directory that was moved.
// The error is a *LeftError.
func (d *Dir) Remove() error {
	err := d.here()
	if err == nil {
		err = removeDir(d.parent, d.name, d.Path)
	}
	_ = d.close()
	if err != nil {
		return &LeftError{d.shown(), d.Explain(err)}
	}
	return nil
}

// removeDir removes a directory, which path leads to.
func removeDir(parent *os.File, name, path string) error {
	if err := removeContents(path); err != nil {
		return err
	}
	err := unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR)
	for err == unix.EINTR {
		err = unix.Unlinkat(int(parent.Fd()), name, unix.AT_REMOVEDIR)
	}
	if err != nil && err != unix.ENOENT {
		return &fs.PathError{Op: "rmdir", Path: filepath.Join(parent.Name(), name), Err: err}
	}
	return nil
}

// here returns ErrMoved unless the directory still has its name.
func (d *Dir) here() error {
	same, err := sameIn(d.parent, d.name, d.lock)
	if err == nil && !same {
		err = ErrMoved
	}
	return err
}

// sameIn reports whether a name in a directory belongs to an open file. It follows no link.
func sameIn(parent *os.File, name string, f *os.File) (bool, error) {
	var have, want unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &want); err != nil {
		return false, err
	}
	err := unix.Fstatat(int(parent.Fd()), name, &have, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return false, nil
	}
	return have.Dev == want.Dev && have.Ino == want.Ino, err
}

func (d *Dir) close() error { return errors.Join(Unlock(d.lock), d.parent.Close()) }

// Unlock unlocks the directory and leaves it to the next run, as a kill does.
func (d *Dir) Unlock() error { return d.close() }

// IsIn reports whether the directory was made in an open directory.
func (d *Dir) IsIn(parent *os.File) bool {
	same, err := sameIn(d.parent, ".", parent)
	return err == nil && same
}

// Publish gives the directory itself a new name beside it, which must not exist yet, and unlocks it.
// After an error nothing has that name, and the caller still has to call Remove.
func (d *Dir) Publish(name string) error {
	if err := d.here(); err != nil {
		return fmt.Errorf("publish %q: %w", d.shown(), err)
	}
	if err := renameNew(d.parent, d.name, d.parent, name); err != nil {
		return err
	}
	if same, err := sameIn(d.parent, name, d.lock); err == nil && !same {
		return fmt.Errorf("publish %q: %w", d.shown(), ErrMoved) // meanwhile
	}
	_ = d.close() // the directory is visible, and closing ends the lock even if it fails
	return nil
}

// MoveNew moves a file or directory out of the directory, to a name beside it that must not exist yet.
// Otherwise the error wraps fs.ErrExist.
func (d *Dir) MoveNew(from, to string) error { return renameNew(d.lock, from, d.parent, to) }

// Move moves a file out of the directory, to a name beside it. It replaces a file of that name.
func (d *Dir) Move(from, to string) error { return rename(d.lock, from, d.parent, to, 0) }

func prefix(name string) string { return "." + name + ".export-profile-" }
