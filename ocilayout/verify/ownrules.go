package verify

import (
	"archive/tar"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// ownRules checks the entries of a layer that this program made.
// Entries come in path order, so it remembers only the current position.
type ownRules struct {
	layer *layer
	last  string   // path of the last entry
	dirs  []string // directories around the last entry, and the last entry itself if it is a directory

	objects     map[string]history.Object // claimed objects that were not found yet
	changed     map[string]bool           // paths of the objects that were changed on purpose
	hidden      map[string]bool           // claimed whiteouts that were not found yet
	claimedBase *history.Object           // the claim about the base files, or nil
	base        *rootfs.PartSum           // sum of the base files that were found
	hasBase     bool                      // a base file was found that is not the store directory or one above it
	partialBase bool                      // base lacks files that were reported or could not be read
}

func newOwnRules(l *layer) *ownRules {
	o := &ownRules{
		layer:   l,
		objects: make(map[string]history.Object),
		changed: make(map[string]bool),
		hidden:  make(map[string]bool),
		base:    rootfs.NewPartSum(),
	}
	for _, c := range l.claim.Objects {
		if c.Name == history.BaseName {
			o.claimedBase = &c
		} else {
			o.objects[c.Name] = c
			if c.Changed {
				o.changed[l.storeDir.Object(c.Name)] = true
			}
		}
	}
	for _, name := range l.claim.Hidden {
		o.hidden[name] = true
	}
	return o
}

func (o *ownRules) entry(h *tar.Header) item {
	name, err := checkName(h.Name)
	i := item{entry: rootfs.Entry{Path: name, Mode: modeOf(h), UID: h.Uid, GID: h.Gid, Target: h.Linkname}}
	i.entry.Size = h.Size
	bad := func(format string, args ...any) item {
		o.layer.found.addf(name, format, args...)
		i.bad = true
		if !o.inStore(name) {
			o.partialBase = true
		}
		return i
	}
	if err != nil {
		name = h.Name
		i.entry.Path = ""
		o.partialBase = true
		return bad("%v", err)
	}
	if hidden, ok := whiteoutTarget(name); ok {
		i.other = true
		o.hide(h, name, hidden)
		return i
	}
	if strings.Contains("/"+name, "/.wh.") {
		return bad("is below a whiteout")
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
		if isSparse(h) { // its holes may be endless
			return bad("is a sparse file")
		}
		i.entry.Target = ""
	case tar.TypeSymlink:
		if err := rootfs.CheckTarget(h.Linkname); err != nil {
			return bad("%v", err)
		}
		i.entry.Size = 0
	default:
		return bad("is neither a directory, a regular file nor a symbolic link: type %q", h.Typeflag)
	}
	if c := rootfs.ComparePaths(o.last, name); o.last != "" && c == 0 {
		return bad("occurs twice")
	} else if o.last != "" && c > 0 {
		return bad("comes after %s, out of path order", quote(o.last))
	}
	o.last = name
	for len(o.dirs) > 0 && !rootfs.Within(o.dirs[len(o.dirs)-1], name) {
		o.dirs = o.dirs[:len(o.dirs)-1]
	}
	if i.entry.IsDir() {
		defer func() { o.dirs = append(o.dirs, name) }()
	}
	if parent := path.Dir(name); parent != "." && (len(o.dirs) == 0 || o.dirs[len(o.dirs)-1] != parent) {
		return bad("its parent is not a directory of the layer")
	}
	if why := wrongHeader(h, 0o1777); why != "" {
		o.layer.found.addf(name, "%s", why) // the NAR hash does not cover it
	} else if why := o.wrongMode(i.entry); why != "" && !o.inChanged(name) {
		o.layer.found.addf(name, "%s", why)
	}
	return i
}

// isSparse reports whether a header has one of the attributes that GNU tar gives to a file with holes.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// inChanged reports whether a path is in a store object that was changed on purpose.
func (o *ownRules) inChanged(name string) bool {
	if len(o.changed) == 0 || !o.inStore(name) {
		return false
	}
	object, _, _ := o.layer.storeDir.Cut(name)
	return o.changed[o.layer.storeDir.Object(object)]
}

// wrongHeader returns the first reason why this program did not write a header, or "".
// The mode may have any of the bits in modes.
func wrongHeader(h *tar.Header, modes int64) string {
	switch {
	case !h.ModTime.Equal(rootfs.ModTime):
		return fmt.Sprintf("has the time %d, want %d", h.ModTime.Unix(), rootfs.ModTime.Unix())
	case h.Uname != "" || h.Gname != "":
		return "has an owner name"
	case h.Mode&^modes != 0:
		return fmt.Sprintf("has the mode %04o, which no entry may have", h.Mode)
	case h.Typeflag != tar.TypeReg && h.Size != 0:
		return "has a size but is not a regular file"
	case h.Format&tar.FormatGNU != 0:
		return "has a GNU extension"
	case h.Typeflag == tar.TypeDir && !strings.HasSuffix(h.Name, "/"):
		return "is a directory, but its name has no slash at the end"
	case h.Typeflag != tar.TypeDir && strings.HasSuffix(h.Name, "/"):
		return "is not a directory, but its name has a slash at the end"
	}
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		switch key {
		case "gid", "linkpath", "path", "size", "uid":
		default:
			return fmt.Sprintf("has the attribute %s", quote(key))
		}
	}
	return ""
}

