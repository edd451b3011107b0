package ocilayout

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression is how layers are compressed. The zero value is gzip:2,
// which everything can read and which is about the fastest that gzip has.
type Compression struct {
	algorithm algorithm
	level     int // 0: the algorithm's default
}

type algorithm byte

const (
	algorithmGzip algorithm = iota
	algorithmZstd
	algorithmNone
)

// The levels that no level means: gzip's is fast, zstd's is that of the zstd command.
const (
	gzipDefault = 2
	zstdDefault = 3
)

// ParseCompression parses none, gzip[:LEVEL] with levels 1 to 9, or zstd[:LEVEL] with levels 1 to 22.
//
// Zstandard has four ways to compress here: levels 1 and 2, 3 to 5, 6 to 9, and 10 to 22
// give the same bytes.
func ParseCompression(s string) (Compression, error) {
	name, level, hasLevel := strings.Cut(s, ":")
	var c Compression
	most, usual := 0, 0
	switch name {
	case "none":
		c.algorithm = algorithmNone
	case "gzip":
		most, usual = 9, gzipDefault
	case "zstd":
		c.algorithm, most, usual = algorithmZstd, 22, zstdDefault
	default:
		return Compression{}, fmt.Errorf("compression %q: want none, gzip[:LEVEL] or zstd[:LEVEL]", s)
	}
	if !hasLevel {
		return c, nil
	}
	n, err := strconv.Atoi(level)
	switch {
	case most == 0:
		return Compression{}, fmt.Errorf("compression %q: %s has no levels", s, name)
	case err != nil || strconv.Itoa(n) != level || n < 1 || n > most:
		return Compression{}, fmt.Errorf("compression %q: want a level from 1 to %d", s, most)
	case n != usual: // the default has one form, so that equal ones are equal
		c.level = n
	}
	return c, nil
}

// String is what ParseCompression parses, with the level.
func (c Compression) String() string {
	switch c.algorithm {
	case algorithmGzip:
		return fmt.Sprintf("gzip:%d", c.effective())
	case algorithmZstd:
		return fmt.Sprintf("zstd:%d", c.effective())
	}
	return "none"
}

func (c Compression) effective() int {
	switch {
	case c.level != 0:
		return c.level
	case c.algorithm == algorithmZstd:
		return zstdDefault
	}
	return gzipDefault
}

// MediaType is that of a layer.
func (c Compression) MediaType() string {
	switch c.algorithm {
	case algorithmGzip:
		return ispec.MediaTypeImageLayerGzip
	case algorithmZstd:
		return ispec.MediaTypeImageLayerZstd
	}
	return ispec.MediaTypeImageLayer
}

// writer compresses what is written to it, in the goroutine that writes.
// Every stream gets a new one: a compressor that is used again might remember something.
func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c.algorithm {
	case algorithmGzip:
		z, err := gzip.NewWriterLevel(w, c.effective())
		if err != nil {
			return nil, err
		}
		z.ModTime = time.Unix(0, 0) // which means none; the zero time would be one in 2042
		return z, nil
	case algorithmZstd:
		return zstd.NewWriter(w,
			zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(c.effective())))
	}
	return nopCloser{w}, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
