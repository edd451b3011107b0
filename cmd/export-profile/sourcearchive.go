package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// maxArchive is the largest size of a stream or a decompressed archive in a temporary file.
const maxArchive = 64 << 30

// archive opens an archive. It first copies streams and compressed archives into a temporary file, to seek in it.
func (o *imageOpener) archive(ctx context.Context, n imageName) (*ocilayout.ArchiveFile, error) {
	var r io.Reader = o.stdin
	if n.path != standardName {
		f, err := os.Open(n.path)
		if err != nil {
			return nil, err
		}
		o.close = append(o.close, f)
		r = f
	} else if o.stdin == nil {
		return nil, usagef("", "%s: this command cannot read an image from standard input", n.word)
	}
	f, err := o.seekable(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("read archive %q: %w", n.path, err)
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return ocilayout.OpenArchiveFile(ctx, n.path, f, fi.Size())
}

func (o *imageOpener) seekable(ctx context.Context, r io.Reader) (*os.File, error) {
	head := make([]byte, decompress.SniffLen)
	if f, ok := r.(*os.File); ok {
		if fi, err := f.Stat(); err != nil {
			return nil, err
		} else if fi.IsDir() {
			return nil, errors.New("is a directory; a layout is oci:DIR")
		} else if fi.Mode().IsRegular() {
			if at, err := f.Seek(0, io.SeekCurrent); err == nil && at == 0 {
				n, err := f.ReadAt(head, 0)
				if err != nil && err != io.EOF {
					return nil, err
				}
				if decompress.Sniff(head[:n]) == "" {
					return f, nil
				}
			}
		}
	}
	b := bufio.NewReaderSize(r, 1<<16)
	head, err := b.Peek(decompress.SniffLen)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var from io.Reader = b
	if name := decompress.Sniff(head); name != "" {
		z, err := decompress.NewFileReader(name, b, func() {}) // tar itself ignores what follows an archive
		if err != nil {
			return nil, err
		}
		defer z.Close()
		from = z
	}
	spool, err := staging.Spool(o.spool)
	if err != nil {
		return nil, err
	}
	o.close = append(o.close, spool)
	n, err := io.Copy(spool, &contextReader{ctx, io.LimitReader(from, o.most+1)})
	if err == nil && n > o.most {
		err = fmt.Errorf("it has more than %s when decompressed", humanBytes(o.most))
	}
	return spool, err
}

// contextReader fails once its context is cancelled.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
