package main

import (
	"bytes"
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/report"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs/startup"
)

const reportHelp = `examples:
  export-profile report hello.html
  export-profile report --profile ./result --previous oci:hello:v1 hello.html
  export-profile report --check --from hello.export - > hello.html
  export-profile report --check --file web.yaml web.html
  export-profile report oci:hello:v1 hello.html
  export-profile report --metadata metadata.json oci:hello:v1 oci:hello:v2 changes.html

Writes one HTML file for a browser, which needs no network. It says which image it is, and shows what is large,
by package and by layer; what brings each package in, and what would leave without it; and all store paths and layers.
With --check it shows what check finds, and with --metadata the bytes under each licence; see sbom.

The page is about the image that image would make with the same flags, or about an existing IMAGE:
oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or docker://NAME.
With --previous, or with two images, it shows what changed: which layers are the same, replaced, new or gone;
what a node that has the first image fetches, by layers and by chunks (see diff); and the packages and store paths.
report builds nothing.

Signatures on the page are not verified; see verify. Those of Nix's keys are verified with --require-sigs.
The page names sources and images without the directories of this machine.
`

type reportOptions struct {
	planFlags
	checkFlags
	outputFlags
	check bool
}

const reportExample = "as in export-profile report hello.html, or export-profile report oci:hello:v1 oci:hello:v2 changes.html"

func setupReport(fs *pflag.FlagSet) runFunc {
	o := &reportOptions{}
	o.assemblyFlags.flags(fs)
	o.config.flags(fs)
	o.planFlags.flags(fs)
	fs.BoolVar(&o.check, "check", false, "show what check finds; this reads all files")
	o.checkFlags.flags(fs)
	o.outputFlags.flags(fs)
	fs.Lookup("previous").Usage = "compare with `IMAGE`, such as the last release (oci:DIR[:TAG] or docker://…), and keep its layers that are still needed"
	fs.Lookup("json").Usage = "write what the page is made of as JSON instead, and print all messages as JSON"
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) == 0 || len(args) > 3 {
			return usagef(reportExample, "report: want a file, and before it at most two images, not %s", count(len(args), "argument"))
		}
		images, file := args[:len(args)-1], args[len(args)-1]
		for _, word := range images {
			if !isImage(word) {
				return usagef("an image is "+strings.TrimPrefix(imageExample, "as in ")+"; --profile names a profile, and --previous an image to compare it with",
					"report %q: want an image before the file", word)
			}
		}
		if isImage(file) {
			return usagef("name the page last: export-profile report "+strings.Join(args, " ")+" hello.html", "report %q: want a file to write", file)
		}
		if err := o.checkFlags.unused(o.check); err != nil {
			return err
		}
		if len(images) > 0 {
			if other := changedBesides(fs, "cache", "no-cache", "platform", "check", "check-time", "metadata", "store-dir", "tls-verify", "registry-ca", "json", "quiet", "debug"); other != "" {
				return usagef("leave it out, or leave out "+images[0], "--%s is about an image to be made, but %q exists", other, images[0])
			}
			return o.runImages(ctx, t, images, file)
		}
		if _, err := o.imageFile.read(fs, t.in, &o.cacheFlags); err != nil {
			return err
		}
		return o.run(ctx, t, file)
	}
}

// run writes the page of the image that image would make.
func (o *reportOptions) run(ctx context.Context, t terminal, file string) (err error) {
	say := o.speaker(t)
	defer say.close()
	a, plan, err := o.assemblePlanned(ctx, t, say, compress.Method{}, nil)
	if err != nil {
		return err
	}
	defer say.closing(&err, a)
	r, err := o.plannedReport(ctx, a, plan)
	if err != nil {
		return err
	}
	if o.check {
		found, err := o.checkPlanned(ctx, a, say)
		if err != nil {
			return err
		}
		setFindings(r, found)
	}
	return o.write(t, say, r, file)
}

// runImages writes the page of the last of one or two existing images.
func (o *reportOptions) runImages(ctx context.Context, t terminal, words []string, file string) (err error) {
	say := o.speaker(t)
	defer say.close()
	if err := o.cacheFlags.check(); err != nil {
		return err
	}
	metadata, err := o.metadataFlags.read()
	if err != nil {
		return err
	}
	var images []*reportedImage
	for _, word := range words {
		image, err := o.openReported(ctx, t, say, word)
		if err != nil {
			return err
		}
		defer say.closing(&err, closer(image.close))
		images = append(images, image)
	}
	image := images[len(images)-1]
	r, number, err := image.report(ctx, say, metadata)
	if err != nil {
		return err
	}
	if len(images) == 2 {
		if err := image.since(ctx, images[0], r, number); err != nil {
			return err
		}
	}
	if o.check {
		found, err := o.checkExisting(ctx, image.image, o.facts(), say)
		if err != nil {
			return err
		}
		setFindings(r, found)
	}
	return o.write(t, say, r, file)
}

// write writes the page, or its data, to a file or standard output.
func (o *reportOptions) write(t terminal, say *speaker, r *report.Report, file string) error {
	write := report.Write
	if o.json {
		write = report.WriteJSON
	}
	if file == standardName {
		return write(t.out, r)
	}
	var page bytes.Buffer
	if err := write(&page, r); err != nil {
		return err
	}
	result, err := newPendingFile(file, page.String())
	if err != nil {
		return makeFirst(err, file)
	}
	defer result.remove(say)
	return result.publish()
}

// checkPlanned finds the problems of the image that image would make.
func (o *reportOptions) checkPlanned(ctx context.Context, a *assembly, say *speaker) (*startup.Report, error) {
	image, err := o.newImage()
	if err == nil {
		err = o.complete(&image, a, say)
	}
	if err != nil {
		return nil, err
	}
	return o.checkImage(ctx, a.toCheck(ctx, image), a.closure.Size(), o.facts(), say, true)
}

// setFindings puts the problems that check found into a report, errors first.
func setFindings(r *report.Report, found *startup.Report) {
	r.Checked = true
	for _, p := range found.Errors {
		r.Findings = append(r.Findings, report.Finding{Severity: "error", Path: p.Path, Reason: p.Reason})
	}
	for _, p := range found.Warnings {
		r.Findings = append(r.Findings, report.Finding{Severity: "warning", Path: p.Path, Reason: p.Reason})
	}
}
