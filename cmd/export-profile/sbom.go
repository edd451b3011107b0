package main

import (
	"bytes"
	"context"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/profile/sbom"
)

const sbomHelp = `examples:
  export-profile sbom > hello.spdx.json
  export-profile sbom --profile ./result --format cyclonedx --output hello.cdx.json
  export-profile sbom --from oci:hello:v1 > hello.spdx.json
  export-profile sbom --from docker://registry.example.com/team/hello:v1 --format cyclonedx
  export-profile sbom --metadata metadata.json --metadata corrections.json > hello.spdx.json

Writes an SPDX 2.3 or CycloneDX 1.6 document in JSON about a profile or, with --from IMAGE, an existing image.
It lists every store path with its name and version, its NAR hash, its references and its layer.
Nothing is guessed, and the same closure gives the same document.
image --sbom writes the same document when it makes the image, and attaches it in a registry.

--metadata adds what no store knows: licences, CPEs, package URLs, home pages, sources and suppliers, by store path,
by name and version (curl-8.4.0) or by name (curl). The most specific entry wins, field by field,
and any entry of a later file wins over those of earlier files. What no file says stays unknown.
profile/sbom/metadata.nix writes such a file from nixpkgs.
`

type sbomOptions struct {
	closureFlags
	metadataFlags
	inspectFlags
	outputFlags
	format, output string
}

func setupSBOM(fs *pflag.FlagSet) runFunc {
	o := &sbomOptions{}
	o.closureFlags.flags(fs)
	o.closureFlags.cacheFlags.flags(fs)
	o.closureFlags.images = &o.inspectFlags
	fs.StringVar(&o.format, "format", "spdx", "`spdx|cyclonedx` write the SBOM in this format")
	fs.StringVar(&o.output, "output", "", "write the SBOM to `FILE` (- is standard output, the default)")
	o.metadataFlags.flags(fs)
	o.inspectFlags.flags(fs)
	o.outputFlags.flags(fs)
	fs.Lookup("json").Usage = "print all messages as JSON; documents are JSON in any case"
	return func(ctx context.Context, t terminal, args []string) error {
		if err := noOperands("sbom", args); err != nil {
			return err
		}
		return o.run(ctx, t)
	}
}

func (o *sbomOptions) run(ctx context.Context, t terminal) (err error) {
	say := o.speaker(t)
	defer say.close()
	format, err := sbom.ParseFormat(o.format)
	if err != nil {
		return usagef("as in --format cyclonedx", "--format: %v", err)
	}
	metadata, err := o.metadataFlags.read()
	if err != nil {
		return err
	}
	closure, store, err := o.find(ctx, t, say)
	if err != nil {
		return err
	}
	defer say.closing(&err, store)
	var of sbom.Image
	if s, ok := store.(*imageStore); ok {
		of = sbom.Image{Digest: s.image.Digest.String(), Layers: s.layers()}
		if created := s.image.Config.Created; created != nil {
			of.Created = *created
		}
	}
	noteUnmatched(metadata, closure, say)
	var b bytes.Buffer
	if err := format.Write(&b, closure, of, metadata); err != nil {
		return err
	}
	if o.output == "" || o.output == standardName {
		_, err := t.out.Write(b.Bytes())
		return err
	}
	out, err := newPendingFile(o.output, b.String())
	if err != nil {
		return err
	}
	defer out.remove(say)
	return out.publish()
}
