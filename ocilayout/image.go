package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image that is there already, of whatever program's making, to look into
// or to begin another one with: then its layers come first, in the bytes they have.
type Image struct {
	Digest digest.Digest // of the manifest
	Config ispec.Image
	// Layers have media types of the OCI specification, which say the same as Docker's.
	// Their Entry is not used: Config.History has one for each, and others between them.
	Layers []BlobSource
	// Lost is what of the config no OCI image has, for people.
	Lost []string
	// Manifest and ConfigBlob are what an image has beside its layers.
	Manifest, ConfigBlob ispec.Descriptor

	open OpenBlob
}

// OpenBlob opens a blob of an image, wherever that is. The error is fs.ErrNotExist if there is none.
// Whoever reads it checks digest and size.
type OpenBlob func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error)

// Media types of Docker's image manifest, version 2, schema 2.
const (
	DockerListType   = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerImageType  = "application/vnd.docker.distribution.manifest.v2+json"
	DockerConfigType = "application/vnd.docker.container.image.v1+json"
)

// layerTypes are those of layers, with the OCI type of the same form.
var layerTypes = map[string]string{
	ispec.MediaTypeImageLayer:                                   ispec.MediaTypeImageLayer,
	ispec.MediaTypeImageLayerGzip:                               ispec.MediaTypeImageLayerGzip,
	ispec.MediaTypeImageLayerZstd:                               ispec.MediaTypeImageLayerZstd,
	"application/vnd.docker.image.rootfs.diff.tar":              ispec.MediaTypeImageLayer,
	"application/vnd.docker.image.rootfs.diff.tar.gzip":         ispec.MediaTypeImageLayerGzip,
	"application/vnd.docker.image.rootfs.diff.tar.zstd":         ispec.MediaTypeImageLayerZstd,
	"application/vnd.docker.container.image.rootfs.diff+x-gtar": ispec.MediaTypeImageLayer,
}

// Read reads an image to look into it, or to begin another one with.
// Of an index it is the image for a platform, which no other image may be for, either.
// Manifest and config are read, and of the layers' blobs in a layout it is seen that they are there.
func (s *ImageSource) Read(ctx context.Context, platform ispec.Platform) (*Image, error) {
	b, err := loadImage(ctx, s, platform)
	if err != nil {
		return nil, fmt.Errorf("read image %q: %w", s.Name, err)
	}
	return b, nil
}

// mostImageLayers is more than Docker mounts. What is laid over an image counts, too; see AddImage.
const mostImageLayers = 128

func loadImage(ctx context.Context, s *ImageSource, platform ispec.Platform) (*Image, error) {
	desc, manifest, config, err := readPlatform(ctx, s.Open, s.Descriptor, platform, 0)
	if err != nil {
		return nil, err
	}
	f := &Image{Digest: desc.Digest, Manifest: desc, ConfigBlob: manifest.Config, open: s.Open}
	var lost struct {
		Config struct {
			Healthcheck any
			OnBuild     []string
			Shell       []string
		} `json:"config"`
	}
	if err := errors.Join(json.Unmarshal(config, &f.Config), json.Unmarshal(config, &lost)); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if lost.Config.Healthcheck != nil {
		f.Lost = append(f.Lost, "health check")
	}
	if len(lost.Config.OnBuild) > 0 {
		f.Lost = append(f.Lost, "ONBUILD")
	}
	if len(lost.Config.Shell) > 0 {
		f.Lost = append(f.Lost, "SHELL")
	}
	if !agree(f.Config.Platform, platform) {
		return nil, fmt.Errorf("it is for %s, and %s was asked for", platformName(f.Config.Platform), platformName(platform))
	}
	if n := len(manifest.Layers); n != len(f.Config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%d layers and %d diffIDs", n, len(f.Config.RootFS.DiffIDs))
	}
	if n := len(manifest.Layers); n > mostImageLayers {
		return nil, fmt.Errorf("%d layers, want at most %d", n, mostImageLayers)
	}
	for i, d := range manifest.Layers {
		mediaType, ok := layerTypes[d.MediaType]
		if !ok {
			return nil, fmt.Errorf("layer %d: it is of type %q, which cannot be used", i+1, d.MediaType)
		}
		diffID := f.Config.RootFS.DiffIDs[i]
		if err := errors.Join(checkDigest(d.Digest), checkDigest(diffID)); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
		if d.Size < 0 {
			return nil, fmt.Errorf("layer %d: it has %d bytes", i+1, d.Size)
		}
		k := s.blob(ispec.Descriptor{MediaType: mediaType, Digest: d.Digest, Size: d.Size}, "the base image")
		k.DiffID = diffID
		if s.Dir != "" {
			if err := k.stat(); err != nil {
				return nil, fmt.Errorf("layer %d: %w", i+1, err)
			}
		}
		f.Layers = append(f.Layers, k)
	}
	f.Config.History = wholeHistory(f.Config.History, len(f.Layers))
	return f, nil
}

// wholeHistory is a history with an entry for each layer.
// An image without one, or with one that does not fit, gets entries that say nothing.
func wholeHistory(history []ispec.History, layers int) []ispec.History {
	n := 0
	for _, h := range history {
		if !h.EmptyLayer {
			n++
		}
	}
	if n == layers {
		return history
	}
	return slices.Repeat([]ispec.History{{Comment: "layer of the base image, whose history does not say what it is"}}, layers)
}

// Size is how many bytes the layers' blobs have.
func (f *Image) Size() (n int64) {
	for _, l := range f.Layers {
		n += l.Descriptor.Size
	}
	return n
}

// LayerType is the OCI media type of a layer whose form is that of another type, OCI's or Docker's.
func LayerType(mediaType string) (oci string, ok bool) {
	oci, ok = layerTypes[mediaType]
	return oci, ok
}
