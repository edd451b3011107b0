package localstore

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/export-profile/export-profile/rootfs"
)

// copyName is in the names of the directories of copies.
const copyName = "database"

// copy copies db.sqlite and its log to a private directory.
// The caller removes it; what a killed run leaves behind the next one removes.
func (d *database) copy(ctx context.Context) (file string, remove func() error, err error) {
	parent := cmp.Or(d.tempDir, os.TempDir())
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", nil, err
	}
	if err := rootfs.CleanStaging(parent, copyName, nil); err != nil {
		return "", nil, err
	}
	private, err := rootfs.NewStaging(parent, copyName)
	if err != nil {
		return "", nil, err
	}
	file = filepath.Join(private.Dir, "db.sqlite")
	for _, suffix := range []string{"", "-wal"} {
		if err := copyFile(ctx, file+suffix, d.path+suffix); err != nil {
			return "", nil, errors.Join(err, private.Remove())
		}
	}
	return file, private.Remove, nil
}

// copyFile lets the kernel copy, and share blocks where the file system can.
func copyFile(ctx context.Context, to, from string) (err error) {
	r, err := openFile(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return rootfs.Copy(ctx, w, r)
}
