package base

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Limits of all trees of links together. A few nested links can make billions of files.
// linkTree counts before it makes the first link, so that a tree beyond the limits takes no memory.
const (
	// maxLinkTree limits the links and directories. A directory counts twice, as it takes twice the memory.
	// A large Python environment has 300,000.
	maxLinkTree  = 5 << 16
	maxLinkBytes = 96 << 20 // bytes of their paths
)

// linkTree does what `cp -R -Ls /src dst` does: it makes at dst the directories of src with their modes,
// and for each file a link to its path below /src.
//
//   - A link to a directory becomes a directory, but linkTree leaves out a link to a directory above itself.
//   - It leaves out a link that leads nowhere, with a note.
//   - It keeps a link that leads out of the store as a link to its path below /src,
//     since only the container knows what is there.
//
// If an earlier profile has put files at dst, directories are merged.
// A file that is there stays, with a note if it is a different one.
func (b *builder) linkTree(src, dst string) error {
	e, err := b.view.Stat(src)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, counting := range []bool{true, false} {
		w := linkWalk{builder: b, root: src, dst: dst, counting: counting}
		if err := w.node(src, dst, e, err); err != nil {
			return err
		}
	}
	return nil
}

type linkWalk struct {
	*builder
	root     string   // src at the top of the walk, for errors: deeper paths can have thousands of bytes
	dst      string   // dst at the top of the walk
	counting bool     // only count
	above    []string // the real paths of the directories that the walk is in
}

// node makes the file or directory at the path src. Stat of src has returned e and err.
func (w *linkWalk) node(src, dst string, e rootfs.Entry, err error) error {
	if w.counting {
		w.linked++
		if err == nil && e.IsDir() {
			w.linked++
		}
		if w.linked > w.mostLinked {
			return fmt.Errorf("links to %q: more than %d files and directories (directories count twice)", "/"+w.root, w.mostLinked)
		}
		if w.linkedBytes += int64(len(dst) + len(src)); w.linkedBytes > maxLinkBytes {
			return fmt.Errorf("links to %q: their paths have more than %d bytes", "/"+w.root, maxLinkBytes)
		}
		if err == nil && e.IsDir() {
			return w.children(src, dst, e)
		}
		return nil
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.note("left out %q: it leads nowhere", "/"+src)
		return nil
	case errors.Is(err, rootfs.ErrOutside):
		w.link(src, dst, "/"+src)
		return nil
	case err != nil:
		return err
	case !e.IsDir():
		w.link(src, dst, e.Path)
		return nil
	}
	return w.children(src, dst, e)
}

// children makes a directory and its contents.
func (w *linkWalk) children(src, dst string, e rootfs.Entry) error {
	switch had, ok := w.get(dst); {
	case slices.Contains(w.above, e.Path):
		return nil
	case len(w.above) >= rootfs.MaxDepth:
		return fmt.Errorf("links to %q: deeper than %d directories", "/"+w.root, rootfs.MaxDepth)
	case ok && !had.IsDir():
		if !w.counting {
			w.conflict(src, dst)
		}
		return nil
	}
	if why := w.dirConflict(dst); why != "" {
		if !w.counting {
			w.note("left out %q: %s", "/"+src, why)
		}
		return nil
	}
	if !w.counting {
		w.makeDir(dst, e.Mode.Perm())
	}
	names, err := w.view.Names(e.Path)
	if err != nil {
		return err
	}
	w.above = append(w.above, e.Path)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	for name := range names {
		child, err := w.view.StatAt(e, name)
		if err := w.node(src+"/"+name, dst+"/"+name, child, err); err != nil {
			return err
		}
	}
	return nil
}

// link makes a link, or notes why it cannot. real is the path to which it leads in the end.
func (w *linkWalk) link(src, dst, real string) {
	had, ok := w.get(dst)
	if dst == "etc/ld.so.cache" && w.store.IsGuix() {
		return // it is that of one package
	}
	if !ok {
		w.putOver(rootfs.Link(dst, "/"+src))
		return
	}
	if had.IsLink() {
		end, err := w.view.Stat(strings.TrimPrefix(had.Target, "/"))
		if err == nil && end.Path == real {
			return
		}
	}
	if w.isOwn(dst) {
		return
	}
	w.conflict(src, dst)
}

// isOwn reports whether each profile has a file of its own at a path. The first one's stays, without a note.
func (w *linkWalk) isOwn(dst string) bool {
	if w.store.IsGuix() && (dst == runProfile+"/manifest" || dst == runProfile+"/etc/profile" || dst == "etc/profile") {
		return true
	}
	return dst != w.dst && rootfs.Parent(dst) == w.dst && strings.HasPrefix(dst[len(w.dst)+1:], "manifest.")
}

func (w *linkWalk) conflict(src, dst string) {
	w.note("left out %q: %q is another profile's already", "/"+src, "/"+dst)
}
