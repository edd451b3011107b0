package staging

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClean checks that Clean removes what a killed run left, and nothing of a running one.
func TestClean(t *testing.T) {
	parent := t.TempDir()
	running, err := New(parent, "root")
	if err != nil {
		t.Fatal(err)
	}
	killed, err := New(parent, "root")
	if err != nil {
		t.Fatal(err)
	}
	other, err := New(parent, "other")
	if err != nil {
		t.Fatal(err)
	}
	deep := filepath.Join(killed.Path, "nix/store/p")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "x"), nil, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(deep, 0o555); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(killed.Unlock(), other.Unlock()); err != nil { // as a kill does
		t.Fatal(err)
	}
	var recovered []string
	err = Clean(parent, "root", func(path string) error {
		real, err := filepath.EvalSymlinks(path)
		recovered = append(recovered, real)
		return err
	})
	if err != nil || !slices.Equal(recovered, []string{killed.shown()}) {
		t.Errorf("Clean recovered %q, %v; want %q, <nil>", recovered, err, killed.shown())
	}
	for path, want := range map[string]bool{running.shown(): true, killed.shown(): false, other.shown(): true} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("after Clean %q exists: %v; want %v", path, err == nil, want)
		}
	}
	if err := running.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(running.shown()); err == nil {
		t.Errorf("Remove left %q", running.shown())
	}
}

