package overlay

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/export-profile/export-profile/rootfs/staging"
)

const blockSize = 512

// spool copies a stream to a nameless file, which vanishes however the run ends.
func spool(ctx context.Context, dir string, r io.Reader) (_ *os.File, size int64, err error) {
	if dir == "" {
		return nil, 0, errors.New("spool a stream: no directory for it")
	}
	f, err := staging.Spool(dir)
	if err != nil {
		return nil, 0, fmt.Errorf("spool a stream: %w", err)
	}
	if size, err = copyContext(ctx, f, r); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("spool a stream: %w", err), f.Close())
	}
	return f, size, nil
}

// isTar reports whether a file begins with a tar header.
func isTar(f io.ReaderAt) bool {
	head := make([]byte, blockSize)
	n, _ := f.ReadAt(head, 0)
	return n == blockSize && isHeader(head)
}

// isHeader reports whether a block is a tar header with a correct checksum.
// A block of zeros begins an empty tar, but also many other files, so it does not count.
func isHeader(block []byte) bool {
	if len(bytes.Trim(block, "\x00")) == 0 {
		return false
	}
	_, err := tar.NewReader(bytes.NewReader(block)).Next()
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// decompressTar decompresses f to a nameless file if it contains a tar. Otherwise it returns no file.
func (a *applier) decompressTar(ctx context.Context, f *os.File) (*os.File, int64, error) {
	head := make([]byte, 64)
	n, _ := f.ReadAt(head, 0)
	decompress := a.options.Decompress
	if decompress == nil {
		decompress = decompressKnown
	}
	r, err := decompress(head[:n], bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 64<<10))
	if err != nil || r == nil {
		return nil, 0, nil // not a compressed tar
	}
	defer r.Close()
	first := make([]byte, blockSize)
	if n, _ := io.ReadFull(r, first); n < blockSize || !isHeader(first) {
		return nil, 0, nil
	}
	unpacked, size, err := spool(ctx, a.options.SpoolDir, io.MultiReader(bytes.NewReader(first), r))
	if err != nil {
		return nil, 0, fmt.Errorf("decompress a tar: %w", err)
	}
	return unpacked, size, nil
}

// decompressKnown supports the formats of the standard library.
func decompressKnown(head []byte, r io.Reader) (io.ReadCloser, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return gzip.NewReader(r)
	case bytes.HasPrefix(head, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
	return nil, nil
}
