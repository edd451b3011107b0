package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/ocilayout/verify"
)

// destination is where an image goes and what it is called there. Each transport has a type in its own file.
type destination interface {
	// open prepares to write an image. The image is invisible until it is published.
	open(ctx context.Context, o destinationOptions, say *speaker, l ocilayout.Options) (*imageWriter, error)
	// place tells readers of JSON where the image is.
	place() place
	// repository returns the repository that the image is pushed to, or nil if it goes into a file.
	repository() *registry.Reference
	// next tells people what to do with the image.
	next() string
}

// transport is a kind of place for images, as in skopeo and podman.
type transport struct {
	prefix  string
	archive bool // one file, or a stream
	remote  bool // a registry, where layers cost a download
	indexes bool // can hold an image for several platforms
	plain   bool // has no place for annotations of layers, and so not for the tables of zstd:chunked

	// parse parses the words after the prefix and the values of --tag. Its errors are usage errors that quote word.
	parse func(word, rest string, tags []string) (destination, error)
	// find finds an image, which stays readable until the opener is closed.
	find func(context.Context, *imageOpener, imageName) (*ocilayout.ImageSource, error)
	// claims reads all that verify compares with an image's bytes.
	claims func(context.Context, *imageOpener, imageName) (*verify.Claims, error)
}

const (
	layoutPrefix        = "oci:"
	registryPrefix      = "docker://"
	ociArchivePrefix    = "oci-archive:"
	dockerArchivePrefix = "docker-archive:"
	tarPrefix           = "tar:" // a root filesystem, which only rootfs writes
)

// transports lists all transports. This is the only such list: what a command can do with an image depends on its row here.
func transports() []transport {
	return []transport{
		{prefix: layoutPrefix, indexes: true, parse: parseLayout, find: findInLayout, claims: layoutClaims},
		{prefix: registryPrefix, remote: true, indexes: true, parse: parseRegistry, find: findInRegistry, claims: registryClaims},
		{prefix: ociArchivePrefix, archive: true, indexes: true, parse: parseOCIArchive, find: findInArchive, claims: ociArchiveClaims},
		{prefix: dockerArchivePrefix, archive: true, plain: true, parse: parseDockerArchive, find: findInArchive, claims: dockerArchiveClaims},
	}
}

// transportOf returns the transport of an image's name and what follows the prefix. A name without a prefix is a layout's directory.
func transportOf(word string) (k transport, rest string, prefixed bool) {
	for _, k := range transports() {
		if rest, ok := strings.CutPrefix(word, k.prefix); ok {
			return k, rest, true
		}
	}
	return transports()[0], word, false
}

func prefixes() (all []string) {
	for _, k := range transports() {
		all = append(all, k.prefix)
	}
	return all
}

