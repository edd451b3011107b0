package exportstore

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/export-profile/export-profile/profile/storetest"
)

var openers = map[string]func(testing.TB, []byte, Options) (*Store, error){"file": openBytes, "pipe": openPipe}

// compressed compresses b in a format for which Go has a compressor.
func compressed(t testing.TB, name string, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch name {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		w, err = zstd.NewWriter(&out)
	case "lz4":
		z := lz4.NewWriter(&out)
		err, w = z.Apply(lz4.BlockSizeOption(lz4.Block64Kb)), z
	default:
		t.Fatalf("no compressor for %q", name)
	}
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sample reads a file that Debian's xz, bzip2 or lzip compressed.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCompressedGolden checks the golden closure in compressed streams, in a file and from a pipe.
func TestCompressedGolden(t *testing.T) {
	for name, stream := range map[string][]byte{
		"gzip":  compressed(t, "gzip", golden(t)),
		"zstd":  compressed(t, "zstd", golden(t)),
		"lz4":   compressed(t, "lz4", golden(t)),
		"xz":    sample(t, "basic.nix-export.xz"),
		"bzip2": sample(t, "basic.nix-export.bz2"),
		"lzip":  sample(t, "basic.nix-export.lz"),
		// pigz, pzstd and `cat a.gz b.gz` write several members like these.
		"gzip in two":   append(compressed(t, "gzip", golden(t)[:1000]), compressed(t, "gzip", golden(t)[1000:])...),
		"zstd of pzstd": append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00\x00\x01\x00\x00"), compressed(t, "zstd", golden(t))...),
		"zstd in two":   append(compressed(t, "zstd", golden(t)[:1000]), compressed(t, "zstd", golden(t)[1000:])...),
	} {
		for kind, open := range openers {
			t.Run(name+"/"+kind, func(t *testing.T) {
				var read atomic.Int64
				dir := t.TempDir()
				s, err := open(t, stream, Options{SpoolDir: dir, Progress: func(n int64) { read.Add(n) }})
				if err != nil {
					t.Fatal(err)
				}
				if got := read.Load(); got != int64(len(stream)) {
					t.Errorf("Progress reported %d bytes; want %d", got, len(stream))
				}
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("spool directory contains %v, %v; want no named file", left, err)
				}
				storetest.Golden(t, s)
			})
		}
	}
}

// TestCompressedCut checks that a compressed stream cut at any byte is an error, even if all objects are complete.
func TestCompressedCut(t *testing.T) {
	small := cat(number(1), fileNAR("a"), trailer(pathA), number(0))
	for name, stream := range map[string][]byte{
		"gzip":  compressed(t, "gzip", small),
		"zstd":  compressed(t, "zstd", small),
		"xz":    sample(t, "small.xz"),
		"bzip2": sample(t, "small.bz2"),
		"lzip":  sample(t, "small.lz"),
		// For lz4 see package decompress.
	} {
		if _, err := openBytes(t, stream, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := len(stream) - 1; n >= 0; n-- {
			_, err := openBytes(t, stream[:n], Options{})
			var format *FormatError
			if n < 6 && errors.As(err, &format) {
				continue // too short to recognise the compression
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s: Open of %d of %d bytes: %v; want %v", name, n, len(stream), err, io.ErrUnexpectedEOF)
			}
		}
	}
}

// TestCompressedRefuses checks that other formats inside a compression are errors.
func TestCompressedRefuses(t *testing.T) {
	stream := cat(number(1), fileNAR("a"), trailer(pathA), number(0))
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	for _, test := range []struct {
		name, codec, inner string
		err                string
		format             bool
	}{
		{"nothing", "gzip", "", "not an export stream, but empty, compressed with gzip", true},
		{"bare NAR", "zstd", string(fileNAR("a")), "a bare NAR", true},
		{"tar", "gzip", string(tar), "a tar archive, compressed with gzip", true},
		{"text", "lz4", "hello", "something unknown, compressed with lz4", true},
		{"twice the same", "gzip", string(compressed(t, "gzip", stream)), "something compressed with gzip, compressed with gzip", true},
		{"twice", "zstd", string(compressed(t, "gzip", stream)), "something compressed with gzip, compressed with zstd", true},
		{"two streams", "gzip", string(cat(stream, stream)), "another export stream begins here", false},
		{"cut inside", "gzip", string(stream[:100]), "unexpected EOF", false},
	} {
		_, err := openBytes(t, compressed(t, test.codec, []byte(test.inner)), Options{})
		var format *FormatError
		if err == nil || !strings.Contains(err.Error(), test.err) || errors.As(err, &format) != test.format {
			t.Errorf("%s: Open() = %v; want an error with %q, a FormatError: %v", test.name, err, test.err, test.format)
		}
	}
}

// TestCompressedTrailing checks that other data may follow a compressed stream, inside and outside of the compression.
func TestCompressedTrailing(t *testing.T) {
	stream := cat(number(1), fileNAR("a"), trailer(pathA), number(0))
	for name, whole := range map[string][]byte{
		"gzip":  compressed(t, "gzip", stream),
		"zstd":  compressed(t, "zstd", stream),
		"lz4":   compressed(t, "lz4", stream),
		"xz":    sample(t, "small.xz"),
		"bzip2": sample(t, "small.bz2"),
		"lzip":  sample(t, "small.lz"),
	} {
		for _, extra := range []string{"x", "\n", "\x00", strings.Repeat("\x00", 100_001), "something else, of some length", string(stream)} {
			s, err := openBytes(t, append(slices.Clone(whole), extra...), Options{})
			if err != nil || !s.Trailing() || len(s.paths) != 1 {
				t.Errorf("%s: Open with %d bytes after the stream = %v, %v; want one path, and that data follow", name, len(extra), s, err)
			}
		}
		if s, err := openBytes(t, append(slices.Clone(whole), whole...), Options{}); err == nil || !strings.Contains(err.Error(), "another export stream begins here") {
			t.Errorf("%s: Open of two compressed streams = %v, %v; want an error", name, s, err)
		}
		damaged := append(slices.Clone(whole), whole[:len(whole)-1]...)
		if s, err := openBytes(t, damaged, Options{}); err == nil {
			t.Errorf("%s: Open with most of a second compressed stream = %v, <nil>; want an error", name, s)
		}
	}
	inside := append(slices.Clone(stream), make([]byte, 1<<20)...)
	for _, codec := range []string{"gzip", "zstd", "lz4"} {
		b := compressed(t, codec, inside)
		if s, err := openBytes(t, b, Options{}); err != nil || !s.Trailing() {
			t.Errorf("%s: Open with zeros in the compression = %v, %v; want that data follow", codec, s, err)
		}
		if s, err := openBytes(t, b[:len(b)-1], Options{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: Open with zeros in a compression that is cut = %v, %v; want %v", codec, s, err, io.ErrUnexpectedEOF)
		}
	}
}
