package rootfs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

func TestJoin(t *testing.T) {
	store := func(name string, lines ...string) rootfs.Part {
		return rootfs.Part{Name: name, Root: "nix/store/" + name, Tree: rootfstest.Tree(t, lines...)}
	}
	base := func(lines ...string) rootfs.Part {
		return rootfs.Part{Name: "base", Tree: rootfstest.Tree(t, lines...)}
	}
	a := store("a", "d 0555 nix/store/a", "f 0444 nix/store/a/x 1")
	ab := store("a-b", "l nix/store/a-b -> a")
	for _, test := range []struct {
		name  string
		parts []rootfs.Part
		want  []string
		err   string
	}{
		{name: "nothing"},
		{
			name:  "parents are filled in",
			parts: []rootfs.Part{ab, a},
			want: []string{
				"d 0755 nix", "d 0755 nix/store", "d 0555 nix/store/a", "f 0444 nix/store/a/x 1", "l nix/store/a-b -> a",
			},
		},
		{
			name:  "base is woven in",
			parts: []rootfs.Part{a, base("d 0755 bin", "l bin/sh -> x", "d 0755 nix", "d 0755 nix/store", "d 0755 run"), ab},
			want: []string{
				"d 0755 bin", "l bin/sh -> x", "d 0755 nix", "d 0755 nix/store",
				"d 0555 nix/store/a", "f 0444 nix/store/a/x 1", "l nix/store/a-b -> a", "d 0755 run",
			},
		},
		{
			name:  "base without the store",
			parts: []rootfs.Part{base("d 0755 bin", "d 0755 zoo"), ab},
			want:  []string{"d 0755 bin", "d 0755 nix", "d 0755 nix/store", "l nix/store/a-b -> a", "d 0755 zoo"},
		},
		{
			name:  "base alone",
			parts: []rootfs.Part{base("d 0755 bin")},
			want:  []string{"d 0755 bin"},
		},
		{
			name:  "base in a store object",
			parts: []rootfs.Part{base("d 0755 nix", "d 0755 nix/store", "d 0755 nix/store/a", "f 0444 nix/store/a/y 1"), a},
			err:   "belongs to another part",
		},
		{
			name:  "the same part twice",
			parts: []rootfs.Part{a, a},
			err:   "file already exists",
		},
		{
			name:  "one part in another",
			parts: []rootfs.Part{a, {Name: "in a", Root: "nix/store/a/x", Tree: rootfstest.Tree(t, "f 0444 nix/store/a/x 2")}},
			err:   "in a: ",
		},
		{
			name:  "a part leaves its root",
			parts: []rootfs.Part{store("c", "d 0555 nix/store/c", "f 0444 nix/store/d 1")},
			err:   `not within "nix/store/c"`,
		},
		{
			name:  "a part's error names it",
			parts: []rootfs.Part{a, store("c", "! gone")},
			err:   "c: gone",
		},
		{
			name:  "base's error",
			parts: []rootfs.Part{base("d 0755 bin", "! gone"), a},
			err:   "base: gone",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := rootfstest.Lines(rootfs.Join(test.parts))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("Join() = %q, %v; want an error with %q", got, err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatalf("Join() = %q, %v; want %q, <nil>", got, err, test.want)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("Join() (-want +got):\n%s", d)
			}
			// Walk it again, and stop at each entry.
			for n := range got {
				i := 0
				for range rootfs.Join(test.parts) {
					if i++; i > n {
						break
					}
				}
			}
			if again, _ := rootfstest.Lines(rootfs.Join(test.parts)); !slices.Equal(again, got) {
				t.Errorf("Join() walked again = %q; want %q", again, got)
			}
		})
	}
}
