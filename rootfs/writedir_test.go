package rootfs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readDir lists a directory as list does, and fails where a time is not ModTime.
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
			if !fi.ModTime().Equal(ModTime) {
				t.Errorf("%q has the time %v; want %v", path, fi.ModTime(), ModTime)
			}
			st := fi.Sys().(*syscall.Stat_t)
			if st.Nlink > 1 && !fi.IsDir() {
				t.Errorf("%q has %d links; want 1", path, st.Nlink)
			}
			e := Entry{Path: path, Mode: fi.Mode(), Size: fi.Size()}
			switch {
			case e.IsLink():
				if e.Target, err = os.Readlink(filepath.Join(dir, path)); err != nil {
					t.Fatal(err)
				}
			case e.IsRegular():
				e.Open = func() (io.ReadCloser, error) { return os.Open(filepath.Join(dir, path)) }
			}
			one, err := list(func(yield func(Entry, error) bool) { yield(e, nil) })
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
		if err := RemoveAll(dir); err != nil {
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
	all := append(parts(t, store), Part{Name: "base", Tree: tree(t, base...)})
	want, err := list(Join(all))
	if err != nil {
		t.Fatal(err)
	}
	for _, umask := range []int{0o022, 0o077, 0} {
		old := syscall.Umask(umask)
		dir := filepath.Join(t.TempDir(), "root")
		removeTree(t, dir)
		var written atomic.Int64
		err := WriteDir(t.Context(), dir, all, DirOptions{Progress: func(n int64) { written.Add(n) }})
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, readDir(t, dir)); d != "" {
			t.Errorf("WriteDir with umask %03o (-want +got):\n%s", umask, d)
		}
		if fi, err := os.Stat(dir); err != nil || fi.Mode() != fs.ModeDir|0o755 || !fi.ModTime().Equal(ModTime) {
			t.Errorf("WriteDir with umask %03o: the root is %v, %v; want drwxr-xr-x at %v", umask, fi, err, ModTime)
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
	all := parts(t, []string{"d 0555 nix/store/p", "d 0555 nix/store/p/sub", "f 0444 nix/store/p/sub/x x"})
	if err := WriteDir(t.Context(), dir, all, DirOptions{Writable: true}); err != nil {
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

// TestWriteDirFails: after any error nothing is left, and the message names the file by its place in the image.
func TestWriteDirFails(t *testing.T) {
	good := "d 0555 nix/store/p"
	broken := func(lie int64) Part {
		return Part{Name: "p", Root: "nix/store/p", Tree: func(yield func(Entry, error) bool) {
			yield(File("nix/store/p", 0o444, 4+lie, func() (io.ReadCloser, error) {
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
		parts []Part
		want  string
	}{
		{"source fails", t.Context(), []Part{{Name: "p", Root: "nix/store/p", Tree: tree(t, good, "! gone")}}, "write p: gone"},
		{"file shrinks", t.Context(), []Part{broken(+1)}, `read "nix/store/p": changed while it was read`},
		{"file grows", t.Context(), []Part{broken(-1)}, `read "nix/store/p": changed while it was read`},
		{"base in a part", t.Context(), append(parts(t, []string{good}),
			Part{Name: "base", Tree: tree(t, "d 0755 nix", "d 0755 nix/store", "d 0755 nix/store/p")}), `write base: mkdir "nix/store/p": file exists`},
		{"twice", t.Context(), append(parts(t, []string{good}), parts(t, []string{good})...), "file already exists"},
		{"out of order", t.Context(), []Part{{Name: "p", Root: "nix/store/p", Tree: tree(t, good, "f 0444 nix/store/p/b x", "f 0444 nix/store/p/a x")}}, "out of path order"},
		{"cancelled", cancelled, parts(t, []string{good}), "stop"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "root")
			err := WriteDir(test.ctx, dir, test.parts, DirOptions{})
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
	all := parts(t, []string{"d 0555 nix/store/p"})
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
		if err := WriteDir(t.Context(), dir, all, DirOptions{}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("WriteDir over %v = %v; want %v", before.Mode(), err, fs.ErrExist)
		}
		if after, err := os.Lstat(dir); err != nil || !os.SameFile(before, after) {
			t.Errorf("WriteDir over %v changed it", before.Mode())
		}
	}
}

// TestStaging: what a killed run left is removed, what a living one works on is not.
func TestStaging(t *testing.T) {
	parent := t.TempDir()
	alive, err := NewStaging(parent, "root")
	if err != nil {
		t.Fatal(err)
	}
	dead, err := NewStaging(parent, "root")
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewStaging(parent, "other")
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(dead.Dir, "nix/store/p")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "x"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(deep, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dead.Unlock(), other.Unlock()); err != nil { // as a kill does
		t.Fatal(err)
	}
	var recovered []string
	err = CleanStaging(parent, "root", func(dir string) error {
		recovered = append(recovered, dir)
		return nil
	})
	if err != nil || !slices.Equal(recovered, []string{dead.Dir}) {
		t.Errorf("CleanStaging recovered %q, %v; want %q, <nil>", recovered, err, dead.Dir)
	}
	for dir, want := range map[string]bool{alive.Dir: true, dead.Dir: false, other.Dir: true} {
		if _, err := os.Lstat(dir); (err == nil) != want {
			t.Errorf("after CleanStaging %q is there: %v; want %v", dir, err == nil, want)
		}
	}
	if err := alive.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(alive.Dir); err == nil {
		t.Errorf("Remove left %q", alive.Dir)
	}
}

func TestLockDir(t *testing.T) {
	dir := t.TempDir()
	first, err := LockDir(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := LockDir(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("LockDir of a locked directory, cancelled: %v; want %v", err, context.Canceled)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := LockDir(t.Context(), dir)
	if err != nil {
		t.Fatalf("LockDir after it was unlocked: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRenameNew(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	for _, name := range []string{from, to} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := RenameNew(from, to); !errors.Is(err, fs.ErrExist) {
		t.Errorf("RenameNew onto an empty directory = %v; want %v", err, fs.ErrExist)
	}
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	if err := RenameNew(from, to); err != nil {
		t.Errorf("RenameNew = %v", err)
	}
}

// TestWriteDirSetuid: a file gets the bits only with its owner.
func TestWriteDirSetuid(t *testing.T) {
	f := File("d/f", fs.ModeSetuid|fs.ModeSetgid|0o755, 0, func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil })
	f.UID, f.GID = 12, 34
	p := Part{Name: "base", Tree: func(yield func(Entry, error) bool) {
		_ = yield(Dir("d", fs.ModeSetgid|fs.ModeSticky|0o775), nil) && yield(f, nil)
	}}
	for chown, want := range map[bool][]fs.FileMode{
		false: {fs.ModeDir | fs.ModeSticky | 0o775, 0o755},
		true:  {fs.ModeDir | fs.ModeSetgid | fs.ModeSticky | 0o775, fs.ModeSetuid | fs.ModeSetgid | 0o755},
	} {
		if chown && os.Geteuid() != 0 {
			continue
		}
		w := &dirWriter{dir: t.TempDir(), chown: chown}
		if err := w.part(t.Context(), p, nil); err != nil {
			t.Fatal(err)
		}
		var got []fs.FileMode
		for _, name := range []string{"d", "d/f"} {
			fi, err := os.Lstat(w.place(name))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fi.Mode())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("chown %v (-want +got):\n%s", chown, d)
		}
	}
}

// TestCleanStagingOfOthers: in a directory like /tmp, what other users have left is left alone.
func TestCleanStagingOfOthers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to somebody else")
	}
	parent := t.TempDir()
	for _, mode := range []fs.FileMode{0o777 | fs.ModeSticky, 0o755} {
		if err := os.Chmod(parent, mode); err != nil {
			t.Fatal(err)
		}
		theirs := filepath.Join(parent, ".root.export-profile-theirs")
		if err := errors.Join(os.Mkdir(theirs, 0o755), os.Chown(theirs, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
		if err := CleanStaging(parent, "root", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(theirs); (err == nil) != (mode&fs.ModeSticky != 0) {
			t.Errorf("with mode %v, after CleanStaging: %v", mode, err)
		}
		os.Remove(theirs)
	}
}
