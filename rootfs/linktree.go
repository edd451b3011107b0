package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// maxLinkTree is how many files and directories all trees of links may have:
// a few nested links can make billions of them.
const maxLinkTree = 1 << 20

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
	w := linkWalk{builder: b, dst: dst}
	e, err := b.view.Stat(src)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return w.node(src, dst, e, err)
}

type linkWalk struct {
	*builder
	dst   string
	above []string // the directories that the walk is in, by their real paths
}

// node makes what is at the logical path src, which Stat says is e or err.
func (w *linkWalk) node(src, dst string, e Entry, err error) error {
	if w.linked++; w.linked > w.mostLinked {
		return fmt.Errorf("links to %q: more than %d files and directories", "/"+src, w.mostLinked)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w.note("left out %q: it leads nowhere", "/"+src)
		return nil
	case errors.Is(err, ErrOutside):
		w.link(src, dst, "/"+src)
		return nil
	case err != nil:
		return err
	case !e.IsDir():
		w.link(src, dst, e.Path)
		return nil
	case slices.Contains(w.above, e.Path):
		return nil
	case len(w.above) >= MaxDepth:
		return fmt.Errorf("links to %q: deeper than %d directories", "/"+src, MaxDepth)
	}
	if had, ok := w.entries[dst]; ok && !had.IsDir() {
		w.conflict(src, dst)
		return nil
	}
	w.dir(dst, e.Mode.Perm())
	names, err := w.view.Names(e.Path)
	if err != nil {
		return err
	}
	w.above = append(w.above, e.Path)
	defer func() { w.above = w.above[:len(w.above)-1] }()
	for _, name := range names {
		child, err := w.view.Stat(e.Path + "/" + name)
		if err := w.node(src+"/"+name, dst+"/"+name, child, err); err != nil {
			return err
		}
	}
	return nil
}

// link makes the link, or says why not. real is where it ends.
func (w *linkWalk) link(src, dst, real string) {
	had, ok := w.entries[dst]
	if !ok {
		w.put(Link(dst, "/"+src))
		return
	}
	if had.IsLink() {
		end, err := w.view.Stat(strings.TrimPrefix(had.Target, "/"))
		if err == nil && end.Path == real {
			return
		}
	}
	// Each profile has its own manifest; the image has the first one's.
	if dst != w.dst && parentOf(dst) == w.dst && strings.HasPrefix(dst[len(w.dst)+1:], "manifest.") {
		return
	}
	w.conflict(src, dst)
}

func (w *linkWalk) conflict(src, dst string) {
	w.note("left out %q: %q is another profile's already", "/"+src, "/"+dst)
}
