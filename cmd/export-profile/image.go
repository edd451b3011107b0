package main

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
)

const imageHelp = `examples:
  export-profile image oci:hello:v1
  export-profile image --profile ./result --tag registry.example.com/team/hello:v1 oci:hello
  export-profile image --from hello.export --entrypoint hello --user app:1000 oci:hello:v1
  export-profile image --from https://cache.example.com --profile /nix/store/…-hello-1.0 oci:hello:v1
  nix-store --export $(nix-store -qR ./result) | export-profile image --from - oci:hello:v1
  guix archive --export -r $(readlink -f ~/.guix-profile) | export-profile image --from - oci:hello:v1
  export-profile image --tag hello:v1 docker-archive:- | podman load
  export-profile image --previous docker://registry.example.com/hello:v1 docker://registry.example.com/hello:v2
  export-profile image --cache docker://registry.example.com/cache --cache-key-file secret-key oci:hello:v1
  export-profile image --sbom spdx --max-size 500MB docker://registry.example.com/hello:v1
  export-profile image --sbom spdx --sbom-in-image spdx --metadata metadata.json docker://registry.example.com/hello:v1
  export-profile image --base docker://debian:12 docker://registry.example.com/hello:v1
  export-profile image --attest key.pem docker://registry.example.com/hello:v1

Makes an OCI image of a profile and everything it refers to, and prints the image's digest.
The same closure and flags give the same digest, from any source, on any machine.

DEST says where the image goes:
  oci:DIR[:TAG], oci:DIR:NAME:TAG  an OCI layout; images with other tags stay
  docker://REGISTRY/NAME[:TAG]     a registry, with the logins of podman login and docker login
  oci-archive:FILE                 one tar that podman, Docker and containerd load;
  docker-archive:FILE              --tag names the image, - is standard output

The image sets PATH and the variables for certificates; --env overrides them.

With --cache docker://REGISTRY/NAME, machines share the layers they have built. A machine uses
only what a key that it trusts has signed (--trusted-cache-key), and adds layers if it has
a secret key (--cache-key-file). With a shared cache, --previous docker://… keeps a layer only
if such a key has signed it, or if --verify-previous finds the layer right.

--attest signs a statement that lists the store paths in the image, each with its NAR hash, its references
and the signatures of Nix's keys. The key is a file of
openssl genpkey -algorithm ed25519, cosign generate-key-pair or nix key generate-secret.
The same image, flags and key give the same statement. It names no place on this machine and no user.
With --attest, layers that --previous keeps from a registry are verified, as with --verify-previous.
`

type imageOptions struct {
	imageFlags
	layerFlags
	registryFlags
	sharedCacheFlags
	checkFlags
	sbomFlags
	attestFlags
	imageFileFlags
	outputFlags
	tags        []string
	annotations []string
	created     string
	compression string
	digestFile  string
	maxSize     string
	verifyCache bool
	sync        bool
	check       bool
}

func setupImage(fs *pflag.FlagSet) runFunc {
	o := &imageOptions{}
	o.assemblyFlags.flags(fs)
	fs.StringArrayVar(&o.tags, "tag", nil, "name the image `NAME[:TAG]`, as podman and Docker show it; in a registry, add a tag; repeatable")
	o.config.flags(fs)
	o.platformFlags(fs, &o.registryFlags)
	fs.StringArrayVar(&o.annotations, "annotation", nil, "`KEY=VALUE` annotate the manifest; repeatable")
	fs.StringVar(&o.created, "created", "", "record that the image was made at `TIME`: RFC 3339, a date, seconds since the epoch, or now (default 1970-01-01T00:00:01Z)")
	fs.StringVar(&o.compression, "compression", "", "`none|gzip|zstd|zstd:chunked[:LEVEL]` compress layers (default gzip:2)")
	o.layerFlags.flags(fs)
	o.registryFlags.pushFlags(fs)
	o.sharedCacheFlags.flags(fs, &o.cacheFlags)
	fs.BoolVar(&o.verifyCache, "verify-cache", false, "build everything despite the cache, and fail if the result differs")
	fs.StringVar(&o.digestFile, "digest-file", "", "also write the image's digest to `FILE`")
	o.sbomFlags.flags(fs)
	o.attestFlags.flags(fs, "the image's store paths and their hashes")
	fs.StringVar(&o.maxSize, "max-size", "", "make no image whose blobs are larger than `SIZE`, such as 500MB, and exit with status 3")
	fs.BoolVar(&o.sync, "sync", false, "flush the layout to disk before the image becomes visible")
	fs.BoolVar(&o.check, "check", false, "look for programs that would not start, as export-profile check does; on errors, make no image and exit with status 3")
	o.checkFlags.flags(fs)
	o.imageFileFlags.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		destination, err := o.imageFileFlags.read(fs, t.in, &o.cacheFlags)
		if err != nil {
			return err
		}
		if len(args) == 0 && destination != "" {
			args = []string{destination}
		}
		if len(args) == 1 && strings.HasPrefix(args[0], tarPrefix) {
			return tarIsNoImage(args[0], flagsOfRootfs(fs))
		}
		switch {
		case o.printSchema:
			b, err := schema(fs)
			if err == nil {
				_, err = t.out.Write(b)
			}
			return err
		case o.printFile && len(args) <= 1:
			return o.imageFileFlags.print(t.out, fs, args, o.json)
		case len(args) == 0:
			return usagef(hereHint(ctx, fs, "image", "oci:hello:v1"), "image: want one destination, not 0")
		case len(args) != 1:
			return usagef(wordsHint("image", args, "oci:hello:v1"), "image: want one destination, not %d", len(args))
		}
		if err := o.checkFlags.unused(o.check); err != nil {
			return err
		}
		return o.run(ctx, t, fs, args[0])
	}
}

