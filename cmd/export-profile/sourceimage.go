package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/ocilayout/registry"
	"github.com/export-profile/export-profile/profile/decompress"
	"github.com/export-profile/export-profile/rootfs"
)

// imageSource is an image that is there already, as people name it:
// [oci:]DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://REGISTRY/NAME[:TAG|@DIGEST].
type imageSource struct {
	word      string
	transport string // as in the word; "oci:" if that has none
	place     string // the directory or file
	tag       string // or full name
	ref       registry.Reference
}

const (
	inLayout        = "oci:"
	inOCIArchive    = "oci-archive:"
	inDockerArchive = "docker-archive:"
	inRegistry      = "docker://"
)

// imagePrefixes are what the name of such an image begins with.
var imagePrefixes = []string{inLayout, inOCIArchive, inDockerArchive, inRegistry}

// imageForms are how an image is named that is there already.
const imageForms = "oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG] or docker://REGISTRY/NAME[:TAG]"

// parseSource parses an image that is there already; errors say what it is for, as in the example.
func parseSource(what, example, word string) (s imageSource, err error) {
	s = imageSource{word: word, transport: inLayout}
	rest := strings.TrimPrefix(word, inLayout)
	for _, t := range []string{inOCIArchive, inDockerArchive, inRegistry} {
		if after, ok := strings.CutPrefix(word, t); ok {
			s.transport, rest = t, after
		}
	}
	if s.transport == inRegistry {
		if s.ref, err = registry.ParseReference(rest); err != nil {
			return s, usagef(example, "%s %q: %v", what, word, err)
		}
		return s, nil
	}
	for _, name := range append(transports, "tar") {
		if s.transport == inLayout && strings.HasPrefix(word, name+":") {
			return s, usagef(example, "%s %q: %s: is not supported, only %s", what, word, name,
				strings.Join(imagePrefixes, " and "))
		}
	}
	dir, tag, named := strings.Cut(rest, ":")
	if dir == "" || named && tag == "" {
		place := "DIR"
		if s.isArchive() {
			place = "FILE"
		}
		return s, usagef(example, "%s %q: want %s%s[:TAG]", what, word, s.transport, place)
	}
	s.place, s.tag = dir, tag
	return s, nil
}

func (s imageSource) isArchive() bool {
	return s.transport == inOCIArchive || s.transport == inDockerArchive
}

// sourceOpener is what is needed to open images.
type sourceOpener struct {
	say      *speaker
	stdin    io.Reader
	spool    string // a directory for what is a stream
	most     int64  // bytes of what is a stream or compressed
	registry *registryFlags

	close []io.Closer
}

// opener spools into the cache.
func (c *cacheFlags) opener(say *speaker, stdin io.Reader, r *registryFlags) *sourceOpener {
	return &sourceOpener{say: say, stdin: stdin, spool: c.spoolDir(), most: maxArchive, registry: r}
}

// maxArchive is how much of a stream or of a compressed archive is put into a file.
const maxArchive = 64 << 30

// loneDocker is a hint for an archive that has no image in the form that is needed.
const loneDocker = "it is in Docker's form alone; put it into a layout: skopeo copy docker-archive:FILE oci:DIR:TAG"

// open finds an image. It is there until Close.
func (o *sourceOpener) open(ctx context.Context, s imageSource) (found *ocilayout.ImageSource, err error) {
	switch s.transport {
	case inLayout:
		found, err = ocilayout.FindImage(ctx, s.place, s.tag)
	case inRegistry:
		var client *registry.Client
		if client, err = o.registry.client(o.say); err == nil {
			found, err = client.Find(ctx, s.ref)
		}
	default:
		var a *ocilayout.ArchiveFile
		if a, err = o.archive(ctx, s); err == nil {
			found, err = a.Find(s.tag)
		}
		if errors.Is(err, ocilayout.ErrNoLayout) {
			return nil, withHint(err, loneDocker)
		}
	}
	if err != nil {
		return nil, s.hint(err)
	}
	return found, nil
}

func (s imageSource) hint(err error) error {
	if hint(err) != "" || s.transport == inRegistry {
		return err
	}
	if fi, err2 := os.Stat(s.place); err2 == nil && s.transport == inLayout && fi.Mode().IsRegular() {
		return withHint(err, "it is a file; an archive is oci-archive:%s or docker-archive:%[1]s", s.place)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case !exists(s.place):
		return withHint(err, "there is no %q; an image is %s", s.place, imageForms)
	case s.isArchive():
		return withHint(err, "an image is %sFILE[:TAG], where FILE is a tar whose index.json or manifest.json knows TAG", s.transport)
	}
	return withHint(err, "an image is oci:DIR:TAG, where DIR has an index.json that knows TAG")
}

// Close frees what the images need.
func (o *sourceOpener) Close() error {
	var errs []error
	for _, c := range o.close {
		errs = append(errs, c.Close())
	}
	o.close = nil
	return errors.Join(errs...)
}

// archive looks at an archive. One that cannot be read at any place, or is compressed, is first put into a file.
func (o *sourceOpener) archive(ctx context.Context, s imageSource) (*ocilayout.ArchiveFile, error) {
	var r io.Reader = o.stdin
	if s.place != standardName {
		f, err := os.Open(s.place)
		if err != nil {
			return nil, err
		}
		o.close = append(o.close, f)
		r = f
	} else if o.stdin == nil {
		return nil, usagef("", "%s: cannot be read from standard input here", s.word)
	}
	f, err := o.seekable(ctx, r)
	if err != nil {
		return nil, fmt.Errorf("read archive %q: %w", s.place, err)
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return ocilayout.OpenArchiveFile(ctx, s.place, f, fi.Size())
}

func (o *sourceOpener) seekable(ctx context.Context, r io.Reader) (*os.File, error) {
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
		z, err := decompress.Named(name, b)
		if err != nil {
			return nil, err
		}
		defer z.Close()
		from = z
	}
	spool, err := rootfs.Nameless(o.spool)
	if err != nil {
		return nil, err
	}
	o.close = append(o.close, spool)
	n, err := io.Copy(spool, &cancelled{ctx, io.LimitReader(from, o.most+1)})
	if err == nil && n > o.most {
		err = fmt.Errorf("it has more than %s once it is read and decompressed", humanBytes(o.most))
	}
	return spool, err
}

// cancelled is a reader that ends with its context.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := context.Cause(c.ctx); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
