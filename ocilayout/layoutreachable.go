package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// reachable is the blobs that descriptors reach, themselves included.
// An error says that there may be more: a blob is missing or damaged,
// or an index names something whose type is not known.
func reachable(ctx context.Context, e *engine, roots []ispec.Descriptor) (map[digest.Digest]bool, error) {
	r := reach{engine: e, seen: make(map[digest.Digest]bool), visited: make(map[visit]bool)}
	for _, d := range roots {
		if err := r.image(ctx, d); err != nil {
			return nil, fmt.Errorf("find what %s reaches: %w", d.Digest, err)
		}
	}
	return r.seen, nil
}

type reach struct {
	engine *engine
	seen   map[digest.Digest]bool // as anything
	images []digest.Digest        // as an index or a manifest, on the way to the current one

	visited map[visit]bool // indexes and manifests, which need not be followed again
}

// visit is all of a descriptor that makes a difference to what it reaches.
type visit struct {
	mediaType string
	digest    digest.Digest
	size      int64
}

// image follows a descriptor of an index or a manifest.
func (r *reach) image(ctx context.Context, d ispec.Descriptor) error {
	if len(r.images) > 16 {
		return errors.New("too many indexes in indexes")
	}
	as := visit{d.MediaType, d.Digest, d.Size}
	if r.visited[as] {
		return nil
	}
	r.visited[as] = true
	r.images = append(r.images, d.Digest)
	defer func() { r.images = r.images[:len(r.images)-1] }()
	r.seen[d.Digest] = true
	switch d.MediaType {
	case ispec.MediaTypeImageIndex:
		var index ispec.Index
		if err := r.read(ctx, d, &index); err != nil {
			return err
		}
		for _, m := range index.Manifests {
			if err := r.image(ctx, m); err != nil {
				return err
			}
		}
		return r.subject(ctx, index.Subject)
	case ispec.MediaTypeImageManifest:
		var manifest ispec.Manifest
		if err := r.read(ctx, d, &manifest); err != nil {
			return err
		}
		r.seen[manifest.Config.Digest] = true
		for _, layer := range manifest.Layers {
			r.seen[layer.Digest] = true
		}
		return r.subject(ctx, manifest.Subject)
	}
	return fmt.Errorf("%s is of an unknown type: %q", d.Digest, d.MediaType)
}

func (r *reach) subject(ctx context.Context, d *ispec.Descriptor) error {
	if d == nil {
		return nil
	}
	return r.image(ctx, *d)
}

// read parses a blob after its digest and size were checked.
func (r *reach) read(ctx context.Context, d ispec.Descriptor, v any) error {
	b, err := readDocument(ctx, openBlobIn(r.engine.dir), d)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
