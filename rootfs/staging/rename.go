package staging

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// renameNew renames a file or directory to a name that must not exist yet;
// otherwise the error wraps fs.ErrExist.
func renameNew(from *os.File, old string, to *os.File, name string) error {
	err := rename(from, old, to, name, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The file system has no such rename.
	var st unix.Stat_t
	if unix.Fstatat(int(to.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return linkError(from, old, to, name, fs.ErrExist)
	}
	return rename(from, old, to, name, 0)
}

func rename(from *os.File, old string, to *os.File, name string, flags uint) error {
	for {
		var err error
		if flags == 0 {
			err = unix.Renameat(int(from.Fd()), old, int(to.Fd()), name)
		} else {
			err = unix.Renameat2(int(from.Fd()), old, int(to.Fd()), name, flags)
		}
		switch err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return linkError(from, old, to, name, err)
		}
	}
}

func linkError(from *os.File, old string, to *os.File, name string, err error) error {
	return &os.LinkError{Op: "rename", Old: filepath.Join(from.Name(), old), New: filepath.Join(to.Name(), name), Err: err}
}
