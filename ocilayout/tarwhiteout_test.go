package ocilayout

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
)

// TestTarWhiteouts checks that whiteouts come right after their directory, before its contents, as ordinary empty files.
func TestTarWhiteouts(t *testing.T) {
	long := strings.Repeat("n", 211)
	var b bytes.Buffer
	tree := treeOf(rootfs.Dir("nix", 0o755), rootfs.Dir("nix/store", 0o755), rootfs.Dir("nix/store/a", 0o555), file("nix/store/a/f", "content"))
	if err := writeTar(t.Context(), &b, tree, []string{"nix/store/0", "nix/store/b", "nix/store/" + long}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := readTar(t, b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	want := []tarEntry{
		{Path: "nix", Mode: fs.ModeDir | 0o755},
		{Path: "nix/store", Mode: fs.ModeDir | 0o755},
		{Path: "nix/store/.wh.0", Mode: 0o444},
		{Path: "nix/store/.wh.b", Mode: 0o444},
		{Path: "nix/store/.wh." + long, Mode: 0o444},
		{Path: "nix/store/a", Mode: fs.ModeDir | 0o555},
		{Path: "nix/store/a/f", Mode: 0o444, Content: "content"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("archive/tar reads (-want +got):\n%s", d)
	}
}

// TestTarManyWhiteouts checks whiteouts that do not fit into the buffer.
func TestTarManyWhiteouts(t *testing.T) {
	var hidden []string
	for i := range 2000 {
		hidden = append(hidden, fmt.Sprintf("nix/store/%0200d", i))
	}
	var b bytes.Buffer
	if err := writeTar(t.Context(), &b, treeOf(rootfs.Dir("nix", 0o755), rootfs.Dir("nix/store", 0o755)), hidden, nil); err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(&b)
	n := 0
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(path.Base(h.Name), ".wh.") {
			if want := "nix/store/.wh." + path.Base(hidden[n]); h.Name != want || h.Size != 0 {
				t.Errorf("whiteout %d is %q with %d bytes, want %q", n, h.Name, h.Size, want)
			}
			n++
		}
	}
	if n != len(hidden) {
		t.Errorf("%d whiteouts, want %d", n, len(hidden))
	}
}

func TestTarWhiteoutRefuses(t *testing.T) {
	tree := treeOf(rootfs.Dir("nix", 0o755), file("nix/store", ""))
	for _, hidden := range []string{"nix/store/a", "etc/a"} {
		want := fmt.Sprintf("hide in %q: the layer does not have that directory", path.Dir(hidden))
		if err := writeTar(t.Context(), io.Discard, tree, []string{hidden}, nil); err == nil || err.Error() != want {
			t.Errorf("writeTar that hides %q: %v; want %s", hidden, err, want)
		}
	}
}

// TestTarRootWhiteout checks that whiteouts in the root come before everything else.
func TestTarRootWhiteout(t *testing.T) {
	var b bytes.Buffer
	tree := treeOf(rootfs.Dir("d", fs.ModeSetgid|0o755), rootfs.File("s", fs.ModeSetuid|fs.ModeSticky|0o755, 1, file("s", "x").Open))
	if err := writeTar(t.Context(), &b, tree, []string{"a", "d/b", "z"}, nil); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&b); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%04o %s", h.Mode, h.Name))
	}
	want := []string{"0444 .wh.a", "0444 .wh.z", "2755 d/", "0444 d/.wh.b", "5755 s"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("archive/tar reads (-want +got):\n%s", d)
	}
}
