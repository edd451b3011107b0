package ocilayout

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout/history"
	"github.com/export-profile/export-profile/ocilayout/plan"
	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// topLayers returns two layers above the sample: they change a directory's mode, replace a file of the base, hide others,
// and put a directory in the place of a link and a file in that of a directory.
func topLayers() []Layer {
	first := part("",
		file("bin", "a file"),
		rootfs.Dir("etc", 0o755),
		rootfs.File("etc/passwd", fs.ModeSetuid|0o755, 3, file("etc/passwd", "new").Open),
		rootfs.Dir("run", 0o755),
		rootfs.Dir("run/profile", fs.ModeSetgid|0o770),
		file("run/profile/f", "in a directory where a link was"))
	first.Name = "overlay"
	second := part("",
		rootfs.Dir("bin", 0o755),
		file("bin/f", "in a directory where a file was"),
		rootfs.Dir("run", 0o755),
		file("run/profile", "a file where a directory was"))
	second.Name = "overlay-2"
	return []Layer{
		{Parts: []rootfs.Part{first}, Hidden: []string{"tmp"}, Changes: []string{"add /bin", "add /etc/passwd", "whiteout /tmp"}},
		{Parts: []rootfs.Part{second}, Hidden: []string{"etc"}, Changes: []string{"whiteout /etc", "mkdir /bin\n", "add /\xff"}},
	}
}

// wantTop is the tree outside the store that results from sample and topLayers.
const wantTop = `d 0755 bin
f 0444 bin/f "in a directory where a file was"
d 0755 run
f 0444 run/profile "a file where a directory was"
`

func TestTopUnpacked(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	image := sampleImage(t, 1)
	image.Layers = append(image.Layers, topLayers()...)
	d := write(t, dir, image, Name{Tag: "v1"})
	verify(t, dir)

	var got strings.Builder
	all := unpackImage(t, dir, d)
	for _, e := range sortedEntries(all) {
		if !rootfs.Within("nix", e.Path) {
			fmt.Fprint(&got, formatTop(e.Path, e.Mode, e.Content))
		}
	}
	if d := cmp.Diff(wantTop, got.String()); d != "" {
		t.Errorf("by the specification (-want +got):\n%s", d)
	}

	t.Run("umoci", func(t *testing.T) {
		umoci, err := exec.LookPath("umoci")
		if err != nil {
			t.Skip("no umoci to unpack with")
		}
		bundle := filepath.Join(t.TempDir(), "bundle")
		out, err := exec.Command(umoci, "unpack", "--rootless", "--image", dir+":v1", bundle).CombinedOutput()
		if err != nil {
			t.Fatalf("umoci unpack: %v\n%s", err, out)
		}
		root := filepath.Join(bundle, "rootfs")
		t.Cleanup(func() { staging.RemoveAll(bundle) })
		got.Reset()
		err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || name == root {
				return err
			}
			path := name[len(root)+1:]
			if path == "nix" {
				return fs.SkipDir
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			content := ""
			if fi.Mode().IsRegular() {
				b, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				content = string(b)
			}
			fmt.Fprint(&got, formatTop(path, fi.Mode(), content))
			return nil
		})
		if d := cmp.Diff(wantTop, got.String()); d != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	})
}

func formatTop(path string, mode fs.FileMode, content string) string {
	if mode.IsDir() {
		return fmt.Sprintf("d %04o %s\n", mode.Perm(), path)
	}
	return fmt.Sprintf("f %04o %s %q\n", mode.Perm(), path, content)
}

func sortedEntries(all map[string]tarEntry) []tarEntry {
	var sorted []tarEntry
	for _, e := range all {
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b tarEntry) int { return rootfs.ComparePaths(a.Path, b.Path) })
	return sorted
}

// TestTopSticky checks that layers on top are built again with the same blobs, while the layers below them are reused.
func TestTopSticky(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	image := sampleImage(t, 1)
	planned := len(image.Layers)
	image.Layers = append(image.Layers, topLayers()...)
	write(t, dir, image, Name{Tag: "v1"})
	before := readPrevious(t, dir, "v1")
	if len(before.Layers) != planned {
		t.Fatalf("ReadPrevious: %d layers, want the %d that were planned", len(before.Layers), planned)
	}

	next := sampleImage(t, 2)
	layers, _, err := PlanSticky(sample(2), before, plan.StickyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for _, l := range layers {
		if l.Reuse == nil {
			continue
		}
		kept++
		if h, err := history.Parse(l.Reuse.Entry); err != nil || h.Top {
			t.Errorf("reused: %q, %v", l.Reuse.Entry.CreatedBy, err)
		}
	}
	if kept == 0 {
		t.Error("no layer is reused")
	}
	next.Layers = append(layers, topLayers()...)
	d := write(t, dir, next, Name{Tag: "v2"})
	after := readPrevious(t, dir, "v2")
	old, now := readManifest(t, dir, ispec.Descriptor{Digest: before.Digest}).Layers, readManifest(t, dir, d).Layers
	if d := cmp.Diff(old[len(old)-2:], now[len(now)-2:]); d != "" {
		t.Errorf("the layers on top differ (-before +after):\n%s", d)
	}
	if _, had := before.Fetch(after); had < old[len(old)-1].Size {
		t.Errorf("of the layers on top, %d bytes were there", had)
	}
	var got strings.Builder
	for _, e := range sortedEntries(unpackImage(t, dir, d)) {
		if !rootfs.Within("nix", e.Path) {
			fmt.Fprint(&got, formatTop(e.Path, e.Mode, e.Content))
		}
	}
	if d := cmp.Diff(wantTop, got.String()); d != "" {
		t.Errorf("unpacked (-want +got):\n%s", d)
	}
}

func readPrevious(t *testing.T, dir, tag string) *PreviousImage {
	t.Helper()
	p, err := previousIn(t.Context(), dir, tag)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
