package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// Object is a store object that is visible in an image. Its hash and size come from the bytes of a layer, not from the history.
type Object struct {
	Name    string
	Hash    string // of the NAR, in hexadecimal digits; "" if it is unknown: a report says why, or the files are spread over several layers
	Size    int64  // of the NAR
	Layer   int    // index of its layer
	Changed bool   // on purpose, as the history says
}

// record keeps what was found of a claimed object.
func (l *layer) record(claim *history.Object, hex string, size int64) {
	if l.objects == nil {
		l.objects = make(map[string]Object)
	}
	l.objects[claim.Name] = Object{Name: claim.Name, Hash: hex, Size: size}
}

// store returns what the layers hold of the visible objects. An object that a layer lacks has been reported.
func (img *image) store(visible map[string]visibleObject) []Object {
	objects := []Object{}
	for name, v := range visible {
		if o, ok := img.layers[v.layer].objects[name]; ok {
			o.Layer, o.Changed = v.layer, v.Changed
			objects = append(objects, o)
		}
	}
	sortObjects(objects)
	return objects
}

func sortObjects(objects []Object) {
	slices.SortFunc(objects, func(a, b Object) int { return cmp.Compare(a.Name, b.Name) })
}

// Part is one entry of an index.
type Part struct {
	Digest      digest.Digest
	MediaType   string
	Attestation bool // of BuildKit, not an image
}

// Manifests returns the digests of all images with a manifest, except attestations, and the parts of the indexes that
// ImageReport.Indexes lists. Documents that could not be read are missing.
func (c *Claims) Manifests() (images []digest.Digest, indexes map[digest.Digest][]Part) {
	for _, img := range c.images {
		if !img.attestation && img.digest != img.config {
			images = append(images, img.digest)
		}
	}
	return images, c.parts
}

// StoreDir returns the store directory that the history of the last image names, or else /nix/store.
func (c *Claims) StoreDir() (dir rootfs.StoreDir) {
	for _, img := range c.images {
		if !img.attestation {
			dir = img.storeDir
		}
	}
	return dir
}

// Tags returns all tags that the layout gives to the images, in its order; "" for an image without a tag.
// They come from the layout, so they may be any text.
func (c *Claims) Tags() []string { return c.tags }

// UnreadableError reports layers that form no file tree, whatever each of them is.
type UnreadableError struct{ Err error }

func (e *UnreadableError) Error() string { return "read all layers: " + e.Err.Error() }
func (e *UnreadableError) Unwrap() error { return e.Err }

// ReadStore returns the visible store objects of a Stacked image, sorted by name. It reads the layers of the image once more,
// puts them on top of each other, as an unpacker does, and checks their digests again.
// If that fails because of what the layers contain, the error is an [UnreadableError].
func (c *Claims) ReadStore(ctx context.Context, r ImageReport, o Options) ([]Object, error) {
	at := slices.IndexFunc(c.images, func(img *image) bool { return img.digest == r.Digest && img.digest != img.config })
	if at < 0 {
		return nil, &UnreadableError{fmt.Errorf("image %s has no manifest", r.Digest)}
	}
	source := &ocilayout.ImageSource{Name: r.Digest.String(), Descriptor: c.images[at].desc}
	var faults readFaults
	source.Open = func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		b, err := c.open(ctx, d)
		if err != nil {
			faults.add(err)
			return nil, err
		}
		return &faultReader{b, &faults}, nil
	}
	objects, err := readStore(ctx, source, r, o)
	switch {
	case context.Cause(ctx) != nil:
		return nil, context.Cause(ctx)
	case faults.err != nil:
		return nil, fmt.Errorf("read image %s: %w", r.Digest, faults.err)
	case err != nil:
		return nil, &UnreadableError{err}
	}
	return objects, nil
}

func readStore(ctx context.Context, source *ocilayout.ImageSource, r ImageReport, o Options) ([]Object, error) {
	img, err := source.Read(ctx, ispec.Platform{})
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	sizes := make(map[string]int64) // by root and hash
	tree, err := img.Tree(ctx, ocilayout.TreeOptions{Progress: o.Progress, Hash: func(t rootfs.Tree, root string) (string, int64, error) {
		hex, size, err := o.Hash(t, root)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			sizes[root+" "+hex] = size
		}
		return hex, size, err
	}})
	if err != nil {
		return nil, err
	}
	objects := []Object{}
	for _, v := range tree.VisibleObjects() {
		_, changed := slices.BinarySearch(r.Changed, v.Name)
		changed = changed || v.Changed // also an object that a layer of changes has added
		objects = append(objects, Object{v.Name, v.Hash, sizes[img.StoreDir.Object(v.Name)+" "+v.Hash], v.Layer, changed})
	}
	return objects, nil
}

// readFaults keeps the first error of reading blobs, as opposed to those of their contents.
type readFaults struct {
	mu  sync.Mutex
	err error
}

func (f *readFaults) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil && !errors.Is(err, ocilayout.ErrIrregular) {
		f.err = err
	}
}

type faultReader struct {
	io.ReadCloser
	faults *readFaults
}

func (r *faultReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		r.faults.add(err)
	}
	return n, err
}
