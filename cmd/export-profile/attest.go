package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile"
)

const attestHelp = `examples:
  export-profile attest --key key.pem oci:hello:v1
  export-profile attest --key key.pem docker://registry.example.com/team/hello:v1
  export-profile attest --key key.pem --from https://cache.example.com docker://registry.example.com/team/hello:v1
  export-profile attest --key cosign.key --key-password-file password oci-archive:hello.tar
  pass show signing-key | export-profile attest --key - oci:hello:v1

Lists the store paths in a finished image, made by any program, with their NAR hashes and references,
and signs the list. image --attest does this while it makes an image, and knows more.
In a registry, the attestation is attached to the image. Otherwise it is written to a file: DIR-TAG.intoto.jsonl
or ARCHIVE.intoto.jsonl, which is replaced. The image itself does not change.
It prints the digests of the images and the index that the attestations are about.

IMAGE is oci:DIR[:TAG], docker://REGISTRY/NAME[:TAG|@DIGEST], oci-archive:FILE[:TAG], or docker-archive:FILE
if the archive also has an OCI layout. For several platforms, each part gets an attestation, and so does the index.

What is signed comes from the layers, not from the cache.
References are found in the files, as Nix finds them after a build.
With --from SOURCE, the statement also has the signatures of Nix's keys, and SOURCE's references, for the store paths
that have the same NAR hash there; --from / is this machine's store.

The key is what openssl genpkey -algorithm ed25519, cosign generate-key-pair or nix key generate-secret writes.
cosign verifies an attestation in a registry with the public key alone:
  cosign verify-attestation --key key.pub --insecure-ignore-tlog --type slsaprovenance1 registry.example.com/hello:v1
`

type attestOptions struct {
	attestFlags
	sourceFlags
	cacheFlags
	registryFlags
	outputFlags
}

func setupAttest(fs *pflag.FlagSet) runFunc {
	o := &attestOptions{}
	o.onlySpools = true
	o.keyFlag, o.finished = "--key", true
	fs.StringVar(&o.keyFile, "key", "", "sign with the secret key in `FILE` (- is standard input)")
	o.attestFlags.fileFlags(fs)
	o.sourceFlags.flags(fs)
	fs.Lookup("from").Usage = "take signatures and references from `SOURCE`, as for image, if its NAR hash of a store path is that in the image; " +
		"repeatable: the first that has a store path provides it (default: none)"
	fs.StringArrayVar(&o.cache, "cache", nil, "put large temporary files into `DIR` (default $XDG_CACHE_HOME/export-profile)")
	o.registryFlags.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) != 1 {
			return usagef(attestExample, "attest: want one image, not %d", len(args))
		}
		return o.run(ctx, t, args[0])
	}
}

const attestExample = "as in export-profile attest --key key.pem oci:hello:v1"

func (o *attestOptions) run(ctx context.Context, t terminal, word string) (err error) {
	defer func() { err = inChapter("attestations", err) }()
	if err := o.cacheFlags.check(); err != nil {
		return err
	}
	say := o.speaker(t)
	defer say.close()
	n, err := parseImageName("image", attestExample, word)
	if err != nil {
		return err
	}
	if o.keyFile == "" {
		return usagef(attestExample, "attest: want --key FILE")
	}
	key, err := o.key(t.in, reader{"--from -", slices.Contains(o.from, standardName)}, reader{word, n.path == standardName})
	if err != nil {
		return err
	}
	if err := o.readCA(); err != nil {
		return err
	}
	opener := o.opener(say, t.in, &o.registryFlags)
	defer say.closing(&err, opener)
	found, err := opener.open(ctx, n)
	if err != nil {
		return err
	}
	at, err := n.place(found)
	if err != nil {
		return err
	}
	out, err := o.attestFlags.open(key, at)
	if err != nil {
		return err
	}
	if err := distinct(append([]resultFile{{word, at.file()}, out.result()}, o.inputs()...)...); err != nil {
		return err
	}
	store, err := o.openSource(ctx, t, say)
	if err != nil {
		return err
	}
	if store != nil {
		defer say.closing(&err, store)
	}
	all, err := attestImages(ctx, say, found, store)
	if err != nil {
		return fmt.Errorf("attest %q: %w", word, err)
	}
	if err := out.publishAll(ctx, say, all, n, opener); err != nil {
		return err
	}
	return o.print(t, out, at, all)
}

// openSource opens the store of --from, or returns nil without it.
func (o *attestOptions) openSource(ctx context.Context, t terminal, say *speaker) (profile.Store, error) {
	if len(o.from) > 0 {
		return o.sourceFlags.open(ctx, t, say, &o.cacheFlags)
	}
	if o.references != "" || o.verify || o.requireSigs || o.noCheckSigs || len(o.trusted) > 0 || o.netrc != "" {
		return nil, usagef("as in --from https://cache.example.com", "attest: flags about sources need --from")
	}
	return nil, nil
}
