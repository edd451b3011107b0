package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/startup"
)

const checkHelp = `examples:
  export-profile check
  export-profile check --profile ./result --user app:1000 --entrypoint hello
  export-profile check --from hello.export --add etc:/etc/hello --json
  export-profile check --file web.yaml
  export-profile check oci:hello:v1
  export-profile check docker://registry.example.com/team/hello:v1

Finds programs that would not start in the image that image would make with the same flags,
or in an existing IMAGE. It builds and runs nothing.

Errors lead to exit status 3. They are: programs in PATH and entrypoints whose ELF interpreter, libraries
or #! interpreter the kernel and the dynamic loader would not find; an entrypoint or a health check
that is missing, not executable, or for another architecture; an unknown user; certificates that cannot be decoded
or have all expired; and links of the profile that lead nowhere.

Warnings are: the same faults in programs outside PATH; other links that lead nowhere;
names of store paths that are missing; files that hide another package's file; a time zone (TZ)
or locales (LANG, LC_*) that the image lacks; programs that need the host's driver for graphics or CUDA;
a working directory or a volume that does not exist; and store paths that the user cannot read.

Problems of one kind in one package or directory are one line, with their number; --json lists all.

check does not know what a program opens, loads or starts once it runs.
`

// checkFlags say when the certificates of an image have to be valid.
type checkFlags struct{ time string }

func (c *checkFlags) flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.time, "check-time", "", "require certificates to be valid at `TIME`: RFC 3339, a date, seconds since the epoch, or now (default now)")
}

// unused refuses the flags without --check.
func (c *checkFlags) unused(check bool) error {
	if c.time != "" && !check {
		return usagef("add --check", "--check-time needs --check")
	}
	return nil
}

// at returns the time at which certificates have to be valid.
func (c *checkFlags) at() (time.Time, error) {
	if c.time == "" {
		return time.Now(), nil
	}
	return parseTime("--check-time", c.time)
}

type checkOptions struct {
	imageFlags
	registryFlags
	checkFlags
	imageFile
	outputFlags
}

func setupCheck(fs *pflag.FlagSet) runFunc {
	o := &checkOptions{}
	o.assemblyFlags.flags(fs)
	o.config.flags(fs)
	o.platformFlags(fs, &o.registryFlags)
	o.registryFlags.flags(fs)
	o.checkFlags.flags(fs)
	o.imageFile.flags(fs)
	o.outputFlags.flags(fs)
	return func(ctx context.Context, t terminal, args []string) error {
		switch len(args) {
		case 0:
			if _, err := o.imageFile.read(fs, t.in, &o.cacheFlags); err != nil {
				return err
			}
			return o.run(ctx, t)
		case 1:
			if other := changedBesides(fs, "cache", "no-cache", "platform", "check-time", "tls-verify", "registry-ca", "json", "quiet", "debug"); other != "" {
				return usagef("leave it out, or leave out "+args[0], "--%s is about an image to be made, but %q exists", other, args[0])
			}
			return o.runImage(ctx, t, args[0])
		}
		return usagef(wordsHint("check", args, "oci:hello:v1"), "check: want one image at most, not %d", len(args))
	}
}

// changedBesides returns a given flag that is none of the names, or "".
func changedBesides(fs *pflag.FlagSet, names ...string) string {
	found := ""
	fs.Visit(func(f *pflag.Flag) {
		for _, name := range names {
			if f.Name == name {
				return
			}
		}
		found = f.Name
	})
	return found
}

// run checks the image that image would make.
func (o *checkOptions) run(ctx context.Context, t terminal) (err error) {
	say := o.speaker(t)
	defer say.close()
	image, err := o.newImage()
	if err != nil {
		return err
	}
	a, err := o.assemble(ctx, t, say, image.Platform)
	if err != nil {
		return err
	}
	defer say.closing(&err, a)
	if err := o.complete(&image, a, say); err != nil {
		return err
	}
	report, err := o.checkImage(ctx, a.toCheck(ctx, image), a.closure.Size(), o.facts(), say, true)
	if err != nil {
		return err
	}
	return o.printReport(t, report)
}

// runImage checks an existing image.
func (o *checkOptions) runImage(ctx context.Context, t terminal, word string) (err error) {
	say := o.speaker(t)
	defer say.close()
	in := o.opener(say, t.in, &o.registryFlags)
	defer say.closing(&err, in)
	image, err := in.readImage(ctx, o.platform, word)
	if err != nil {
		return err
	}
	report, err := o.checkExisting(ctx, image, o.facts(), say)
	if err != nil {
		return err
	}
	return o.printReport(t, report)
}

