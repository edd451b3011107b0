package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
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
	if p.Archive == stdoutName {
		return ""
	}
	return cmp.Or(p.Layout, p.Archive)
}

// transports are those of skopeo and podman, by which people will try to name a destination.
var transports = []string{"docker", "docker-daemon", "containers-storage", "dir", "ostree", "sif", "tarball"}

// parseDestination parses a destination of any kind and the names that --tag adds.
func parseDestination(word string, tags []string) (destination, error) {
	var prefixes []string
	for _, k := range kinds() {
		if rest, ok := strings.CutPrefix(word, k.prefix); ok {
			return k.parse(word, rest, tags)
		}
		prefixes = append(prefixes, k.prefix)
	}
	for _, t := range transports {
		if strings.HasPrefix(word, t+":") {
			return nil, usagef("as in oci:hello:v1", "destination %q: %s: is not supported, only %s", word, t, strings.Join(prefixes, " and "))
		}
	}
	return parseLayout(word, word, tags)
}

// makeFirst is a hint for an error that a file's or a layout's directory is missing.
func makeFirst(err error, name string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "make it first: mkdir -p %s", filepath.Dir(name))
	}
	return err
}
