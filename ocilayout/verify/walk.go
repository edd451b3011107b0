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

// walker reads the tar of a layer once.
type walker struct {
	layer  *layer
	hash   func(rootfs.Tree, string) (string, int64, error)
	file   func(string, rootfs.Entry) io.WriteCloser
	store  bool // record the objects
	raw    *bufio.Reader
	end    endReader
	tar    *tar.Reader
	broken error // why the rest of the tar is unreadable

	rules rules     // own, or a *foreignRules
	own   *ownRules // nil for a layer of another program or with changes
}

// newWalker returns a walker that compares the tar with the claim of the layer.
// Without a claim, or if the claim is of changes, it records in l how the layer changes the claimed objects.
func newWalker(l *layer, tarball *bufio.Reader, claimed map[string]bool, o Options) *walker {
	w := &walker{layer: l, hash: o.Hash, file: o.File, store: o.Store, raw: tarball, end: endReader{r: tarball}}
	w.tar = tar.NewReader(&w.end)
	if l.claim != nil && !l.claim.Top {
		w.own = newOwnRules(l)
		w.rules = w.own
	} else { // a layer with changes can have any entries
		w.rules = &foreignRules{layer: l, claimed: claimed}
	}
	return w
}

// item is an entry of the tar. If bad or other is set, the entry is not part of a tree.
type item struct {
	entry rootfs.Entry
	bad   bool // its problem was reported; the path may be empty
	other bool // a whiteout, or any entry of a layer with foreignRules: only a file or a link has a path
}

// rules checks the entries of a layer.
type rules interface {
	// entry converts a header and reports its problems.
	entry(h *tar.Header) item
}

// next returns the next item, and false at the end of the readable tar.
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

// fail reports the first error that makes the rest of the tar unreadable.
func (w *walker) fail(path string, err error) {
	if w.broken == nil {
		w.broken = err
		w.layer.found.addf(path, "read layer: %v", err)
	}
}

// contentReader reads the current file of the tar.
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

// walk reads the whole tar.
func (w *walker) walk() {
	i, ok := w.next()
	for ok {
		switch {
		case i.bad:
			i, ok = w.next()
		case i.other:
			w.show(&i.entry)
			i, ok = w.next()
		case isObject(w.layer.storeDir, i.entry.Path):
			i, ok = w.object(i)
		default:
			shown := w.show(&i.entry)
			w.own.addBase(i.entry)
			shown()
			i, ok = w.next()
		}
	}
	if w.broken != nil {
		return
	}
	w.checkTail()
	if w.own != nil {
		w.own.finish()
	}
}

// isObject reports whether p is the path of a store object itself, not of a file in it.
func isObject(store rootfs.StoreDir, p string) bool { return path.Dir(p) == store.Root() }

// errReported ends a tree whose problem was already reported.
var errReported = errors.New("reported")

// object hashes the store object that begins with first, and returns the item after it.
func (w *walker) object(first item) (item, bool) {
	root := first.entry.Path
	current, more := first, true
	// advance reads the next item and reports whether it belongs to the object.
	// It runs only when that item is needed, because it ends the reading of the current file.
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
	if claim != nil && w.hash != nil && (w.store || !claim.Changed) {
		hex, size, err := w.hash(tree, root)
		if err == nil && clean && w.broken == nil {
			w.layer.record(claim, hex, size)
		}
		switch {
		case w.broken != nil, !clean, errors.Is(err, errReported):
		case claim.Changed && err == nil:
		case err != nil:
			w.layer.found.addf(root, "NAR hash: %v", err)
		case claim.Hash != "" && !strings.HasPrefix(hex, claim.Hash):
			w.layer.found.addf(root, "its NAR hash begins with %.*s, but the history says %s: it was changed",
				len(claim.Hash), hex, claim.Hash)
		case size != claim.Size:
			w.layer.found.addf(root, "its NAR has %d bytes, but the history says %d", size, claim.Size)
		}
	}
	for inside {
		inside = advance()
	}
	return current, more
}

// checkTail checks what follows the last entry.
func (w *walker) checkTail() {
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

// endReader notes whether the tar reader saw the end of the file.
// It does not see it if the tar has its two zero blocks.
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

// checkName removes the slash at the end of a directory's name and checks the path.
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
		if depth++; depth > rootfs.MaxPathDepth {
			return name, errors.New("is too deep")
		}
	}
	return name, nil
}

// whiteoutTarget returns the path that an entry of this name hides, if it is a whiteout.
func whiteoutTarget(name string) (hidden string, ok bool) {
	dir, base := path.Split(name)
	if base, ok = strings.CutPrefix(base, ".wh."); ok {
		return dir + base, true
	}
	return "", false
}

// modeOf returns the mode of a header. It knows only the types that a rootfs.Tree has.
func modeOf(h *tar.Header) fs.FileMode {
	m := rootfs.FileMode(uint32(h.Mode)) & (fs.ModePerm | fs.ModeSticky)
	switch h.Typeflag {
	case tar.TypeDir:
		m |= fs.ModeDir
	case tar.TypeSymlink:
		m |= fs.ModeSymlink
	}
	return m
}
