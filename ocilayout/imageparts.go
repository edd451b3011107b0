package ocilayout

import (
	"context"
	"encoding/json"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Parts returns the manifests that an index lists, in its order, or nil if s is an image by itself.
// Some may be attestations, see [IsAttestation]. At most 1000 are allowed.
func (s *ImageSource) Parts(ctx context.Context) ([]ispec.Descriptor, error) {
	if t := s.Descriptor.MediaType; t != ispec.MediaTypeImageIndex && t != DockerListType {
		return nil, nil
	}
	var index ispec.Index
	b, err := readDocument(ctx, s.Open, s.Descriptor)
	if err == nil {
		err = json.Unmarshal(b, &index)
	}
	switch n := len(index.Manifests); {
	case err != nil:
	case n == 0:
		err = fmt.Errorf("%s lists no image", s.Descriptor.Digest)
	case n > mostImages:
		err = fmt.Errorf("%s lists %d images, more than %d", s.Descriptor.Digest, n, mostImages)
	}
	if err != nil {
		return nil, fmt.Errorf("read index of image %q: %w", s.Name, err)
	}
	return index.Manifests, nil
}

// Part returns one of the images of an index. It has the name of the index.
func (s *ImageSource) Part(d ispec.Descriptor) *ImageSource {
	part := *s
	part.Descriptor = ispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	return &part
}
