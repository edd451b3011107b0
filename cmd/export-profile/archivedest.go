package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/term"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile/spool"
)

// archiveDestination is an image in one tar, a file or standard output.
type archiveDestination struct {
	transport string // "oci-archive:" or "docker-archive:"
	file      string // "-" is standard output
	names     []ocilayout.Name
}

// stdoutName is the file that means standard output.
const stdoutName = "-"

func parseOCIArchive(word, rest string, tags []string) (destination, error) {
	return parseArchive("oci-archive:", word, rest, tags)
}

func parseDockerArchive(word, rest string, tags []string) (destination, error) {
	return parseArchive("docker-archive:", word, rest, tags)
}

// parseArchive parses FILE[:TAG|:NAME:TAG], as skopeo does. Without a name the image has none:
// podman would show one that nobody has chosen.
func parseArchive(transport, word, rest string, tags []string) (destination, error) {
	if rest == "" {
		return nil, usagef("as in "+transport+"hello.tar", "destination %q: no file", word)
	}
	if file, _, _ := strings.Cut(rest, ":"); file == "/dev/stdout" {
		return nil, usagef("did you mean "+transport+"-?", "destination %q: a file appears by a rename, and nobody may do that there", word)
	}
	d, err := parseLayout(word, rest, tags)
	if err != nil {
		return nil, err
	}
	layout := d.(*layoutDestination)
	a := &archiveDestination{transport: transport, file: layout.dir, names: layout.names}
	if !layout.named && len(tags) == 0 {
		a.names = nil
	}
	return a, nil
}

func (d *archiveDestination) open(ctx context.Context, o outlet, say *speaker, l ocilayout.Options) (*output, error) {
	var options ocilayout.ArchiveOptions // one tar for all loaders
	notes := func(a ocilayout.Archive, err error) error {
		for _, note := range a.Notes {
			if d.transport == "docker-archive:" {
				say.notef("%s", note)
			} else {
				say.debugf("%s", note)
			}
		}
		return err
	}
	if d.file == stdoutName {
		if err := checkStdout(o.stdout, d.transport+"-"); err != nil {
			return nil, err
		}
		if o.json {
			return nil, usagef("", "--json prints a result where %s- prints the image; --digest-file has the digest", d.transport)
		}
		parent := o.temp
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return nil, withHint(err, "choose another place for large temporary files with --cache")
		}
		layout, err := ocilayout.OpenTemporary(ctx, parent, l)
		if err != nil {
			return nil, err
		}
		return &output{Layout: layout, stdout: true, publish: func(ctx context.Context, image ispec.Descriptor) error {
			return notes(layout.WriteArchive(ctx, destinationOf(o.stdout), image, d.names, options))
		}}, nil
	}
	layout, err := ocilayout.OpenArchive(ctx, d.file, l)
	if err != nil {
		return nil, makeFirst(err, d.file)
	}
	return &output{Layout: layout, publish: func(ctx context.Context, image ispec.Descriptor) error {
		return notes(layout.PublishArchive(ctx, image, d.names, options))
	}}, nil
}

func (d *archiveDestination) place() place {
	named := layoutDestination{names: d.names}
	return place{Archive: d.file, Tags: named.tags(), Names: named.fullNames()}
}

func (d *archiveDestination) next() string {
	if full := (&layoutDestination{names: d.names}).fullNames(); len(full) == 0 && len(d.names) > 0 && d.transport == inOCIArchive {
		if tag := d.names[0].Tag; strings.ToLower(tag) == tag {
			return fmt.Sprintf("load it with: podman load -i %s, as localhost/%s:latest; --tag NAME:TAG gives it another name", shellWord(d.file), tag)
		}
	} else if len(full) > 0 {
		return fmt.Sprintf("load it with: podman load -i %s", shellWord(d.file))
	}
	return fmt.Sprintf("load it with: podman load -i %s; --tag NAME:TAG gives it a name", shellWord(d.file))
}

// checkStdout refuses to write what is not text to a terminal.
func checkStdout(w io.Writer, what string) error {
	if f, ok := destinationOf(w).(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return usagef("export-profile image … "+what+" | podman load", "%s: standard output is a terminal", what)
	}
	return nil
}

// tarDestination is the file of tar:FILE, a root filesystem as one tar.
func tarDestination(word string) (file string, ok bool) {
	file, ok = strings.CutPrefix(word, "tar:")
	return file, ok && file != ""
}

// writeTar writes a root filesystem as one tar, to a file or to standard output.
// There it comes out of a temporary file in temp:
// who reads it unpacks while it comes, and a NAR hash is only known to be right when all of the NAR has been read.
func writeTar(ctx context.Context, t terminal, say *speaker, all *assembled, file, temp string, c ocilayout.Compression, sync bool) (err error) {
	parts := all.top.Flatten()
	writing := say.progress("writing", all.closure.Size())
	defer writing.done()
	options := ocilayout.Options{Progress: writing.add, Sync: sync}
	if file == stdoutName {
		if err := checkStdout(t.out, "tar:-"); err != nil {
			return err
		}
		whole, err := spool.New(temp)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, whole.Close()) }()
		if _, err := ocilayout.WriteTar(ctx, whole, parts, c, options); err != nil {
			return err
		}
		writing.done()
		return copyOut(ctx, destinationOf(t.out), whole)
	}
	made, err := ocilayout.PublishTar(ctx, file, parts, c, options)
	writing.done()
	if err != nil {
		return makeFirst(err, file)
	}
	_, err = fmt.Fprintln(t.out, made.Digest)
	return err
}

// copyStep is how much is copied before a cancelled context is noticed.
const copyStep = 8 << 20

// copyOut copies all of a file to standard output.
func copyOut(ctx context.Context, w io.Writer, f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	for err == nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		_, err = io.CopyN(w, f, copyStep)
	}
	if err == io.EOF {
		return nil
	}
	return fmt.Errorf("write to standard output: %w", err)
}
