package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// ReadLayout reads the index, manifests and configs of a layout:
// of the image with the tag or full name, or of all images if tag is empty.
// The error is fs.ErrNotExist if there is no layout or no such image. Check reports every other problem.
func ReadLayout(ctx context.Context, dir, tag string) (_ *Claims, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read layout %q: %w", dir, err)
		}
	}()
	c := newClaims(func(_ context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		return openRegular(filepath.Join(dir, ispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded()))
	})
	found, err := c.readLayout(ctx, tag, func(name string) (io.ReadCloser, error) { return openRegular(filepath.Join(dir, name)) })
	if err == nil && !found {
		err = noImage(tag)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func noImage(tag string) error { return fmt.Errorf("find image %q: %w", tag, fs.ErrNotExist) }

// readLayout reads the top-level files of a layout and the images that tag selects.
// It reports whether there was such an image.
func (c *Claims) readLayout(ctx context.Context, tag string, open func(name string) (io.ReadCloser, error)) (found bool, err error) {
	index, err := readFile(open, ispec.ImageIndexFile)
	if err != nil {
		return false, err
	}
	version, err := readFile(open, ispec.ImageLayoutFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err != nil {
		c.found.add(Problem{Blob: ispec.ImageLayoutFile, What: "is missing"})
	} else {
		c.checkShape(&c.found, ispec.ImageLayoutFile, version, layoutShape)
	}
	if !c.checkShape(&c.found, ispec.ImageIndexFile, index, indexShape) {
		return true, nil
	}
	var parsed ispec.Index
	if err := json.Unmarshal(index, &parsed); err != nil {
		c.found.add(Problem{Blob: ispec.ImageIndexFile, What: err.Error()})
		return true, nil
	}
	selected := make(map[digest.Digest]bool)
	for _, d := range parsed.Manifests {
		if tag == "" || d.Annotations[ispec.AnnotationRefName] == tag || d.Annotations[ocilayout.AnnotationFullName] == tag {
			found = true
			selected[d.Digest] = true
			// What has a tag, or is alone, is what users of the layout take for the image.
			attestation := tag == "" && !isTagged(d) && len(parsed.Manifests) > 1 && ocilayout.IsAttestation(d)
			if err := c.follow(ctx, d, ispec.ImageIndexFile, 0, attestation); err != nil {
				return true, err
			}
		}
	}
	for _, d := range parsed.Manifests {
		if name := d.Annotations[ispec.AnnotationRefName]; selected[d.Digest] && !slices.Contains(c.tags, name) && len(c.tags) < maxImages {
			c.tags = append(c.tags, name)
		}
	}
	return found, nil
}

func isTagged(d ispec.Descriptor) bool {
	return d.Annotations[ispec.AnnotationRefName] != "" || d.Annotations[ocilayout.AnnotationFullName] != ""
}

// openRegular opens a regular file. It does not block on a named pipe.
func openRegular(name string) (io.ReadCloser, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%q: %w", name, ocilayout.ErrIrregular)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func readFile(open func(string) (io.ReadCloser, error), name string) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, ocilayout.MaxDocument+1))
	if err == nil && len(b) > ocilayout.MaxDocument {
		err = fmt.Errorf("%q: has more than %d bytes", name, ocilayout.MaxDocument)
	}
	return b, errors.Join(err, f.Close())
}
