package rootfs_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// readDir lists a directory as rootfstest.Lines does, and checks that each time is ModTime.
func readDir(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	var walk func(rel string)
	walk = func(rel string) {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range entries {
			path := strings.TrimPrefix(rel+"/"+d.Name(), "/")
			fi, err := os.Lstat(filepath.Join(dir, path))
			if err != nil {
				t.Fatal(err)
			}
			if !fi.ModTime().Equal(rootfs.ModTime) {
				t.Errorf("%q has the time %v; want %v", path, fi.ModTime(), rootfs.ModTime)
			}
			st := fi.Sys().(*syscall.Stat_t)
			if st.Nlink > 1 && !fi.IsDir() {
				t.Errorf("%q has %d links; want 1", path, st.Nlink)
			}
			e := rootfs.Entry{Path: path, Mode: fi.Mode(), Size: fi.Size()}
			switch {
			case e.IsLink():
				if e.Target, err = os.Readlink(filepath.Join(dir, path)); err != nil {
					t.Fatal(err)
				}
			case e.IsRegular():
				e.Open = func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, path)) }
			}
			one, err := rootfstest.Lines(func(yield func(rootfs.Entry, error) bool) { yield(e, nil) })
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, one...)
			if fi.IsDir() {
				walk(path)
			}
		}
	}
	walk("")
	return lines
}

func removeTree(t *testing.T, dir string) {
	t.Cleanup(func() {
		if err := staging.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
}

func TestWriteDir(t *testing.T) {
	store := []string{
		"d 0555 nix/store/p",
		"l nix/store/p/bin -> /nix/store/q/bin",
		"d 0555 nix/store/p/empty",
		`f 0444 "nix/store/p/odd\xff\n" x`,
		"d 0555 nix/store/q",
		"d 0555 nix/store/q/bin",
		"f 0555 nix/store/q/bin/sh " + strings.Repeat("long", 1<<18),
		`f 0444 nix/store/q/zero ""`,
		"f 0444 nix/store/r file",
		"l nix/store/s -> nowhere",
	}
	base := []string{
		"d 0755 etc", "f 0444 etc/passwd x", "d 0755 nix", "d 0755 nix/store", "d 0700 root", "d 1777 tmp",
	}
	all := append(rootfstest.Parts(t, store...), rootfs.Part{Name: "base", Tree: rootfstest.Tree(t, base...)})
	want, err := rootfstest.Lines(rootfs.Join(all))
	if err != nil {
		t.Fatal(err)
	}
	for _, umask := range []int{0o022, 0o077, 0} {
		old := syscall.Umask(umask)
		dir := filepath.Join(t.TempDir(), "root")
		removeTree(t, dir)
		var written atomic.Int64
		err := rootfs.WriteDir(t.Context(), dir, all, rootfs.DirOptions{Progress: func(n int64) { written.Add(n) }})
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, readDir(t, dir)); d != "" {
			t.Errorf("WriteDir with umask %03o (-want +got):\n%s", umask, d)
		}
		if fi, err := os.Stat(dir); err != nil || fi.Mode() != fs.ModeDir|0o755 || !fi.ModTime().Equal(rootfs.ModTime) {
			t.Errorf("WriteDir with umask %03o: the root is %v, %v; want drwxr-xr-x at %v", umask, fi, err, rootfs.ModTime)
		}
		if got := written.Load(); got != 4<<18+1+4+1 {
			t.Errorf("WriteDir reported %d bytes; want %d", got, 4<<18+1+4+1)
		}
		if left := siblings(t, dir); len(left) != 1 {
			t.Errorf("WriteDir left %q beside the directory", left)
		}
	}
}

func siblings(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestWriteDirWritable(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	all := rootfstest.Parts(t, "d 0555 nix/store/p", "d 0555 nix/store/p/sub", "f 0444 nix/store/p/sub/x x")
	if err := rootfs.WriteDir(t.Context(), dir, all, rootfs.DirOptions{Writable: true}); err != nil {
		t.Fatal(err)
	}
	want := []string{"d 0755 nix", "d 0755 nix/store", "d 0755 nix/store/p", "d 0755 nix/store/p/sub", "f 0444 nix/store/p/sub/x x"}
	if d := cmp.Diff(want, readDir(t, dir)); d != "" {
		t.Errorf("WriteDir (-want +got):\n%s", d)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Errorf("remove a writable tree: %v", err)
	}
}

// TestWriteDirFails checks that an error leaves nothing behind, and names the file by its path in the image.
func TestWriteDirFails(t *testing.T) {
	good := "d 0555 nix/store/p"
	broken := func(lie int64) rootfs.Part {
		return rootfs.Part{Name: "p", Root: "nix/store/p", Tree: func(yield func(rootfs.Entry, error) bool) {
			yield(rootfs.File("nix/store/p", 0o444, 4+lie, func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader("four")), nil
			}), nil)
		}}
	}
	cancelled, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	for _, test := range []struct {
		name  string
		ctx   context.Context
		parts []rootfs.Part
		want  string
	}{
		{"source fails", t.Context(), []rootfs.Part{{Name: "p", Root: "nix/store/p", Tree: rootfstest.Tree(t, good, "! gone")}}, "write p: gone"},
		{"file shrinks", t.Context(), []rootfs.Part{broken(+1)}, `read "nix/store/p": changed while it was read`},
		{"file grows", t.Context(), []rootfs.Part{broken(-1)}, `read "nix/store/p": changed while it was read`},
		{"base in a part", t.Context(), append(rootfstest.Parts(t, good),
			rootfs.Part{Name: "base", Tree: rootfstest.Tree(t, "d 0755 nix", "d 0755 nix/store", "d 0755 nix/store/p")}), `write base: mkdir "nix/store/p": file exists`},
		{"twice", t.Context(), append(rootfstest.Parts(t, good), rootfstest.Parts(t, good)...), "file already exists"},
		{"out of order", t.Context(), []rootfs.Part{{Name: "p", Root: "nix/store/p", Tree: rootfstest.Tree(t, good, "f 0444 nix/store/p/b x", "f 0444 nix/store/p/a x")}}, "out of path order"},
		{"cancelled", cancelled, rootfstest.Parts(t, good), "stop"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "root")
			err := rootfs.WriteDir(test.ctx, dir, test.parts, rootfs.DirOptions{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("WriteDir() = %v; want an error with %q", err, test.want)
			}
			if left := siblings(t, dir); len(left) > 0 {
				t.Errorf("WriteDir left %q", left)
			}
		})
	}
}

func TestWriteDirExists(t *testing.T) {
	all := rootfstest.Parts(t, "d 0555 nix/store/p")
	for _, make := range []func(name string) error{
		func(name string) error { return os.Mkdir(name, 0o755) },
		func(name string) error { return os.WriteFile(name, []byte("x"), 0o644) },
		func(name string) error { return os.Symlink("nowhere", name) },
	} {
		dir := filepath.Join(t.TempDir(), "root")
		if err := make(dir); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(dir)
		if err := rootfs.WriteDir(t.Context(), dir, all, rootfs.DirOptions{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("WriteDir over %v = %v; want %v", before.Mode(), err, fs.ErrExist)
		}
		if after, err := os.Lstat(dir); err != nil || !os.SameFile(before, after) {
			t.Errorf("WriteDir over %v changed it", before.Mode())
		}
	}
}
