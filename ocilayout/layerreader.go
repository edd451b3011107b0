package ocilayout

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/export-profile/export-profile/ocilayout/chunked"
	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/opencontainers/go-digest"
)

// layerReader reads a layer and checks it against its descriptor and its diffID.
type layerReader struct {
	source *BlobSource
	blob   *sumReader
	plain  *sumReader
	close  []io.Closer
	tar    *tar.Reader
	lie    error // the first one in the tables
}

func openLayer(ctx context.Context, open OpenBlob, layer *BlobSource) (_ *layerReader, err error) {
	r, err := open(ctx, layer.Descriptor)
	if err != nil {
		return nil, err
	}
	l := &layerReader{source: layer, close: []io.Closer{r}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	l.blob = &sumReader{ctx: ctx, r: r, hash: sha256.New(), most: layer.Descriptor.Size}
	z, err := l.decompress(bufio.NewReaderSize(l.blob, tarBuffer))
	if err != nil {
		return nil, err
	}
	l.close = append(l.close, z)
	l.plain = &sumReader{ctx: ctx, r: z, hash: sha256.New(), most: maxPlain}
	l.tar = tar.NewReader(bufio.NewReaderSize(l.plain, tarBuffer))
	return l, nil
}

// decompress reads the tar. If the layer has tables, it compares them with the tar.
func (l *layerReader) decompress(blob io.Reader) (io.ReadCloser, error) {
	d := l.source.Descriptor
	tables, err := chunked.ParseAnnotations(d.Annotations, d.Size)
	if err != nil {
		return nil, err
	}
	if tables == (chunked.Location{}) {
		return compress.NewReader(blob, d.MediaType)
	}
	return chunked.NewChecker(blob, tables, func(entry, problem string) {
		if l.lie == nil {
			l.lie = fmt.Errorf("%.255q: %s", "/"+entry, problem)
		}
	}), nil
}

// finish reads the rest of the layer and checks it.
func (l *layerReader) finish() error {
	for _, r := range []io.Reader{l.plain, l.blob} {
		if err := rootfs.Drain(r); err != nil {
			return err
		}
	}
	d := l.source.Descriptor
	if got := digest.NewDigest(digest.SHA256, l.blob.hash); got != d.Digest || l.blob.n != d.Size {
		return fmt.Errorf("blob %s is damaged: it has %d of %d bytes, and the digest %s", d.Digest, l.blob.n, d.Size, got)
	}
	if got := digest.NewDigest(digest.SHA256, l.plain.hash); got != l.source.DiffID {
		return fmt.Errorf("blob %s is %s once decompressed, and the config says %s", d.Digest, got, l.source.DiffID)
	}
	if l.lie != nil { // podman refuses such a layer, and others could make other files of it
		return fmt.Errorf("blob %s has tables of zstd:chunked that lie: %w", d.Digest, l.lie)
	}
	return nil
}

func (l *layerReader) Close() error {
	var errs []error
	for i := range l.close {
		errs = append(errs, l.close[len(l.close)-1-i].Close())
	}
	return errors.Join(errs...)
}

// sumReader hashes and limits what it reads.
type sumReader struct {
	ctx     context.Context
	r       io.Reader
	hash    hash.Hash
	n, most int64
}

func (s *sumReader) Read(p []byte) (int, error) {
	if err := context.Cause(s.ctx); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	s.hash.Write(p[:n])
	if s.n += int64(n); s.n > s.most {
		return n, fmt.Errorf("it has more than %d bytes", s.most)
	}
	return n, err
}

// cleanName converts a tar's name to a path, "" for the root. It drops leading slashes, as unpackers do.
func cleanName(name string) (string, error) {
	var elements []string
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element == "." {
			continue
		}
		if err := rootfs.CheckName(element); err != nil { // also refuses ".."
			return "", err
		}
		if elements = append(elements, element); len(elements) > rootfs.MaxPathDepth {
			return "", fmt.Errorf("deeper than %d directories", rootfs.MaxDepth)
		}
	}
	return strings.Join(elements, "/"), nil
}

func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// sparseSum limits the bytes of all sparse files in a layer.
type sparseSum struct{ n, most int64 }

func (s *sparseSum) add(h *tar.Header) error {
	if !isSparse(h) {
		return nil
	}
	return s.addSize(h.Size)
}

func (s *sparseSum) addSize(n int64) error {
	if n > s.most-s.n {
		return fmt.Errorf("sparse files of more than %d bytes in the layer", s.most)
	}
	s.n += n
	return nil
}
