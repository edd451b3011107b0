package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
)

// lowSpace is the free space for temporary files below which doctor warns.
const lowSpace = 1 << 30

// findCache finds the cache and the directory of large temporary files. Unlike cacheFlags.place, it makes no directory.
func (d *doctor) findCache() {
	var flags cacheFlags
	c := &d.Cache
	c.Spool = temporaryDir()
	if c.Dir = flags.wantedDir(); c.Dir == "" {
		d.problem(aboutCache, "set HOME, or name a directory with --cache", "there is no cache: %v", errNoCacheDir)
	} else if err := d.inspectCache(); err != nil {
		d.problem(aboutCache, cacheHint(err), "open cache %v", quoted(c.Dir, err))
	} else if c.Usable {
		c.Spool = c.Dir
	}
	var s unix.Statfs_t
	at := existingParent(c.Spool)
	if at == "" || unix.Statfs(at, &s) != nil {
		d.problem(aboutCache, "name a directory with --cache, or in TMPDIR", "there is no directory %q for large temporary files", c.Spool)
		return
	}
	if c.Free = int64(s.Bavail) * int64(s.Bsize); c.Free < lowSpace {
		d.problem(aboutCache, "name another directory with --cache", "only %s are free for large temporary files in %q", humanBytes(c.Free), c.Spool)
	}
}

// inspectCache looks at the directory of the cache, which need not exist.
func (d *doctor) inspectCache() error {
	c := &d.Cache
	err := checkCacheDir(c.Dir, false)
	if errors.Is(err, fs.ErrNotExist) {
		parent := existingParent(c.Dir)
		if parent == "" {
			return err
		}
		if err := unix.Access(parent, unix.W_OK|unix.X_OK); err != nil {
			return &fs.PathError{Op: "make it in", Path: parent, Err: err}
		}
		c.Usable = true
		return nil
	}
	if err != nil {
		return err
	}
	c.Exists = true
	if err := unix.Access(c.Dir, unix.W_OK|unix.X_OK); err != nil {
		return &fs.PathError{Op: "write into", Path: c.Dir, Err: err}
	}
	used, err := new(cacheOptions).usage((*ocilayout.Cache).Usage, rootfs.UsageOf)
	if err != nil {
		return err
	}
	c.Usable, c.Layers = true, used.Layers.Layers
	c.Bytes = used.Layers.Bytes + used.Facts.Bytes + used.NarInfo.Bytes
	return nil
}

// cacheHint says what to do about a cache that cannot be used. image only takes longer without it.
func cacheHint(err error) string {
	var foreign *foreignError
	if errors.As(err, &foreign) {
		return hint(foreign.refuse())
	}
	return "name another directory with --cache, or use none with --no-cache; without a cache, image takes longer"
}

// existingParent returns the nearest directory above a name that exists, or the name itself, or "".
func existingParent(name string) string {
	for {
		fi, err := os.Stat(name)
		if err == nil && fi.IsDir() {
			return name
		}
		parent := filepath.Dir(name)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || parent == name {
			return ""
		}
		name = parent
	}
}
