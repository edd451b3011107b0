package localstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

// TestLost checks that an object whose files are missing is no object of the store, but that its references count:
// so one error names all such objects.
func TestLost(t *testing.T) {
	root, conn := newDB(t)
	sql(t, conn, add("deep", "far: deep", "near: far", "here", "top: here near"))
	for _, name := range []string{"top", "here", "deep"} {
		write(t, root+string(pathOf(name)), "")
	}
	s, err := Open(t.Context(), root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	info, err := s.Info(t.Context(), pathOf("near"))
	if !errors.Is(err, fs.ErrNotExist) || info == nil || len(info.References) != 1 || !strings.Contains(err.Error(), "is in the database, but its files are missing") {
		t.Errorf("Info without files = %v, %v; want references and %v", info, err, fs.ErrNotExist)
	}
	p, err := profile.Default(t.Context(), s)
	if err != nil || p.Path != pathOf("top") {
		t.Fatalf("Default() = %v, %v; want %q", p, err, pathOf("top"))
	}
	_, err = profile.FindClosure(t.Context(), s, p.Path)
	want := "find closure: 2 registered in the store, but without files: " +
		pathOf("far").Base() + " (needed by " + pathOf("near").Base() + "), " +
		pathOf("near").Base() + " (needed by " + pathOf("top").Base() + ")"
	if err == nil || err.Error() != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("FindClosure() = %v; want %s", err, want)
	}

	// A link that leads nowhere is a file.
	if err := os.Rename(root+string(pathOf("here")), root+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	symlink(t, "nowhere", root+string(pathOf("here")))
	if _, err := s.Info(t.Context(), pathOf("here")); err != nil {
		t.Errorf("Info of an object that is a dangling link = %v", err)
	}
}

// TestLostMany checks that the answers are the same once the store lists its directory instead of asking for each object.
func TestLostMany(t *testing.T) {
	const count = 300
	root, conn := newDB(t)
	var lines []string
	for i := range count {
		lines = append(lines, fmt.Sprintf("object%d", i))
	}
	sql(t, conn, add(lines...))
	missing := func(i int) bool { return i%7 == 3 }
	for i, name := range lines {
		if !missing(i) {
			write(t, root+string(pathOf(name)), "")
		}
	}
	write(t, root+string(pathOf("unregistered")), "")
	s, err := Open(t.Context(), root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for round := range 2 {
		for i, name := range lines {
			if _, err := s.Info(t.Context(), pathOf(name)); errors.Is(err, profile.ErrNoFiles) != missing(i) {
				t.Errorf("round %d: Info(%q) = %v; missing: %v", round, pathOf(name), err, missing(i))
			}
		}
	}
	if s.asked.Load() != 2*count {
		t.Errorf("asked about %d objects; want %d", s.asked.Load(), 2*count)
	}
}
