package ocilayout

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// stagedFile is the name of a file in a staging directory, before it gets its own.
const stagedFile = "file"

// stageFile makes a staging directory beside a file that is about to appear or to be replaced,
// and says where the file really is.
func stageFile(name string) (path string, _ *rootfs.Staging, err error) {
	path, exists, err := resolve(name)
	if err != nil {
		return "", nil, err
	}
	if exists {
		if fi, err := os.Stat(path); err != nil {
			return "", nil, err
		} else if !fi.Mode().IsRegular() {
			return "", nil, fmt.Errorf("%w and is no regular file", fs.ErrExist)
		}
	} else if strings.HasSuffix(name, "/") {
		return "", nil, errors.New("is a directory's name")
	}
	parent, base := filepath.Split(path)
	if err := rootfs.CleanStaging(parent, base, nil); err != nil {
		return "", nil, err
	}
	staging, err := rootfs.NewStaging(parent, base)
	return path, staging, err
}

// publishFile writes a file that everybody may read, and gives it its name when it is whole.
func publishFile(staging *rootfs.Staging, path string, sync bool, write func(*os.File) error) (err error) {
	temp := filepath.Join(staging.Dir, stagedFile)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
