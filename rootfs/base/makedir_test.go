package base

import (
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

// TestMakeDir checks where a directory is made, and that nothing is made where something is or cannot be.
func TestMakeDir(t *testing.T) {
	store := []string{"d 0555 nix/store/p", "d 0555 nix/store/p/bin", "f 0555 nix/store/p/bin/x text", "l nix/store/p/etc -> share", "d 0555 nix/store/p/share",
		"d 0555 nix/store/p/share/app", "f 0444 nix/store/p/share/app/conf text"}
	debian := []string{"l bin -> usr/bin", "d 0700 srv", "l loop -> loop", "d 0755 usr", "d 0755 usr/bin", "l var -> /data", "d 0755 data", "d 0750 data/lib"}
	for name, test := range map[string]struct {
		lower []string
		path  string
		want  []string // entries that are new
	}{
		"new":                      {nil, "/srv", []string{"d 0755 srv 33:34"}},
		"deep":                     {nil, "/srv/a/b", []string{"d 0755 srv", "d 0755 srv/a", "d 0755 srv/a/b 33:34"}},
		"below a directory":        {nil, "/var/app", []string{"d 0755 var/app 33:34"}},
		"there":                    {nil, "/var/tmp", nil},
		"the root":                 {nil, "/", nil},
		"there, in the profile":    {nil, "/run/profile/share/app", nil},
		"there, a link of etc":     {nil, "/etc/app", nil},
		"missing, in the profile":  {nil, "/run/profile/share/none", nil},
		"in the store":             {nil, "/nix/store/q", nil},
		"the store":                {nil, "/nix/store", nil},
		"beside the store":         {nil, "/nix/var", []string{"d 0755 nix/var 33:34"}},
		"a file of the profile":    {nil, "/run/profile/bin/x", nil},
		"below a file":             {nil, "/run/profile/bin/x/y", nil},
		"below a file of ours":     {nil, "/etc/passwd/y", nil},
		"over an image":            {debian, "/srv/app", []string{"d 0700 srv", "d 0755 srv/app 33:34"}},
		"over an image, there":     {debian, "/srv", nil},
		"over an image, a link":    {debian, "/var/lib/app", []string{"d 0750 data/lib", "d 0755 data/lib/app 33:34"}},
		"over an image, two links": {debian, "/bin/../../var/x", []string{"d 0755 data/x 33:34"}},
		"over an image, a loop":    {debian, "/loop/x", nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := rootfs.NewView(rootfstest.Parts(t, store...), nil)
			o := Options{Profiles: []string{"nix/store/p"}}
			if test.lower != nil {
				o.Lower = rootfstest.Lower(t, test.lower...)
			}
			f, err := New(v, o)
			if err != nil {
				t.Fatal(err)
			}
			before, err := rootfstest.Lines(rootfs.Check("", f.Tree))
			if err != nil {
				t.Fatal(err)
			}
			key := f.Key
			if err := f.MakeDir(v, o.Lower, test.path, 33, 34); err != nil {
				t.Fatal(err)
			}
			after, err := rootfstest.Lines(rootfs.Check("", f.Tree))
			if err != nil {
				t.Fatal(err)
			}
			got := slices.DeleteFunc(slices.Clone(after), func(line string) bool { return slices.Contains(before, line) })
			if !slices.Equal(got, test.want) || len(after) != len(before)+len(test.want) {
				t.Errorf("MakeDir(%q) adds %q; want %q\nof\n%s", test.path, got, test.want, strings.Join(after, "\n"))
			}
			if (f.Key == key) != (test.want == nil) {
				t.Errorf("MakeDir(%q): the key is the same: %v; want %v", test.path, f.Key == key, test.want == nil)
			}
		})
	}
}
