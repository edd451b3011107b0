package ocilayout

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// IndexResult is an index of images.
type IndexResult struct {
	Descriptor ispec.Descriptor
	Platforms  []ispec.Platform // of its images, in their order
}

// AddIndex joins images for different platforms into one index, which can then be published as an image can.
// Which platform an image is for, its config says. Of an index, all images are taken;
// the result has them side by side, in the order of their platforms, whatever order they are given in.
// Attestations that an index has of its images (as BuildKit makes them) come with them.
//
// Two images for one platform are an error, unless they are the same.
// Blobs are copied or linked, and checked; those that the layout has already are used as they are.
// Where they are delivered, so are the manifests of the images, each after all that it names.
func (l *Layout) AddIndex(ctx context.Context, sources []*ImageSource, annotations map[string]string) (_ IndexResult, err error) {
	j := indexBuilder{layout: l, blobs: make(map[digest.Digest]*BlobSource)}
	for _, s := range sources {
		j.visited = make(map[digest.Digest]bool)
		if err := j.follow(ctx, s, s.Descriptor, 0); err != nil {
			return IndexResult{}, fmt.Errorf("add image %q to the index: %w", s.Name, err)
		}
	}
	images, err := j.distinct()
	if err != nil {
		return IndexResult{}, fmt.Errorf("join images: %w", err)
	}
	if err := j.copy(ctx); err != nil {
		return IndexResult{}, err
	}
	index := ispec.Index{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ispec.MediaTypeImageIndex,
		Manifests:   images,
		Annotations: annotations,
	}
	result := IndexResult{}
	for _, d := range images {
		if !isAttestation(d) {
			result.Platforms = append(result.Platforms, *d.Platform)
		}
	}
	if result.Descriptor, err = l.addJSON(ctx, ispec.MediaTypeImageIndex, index); err != nil {
		return IndexResult{}, fmt.Errorf("write index: %w", err)
	}
	return result, nil
}

// indexBuilder collects images and their blobs.
type indexBuilder struct {
	layout *Layout
	images []member
	// followed are the descriptors of the current source that were met. Of equal ones, one is enough:
	// small indexes that name each other many times come to more than anybody can read.
	visited map[digest.Digest]bool
	blobs   map[digest.Digest]*BlobSource
	order   []digest.Digest // of the blobs
}

type member struct {
	desc   ispec.Descriptor
	source string
}

// AnnotationReference is the annotation by which an attestation says which image it is about.
const AnnotationReference = "vnd.docker.reference.digest"

func isAttestation(d ispec.Descriptor) bool { return d.Annotations[AnnotationReference] != "" }

// mostImages is how many images, with what belongs to them, one index may come to.
const mostImages = 1000

// follow adds an image, or those of an index.
func (j *indexBuilder) follow(ctx context.Context, s *ImageSource, desc ispec.Descriptor, depth int) error {
	open := s.Open
	all, err := json.Marshal(desc)
	if err != nil {
		return err
	}
	met := digest.FromBytes(all)
	if j.visited[met] {
		return nil
	}
	if len(j.visited) == mostImages {
		return fmt.Errorf("more than %d images and indexes", mostImages)
	}
	j.visited[met] = true
	switch desc.MediaType {
	case ispec.MediaTypeImageIndex:
		b, err := readDocument(ctx, open, desc)
		if err != nil {
			return err
		}
		var index ispec.Index
		if err := json.Unmarshal(b, &index); err != nil {
			return fmt.Errorf("index %s: %w", desc.Digest, err)
		}
		if depth == maxIndexes {
			return errors.New("too many indexes in indexes")
		}
		for _, d := range index.Manifests {
			if err := j.follow(ctx, s, d, depth+1); err != nil {
				return err
			}
		}
		return nil
	case ispec.MediaTypeImageManifest:
	default:
		return fmt.Errorf("%s is of type %q, and an index is of OCI images", desc.Digest, desc.MediaType)
	}
	b, err := readDocument(ctx, open, desc)
	if err != nil {
		return err
	}
	var manifest ispec.Manifest
	if err := json.Unmarshal(b, &manifest); err != nil {
		return fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	if manifest.Subject != nil {
		return fmt.Errorf("manifest %s belongs to %s, and is not an image by itself", desc.Digest, manifest.Subject.Digest)
	}
	image := ispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}
	if isAttestation(desc) {
		image.Platform, image.Annotations = desc.Platform, desc.Annotations
	} else if image.Platform, err = readConfigPlatform(ctx, open, manifest.Config); err != nil {
		return err
	}
	j.images = append(j.images, member{image, s.Name})
	for _, d := range append([]ispec.Descriptor{desc, manifest.Config}, manifest.Layers...) {
		if err := checkDigest(d.Digest); err != nil {
			return err
		}
		if had := j.blobs[d.Digest]; had == nil {
			j.order = append(j.order, d.Digest)
		} else if had.Dir == j.layout.dir {
			continue
		}
		k := s.blob(d, fmt.Sprintf("image %q", s.Name))
		j.blobs[d.Digest] = &k
	}
	return nil
}

// distinct are the images, each once and one for each platform, and behind them the attestations.
func (j *indexBuilder) distinct() ([]ispec.Descriptor, error) {
	var images, attestations []ispec.Descriptor
	byPlatform := make(map[string]member)
	seen := make(map[digest.Digest]bool)
	var errs []error
	for _, i := range j.images {
		if seen[i.desc.Digest] {
			continue
		}
		seen[i.desc.Digest] = true
		if isAttestation(i.desc) {
			attestations = append(attestations, i.desc)
			continue
		}
		key := platformKey(*i.desc.Platform)
		if had, ok := byPlatform[key]; ok {
			errs = append(errs, fmt.Errorf("%q and %q are both for %s", had.source, i.source, platformName(*i.desc.Platform)))
			continue
		}
		byPlatform[key] = i
		images = append(images, i.desc)
	}
	if len(images) == 0 {
		errs = append(errs, errors.New("there is no image"))
	}
	slices.SortFunc(images, func(a, b ispec.Descriptor) int {
		return cmp.Compare(platformKey(*a.Platform), platformKey(*b.Platform))
	})
	slices.SortFunc(attestations, func(a, b ispec.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Annotations[AnnotationReference], b.Annotations[AnnotationReference]), cmp.Compare(a.Digest, b.Digest))
	})
	return append(images, attestations...), errors.Join(errs...)
}

// copy puts all blobs into the staged layout, or to where they are delivered: manifests last, which name the others.
func (j *indexBuilder) copy(ctx context.Context) error {
	var manifests, others []digest.Digest
	for _, d := range j.order {
		if j.blobs[d].Descriptor.MediaType == ispec.MediaTypeImageManifest {
			manifests = append(manifests, d)
		} else {
			others = append(others, d)
		}
	}
	for _, some := range [][]digest.Digest{others, manifests} {
		group, ctx := errgroup.WithContext(ctx)
		group.SetLimit(runtime.GOMAXPROCS(0))
		for _, d := range some {
			group.Go(func() error { return j.copyBlob(ctx, j.blobs[d]) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (j *indexBuilder) copyBlob(ctx context.Context, k *BlobSource) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err := j.layout.addBlob(ctx, k)
	if err == nil {
		err = j.layout.deliver(ctx, k.Descriptor, k)
	}
	if err == nil && j.layout.options.Progress != nil {
		j.layout.options.Progress(k.Descriptor.Size)
	}
	return err
}