// checkExisting checks an existing image.
func (c *checkFlags) checkExisting(ctx context.Context, image *ocilayout.Image, facts *rootfs.Facts, say *speaker) (*startup.Report, error) {
	reading := say.progress("reading image", image.Size())
	tree, err := image.Tree(ctx, ocilayout.TreeOptions{Facts: facts, Hash: narHash, Progress: reading.add})
	reading.done()
	if err != nil {
		return nil, err
	}
	check := &startup.Image{StoreDir: image.StoreDir, Lower: tree.Lower, LowerSources: layerSources(ctx, image)}
	check.Config = startConfig(image.Config.Config, image.Healthcheck, image.Config.Architecture)
	return c.checkImage(ctx, check, 0, facts, say, true)
}

// layerSources returns the contents of an image's files, by layer.
func layerSources(ctx context.Context, image *ocilayout.Image) []startup.Source {
	var sources []startup.Source
	for i, l := range image.Layers {
		sources = append(sources, startup.Source{Name: l.Descriptor.Digest.String(), Key: l.Key(), Tree: image.Contents(ctx, i)})
	}
	return sources
}

func startConfig(c ispec.ImageConfig, h *ocilayout.Healthcheck, arch string) startup.Config {
	config := startup.Config{
		Architecture: arch, Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, User: c.User, WorkingDir: c.WorkingDir,
		Volumes: slices.Sorted(maps.Keys(c.Volumes)),
	}
	if h != nil {
		config.Healthcheck = h.Test
	}
	return config
}

// toCheck returns an image of the assembly in the form that startup checks.
func (a *assembly) toCheck(ctx context.Context, image ocilayout.ImageSpec) *startup.Image {
	check := &startup.Image{StoreDir: a.closure.StoreDir, Lower: a.baseImage.lower(), Parts: a.overlay.Parts, Config: startConfig(image.Config, image.Healthcheck, image.Platform.Architecture)}
	if a.baseImage != nil {
		check.LowerSources = layerSources(ctx, a.baseImage.image)
	}
	for _, l := range a.overlay.Layers {
		check.Layers = append(check.Layers, startup.Layer{Part: l.Part, Hidden: l.Hidden})
	}
	return check
}

// checkImage checks an image. With names, it also searches all files for missing store paths.
func (c *checkFlags) checkImage(ctx context.Context, image *startup.Image, size int64, facts *rootfs.Facts, say *speaker, names bool) (*startup.Report, error) {
	at, err := c.at()
	if err != nil {
		return nil, err
	}
	checking := say.progress("checking", size)
	defer checking.done()
	return startup.Check(ctx, image, startup.Options{Time: at, References: names, Facts: facts, Progress: checking.add})
}

// printReport prints all problems, or as text one line for problems that are alike.
func (o *checkOptions) printReport(t terminal, r *startup.Report) error {
	if o.json {
		if err := printJSON(t.out, newCheckResult(r)); err != nil {
			return err
		}
	} else {
		var b strings.Builder
		for _, g := range groupErrors(r.Errors) {
			fmt.Fprintf(&b, "error: %v\n", g)
		}
		for _, g := range groupWarnings(r.Warnings) {
			fmt.Fprintf(&b, "warning: %v\n", g)
		}
		fmt.Fprintf(&b, "%s in PATH, %s, %s\n", count(r.Programs, "program"), count(len(r.Errors), "error"), count(len(r.Warnings), "warning"))
		if _, err := fmt.Fprint(t.out, b.String()); err != nil {
			return err
		}
	}
	if n := len(r.Errors); n > 0 {
		return inChapter("will-it-start", &foundError{msg: "check: " + count(n, "error")})
	}
	return nil
}

// checkResult is the JSON form of a report.
type checkResult struct {
	Programs int               `json:"programs"`
	Errors   []startup.Problem `json:"errors"`
	Warnings []startup.Problem `json:"warnings"`
}

func newCheckResult(r *startup.Report) checkResult {
	return checkResult{r.Programs, append([]startup.Problem{}, r.Errors...), append([]startup.Problem{}, r.Warnings...)}
}

// checkFirst checks an image before it is made, if --check asks for it. It fails if the check finds errors.
func (o *imageOptions) checkFirst(ctx context.Context, a *assembly, image ocilayout.ImageSpec, say *speaker) error {
	if !o.check {
		return nil
	}
	report, err := o.checkImage(ctx, a.toCheck(ctx, image), a.closure.Size(), o.facts(), say, false)
	if err != nil {
		return err
	}
	if n := len(report.Errors); n > 0 {
		found := &foundError{msg: fmt.Sprintf("check: %s; nothing was written", count(n, "error"))}
		for _, g := range groupErrors(report.Errors) {
			found.problems = append(found.problems, g.String())
		}
		return inChapter("will-it-start", found)
	}
	if n := len(report.Warnings); n > 0 {
		say.notef("check: %s; for details, run export-profile check with the same flags", count(n, "warning"))
	}
	return nil
}
