package overlay

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/export-profile/export-profile/rootfs"
)

// addLayer turns the difference between lower and the current tree into a layer, if there is any.
func (o *Overlay) addLayer(lower *node, i int, changes []Change) {
	var d difference
	if o.tree.root != lower {
		d.compareDir(lower, o.tree.root)
	}
	if len(d.entries) == 0 && len(d.hidden) == 0 {
		if len(changes) > 0 {
			o.note("layer %d changes nothing, and is left out", i+1)
		}
		return
	}
	name := "overlay"
	if i > 0 {
		name = fmt.Sprintf("overlay-%d", i+1)
	}
	l := Layer{Part: d.part(name), Hidden: d.hidden}
	for _, c := range changes {
		l.Changes = append(l.Changes, c.Title())
	}
	o.Layers = append(o.Layers, l)
}

// difference collects what turns a lower state of the image into an upper one.
type difference struct {
	entries []*node
	hidden  []string
}

// compareDir collects the differences within a directory. lower may be nil or not a directory.
// The directory itself becomes an entry if it or anything in it differs.
func (d *difference) compareDir(lower, upper *node) {
	entries, hidden := len(d.entries), len(d.hidden)
	if upper.Path != "" {
		d.entries = append(d.entries, upper)
	}
	if lower != nil && !lower.IsDir() {
		lower = nil
	}
	for _, name := range names(lower, upper) {
		var was *node
		if lower != nil {
			was = lower.children[name]
		}
		switch is := upper.children[name]; {
		case is == was:
		case is == nil:
			d.hidden = append(d.hidden, was.Path)
		case is.IsDir():
			d.compareDir(was, is)
		default:
			d.entries = append(d.entries, is)
		}
	}
	if len(d.entries) == entries+1 && len(d.hidden) == hidden && upper.Path != "" && lower != nil &&
		lower.Mode == upper.Mode && lower.UID == upper.UID && lower.GID == upper.GID {
		d.entries = d.entries[:entries]
	}
}

func (d *difference) part(name string) rootfs.Part {
	p := rootfs.Part{Name: name}
	h := sha256.New()
	fmt.Fprint(h, "export-profile overlay 1\n")
	var entries []rootfs.Entry
	for _, n := range d.entries {
		entries = append(entries, n.Entry)
		fmt.Fprintf(h, "%q %o %d:%d %q %d %x\n", n.Path, uint32(n.Mode), n.UID, n.GID, n.Target, n.Size, n.sum)
		p.Size += n.Size
	}
	p.Key = "sha256:" + hex.EncodeToString(h.Sum(nil))
	p.Tree = rootfs.TreeOf(entries)
	return p
}
