package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	_ "crypto/sha512" // of which digests may be

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
)

// Limits of what is read before a layer is.
const (
	maxDocuments = 256 << 20 // of all, each as often as it is referred to, since what they say is remembered
	maxImages    = 1 << 10   // in an index, and in all of them
	maxLayers    = 1 << 10   // of an image
	maxIndexes   = 8         // one in another
)

// opener opens a blob, in a layout, an archive or a registry.
type opener = ocilayout.OpenBlob

// Claims is what index, manifests and configs say, and what was found wrong with them by themselves.
type Claims struct {
	open    opener
	docker  bool // Docker's manifests are images, too
	images  []*image
	layers  []*layer        // of all images, each once
	indexes []digest.Digest // indexes that are an image for several platforms
	found   findings        // in indexes

	read    int64                  // bytes of documents
	seen    map[digest.Digest]bool // manifests and indexes
	byKey   map[layerKey]*layer
	objects map[string]bool // names of store objects that some layer claims
}

// image is what a manifest and its config say.
type image struct {
	digest digest.Digest // of the manifest; in an archive that has none, of the config
	config digest.Digest
	layers []*layer
	found  findings

	attestation bool // it is no image, but says something of one
}

// documentProblems is how many problems of one document are kept.
const documentProblems = defaultProblems

