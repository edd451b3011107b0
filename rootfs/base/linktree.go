package base

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// Limits of all trees of links together: a few nested links can make billions of files.
// They are counted before the first is made, so that what is refused takes no memory.
const (
	maxLinkTree  = 5 << 16  // links, and directories twice, as they take twice the memory: a large Python environment has 300,000
	maxLinkBytes = 96 << 20 // of their paths
)

// linkTree makes at dst what `cp -R -Ls /src dst` makes:
// the directories of src with their modes, and a link /src/<same place> for every file in them.
//
//   - A link to a directory becomes a directory; a link to a directory above itself is left out.
//   - A link that leads nowhere is left out, with a note.
//   - A link that leads out of the store is kept as a link to /src/<same place>:
//     what is there is for the container to say.
//
// Where dst has something already, from a profile that comes first, directories are merged.
// A file that is there already is kept, with a note if it is another one.
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
	root     string // where it begins: what is below can be thousands of bytes long
	dst      string
	counting bool     // and nothing else
	above    []string // the directories that the walk is in, by their real paths
}

// node makes what is at the logical path src, which Stat says is e or err.
func (w *linkWalk) node(src, dst string, e rootfs.Entry, err error) error {
	if w.counting {
		w.linked++
		if err == nil && e.IsDir() {
			w.linked++
		}
		if w.linked > w.mostLinked {
			return fmt.Errorf("links to %q: more than %d files and directories, which count twice", "/"+w.root, w.mostLinked)
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

// children makes a directory and what is in it.
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
	if why := w.noDir(dst); why != "" {
		if !w.counting {
			w.note("left out %q: %s", "/"+src, why)
		}
		return nil
	}
	if !w.counting {
		w.dir(dst, e.Mode.Perm())
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

// link makes the link, or says why not. real is where it ends.
func (w *linkWalk) link(src, dst, real string) {
	had, ok := w.get(dst)
	if !ok {
		w.over(rootfs.Link(dst, "/"+src))
		return
	}
	if had.IsLink() {
		end, err := w.view.Stat(strings.TrimPrefix(had.Target, "/"))
		if err == nil && end.Path == real {
			return
		}
	}
	// Each profile has its own manifest; the image has the first one's.
	if dst != w.dst && rootfs.Parent(dst) == w.dst && strings.HasPrefix(dst[len(w.dst)+1:], "manifest.") {
		return
	}
	w.conflict(src, dst)
}

func (w *linkWalk) conflict(src, dst string) {
	w.note("left out %q: %q is another profile's already", "/"+src, "/"+dst)
}
