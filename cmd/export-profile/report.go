package main

import (
	"bytes"
	"context"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/report"
	"github.com/export-profile/export-profile/ocilayout/compress"
)

const reportHelp = `examples:
  export-profile report hello.html
  export-profile report --profile ./result --previous oci:hello:v1 hello.html
  export-profile report --check --from hello.export - > hello.html
  export-profile report --check --file web.yaml web.html

Writes one HTML file for a browser, which needs no network. It shows what is large, by package and by layer;
what brings each package in, and what would leave without it; and all store paths and layers.
With --check it shows what check finds, and with --previous what changed.
The page is about the image that image would make with the same flags. report builds nothing.
`

type reportOptions struct {
	planFlags
	checkFlags
	outputFlags
	check bool
}

func setupReport(fs *pflag.FlagSet) runFunc {
	o := &reportOptions{}
	o.assemblyFlags.flags(fs)
	o.config.flags(fs)
	o.planFlags.flags(fs)
	fs.BoolVar(&o.check, "check", false, "show what check finds; this reads all files")
	o.checkFlags.flags(fs)
	o.outputFlags.flags(fs)
	fs.Lookup("json").Usage = "write what the page is made of as JSON instead"
	return func(ctx context.Context, t terminal, args []string) error {
		if len(args) != 1 {
			return usagef(wordsHint("report", args, "hello.html"), "report: want one file, not %d", len(args))
		}
		if _, err := o.imageFile.read(fs, t.in, &o.cacheFlags); err != nil {
			return err
		}
		if err := o.checkFlags.unused(o.check); err != nil {
			return err
		}
		return o.run(ctx, t, args[0])
	}
}

func (o *reportOptions) run(ctx context.Context, t terminal, file string) (err error) {
	if isImage(file) {
		return usagef("as in export-profile report hello.html; closure, why, ls and check look into an image", "report %q: want a file to write", file)
	}
	say := o.speaker(t)
	defer say.close()
	a, plan, err := o.assemblePlanned(ctx, t, say, compress.Method{}, nil)
	if err != nil {
		return err
	}
	defer say.closing(&err, a)
	r := newReport(a, plan)
	if o.check {
		if r.Findings, err = o.findings(ctx, a, say); err != nil {
			return err
		}
		r.Checked = true
	}

	write := report.Write
	if o.json {
		write = report.WriteJSON
	}
	if file == "-" {
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

// findings returns the problems that check finds, errors first.
func (o *reportOptions) findings(ctx context.Context, a *assembly, say *speaker) ([]report.Finding, error) {
	image, err := o.newImage()
	if err == nil {
		err = o.complete(&image, a, say)
	}
	if err != nil {
		return nil, err
	}
	found, err := o.checkImage(ctx, a.toCheck(ctx, image), a.closure.Size(), o.facts(), say, true)
	if err != nil {
		return nil, err
	}
	var list []report.Finding
	for _, p := range found.Errors {
		list = append(list, report.Finding{Severity: "error", Path: p.Path, Reason: p.Reason})
	}
	for _, p := range found.Warnings {
		list = append(list, report.Finding{Severity: "warning", Path: p.Path, Reason: p.Reason})
	}
	return list, nil
}
