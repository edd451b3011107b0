package main

import (
	"context"
	"errors"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
)

const indexHelp = `examples:
  export-profile index oci:hello:v1 oci:hello:v1-amd64 oci:hello:v1-arm64
  export-profile index --tag registry.example.com/team/hello:v1 oci:hello oci:amd64 oci:arm64
  export-profile index docker://registry.example.com/hello:v1 docker://registry.example.com/hello:amd64 oci:arm64
  export-profile index --attest key.pem docker://registry.example.com/hello:v1 oci:amd64 oci:arm64

Joins images for different platforms into one image, and prints its digest. podman, Docker and
Kubernetes choose the part for their platform. The images themselves do not change, and nothing is run.

DEST is oci:DIR[:TAG], oci-archive:FILE or docker://REGISTRY/NAME[:TAG], as for image.
A docker-archive cannot hold several platforms.
IMAGE is oci:DIR[:TAG], docker://REGISTRY/NAME[:TAG|@DIGEST] or oci-archive:FILE[:TAG].
DEST and IMAGE can be in the same layout or repository.
Blobs that the destination's registry has are neither fetched nor sent.

What the images have comes along, if it is about them: SBOMs, attestations, signatures. From registry to
registry that is every artifact attached to them, unchanged. Beside a layout or archive, it is the files
DIR-TAG.spdx.json, DIR-TAG.cdx.json and DIR-TAG.intoto.jsonl, as image writes them; a registry gets them
attached. A layout or archive gets DEST-linux-arm64.spdx.json and so on for each platform, and all
attestations in DEST.intoto.jsonl.

The config of an image says which platform it is for. If IMAGE is for several platforms, all join.
Two different images for one platform are an error. The order of images does not matter.

--attest signs a statement that lists the images by digest. What is in them is stated by attestations of their own,
which image --attest and attest make, and which come along.
`

type indexOptions struct {
	outputFlags
	registryFlags
	cacheFlags
	attestFlags
	tags        []string
	annotations []string
	digestFile  string
	sync        bool
}

func setupIndex(fs *pflag.FlagSet) runFunc {
	o := &indexOptions{}
	o.onlySpools = true
	fs.StringArrayVar(&o.tags, "tag", nil, "name the image `NAME[:TAG]`, as podman and Docker show it; repeatable")
	fs.StringArrayVar(&o.annotations, "annotation", nil, "`KEY=VALUE` annotate the index; repeatable")
	fs.StringVar(&o.digestFile, "digest-file", "", "also write the index's digest to `FILE`")
	fs.BoolVar(&o.sync, "sync", false, "flush the layout to disk before the image becomes visible")
	fs.StringArrayVar(&o.cache, "cache", nil, "put large temporary files into `DIR` (default $XDG_CACHE_HOME/export-profile)")
	o.registryFlags.pushFlags(fs)
	o.attestFlags.flags(fs, "the images of the index and their digests")
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) < 2 {
			return usagef(indexExample, "index: want a destination and at least one image")
		}
		return o.run(ctx, t, indexParameters(fs), args[0], args[1:])
	}
}

const indexExample = "as in export-profile index oci:hello:v1 oci:hello:v1-amd64 oci:hello:v1-arm64"

func (o *indexOptions) run(ctx context.Context, t terminal, parameters map[string]any, word string, images []string) (err error) {
	defer func() { err = inChapter("platforms", err) }()
	if err := o.cacheFlags.check(); err != nil {
		return err
	}
	say := o.speaker(t)
	defer say.close()
	dest, err := parseDestination(word, o.tags)
	if err != nil {
		return err
	}
	if k, _, _ := transportOf(word); !k.indexes {
		return usagef("as in export-profile index oci-archive:hello.tar oci:amd64 oci:arm64",
			"index %q: docker-archive: cannot hold several platforms", word)
	}
	mount, err := o.registryFlags.mount(dest)
	if err != nil {
		return err
	}
	annotations, err := parsePairs("--annotation", o.annotations)
	if err != nil {
		return err
	}
	var names []imageName
	for _, image := range images {
		n, err := parseImageName("image", indexExample, image)
		if err != nil {
			return err
		}
		names = append(names, n)
	}
	attestation, err := o.signer(t, dest.place(), names)
	if err != nil {
		return err
	}
	files := []resultFile{{word, dest.place().file()}, {"--digest-file " + o.digestFile, o.digestFile}, attestation.result()}
	if err := distinct(append(files, o.inputs()...)...); err != nil {
		return err
	}
	opener := o.opener(say, t.in, &o.registryFlags)
	defer say.closing(&err, opener)
	var sources []*ocilayout.ImageSource
	for _, n := range names {
		found, err := opener.open(ctx, n)
		if err != nil {
			return err
		}
		sources = append(sources, found)
	}
	out, err := dest.open(ctx, destinationOptions{t.out, o.json, o.spoolDir(), &o.registryFlags, mount}, say, ocilayout.Options{Sync: o.sync})
	if err != nil {
		return err
	}
	defer say.closing(&err, out)
	index, err := out.AddIndex(ctx, sources, annotations)
	if err != nil {
		return err
	}
	carried := &carrier{say: say, registry: &o.registryFlags, push: out.push, repository: dest.repository(), at: dest.place()}
	defer carried.remove()
	if err := attestation.signIndex(out, index.Descriptor, parameters, carried); err != nil {
		return err
	}
	if err := carried.carry(ctx, out, index, names, sources); err != nil {
		return err
	}
	digest, err := newPendingFile(o.digestFile, index.Descriptor.Digest.String())
	if err != nil {
		return err
	}
	defer digest.remove(say)
	if err := attestation.attachIndex(ctx, out, index.Descriptor); err != nil {
		return err
	}
	if err := out.publish(ctx, index.Descriptor); err != nil {
		return err
	}
	if err := errors.Join(digest.publish(), carried.publish()); err != nil {
		return withHint(err, "the image is complete; run the command again for the file")
	}
	published(t.out, "the image is complete: %s", index.Descriptor.Digest)
	if o.json {
		return printJSON(t.out, struct {
			Digest string `json:"digest"`
			place
			Platforms   []ispec.Platform `json:"platforms"`
			Attestation string           `json:"attestation,omitempty"` // file
			Carried     []carriedResult  `json:"carried,omitempty"`     // what came along with the parts
		}{index.Descriptor.Digest.String(), dest.place(), index.Platforms, attestation.name(), carried.results})
	}
	if out.stdout {
		say.debugf("digest: %s", index.Descriptor.Digest)
		return nil
	}
	fmt.Fprintln(t.out, index.Descriptor.Digest)
	say.hintf("%s", dest.next())
	return nil
}
