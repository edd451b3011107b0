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

// IndexResult describes an index of images.
type IndexResult struct {
	Descriptor ispec.Descriptor
	Platforms  []ispec.Platform // of the images, in the order of the index
	Parts      []IndexPart      // the images, in the same order
}

// IndexPart is an image of an index.
type IndexPart struct {
	Descriptor ispec.Descriptor // with the platform
	Sources    []int            // the sources that have the image, by their position
}

// AddIndex joins images for different platforms into one index, which can be published like an image.
// The config of an image says which platform it is for. If a source is an index, AddIndex takes all its images.
// The new index lists all images flat and sorted by platform, in whatever order they are given.
// It keeps attestations of the images, as BuildKit adds them to an index.
//
// Two images for one platform are an error, unless they are equal.
// AddIndex links or copies the blobs and checks them; it uses blobs of the layout itself unchanged.
// If the image is delivered, AddIndex also delivers the manifests, each after the blobs that it names.
func (l *Layout) AddIndex(ctx context.Context, sources []*ImageSource, annotations map[string]string) (_ IndexResult, err error) {
	defer l.explain(&err)
	j := indexBuilder{layout: l, blobs: make(map[digest.Digest]*BlobSource)}
	for i, s := range sources {
		j.source = i
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
		if !IsAttestation(d) {
			result.Platforms = append(result.Platforms, *d.Platform)
			result.Parts = append(result.Parts, IndexPart{d, j.sourcesOf(d.Digest)})
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
	source int // position of the current source
	// visited has the descriptors that the current source has already led to.
	// Small indexes that name each other many times would otherwise expand beyond all bounds.
	visited map[digest.Digest]bool
	blobs   map[digest.Digest]*BlobSource
	order   []digest.Digest // of the blobs, in the order in which they were found
}

type member struct {
	desc     ispec.Descriptor
	source   string
	position int // of the source
}

// AnnotationReference is the key of the annotation by which an attestation of BuildKit names its image.
const AnnotationReference = "vnd.docker.reference.digest"

// IsAttestation reports whether an entry of an index is an attestation of BuildKit, and not an image
// (https://github.com/moby/buildkit/blob/master/docs/attestations/attestation-storage.md).
// Its platform is unknown, so that no client takes it for an image: an entry with a platform is an image, whatever it names.
func IsAttestation(d ispec.Descriptor) bool {
	return d.Annotations[AnnotationReference] != "" && d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown"
}

// mostImages limits the images and attestations of an index.
const mostImages = 1000

// follow adds an image, or all images of an index.
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
	if IsAttestation(desc) {
		image.Platform, image.Annotations = desc.Platform, desc.Annotations
	} else if image.Platform, err = readConfigPlatform(ctx, open, manifest.Config); err != nil {
		return err
	}
	j.images = append(j.images, member{image, s.Name, j.source})
	for _, d := range append([]ispec.Descriptor{desc, manifest.Config}, manifest.Layers...) {
		if err := CheckDigest(d.Digest); err != nil {
			return err
		}
		if err := checkSize(d.Size); err != nil {
			return fmt.Errorf("blob %s: %w", d.Digest, err)
		}
		if had := j.blobs[d.Digest]; had == nil {
			j.order = append(j.order, d.Digest)
		} else if had.Dir == j.layout.dir {
			continue
		}
		blob := s.blob(d, fmt.Sprintf("image %q", s.Name))
		j.blobs[d.Digest] = &blob
	}
	return nil
}

// distinct returns each image once, at most one for each platform, and the attestations behind them.
// What one source calls an attestation and another an image is an image.
func (j *indexBuilder) distinct() ([]ispec.Descriptor, error) {
	var images, attestations []ispec.Descriptor
	byPlatform := make(map[string]member)
	isImage := make(map[digest.Digest]bool)
	for _, i := range j.images {
		isImage[i.desc.Digest] = isImage[i.desc.Digest] || !IsAttestation(i.desc)
	}
	seen := make(map[digest.Digest]bool)
	var errs []error
	for _, i := range j.images {
		if seen[i.desc.Digest] || isImage[i.desc.Digest] && IsAttestation(i.desc) {
			continue
		}
		seen[i.desc.Digest] = true
		if IsAttestation(i.desc) {
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

// sourcesOf lists the positions of the sources that have an image.
func (j *indexBuilder) sourcesOf(d digest.Digest) (positions []int) {
	for _, i := range j.images {
		if i.desc.Digest == d && !slices.Contains(positions, i.position) {
			positions = append(positions, i.position)
		}
	}
	return positions
}

// copy puts all blobs into the staged layout, or delivers them. Manifests come last, since they name the others.
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

func (j *indexBuilder) copyBlob(ctx context.Context, blob *BlobSource) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err := j.layout.addBlob(ctx, blob)
	if err == nil {
		err = j.layout.deliver(ctx, blob.Descriptor, blob)
	}
	if err == nil && j.layout.options.Progress != nil {
		j.layout.options.Progress(blob.Descriptor.Size)
	}
	return err
}
