package staging

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	for _, content := range []string{"first", "second"} {
		if err := WriteFile(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != content {
			t.Errorf("WriteFile wrote %q, %v; want %q, <nil>", b, err, content)
		}
		if fi, err := os.Stat(name); err != nil || fi.Mode() != 0o644 {
			t.Errorf("WriteFile made %v, %v; want mode 0644", fi, err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("the directory has %v, %v; want one file", left, err)
	}
	if err := WriteFile(filepath.Join(dir, "gone", "file"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile in a missing directory = %v; want %v", err, fs.ErrNotExist)
	}
}

// TestTouch checks that neither Touch nor ReadFile follows a link or waits for a pipe.
func TestTouch(t *testing.T) {
	dir := t.TempDir()
	name, other := filepath.Join(dir, "mark"), filepath.Join(dir, "other")
	old := time.Now().Add(-time.Hour)
	for range 2 {
		if err := Touch(name); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(name); err != nil || fi.ModTime().Before(old.Add(time.Minute)) {
			t.Errorf("Touch leaves the time %v, %v; want now", fi.ModTime(), err)
		}
		if err := errors.Join(os.WriteFile(name, []byte("content"), 0o644), os.Chtimes(name, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := ReadFile(name, 7); err != nil || string(b) != "content" {
		t.Errorf("ReadFile = %q, %v; want content", b, err)
	}
	if b, err := ReadFile(name, 6); err == nil {
		t.Errorf("ReadFile of more than the limit = %q, <nil>; want an error", b)
	}
	if err := os.Rename(name, other); err != nil {
		t.Fatal(err)
	}
	for what, make := range map[string]func() error{
		"link": func() error { return os.Symlink("other", name) },
		"pipe": func() error { return unix.Mkfifo(name, 0o600) },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if err := Touch(name); err == nil {
			t.Errorf("Touch of a %s = <nil>; want an error", what)
		}
		if b, err := ReadFile(name, 10); err == nil {
			t.Errorf("ReadFile of a %s = %q, <nil>; want an error", what, b)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if fi, err := os.Stat(other); err != nil || fi.Size() != 7 || fi.ModTime().Sub(old).Abs() > time.Second {
		t.Errorf("the file behind the link has %d bytes and the time %v, %v; want it unchanged", fi.Size(), fi.ModTime(), err)
	}
}
