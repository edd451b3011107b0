package startup

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

// TestScanBlocks checks that scanBlocks finds each name in a file, also at the seams of the pieces that it reads.
func TestScanBlocks(t *testing.T) {
	const base = "0123456789abcdfghijklmnpqrsvwxyz-name"
	const text = "/nix/store/" + base + "\n"
	buf := make([]byte, scanSize)
	for _, size := range []int{len(text), 1000, scanSize - 1, scanSize, scanSize + 1, 3*scanSize - 7} {
		for _, at := range []int{0, size / 2, scanSize - len(text), scanSize - len(text) + 1, scanSize - 1, 2*scanSize - 300, size - len(text)} {
			if at < 0 || at+len(text) > size {
				continue
			}
			content := bytes.Repeat([]byte("/nix/sto"), size/8+1)[:size]
			copy(content[at:], text)
			name := t.TempDir() + "/file"
			if err := os.WriteFile(name, content, 0o444); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			readers := []io.Reader{f}
			if size < scanSize {
				readers = append(readers, bytes.NewReader(content), iotest.HalfReader(bytes.NewReader(content)))
			}
			for i, r := range readers {
				var found []string
				if _, err := scanBlocks(r, buf, int64(size), true, &nameFinder{prefix: "/nix/store/", found: func(base string) { found = append(found, base) }}); err != nil {
					t.Fatal(err)
				}
				if got := strings.Join(found, " "); got != base {
					t.Errorf("reader %d of %d bytes, name at %d: found %q; want %q", i, size, at, got, base)
				}
			}
			f.Close()
		}
	}
}

// TestScanBlocksFails checks that a reader's failure is no end of the file, even if it is io.ErrUnexpectedEOF.
func TestScanBlocksFails(t *testing.T) {
	for _, want := range []error{io.ErrUnexpectedEOF, errors.New("wrong hash")} {
		r := io.MultiReader(strings.NewReader("text"), iotest.ErrReader(want))
		if _, err := scanBlocks(r, make([]byte, scanSize), 4, true, &nameFinder{prefix: "/nix/store/", found: func(string) {}}); !errors.Is(err, want) {
			t.Errorf("scanBlocks = %v; want %v", err, want)
		}
	}
	if _, err := scanBlocks(iotest.OneByteReader(zeros{}), make([]byte, 100), 4, true, nil); err == nil {
		t.Errorf("scanBlocks of a reader without an end = <nil>; want an error")
	}
}

// TestBlockReader checks that a blockReader reads what is in the file.
func TestBlockReader(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	content := make([]byte, 5*blockSize+123)
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	name := t.TempDir() + "/file"
	if err := os.WriteFile(name, content, 0o444); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := &blockReader{file: f, head: content[:1000]}
	for range 2000 {
		at, n := random.IntN(len(content)+10), random.IntN(100)
		if random.IntN(10) == 0 {
			n = random.IntN(2 * blockSize)
		}
		got, want := make([]byte, n), make([]byte, n)
		m, err := b.ReadAt(got, int64(at))
		wantM := copy(want, content[min(at, len(content)):])
		if m != wantM || !bytes.Equal(got[:m], want[:m]) || (m < n) != (err == io.EOF) {
			t.Fatalf("ReadAt(%d bytes, %d) = %d, %v; want %d bytes", n, at, m, err, wantM)
		}
	}
}
