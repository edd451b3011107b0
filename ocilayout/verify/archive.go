package verify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/history"
)

// dockerManifestFile is the file at the top of an archive of docker save that lists its images.
const dockerManifestFile = "manifest.json"

// ReadArchive reads the manifests and configs of an archive:
// of the image with the tag or full name, or of all images if tag is empty.
// If the archive has a layout and Docker's manifest.json, it reads both, and both must list the same images.
// If docker is set, the archive must have a manifest.json, else a layout.
// The error is fs.ErrNotExist if that or the image is missing. Check reports every other problem.
func ReadArchive(ctx context.Context, a *ocilayout.ArchiveFile, docker bool, tag string) (*Claims, error) {
	if n, err := ocilayout.ParseReference(tag); err == nil && strings.ContainsAny(tag, ":/") {
		tag = n.Full
	}
	c := newClaims(a.OpenBlob)
	for _, o := range a.Odd {
		c.found.add(Problem{Blob: o.Name, What: o.What})
	}
	open := func(name string) (io.ReadCloser, error) {
		f, err := a.File(name, false)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(f), nil
	}
	found, err := c.readLayout(ctx, tag, open)
	isLayout := !errors.Is(err, fs.ErrNotExist)
	if isLayout && err != nil || !isLayout && !docker {
		return nil, fmt.Errorf("read archive %q: %w", a.Name(), err)
	}
	manifest, err := readFile(open, dockerManifestFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !docker:
	case err != nil:
		return nil, fmt.Errorf("read archive %q: %w", a.Name(), err)
	default:
		d := dockerReader{Claims: c, archive: a, layout: isLayout, all: tag == ""}
		if d.read(manifest, tag) {
			found = true
		}
	}
	if !found {
		return nil, fmt.Errorf("read archive %q: %w", a.Name(), noImage(tag))
	}
	return c, nil
}

// dockerReader reads the images that manifest.json lists.
type dockerReader struct {
	*Claims
	archive *ocilayout.ArchiveFile
	layout  bool // the archive also has an index.json
	all     bool // the check is of all images
}

func (d *dockerReader) problem(format string, args ...any) {
	d.found.add(Problem{Blob: dockerManifestFile, What: fmt.Sprintf(format, args...)})
}

type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// read reads the images that tag selects, and reports whether there are any.
func (d *dockerReader) read(manifest []byte, tag string) (found bool) {
	var images []dockerImage
	if err := json.Unmarshal(manifest, &images); err != nil {
		d.problem("%v", err)
		return true
	}
	if len(images) > maxImages {
		d.problem("has more than %d images", maxImages)
		images = images[:maxImages]
	}
	for _, i := range images {
		if tag != "" && !slices.ContainsFunc(i.RepoTags, func(t string) bool { return isNamed(t, tag) }) {
			continue
		}
		found = true
		if len(i.Layers) > maxLayers {
			d.problem("an image has more than %d layers", maxLayers)
			continue
		}
		d.readImage(i)
	}
	return found
}

// isNamed reports whether the name of an image has the tag, or is the full name given as tag.
func isNamed(name, tag string) bool {
	n, err := ocilayout.ParseReference(name)
	return err == nil && (n.Full == tag || n.Tag == tag)
}

// readImage reads one image. If the layout has an image with the same config and layers, it adds only new problems to it.
func (d *dockerReader) readImage(i dockerImage) {
	f, err := d.archive.File(i.Config, false)
	if err != nil {
		d.problem("config %s: %s", quote(i.Config), unreadable(err))
		return
	}
	b, err := io.ReadAll(io.LimitReader(f, ocilayout.MaxDocument+1))
	if d.Claims.read += int64(len(b)); err == nil && (len(b) > ocilayout.MaxDocument || d.Claims.read > maxDocuments) {
		err = fmt.Errorf("has more than %d bytes, or the documents together have too many", ocilayout.MaxDocument)
	}
	if err != nil {
		d.problem("config %s: %v", quote(i.Config), err)
		return
	}
	own := digest.FromBytes(b)
	img := &image{digest: own, config: own, found: findings{limit: documentProblems}}
	if want, ok := namedDigest(strings.TrimSuffix(i.Config, ".json")); ok && want != own {
		img.found.add(Problem{Blob: i.Config, What: fmt.Sprintf("has the digest %s", own)})
	}
	var config ispec.Image
	if !d.checkShape(&img.found, i.Config, b, configShape) {
		config = ispec.Image{}
	} else if err := json.Unmarshal(b, &config); err != nil {
		img.found.add(Problem{Blob: i.Config, What: err.Error()})
	}
	diffIDs, claims := d.layerClaims(img, i.Config, config, len(i.Layers))
	at := slices.IndexFunc(d.images, func(had *image) bool { return had.config == own })
	for n, name := range i.Layers {
		var diffID digest.Digest
		if diffIDs != nil {
			diffID = diffIDs[n]
		}
		if l := d.readLayer(name, diffID, claims[n]); l != nil {
			if at >= 0 && n < len(d.images[at].layers) && d.images[at].layers[n].desc.Digest == l.desc.Digest {
				l.desc.Annotations = d.images[at].layers[n].desc.Annotations // manifest.json has no place for them
			}
			d.addLayer(img, l)
		} else {
			d.problem("layer %d, %s, is missing or not a regular file", n+1, quote(name))
		}
	}
	switch {
	case at >= 0 && slices.Equal(d.images[at].layers, img.layers):
		for _, p := range img.found.list {
			if !slices.Contains(d.images[at].found.list, p) {
				d.images[at].found.add(p)
			}
		}
		return
	case at >= 0:
		d.problem("the image with the config %s has other layers than in index.json", own)
	case d.layout && d.all:
		d.problem("the image with the config %s is not in index.json", own)
	}
	d.images = append(d.images, img)
}

func unreadable(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "is missing"
	}
	return err.Error()
}

// readLayer returns the layer in a file, or nil if there is no such file. It derives the media type from the first bytes.
func (d *dockerReader) readLayer(name string, diffID digest.Digest, claim *history.Claim) *layer {
	f, err := d.archive.File(name, true)
	if err != nil {
		return nil
	}
	head := make([]byte, 4)
	n, _ := f.ReadAt(head, 0)
	l := &layer{claim: claim, desc: ispec.Descriptor{MediaType: sniff(head[:n]), Size: f.Size()}, diffID: diffID}
	if named, ok := namedDigest(name); ok && strings.HasPrefix(path.Clean(name), ispec.ImageBlobsDir+"/") {
		l.desc.Digest = named
		return l
	}
	l.file = name
	l.open = func(context.Context, ispec.Descriptor) (io.ReadCloser, error) {
		f, err := d.archive.File(name, true)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(f), nil
	}
	return l
}

// namedDigest returns the digest that is the name of a file.
func namedDigest(name string) (digest.Digest, bool) {
	d := digest.NewDigestFromEncoded(digest.SHA256, path.Base(name))
	return d, d.Validate() == nil
}

// sniff returns the media type of a layer that begins with head.
func sniff(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return ispec.MediaTypeImageLayerGzip
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")):
		return ispec.MediaTypeImageLayerZstd
	}
	return ispec.MediaTypeImageLayer
}
