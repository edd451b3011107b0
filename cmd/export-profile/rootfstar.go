package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/profile/spool"
	"github.com/export-profile/export-profile/rootfs"
)

// tarDestination is the file of tar:FILE, a root filesystem as one tar.
func tarDestination(word string) (file string, ok bool) {
	file, ok = strings.CutPrefix(word, "tar:")
	return file, ok && file != ""
}

// writeTar writes a root filesystem as one tar, to a file or to standard output.
// There it comes out of a temporary file in temp:
// who reads it unpacks while it comes, and a NAR hash is only known to be right when all of the NAR has been read.
func writeTar(ctx context.Context, t terminal, say *speaker, all *assembled, file, temp string, c compress.Method, sync bool) (err error) {
	parts := all.top.Flatten()
	writing := say.progress("writing", all.closure.Size())
	defer writing.done()
	options := ocilayout.Options{Progress: writing.add, Sync: sync}
	if file == standardName {
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

// copyOut copies all of a file to standard output.
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
