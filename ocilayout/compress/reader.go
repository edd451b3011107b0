package compress

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxWindow limits the window of zstd frames, and so the memory for reading them. `zstd --long` needs this much.
const maxWindow = 128 << 20

// NewReader decompresses a layer's blob of the given media type. Closing the reader does not close r.
// The error wraps errors.ErrUnsupported if the media type is not one of a layer.
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
