package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// PreviousImage is an existing image whose layers a new image can reuse; see [PlanSticky].
type PreviousImage struct {
	Digest digest.Digest // of the manifest
	// Layers are those that a plan made. Layers above them are not reused: a new image puts its own on top.
	// Layers below them belong to a base image: a new image has them if it has that base.
	Layers []PreviousLayer

	blobs     map[digest.Digest]int64 // sizes of all blobs, including the manifest
	all       []ispec.Descriptor      // of all layers
	openRange OpenRange               // nil if it is not known where the blobs are
}

// StoreDir returns the store directory of the layers.
func (p *PreviousImage) StoreDir() (dir rootfs.StoreDir) {
	for _, l := range p.Layers {
		dir = l.History.StoreDir
	}
	return dir
}

// PreviousLayer is a layer with what its image's history says it holds.
type PreviousLayer struct {
	BlobSource
	History history.Claim
}

// ReadPrevious reads the manifest and the config of an image, for planning a new one.
// If the image is in a layout, it checks that the layers' blobs exist.
// Layers in a registry are fetched only if the destination lacks them.
//
// The error is fs.ErrNotExist if a blob is missing. It is history.ErrForeign if s is not a single image,
// if its history is damaged, or if another program made a layer that does not belong to the base image.
// ReadPrevious trusts the history as far as it is consistent.
func (s *ImageSource) ReadPrevious(ctx context.Context) (*PreviousImage, error) {
	p, err := s.readPrevious(ctx)
	if err != nil {
		return nil, fmt.Errorf("read image %q: %w", s.Name, err)
	}
	return p, nil
}

func (s *ImageSource) readPrevious(ctx context.Context) (*PreviousImage, error) {
	if t := s.Descriptor.MediaType; t != ispec.MediaTypeImageManifest {
		return nil, fmt.Errorf("%w: it is of type %q", history.ErrForeign, t)
	}
	var manifest ispec.Manifest
	b, err := readDocument(ctx, s.Open, s.Descriptor)
	if err == nil {
		err = json.Unmarshal(b, &manifest)
	}
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if t := manifest.Config.MediaType; t != ispec.MediaTypeImageConfig {
		return nil, fmt.Errorf("%w: its config is of type %q", history.ErrForeign, t)
	}
	var config ispec.Image
	if b, err = readDocument(ctx, s.Open, manifest.Config); err == nil {
		err = json.Unmarshal(b, &config)
	}
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	p := newPreviousImage(s.Descriptor, manifest)
	p.openRange = s.openRange
	if err := p.parse(manifest, config, s); err != nil {
		return nil, err
	}
	for i := range p.Layers {
		if s.Dir == "" {
			break
		}
		if err := p.Layers[i].stat(); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return p, nil
}

func newPreviousImage(image ispec.Descriptor, manifest ispec.Manifest) *PreviousImage {
	p := &PreviousImage{Digest: image.Digest, all: manifest.Layers, blobs: map[digest.Digest]int64{
		image.Digest:           image.Size,
		manifest.Config.Digest: manifest.Config.Size,
	}}
	for _, d := range manifest.Layers {
		p.blobs[d.Digest] = d.Size
	}
	return p
}

// parse combines what manifest, config and history say of each layer.
func (p *PreviousImage) parse(manifest ispec.Manifest, config ispec.Image, s *ImageSource) error {
	n := len(manifest.Layers)
	entries := slices.DeleteFunc(slices.Clone(config.History), func(h ispec.History) bool { return h.EmptyLayer })
	if len(config.RootFS.DiffIDs) != n || len(entries) != n {
		return fmt.Errorf("%w: %d layers, %d diffIDs and %d entries in its history",
			history.ErrForeign, n, len(config.RootFS.DiffIDs), len(entries))
	}
	own := false
	claims := make([]*history.Claim, n)
	for i, d := range manifest.Layers {
		said, err := history.Parse(entries[i])
		if err != nil && (own || i == n-1 || !errors.Is(err, history.ErrForeign)) {
			return fmt.Errorf("layer %d: %w: %w", i+1, history.ErrForeign, err)
		}
		if own = err == nil; own {
			claims[i] = &said
		}
		switch d.MediaType {
		case ispec.MediaTypeImageLayer, ispec.MediaTypeImageLayerGzip, ispec.MediaTypeImageLayerZstd:
		default:
			return fmt.Errorf("layer %d: %w: it is of type %q", i+1, history.ErrForeign, d.MediaType)
		}
		diffID := config.RootFS.DiffIDs[i]
		if err := errors.Join(CheckDigest(d.Digest), CheckDigest(diffID)); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
		if err := checkSize(d.Size); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
		tables, err := chunked.ParseAnnotations(d.Annotations, d.Size)
		if err == nil && tables != (chunked.Location{}) && d.MediaType != ispec.MediaTypeImageLayerZstd {
			err = fmt.Errorf("it has tables of zstd:chunked and is of type %q", d.MediaType)
		}
		if err != nil {
			return fmt.Errorf("layer %d: %w: %w", i+1, history.ErrForeign, err)
		}
		l := PreviousLayer{BlobSource: s.blob(d, ""), History: said}
		l.DiffID, l.Entry = diffID, entries[i]
		if own && !said.Top {
			p.Layers = append(p.Layers, l)
		}
	}
	if _, err := history.StoreDirOf(claims); err != nil {
		return fmt.Errorf("%w: %w", history.ErrForeign, err)
	}
	return nil
}

// Without returns the image without the layers that hold or hide one of these store objects.
// A new image that has the objects from its base image must neither show nor hide them again.
func (p *PreviousImage) Without(names []string) *PreviousImage {
	if p == nil {
		return nil
	}
	base := make(map[string]bool, len(names))
	for _, name := range names {
		base[name] = true
	}
	without := *p
	without.Layers = slices.DeleteFunc(slices.Clone(p.Layers), func(l PreviousLayer) bool {
		return slices.ContainsFunc(l.History.Objects, func(o history.Object) bool { return base[o.Name] }) ||
			slices.ContainsFunc(l.History.Hidden, func(name string) bool { return base[name] })
	})
	return &without
}

// Drop returns the image without the layers for which drop is true.
func (p *PreviousImage) Drop(drop func(*BlobSource) bool) *PreviousImage {
	rest := *p
	rest.Layers = nil
	for i := range p.Layers {
		if !drop(&p.Layers[i].BlobSource) {
			rest.Layers = append(rest.Layers, p.Layers[i])
		}
	}
	return &rest
}

// Fetch returns how many bytes a holder of p must fetch to have next, and how many it already has.
func (p *PreviousImage) Fetch(next *PreviousImage) (fetched, had int64) {
	return fetch(p.blobs, next.blobs)
}

func fetch(have, want map[digest.Digest]int64) (fetched, had int64) {
	for d, size := range want {
		if _, ok := have[d]; ok {
			had += size
		} else {
			fetched += size
		}
	}
	return fetched, had
}

// Size returns the total size of the image's blobs.
func (p *PreviousImage) Size() int64 {
	fetched, _ := fetch(nil, p.blobs)
	return fetched
}

// Has reports whether the image has a blob.
func (p *PreviousImage) Has(d digest.Digest) bool {
	_, ok := p.blobs[d]
	return ok
}
