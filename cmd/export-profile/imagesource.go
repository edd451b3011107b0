package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile"
)

// imageFlags are those of commands that look into finished images, too.
type imageFlags struct {
	registryFlags
	platform string
}

func (f *imageFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&f.platform, "platform", "", "look at what an image for several platforms has for `OS/ARCH[/VARIANT]`")
	f.registryFlags.reading(fs)
}

// imagePrefixes are those of words that name a finished image.
var imagePrefixes = []string{"oci:", "docker://", "oci-archive:", "docker-archive:"}

func isImage(word string) bool {
	return slices.ContainsFunc(imagePrefixes, func(p string) bool { return strings.HasPrefix(word, p) })
}

const imageExample = "as in oci:hello:v1, oci-archive:hello.tar or docker://registry.example.com/team/hello:v1"

// image is the finished image that --from names, if it does.
func (s *selection) image() (word string, ok bool, err error) {
	i := slices.IndexFunc(s.from, isImage)
	switch {
	case i < 0:
		return "", false, nil
	case s.images == nil:
		return "", false, usagef("closure, why, ls, diff and sbom look into one", "--from %q: a finished image is no store to take from", s.from[i])
	case len(s.from) > 1:
		return "", false, usagef("", "--from %q: an image cannot be in a chain", s.from[i])
	case s.references != "" || s.requireSigs || s.noCheckSigs || len(s.trusted) > 0:
		return "", false, usagef("", "--from %q: an image has no signatures, and its store paths' references are found in its files", s.from[i])
	}
	return s.from[i], true, nil
}

// open reads manifest and config of a finished image. The caller closes what it is in.
func (f *imageFlags) open(ctx context.Context, say *speaker, word string) (image *ocilayout.Base, in io.Closer, err error) {
	var platform ispec.Platform
	if f.platform != "" {
		if platform, err = parsePlatform(f.platform); err != nil {
			return nil, nil, err
		}
	}
	transport, rest, _ := strings.Cut(word, ":")
	if transport == "docker" {
		r, err := registry.ParseReference(strings.TrimPrefix(rest, "//"))
		if err != nil {
			return nil, nil, usagef(imageExample, "image %q: %v", word, err)
		}
		client, err := f.client(say)
		if err == nil {
			image, err = client.ReadImage(ctx, r, platform)
		}
		return image, io.NopCloser(nil), f.severalPlatforms(err)
	}
	name, tag, named := strings.Cut(rest, ":")
	if name == "" || named && tag == "" {
		return nil, nil, usagef(imageExample, "image %q: want %s:%s[:TAG]", word, transport, map[bool]string{true: "DIR", false: "FILE"}[transport == "oci"])
	}
	if strings.ContainsAny(tag, ":/") {
		n, err := ocilayout.ParseReference(tag)
		if err != nil {
			return nil, nil, usagef(imageExample, "image %q: %v", word, err)
		}
		tag = n.Full
	}
	in = io.NopCloser(nil)
	if transport == "oci" {
		image, err = ocilayout.ReadImage(ctx, name, tag, platform)
	} else {
		image, in, err = ocilayout.ReadArchive(ctx, name, tag, platform)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, withHint(err, "an image is %s", strings.TrimPrefix(imageExample, "as in "))
	}
	return image, in, f.severalPlatforms(err)
}

// severalPlatforms says what to do where an image cannot be chosen.
func (f *imageFlags) severalPlatforms(err error) error {
	if err != nil && f.platform == "" && strings.Contains(err.Error(), "several platforms") {
		return withHint(err, "say which with --platform, as in --platform linux/amd64")
	}
	return err
}

// findInImage is find for a finished image. Without --profile, the roots are what nothing else refers to.
func (s *selection) findInImage(ctx context.Context, say *speaker, word string) (_ *profile.Closure, _ profile.Store, err error) {
	image, in, err := s.images.open(ctx, say, word)
	if err != nil {
		return nil, nil, err
	}
	store, err := readImageStore(ctx, say, image, in, s.facts())
	if err != nil {
		return nil, nil, errors.Join(err, in.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, store.Close())
		}
	}()
	roots := store.tops()
	if len(s.profiles) > 0 {
		profiles, err := s.resolve(ctx, store)
		if err != nil {
			return nil, nil, err
		}
		roots = nil
		for _, p := range profiles {
			roots = append(roots, p.Path)
		}
	}
	if len(roots) == 0 {
		return nil, nil, fmt.Errorf("image %q has no store paths", word)
	}
	closure, err := profile.FindClosure(ctx, store, roots...)
	return closure, store, err
}
