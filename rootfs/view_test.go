package rootfs_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

func testView(t *testing.T) *rootfs.View {
	return rootfs.NewView(rootfstest.Parts(t,
		"d 0555 nix/store/p",
		"l nix/store/p/abs -> /nix/store/q/file",
		"l nix/store/p/circle -> circle",
		"d 0555 nix/store/p/dir",
		"f 0444 nix/store/p/dir/f hello",
		"l nix/store/p/dots -> dir/../dir/./f",
		"l nix/store/p/hop -> rel",
		"l nix/store/p/host -> /etc/hosts",
		"l nix/store/p/nowhere -> gone",
		"l nix/store/p/other -> /nix/store/not-in-closure/x",
		"l nix/store/p/rel -> ../q/sub",
		"l nix/store/p/root -> ../../..",
		"l nix/store/p/slash -> dir/",
		"l nix/store/p/store -> /nix/store",
		"l nix/store/p/up -> ../../../etc/passwd",
		"d 0555 nix/store/q",
		"f 0555 nix/store/q/file world",
		"d 0555 nix/store/q/sub",
		"l nix/store/s -> /nix/store/p/dir",
	), nil)
}

func TestViewStat(t *testing.T) {
	v := testView(t)
	for _, test := range []struct {
		path, want string
		err        error
	}{
		{"nix/store/p", "nix/store/p", nil},
		{"nix/store/p/abs", "nix/store/q/file", nil},
		{"nix/store/p/rel", "nix/store/q/sub", nil},
		{"nix/store/p/hop", "nix/store/q/sub", nil},
		{"nix/store/p/hop/../file", "nix/store/q/file", nil},
		{"nix/store/p/dots", "nix/store/p/dir/f", nil},
		{"nix/store/p/slash", "nix/store/p/dir", nil},
		{"nix/store/s", "nix/store/p/dir", nil},
		{"nix/store/s/f", "nix/store/p/dir/f", nil},
		{"nix/store/p/root/nix/store/q", "nix/store/q", nil},
		{"nix/store/p/dir/f/x", "", fs.ErrNotExist},
		{"nix/store/p/nowhere", "", fs.ErrNotExist},
		{"nix/store/p/circle", "", fs.ErrNotExist},
		{"nix/store/p/other", "", fs.ErrNotExist},
		{"nix/store/p/missing", "", fs.ErrNotExist},
		{"nix/store/missing", "", fs.ErrNotExist},
		{"nix/store/p/host", "", rootfs.ErrOutside},
		{"nix/store/p/up", "", rootfs.ErrOutside},
		{"nix/store/p/store", "", rootfs.ErrOutside},
		{"nix/store/p/root", "", rootfs.ErrOutside},
		{"etc", "", rootfs.ErrOutside},
	} {
		got, err := v.Stat(test.path)
		if got.Path != test.want || !errors.Is(err, test.err) {
			t.Errorf("Stat(%q) = %q, %v; want %q, %v", test.path, got.Path, err, test.want, test.err)
		}
	}
}

func TestViewRead(t *testing.T) {
	v := testView(t)
	got, err := v.Read(4, "nix/store/p/dir/f", "nix/store/q/file")
	if err != nil || string(got["nix/store/p/dir/f"]) != "hell" || string(got["nix/store/q/file"]) != "worl" {
		t.Errorf("Read(4, …) = %q, %v; want the first 4 bytes of each", got, err)
	}
	for _, path := range []string{"nix/store/p/gone", "nix/store/p/dir", "etc/hosts"} {
		if got, err := v.Read(4, path); err == nil {
			t.Errorf("Read(4, %q) = %q, <nil>; want an error", path, got)
		}
	}
}

func TestViewSourceFails(t *testing.T) {
	v := rootfs.NewView([]rootfs.Part{{Name: "p", Root: "nix/store/p", Tree: rootfstest.Tree(t, "d 0555 nix/store/p", "! broken disk")}}, nil)
	if _, err := v.Stat("nix/store/p/x"); err == nil || !strings.Contains(err.Error(), "broken disk") {
		t.Errorf("Stat in a broken part = %v; want its error", err)
	}
}

// TestViewSourceLacksFile checks that a part whose source lacks a file does not look like a path that leads nowhere,
// and that its error stays what it was otherwise.
func TestViewSourceLacksFile(t *testing.T) {
	reason := errors.New("no NAR")
	broken := &fs.PathError{Op: "open", Path: "nar/x", Err: errors.Join(fs.ErrNotExist, reason)}
	v := rootfs.NewView([]rootfs.Part{{Name: "p", Root: "nix/store/p", Tree: func(yield func(rootfs.Entry, error) bool) { yield(rootfs.Entry{}, broken) }}}, nil)
	_, err := v.Stat("nix/store/p/x")
	var as *fs.PathError
	if errors.Is(err, fs.ErrNotExist) || !errors.Is(err, reason) || !errors.As(err, &as) || as != broken || !strings.Contains(err.Error(), broken.Error()) {
		t.Errorf("Stat = %v; want the error of the part, without fs.ErrNotExist", err)
	}
}
