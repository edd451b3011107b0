package verify

import (
	"archive/tar"
	"path"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/rootfs"
)

// foreignRules checks the entries of a layer that another program made, or of a layer with changes,
// by the rules of the image specification.
// Entries may come in any order, so it remembers all names, up to maxNames.
type foreignRules struct {
	layer   *layer
	claimed map[string]bool

	seen  map[string]byte // the kind of each name
	bytes int64           // of the names in seen
	full  bool            // maxNames is reached; seen is nil
}

// maxNames limits the bytes of names to remember, plus perName for each.
const maxNames = 256 << 20

const perName = 64 // estimate of the bytes that a map entry takes

// Kinds of names.
const (
	seenDir      = 'd'
	seenOther    = 'o'
	seenParent   = 'p' // the parent of an entry, without an entry of its own yet
	seenWhiteout = 'w'
)

const (
	opaqueName = ".wh..wh..opq"
	aufsPrefix = ".wh..wh." // of names that aufs uses for itself, except opaqueName
)

// storeChanges records how a layer of another program changes claimed store objects.
type storeChanges struct {
	wiped   bool            // it hides the whole store
	hidden  map[string]bool // names of the objects that it hides
	written map[string]bool // names of the objects that it writes to
}

func (f *foreignRules) entry(h *tar.Header) item {
	bad := func(format string, args ...any) item {
		f.layer.found.addf(h.Name, format, args...)
		return item{bad: true}
	}
	switch strings.TrimSuffix(h.Name, "/") {
	case "", ".":
		return item{other: true} // sets the mode and owner of the root
	}
	// Programs that unpack an absolute path remove the slash, so it affects other entries as a relative path does.
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
		return bad("has the unknown type %q", h.Typeflag)
	}
	if f.layer.claim != nil {
		if why := wrongHeader(h, 0o7777); why != "" {
			f.layer.found.addf(name, "%s", why)
		}
	}
	hidden, isWhiteout := whiteoutTarget(name)
	switch {
	case isWhiteout && path.Base(name) == opaqueName:
		f.touch(path.Dir(name), true)
	case isWhiteout && strings.HasPrefix(path.Base(name), aufsPrefix):
		return item{other: true}
	case isWhiteout && strings.HasSuffix(hidden, "/"), hidden == "" && isWhiteout:
		return bad("is a whiteout of nothing")
	case isWhiteout:
		f.touch(hidden, true)
	default:
		f.touch(name, false)
		if h.Typeflag != tar.TypeDir && f.layer.storeDir.Above(name) {
			f.touch(name, true) // it replaces the store
		}
	}
	if isWhiteout && (h.Typeflag != tar.TypeReg || h.Size != 0) {
		return bad("is a whiteout but not an empty file")
	}
	i := item{other: true}
	switch {
	case isWhiteout:
		f.remember(h.Name, name, seenWhiteout)
	case h.Typeflag == tar.TypeDir:
		f.remember(h.Name, name, seenDir)
	default:
		f.remember(h.Name, name, seenOther)
		if t := h.Typeflag; t == tar.TypeSymlink || (t == tar.TypeReg || t == tar.TypeCont) && !isSparse(h) {
			i.entry = rootfs.Entry{Path: name, Mode: modeOf(h), Size: h.Size, Target: h.Linkname}
		}
	}
	return i
}

// remember reports a name that occurs twice, and a name below something that is not a directory.
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
		f.layer.found.addf(shown, "is not a directory, but there are entries below it")
	case before != 0:
		f.layer.found.addf(shown, "occurs twice")
	}
	f.put(name, kind)
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		switch f.seen[dir] {
		case seenDir, seenParent:
			return // the parents of dir were seen with it
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
		f.layer.found.addf("", "has too many names to find those that occur twice")
		f.full, f.seen = true, nil
	}
}

// touch records a change to a claimed object.
func (f *foreignRules) touch(name string, hides bool) {
	s := &f.layer.store
	if hides && f.layer.storeDir.Above(name) || name == "." {
		s.wiped = true
		return
	}
	object, below, in := f.layer.storeDir.Cut(name)
	if !in || !f.claimed[object] {
		return
	}
	switch {
	case hides && below == "":
		s.hidden = add(s.hidden, object)
	default:
		s.written = add(s.written, object)
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
