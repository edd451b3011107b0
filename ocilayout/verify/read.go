package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	_ "crypto/sha512" // for digests that use it

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// Limits of the documents: indexes, manifests and configs.
const (
	maxDocuments = 256 << 20 // bytes of all documents; one counts as often as it is read, since Claims keeps its contents each time
	maxImages    = 1 << 10   // in one index, and in all indexes together
	maxLayers    = 1 << 10   // in an image
	maxIndexes   = 8         // nested in each other
)

// Claims holds everything that indexes, manifests and configs claim about images and their layers,
// and the problems of these documents themselves.
type Claims struct {
	open         ocilayout.OpenBlob
	acceptDocker bool // Docker's media types are allowed in manifests
	images       []*image
	layers       []*layer        // of all images, each once
	indexes      []digest.Digest // of multi-platform images
	parts        map[digest.Digest][]Part
	tags         []string // of the images in the layout
	found        findings // problems of indexes

	read    int64 // bytes of documents
	seen    map[documentKey]bool
	byKey   map[layerKey]*layer
	objects map[string]bool // names of the store objects that any layer claims
}

// documentKey identifies a manifest or an index, as what it was read. An entry of an index can call an image an attestation,
// and another entry the same image an image.
type documentKey struct {
	digest      digest.Digest
	mediaType   string
	attestation bool
}

// image holds the contents of a manifest and its config.
type image struct {
	digest   digest.Digest    // of the manifest, or of the config if an archive has no manifest
	desc     ispec.Descriptor // of the manifest
	config   digest.Digest
	storeDir rootfs.StoreDir
	layers   []*layer
	found    findings
	settings json.RawMessage // what the config says about running the image, or nil

	attestation bool // a manifest of BuildKit that describes an image
}

// documentProblems limits the problems that are kept of one document.
const documentProblems = leastProblems

// ReadImage reads the manifest and the config of an image, or those of all images of an index, from any source.
// It accepts Docker's media types. Claims keeps the contents, but not the documents.
func ReadImage(ctx context.Context, s *ocilayout.ImageSource) (*Claims, error) {
	c := newClaims(s.Open)
	c.acceptDocker = true
	if err := c.follow(ctx, s.Descriptor, "manifest", 0, false); err != nil {
		return nil, fmt.Errorf("read image %q: %w", s.Name, err)
	}
	return c, nil
}

func newClaims(open ocilayout.OpenBlob) *Claims {
	return &Claims{
		open:    open,
		found:   findings{limit: documentProblems},
		seen:    make(map[documentKey]bool),
		byKey:   make(map[layerKey]*layer),
		parts:   make(map[digest.Digest][]Part),
		objects: make(map[string]bool),
	}
}

// Size returns how many bytes Check will read if every blob has the size of its descriptor.
func (c *Claims) Size() int64 {
	var n int64
	for _, l := range c.layers {
		n += max(l.desc.Size, 0)
	}
	return n
}

// follow reads the manifest or the index that d refers to. Problems of d itself are reported for the document in.
func (c *Claims) follow(ctx context.Context, d ispec.Descriptor, in string, depth int, attestation bool) error {
	key := documentKey{d.Digest, d.MediaType, attestation}
	if c.seen[key] {
		return nil
	}
	var s shape
	index := false
	switch {
	case d.MediaType == ispec.MediaTypeImageIndex:
		s, index = indexShape, true
	case d.MediaType == ispec.MediaTypeImageManifest:
		s = manifestShape
	case d.MediaType == ocilayout.DockerListType && c.acceptDocker:
		s, index = withMediaType(indexShape, ocilayout.DockerListType), true
	case d.MediaType == ocilayout.DockerImageType && c.acceptDocker:
		s = withMediaType(manifestShape, ocilayout.DockerImageType)
	default:
		c.found.add(Problem{Blob: in, What: fmt.Sprintf("%s has the media type %s: neither a manifest nor an index",
			quoteOdd(d.Digest.String()), quote(d.MediaType))})
		return nil
	}
	if len(c.seen) >= maxImages || depth > maxIndexes {
		c.found.add(Problem{Blob: in, What: "has too many images, or too deeply nested indexes"})
		return nil
	}
	c.seen[key] = true
	img := &image{digest: d.Digest, desc: d, found: findings{limit: documentProblems}, attestation: attestation && !index}
	found := &img.found
	if index {
		found = &c.found
		if depth == 0 {
			c.indexes = append(c.indexes, d.Digest)
		}
	} else {
		c.images = append(c.images, img)
	}
	b, ok, err := c.readDocument(ctx, found, d, s)
	if err != nil || !ok {
		return err
	}
	if !index {
		return c.readManifest(ctx, img, d, b)
	}
	var parsed ispec.Index
	if err := json.Unmarshal(b, &parsed); err != nil {
		c.found.add(Problem{Blob: d.Digest.String(), What: err.Error()})
		return nil
	}
	for _, m := range parsed.Manifests {
		attestation := ocilayout.IsAttestation(m)
		if depth == 0 {
			c.parts[d.Digest] = append(c.parts[d.Digest], Part{m.Digest, m.MediaType, attestation})
		}
		if err := c.follow(ctx, m, d.Digest.String(), depth+1, attestation); err != nil {
			return err
		}
	}
	return nil
}

