package main

import (
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout/verify"
)

const verifyHelp = `examples:
  export-profile verify oci:hello:v1
  export-profile verify --json oci:hello
  export-profile verify docker://registry.example.com/team/hello:v1
  export-profile verify docker-archive:hello.tar
  export-profile verify --key key.pub docker://registry.example.com/team/hello:v1
  export-profile verify --key key.pub --require-signed-by cache.example.com-1:6NCHdD59X… oci:hello:v1

Checks that an image is what it says it is, and prints its digest. For an image for several platforms
it prints the digest of the whole and then of each part.

IMAGE is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG]
or docker://REGISTRY/NAME[:TAG|@DIGEST]; FILE can be - for standard input.
Without a tag, verify checks all images of a layout or archive.
It reads each blob once and stores none. A compressed archive, or one from a pipe,
goes through a temporary file.

In every image, verify checks the digests and sizes of all blobs, the diffIDs, the tars,
the tables of zstd:chunked layers, and the form of index, manifest and config.
In layers that export-profile made, it also checks that each store path has the NAR hash
in the image's history, and that nothing else is visible.
It prints one line for each kind of problem in a layer, with the number and the first path,
and then exits with status 3. --json lists all problems.
Store paths that --allow-store-changes has changed are compared with no hash; a note says how many.
For an image in a registry, notes list what is attached to it and to its parts, such as SBOMs and attestations;
--json has the list under "attached". Nothing in the list is verified.
With --key, the notes say which attestations a given key has signed.
With --key, an image also needs a statement that a given key has signed, as image --attest and attest write it.
verify then checks that the image holds exactly the store paths of the statement, each with the NAR hash
computed from the layers, and that neither a file nor the config mentions another store path: the image is complete.
An image for several platforms needs a statement for the whole and one for each part.
Statements by other keys or of other programs are skipped. If given keys have signed several
about the image, all must be right.
If the blob of a layer is damaged, and the cache has that blob with the same damage, the cache drops it.
`

type verifyOptions struct {
	outputFlags
	registryFlags
	cacheFlags
	statementFlags
	maxLayer string
}

func setupVerify(fs *pflag.FlagSet) runFunc {
	o := &verifyOptions{}
	o.onlySpools = true
	fs.StringVar(&o.maxLayer, "max-layer", "", "allow a layer at most `SIZE` bytes once decompressed, such as 500MB or 2GiB (default 64GiB)")
	fs.StringArrayVar(&o.cache, "cache", nil, "put large temporary files into `DIR`, and drop damaged blobs from the cache there (default $XDG_CACHE_HOME/export-profile)")
	o.statementFlags.flags(fs)
	o.registryFlags.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) != 1 {
			return usagef("as in export-profile verify oci:hello:v1", "verify: want one image, not %d", len(args))
		}
		return o.run(ctx, t, args[0])
	}
}

func layoutClaims(ctx context.Context, _ *imageOpener, n imageName) (*verify.Claims, error) {
	return verify.ReadLayout(ctx, n.path, n.tag)
}

func ociArchiveClaims(ctx context.Context, o *imageOpener, n imageName) (*verify.Claims, error) {
	return archiveClaims(ctx, o, n, false)
}

func dockerArchiveClaims(ctx context.Context, o *imageOpener, n imageName) (*verify.Claims, error) {
	return archiveClaims(ctx, o, n, true)
}

func archiveClaims(ctx context.Context, o *imageOpener, n imageName, docker bool) (*verify.Claims, error) {
	a, err := o.archive(ctx, n)
	if err != nil {
		return nil, err
	}
	return verify.ReadArchive(ctx, a, docker, n.tag)
}

func registryClaims(ctx context.Context, o *imageOpener, n imageName) (*verify.Claims, error) {
	source, err := o.open(ctx, n)
	if err != nil {
		return nil, err
	}
	return verify.ReadImage(ctx, source)
}

