package ocilayout

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/compress"
	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/ocilayout/plan/plantest"
	"github.com/export-profile/export-profile/rootfs"
)

// unpackImage applies an image's layers as the OCI image specification says, including whiteouts.
func unpackImage(t *testing.T, dir string, image ispec.Descriptor) map[string]tarEntry {
	t.Helper()
	all := make(map[string]tarEntry)
	for i, l := range readManifest(t, dir, image).Layers {
		b, err := os.ReadFile(filepath.Join(dir, blobs, l.Digest.Encoded()))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = unpack(l.MediaType, b); err != nil {
			t.Fatal(err)
		}
		entries, err := readTar(t, b)
		if err != nil {
			t.Fatalf("layer %d: %v", i, err)
		}
		own := make(map[string]bool)
		for _, e := range entries {
			parent, name := path.Split(e.Path)
			if hidden, ok := strings.CutPrefix(name, ".wh."); ok {
				if own[parent+hidden] {
					t.Errorf("layer %d hides %q, which it has", i, parent+hidden)
				}
				for p := range all {
					if rootfs.Within(parent+hidden, p) {
						delete(all, p)
					}
				}
				continue
			}
			if had, ok := all[e.Path]; ok && had.Mode.IsDir() && !e.Mode.IsDir() {
				for p := range all {
					if rootfs.Within(e.Path, p) {
						delete(all, p)
					}
				}
			}
			own[e.Path] = true
			all[e.Path] = e
		}
	}
	return all
}

func readManifest(t *testing.T, dir string, image ispec.Descriptor) ispec.Manifest {
	t.Helper()
	var m ispec.Manifest
	b, err := os.ReadFile(filepath.Join(dir, blobs, image.Digest.Encoded()))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// wantTree returns what an image of these parts must show.
func wantTree(t *testing.T, parts []rootfs.Part) map[string]tarEntry {
	t.Helper()
	all := make(map[string]tarEntry)
	for e, err := range rootfs.Join(parts) {
		if err != nil {
			t.Fatal(err)
		}
		content := ""
		if e.Open != nil {
			r, err := e.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			content = string(b)
		}
		all[e.Path] = wantEntry(e, content)
	}
	return all
}

// withContent gives the parts of a model trees: a file of the part's size divided by divisor, with content of its own,
// and a file whose name depends on the content.
func withContent(parts []rootfs.Part, library string, divisor int64) []rootfs.Part {
	for i, p := range parts {
		sum := sha256.Sum256([]byte(p.Key))
		n := int(p.Size / divisor)
		at := int(binary.BigEndian.Uint32(sum[:])) % (len(library) - n)
		content, only := library[at:at+n], "/only-"+history.Hash(p.Key)
		if p.Root == "" {
			parts[i].Tree = treeOf(
				rootfs.Dir("etc", 0o755), file("etc"+only, content), file("etc/profile", p.Refs[0]),
				rootfs.Dir("nix", 0o755), rootfs.Dir("nix/store", 0o755))
			continue
		}
		parts[i].Tree = treeOf(rootfs.Dir(p.Root, 0o555), file(p.Root+"/content", content), file(p.Root+only, p.Key))
	}
	return parts
}

// TestStickyImage builds a sequence of images, each from the one before: in one layout under one tag,
// in one layout under different tags, or from one layout to another. It unpacks each.
func TestStickyImage(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	m := plantest.New(r, 30)
	for i := range m.Nodes {
		m.Nodes[i].Size >>= 6
	}
	old := m.Clone()
	library := text(9, 1<<20)
	base := t.TempDir()
	dir, tag := filepath.Join(base, "0"), "v0"
	var previous *PreviousImage
	for step, c := range []string{"none", "gzip", "zstd", "none", "gzip", "none"} {
		if step == 4 {
			m = old
		}
		parts := withContent(m.Parts(), library, 1)
		layers, summary, err := PlanSticky(parts, previous, plan.StickyOptions{MaxWaste: 50, Options: plan.Options{MaxLayers: 12}})
		if err != nil {
			t.Fatal(err)
		}
		image := ImageSpec{Layers: layers, Platform: linux}
		if image.Compression, err = compress.Parse(c); err != nil {
			t.Fatal(err)
		}
		switch step % 3 {
		case 1:
			tag = fmt.Sprint("v", step)
		case 2:
			dir = filepath.Join(base, fmt.Sprint(step))
		}
		desc := write(t, dir, image, Name{Tag: tag})
		verify(t, dir)
		if d := cmp.Diff(wantTree(t, parts), unpackImage(t, dir, desc)); d != "" {
			t.Errorf("step %d (-want +got):\n%s", step, d)
		}
		next, err := previousIn(t.Context(), dir, tag)
		if err != nil {
			t.Fatal(err)
		}
		if next.Digest != desc.Digest || len(next.Layers) != len(layers) {
			t.Errorf("ReadPrevious = %s with %d layers, want %s with %d", next.Digest, len(next.Layers), desc.Digest, len(layers))
		}
		if previous != nil {
			if summary.Kept == 0 || summary.Added == 0 {
				t.Errorf("step %d: %+v; want layers kept and added", step, summary)
			}
			if _, had := previous.Fetch(next); had != summary.Reused {
				t.Errorf("step %d: %d bytes are reused, the summary says %d", step, had, summary.Reused)
			}
		}
		previous = next
		for i := 24; i < 28; i++ {
			m.Nodes[i].Rev++
		}
		m.Nodes[29].Salt++
	}
}
