package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// archiveDestination is an image in one tar, a file or standard output.
type archiveDestination struct {
	prefix string // ociArchivePrefix or dockerArchivePrefix
	file   string // "-" is standard output
	names  []ocilayout.Name
}

func parseOCIArchive(word, rest string, tags []string) (destination, error) {
	return parseArchive(ociArchivePrefix, word, rest, tags)
}

func parseDockerArchive(word, rest string, tags []string) (destination, error) {
	return parseArchive(dockerArchivePrefix, word, rest, tags)
}

// parseArchive parses FILE[:TAG|:NAME:TAG], as skopeo does. The image has only names
// from the command line: podman would show an invented one.
func parseArchive(prefix, word, rest string, tags []string) (destination, error) {
	if rest == "" {
		return nil, usagef("as in "+prefix+"hello.tar", "destination %q: no file", word)
	}
	if file, _, _ := strings.Cut(rest, ":"); file == "/dev/stdout" {
		return nil, usagef("did you mean "+prefix+"-?", "destination %q: the file is renamed into place, which is impossible there", word)
	}
	layout, err := newLayout(word, rest, tags)
	if err != nil {
		return nil, err
	}
	a := &archiveDestination{prefix: prefix, file: layout.dir, names: layout.names}
	if !layout.named && len(tags) == 0 {
		a.names = nil
	}
	return a, nil
}

func (d *archiveDestination) open(ctx context.Context, o destinationOptions, say *speaker, l ocilayout.Options) (*imageWriter, error) {
	notes := func(a ocilayout.ArchiveResult, err error) error {
		for _, note := range a.Notes {
			if d.prefix == dockerArchivePrefix {
				say.notef("%s", note)
			} else {
				say.debugf("%s", note)
			}
		}
		return err
	}
	if d.file == standardName {
		if err := checkStdout(o.stdout, d.prefix+"-"); err != nil {
			return nil, err
		}
		if o.json {
			return nil, usagef("", "--json and %s- both write to standard output; --digest-file writes the digest to a file", d.prefix)
		}
		parent := o.temp
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return nil, withHint(err, "choose another place for large temporary files with --cache")
		}
		layout, err := ocilayout.OpenTemporary(ctx, parent, l)
		if err != nil {
			return nil, err
		}
		return &imageWriter{Layout: layout, stdout: true, publish: func(ctx context.Context, image ispec.Descriptor) error {
			return notes(layout.WriteArchive(ctx, unwrapStdout(o.stdout), image, d.names))
		}}, nil
	}
	layout, err := ocilayout.OpenArchive(ctx, d.file, l)
	if err != nil {
		return nil, makeFirst(err, d.file)
	}
	return &imageWriter{Layout: layout, publish: func(ctx context.Context, image ispec.Descriptor) error {
		return notes(layout.PublishArchive(ctx, image, d.names))
	}}, nil
}

func (d *archiveDestination) place() place {
	return place{Archive: d.file, Tags: tagsOf(d.names), Names: fullNamesOf(d.names)}
}

func (d *archiveDestination) repository() *registry.Reference { return nil }

func (d *archiveDestination) next() string {
	if full := fullNamesOf(d.names); len(full) == 0 && len(d.names) > 0 && d.prefix == ociArchivePrefix {
		if tag := d.names[0].Tag; strings.ToLower(tag) == tag {
			return fmt.Sprintf("load it with: podman load -i %s, as localhost/%s:latest; --tag NAME:TAG gives it another name", shellWord(d.file), tag)
		}
	} else if len(full) > 0 {
		return fmt.Sprintf("load it with: podman load -i %s", shellWord(d.file))
	}
	return fmt.Sprintf("load it with: podman load -i %s; --tag NAME:TAG gives it a name", shellWord(d.file))
}

// checkStdout refuses to write binary data to a terminal.
func checkStdout(w io.Writer, what string) error {
	if _, ok := terminalWidth(w); ok {
		return usagef("export-profile image … "+what+" | podman load", "%s: standard output is a terminal", what)
	}
	return nil
}
