package main

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile/nar"
	"github.com/export-profile/export-profile/rootfs"
)

const imageExample = "as in oci:hello:v1, oci-archive:hello.tar or docker://registry.example.com/team/hello:v1"

// fromImage returns the image that --from names. ok is false if --from names no image.
func (f *closureFlags) fromImage() (word string, ok bool, err error) {
	i := slices.IndexFunc(f.from, isImage)
	switch {
	case i < 0:
		return "", false, nil
	case f.images == nil:
		return "", false, usagef("closure, why, ls, diff, sbom, check IMAGE and report IMAGE look into one", "--from %q: this command takes a store, not an image", f.from[i])
	case len(f.from) > 1:
		return "", false, usagef("", "--from %q: an image cannot be in a chain", f.from[i])
	case f.references != "" || f.requireSigs || f.noCheckSigs || len(f.trusted) > 0:
		return "", false, usagef("", "--from %q: an image has no signatures, and the references of its store paths come from its files", f.from[i])
	}
	return f.from[i], true, nil
}

// open reads the manifest and config of an image. The caller closes its opener.
func (f *inspectFlags) open(ctx context.Context, stdin io.Reader, say *speaker, cache *cacheFlags, word string) (*ocilayout.Image, io.Closer, error) {
	if err := cache.refusal(); err != nil {
		return nil, nil, err
	}
	in := cache.opener(say, stdin, &f.registryFlags)
	image, err := in.readImage(ctx, f.platform, word)
	if err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	return image, in, nil
}

// readImage reads the manifest and config of an image, whose layers stay readable until the opener is closed.
func (o *imageOpener) readImage(ctx context.Context, asked, word string) (*ocilayout.Image, error) {
	_, image, err := o.findImage(ctx, asked, word)
	return image, err
}

// findImage is like readImage. It also returns where the image is.
func (o *imageOpener) findImage(ctx context.Context, asked, word string) (*ocilayout.ImageSource, *ocilayout.Image, error) {
	var platform ispec.Platform
	n, err := parseImageName("image", imageExample, word)
	if err == nil && asked != "" {
		platform, err = parsePlatform(asked)
	}
	if err == nil && strings.ContainsAny(n.tag, ":/") {
		var name ocilayout.Name
		if name, err = ocilayout.ParseReference(n.tag); err != nil {
			err = usagef(imageExample, "image %q: %v", word, err)
		}
		n.tag = name.Full
	}
	if err != nil {
		return nil, nil, err
	}
	found, err := o.open(ctx, n)
	if err != nil {
		return nil, nil, err
	}
	image, err := found.Read(ctx, platform)
	if errors.Is(err, ocilayout.ErrSeveralPlatforms) {
		err = withHint(err, "say which with --platform, as in --platform linux/amd64")
	}
	return found, image, err
}

// openImage opens the store inside an image.
func (f *closureFlags) openImage(ctx context.Context, stdin io.Reader, say *speaker, word string) (*imageStore, error) {
	image, in, err := f.images.open(ctx, stdin, say, &f.cacheFlags, word)
	if err != nil {
		return nil, err
	}
	dir, err := f.dir()
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	if dir != nil {
		image.AssumeStoreDir(*dir)
	}
	store, err := readImageStore(ctx, say, image, in, f.facts())
	if err != nil {
		return nil, errors.Join(err, in.Close())
	}
	return store, nil
}

// narHash computes the NAR hash that an image's history claims.
func narHash(t rootfs.Tree, root string) (string, int64, error) {
	h, n, err := nar.Sum(t, root)
	return hex.EncodeToString(h[:]), n, err
}
