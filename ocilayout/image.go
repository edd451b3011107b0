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

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// Image is an existing image, made by any program. It can be inspected,
// or be the base of a new image, which then begins with these layers, byte for byte.
type Image struct {
	Digest digest.Digest // of the manifest
	Config ispec.Image
	// StoreDir is the store directory that the history names, or else /nix/store.
	StoreDir rootfs.StoreDir
	// Layers have OCI media types; Read translates Docker's.
	// Their Entry is unused: Config.History has one entry for each layer, and others between them.
	Layers      []BlobSource
	Healthcheck *Healthcheck // nil if it has none
	// Lost names, for people, the settings that an image on top of this one does not get, and says why.
	Lost []string
	// Manifest and ConfigBlob describe the blobs besides the layers.
	Manifest, ConfigBlob ispec.Descriptor

	open      OpenBlob
	openRange OpenRange
}

// OpenBlob opens a blob of an image, wherever it is stored. The error is fs.ErrNotExist if there is no such blob.
// Callers must check the digest and the size of what they read.
type OpenBlob func(ctx context.Context, d ispec.Descriptor) (io.ReadCloser, error)

// Media types of Docker's image manifest, version 2, schema 2.
const (
	DockerListType   = "application/vnd.docker.distribution.manifest.list.v2+json"
	DockerImageType  = "application/vnd.docker.distribution.manifest.v2+json"
	DockerConfigType = "application/vnd.docker.container.image.v1+json"
)

// layerTypes maps the media types of layers to the OCI type of the same format.
var layerTypes = map[string]string{
	ispec.MediaTypeImageLayer:                                   ispec.MediaTypeImageLayer,
	ispec.MediaTypeImageLayerGzip:                               ispec.MediaTypeImageLayerGzip,
	ispec.MediaTypeImageLayerZstd:                               ispec.MediaTypeImageLayerZstd,
	"application/vnd.docker.image.rootfs.diff.tar":              ispec.MediaTypeImageLayer,
	"application/vnd.docker.image.rootfs.diff.tar.gzip":         ispec.MediaTypeImageLayerGzip,
	"application/vnd.docker.image.rootfs.diff.tar.zstd":         ispec.MediaTypeImageLayerZstd,
	"application/vnd.docker.container.image.rootfs.diff+x-gtar": ispec.MediaTypeImageLayer,
}

// Read reads the manifest and the config of an image, to inspect it or to build on it.
// If s is an index, Read takes the image for the platform. The image's config must agree with the platform.
// If the image is in a layout, Read checks that the layers' blobs exist.
func (s *ImageSource) Read(ctx context.Context, platform ispec.Platform) (*Image, error) {
	b, err := loadImage(ctx, s, platform)
	if err != nil {
		return nil, fmt.Errorf("read image %q: %w", s.Name, err)
	}
	return b, nil
}

// mostImageLayers exceeds what Docker mounts. AddImage has a lower limit, which counts the layers above a base image, too.
const mostImageLayers = 128

func loadImage(ctx context.Context, s *ImageSource, platform ispec.Platform) (*Image, error) {
	desc, manifest, config, err := readPlatform(ctx, s.Open, s.Descriptor, platform, 0)
	if err != nil {
		return nil, err
	}
	img := &Image{Digest: desc.Digest, Manifest: desc, ConfigBlob: manifest.Config, open: s.Open, openRange: s.openRange}
	var lost struct {
		Config struct {
			OnBuild []string
			Shell   []string
		} `json:"config"`
	}
	if err := errors.Join(json.Unmarshal(config, &img.Config), json.Unmarshal(config, &lost)); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if img.Healthcheck, err = readHealthcheck(config); err != nil {
		img.Lost = append(img.Lost, fmt.Sprintf("health check is left out: %v", err))
	}
	if len(lost.Config.OnBuild) > 0 {
		img.Lost = append(img.Lost, "ONBUILD is left out: only docker build uses it")
	}
	if len(lost.Config.Shell) > 0 {
		img.Lost = append(img.Lost, "SHELL is left out: only docker build uses it")
	}
	if !agree(img.Config.Platform, platform) {
		return nil, fmt.Errorf("it is for %s, and %s was asked for", platformName(img.Config.Platform), platformName(platform))
	}
	if n := len(manifest.Layers); n != len(img.Config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%d layers and %d diffIDs", n, len(img.Config.RootFS.DiffIDs))
	}
	if n := len(manifest.Layers); n > mostImageLayers {
		return nil, fmt.Errorf("%d layers, want at most %d", n, mostImageLayers)
	}
	for i, d := range manifest.Layers {
		mediaType, ok := layerTypes[d.MediaType]
		if !ok {
			return nil, fmt.Errorf("layer %d: it is of type %q, which cannot be used", i+1, d.MediaType)
		}
		diffID := img.Config.RootFS.DiffIDs[i]
		if err := errors.Join(CheckDigest(d.Digest), CheckDigest(diffID)); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
		if err := checkSize(d.Size); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
		tables, err := layerTables(mediaType, d)
		if err != nil {
			img.Lost = append(img.Lost, fmt.Sprintf("layer %d is used without its chunks: %v", i+1, err))
		}
		blob := s.blob(ispec.Descriptor{MediaType: mediaType, Digest: d.Digest, Size: d.Size, Annotations: tables.Annotations()}, "the base image")
		blob.DiffID = diffID
		if s.Dir != "" {
			if err := blob.stat(); err != nil {
				return nil, fmt.Errorf("layer %d: %w", i+1, err)
			}
		}
		img.Layers = append(img.Layers, blob)
	}
	img.Config.History = wholeHistory(img.Config.History, len(img.Layers))
	if img.StoreDir, err = history.StoreDirOf(img.LayerClaims()); err != nil {
		return nil, err
	}
	return img, nil
}

// wholeHistory returns a history with an entry for each layer.
// If the history is missing or does not fit, it returns entries that say nothing.
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

// Size returns the total size of the layers' blobs.
func (img *Image) Size() (n int64) {
	for _, l := range img.Layers {
		n += l.Descriptor.Size
	}
	return n
}

// LayerType returns the OCI media type of a layer's format, given the OCI or Docker type.
func LayerType(mediaType string) (oci string, ok bool) {
	oci, ok = layerTypes[mediaType]
	return oci, ok
}