// ReadLayout reads index, manifests and configs of images in a layout:
// of that with a tag or full name, or, without one, of all.
// The error is fs.ErrNotExist if there is no layout or no such image; whatever else is wrong is for Check to report.
func ReadLayout(ctx context.Context, dir, tag string) (_ *Claims, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read layout %q: %w", dir, err)
		}
	}()
	c := newClaims(func(_ context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		return openRegular(filepath.Join(dir, ispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded()))
	})
	found, err := c.layout(ctx, tag, func(name string) (io.ReadCloser, error) { return openRegular(filepath.Join(dir, name)) })
	if err == nil && !found {
		err = noImage(tag)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func noImage(tag string) error { return fmt.Errorf("image %q: there is none: %w", tag, fs.ErrNotExist) }

// layout reads what the files at a layout's top say of images, and whether one of them is wanted.
func (c *Claims) layout(ctx context.Context, tag string, open func(name string) (io.ReadCloser, error)) (found bool, err error) {
	index, err := readFile(open, ispec.ImageIndexFile)
	if err != nil {
		return false, err
	}
	version, err := readFile(open, ispec.ImageLayoutFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err != nil {
		c.found.add(Problem{Blob: ispec.ImageLayoutFile, What: "is missing"})
	} else {
		c.checkShape(&c.found, ispec.ImageLayoutFile, version, layoutShape)
	}
	if !c.checkShape(&c.found, ispec.ImageIndexFile, index, indexShape) {
		return true, nil
	}
	var parsed ispec.Index
	if err := json.Unmarshal(index, &parsed); err != nil {
		c.found.add(Problem{Blob: ispec.ImageIndexFile, What: err.Error()})
		return true, nil
	}
	for _, d := range parsed.Manifests {
		if tag == "" || d.Annotations[ispec.AnnotationRefName] == tag || d.Annotations[ocilayout.AnnotationFullName] == tag {
			found = true
			if err := c.follow(ctx, d, ispec.ImageIndexFile, 0); err != nil {
				return true, err
			}
		}
	}
	return found, nil
}

func newClaims(open opener) *Claims {
	return &Claims{
		open:    open,
		found:   findings{most: documentProblems},
		seen:    make(map[digest.Digest]bool),
		byKey:   make(map[layerKey]*layer),
		objects: make(map[string]bool),
	}
}

// Size is how many bytes of blobs Check will read, if they are as long as they should be.
func (c *Claims) Size() int64 {
	var n int64
	for _, l := range c.layers {
		n += max(l.desc.Size, 0)
	}
	return n
}

// follow reads what a descriptor in an index refers to: a manifest, or another index.
func (c *Claims) follow(ctx context.Context, d ispec.Descriptor, in string, depth int) error {
	if c.seen[d.Digest] {
		return nil
	}
	var s shape
	index := false
	switch {
	case d.MediaType == ispec.MediaTypeImageIndex:
		s, index = indexShape, true
	case d.MediaType == ispec.MediaTypeImageManifest:
		s = manifestShape
	case d.MediaType == ocilayout.DockerListType && c.docker:
		s, index = withType(indexShape, ocilayout.DockerListType), true
	case d.MediaType == ocilayout.DockerImageType && c.docker:
		s = withType(manifestShape, ocilayout.DockerImageType)
	default:
		c.found.add(Problem{Blob: in, What: fmt.Sprintf("%s is of type %s, which is not an image's",
			quoteOdd(d.Digest.String()), quote(d.MediaType))})
		return nil
	}
	if len(c.seen) >= maxImages || depth > maxIndexes {
		c.found.add(Problem{Blob: in, What: "there are too many images, or indexes in indexes"})
		return nil
	}
	c.seen[d.Digest] = true
	img := &image{digest: d.Digest, found: findings{most: documentProblems}, attestation: d.Annotations[ocilayout.AnnotationReference] != "" && !index}
	found := &img.found
	if index {
		found = &c.found
		if depth == 0 {
			c.indexes = append(c.indexes, d.Digest)
		}
	} else {
		c.images = append(c.images, img)
	}
	b, ok, err := c.document(ctx, found, d, s)
	if err != nil || !ok {
		return err
	}
	if !index {
		return c.manifest(ctx, img, d, b)
	}
	var parsed ispec.Index
	if err := json.Unmarshal(b, &parsed); err != nil {
		c.found.add(Problem{Blob: d.Digest.String(), What: err.Error()})
		return nil
	}
	for _, m := range parsed.Manifests {
		if err := c.follow(ctx, m, d.Digest.String(), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// document reads a JSON blob and finds out what is wrong with it.
// Ok says that it can be decoded; it may still be another than the one that is wanted.
func (c *Claims) document(ctx context.Context, found *findings, d ispec.Descriptor, s shape) (b []byte, ok bool, err error) {
	name := d.Digest.String()
	problem := func(format string, args ...any) {
		found.add(Problem{Blob: name, What: fmt.Sprintf(format, args...)})
	}
	if d.Digest.Validate() != nil {
		return nil, false, nil // it is in the descriptor's shape
	}
	r, err := c.open(ctx, d)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		problem("is missing")
		return nil, false, nil
	case errors.Is(err, ocilayout.ErrIrregular):
		problem("%v", err)
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	b, err = io.ReadAll(io.LimitReader(r, ocilayout.MaxDocument+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, false, err
	}
	if len(b) > ocilayout.MaxDocument {
		problem("has more than %d bytes, too many for its type", ocilayout.MaxDocument)
		return nil, false, nil
	}
	if c.read += int64(len(b)); c.read > maxDocuments {
		problem("is not looked at: the documents of all images have more than %d bytes", maxDocuments)
		return nil, false, nil
	}
	if got := d.Digest.Algorithm().FromBytes(b); got != d.Digest {
		problem("has the digest %s", got)
	}
	if int64(len(b)) != d.Size {
		problem("has %d bytes, and its descriptor says %d", len(b), d.Size)
	}
	return b, c.checkShape(found, name, b, s), nil
}

func (c *Claims) checkShape(found *findings, name string, b []byte, s shape) bool {
	return checkShape(b, s, func(where, what string) {
		if where != "" {
			what = where + ": " + what
		}
		found.add(Problem{Blob: name, What: what})
	})
}

// manifest reads an image's manifest and config.
func (c *Claims) manifest(ctx context.Context, img *image, d ispec.Descriptor, b []byte) error {
	problem := func(blob digest.Digest, format string, args ...any) {
		img.found.add(Problem{Blob: blob.String(), What: fmt.Sprintf(format, args...)})
	}
	var m ispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		problem(d.Digest, "%v", err)
		return nil
	}
	img.config = m.Config.Digest
	if img.attestation { // what is in its blobs is not for running
		for _, d := range append([]ispec.Descriptor{m.Config}, m.Layers...) {
			c.addLayer(img, &layer{desc: d, opaque: true})
		}
		return nil
	}
	var config ispec.Image
	if m.Config.MediaType != ispec.MediaTypeImageConfig && (d.MediaType != ocilayout.DockerImageType || m.Config.MediaType != ocilayout.DockerConfigType) {
		problem(d.Digest, "config.mediaType: is %s, want %q", quote(m.Config.MediaType), ispec.MediaTypeImageConfig)
	} else {
		b, ok, err := c.document(ctx, &img.found, m.Config, configShape)
		if err != nil {
			return err
		}
		if ok {
			if err := json.Unmarshal(b, &config); err != nil {
				problem(m.Config.Digest, "%v", err)
				ok = false
			}
		}
		if !ok {
			c.addLayers(img, m.Layers, nil, nil) // by themselves
			return nil
		}
		if p := d.Platform; p != nil && (p.OS != config.OS || p.Architecture != config.Architecture || p.Variant != config.Variant) {
			problem(m.Config.Digest, "it is for %s/%s/%s, and the index says %s/%s/%s",
				quoteOdd(config.OS), quoteOdd(config.Architecture), quoteOdd(config.Variant),
				quoteOdd(p.OS), quoteOdd(p.Architecture), quoteOdd(p.Variant))
		}
	}
	diffIDs, claims := c.claims(img, m.Config.Digest.String(), config, len(m.Layers))
	c.addLayers(img, m.Layers, diffIDs, claims)
	return nil
}

// claims is what a config says of so many layers: diffIDs, or nil, and what they hold.
func (c *Claims) claims(img *image, name string, config ispec.Image, layers int) (diffIDs []digest.Digest, claims []*history.Claim) {
	problem := func(format string, args ...any) {
		img.found.add(Problem{Blob: name, What: fmt.Sprintf(format, args...)})
	}
	diffIDs = config.RootFS.DiffIDs
	if len(diffIDs) != layers {
		problem("rootfs.diff_ids: has %d items, and the manifest %d layers", len(diffIDs), layers)
		diffIDs = nil
	}
	entries := slices.DeleteFunc(slices.Clone(config.History), func(h ispec.History) bool { return h.EmptyLayer })
	if len(config.History) > 0 && len(entries) != layers {
		problem("history: has %d items with a layer, and the manifest %d layers", len(entries), layers)
		entries = nil
	}
	claims = make([]*history.Claim, layers)
	for i, h := range entries {
		switch parsed, err := history.Parse(h); {
		case err == nil:
			claims[i] = &parsed
		case !errors.Is(err, history.ErrForeign):
			problem("history of layer %d: %v", i+1, err)
		}
	}
	return diffIDs, claims
}

// openRegular opens a file, and nothing that one could wait for.
func openRegular(name string) (io.ReadCloser, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%q: %w", name, ocilayout.ErrIrregular)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func readFile(open func(string) (io.ReadCloser, error), name string) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, ocilayout.MaxDocument+1))
	if err == nil && len(b) > ocilayout.MaxDocument {
		err = fmt.Errorf("%q: has more than %d bytes", name, ocilayout.MaxDocument)
	}
	return b, errors.Join(err, f.Close())
}
