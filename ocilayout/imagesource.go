package ocilayout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ImageSource locates an image, or an index of images, in a layout, an archive or a registry.
type ImageSource struct {
	Name       string // for people
	Descriptor ispec.Descriptor
	Open       OpenBlob
	OpenRange  OpenRange // nil if what Open returns can seek
	Dir        string    // the layout, or empty
	Tags       []string  // the tags that the image has in its layout or archive, at most 100
	Repository string    // the repository with the registry's name, or empty
}

// FindImage finds an image in a layout by its tag or full name.
// If tag is empty, it takes the only image of the layout, or else the one tagged latest.
// The error is fs.ErrNotExist if there is no such image.
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

// maxTags limits the tags of an image that are listed.
const maxTags = 100

// sourceIn finds an image in an index and sets the descriptor of s.
func sourceIn(index ispec.Index, tag string, s *ImageSource) (*ImageSource, error) {
	desc, err := findImage(index.Manifests, tag)
	if err != nil {
		return nil, err
	}
	for _, d := range index.Manifests {
		if name := d.Annotations[ispec.AnnotationRefName]; d.Digest == desc.Digest && name != "" && len(s.Tags) < maxTags && !slices.Contains(s.Tags, name) {
			s.Tags = append(s.Tags, name)
		}
	}
	desc.Annotations = nil // they only name the image in this index
	s.Descriptor = desc
	return s, nil
}

// called names an image in errors.
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

// blob returns a blob of the image. For the origin, see BlobSource.
func (s *ImageSource) blob(d ispec.Descriptor, origin string) BlobSource {
	blob := BlobSource{Descriptor: d, Dir: s.Dir, Repository: s.Repository, Origin: origin}
	if s.Dir == "" {
		blob.Open = func(ctx context.Context) (io.ReadCloser, error) { return s.Open(ctx, d) }
	}
	return blob
}

// findImage finds an image in an index, which may list it under several names.
func findImage(all []ispec.Descriptor, tag string) (ispec.Descriptor, error) {
	var found []ispec.Descriptor
	search := func(tag string) {
		for _, d := range all {
			if tag == "" || d.Annotations[ispec.AnnotationRefName] == tag || d.Annotations[AnnotationFullName] == tag {
				if len(found) == 0 || found[0].Digest != d.Digest {
					found = append(found, d)
				}
			}
		}
	}
	search(tag)
	if tag == "" && len(found) > 1 {
		found = nil
		search("latest")
		if len(found) == 0 {
			return ispec.Descriptor{}, errors.New("there are several images and none is latest: want a tag")
		}
	}
	switch len(found) {
	case 0:
		return ispec.Descriptor{}, fmt.Errorf("there is no such image%s: %w", others(all), fs.ErrNotExist)
	case 1:
		return found[0], nil
	}
	return ispec.Descriptor{}, errors.New("several images have that name")
}

// others lists the tags, or else the full names, of the images that do exist.
func others(all []ispec.Descriptor) string {
	const most = 10
	var names []string
	for _, d := range all {
		name := cmp.Or(d.Annotations[ispec.AnnotationRefName], d.Annotations[AnnotationFullName])
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch n := len(names); {
	case n == 0:
		return ""
	case n > most:
		return fmt.Sprintf(", only %q and %d more", names[:most], n-most)
	}
	return fmt.Sprintf(", only %q", names)
}

// readIndex reads the index of a layout.
func readIndex(ctx context.Context, path string) (index ispec.Index, err error) {
	if _, err := os.Lstat(indexPath(path)); err != nil {
		return index, err // umoci's error would say less
	}
	e, err := openEngine(path)
	if err != nil {
		return index, err
	}
	index, err = e.GetIndex(ctx)
	return index, errors.Join(err, e.Close())
}

// openBlobIn returns an OpenBlob for the layout at path.
func openBlobIn(path string) OpenBlob {
	return func(_ context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		if err := CheckDigest(d.Digest); err != nil {
			return nil, err
		}
		return os.Open(filepath.Join(path, blobs, d.Digest.Encoded()))
	}
}