func (o *verifyOptions) run(ctx context.Context, t terminal, word string) (err error) {
	if err := o.cacheFlags.check(); err != nil {
		return err
	}
	say := o.speaker(t)
	defer say.close()
	n, err := parseImageName("image", "as in export-profile verify oci:hello:v1", word)
	if err != nil {
		return err
	}
	options := verify.Options{Hash: narHash}
	if o.maxLayer != "" {
		n, err := parseBytes(o.maxLayer)
		if err != nil {
			return usagef("as in --max-layer 2GiB", "--max-layer: %v", err)
		}
		options.MaxLayer = n
	}
	if err := o.readCA(); err != nil {
		return err
	}
	statements, err := o.verifier(t.in, n)
	if err != nil {
		return err
	}
	opener := o.opener(say, t.in, &o.registryFlags)
	defer say.closing(&err, opener)
	claims, err := n.transport.claims(ctx, opener, n)
	if err != nil {
		return inChapter("damage", n.hint(err))
	}
	if err := statements.prepare(ctx, opener, n, claims, &options); err != nil {
		return fmt.Errorf("verify %q: %w", word, err)
	}
	reading := say.progress("verifying", claims.Size())
	options.Progress = reading.add
	report, err := claims.Check(ctx, options)
	reading.done()
	if err == nil {
		err = statements.compare(ctx, claims, report, options)
	}
	if err != nil {
		return fmt.Errorf("verify %q: %w", word, err)
	}
	if err := o.print(t, say, report, statements, listAttached(ctx, say, opener, n, report)); err != nil {
		return err
	}
	if report.Count > 0 {
		err := statements.hint(&foundError{msg: fmt.Sprintf("verify %q: %s", word, count(report.Count, "problem"))}, word)
		dropped := 0
		for _, d := range report.Damaged {
			if o.existing().Recheck(ctx, d) {
				dropped++
			}
		}
		if dropped > 0 {
			err = withHint(err, "the cache had the same damage, and has dropped %s: make the image again, without --previous", count(dropped, "blob"))
		}
		if statements != nil {
			return inChapter("attestations", err)
		}
		return inChapter("damage", err)
	}
	return nil
}

// mostLines limits the problems that verify prints as text.
const mostLines = 100

// print prints the digests of the images, or all problems, or as text one line for problems that are alike.
// For an image in a registry it adds what is attached.
func (o *verifyOptions) print(t terminal, say *speaker, r *verify.Report, statements *statementVerifier, attached []attachedResult) error {
	if o.json {
		indexes := []string{}
		for _, d := range r.Indexes {
			indexes = append(indexes, d.String())
		}
		return printJSON(t.out, struct {
			Indexes  []string             `json:"indexes"` // images for several platforms
			Images   []verify.ImageReport `json:"images"`
			Problems []verify.Problem     `json:"problems"`
			Count    int                  `json:"problemCount"`
			Attached []attachedResult     `json:"attached,omitzero"` // only in a registry that lists it
			// Statements are those by the keys of --key about these images.
			Statements []statementResult `json:"statements,omitzero"`
		}{indexes, append([]verify.ImageReport{}, r.Images...), append([]verify.Problem{}, r.Problems...), r.Count, attached, statements.list()})
	}
	more := r.Count
	for i, g := range groupVerified(r.Problems, len(r.Images) > 1) {
		if i == mostLines {
			break
		}
		fmt.Fprintln(t.out, g)
		more -= 1 + g.more
	}
	if more > 0 {
		fmt.Fprintf(t.out, "and %d more\n", more)
	}
	for _, d := range r.Indexes {
		if r.Count == 0 {
			fmt.Fprintln(t.out, d)
		}
	}
	for _, i := range r.Images {
		if r.Count == 0 {
			fmt.Fprintln(t.out, i.Digest)
			say.debugf("image %s: %s, %s of %s", i.Digest, count(i.Layers, "layer"), count(i.Objects, "store path"), humanBytes(i.Size))
		}
		if n := len(i.Changed); n > 0 {
			say.notef("image %s: changed on purpose, as its history says, and compared with no hash: %s, first %q",
				i.Digest, count(n, "store path"), i.Changed[0])
		}
		switch {
		case i.Foreign > 0 && i.Foreign == i.Layers:
			say.notef("image %s was made by another program: there is no history to compare its layers with", i.Digest)
		case i.Foreign > 0:
			say.notef("image %s: another program made %s of %d: there is no history to compare them with",
				i.Digest, count(i.Foreign, "layer"), i.Layers)
		}
	}
	statements.note(say, r)
	noteAttached(say, attached, statements)
	return nil
}
