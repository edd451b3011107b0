package ocilayout

import (
	"context"
	"fmt"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ImageSource is an image, or an index of images, and where its blobs are: in a layout, an archive or a registry.
type ImageSource struct {
	Name       string // for people
	Descriptor ispec.Descriptor
	Open       OpenBlob
	Dir        string // the layout that has the blobs, or empty
	Repository string // that has them, with the registry's name, or empty
}

// FindImage finds an image in a layout by its tag or full name.
// If that is empty, it is the layout's only image, or else the one with the tag latest.
// The error is fs.ErrNotExist if there is none.
func FindImage(ctx context.Context, dir, tag string) (*ImageSource, error) {
	s, err := findSource(ctx, dir, tag)
	if err != nil {
		return nil, fmt.Errorf("find %s in layout %q: %w", called(tag), dir, err)
	}
	return s, nil
}

func findSource(ctx context.Context, dir, tag string) (*ImageSource, error) {
	path, _, err := resolve(dir)
	if err != nil {
		return nil, err
	}
	index, err := readIndex(ctx, path)
	if err != nil {
		return nil, err
	}
	return sourceIn(index, tag, &ImageSource{Name: namedIn(dir, tag), Open: openBlobIn(path), Dir: path})
}

// sourceIn finds an image in an index and says so in s.
func sourceIn(index ispec.Index, tag string, s *ImageSource) (*ImageSource, error) {
	desc, err := findImage(index.Manifests, tag)
	if err != nil {
		return nil, err
	}
	desc.Annotations = nil // its name there
	s.Descriptor = desc
	return s, nil
}

// called is an image as errors name it.
func called(tag string) string {
	if tag == "" {
		return "image"
	}
	return fmt.Sprintf("image %q", tag)
}

func namedIn(place, tag string) string {
	if tag == "" {
		return place
	}
	return place + ":" + tag
}

// blob is a blob of the image, of which is said whose it is.
func (s *ImageSource) blob(d ispec.Descriptor, of string) BlobSource {
	k := BlobSource{Descriptor: d, Dir: s.Dir, Repository: s.Repository, Of: of}
	if s.Dir == "" {
		k.Open = func(ctx context.Context) (io.ReadCloser, error) { return s.Open(ctx, d) }
	}
	return k
}
