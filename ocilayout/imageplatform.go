package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxIndexes limits how deep indexes may nest.
const maxIndexes = 8

// ErrSeveralPlatforms means that an index has several images and [ImageSource.Read] was given no platform.
var ErrSeveralPlatforms = errors.New("it is for several platforms, and none was asked for")

// readPlatform reads the manifest and the config of an image, or of the image in an index that is for the platform.
func readPlatform(ctx context.Context, open OpenBlob, desc ispec.Descriptor, platform ispec.Platform, depth int) (
	_ ispec.Descriptor, manifest ispec.Manifest, config []byte, err error) {
	document, err := readDocument(ctx, open, desc)
	if err != nil {
		return desc, manifest, nil, err
	}
	switch desc.MediaType {
	case ispec.MediaTypeImageManifest, DockerImageType:
		if err := json.Unmarshal(document, &manifest); err != nil {
			return desc, manifest, nil, fmt.Errorf("manifest: %w", err)
		}
		if t := manifest.Config.MediaType; t != ispec.MediaTypeImageConfig && t != DockerConfigType {
			return desc, manifest, nil, fmt.Errorf("it is not an image: its config is of type %q", t)
		}
		config, err = readDocument(ctx, open, manifest.Config)
		return desc, manifest, config, err
	case ispec.MediaTypeImageIndex, DockerListType:
		var index ispec.Index
		if err := json.Unmarshal(document, &index); err != nil {
			return desc, manifest, nil, fmt.Errorf("index: %w", err)
		}
		if platform.OS == "" && len(index.Manifests) > 1 {
			return desc, manifest, nil, ErrSeveralPlatforms
		}
		if depth == maxIndexes {
			return desc, manifest, nil, errors.New("too many indexes in indexes")
		}
		var has []string
		for _, d := range index.Manifests {
			if d.Platform == nil {
				if d.MediaType == ispec.MediaTypeImageIndex || d.MediaType == DockerListType || len(index.Manifests) == 1 {
					return readPlatform(ctx, open, d, platform, depth+1)
				}
				continue
			}
			if agree(*d.Platform, platform) {
				return readPlatform(ctx, open, d, platform, depth+1)
			}
			has = append(has, platformName(*d.Platform))
		}
		return desc, manifest, nil, fmt.Errorf("none of its images is for %s: they are for %s", platformName(platform), strings.Join(has, ", "))
	}
	return desc, manifest, nil, fmt.Errorf("it is of type %q, which is not an image's", desc.MediaType)
}

// agree reports whether an image for platform a can serve for b. Variants are compared if both have one,
// and b without an OS accepts everything.
func agree(a, b ispec.Platform) bool {
	return b.OS == "" || a.OS == b.OS && a.Architecture == b.Architecture &&
		(a.Variant == "" || b.Variant == "" || a.Variant == b.Variant)
}

func platformName(p ispec.Platform) string {
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return name
}

// readConfigPlatform returns the platform in a config.
func readConfigPlatform(ctx context.Context, open OpenBlob, d ispec.Descriptor) (*ispec.Platform, error) {
	if d.MediaType != ispec.MediaTypeImageConfig {
		return nil, fmt.Errorf("it is not an OCI image: its config is of type %q", d.MediaType)
	}
	b, err := readDocument(ctx, open, d)
	if err != nil {
		return nil, err
	}
	var config ispec.Image
	if err := json.Unmarshal(b, &config); err != nil {
		return nil, fmt.Errorf("config %s: %w", d.Digest, err)
	}
	if config.OS == "" || config.Architecture == "" {
		return nil, fmt.Errorf("config %s does not say which platform it is for", d.Digest)
	}
	return &config.Platform, nil
}

// platformKey returns equal keys for platforms that loaders treat alike.
func platformKey(p ispec.Platform) string {
	if p.Architecture == "arm64" && p.Variant == "v8" {
		p.Variant = ""
	}
	return strings.Join([]string{p.OS, p.Architecture, p.Variant, p.OSVersion, strings.Join(p.OSFeatures, ",")}, "\x00")
}
