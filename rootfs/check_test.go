package rootfs_test

import (
	"cmp"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

func TestComparePaths(t *testing.T) {
	inOrder := []string{"a", "a/b", "a/b/c", "a/b-c", "a/b.c", "a-b", "a.b", "a0", "ab", "b", "\xff"}
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got, want := cmp.Compare(rootfs.ComparePaths(a, b), 0), cmp.Compare(i, j); got != want {
				t.Errorf("ComparePaths(%q, %q) = %d; want %d", a, b, got, want)
			}
		}
	}
}

func FuzzComparePaths(f *testing.F) {
	f.Add("a/b", "a-b")
	f.Add("a", "a/")
	f.Add("a b/c", "a\x00b")
	f.Fuzz(func(t *testing.T, a, b string) {
		got := cmp.Compare(rootfs.ComparePaths(a, b), 0)
		want := slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
		if strings.HasSuffix(a, "/") || strings.HasSuffix(b, "/") || a == "" || b == "" {
			return // not clean
		}
		if got != want {
			t.Errorf("ComparePaths(%q, %q) = %d; want %d", a, b, got, want)
		}
	})
}

func TestCheck(t *testing.T) {
	long := strings.Repeat("n", rootfs.MaxName)
	for _, test := range []struct {
		name, root string
		lines      []string
		want       string // part of the error, or "" for none
	}{
		{"directory", "a", []string{"d 0555 a", "f 0444 a/b x", "d 0555 a/c", "l a/c/d -> ../b", "f 0555 a/c-d y"}, ""},
		{"file alone", "a", []string{"f 0444 a x"}, ""},
		{"link alone", "a", []string{"l a -> /nowhere"}, ""},
		{"no root", "", []string{"d 0755 a", "d 0755 a/b", "l b -> a"}, ""},
		{"longest name", "a", []string{"d 0555 a", "f 0444 a/" + long + " x"}, ""},
		{"sticky", "", []string{"d 1777 tmp"}, ""},
		{"empty", "a", nil, `"a": file does not exist`},
		{"same path twice", "a", []string{"d 0555 a", "f 0444 a/b x", "f 0444 a/b x"}, `"a/b": file already exists`},
		{"order", "a", []string{"d 0555 a", "f 0444 a/c x", "f 0444 a/b x"}, "out of path order"},
		{"string order", "a", []string{"d 0555 a", "d 0555 a/b", "f 0444 a/b-c x", "f 0444 a/b/d x"}, "out of path order"},
		{"no parent", "a", []string{"d 0555 a", "f 0444 a/b/c x"}, "parent is not a directory"},
		{"below a file", "a", []string{"f 0444 a x", "f 0444 a/b x"}, "parent is not a directory"},
		{"below a link", "a", []string{"d 0555 a", "l a/b -> /etc", "f 0444 a/b/passwd x"}, "parent is not a directory"},
		{"outside", "a", []string{"d 0555 a", "f 0444 b x"}, `not within "a"`},
		{"beside", "a", []string{"d 0555 a", "f 0444 a-b x"}, `not within "a"`},
		{"dot dot", "a", []string{"d 0555 a", "f 0444 a/.. x"}, `name "..": not allowed`},
		{"dot", "a", []string{"d 0555 a", "f 0444 a/. x"}, `name ".": not allowed`},
		{"slashes", "a", []string{"d 0555 a", "f 0444 a//b x"}, `name "": not allowed`},
		{"absolute", "", []string{"d 0555 /a"}, `name "": not allowed`},
		{"NUL", "a", []string{"d 0555 a", `f 0444 "a/b\x00" x`}, "contains a slash or NUL"},
		{"long name", "a", []string{"d 0555 a", "f 0444 a/" + long + "n x"}, "longer than 255"},
		{"empty target", "a", []string{`l a -> ""`}, "empty link target"},
		{"NUL target", "a", []string{`l a -> "b\x00"`}, "contains NUL"},
		{"long target", "a", []string{"l a -> " + strings.Repeat("t", rootfs.MaxTarget+1)}, "longer than 4095"},
		{"error of the source", "a", []string{"d 0555 a", "! out of luck"}, "out of luck"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := rootfstest.Lines(rootfs.Check(test.root, rootfstest.Tree(t, test.lines...)))
			if test.want == "" {
				if err != nil || !slices.Equal(got, test.lines) {
					t.Errorf("Check(%q, %q) = %q, %v; want it unchanged, <nil>", test.root, test.lines, got, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Check(%q, %q) = %q, %v; want an error with %q", test.root, test.lines, got, err, test.want)
			}
		})
	}
}

func TestCheckDepth(t *testing.T) {
	for depth, ok := range map[int]bool{rootfs.MaxDepth: true, rootfs.MaxPathDepth: true, rootfs.MaxPathDepth + 1: false} {
		var lines []string
		for i := range depth {
			lines = append(lines, "d 0555 a"+strings.Repeat("/a", i))
		}
		if _, err := rootfstest.Lines(rootfs.Check("a", rootfstest.Tree(t, lines...))); (err == nil) != ok {
			t.Errorf("Check of a tree %d deep: %v; want success %v", depth, err, ok)
		}
	}
}

func TestCheckModes(t *testing.T) {
	for _, e := range []rootfs.Entry{
		{Path: "a", Mode: 1 << 27},       // a device
		{Path: "a", Mode: 0o444},         // without content
		{Path: "a", Mode: 1<<23 | 1<<31}, // a directory with the setuid bit
		{Path: "a", Mode: fs.ModeSymlink | fs.ModeSetgid | 0o777, Target: "b"},
		{Path: "a", Mode: 0o444, Size: -1}, // of negative size
	} {
		one := func(yield func(rootfs.Entry, error) bool) { yield(e, nil) }
		if _, err := rootfstest.Lines(rootfs.Check("a", one)); err == nil {
			t.Errorf("Check of %v = <nil>; want an error", e.Mode)
		}
	}
}

// TestCheckSetuid checks that files that users add may be setuid or setgid.
func TestCheckSetuid(t *testing.T) {
	empty := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("")), nil }
	for _, e := range []rootfs.Entry{
		rootfs.Dir("a", fs.ModeSetgid|0o775),
		rootfs.File("a", fs.ModeSetuid|fs.ModeSetgid|0o755, 0, empty),
	} {
		for _, err := range rootfs.Check("a", func(yield func(rootfs.Entry, error) bool) { yield(e, nil) }) {
			if err != nil {
				t.Errorf("Check of %v: %v; want <nil>", e.Mode, err)
			}
		}
	}
}
