package chunked

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// tableReader decompresses a table.
type tableReader struct {
	z    *zstd.Decoder
	most int64 // bytes once decompressed
	want int64 // likewise, as declared
	n    int64 // bytes read
}

// maxTableWindow limits the memory for decompressing a table. No level of package zstd needs more.
const maxTableWindow = 32 << 20

// openTable reads a compressed table from r, and checks its digest before it decompresses anything.
// Once decompressed it may have at most most bytes.
func openTable(r io.Reader, span Span, most int64, want digest.Digest) (*tableReader, error) {
	var compressed bytes.Buffer // grows with what is read, not with what is declared
	n, err := io.Copy(&compressed, io.LimitReader(r, min(span.Length, MaxTable)))
	if err != nil {
		return nil, err
	}
	if n != span.Length {
		return nil, fmt.Errorf("it ends after %d of %d bytes", n, span.Length)
	}
	return newTableReader(compressed.Bytes(), span, most, want)
}

func newTableReader(compressed []byte, span Span, most int64, want digest.Digest) (*tableReader, error) {
	if got := digest.FromBytes(compressed); got != want {
		return nil, fmt.Errorf("it has the digest %s, want %s", got, want)
	}
	z, err := zstd.NewReader(bytes.NewReader(compressed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxTableWindow))
	if err != nil {
		return nil, err
	}
	return &tableReader{z: z, most: min(most, span.Uncompressed), want: span.Uncompressed}, nil
}

// Read reads the decompressed table. It fails where the table has another length than it should.
func (t *tableReader) Read(p []byte) (int, error) {
	n, err := t.z.Read(p)
	t.n += int64(n)
	switch {
	case t.n > t.most:
		return 0, fmt.Errorf("it has more than %d bytes once decompressed", t.most)
	case err == io.EOF && t.n != t.want:
		return 0, fmt.Errorf("it has %d bytes once decompressed, want %d", t.n, t.want)
	}
	return n, err
}

func (t *tableReader) close() { t.z.Close() }
