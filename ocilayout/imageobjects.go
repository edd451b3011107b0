package ocilayout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// VisibleObject is a store object that is visible in an image.
type VisibleObject struct {
	history.Object     // Hash has 12 digits if it comes from the history, and all digits if the layers were read
	Layer          int // index of its layer in the image
}

// VisibleObjects lists the visible store objects according to the image's history, sorted by name.
// It also counts the foreign layers: those of other programs, and those with a damaged history entry.
// Only reading these layers shows what they hold; see Tree. VisibleObjects trusts the history as far as it is consistent.
func (img *Image) VisibleObjects() (objects []VisibleObject, foreign int) {
	visible := make(map[string]VisibleObject)
	for i, h := range img.LayerClaims() {
		switch {
		case h == nil:
			foreign++
			continue
		case h.Top: // its objects are files above all store objects
			continue
		}
		for _, name := range h.Hidden {
			delete(visible, name)
		}
		for _, o := range h.Objects {
			if o.Name != history.BaseName {
				visible[o.Name] = VisibleObject{o, i}
			}
		}
	}
	return sortObjects(visible), foreign
}

// LayerClaims returns what the history says about each layer: nil if another program made it, or if its entry is damaged.
func (img *Image) LayerClaims() []*history.Claim {
	entries := slices.DeleteFunc(slices.Clone(img.Config.History), func(h ispec.History) bool { return h.EmptyLayer })
	claims := make([]*history.Claim, len(img.Layers))
	for i := range claims {
		if i == len(entries) {
			break
		}
		if c, err := history.Parse(entries[i]); err == nil {
			claims[i] = &c
		}
	}
	return claims
}

// AssumeStoreDir sets the store directory of an image whose history names none, since other programs made it.
func (img *Image) AssumeStoreDir(dir rootfs.StoreDir) {
	if !slices.ContainsFunc(img.LayerClaims(), func(c *history.Claim) bool { return c != nil }) {
		img.StoreDir = dir
	}
}

// HasChanges reports whether the image has a layer of changes on top of its store objects, according to the history.
func (img *Image) HasChanges() bool {
	return slices.ContainsFunc(img.LayerClaims(), func(c *history.Claim) bool { return c != nil && c.Top })
}

// purposely says what a layer changes on purpose, according to the history.
type purposely struct {
	top     bool            // everything in it, since it has only changes
	objects map[string]bool // store objects, by name
}

func (img *Image) changes() []purposely {
	all := make([]purposely, len(img.Layers))
	for i, c := range img.LayerClaims() {
		if c == nil {
			continue
		}
		all[i] = purposely{c.Top, make(map[string]bool)}
		for _, o := range c.Objects {
			if o.Changed {
				all[i].objects[o.Name] = true
			}
		}
	}
	return all
}

func sortObjects(visible map[string]VisibleObject) []VisibleObject {
	objects := make([]VisibleObject, 0, len(visible))
	for _, o := range visible {
		objects = append(objects, o)
	}
	slices.SortFunc(objects, func(a, b VisibleObject) int { return cmp.Compare(a.Name, b.Name) })
	return objects
}

// VisibleObjects lists the visible store objects, sorted by name, with all digits of their NAR hashes but no sizes.
// The hash is empty if the object was not hashed (see TreeOptions.Hash): its entries are scattered in a layer,
// or several layers hold parts of it. Changed is set if the history says so of the object, or of changes in a layer above it.
func (t *ImageTree) VisibleObjects() []VisibleObject {
	visible := make(map[string]VisibleObject)
	for _, name := range t.StoreNames() {
		if o, ok := t.visibleObject(name); ok {
			visible[name] = o
		}
	}
	return sortObjects(visible)
}

// visibleObject returns the object of that name. Its hash is empty unless one layer holds and hashed all of it.
func (t *ImageTree) visibleObject(name string) (o VisibleObject, there bool) {
	root := t.store.Object(name)
	first, there := t.Lower.Lookup(root)
	if !there {
		return o, false
	}
	o = VisibleObject{Object: history.Object{Name: name}, Layer: first.Layer}
	n, one := 0, true
	for e := range t.Lower.Within(root) {
		n++
		one = one && e.Layer == first.Layer
		o.Changed = o.Changed || t.changes[e.Layer].top
	}
	o.Changed = o.Changed || t.changes[first.Layer].objects[name]
	if one && n == t.counts[first.Layer][name] {
		o.Hash = t.listings[first.Layer].Objects[name]
	}
	return o, true
}

// Blobs returns the sizes of the image's blobs: manifest, config and layers.
func (img *Image) Blobs() map[digest.Digest]int64 {
	blobs := map[digest.Digest]int64{img.Manifest.Digest: img.Manifest.Size, img.ConfigBlob.Digest: img.ConfigBlob.Size}
	for _, l := range img.Layers {
		blobs[l.Descriptor.Digest] = l.Descriptor.Size
	}
	return blobs
}

// Fetch returns how many bytes a holder of this image must fetch to have next, and how many it already has.
func (img *Image) Fetch(next *Image) (fetched, had int64) {
	return fetch(img.Blobs(), next.Blobs())
}

// Object returns the files of a store object in one layer, in the order of the layer's tar. Each walk reads the layer again.
// Regular files can be read. A hard link to an earlier entry is an error, and so is a sparse file.
// A walk that reaches its end has checked the layer's digest and diffID.
func (img *Image) Object(ctx context.Context, layer int, name string) rootfs.Tree {
	root := path.Join(img.StoreDir.Root(), name)
	return func(yield func(rootfs.Entry, error) bool) {
		err := img.walkObject(ctx, layer, root, func(e rootfs.Entry) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(rootfs.Entry{}, fmt.Errorf("read layer %d of image %s: %w", layer+1, img.Digest, err))
		}
	}
}

var errStopped = errors.New("stopped")

func (img *Image) walkObject(ctx context.Context, layer int, root string, visit func(rootfs.Entry) bool) (err error) {
	l, err := openLayer(ctx, img.open, &img.Layers[layer])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	r := newListingReader(l, img.StoreDir)
	for i, ok := r.next(); ok; i, ok = r.next() {
		e := r.listing.Entries[i]
		if !rootfs.Within(root, e.Path) {
			r.finish(i)
			continue
		}
		if e.Kind != entryPut || e.Mode.IsRegular() && e.Source != e.Path {
			return fmt.Errorf("%q is not a file of its own", "/"+e.Path)
		}
		if e.Sparse { // its holes may be endless
			return fmt.Errorf("%q is sparse", "/"+e.Path)
		}
		entry := e.entry()
		if entry.IsRegular() {
			entry.Open = func() (io.ReadCloser, error) { return io.NopCloser(r), nil }
		}
		if !visit(entry) {
			return errStopped
		}
		r.finish(i)
	}
	if r.err != nil {
		return r.err
	}
	return l.finish()
}
