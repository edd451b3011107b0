package verify

import (
	"archive/tar"
	"path"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// foreignRules are those of a layer that another program has made: what the image specification says of all.
// Entries may come in any order, so that all names are remembered, up to a limit.
type foreignRules struct {
	layer   *layer
	claimed map[string]bool

	seen  map[string]byte // its kind
	bytes int64
	full  bool
}

// maxNames is how many bytes of names are remembered, with 64 for each.
const maxNames = 256 << 20

// Kinds of what is seen.
const (
	seenDir     = 'd'
	seenOther   = 'o'
	seenParent  = 'p' // of an entry; not itself there yet
	seenHidden  = 'w'
	perName     = 64
	opaqueName  = ".wh..wh..opq"
	hiddenExtra = ".wh..wh." // other such names are aufs's own
)

// storeChanges is what a layer of another program does to store objects that are claimed.
type storeChanges struct {
	wiped  bool            // hides all
	hidden map[string]bool // by their names
	put    map[string]bool // has something there
}

func (f *foreignRules) entry(h *tar.Header) item {
	bad := func(format string, args ...any) item {
		f.layer.found.addf(h.Name, format, args...)
		return item{bad: true}
	}
	switch strings.TrimSuffix(h.Name, "/") {
	case "", ".":
		return item{other: true} // the root's mode and owner
	}
	// Whoever unpacks an absolute path takes the slash away, so that is what the entry does to the others.
	below := strings.TrimLeft(h.Name, "/")
	if below != h.Name {
		f.layer.found.addf(h.Name, "is an absolute path")
		if strings.TrimSuffix(below, "/") == "" || strings.TrimSuffix(below, "/") == "." {
			return item{other: true}
		}
	}
	name, err := checkName(strings.TrimPrefix(below, "./"))
	if err != nil {
		return bad("%v", err)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeChar, tar.TypeBlock, tar.TypeFifo, tar.TypeGNUSparse, tar.TypeCont:
	case tar.TypeSymlink:
		if err := rootfs.CheckTarget(h.Linkname); err != nil {
			return bad("%v", err)
		}
	case tar.TypeLink:
		if _, err := checkName(strings.TrimPrefix(h.Linkname, "./")); err != nil {
			return bad("is a hard link to %s: %v", quote(h.Linkname), err)
		}
	case tar.TypeXGlobalHeader:
		return item{other: true}
	default:
		return bad("is of the unknown type %q", h.Typeflag)
	}
	if f.layer.claim != nil {
		if why := wrongHeader(h, 0o7777); why != "" {
			f.layer.found.addf(name, "%s", why)
		}
	}
	hidden, isWhiteout := whiteout(name)
	switch {
	case isWhiteout && path.Base(name) == opaqueName:
		f.touch(path.Dir(name), true)
	case isWhiteout && strings.HasPrefix(path.Base(name), hiddenExtra):
		return item{other: true}
	case isWhiteout && strings.HasSuffix(hidden, "/"), hidden == "" && isWhiteout:
		return bad("is a whiteout of nothing")
	case isWhiteout:
		f.touch(hidden, true)
	default:
		f.touch(name, false)
		if h.Typeflag != tar.TypeDir && rootfs.Within(name, rootfs.StoreDir) {
			f.touch(name, true) // in place of the store
		}
	}
	if isWhiteout && (h.Typeflag != tar.TypeReg || h.Size != 0) {
		return bad("is a whiteout and not an empty file")
	}
	switch {
	case isWhiteout:
		f.remember(h.Name, name, seenHidden)
	case h.Typeflag == tar.TypeDir:
		f.remember(h.Name, name, seenDir)
	default:
		f.remember(h.Name, name, seenOther)
	}
	return item{other: true}
}

// remember notices what is there twice, or below what is not a directory.
func (f *foreignRules) remember(shown, name string, kind byte) {
	if f.full {
		return
	}
	if f.seen == nil {
		f.seen = make(map[string]byte)
	}
	switch before := f.seen[name]; {
	case before == seenParent && kind == seenDir:
	case before == seenParent:
		f.layer.found.addf(shown, "is not a directory, and there are entries below it")
	case before != 0:
		f.layer.found.addf(shown, "is there twice")
	}
	f.put(name, kind)
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		switch f.seen[dir] {
		case seenDir, seenParent:
			return // and so are those above
		case 0:
			f.put(dir, seenParent)
		default:
			f.layer.found.addf(shown, "is below %s, which is not a directory", quote(dir))
			return
		}
	}
}

func (f *foreignRules) put(name string, kind byte) {
	if f.full {
		return
	}
	f.seen[name] = kind
	if f.bytes += int64(len(name)) + perName; f.bytes > maxNames {
		f.layer.found.addf("", "has too many names to look for those that are there twice")
		f.full, f.seen = true, nil
	}
}

// touch remembers what is done to claimed objects.
func (f *foreignRules) touch(name string, hides bool) {
	s := &f.layer.store
	if hides && rootfs.Within(name, rootfs.StoreDir) || name == "." {
		s.wiped = true
		return
	}
	if !inStore(name) {
		return
	}
	rest := name[len(rootfs.StoreDir)+1:]
	object, _, below := strings.Cut(rest, "/")
	if !f.claimed[object] {
		return
	}
	switch {
	case hides && !below:
		s.hidden = add(s.hidden, object)
	default:
		s.put = add(s.put, object)
	}
}

func add(m map[string]bool, name string) map[string]bool {
	if m == nil {
		m = make(map[string]bool)
	}
	m[name] = true
	return m
}

func sorted(m map[string]bool) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
