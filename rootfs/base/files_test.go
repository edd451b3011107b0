package base

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
					o.Profiles = append(o.Profiles, "nix/store/"+value)
				case "bare":
					o.Bare = value == "true"
				case "user":
					if o.User, err = ParseUser(value); err != nil {
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
			if below, ok := want["lower"]; ok {
				got["lower"] = below
				o.Lower = rootfstest.Lower(t, strings.Split(strings.TrimSpace(below), "\n")...)
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

// TestKey checks that equal base files have equal keys, and different ones different keys.
func TestKey(t *testing.T) {
	v := rootfs.NewView(rootfstest.Parts(t, "d 0555 nix/store/p", "d 0555 nix/store/q"), nil)
	keys := make(map[string]string)
	for name, o := range map[string]Options{
		"p":          {Profiles: []string{"nix/store/p"}},
		"q":          {Profiles: []string{"nix/store/q"}},
		"bare":       {Profiles: []string{"nix/store/p"}, Bare: true},
		"user":       {Profiles: []string{"nix/store/p"}, User: User{"app", 1, 1}},
		"other uid":  {Profiles: []string{"nix/store/p"}, User: User{"app", 2, 1}},
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

// TestLinkFarm checks that New refuses links that double at each level: 80 links make 2^40 entries.
func TestLinkFarm(t *testing.T) {
	lines := []string{"d 0555 nix/store/p", "d 0555 nix/store/p/etc"}
	for level := range 40 {
		dir := "nix/store/p/etc/" + string(rune('A'+level/10)) + string(rune('0'+level%10))
		next := "../" + string(rune('A'+(level+1)/10)) + string(rune('0'+(level+1)%10))
		lines = append(lines, "d 0555 "+dir, "l "+dir+"/l -> "+next, "l "+dir+"/r -> "+next)
	}
	b := newBuilder(rootfs.NewView(rootfstest.Parts(t, lines...), nil))
	if b.mostLinked < 300_000 {
		t.Errorf("the limit is %d links; want at least 300,000, as in a large Python environment", b.mostLinked)
	}
	b.mostLinked = 1 << 14 // to fail sooner
	err := b.make(Options{Profiles: []string{"nix/store/p"}}, &Files{})
	if err == nil || !strings.Contains(err.Error(), "more than 16384 files") {
		t.Errorf("New of a link farm = %v; want an error", err)
	}
}

func TestParseUser(t *testing.T) {
	for _, test := range []struct {
		in   string
		want User
		ok   bool
	}{
		{"app:1000", User{"app", 1000, 1000}, true},
		{"app:1000:100", User{"app", 1000, 100}, true},
		{"1000", User{"", 1000, 1000}, true},
		{"1000:100", User{"", 1000, 100}, true},
		{"0", User{}, true},
		{"root", User{"root", 0, 0}, true},
		{"nobody", User{"nobody", 65534, 65534}, true},
		{"root:0", User{"root", 0, 0}, true},
		{"_x-y.z:4294967294", User{"_x-y.z", 4294967294, 4294967294}, true},
		{"", User{}, false},
		{"app", User{}, false},
		{"root:1", User{}, false},
		{"nobody:1000", User{}, false},
		{"app:", User{}, false},
		{"app:-1", User{}, false},
		{"app:x", User{}, false},
		{"app:1:2:3", User{}, false},
		{"1:2:3", User{}, false},
		{"app:4294967295", User{}, false},
		{"a b:1", User{}, false},
		{"a/b:1", User{}, false},
		{"..:1", User{}, false},
		{"a\nb:1", User{}, false},
		{strings.Repeat("a", 33) + ":1", User{}, false},
	} {
		got, err := ParseUser(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("ParseUser(%q) = %v, %v; want %v, success %v", test.in, got, err, test.want, test.ok)
		}
	}
}

func FuzzParseUser(f *testing.F) {
	f.Add("app:1000:100")
	f.Add("1:2")
	f.Add("root")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseUser(s)
		if err != nil {
			return
		}
		again := u.ID()
		if u.Name != "" {
			again = u.Name + ":" + again
		}
		if v, err := ParseUser(again); err != nil || v != u {
			t.Errorf("ParseUser(%q) = %v; ParseUser(%q) = %v, %v", s, u, again, v, err)
		}
		if strings.ContainsAny(u.Name, ":/\n\x00") {
			t.Errorf("ParseUser(%q) = %v: its name would break /etc/passwd", s, u)
		}
	})
}

// TestDeepLinks checks that New makes links to files below a thousand directories in reasonable time.
func TestDeepLinks(t *testing.T) {
	root := "nix/store/p"
	lines := []string{"d 0555 " + root, "d 0555 " + root + "/etc"}
	dir := root + "/etc"
	for range rootfs.MaxDepth - 8 {
		dir += "/d"
		lines = append(lines, "d 0555 "+dir)
	}
	for i := range 300 {
		lines = append(lines, fmt.Sprintf("f 0444 %s/%04d x", dir, i))
	}
	begin := time.Now()
	base, err := New(rootfs.NewView(rootfstest.Parts(t, lines...), nil), Options{Profiles: []string{root}})
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for e := range base.Tree {
		if e.IsLink() {
			links++
		}
	}
	if links != 301 { // and /run/profile
		t.Errorf("%d links; want 301", links)
	}
	t.Logf("%v", time.Since(begin))
}
