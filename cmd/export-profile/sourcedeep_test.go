package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// TestDeepNote checks that store paths too deep for Nix are read, and that a note says so once.
func TestDeepNote(t *testing.T) {
	for _, test := range []struct {
		depths []int // levels of directories in each store path
		note   string
	}{
		{[]int{64}, ""},
		{[]int{65}, fmt.Sprintf("note: %q has files more than 64 levels deep: Nix since 2.34.7 refuses it\n", storetest.PathOf("deep0"))},
		{[]int{rootfs.MaxDepth, 3, 65}, fmt.Sprintf("note: %q and 1 more store paths have files more than 64 levels deep: Nix since 2.34.7 refuses them\n",
			min(storetest.PathOf("deep0"), storetest.PathOf("deep2")))},
	} {
		s := storetest.New("deep")
		needs := "" // each refers to the one before
		for i, depth := range test.depths {
			name := fmt.Sprint("deep", i)
			lines := []string{"d ."}
			for level := 1; level < depth; level++ {
				lines = append(lines, "d "+strings.Repeat("d/", level-1)+"d")
			}
			s.Add(t, name, needs, lines...)
			needs = name
		}
		export := s.WriteExport(t)
		for _, args := range [][]string{{"image", "--platform=linux/amd64"}, {"rootfs"}} {
			dest := map[string]string{"image": "oci:", "rootfs": "tar:"}[args[0]] + filepath.Join(t.TempDir(), "x")
			_, said, status := invoke(t, "", append(args, "--no-cache", "--from", export, "--profile", string(s.Root), dest)...)
			got := ""
			for line := range strings.Lines(said) {
				if strings.Contains(line, "levels deep") {
					got += strings.TrimPrefix(line, "export-profile: ")
				}
			}
			if status != 0 || got != test.note {
				t.Errorf("%s of depths %v: status %d, and it says %s; want 0 and %q", args[0], test.depths, status, said, test.note)
			}
		}
	}
}

// TestDeepElsewhere checks that the deepest store path in a store directory deep in the file system is written, verified and read again.
func TestDeepElsewhere(t *testing.T) {
	for _, name := range []string{"/nix/store", "/opt" + strings.Repeat("/x", 58) + "/store"} {
		dir, err := rootfs.ParseStoreDir(name)
		if err != nil {
			t.Fatal(err)
		}
		s := storetest.NewIn("deep", dir)
		lines := []string{"d ."}
		for level := 1; level < rootfs.MaxDepth; level++ {
			lines = append(lines, "d "+strings.Repeat("d/", level-1)+"d")
		}
		s.Add(t, "deep", "", lines...)
		image := "oci:" + filepath.Join(t.TempDir(), "x") + ":v1"
		succeed(t, "", "image", "--quiet", "--platform=linux/amd64", "--no-cache", "--from", s.WriteExport(t), image)
		succeed(t, "", "verify", image)
		if out := succeed(t, "", "closure", "--no-cache", "--from", image); !strings.Contains(out, string(s.Root)) {
			t.Errorf("closure of the image prints %q; want %q", out, s.Root)
		}
		if out := succeed(t, "", "ls", "--no-cache", "--from", image, "--json"); !strings.Contains(out, s.Root.Base()) {
			t.Errorf("ls of the image prints %q; want %q", out, s.Root)
		}
	}
}
