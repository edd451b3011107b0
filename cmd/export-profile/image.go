package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
)

const imageHelp = `examples:
  export-profile image oci:hello:v1
  export-profile image --profile ./result --tag registry.example.com/team/hello:v1 oci:hello
  export-profile image --from hello.export --entrypoint hello --user app:1000 oci:hello:v1
  export-profile image --from https://cache.example.com --profile /nix/store/…-hello-1.0 oci:hello:v1
  nix-store --export $(nix-store -qR ./result) | export-profile image --from - oci:hello:v1
  export-profile image --tag hello:v1 docker-archive:- | podman load
  export-profile image --previous docker://registry.example.com/hello:v1 docker://registry.example.com/hello:v2
  export-profile image --cache docker://registry.example.com/cache --cache-key-file secret-key oci:hello:v1
  export-profile image --sbom spdx --max-size 500MB docker://registry.example.com/hello:v1
  export-profile image --base docker://debian:12 docker://registry.example.com/hello:v1

Makes an OCI image of a profile and everything it refers to, and prints its digest.
The same closure gives the same digest, from any source, on any machine.

DEST is oci:DIR[:TAG] or oci:DIR:NAME:TAG. DIR is a new or an empty directory,
or an OCI layout, which keeps the images of other tags. Or it is docker://REGISTRY/NAME[:TAG]:
layers that the registry has are not sent; logins are those of podman login and docker login.
oci-archive:FILE and docker-archive:FILE are one tar that podman, Docker and containerd load, with --tag for its name;
tar:FILE is the root filesystem alone. FILE can be - for standard output.
PATH and the certificates' variables are set; --env overrides them.

With --cache docker://REGISTRY/NAME, machines share what they have built. What is there is believed
only if a key has signed it that --trusted-cache-key names; who has the secret key (--cache-key-file) adds to it.
Then layers of --previous docker://… are kept only if they are signed there, too, or read with --verify-previous.
`

type imageOptions struct {
	assembly
	layerFlags
	registryFlags
	sharedCacheFlags
	saying
	config      configFlags
	tags        []string
	platform    string
	created     string
	compression string
	annotations []string
	fileFlags
	sbomFlags
	digestFile  string
	maxSize     string
	verifyCache bool
	sync        bool
	check       bool
	checkFlags

	stdout io.Writer // for an image that goes there
}

func setupImage(fs *pflag.FlagSet) runFunc {
	o := &imageOptions{}
	o.assembly.flags(fs)
	fs.StringArrayVar(&o.tags, "tag", nil, "call the image `NAME[:TAG]`, as loaders show it; in a registry, a further tag; repeatable")
	o.config.flags(fs)
	o.under.flags(fs, &o.registryFlags)
	fs.StringArrayVar(&o.annotations, "annotation", nil, "annotate the manifest with `KEY=VALUE`; repeatable")
	fs.StringVar(&o.platform, "platform", "", "the image is for `OS/ARCH[/VARIANT]` (default: linux, and what the profile's programs are for)")
	fs.StringVar(&o.created, "created", "", "the image was made at `TIME`: RFC 3339, seconds since the epoch, or now (default 1970-01-01T00:00:01Z)")
	fs.StringVar(&o.compression, "compression", "", "compress layers with `none|gzip|zstd[:LEVEL]` (default gzip:2, and none for tar:)")
	o.layerFlags.flags(fs)
	o.registryFlags.flags(fs)
	o.sharedCacheFlags.flags(fs)
	fs.BoolVar(&o.verifyCache, "verify-cache", false, "build everything despite the cache, and fail if it comes out different")
	fs.StringVar(&o.digestFile, "digest-file", "", "write the image's digest to `FILE`, too")
	o.sbomFlags.flags(fs)
	fs.StringVar(&o.maxSize, "max-size", "", "fail, with exit status 3, if the image's blobs have more than `SIZE` bytes, as in 500MB; nothing becomes visible")
	fs.BoolVar(&o.sync, "sync", false, "flush the layout to disk before the image becomes visible")
	fs.BoolVar(&o.check, "check", false, "make no image with something in it that would not start, as export-profile check finds it; exit 3")
	o.checkFlags.flags(fs)
	o.fileFlags.flags(fs)
	o.saying.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		args, err := o.fileFlags.read(fs, t.in, args)
		if err != nil {
			return err
		}
		switch {
		case o.printSchema:
			b, err := schema(fs)
			if err == nil {
				_, err = t.out.Write(b)
			}
			return err
		case o.printFile && len(args) <= 1:
			return o.fileFlags.print(t.out, fs, args)
		case len(args) != 1:
			return usagef("as in export-profile image oci:hello:v1", "image: want one destination, not %d", len(args))
		}
		o.stdout = t.out
		if file, ok := tarDestination(args[0]); ok {
			return o.runTar(ctx, t, file)
		}
		return o.run(ctx, t, args[0])
	}
}

