package verify

import (
	"archive/tar"
	"bufio"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// walker reads a layer's tar once.
type walker struct {
	layer  *layer
	hash   func(rootfs.Tree, string) (string, int64, error)
	raw    *bufio.Reader
	end    endReader
	tar    *tar.Reader
	broken error // why the tar cannot be read any further

	rules rules // what the next entry must keep
	own   *ownRules
}

// newWalker makes a walker of a layer whose claim, if it has one, the tar is compared with.
// Of other layers, what they do to the claimed objects is kept in the layer.
func newWalker(l *layer, tarball *bufio.Reader, claimed map[string]bool, hash func(rootfs.Tree, string) (string, int64, error)) *walker {
	w := &walker{layer: l, hash: hash, raw: tarball, end: endReader{r: tarball}}
	w.tar = tar.NewReader(&w.end)
	if l.claim != nil && !l.claim.Top {
		w.own = newOwnRules(l)
		w.rules = w.own
	} else { // what users lay on top can be anything
		w.rules = &foreignRules{layer: l, claimed: claimed}
	}
	return w
}

// item is an entry of the tar, or what is in its place.
type item struct {
	entry rootfs.Entry
	bad   bool // reported; the path may be empty
	other bool // a whiteout, or what only other programs' layers may have; reported if it is wrong
}

// rules are what a layer's entries must keep.
type rules interface {
	// entry makes an item of a header, and reports what is wrong with it.
	entry(h *tar.Header) item
}

// next is the next item, and false at the end of what can be read.
func (w *walker) next() (item, bool) {
	h, err := w.tar.Next()
	if err != nil {
		if err != io.EOF {
			w.fail("", err)
		}
		return item{}, false
	}
	i := w.rules.entry(h)
	if !i.bad && i.entry.IsRegular() {
		i.entry.Open = func() (io.ReadCloser, error) {
			return io.NopCloser(&contentReader{w, i.entry.Path}), nil
		}
	}
	return i, true
}

// fail reports, once, that the tar cannot be read any further.
func (w *walker) fail(path string, err error) {
	if w.broken == nil {
		w.broken = err
		w.layer.found.addf(path, "read layer: %v", err)
	}
}

// contentReader reads the file that the tar is at.
type contentReader struct {
	w    *walker
	path string
}

func (c *contentReader) Read(p []byte) (int, error) {
	n, err := c.w.tar.Read(p)
	if err != nil && err != io.EOF {
		c.w.fail(c.path, err)
	}
	return n, err
}

// walk reads all of the tar.
func (w *walker) walk() {
	i, ok := w.next()
	for ok {
		switch {
		case w.own == nil || i.bad || i.other:
			i, ok = w.next()
		case isObject(i.entry.Path):
			i, ok = w.object(i)
		default:
			w.own.addBase(i.entry)
			i, ok = w.next()
		}
	}
	if w.broken != nil {
		return
	}
	w.tail()
	if w.own != nil {
		w.own.finish()
	}
}

// isObject says whether a path is a store object's own.
func isObject(p string) bool { return path.Dir(p) == rootfs.StoreDir }

// errReported ends a tree of which something else has been reported.
var errReported = errors.New("reported")

// object hashes a store object, whose first item is there, and returns the item after it.
func (w *walker) object(first item) (item, bool) {
	root := first.entry.Path
	current, more := first, true
	// The item after those that have been passed on; it is asked for when it is needed.
	advance := func() bool {
		current, more = w.next()
		return more && (current.bad && current.entry.Path == "" || rootfs.Within(root, current.entry.Path))
	}
	inside, clean := true, true
	tree := func(yield func(rootfs.Entry, error) bool) {
		for inside {
			if current.bad || current.other {
				clean = false
				yield(rootfs.Entry{}, errReported)
				return
			}
			if !yield(current.entry, nil) {
				return
			}
			inside = advance()
		}
		if w.broken != nil {
			yield(rootfs.Entry{}, errReported)
		}
	}
	claim := w.own.object(root)
	if claim != nil && w.hash != nil {
		hex, size, err := w.hash(tree, root)
		switch {
		case w.broken != nil, !clean, errors.Is(err, errReported):
		case err != nil:
			w.layer.found.addf(root, "NAR hash: %v", err)
		case claim.Hash != "" && !strings.HasPrefix(hex, claim.Hash):
			w.layer.found.addf(root, "its NAR hash begins with %.*s, and the history says %s: it was changed",
				len(claim.Hash), hex, claim.Hash)
		case size != claim.Size:
			w.layer.found.addf(root, "its NAR has %d bytes, and the history says %d", size, claim.Size)
		}
	}
	for inside {
		inside = advance()
	}
	return current, more
}

// tail checks what is behind the last entry.
func (w *walker) tail() {
	if w.end.seen {
		if w.own != nil {
			w.layer.found.addf("", "the tar ends without its two zero blocks")
		}
		return
	}
	buf := make([]byte, 32<<10)
	n, data := int64(0), false
	for {
		m, err := w.raw.Read(buf)
		n += int64(m)
		for _, c := range buf[:m] {
			data = data || c != 0
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			w.fail("", err)
			return
		}
	}
	if data || n > 0 && w.own != nil {
		w.layer.found.addf("", "%d bytes follow the tar's end", n)
	}
}

// endReader notices whether a reader of the tar has come to the end of the file:
// it does not if the tar has its zero blocks.
type endReader struct {
	r    io.Reader
	seen bool
}

func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if n > 0 && err == io.EOF {
		err = nil
	}
	e.seen = e.seen || err == io.EOF
	return n, err
}

// checkName finds out what is wrong with a path and cleans it: the slash behind a directory is not its own.
func checkName(name string) (string, error) {
	name = strings.TrimSuffix(name, "/")
	if strings.HasPrefix(name, "/") {
		return name, errors.New("is an absolute path")
	}
	depth := 0
	for element := range strings.SplitSeq(name, "/") {
		if err := rootfs.CheckName(element); err != nil {
			return name, err
		}
		if depth++; depth > rootfs.MaxDepth+3 {
			return name, errors.New("is too deep")
		}
	}
	return name, nil
}

// whiteout is what a name of a tar's entry hides.
func whiteout(name string) (hidden string, ok bool) {
	dir, base := path.Split(name)
	if base, ok = strings.CutPrefix(base, ".wh."); ok {
		return dir + base, true
	}
	return "", false
}

// mode is that of a header, of the types that a tree has.
func mode(h *tar.Header) fs.FileMode {
	m := rootfs.FileMode(uint32(h.Mode)) & (fs.ModePerm | fs.ModeSticky)
	switch h.Typeflag {
	case tar.TypeDir:
		m |= fs.ModeDir
	case tar.TypeSymlink:
		m |= fs.ModeSymlink
	}
	return m
}
