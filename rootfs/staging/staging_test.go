package staging

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
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
		recovered = append(recovered, path)
		return nil
	})
	if err != nil || !slices.Equal(recovered, []string{killed.Path}) {
		t.Errorf("Clean recovered %q, %v; want %q, <nil>", recovered, err, killed.Path)
	}
	for path, want := range map[string]bool{running.Path: true, killed.Path: false, other.Path: true} {
		if _, err := os.Lstat(path); (err == nil) != want {
			t.Errorf("after Clean %q exists: %v; want %v", path, err == nil, want)
		}
	}
	if err := running.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(running.Path); err == nil {
		t.Errorf("Remove left %q", running.Path)
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
