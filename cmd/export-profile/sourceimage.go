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

// imageSource is the name of an existing image:
// [oci:]DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://REGISTRY/NAME[:TAG|@DIGEST].
type imageSource struct {
	word  string
	kind  kind
	place string             // the directory or file
	tag   string             // or full name
	ref   registry.Reference // in a registry
}

// imageForms lists the names of existing images for hints.
const imageForms = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG] or docker://REGISTRY/NAME[:TAG]"

// parseSource parses the name of an existing image. Its errors begin with what, and hint at the example.
func parseSource(what, example, word string) (s imageSource, err error) {
	k, rest, prefixed := kindOf(word)
	s = imageSource{word: word, kind: k}
	if k.remote {
		if s.ref, err = registry.ParseReference(rest); err != nil {
			return s, usagef(example, "%s %q: %v", what, word, err)
		}
		return s, nil
	}
	for _, name := range append(otherTransports, "tar") {
		if !prefixed && strings.HasPrefix(word, name+":") {
			return s, usagef(example, "%s %q: %s: is not supported, only %s", what, word, name,
				strings.Join(prefixes(), " and "))
		}
	}
	dir, tag, named := strings.Cut(rest, ":")
	if dir == "" || named && tag == "" {
		place := "DIR"
		if k.archive {
			place = "FILE"
		}
		return s, usagef(example, "%s %q: want %s%s[:TAG]", what, word, k.prefix, place)
	}
	s.place, s.tag = dir, tag
	return s, nil
}

// sourceOpener opens images, and keeps open what they need until Close.
type sourceOpener struct {
	say      *speaker
	stdin    io.Reader
	spool    string // a directory for temporary files
	most     int64  // bytes to read from a stream or a compressed archive
	registry *registryFlags

	close []io.Closer
}

// opener returns an opener with its temporary files in the cache.
func (c *cacheFlags) opener(say *speaker, stdin io.Reader, r *registryFlags) *sourceOpener {
	return &sourceOpener{say: say, stdin: stdin, spool: c.spoolDir(), most: maxArchive, registry: r}
}

// loneDocker is the hint for an archive without an OCI layout.
const loneDocker = "it has only Docker's format; put it into a layout: skopeo copy docker-archive:FILE oci:DIR:TAG"

// open finds an image, which stays readable until Close.
func (o *sourceOpener) open(ctx context.Context, s imageSource) (found *ocilayout.ImageSource, err error) {
	if found, err = s.kind.find(ctx, o, s); err != nil {
		return nil, s.hint(err)
	}
	return found, nil
}

func findInLayout(ctx context.Context, _ *sourceOpener, s imageSource) (*ocilayout.ImageSource, error) {
	return ocilayout.FindImage(ctx, s.place, s.tag)
}

func findInRegistry(ctx context.Context, o *sourceOpener, s imageSource) (*ocilayout.ImageSource, error) {
	client, err := o.registry.client(o.say)
	if err != nil {
		return nil, err
	}
	return client.Find(ctx, s.ref)
}

func findInArchive(ctx context.Context, o *sourceOpener, s imageSource) (*ocilayout.ImageSource, error) {
	a, err := o.archive(ctx, s)
	if err != nil {
		return nil, err
	}
	found, err := a.Find(s.tag)
	if errors.Is(err, ocilayout.ErrNoLayout) {
		return nil, withHint(err, loneDocker)
	}
	return found, err
}

func (s imageSource) hint(err error) error {
	if hint(err) != "" || s.kind.remote {
		return err
	}
	if fi, err2 := os.Stat(s.place); err2 == nil && !s.kind.archive && fi.Mode().IsRegular() {
		return withHint(err, "it is a file; an archive is oci-archive:%s or docker-archive:%[1]s", s.place)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case !exists(s.place):
		return withHint(err, "there is no %q; an image is %s", s.place, imageForms)
	case s.kind.archive:
		return withHint(err, "an image is %sFILE[:TAG], where FILE is a tar whose index.json or manifest.json knows TAG", s.kind.prefix)
	}
	return withHint(err, "an image is oci:DIR:TAG, where DIR has an index.json that knows TAG")
}

func (o *sourceOpener) Close() error {
	var errs []error
	for _, c := range o.close {
		errs = append(errs, c.Close())
	}
	o.close = nil
	return errors.Join(errs...)
}