// run makes the image: source → profile → closure → parts → layers → destination.
func (o *imageOptions) run(ctx context.Context, t terminal, fs *pflag.FlagSet, word string) (err error) {
	say := o.speaker(t)
	defer say.close()
	defer func() { err = o.recheckCache(ctx, err) }()
	r, err := o.request(t, fs, word)
	if err != nil {
		return err
	}
	shared, err := r.sharedCache.open(ctx, &o.registryFlags, r.dest.repository(), say)
	if err != nil {
		return err
	}
	shared.serve(ctx, &o.cacheFlags)
	a, err := o.assemble(ctx, t, say, r.image.Platform)
	if err != nil {
		return err
	}
	defer say.closing(&err, a)
	if err := o.complete(&r.image, a, say); err != nil {
		return err
	}
	if r.image.Healthcheck != nil {
		say.notef("podman and Kubernetes ignore the health check of an OCI image: use podman run --health-cmd, or a probe in Kubernetes")
	}
	if err := o.checkFirst(ctx, a, r.image, say); err != nil {
		return err
	}
	r.layers.vouch = shared.voucher()
	plan, err := r.layers.plan(ctx, say, a, &o.registryFlags)
	if err != nil {
		return err
	}
	cache := o.cacheFlags.layers(say)
	if r.image.Layers, err = shared.find(ctx, layersOn(plan.layers, a), r.image.Compression, cache); err != nil {
		return err
	}
	out, image, changed, lost, err := o.deliver(ctx, t, say, &r, a, plan, cache, shared)
	if err != nil {
		return err
	}
	defer say.closing(&err, out)
	traffic := shared.finish(ctx, say, &o.cacheFlags, lost)
	changed.note(say)
	a.deep.note(say)
	o.trim(say)
	return o.print(t, say, out, r, a, image, changed, traffic)
}

// request holds the parsed flags of image.
type request struct {
	dest        destination
	mount       *registry.Reference // a repository that may have blobs, or nil
	image       ocilayout.ImageSpec
	layers      layerOptions
	sboms       []*sbomFile
	attestation *attestationFile // nil without --attest
	parameters  map[string]any   // of the attestation
	budget      budget
	sharedCache *sharedCacheOptions
}

// documents lists the documents about the image.
func (r *request) documents() (all []*document) {
	for _, b := range r.sboms {
		all = append(all, &b.document)
	}
	return append(all, r.attestation.documents()...)
}

// request checks the flags and the destination, so that a wrong word fails before anything that takes long.
func (o *imageOptions) request(t terminal, fs *pflag.FlagSet, word string) (r request, err error) {
	if r.dest, err = parseDestination(word, o.tags); err != nil {
		return r, err
	}
	if r.mount, err = o.registryFlags.mount(r.dest); err != nil {
		return r, err
	}
	if r.image, err = o.newImage(); err != nil {
		return r, err
	}
	if r.image.Annotations, err = parsePairs("--annotation", o.annotations); err != nil {
		return r, err
	}
	if r.image.Created, err = parseCreated(o.created); err != nil {
		return r, err
	}
	if r.image.Compression, err = parseCompression(o.compression); err != nil {
		return r, err
	}
	if err := checkCarries(word, r.image.Compression); err != nil {
		return r, err
	}
	if r.layers, err = o.layerFlags.options(r.image.Compression); err != nil {
		return r, err
	}
	if r.sboms, err = o.sbomFlags.files(r.dest); err != nil {
		return r, err
	}
	if o.noProfile && len(r.sboms) > 0 {
		return r, usagef("", "--sbom lists the packages of a profile, and --no-profile makes an image without one")
	}
	if len(o.metadataFiles) > 0 && len(r.sboms) == 0 && o.assemblyFlags.sbom.word == "" {
		return r, usagef("as in --sbom spdx --metadata "+shellWord(o.metadataFiles[0]), "--metadata is about SBOMs: also use --sbom or --sbom-in-image")
	}
	if r.attestation, err = o.signer(t, r.dest.place()); err != nil {
		return r, err
	}
	if r.attestation != nil {
		r.parameters = parameters(fs, r.image.Created)
		if r.layers.previous != nil && r.layers.previous.transport.remote {
			r.layers.verifyPrevious = true // a key should not sign what a registry claims
		}
	}
	files := []resultFile{{word, r.dest.place().file()}, {"--digest-file " + o.digestFile, o.digestFile}}
	for _, d := range r.documents() {
		files = append(files, d.result())
	}
	files = append(files, o.inputs()...)
	if err := distinct(files...); err != nil {
		return r, err
	}
	if r.budget, err = parseBudget(o.maxSize, ""); err != nil {
		return r, err
	}
	if o.noCache && o.verifyCache {
		return r, usagef("", "--verify-cache compares with the cache, and --no-cache uses none")
	}
	r.sharedCache, err = o.settings(&o.cacheFlags)
	return r, err
}
