package ocilayout

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxArchiveFiles is how many files an archive of images may have.
const maxArchiveFiles = 1 << 16

// errNotLayout is what an archive is that another program has made in a form of its own.
var errNotLayout = errors.New("it has no index.json, as an OCI archive has, and what docker save writes since Docker 25")

// ReadArchive reads an image in an archive, which is an image layout in a tar, by its tag or full name, as ReadBase does.
// The archive may be docker's, too, if it has the layout's index. It is not compressed, and stays open: the caller closes it.
func ReadArchive(ctx context.Context, file, tag string, platform ispec.Platform) (_ *Base, _ io.Closer, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("read image %q in archive %q: %w", tag, file, errors.Join(err, f.Close()))
		}
	}()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, errors.New("it is no regular file")
	}
	files, err := listArchive(ctx, f, fi.Size())
	if err != nil {
		return nil, nil, err
	}
	at, ok := files[ispec.ImageIndexFile]
	if !ok {
		return nil, nil, errNotLayout
	}
	if at.Size() > maxManifest {
		return nil, nil, fmt.Errorf("its index is too large: %d bytes", at.Size())
	}
	var index ispec.Index
	b := make([]byte, at.Size())
	if _, err := at.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, nil, err
	}
	if err := json.Unmarshal(b, &index); err != nil {
		return nil, nil, fmt.Errorf("index: %w", err)
	}
	desc, err := findImage(index.Manifests, tag)
	if err != nil {
		return nil, nil, err
	}
	open := func(_ context.Context, d ispec.Descriptor) (io.ReadCloser, error) {
		if err := checkDigest(d.Digest); err != nil {
			return nil, err
		}
		at, ok := files[blobName(d.Digest)]
		if !ok {
			return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
		}
		return io.NopCloser(io.NewSectionReader(at, 0, at.Size())), nil
	}
	image, err := readBase(ctx, open, desc, platform)
	if err != nil {
		return nil, nil, err
	}
	for i, l := range image.Layers {
		at, ok := files[blobName(l.Descriptor.Digest)]
		if !ok {
			return nil, nil, fmt.Errorf("layer %d: blob %s: %w", i+1, l.Descriptor.Digest, fs.ErrNotExist)
		}
		if at.Size() != l.Descriptor.Size {
			return nil, nil, fmt.Errorf("layer %d: blob %s has %d bytes instead of %d", i+1, l.Descriptor.Digest, at.Size(), l.Descriptor.Size)
		}
	}
	return image, f, nil
}

// listArchive finds the files of a tar by their names; of several with one name, the last is there.
func listArchive(ctx context.Context, f *os.File, size int64) (map[string]*io.SectionReader, error) {
	files := make(map[string]*io.SectionReader)
	for r := tar.NewReader(f); ; { // which reads no further than a header's end, and passes over contents by seeking
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if len(files) == maxArchiveFiles {
			return nil, fmt.Errorf("it has more than %d files", maxArchiveFiles)
		}
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		if h.Size > size-offset {
			return nil, io.ErrUnexpectedEOF
		}
		files[path.Clean(h.Name)] = io.NewSectionReader(f, offset, h.Size)
	}
}