// readDocument reads a JSON blob and reports its problems.
// Ok means that it can be decoded. It may still have another digest than d.
func (c *Claims) readDocument(ctx context.Context, found *findings, d ispec.Descriptor, s shape) (b []byte, ok bool, err error) {
	name := d.Digest.String()
	problem := func(format string, args ...any) {
		found.add(Problem{Blob: name, What: fmt.Sprintf(format, args...)})
	}
	if d.Digest.Validate() != nil {
		return nil, false, nil // checkShape has reported it for the document with d
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
		problem("has more than %d bytes, too many for a document", ocilayout.MaxDocument)
		return nil, false, nil
	}
	if c.read += int64(len(b)); c.read > maxDocuments {
		problem("is not checked: the documents of all images have more than %d bytes", maxDocuments)
		return nil, false, nil
	}
	if got := d.Digest.Algorithm().FromBytes(b); got != d.Digest {
		problem("has the digest %s", got)
	}
	if int64(len(b)) != d.Size {
		problem("has %d bytes, but its descriptor says %d", len(b), d.Size)
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

// readManifest decodes the manifest b of an image and reads the config.
func (c *Claims) readManifest(ctx context.Context, img *image, d ispec.Descriptor, b []byte) error {
	problem := func(blob digest.Digest, format string, args ...any) {
		img.found.add(Problem{Blob: blob.String(), What: fmt.Sprintf(format, args...)})
	}
	var m ispec.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		problem(d.Digest, "%v", err)
		return nil
	}
	img.config = m.Config.Digest
	if img.attestation { // its config and layers are not those of an image
		for _, d := range append([]ispec.Descriptor{m.Config}, m.Layers...) {
			c.addLayer(img, &layer{desc: d, opaque: true})
		}
		return nil
	}
	var config ispec.Image
	if m.Config.MediaType != ispec.MediaTypeImageConfig && (d.MediaType != ocilayout.DockerImageType || m.Config.MediaType != ocilayout.DockerConfigType) {
		problem(d.Digest, "config.mediaType: is %s, want %q", quote(m.Config.MediaType), ispec.MediaTypeImageConfig)
	} else {
		b, ok, err := c.readDocument(ctx, &img.found, m.Config, configShape)
		if err != nil {
			return err
		}
		if ok {
			settings := struct {
				Config *json.RawMessage `json:"config"`
			}{&img.settings}
			if err := errors.Join(json.Unmarshal(b, &config), json.Unmarshal(b, &settings)); err != nil {
				problem(m.Config.Digest, "%v", err)
				ok = false
			}
		}
		if !ok {
			c.addLayers(img, m.Layers, nil, nil) // Check still compares their digests
			return nil
		}
		if p := d.Platform; p != nil && (p.OS != config.OS || p.Architecture != config.Architecture || p.Variant != config.Variant) {
			problem(m.Config.Digest, "is for %s/%s/%s, but the index says %s/%s/%s",
				quoteOdd(config.OS), quoteOdd(config.Architecture), quoteOdd(config.Variant),
				quoteOdd(p.OS), quoteOdd(p.Architecture), quoteOdd(p.Variant))
		}
	}
	diffIDs, claims := c.layerClaims(img, m.Config.Digest.String(), config, len(m.Layers))
	c.addLayers(img, m.Layers, diffIDs, claims)
	return nil
}

// layerClaims returns the diffIDs and the history claims of an image's layers.
// The diffIDs are nil if config has another number of them. The claims of other programs' layers are nil.
func (c *Claims) layerClaims(img *image, name string, config ispec.Image, layers int) (diffIDs []digest.Digest, claims []*history.Claim) {
	problem := func(format string, args ...any) {
		img.found.add(Problem{Blob: name, What: fmt.Sprintf(format, args...)})
	}
	diffIDs = config.RootFS.DiffIDs
	if len(diffIDs) != layers {
		problem("rootfs.diff_ids: has %d items, but the manifest has %d layers", len(diffIDs), layers)
		diffIDs = nil
	}
	entries := slices.DeleteFunc(slices.Clone(config.History), func(h ispec.History) bool { return h.EmptyLayer })
	if len(config.History) > 0 && len(entries) != layers {
		problem("history: has %d items with a layer, but the manifest has %d layers", len(entries), layers)
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
	var err error
	if img.storeDir, err = history.StoreDirOf(claims); err != nil {
		problem("%v", err)
	}
	return diffIDs, claims
}
