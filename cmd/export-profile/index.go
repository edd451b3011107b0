package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
)

const indexHelp = `examples:
  export-profile index oci:hello:v1 oci:hello:v1-amd64 oci:hello:v1-arm64
  export-profile index --tag registry.example.com/team/hello:v1 oci:hello oci:amd64 oci:arm64

Joins images for different platforms into one image, of which every loader takes the part for its own,
and prints its digest. Nothing is run, and nothing of the images is changed.

DEST is oci:DIR[:TAG] or oci:DIR:NAME:TAG, and each IMAGE is oci:DIR[:TAG]; a layout can be both.
What an image is for is what its config says. Of an image that is for several platforms, all are taken.
Two images for the same platform are an error. The order of images makes no difference.
`

type indexOptions struct {
	saying
	tags        []string
	annotations []string
	digestFile  string
	sync        bool
}

func setupIndex(fs *pflag.FlagSet) runFunc {
	o := &indexOptions{}
	fs.StringArrayVar(&o.tags, "tag", nil, "call the image `NAME[:TAG]`, as loaders show it; repeatable")
	fs.StringArrayVar(&o.annotations, "annotation", nil, "annotate the index with `KEY=VALUE`; repeatable")
	fs.StringVar(&o.digestFile, "digest-file", "", "write the index's digest to `FILE`, too")
	fs.BoolVar(&o.sync, "sync", false, "flush the layout to disk before the image becomes visible")
	o.saying.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) < 2 {
			return usagef(indexExample, "index: want a destination and at least one image")
		}
		return o.run(ctx, t, args[0], args[1:])
	}
}

const indexExample = "as in export-profile index oci:hello:v1 oci:hello:v1-amd64 oci:hello:v1-arm64"

func (o *indexOptions) run(ctx context.Context, t terminal, word string, images []string) (err error) {
	say := o.speaker(t)
	defer say.close()
	parsed, err := parseDestination(word, o.tags)
	if err != nil {
		return err
	}
	dest, ok := parsed.(*layoutDestination)
	if !ok {
		return usagef(indexExample, "index %q: only an oci: layout can have one", word)
	}
	annotations, err := parsePairs("--annotation", o.annotations)
	if err != nil {
		return err
	}
	var sources []ocilayout.Source
	for _, image := range images {
		s, err := parseSource("image", indexExample, image)
		if err != nil {
			return err
		}
		sources = append(sources, s)
	}
	out, err := dest.open(ctx, nil, say, ocilayout.Options{Sync: o.sync})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	joined, err := out.AddIndex(ctx, sources, annotations)
	if errors.Is(err, fs.ErrNotExist) {
		return withHint(err, "an image is oci:DIR:TAG, where DIR has an index.json that knows TAG")
	}
	if err != nil {
		return err
	}
	digest, err := newPending(o.digestFile, joined.Descriptor.Digest.String()+"\n")
	if err != nil {
		return err
	}
	defer digest.remove()
	if err := out.publish(ctx, joined.Descriptor); err != nil {
		return err
	}
	if err := digest.publish(); err != nil {
		return err
	}
	if o.json {
		return printJSON(t.out, struct {
			Digest    string           `json:"digest"`
			Layout    string           `json:"layout"`
			Tags      []string         `json:"tags"`
			Names     []string         `json:"names,omitempty"`
			Platforms []ispec.Platform `json:"platforms"`
		}{joined.Descriptor.Digest.String(), dest.dir, dest.tags(), dest.fullNames(), joined.Platforms})
	}
	fmt.Fprintln(t.out, joined.Descriptor.Digest)
	say.hintf("%s", dest.next())
	return nil
}
