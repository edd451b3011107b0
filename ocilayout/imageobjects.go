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
	history.Object     // its Hash is what the history has, or all of it where the layers were read
	Layer          int // the place in the image's layers
}

// VisibleObjects is what the image's history says is visible of its store, sorted by name, and how many layers it does not say it of,
// since other programs have made them or their entries are damaged: what those hold is found out by reading them (see Tree).
// What it says is believed, as far as it makes sense.
func (f *Image) VisibleObjects() (objects []VisibleObject, foreign int) {
	visible := make(map[string]VisibleObject)
	entries := slices.DeleteFunc(slices.Clone(f.Config.History), func(h ispec.History) bool { return h.EmptyLayer })
	for i := range f.Layers {
		h, err := history.Parse(entries[i])
		switch {
		case err != nil:
			foreign++
			continue
		case h.Top: // its objects are files that lie over others
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

func sortObjects(visible map[string]VisibleObject) []VisibleObject {
	objects := make([]VisibleObject, 0, len(visible))
	for _, h := range visible {
		objects = append(objects, h)
	}
	slices.SortFunc(objects, func(a, b VisibleObject) int { return cmp.Compare(a.Name, b.Name) })
	return objects
}

// VisibleObjects is what is visible of the store, sorted by name, with all digits of the NAR hashes, but no sizes.
// Of what was not hashed (see TreeOptions.Hash), since a layer has it in several places,
// or several layers have a part of it, the hash is empty.
func (t *ImageTree) VisibleObjects() []VisibleObject {
	visible := make(map[string]VisibleObject)
	for _, name := range t.StoreNames() {
		if h, ok := t.visibleObject(name); ok {
			visible[name] = h
		}
	}
	return sortObjects(visible)
}

// visibleObject is what is visible under one name; the hash is empty unless one layer has all of it, and it was hashed there.
func (t *ImageTree) visibleObject(name string) (h VisibleObject, there bool) {
	root := history.StoreDir + "/" + name
	first, there := t.Lower.Lookup(root)
	if !there {
		return h, false
	}
	h = VisibleObject{Object: history.Object{Name: name}, Layer: first.Layer}
	n, one := 0, true
	for e := range t.Lower.Within(root) {
		n++
		one = one && e.Layer == first.Layer
	}
	if one && n == t.counts[first.Layer][name] {
		h.Hash = t.listings[first.Layer].Objects[name]
	}
	return h, true
}

// Blobs are those of the image, each once: manifest, config and layers.
func (f *Image) Blobs() map[digest.Digest]int64 {
	blobs := map[digest.Digest]int64{f.Manifest.Digest: f.Manifest.Size, f.ConfigBlob.Digest: f.ConfigBlob.Size}
	for _, l := range f.Layers {
		blobs[l.Descriptor.Digest] = l.Descriptor.Size
	}
	return blobs
}

// Fetch is what someone who has the image b has to fetch to have next:
// the bytes of blobs that are new, and of those that are there already.
func (f *Image) Fetch(next *Image) (fetched, had int64) {
	return fetch(f.Blobs(), next.Blobs())
}

// Object is the files that a layer has of a store object, as they come in its tar, which is read again for each walk.
// The contents of regular files can be read; a hard link to one of an earlier entry cannot, and is an error.
// If the walk comes to its end, the layer is what its digest and diffID say.
func (f *Image) Object(ctx context.Context, layer int, name string) rootfs.Tree {
	root := path.Join(history.StoreDir, name)
	return func(yield func(rootfs.Entry, error) bool) {
		err := f.walkObject(ctx, layer, root, func(e rootfs.Entry) bool { return yield(e, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(rootfs.Entry{}, fmt.Errorf("read layer %d of image %s: %w", layer+1, f.Digest, err))
		}
	}
}

var errStopped = errors.New("stopped")

func (f *Image) walkObject(ctx context.Context, layer int, root string, visit func(rootfs.Entry) bool) (err error) {
	l, err := openLayer(ctx, f.open, &f.Layers[layer])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	r := &listingReader{layer: l, at: make(map[string]int), seen: make(map[string]bool)}
	for i, ok := r.next(); ok; i, ok = r.next() {
		e := r.listing.Entries[i]
		if !rootfs.Within(root, e.Path) {
			r.finish(i)
			continue
		}
		if e.Kind != entryPut || e.Mode.IsRegular() && e.Source != e.Path {
			return fmt.Errorf("%q is not a file of its own", "/"+e.Path)
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