// wrongMode returns what is wrong with the mode or owner of an entry, or "".
// Outside of store objects, only the store directory, those above it and symbolic links have a fixed mode.
func (o *ownRules) wrongMode(e rootfs.Entry) string {
	want, above := e.Mode.Type(), o.layer.storeDir.Above(e.Path)
	switch {
	case above && !e.IsDir():
		return "is not a directory, and hides the store objects of all other layers"
	case e.IsLink():
		want |= 0o777
	case above:
		want |= 0o755
	case !o.inStore(e.Path):
		return ""
	case e.IsDir() || e.Mode&0o100 != 0:
		want |= 0o555
	default:
		want |= 0o444
	}
	switch {
	case e.Mode != want:
		return fmt.Sprintf("has the mode %v, want %v", e.Mode, want)
	case o.inStore(e.Path) && (e.UID != 0 || e.GID != 0):
		return fmt.Sprintf("has the owner %d:%d, want 0:0", e.UID, e.GID)
	}
	return ""
}

// inStore reports whether a path is that of a store object or below one.
func (o *ownRules) inStore(name string) bool { return inStore(o.layer.storeDir, name) }

func inStore(store rootfs.StoreDir, name string) bool {
	_, _, in := store.Cut(name)
	return in
}

// hide checks the whiteout of hidden.
func (o *ownRules) hide(h *tar.Header, name, hidden string) {
	object := path.Base(hidden)
	switch {
	case !isObject(o.layer.storeDir, hidden) || strings.HasPrefix(object, ".wh."):
		o.layer.found.addf(name, "is a whiteout, but not of a store object")
	case h.Typeflag != tar.TypeReg || h.Size != 0:
		o.layer.found.addf(name, "is a whiteout but not an empty file")
	case !slices.Contains(o.layer.claim.Hidden, object):
		o.layer.found.addf(name, "is a whiteout that the history does not list")
	case !o.hidden[object]:
		o.layer.found.addf(name, "occurs twice")
	default:
		delete(o.hidden, object)
		if why := wrongHeader(h, 0o1777); why != "" {
			o.layer.found.addf(name, "%s", why)
		}
	}
}

// object returns the claim about a found object. If there is none, it reports a problem and returns nil.
func (o *ownRules) object(root string) *history.Object {
	c, ok := o.objects[path.Base(root)]
	if !ok {
		o.layer.found.addf(root, "is a store object that the history does not list")
		return nil
	}
	delete(o.objects, c.Name)
	return &c
}

// addBase adds an entry that belongs to no store object.
func (o *ownRules) addBase(e rootfs.Entry) {
	if !o.layer.storeDir.Above(e.Path) {
		if o.claimedBase == nil && !o.hasBase { // reports only the first
			o.layer.found.addf(e.Path, "is a base file, but the history lists none")
		}
		o.hasBase = true
	}
	if o.claimedBase == nil {
		return
	}
	sum, err := rootfs.SumContent(e)
	if err != nil {
		o.partialBase = true
		return
	}
	o.base.Add(e, sum)
}

// finish reports what is missing, and compares the base files.
func (o *ownRules) finish() {
	for _, name := range slices.Sorted(maps.Keys(o.objects)) {
		o.layer.found.addf(o.layer.storeDir.Object(name), "is missing, but the history lists it")
	}
	for _, name := range slices.Sorted(maps.Keys(o.hidden)) {
		o.layer.found.addf(o.layer.storeDir.Object(name), "is not hidden, but the history says that it is")
	}
	if o.claimedBase == nil || o.partialBase {
		return
	}
	digits := strings.TrimPrefix(o.base.Key(), "sha256:")
	switch {
	case !o.hasBase:
		o.layer.found.addf("", "has no base files, but the history lists them")
	case o.claimedBase.Hash != "" && !strings.HasPrefix(digits, o.claimedBase.Hash):
		o.layer.found.addf("", "the hash of the base files begins with %.12s, but the history says %s: they were changed",
			digits, o.claimedBase.Hash)
	case o.claimedBase.Size != o.base.Size():
		o.layer.found.addf("", "the base files have %d bytes, but the history says %d", o.base.Size(), o.claimedBase.Size)
	}
}