// runTar writes the root filesystem alone, as one tar. What is about an image's config has no place in it.
func (o *imageOptions) runTar(ctx context.Context, t terminal, file string) (err error) {
	say := o.speaker(t)
	defer say.close()
	if o.under.name != "" {
		return usagef("", "tar: is what is laid over --base and nothing of that: make an image")
	}
	if o.sharedCache() != "" || o.keyFile != "" || len(o.trusted) > 0 {
		return usagef("", "tar: has no layers that a cache in a registry could share")
	}
	if o.previous != "" || o.digestFile != "" || o.json || len(o.tags) > 0 {
		return usagef("", "tar: is a root filesystem and no image: it has no --tag, --previous, --digest-file or --json")
	}
	if len(o.sbomFlags.words) > 0 || o.maxSize != "" {
		return usagef("export-profile sbom writes a document without an image", "tar: is a root filesystem and no image: it has no --sbom and no --max-size")
	}
	compression, err := parseCompression(cmp.Or(o.compression, "none"))
	if err != nil {
		return err
	}
	image, err := o.image()
	if err != nil {
		return err
	}
	all, err := o.assemble(ctx, t, say, image.Platform)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	if o.check {
		if err = o.complete(&image, all, say); err == nil {
			err = o.refuse(ctx, all, image, say)
		}
		if err != nil {
			return err
		}
	}
	if err := writeTar(ctx, t, say, all, file, o.cacheDir(), compression, o.sync); err != nil {
		return err
	}
	o.trim(say)
	return nil
}

