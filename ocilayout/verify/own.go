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

// ownRules are those of a layer that this program has made.
// They remember only where they are, since entries come in path order.
type ownRules struct {
	layer *layer
	last  string
	dirs  []string // that contain the last entry, and itself if it is one

	objects map[string]history.Object // claimed, and not found yet
	hidden  map[string]bool           // the same
	claimed *history.Object           // the base files
	base    *rootfs.PartSum           // those that were found
	any     bool                      // some are not only directories of the store
	unsure  bool                      // some could not be read, or were reported
}

func newOwnRules(l *layer) *ownRules {
	o := &ownRules{
		layer:   l,
		objects: make(map[string]history.Object),
		hidden:  make(map[string]bool),
		base:    rootfs.NewPartSum(),
	}
	for _, c := range l.claim.Objects {
		if c.Name == history.BaseName {
			o.claimed = &c
		} else {
			o.objects[c.Name] = c
		}
	}
	for _, name := range l.claim.Hidden {
		o.hidden[name] = true
	}
	return o
}

func (o *ownRules) entry(h *tar.Header) item {
	name, err := checkName(h.Name)
	i := item{entry: rootfs.Entry{Path: name, Mode: mode(h), UID: h.Uid, GID: h.Gid, Target: h.Linkname}}
	i.entry.Size = h.Size
	bad := func(format string, args ...any) item {
		o.layer.found.addf(name, format, args...)
		i.bad = true
		if !inStore(name) {
			o.unsure = true
		}
		return i
	}
	if err != nil {
		name = h.Name
		i.entry.Path = ""
		o.unsure = true
		return bad("%v", err)
	}
	if hidden, ok := whiteout(name); ok {
		i.other = true
		o.hide(h, name, hidden)
		return i
	}
	if strings.Contains("/"+name, "/.wh.") {
		return bad("is below a whiteout")
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeDir:
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
		return bad("is there twice")
	} else if o.last != "" && c > 0 {
		return bad("comes after %s, which is out of path order", quote(o.last))
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
		o.layer.found.addf(name, "%s", why) // which the NAR hash does not see
	} else if why := wrongMode(i.entry); why != "" {
		o.layer.found.addf(name, "%s", why)
	}
	return i
}

// wrongHeader says what a header has that this program writes into none, but for bits of the mode.
func wrongHeader(h *tar.Header, modes int64) string {
	switch {
	case !h.ModTime.Equal(rootfs.ModTime):
		return fmt.Sprintf("has the time %d, want %d", h.ModTime.Unix(), rootfs.ModTime.Unix())
	case h.Uname != "" || h.Gname != "":
		return "its owner has a name"
	case h.Mode&^modes != 0:
		return fmt.Sprintf("has the mode %04o, which no entry may have", h.Mode)
	case h.Typeflag != tar.TypeReg && h.Size != 0:
		return "has a size and is not a regular file"
	case h.Format&tar.FormatGNU != 0:
		return "has a GNU extension"
	case (h.Typeflag == tar.TypeDir) != strings.HasSuffix(h.Name, "/"):
		return "is a directory without a slash behind its name, or another with one"
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

// wrongMode says what is wrong with a mode or an owner, in the store, where there are few.
func wrongMode(e rootfs.Entry) string {
	want := e.Mode.Type()
	switch {
	case e.IsLink():
		want |= 0o777
	case e.Path == "nix" || e.Path == rootfs.StoreDir:
		want |= 0o755
	case !inStore(e.Path):
		return ""
	case e.IsDir() || e.Mode&0o100 != 0:
		want |= 0o555
	default:
		want |= 0o444
	}
	switch {
	case e.Mode != want:
		return fmt.Sprintf("has the mode %v, want %v", e.Mode, want)
	case inStore(e.Path) && (e.UID != 0 || e.GID != 0):
		return fmt.Sprintf("has the owner %d:%d, want 0:0", e.UID, e.GID)
	}
	return ""
}

// inStore says whether a path is that of a store object or lies below one.
func inStore(name string) bool {
	return rootfs.Within(rootfs.StoreDir, name) && name != rootfs.StoreDir
}

// hide checks a whiteout.
func (o *ownRules) hide(h *tar.Header, name, hidden string) {
	object := path.Base(hidden)
	switch {
	case !isObject(hidden) || strings.HasPrefix(object, ".wh."):
		o.layer.found.addf(name, "is a whiteout of what is not a store object")
	case h.Typeflag != tar.TypeReg || h.Size != 0:
		o.layer.found.addf(name, "is a whiteout and not an empty file")
	case !slices.Contains(o.layer.claim.Hidden, object):
		o.layer.found.addf(name, "is a whiteout that the history does not have")
	case !o.hidden[object]:
		o.layer.found.addf(name, "is there twice")
	default:
		delete(o.hidden, object)
		if why := wrongHeader(h, 0o1777); why != "" {
			o.layer.found.addf(name, "%s", why)
		}
	}
}

// object is what the history claims of an object that was found; nil, and a problem, if that is nothing.
func (o *ownRules) object(root string) *history.Object {
	c, ok := o.objects[path.Base(root)]
	if !ok {
		o.layer.found.addf(root, "is an object that the history does not have")
		return nil
	}
	delete(o.objects, c.Name)
	return &c
}

// addBase adds an entry that no store object has.
func (o *ownRules) addBase(e rootfs.Entry) {
	if e.Path != "nix" && e.Path != rootfs.StoreDir {
		if o.claimed == nil && !o.any {
			o.layer.found.addf(e.Path, "is a base file, which the history does not have") // the first will do
		}
		o.any = true
	}
	if o.claimed == nil {
		return
	}
	sum, err := rootfs.SumContent(e)
	if err != nil {
		o.unsure = true
		return
	}
	o.base.Add(e, sum)
}

// finish reports what is not there.
func (o *ownRules) finish() {
	for _, name := range slices.Sorted(maps.Keys(o.objects)) {
		o.layer.found.addf(rootfs.StoreDir+"/"+name, "is not there, and the history has it")
	}
	for _, name := range slices.Sorted(maps.Keys(o.hidden)) {
		o.layer.found.addf(rootfs.StoreDir+"/"+name, "is not hidden, and the history says so")
	}
	if o.claimed == nil || o.unsure {
		return
	}
	digits := strings.TrimPrefix(o.base.Key(), "sha256:")
	switch {
	case !o.any:
		o.layer.found.addf("", "there are no base files, and the history has them")
	case o.claimed.Hash != "" && !strings.HasPrefix(digits, o.claimed.Hash):
		o.layer.found.addf("", "the base files' hash begins with %.12s, and the history says %s: they were changed",
			digits, o.claimed.Hash)
	case o.claimed.Size != o.base.Size():
		o.layer.found.addf("", "the base files have %d bytes, and the history says %d", o.base.Size(), o.claimed.Size)
	}
}
