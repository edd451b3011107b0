package rootfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// DirOptions are the options of WriteDir. The zero value is ready to use.
type DirOptions struct {
	// Writable gives directories the owner's write permission, so that the owner can delete them.
	Writable bool
	// Progress receives the bytes of content written since the last call, from several goroutines.
	Progress func(bytes int64)
}

// ErrDirExists is wrapped in the error of [WriteDir] if the directory exists.
var ErrDirExists = fmt.Errorf("the directory must not exist yet: %w", fs.ErrExist)

// WriteDir writes parts as a root filesystem into a directory that must not exist yet.
//
// It writes beside the directory and renames, so an error leaves nothing behind, and a visible directory is complete.
// Another user who may write beside it can make the call fail, but cannot make it write elsewhere.
// A killed run leaves a staging directory, which the next call with the same directory removes.
// WriteDir needs no privilege. Without root, all files belong to the caller, and none is setuid or setgid.
// Modes do not depend on the umask.
func WriteDir(ctx context.Context, dir string, parts []Part, o DirOptions) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	parent, name := filepath.Split(dir)
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("write root filesystem %q: %w", dir, ErrDirExists)
	}
	if err := staging.Clean(parent, name, nil); err != nil {
		return fmt.Errorf("write root filesystem %q: %w", dir, err)
	}
	temp, err := staging.New(parent, name)
	if err != nil {
		return fmt.Errorf("write root filesystem %q: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, temp.Remove())
		}
	}()
	w := &dirWriter{DirOptions: o, dir: temp.Path, chown: os.Geteuid() == 0}
	if err := w.write(ctx, parts); err != nil {
		return temp.Explain(err)
	}
	if err := w.finish("", Dir("", 0o755)); err != nil {
		return temp.Explain(err)
	}
	return temp.Publish(name)
}

// dirWriter writes parts below dir. Its methods are safe for concurrent use.
type dirWriter struct {
	DirOptions
	dir   string
	chown bool

	noClone atomic.Bool // the file system cannot clone files
}

func (w *dirWriter) write(ctx context.Context, parts []Part) error {
	byRoot := make(map[string]bool)
	var base, objects []Part
	for _, p := range parts {
		switch {
		case byRoot[p.Root]:
			return fmt.Errorf("%s: %q: %w", p.Name, p.Root, fs.ErrExist)
		case p.Root == "":
			base = append(base, p)
		default:
			objects = append(objects, p)
		}
		byRoot[p.Root] = true
	}
	// Start with the largest, so that no worker finishes long after the others.
	slices.SortStableFunc(objects, func(a, b Part) int { return cmp.Compare(b.Size, a.Size) })

	above, err := w.makeAbove(objects)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan Part)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for p := range queue {
				if err := w.part(ctx, p, nil); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, p := range objects {
		select {
		case queue <- p:
		case <-ctx.Done():
		}
	}
	close(queue)
	workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	// The base part holds directories above the others, so it goes last:
	// a file put into a directory later would change its time.
	for _, p := range base {
		if err := w.part(ctx, p, above); err != nil {
			return err
		}
	}
	for _, dir := range slices.Backward(above) {
		if err := w.finish(dir, Dir(dir, 0o755)); err != nil {
			return err
		}
	}
	return nil
}

// makeAbove makes the directories above the parts and lists them, parents first.
func (w *dirWriter) makeAbove(parts []Part) ([]string, error) {
	var above []string
	for _, p := range parts {
		for i, c := range []byte(p.Root) {
			if c == '/' && !slices.Contains(above, p.Root[:i]) {
				above = append(above, p.Root[:i])
				if err := os.Mkdir(w.place(p.Root[:i]), 0o700); err != nil {
					return nil, err
				}
			}
		}
	}
	return above, nil
}

// part writes one part. The directories in existing need not be made.
// A directory gets its mode when it is complete, as only root could fill one of mode 0555.
func (w *dirWriter) part(ctx context.Context, p Part, existing []string) error {
	var open []Entry // directories that are not complete
	leave := func(path string) error {
		for len(open) > 0 && !Within(open[len(open)-1].Path, path) {
			last := open[len(open)-1]
			if err := w.finish(last.Path, last); err != nil {
				return err
			}
			open = open[:len(open)-1]
		}
		return nil
	}
	for e, err := range Check(p.Root, p.Tree) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			err = leave(e.Path)
		}
		if err == nil {
			switch {
			case e.IsDir():
				if !slices.Contains(existing, e.Path) {
					err = os.Mkdir(w.place(e.Path), 0o700)
				}
				open = append(open, e)
			case e.IsLink():
				if err = os.Symlink(e.Target, w.place(e.Path)); err == nil {
					err = w.finish(e.Path, e)
				}
			default:
				if err = w.file(ctx, e); err == nil {
					err = w.finish(e.Path, e)
				}
			}
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", p.Name, w.relative(err))
		}
	}
	return leave("/")
}

// finish sets the owner, mode and time of an entry that is complete.
func (w *dirWriter) finish(path string, e Entry) error {
	place := w.place(path)
	if w.chown {
		if err := os.Lchown(place, e.UID, e.GID); err != nil {
			return w.relative(err)
		}
	}
	if !e.IsLink() {
		mode := e.Mode & (fs.ModePerm | fs.ModeSticky)
		if w.chown {
			// With another owner than its own, such a file would give away the caller's rights.
			mode |= e.Mode & (fs.ModeSetuid | fs.ModeSetgid)
		}
		if w.Writable && e.IsDir() {
			mode |= 0o200
		}
		if err := os.Chmod(place, mode); err != nil {
			return w.relative(err)
		}
	}
	t := unix.NsecToTimespec(ModTime.UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, place, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set time of %q: %w", path, err)
	}
	return nil
}

func (w *dirWriter) place(path string) string { return w.dir + "/" + path }

// relative replaces the path in an operating system's error with the path in the image.
// The path in the staging directory no longer exists when the error is read.
func (w *dirWriter) relative(err error) error {
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	switch {
	case errors.As(err, &pathErr) && strings.HasPrefix(pathErr.Path, w.dir+"/"):
		return fmt.Errorf("%s %q: %w", pathErr.Op, pathErr.Path[len(w.dir)+1:], pathErr.Err)
	case errors.As(err, &linkErr) && strings.HasPrefix(linkErr.New, w.dir+"/"):
		return fmt.Errorf("%s %q: %w", linkErr.Op, linkErr.New[len(w.dir)+1:], linkErr.Err)
	}
	return err
}
