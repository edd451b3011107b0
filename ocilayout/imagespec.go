package ocilayout

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/oci/casext"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/plan"
)

// ImageSpec describes an image to build. It determines every byte of the image.
type ImageSpec struct {
	Config      ispec.ImageConfig
	Healthcheck *Healthcheck      // nil for none
	Annotations map[string]string // of the manifest
	Created     time.Time         // zero means one second after the epoch
	Author      string
	Compression compress.Method
	Platform    ispec.Platform
	Layers      []Layer // see Plan
	// Base, if not nil, is the image whose layers and history come first.
	// AddImage takes nothing else from it; see [Image.Inherit].
	Base *Image
}

// AddImage builds the layers, the config and the manifest of an image, and returns the manifest's descriptor.
// The image stays invisible until it is published. AddImage may build several images; only the published one becomes visible.
// Options.Progress receives the bytes of files that were read, and the sizes of layers that need not be built.
func (l *Layout) AddImage(ctx context.Context, image ImageSpec) (_ ispec.Descriptor, err error) {
	defer l.explain(&err)
	if p := image.Platform; p.OS == "" || p.Architecture == "" {
		return ispec.Descriptor{}, fmt.Errorf("add image: platform %q: want an OS and an architecture", platformName(p))
	}
	if n := len(image.Layers) + image.Base.layers(); n > plan.MaxLayers {
		return ispec.Descriptor{}, fmt.Errorf("add image: %d layers, want at most %d", n, plan.MaxLayers)
	}
	if h := image.Healthcheck; h != nil {
		if err := h.Check(); err != nil {
			return ispec.Descriptor{}, fmt.Errorf("add image: %w", err)
		}
	}
	created := image.Created.UTC()
	if image.Created.IsZero() {
		created = time.Unix(1, 0).UTC()
	}
	config := ispec.Image{
		Created:  &created,
		Author:   image.Author,
		Platform: image.Platform,
		Config:   image.Config,
		RootFS:   ispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
	}
	manifest := ispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ispec.MediaTypeImageManifest,
		Layers:      []ispec.Descriptor{},
		Annotations: image.Annotations,
	}
	all := image.Layers
	if image.Base != nil {
		config.History = slices.Clone(image.Base.Config.History)
		all = append(image.Base.asLayers(), all...)
	}
	for _, layer := range image.Layers {
		h, err := layer.entry(created)
		if err != nil {
			return ispec.Descriptor{}, fmt.Errorf("add image: %w", err)
		}
		config.History = append(config.History, h)
	}
	layers, err := l.addLayers(ctx, all, image.Compression)
	if err != nil {
		return ispec.Descriptor{}, err
	}
	if l.options.Cache != nil {
		l.options.Cache.trim(ctx)
	}
	for _, b := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, b.diffID)
		manifest.Layers = append(manifest.Layers, b.Descriptor)
	}
	if manifest.Config, err = l.addJSON(ctx, ispec.MediaTypeImageConfig, newConfigDocument(config, image.Healthcheck)); err != nil {
		return ispec.Descriptor{}, fmt.Errorf("write image config: %w", err)
	}
	if err := l.deliver(ctx, manifest.Config, nil); err != nil {
		return ispec.Descriptor{}, err
	}
	desc, err := l.addJSON(ctx, ispec.MediaTypeImageManifest, manifest)
	if err != nil {
		return ispec.Descriptor{}, fmt.Errorf("write image manifest: %w", err)
	}
	l.lastImage = newPreviousImage(desc, manifest)
	return desc, nil
}

// LastImage returns the last image added, for [PreviousImage.Fetch].
func (l *Layout) LastImage() *PreviousImage { return l.lastImage }

// Results says where each layer of the last image added came from.
func (l *Layout) Results() []LayerResult { return l.results }

func (l *Layout) addJSON(ctx context.Context, mediaType string, v any) (ispec.Descriptor, error) {
	d, n, err := casext.NewEngine(l.engine).PutBlobJSON(ctx, v)
	return ispec.Descriptor{MediaType: mediaType, Digest: d, Size: n}, err
}
