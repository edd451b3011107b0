package rootfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// exchange moves the staging directories in parent, and puts links to another directory in their places,
// as another user can who may write in parent.
func exchange(parent, outside string) (moved int) {
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if e.IsDir() && strings.Contains(e.Name(), ".export-profile-") {
			path := filepath.Join(parent, e.Name())
			if os.Rename(path, path+"-moved") == nil && os.Symlink(outside, path) == nil {
				moved++
			}
		}
	}
	return moved
}

// TestWriteDirExchanged checks that nothing is written elsewhere and that no link is published
// if the staging directory is exchanged for a link, at one known time and at any time.
func TestWriteDirExchanged(t *testing.T) {
	store := []string{"d 0555 nix/store/p", "d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/sh " + strings.Repeat("long", 1<<16),
		"d 0555 nix/store/q", "f 0444 nix/store/q/x x"}
	base := rootfs.Part{Name: "base", Tree: rootfstest.Tree(t, "d 0755 etc", "f 0444 etc/passwd x", "d 0755 nix", "d 0755 nix/store")}
	all := append(rootfstest.Parts(t, store...), base)
	outside := t.TempDir()
	for _, d := range []string{"nix/store", "etc"} {
		if err := os.MkdirAll(filepath.Join(outside, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	before := allModes(t, outside)
	want, err := rootfstest.Lines(rootfs.Join(all))
	if err != nil {
		t.Fatal(err)
	}
	run := func(parts []rootfs.Part, race bool) (moved int, err error) {
		t.Helper()
		parent := t.TempDir()
		dir := filepath.Join(parent, "root")
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for race {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					moved += exchange(parent, outside)
				}
			}
		}()
		if !race {
			tree := parts[0].Tree
			parts = append([]rootfs.Part{parts[0]}, parts[1:]...)
			parts[0].Tree = func(yield func(rootfs.Entry, error) bool) {
				moved += exchange(parent, outside)
				tree(yield)
			}
		}
		err = rootfs.WriteDir(t.Context(), dir, parts, rootfs.DirOptions{})
		close(stop)
		<-stopped
		switch fi, statErr := os.Lstat(dir); {
		case err != nil && statErr == nil && fi.Mode()&os.ModeSymlink == 0:
			t.Errorf("WriteDir = %v, and there is %v", err, fi.Mode())
		case err == nil && statErr != nil:
			t.Error(statErr)
		case err == nil:
			if diff := cmp.Diff(want, readDir(t, dir)); diff != "" {
				t.Errorf("WriteDir (-want +got):\n%s", diff)
			}
		}
		if diff := cmp.Diff(before, allModes(t, outside)); diff != "" {
			t.Errorf("files change where the link leads to (-before +after):\n%s", diff)
		}
		entries, _ := filepath.Glob(filepath.Join(parent, "*"))
		hidden, _ := filepath.Glob(filepath.Join(parent, ".*"))
		for _, name := range append(entries, hidden...) {
			if err := staging.RemoveAll(name); err != nil {
				t.Error(err)
			}
		}
		return moved, err
	}
	if moved, err := run(all, false); moved != 1 || !errors.Is(err, staging.ErrMoved) {
		t.Errorf("WriteDir with %d exchanged directories = %v; want 1 and %v", moved, err, staging.ErrMoved)
	}
	moved, failed := 0, 0
	for range 20 {
		n, err := run(all, true)
		moved += n
		if err != nil {
			failed++
		}
	}
	t.Logf("%d directories moved, %d of 20 runs failed", moved, failed)
}

// allModes lists a directory, itself included, with modes, owners and times.
func allModes(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			all = append(all, strings.Join([]string{strings.TrimPrefix(path, dir), fi.Mode().String(), fi.ModTime().String()}, " "))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
