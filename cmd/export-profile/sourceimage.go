package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// imageName is the name of an existing image:
// [oci:]DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://REGISTRY/NAME[:TAG|@DIGEST].
type imageName struct {
	word      string
	transport transport
	path      string             // the directory or file
	tag       string             // or full name
	ref       registry.Reference // in a registry
}

// imageForms lists the names of existing images for hints.
const imageForms = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG] or docker://REGISTRY/NAME[:TAG]"

// parseImageName parses the name of an existing image. Its errors begin with what, and hint at the example.
func parseImageName(what, example, word string) (n imageName, err error) {
	k, rest, prefixed := transportOf(word)
	n = imageName{word: word, transport: k}
	if k.remote {
		if n.ref, err = registry.ParseReference(rest); err != nil {
			return n, usagef(example, "%s %q: %v", what, word, err)
		}
		return n, nil
	}
	for _, name := range append(otherTransports, "tar") {
		if !prefixed && strings.HasPrefix(word, name+":") {
			return n, usagef(example, "%s %q: %s: is not supported, only %s", what, word, name, prefixList())
		}
	}
	dir, tag, named := strings.Cut(rest, ":")
	if dir == "" || named && tag == "" {
		place := "DIR"
		if k.archive {
			place = "FILE"
		}
		return n, usagef(example, "%s %q: want %s%s[:TAG]", what, word, k.prefix, place)
	}
	n.path, n.tag = dir, tag
	return n, nil
}

// imageOpener opens images, and keeps open what they need until Close.
type imageOpener struct {
	say      *speaker
	stdin    io.Reader
	spool    string // a directory for temporary files
	most     int64  // bytes to read from a stream or a compressed archive
	registry *registryFlags

	close []io.Closer
}

// opener returns an opener with its temporary files in the cache.
func (c *cacheFlags) opener(say *speaker, stdin io.Reader, r *registryFlags) *imageOpener {
	return &imageOpener{say: say, stdin: stdin, spool: c.spoolDir(), most: maxArchive, registry: r}
}

// noLayoutHint is for an archive without an OCI layout.
const noLayoutHint = "it has only Docker's format; put it into a layout: skopeo copy docker-archive:FILE oci:DIR:TAG"

// open finds an image, which stays readable until Close.
func (o *imageOpener) open(ctx context.Context, n imageName) (found *ocilayout.ImageSource, err error) {
	if found, err = n.transport.find(ctx, o, n); err != nil {
		return nil, n.hint(err)
	}
	return found, nil
}

func findInLayout(ctx context.Context, _ *imageOpener, n imageName) (*ocilayout.ImageSource, error) {
	return ocilayout.FindImage(ctx, n.path, n.tag)
}

func findInRegistry(ctx context.Context, o *imageOpener, n imageName) (*ocilayout.ImageSource, error) {
	client, err := o.registry.client(o.say)
	if err != nil {
		return nil, err
	}
	return client.Find(ctx, n.ref)
}

func findInArchive(ctx context.Context, o *imageOpener, n imageName) (*ocilayout.ImageSource, error) {
	a, err := o.archive(ctx, n)
	if err != nil {
		return nil, err
	}
	found, err := a.Find(n.tag)
	if errors.Is(err, ocilayout.ErrNoLayout) {
		return nil, withHint(err, noLayoutHint)
	}
	return found, err
}

func (n imageName) hint(err error) error {
	if hint(err) != "" || n.transport.remote {
		return err
	}
	if fi, err2 := os.Stat(n.path); err2 == nil && !n.transport.archive && fi.Mode().IsRegular() {
		return withHint(err, "it is a file; an archive is oci-archive:%s or docker-archive:%[1]s", n.path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case !exists(n.path):
		return withHint(err, "there is no %q; an image is %s", n.path, imageForms)
	case n.transport.archive:
		return withHint(err, "an image is %sFILE[:TAG], where FILE is a tar whose index.json or manifest.json lists TAG", n.transport.prefix)
	}
	return withHint(err, "an image is oci:DIR:TAG, where DIR has an index.json that lists TAG")
}

func (o *imageOpener) Close() error {
	var errs []error
	for _, c := range o.close {
		errs = append(errs, c.Close())
	}
	o.close = nil
	return errors.Join(errs...)
}
