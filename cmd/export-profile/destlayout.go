package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

// layoutDestination is an image in a layout.
type layoutDestination struct {
	dir   string
	names []ocilayout.Name // at least one
	named bool             // by a tag or a name after the directory
}

func (d *layoutDestination) open(ctx context.Context, _ destinationOptions, _ *speaker, l ocilayout.Options) (*imageWriter, error) {
	layout, err := ocilayout.Open(ctx, d.dir, l)
	if err != nil {
		return nil, makeFirst(err, d.dir)
	}
	return &imageWriter{Layout: layout, publish: func(ctx context.Context, image ispec.Descriptor) error {
		return layout.Publish(ctx, image, d.names...)
	}}, nil
}

func (d *layoutDestination) place() place {
	return place{Layout: d.dir, Tags: tagsOf(d.names), Names: fullNamesOf(d.names)}
}

func (d *layoutDestination) repository() *registry.Reference { return nil }

func (d *layoutDestination) next() string {
	dir := filepath.Clean(d.dir)
	layout := shellWord(layoutPrefix + dir + ":" + d.names[0].Tag)
	// podman pull names the image after the directory, and refuses a directory that is no valid name.
	if _, err := ocilayout.ParseReference("localhost/" + strings.TrimLeft(dir, "/")); err != nil {
		return fmt.Sprintf("load it with: skopeo copy %s containers-storage:%s", layout, d.suggestedName())
	}
	return fmt.Sprintf("load it with: podman tag $(podman pull -q %s) %s", layout, d.suggestedName())
}

// shellWord quotes a word for a shell.
func shellWord(s string) string {
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-+.,:/@%=", r))
	}
	if s != "" && !strings.ContainsFunc(s, odd) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func parseLayout(word, rest string, tags []string) (destination, error) {
	d, err := newLayout(word, rest, tags)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// newLayout parses DIR[:TAG|:NAME:TAG].
func newLayout(word, rest string, tags []string) (*layoutDestination, error) {
	const example = "as in oci:hello:v1"
	dir, name, named := strings.Cut(rest, ":")
	if dir == "" {
		return nil, usagef(example, "destination %q: no directory", word)
	}
	d := &layoutDestination{dir: dir, named: named}
	var own ocilayout.Name
	switch {
	case named && strings.ContainsAny(name, ":/"):
		n, err := ocilayout.ParseReference(name)
		if err != nil {
			return nil, usagef(example, "destination %q: %v", word, err)
		}
		own = n
	case named:
		tag, err := ocilayout.ParseTag(name)
		if err != nil {
			return nil, usagef(example, "destination %q: %v", word, err)
		}
		own = ocilayout.Name{Tag: tag}
	}
	for _, t := range tags {
		n, err := ocilayout.ParseReference(t)
		if err != nil {
			return nil, usagef("as in --tag registry.example.com/team/hello:v1", "--tag: %v", err)
		}
		d.names = append(d.names, n)
	}
	switch {
	case !named && len(d.names) == 0:
		d.names = []ocilayout.Name{{Tag: "latest"}}
	case named && own.Full == "" && len(d.names) > 0:
		d.names[0].Tag = own.Tag // the tag in the layout; --tag has the name
	case named:
		d.names = append([]ocilayout.Name{own}, d.names...)
	}
	return d, nil
}

func tagsOf(names []ocilayout.Name) (tags []string) {
	for _, n := range names {
		tags = append(tags, n.Tag)
	}
	return tags
}

func fullNamesOf(names []ocilayout.Name) (full []string) {
	for _, n := range names {
		if n.Full != "" {
			full = append(full, n.Full)
		}
	}
	return full
}

// suggestedName returns a name to load the image under.
func (d *layoutDestination) suggestedName() string {
	if full := fullNamesOf(d.names); len(full) > 0 {
		return full[0]
	}
	dir := d.dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	n, err := ocilayout.ParseReference(strings.ToLower(filepath.Base(dir)) + ":" + d.names[0].Tag)
	if err != nil {
		return "NAME"
	}
	return strings.TrimPrefix(n.Full, "docker.io/library/")
}
