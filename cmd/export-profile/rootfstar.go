package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// tarDestination returns the file of tar:FILE.
func tarDestination(word string) (file string, ok bool) {
	file, ok = strings.CutPrefix(word, tarPrefix)
	return file, ok && file != ""
}

// writeTar writes a root filesystem as one tar, to a file or to standard output.
// Standard output gets a copy of a temporary file: a reader unpacks while it reads,
// and a NAR hash is checked only at the end of the NAR.
func (o *rootfsOptions) writeTar(ctx context.Context, t terminal, say *speaker, a *assembly, file string, c compress.Method) (err error) {
	parts := a.overlay.Flatten()
	writing := say.progress("writing", a.closure.Size())
	defer writing.done()
	options := ocilayout.Options{Progress: writing.add}
	if file == standardName {
		if err := checkStdout(t.out, "tar:-"); err != nil {
			return err
		}
		var whole *os.File // not :=, so that the error of Close is returned
		if whole, err = staging.Spool(o.spoolDir()); err != nil {
			return err
		}
		defer say.closing(&err, whole)
		if _, err := ocilayout.WriteTar(ctx, whole, parts, c, options); err != nil {
			return err
		}
		writing.done()
		return copyOut(ctx, unwrapStdout(t.out), whole)
	}
	made, err := ocilayout.PublishTar(ctx, file, parts, c, options)
	writing.done()
	if err != nil {
		return makeFirst(err, file)
	}
	say.noteLeft(made.Left)
	published(t.out, "the tar is complete: %s", made.Digest)
	_, err = fmt.Fprintln(t.out, made.Digest)
	return err
}

// flagsOfRootfs spells those flags of image that rootfs also takes.
func flagsOfRootfs(given *pflag.FlagSet) (words []string) {
	own := pflag.NewFlagSet("rootfs", pflag.ContinueOnError)
	(&rootfsOptions{}).flags(own)
	add := func(name, value string) { words = append(words, shellWord("--"+name), shellWord(value)) }
	given.VisitAll(func(f *pflag.Flag) { // not Visit: an image file sets only Changed
		if !f.Changed || own.Lookup(f.Name) == nil || f.Name == "json" || isChange(f) {
			return
		}
		switch v := f.Value.(type) {
		case pflag.SliceValue:
			for _, word := range v.GetSlice() {
				if !strings.HasPrefix(word, registryPrefix) { // rootfs has no shared cache
					add(f.Name, word)
				}
			}
		default:
			switch {
			case v.Type() != "bool":
				add(f.Name, v.String())
			case v.String() == "true":
				words = append(words, "--"+f.Name)
			default:
				words = append(words, "--"+f.Name+"=false")
			}
		}
	})
	if all := changesOf(given); all != nil {
		for _, c := range all.changes {
			if c.kind == "layer" {
				words = append(words, "--layer")
			} else {
				add(c.kind, c.word)
			}
		}
	}
	return words
}

// copyOut copies a whole file to standard output.
func copyOut(ctx context.Context, w io.Writer, f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	if err == nil {
		err = rootfs.Copy(ctx, w, f)
	}
	if err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}