func (o *imageOptions) run(ctx context.Context, t terminal, word string) (err error) {
	say := o.speaker(t)
	defer say.close()
	dest, err := parseDestination(word, o.tags)
	if err != nil {
		return err
	}
	if err := o.registryFlags.check(dest); err != nil {
		return err
	}
	image, err := o.image()
	if err != nil {
		return err
	}
	layering, err := o.layerFlags.options()
	if err != nil {
		return err
	}
	docs, err := o.sbomFlags.documents(dest)
	if err != nil {
		return err
	}
	files := []resultFile{{word, dest.place().file()}, {"--digest-file " + o.digestFile, o.digestFile}}
	for _, d := range docs {
		files = append(files, resultFile{"--sbom " + d.word, d.file})
	}
	if err := distinct(files...); err != nil {
		return err
	}
	budget, err := parseBudget(o.maxSize, "")
	if err != nil {
		return err
	}
	if o.noCache && o.verifyCache {
		return usagef("", "--verify-cache compares with the cache, and --no-cache uses none")
	}
	sharing, err := o.settings(&o.cacheFlags)
	if err != nil {
		return err
	}
	shared, err := sharing.open(ctx, &o.registryFlags, dest, say)
	if err != nil {
		return err
	}
	shared.serve(ctx, &o.cacheFlags)
	o.vouch = shared.voucher()
	all, err := o.assemble(ctx, t, say, image.Platform)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, all.Close()) }()

	if err := o.complete(&image, all, say); err != nil {
		return err
	}
	if o.check {
		if err := o.refuse(ctx, all, image, say); err != nil {
			return err
		}
	}
	plan, err := o.plan(ctx, say, all, layering, &o.registryFlags)
	if err != nil {
		return err
	}
	cache := o.cacheFlags.layers(say)
	if image.Layers, err = shared.find(ctx, layersOn(plan.layers, all.top.Layers), image.Compression, cache); err != nil {
		return err
	}

	writing := say.progressSending("writing", all.closure.Size(), &o.sent)
	out, err := dest.open(ctx, outlet{o.stdout, o.json, o.spoolDir(), &o.registryFlags}, say, ocilayout.Options{
		Progress:    writing.add,
		Sync:        o.sync,
		Cache:       cache,
		Made:        shared.made(),
		VerifyCache: o.verifyCache,
		Explain:     say.debugf,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	desc, err := out.AddImage(ctx, image)
	writing.done()
	if err != nil {
		return err
	}
	for _, r := range out.Results() {
		say.debugf("layer %s: %v, %d bytes", r.Name, r.How, r.Size)
	}
	if err := budget.check("the image", "blobs", out.Added().Size(), nil); err != nil {
		return err
	}
	digest, err := newPending(o.digestFile, desc.Digest.String()+"\n")
	if err != nil {
		return err
	}
	defer digest.remove()
	defer removeDocuments(docs)
	manifest, err := out.Manifest(desc)
	if err != nil {
		return err
	}
	if err := writeDocuments(docs, all.closure, all.under, image, desc, manifest); err != nil {
		return err
	}
	if out.attach != nil {
		if err := out.attach(ctx, desc, image.Created, docs); err != nil {
			return err
		}
	}
	if err := out.publish(ctx, desc); err != nil {
		return err
	}
	if err := errors.Join(digest.publish(), publishDocuments(docs)); err != nil {
		return err
	}

	shared.finish(ctx, say)
	changed := plan.compare(say, out.Added())
	o.trim(say)
	if o.json {
		return printJSON(t.out, struct {
			Digest string `json:"digest"`
			place
			Platform ispec.Platform `json:"platform"`
			Layers   int            `json:"layers"`
			Base     string         `json:"base,omitempty"`
			Previous *changes       `json:"previous,omitempty"`
			SBOMs    []string       `json:"sboms,omitempty"` // files
			contents
		}{desc.Digest.String(), dest.place(), image.Platform, len(image.Layers) + all.under.layers(), all.under.digest(), changed, documentFiles(docs), all.contents()})
	}
	if out.stdout {
		say.debugf("digest: %s", desc.Digest)
		return nil
	}
	fmt.Fprintln(t.out, desc.Digest)
	say.hintf("%s", dest.next())
	return nil
}

// image is what the flags alone say of it.
func (o *imageOptions) image() (ocilayout.Image, error) {
	image := ocilayout.Image{Author: o.config.author}
	var err error
	if image.Config, err = o.config.config(); err != nil {
		return image, err
	}
	if image.Annotations, err = parsePairs("--annotation", o.annotations); err != nil {
		return image, err
	}
	if image.Created, err = parseCreated(o.created); err != nil {
		return image, err
	}
	if image.Compression, err = parseCompression(o.compression); err != nil {
		return image, err
	}
	if o.platform != "" {
		if image.Platform, err = parsePlatform(o.platform); err != nil {
			return image, err
		}
	}
	return image, nil
}

// complete adds to an image what only all its files say.
func (o *imageOptions) complete(image *ocilayout.Image, all *assembled, say *speaker) (err error) {
	if image.Platform, err = platformOf(image.Platform, all.arch, say); err != nil {
		return err
	}
	all.under.under(image, all.base)
	image.Platform.OSVersion = cmp.Or(o.config.osVersion, image.Platform.OSVersion)
	if o.config.osFeatures != nil {
		image.Platform.OSFeatures = o.config.osFeatures
	}
	if o.user != "" {
		image.Config.User = all.user.ID()
	}
	return nil
}

// parseCompression is what --compression says, or the usual one if that is nothing.
func parseCompression(word string) (c ocilayout.Compression, err error) {
	if word == "" {
		return c, nil
	}
	if c, err = ocilayout.ParseCompression(word); err != nil {
		return c, usagef("as in --compression zstd:3", "--compression: %v", err)
	}
	return c, nil
}

// platformOf is the platform that was asked for, or else that of the profile's programs.
func platformOf(asked ispec.Platform, arch string, say *speaker) (ispec.Platform, error) {
	switch {
	case asked.OS != "":
		if arch != "" && asked.Architecture != arch {
			say.notef("the profile's programs are for %s, and --platform says %s", arch, platformName(asked))
		}
		return asked, nil
	case arch == "":
		return asked, usagef("as in --platform linux/amd64", "the profile has no programs that say which platform they are for")
	}
	return ispec.Platform{OS: "linux", Architecture: arch}, nil
}
