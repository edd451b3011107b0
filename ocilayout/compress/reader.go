package compress

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxWindow is how far back zstd may refer to, which is memory: what `zstd --long` needs.
const maxWindow = 128 << 20

// NewReader reads the tar that a layer's blob of a media type was made of. Closing it does not close r.
// The error wraps errors.ErrUnsupported if the type is not a layer's.
func NewReader(r io.Reader, mediaType string) (io.ReadCloser, error) {
	switch mediaType {
	case ispec.MediaTypeImageLayer:
		return io.NopCloser(r), nil
	case ispec.MediaTypeImageLayerGzip:
		return gzip.NewReader(r)
	case ispec.MediaTypeImageLayerZstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("media type %q: %w", mediaType, errors.ErrUnsupported)
}
