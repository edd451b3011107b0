package verify

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/rootfs"
)

// TestWalkSparse checks that a walker reads no hole of a sparse file: one header can declare more than any program reads.
func TestWalkSparse(t *testing.T) {
	for _, name := range []string{"nix/store/o/f", "etc/f"} {
		b := sparseTar(t, name, 1<<62)
		hash := func(tree rootfs.Tree, root string) (string, int64, error) {
			for e, err := range tree {
				switch {
				case err != nil:
					return "", 0, err
				case e.IsRegular():
					t.Errorf("the walker hashes %q of %d bytes", e.Path, e.Size)
					return "", 0, errors.New("read")
				}
			}
			return "", 0, nil
		}
		claim := &history.Claim{Objects: []history.Object{{Name: "o", Size: 3}, {Name: history.BaseName, Size: 3}}}
		_, own := walkTarWith(b, claim, hash)
		if want := fmt.Sprintf("%q: is a sparse file", name); !slices.Contains(own, want) {
			t.Errorf("problems of a layer of ours: %q; want %s", own, want)
		}
		if _, foreign := walkTarWith(b, nil, hash); len(foreign) > 0 {
			t.Errorf("problems of another program's layer: %q; want none", foreign)
		}
	}
}

// sparseTar returns a tar whose last file is a hole of some size. archive/tar writes none, so this patches the header.
func sparseTar(t *testing.T, name string, size int64) []byte {
	t.Helper()
	const block = 512
	headers := []tar.Header{dir("nix/", 0o755), dir("nix/store/", 0o755), dir("nix/store/o/", 0o555)}
	if strings.HasPrefix(name, "etc/") {
		headers = []tar.Header{dir("etc/", 0o755)}
	}
	b := tarOf(t, append(headers,
		tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o444, Size: block, PAXRecords: map[string]string{
			"VND.sparse.major": "1", "VND.sparse.minor": "0", "VND.sparse.realsize": fmt.Sprint(size),
		}})...)
	b = bytes.ReplaceAll(b, []byte("VND.sparse"), []byte("GNU.sparse"))
	copy(b[len(b)-3*block:], "0\n") // the map of a file without data
	return b
}
