package ocilayout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// reachable returns the blobs that descriptors refer to, directly or not, and the descriptors' own.
// An error means that there may be more: a blob is missing or damaged,
// or an index names something of an unknown type.
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
	seen   map[digest.Digest]bool // every blob
	images []digest.Digest        // the indexes and the manifest that lead to the current descriptor

	visited map[visit]bool // indexes and manifests that were followed
}

// visit has the fields of a descriptor that decide what it refers to.
type visit struct {
	mediaType string
	digest    digest.Digest
	size      int64
}

// image follows the descriptor of an index or a manifest.
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

// read checks the digest and size of a blob and parses it.
func (r *reach) read(ctx context.Context, d ispec.Descriptor, v any) error {
	b, err := readDocument(ctx, openBlobIn(r.engine.dir), d)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
