package chunked

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestTableStore checks that a table comes back whole, with its digest, whether it was in memory, in a file or in both.
func TestTableStore(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	all := make([]byte, 2*spillBytes+spillBytes/2)
	_, _ = random.Read(all)
	for _, size := range []int{0, 1, spillBytes - 1, spillBytes, spillBytes + 1, len(all)} {
		for _, step := range []int{1 << 10, 3 * spillBytes} {
			var files []*os.File
			spill := func() (*os.File, error) {
				f, err := os.CreateTemp(t.TempDir(), "")
				files = append(files, f)
				return f, err
			}
			for _, place := range []func() (*os.File, error){nil, spill} {
				s := newTableStore(place)
				want := all[:size]
				for rest := want; len(rest) > 0; rest = rest[min(step, len(rest)):] {
					if _, err := s.Write(rest[:min(step, len(rest))]); err != nil {
						t.Fatal(err)
					}
				}
				var got bytes.Buffer
				if err := s.copyTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) || s.n != int64(size) || s.digest() != digest.FromBytes(want) {
					t.Errorf("%d bytes in steps of %d: %d bytes come back, %v", size, step, got.Len(), err)
				}
				s.close()
			}
			wantFiles := 0
			if size >= spillBytes {
				wantFiles = 1
			}
			if len(files) != wantFiles {
				t.Errorf("%d bytes in steps of %d: %d files; want %d", size, step, len(files), wantFiles)
			}
			for _, f := range files {
				if err := f.Close(); !errors.Is(err, os.ErrClosed) {
					t.Errorf("%d bytes in steps of %d: the file is still open: %v", size, step, err)
				}
			}
		}
	}
}
