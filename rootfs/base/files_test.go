package base

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/export-profile/export-profile/rootfs"
	"github.com/export-profile/export-profile/rootfs/rootfstest"
)

var update = flag.Bool("update", false, "write the results of the tests into testdata")

// TestNew runs testdata/base/*.txtar, one case a file.
// The comment of an archive describes the case, and lines "key: value" in it give the options:
// profile (repeatable), bare, user, add-user and add-group (repeatable), ca.
// The input is "store" and, with a base image, "lower".
// The result is "tree", "env", "default-env" and "notes", or else "error".
func TestNew(t *testing.T) {
	files, err := filepath.Glob("testdata/base/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{}
			for line := range strings.Lines(string(archive.Comment)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				switch key {
				case "profile":
					if !strings.Contains(value, "/") {
						value = "nix/store/" + value
					}
					o.Profiles = append(o.Profiles, value)
				case "bare":
					o.Bare = value == "true"
				case "user":
					if o.User, _, err = ParseUser(value); err != nil {
						t.Fatal(err)
					}
				case "add-user":
					a, err := ParseAccount(value)
					if err != nil {
						t.Fatal(err)
					}
					o.Users = append(o.Users, a)
				case "add-group":
					g, err := ParseGroup(value)
					if err != nil {
						t.Fatal(err)
					}
					o.Groups = append(o.Groups, g)
				case "ca":
					o.CAFiles = append(o.CAFiles, []byte(rootfstest.Unquote(value)))
				}
			}
			want := make(map[string]string)
			for _, f := range archive.Files {
				want[f.Name] = string(f.Data)
			}

			got := map[string]string{"store": want["store"]}
			if lower, ok := want["lower"]; ok {
				got["lower"] = lower
				o.Lower = rootfstest.Lower(t, strings.Split(strings.TrimSpace(lower), "\n")...)
			}
			v := rootfs.NewView(rootfstest.Parts(t, strings.Split(strings.TrimSpace(want["store"]), "\n")...), nil)
			if base, err := New(v, o); err != nil {
				got["error"] = err.Error() + "\n"
			} else {
				lines, err := rootfstest.Lines(rootfs.Check("", base.Tree))
				if err != nil {
					t.Fatal(err)
				}
				got["tree"] = text(lines)
				got["env"] = text(base.Env)
				if base.DefaultEnv != nil {
					got["default-env"] = text(base.DefaultEnv)
				}
				got["notes"] = text(base.Notes)
			}
			if *update {
				for _, name := range []string{"tree", "env", "default-env", "notes", "error"} {
					archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
					if data, ok := got[name]; ok {
						archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(data)})
					}
				}
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("New(%+v) (-want +got):\n%s", o, d)
			}
		})
	}
}

func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestKey checks that equal base files have equal keys, and different base files different keys.
func TestKey(t *testing.T) {
	v := rootfs.NewView(rootfstest.Parts(t, "d 0555 nix/store/p", "d 0555 nix/store/q"), nil)
	keys := make(map[string]string)
	for name, o := range map[string]Options{
		"p":          {Profiles: []string{"nix/store/p"}},
		"q":          {Profiles: []string{"nix/store/q"}},
		"bare":       {Profiles: []string{"nix/store/p"}, Bare: true},
		"user":       {Profiles: []string{"nix/store/p"}, User: User{Name: "app", UID: 1, GID: 1}},
		"other uid":  {Profiles: []string{"nix/store/p"}, User: User{Name: "app", UID: 2, GID: 1}},
		"ca":         {Profiles: []string{"nix/store/p"}, CAFiles: [][]byte{[]byte("x")}},
		"another ca": {Profiles: []string{"nix/store/p"}, CAFiles: [][]byte{[]byte("y")}},
	} {
		first, err := New(v, o)
		if err != nil {
			t.Fatal(err)
		}
		again, err := New(v, o)
		if err != nil {
			t.Fatal(err)
		}
		if first.Key != again.Key || !strings.HasPrefix(first.Key, "sha256:") {
			t.Errorf("New(%s).Key = %q, then %q; want the same", name, first.Key, again.Key)
		}
		if other, ok := keys[first.Key]; ok {
			t.Errorf("New(%s).Key is the one of %s", name, other)
		}
		keys[first.Key] = name
	}
}
