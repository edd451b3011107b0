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
)

// destination is where an image goes and what it is called there. Each kind has a type, in a file of its own.
type destination interface {
	// open makes ready to write an image there. Nothing is visible before it is published.
	open(ctx context.Context, o outlet, say *speaker, l ocilayout.Options) (*output, error)
	// place is where the image is, for those who read JSON.
	place() place
	// next is what people may want to do with the image then.
	next() string
}

// kinds are those of destinations, by how they begin. What begins like none of them is a layout's directory.
func kinds() []kind {
	return []kind{
		{"oci:", parseLayout},
		{"docker://", parsePushed},
		{"oci-archive:", parseOCIArchive},
		{"docker-archive:", parseDockerArchive},
	}
}

type kind struct {
	prefix string
	// parse parses what follows the prefix, and the names that --tag adds. Its errors are usage errors; word is for them.
	parse func(word, rest string, tags []string) (destination, error)
}

// outlet is what destinations need of a command, each something else.
type outlet struct {
	stdout   io.Writer // for an image that goes there
	json     bool      // the result does
	temp     string    // a directory for large temporary files
	registry *registryFlags
	mount    *registry.Reference // a repository of the same registry that may have blobs, or nil
}

// output is an image that is being written.
type output struct {
	*ocilayout.Layout
	publish func(context.Context, ispec.Descriptor) error
	attach  func(context.Context, ispec.Descriptor, time.Time, []*document) error // before it is published; nil where it cannot be
	stdout  bool                                                                  // the image itself goes there
}

// place is what the result says of where an image is.
type place struct {
	Layout     string   `json:"layout,omitempty"`
	Archive    string   `json:"archive,omitempty"`
	Repository string   `json:"repository,omitempty"`
	Tags       []string `json:"tags"`
	Names      []string `json:"names,omitempty"`
	Pushed     *pushed  `json:"pushed,omitempty"`
}

// file is the file or the directory that the image becomes, or "".
func (p place) file() string {
	if p.Archive == standardName {
		return ""
	}
	return cmp.Or(p.Layout, p.Archive)
}

// transports are those of skopeo and podman, by which people will try to name a destination.
var transports = []string{"docker", "docker-daemon", "containers-storage", "dir", "ostree", "sif", "tarball"}

// parseDestination parses a destination of any kind and the names that --tag adds.
func parseDestination(word string, tags []string) (destination, error) {
	if err := strayDestination(word); err != nil {
		return nil, err
	}
	var prefixes []string
	for _, k := range kinds() {
		if rest, ok := strings.CutPrefix(word, k.prefix); ok {
			return k.parse(word, rest, tags)
		}
		prefixes = append(prefixes, k.prefix)
	}
	if word == "tar:" {
		return nil, usagef("as in tar:root.tar, or tar:- for standard output", "destination %q: no file", word)
	}
	for _, t := range transports {
		if strings.HasPrefix(word, t+":") {
			return nil, usagef("as in oci:hello:v1", "destination %q: %s: is not supported, only %s", word, t, strings.Join(append(prefixes, "tar:"), " and "))
		}
	}
	return parseLayout(word, word, tags)
}

// strayDestination is an error for a word that would become a directory that nobody means.
// A directory of such a name is written with ./ before it, or with oci:.
func strayDestination(word string) error {
	meant := func(dest string) error {
		return usagef("did you mean "+dest+"?", "destination %q: it would be a directory", word)
	}
	for _, k := range kinds() {
		if n := len(k.prefix); len(word) >= n && strings.EqualFold(word[:n], k.prefix) && word[:n] != k.prefix {
			return meant(k.prefix + word[n:])
		}
	}
	layout, isLayout := strings.CutPrefix(word, inLayout)
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
		if rest, ok := strings.CutPrefix(word, almost); ok && !strings.HasPrefix(word, inRegistry) {
			return meant(inRegistry + rest)
		}
	}
	host, rest, _ := strings.Cut(dir, "/")
	port, _, below := strings.Cut(name, "/")
	if _, err := strconv.ParseUint(port, 10, 16); err == nil && below {
		return meant(inRegistry + word)
	}
	isHost := host == "localhost" || strings.Contains(strings.Trim(host, "."), ".") && !strings.HasPrefix(host, ".")
	if rest != "" && isHost && !exists(host) {
		return meant(inRegistry + word)
	}
	return nil
}

// makeFirst is a hint for an error that a file's or a layout's directory is missing.
func makeFirst(err error, name string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "make it first: mkdir -p %s", filepath.Dir(name))
	}
	return err
}
