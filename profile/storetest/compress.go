package storetest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compressions lists the compressions of [Compress] by their names in narinfos.
func Compressions() []string {
	return []string{"none", "gzip", "zstd", "br", "lz4", "xz", "bzip2", "lzip"}
}

// Compress compresses each piece separately.
// Go cannot write xz, bzip2 and lzip, so it runs the programs of these names, and skips the test if they are missing.
// A zstd result has several frames, as Nix has written them since 2.35.
func Compress(t testing.TB, compression string, pieces ...[]byte) [][]byte {
	t.Helper()
	out := make([][]byte, len(pieces))
	switch compression {
	case "none":
		return pieces
	case "xz", "bzip2", "lzip":
		return compressWithProgram(t, compression, pieces)
	case "zstd":
		z, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		for i, b := range pieces {
			half := len(b) / 2
			out[i] = z.EncodeAll(b[half:], z.EncodeAll(b[:half], nil))
		}
		return out
	}
	for i, b := range pieces {
		var packed bytes.Buffer
		var w io.WriteCloser
		switch compression {
		case "gzip":
			w = gzip.NewWriter(&packed)
		case "br":
			w = brotli.NewWriterLevel(&packed, brotli.BestSpeed)
		case "lz4":
			z := lz4.NewWriter(&packed)
			if err := z.Apply(lz4.BlockSizeOption(lz4.Block64Kb)); err != nil {
				t.Fatal(err)
			}
			w = z
		default:
			t.Fatalf("no compressor for %q", compression)
		}
		if _, err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out[i] = packed.Bytes()
	}
	return out
}

// compressWithProgram runs a program once for all pieces.
func compressWithProgram(t testing.TB, program string, pieces [][]byte) [][]byte {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("no %s on this machine", program)
	}
	dir := t.TempDir()
	args := []string{"-1", "--keep"}
	for i, b := range pieces {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, name)
	}
	if output, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", program, err, output)
	}
	ending := map[string]string{"xz": ".xz", "bzip2": ".bz2", "lzip": ".lz"}[program]
	out := make([][]byte, len(pieces))
	for i := range pieces {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)) + ending)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = b
	}
	return out
}

// WriteCompressed compresses a file into a new one, whose name does not tell the compression.
func WriteCompressed(t testing.TB, compression, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "compressed", Compress(t, compression, b)[0])
}