// TestCleanSticky checks that Clean leaves other users' directories alone in a place like /tmp.
func TestCleanSticky(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory to another user")
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
		if err := Clean(parent, "root", nil); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(theirs); (err == nil) != (mode&fs.ModeSticky != 0) {
			t.Errorf("with mode %v, after Clean: %v", mode, err)
		}
		os.Remove(theirs)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	first, err := Lock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lock(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("Lock of a locked directory, cancelled: %v; want %v", err, context.Canceled)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second, err := Lock(t.Context(), dir)
	if err != nil {
		t.Fatalf("Lock of an unlocked directory: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPublish checks that a directory gets its name only if that is free.
func TestPublish(t *testing.T) {
	parent := t.TempDir()
	d, err := New(parent, "root")
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(parent, "root")
	if err := errors.Join(os.Mkdir(to, 0o755), os.WriteFile(filepath.Join(d.Path, "file"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish("root"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Publish over an empty directory = %v; want %v", err, fs.ErrExist)
	}
	if err := d.MoveNew("file", "root"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("MoveNew over an empty directory = %v; want %v", err, fs.ErrExist)
	}
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish("root"); err != nil {
		t.Errorf("Publish = %v", err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) != 1 || entries[0].Name() != "root" {
		t.Errorf("after Publish there is %v, %v; want root", entries, err)
	}
}

// TestMove checks that a file replaces another one.
func TestMove(t *testing.T) {
	parent := t.TempDir()
	d, err := New(parent, "file")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(parent, "file")
	err = errors.Join(os.WriteFile(name, []byte("old"), 0o644), os.WriteFile(filepath.Join(d.Path, "x"), []byte("new"), 0o644),
		d.Move("x", "file"), d.Remove())
	if b, readErr := os.ReadFile(name); err != nil || readErr != nil || string(b) != "new" {
		t.Errorf("after Move the file has %q, %v, %v; want new", b, err, readErr)
	}
}

// TestExchanged checks that nothing is written or removed through a link that took the place of a staging directory.
func TestExchanged(t *testing.T) {
	parent, outside := t.TempDir(), t.TempDir()
	kept := filepath.Join(outside, "kept")
	if err := os.WriteFile(kept, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := New(parent, "root")
	if err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(parent, "moved")
	if err := errors.Join(os.Rename(d.shown(), moved), os.Symlink(outside, d.shown())); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.Path, "file"), nil, 0o644); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(moved, "file")); err != nil {
		t.Errorf("the file is not in the directory that was moved: %v", err)
	}
	if err := d.Publish("root"); !errors.Is(err, ErrMoved) {
		t.Errorf("Publish of a link = %v; want %v", err, ErrMoved)
	}
	var left *LeftError
	if err := d.Remove(); !errors.Is(err, ErrMoved) || !errors.As(err, &left) {
		t.Errorf("Remove of a link = %v; want a LeftError with %v", err, ErrMoved)
	}
	if err := Clean(parent, "root", nil); err != nil {
		t.Error(err)
	}
	for _, name := range []string{kept, d.shown(), moved} {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("where the link leads there is %v, %v; want one file", entries, err)
	}
	if _, err := os.Lstat(filepath.Join(parent, "root")); err == nil {
		t.Error("the link was published")
	}
}

// TestNewOfOthers checks that New takes no directory that another user or run has put in the place of its own.
func TestNewOfOthers(t *testing.T) {
	for what, change := range map[string]func(dir string) error{
		"a file in it":       func(dir string) error { return os.WriteFile(filepath.Join(dir, "x"), nil, 0o644) },
		"open to others":     func(dir string) error { return os.Chmod(dir, 0o770) },
		"of another owner":   func(dir string) error { return os.Lchown(dir, 12345, 12345) },
		"unchanged":          func(string) error { return nil },
		"closed to its user": func(dir string) error { return os.Chmod(dir, 0o500) },
	} {
		dir := filepath.Join(t.TempDir(), "d")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := change(dir); errors.Is(err, fs.ErrPermission) {
			continue // only root can do that
		} else if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		want := what == "unchanged" || what == "closed to its user"
		if got, err := (&Dir{lock: f}).isOurs(); got != want || err != nil {
			t.Errorf("a directory, %s: isOurs = %v, %v; want %v", what, got, err, want)
		}
		f.Close()
	}
}

// TestRemoveAll checks that read-only directories and names that are no text disappear.
func TestRemoveAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	deep := filepath.Join(dir, "odd\xff\n", "deep")
	if err := errors.Join(os.MkdirAll(deep, 0o755), os.WriteFile(filepath.Join(deep, "file"), nil, 0o444)); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{deep, filepath.Dir(deep), dir} {
		if err := os.Chmod(d, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveAll(dir + "/"); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("the tree is still there")
	}
	if err := RemoveAll(filepath.Join(dir, "gone")); err != nil {
		t.Errorf("RemoveAll of nothing = %v", err)
	}
}

// TestExplain checks that errors name the directory, and no file of another number.
func TestExplain(t *testing.T) {
	const path, shown = "/proc/self/fd/1", "/dir/.x"
	for text, want := range map[string]string{
		"read /proc/self/fd/1: denied":                                 "read /dir/.x: denied",
		`open "/proc/self/fd/1/layout": gone`:                          `open "/dir/.x/layout": gone`,
		"rename /proc/self/fd/12/a /proc/self/fd/1/a: /proc/self/fd/1": "rename /proc/self/fd/12/a /dir/.x/a: /dir/.x",
		"nothing": "nothing",
	} {
		err := explain(fmt.Errorf("%s%w", text, fs.ErrExist), path, shown)
		if got := strings.TrimSuffix(err.Error(), fs.ErrExist.Error()); got != want || !errors.Is(err, fs.ErrExist) {
			t.Errorf("explain(%q) = %q, which wraps the error: %v; want %q", text, got, errors.Is(err, fs.ErrExist), want)
		}
	}
	if err := explain(nil, path, shown); err != nil {
		t.Errorf("explain(nil) = %v", err)
	}
}

// TestUnlock checks that a lock ends although another file of it stays open, as if closing had failed.
func TestUnlock(t *testing.T) {
	dir := t.TempDir()
	lock, err := Lock(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := Unlock(lock); err != nil {
		t.Fatal(err)
	}
	again, err := lockDir(dir, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		t.Fatalf("lock after Unlock: %v", err)
	}
	if err := Unlock(again); err != nil {
		t.Error(err)
	}
}
