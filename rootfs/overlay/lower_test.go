package overlay

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
)

// TestLower checks that changes follow the links of an image below, keep its directories as they are, and hide its files.
func TestLower(t *testing.T) {
	l := rootfs.NewLower("")
	for _, e := range []rootfs.Entry{
		rootfs.Dir("usr", 0o755), rootfs.Dir("usr/bin", 0o711), rootfs.Link("bin", "usr/bin"),
		{Path: "usr/bin/old", Mode: 0o755, Size: 1}, rootfs.Dir("etc", 0o750), {Path: "etc/motd", Mode: 0o644},
	} {
		if err := l.Put(rootfs.LowerEntry{Entry: e}); err != nil {
			t.Fatal(err)
		}
	}
	base := rootfs.Part{Name: "base", Tree: func(yield func(rootfs.Entry, error) bool) {
		for _, e := range []rootfs.Entry{rootfs.Dir("etc", 0o750), rootfs.Link("etc/own", "x"), rootfs.Dir("nix", 0o755), rootfs.Dir("nix/store", 0o755)} {
			if !yield(e, nil) {
				return
			}
		}
	}}
	var changes []Change
	for _, parse := range []func() (Change, error){
		func() (Change, error) { return ParseSymlink("old:/bin/new") },
		func() (Change, error) { return ParseWhiteout("/etc/motd") },
		func() (Change, error) { return ParseWhiteout("/bin/old") },
	} {
		c, err := parse()
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, c)
	}
	o, err := Apply(t.Context(), []rootfs.Part{base}, rootfs.NewView(nil, nil), Options{Layers: [][]Change{changes}, Lower: l})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if len(o.Layers) != 1 {
		t.Fatalf("Apply made %d layers; want 1", len(o.Layers))
	}
	var got []string
	for e, err := range rootfs.Check("", o.Layers[0].Part.Tree) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Mode.String()+" "+e.Path)
	}
	want := []string{"drwxr-x--- etc", "drwxr-xr-x usr", "drwx--x--x usr/bin", "Lrwxrwxrwx usr/bin/new"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("entries of the layer (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"etc/motd", "usr/bin/old"}, o.Layers[0].Hidden); d != "" {
		t.Errorf("paths that the layer hides (-want +got):\n%s", d)
	}
}