// prefixList names all transports in a sentence.
func prefixList() string {
	all := prefixes()
	last := len(all) - 1
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

// destinationOptions holds what commands give to destinations. Each transport uses some of it.
type destinationOptions struct {
	stdout   io.Writer // for an image written to standard output
	json     bool      // the result is JSON on standard output
	temp     string    // a directory for large temporary files
	registry *registryFlags
	mount    *registry.Reference // a repository of the same registry that may have blobs, or nil
}

// imageWriter writes an image to its destination. Nothing sees the image before publish.
type imageWriter struct {
	*ocilayout.Layout
	publish func(context.Context, ispec.Descriptor) error
	push    *registry.Push                                                        // nil if the destination is a file
	attach  func(context.Context, ispec.Descriptor, time.Time, []*document) error // before publish; nil if nothing can be attached there
	stdout  bool                                                                  // the image itself goes to standard output
}

// place tells readers of JSON where the image is.
type place struct {
	Layout     string      `json:"layout,omitempty"`
	Archive    string      `json:"archive,omitempty"`
	Repository string      `json:"repository,omitempty"`
	Tags       []string    `json:"tags"`
	Names      []string    `json:"names,omitempty"`
	Pushed     *pushResult `json:"pushed,omitempty"`
}

// file returns the file or the directory that the image becomes, or "".
func (p place) file() string {
	if p.Archive == standardName {
		return ""
	}
	return cmp.Or(p.Layout, p.Archive)
}

// otherTransports lists transports of skopeo and podman that users may try here.
var otherTransports = []string{"docker", "docker-daemon", "containers-storage", "dir", "ostree", "sif", "tarball"}

// parseDestination parses a destination of any transport, and the values of --tag.
func parseDestination(word string, tags []string) (destination, error) {
	if err := strayDestination(word); err != nil {
		return nil, err
	}
	k, rest, prefixed := transportOf(word)
	if !prefixed {
		if strings.HasPrefix(word, tarPrefix) {
			return nil, tarIsNoImage(word, nil)
		}
		for _, t := range otherTransports {
			if strings.HasPrefix(word, t+":") {
				hint := "as in oci:hello:v1"
				if t == "docker" {
					hint = "a registry is docker://REGISTRY/NAME[:TAG]; podman and Docker load a file: docker-archive:FILE"
				}
				return nil, usagef(hint, "destination %q: %s: is not supported, only %s", word, t, prefixList())
			}
		}
	}
	return k.parse(word, rest, tags)
}

// tarIsNoImage sends tar:FILE to rootfs, with the flags that it takes.
func tarIsNoImage(word string, flags []string) error {
	if word == tarPrefix {
		word += "root.tar"
	}
	command := strings.Join(append(append([]string{"export-profile rootfs"}, flags...), shellWord(word)), " ")
	return usagef("write it with: "+command, "destination %q: tar: writes a root filesystem, not an image", word)
}

// strayDestination refuses words that would become a directory by mistake.
// Users can write ./ or oci: before a directory of such a name.
func strayDestination(word string) error {
	meant := func(dest string) error {
		return usagef("did you mean "+dest+"?", "destination %q: it would be a directory", word)
	}
	for _, k := range transports() {
		if n := len(k.prefix); len(word) >= n && strings.EqualFold(word[:n], k.prefix) && word[:n] != k.prefix {
			return meant(k.prefix + word[n:])
		}
	}
	layout, isLayout := strings.CutPrefix(word, layoutPrefix)
	dir, name, _ := strings.Cut(layout, ":")
	switch {
	case word == standardName:
		return meant("docker-archive:-")
	case layout == standardName:
		return meant("oci-archive:-")
	case layout != "" && strings.TrimSpace(dir) == "":
		return usagef("as in oci:hello:v1", "destination %q: the directory's name is blank", word)
	case isLayout && strings.HasSuffix(dir, "@sha256"):
		return usagef("as in oci:hello:v1", "destination %q: has a digest, which is the result, not a name", word)
	case isLayout:
		return nil
	}
	for _, almost := range []string{"docker//", "docker:/"} {
		if rest, ok := strings.CutPrefix(word, almost); ok && !strings.HasPrefix(word, registryPrefix) {
			return meant(registryPrefix + rest)
		}
	}
	host, rest, _ := strings.Cut(dir, "/")
	port, _, below := strings.Cut(name, "/")
	if _, err := strconv.ParseUint(port, 10, 16); err == nil && below {
		return meant(registryPrefix + word)
	}
	isHost := host == "localhost" || strings.Contains(strings.Trim(host, "."), ".") && !strings.HasPrefix(host, ".")
	if rest != "" && isHost && !exists(host) {
		return meant(registryPrefix + word)
	}
	return nil
}

// makeFirst adds a hint if the directory of a file or a layout is missing.
func makeFirst(err error, name string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "make it first: mkdir -p %s", filepath.Dir(name))
	}
	return err
}

func isImage(word string) bool {
	_, _, prefixed := transportOf(word)
	return prefixed
}
