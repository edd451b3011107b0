package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/export-profile/export-profile/rootfs/staging"
)

// TestPendingTwice checks that two runs at the same time do not mix their files.
func TestPendingTwice(t *testing.T) {
	name := filepath.Join(t.TempDir(), "sums")
	content := func() string {
		b, _ := os.ReadFile(name)
		return string(b)
	}
	first, err := newPendingFile(name, "first")
	if err != nil {
		t.Fatal(err)
	}
	second, err := newPendingFile(name, "second")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.publish(); err != nil || content() != "first" {
		t.Errorf("first publish = %v, and the file has %q; want %q", err, content(), "first")
	}
	first.remove(&speaker{w: io.Discard})
	if err := second.publish(); err != nil || content() != "second" {
		t.Errorf("second publish = %v, and the file has %q; want %q", err, content(), "second")
	}
	second.remove(&speaker{w: io.Discard})
	third, err := newPendingFile(name, "third")
	if err != nil {
		t.Fatal(err)
	}
	third.remove(&speaker{w: io.Discard})
	if left, _ := os.ReadDir(filepath.Dir(name)); len(left) != 1 || content() != "second" {
		t.Errorf("left behind: %v; want only the file with %q", left, content())
	}
	if fi, err := os.Stat(name); err != nil || fi.Mode() != 0o644 {
		t.Errorf("mode %v, %v; want 0644", fi.Mode(), err)
	}
}

// TestPendingLink checks that no link in the directory is followed, and that files of killed runs are removed.
func TestPendingLink(t *testing.T) {
	dir := t.TempDir()
	victim, name := filepath.Join(t.TempDir(), "victim"), filepath.Join(dir, "sums")
	if err := os.WriteFile(victim, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, ".sums.export-profile-new")); err != nil {
		t.Fatal(err)
	}
	killed, err := staging.New(dir, "sums")
	if err := errors.Join(err, killed.Unlock()); err != nil {
		t.Fatal(err)
	}
	p, err := newPendingFile(name, "new")
	if err := errors.Join(err, p.publish()); err != nil {
		t.Fatal(err)
	}
	p.remove(&speaker{w: io.Discard})
	fi, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(victim); string(b) != "kept" || fi.Mode() != 0o600 {
		t.Errorf("the link's target has %q, %v and mode %v; want it unchanged", b, err, fi.Mode())
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Errorf("left behind: %v; want the file and the foreign link", left)
	}
}
