package profile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rootedStore is a fakeStore with profile links in a directory.
type rootedStore struct {
	fakeStore
	root string
}

func (r rootedStore) Readlink(name string) (string, error) {
	return hostLinks{}.Readlink(r.root + name)
}

func (r rootedStore) Inside(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, r.root+"/")
	return "/" + rest, ok
}

func TestResolve(t *testing.T) {
	host, root := t.TempDir(), t.TempDir()
	store := "/nix/store/"
	for _, link := range []struct{ at, target string }{
		{host + "/result", store + object("p").Base()},
		{host + "/deep", store + object("p").Base() + "/bin/sh"},
		{host + "/hop", "result"},
		{host + "/up", "sub/../hop"},
		{host + "/dir", "sub"},
		{host + "/sub/back", "../result"},
		{host + "/dangling", "gone"},
		{host + "/lost", store + object("lost").Base()},
		{host + "/cycle", "cycle"},
		{host + "/bad", store + "no-store-path"},
		{host + "/into", root + "/nix/var/nix/profiles/default"},
		{host + "/physical", root + "/nix/store/" + object("p").Base()},
		{host + "/logical", "/nix/var/nix/profiles/default"},
		{root + "/nix/var/nix/profiles/default", "default-1-link"},
		{root + "/nix/var/nix/profiles/default-1-link", store + object("p").Base()},
		{root + "/nix/var/nix/profiles/abs", "/home/alice/profile"},
		{root + "/home/alice/profile", store + object("q").Base()},
	} {
		if err := os.MkdirAll(filepath.Dir(link.at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(link.target, link.at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(host+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	g := fakeStore{"p": "q", "q": ""}
	for _, test := range []struct {
		name    string
		in      string
		rooted  bool // run in a store with a root
		hosted  bool // run in a store without a root
		want    string
		err     string
		missing bool
	}{
		{name: "store path", in: string(object("p")), rooted: true, hosted: true, want: "p"},
		{name: "file in an object", in: string(object("p")) + "/bin/sh", rooted: true, hosted: true, want: "p"},
		{name: "not clean", in: "/nix//store/./" + object("p").Base() + "/", rooted: true, hosted: true, want: "p"},
		{name: "base name", in: object("p").Base(), rooted: true, hosted: true, want: "p"},
		{name: "result link", in: host + "/result", rooted: true, hosted: true, want: "p"},
		{name: "below a link", in: host + "/result/bin/sh", rooted: true, hosted: true, want: "p"},
		{name: "link below an object", in: host + "/deep", rooted: true, hosted: true, want: "p"},
		{name: "two hops", in: host + "/hop", rooted: true, hosted: true, want: "p"},
		{name: "dots in a link", in: host + "/up", rooted: true, hosted: true, want: "p"},
		{name: "through a linked directory", in: host + "/dir/back", rooted: true, hosted: true, want: "p"},
		{name: "dangling", in: host + "/dangling", rooted: true, hosted: true, err: "dangling link: it leads to", missing: true},
		{name: "missing", in: host + "/nothing", rooted: true, hosted: true, err: "no such file", missing: true},
		{name: "not in the store", in: host + "/lost", rooted: true, hosted: true, err: object("lost").Base(), missing: true},
		{name: "cycle", in: host + "/cycle", rooted: true, hosted: true, err: "more than 1024 links"},
		{name: "out of the store", in: host + "/file", rooted: true, hosted: true, err: "leads out of the store: it ends at"},
		{name: "invalid store path", in: host + "/bad", rooted: true, hosted: true, err: "a hash of 32 characters"},
		{name: "from the host into the root", in: host + "/into", rooted: true, want: "p"},
		{name: "link to an object's location on disk", in: host + "/physical", rooted: true, want: "p"},
		{name: "link below /nix", in: host + "/logical", rooted: true, want: "p"},
		{name: "location on disk", in: root + "/nix/var/nix/profiles/default", rooted: true, want: "p"},
		{name: "name inside the root", in: "/nix/var/nix/profiles/default", rooted: true, want: "p"},
		{name: "absolute link inside the root", in: "/nix/var/nix/profiles/abs", rooted: true, want: "q"},
	} {
		for _, s := range []struct {
			kind  string
			store Store
			run   bool
		}{{"hosted", g, test.hosted}, {"rooted", rootedStore{g, root}, test.rooted}} {
			if !s.run {
				continue
			}
			t.Run(test.name+"/"+s.kind, func(t *testing.T) {
				got, err := Resolve(t.Context(), s.store, test.in)
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) || errors.Is(err, fs.ErrNotExist) != test.missing {
						t.Errorf("Resolve(%q) = %v, %v; want an error with %q, not-exist %v", test.in, got, err, test.err, test.missing)
					}
					return
				}
				if err != nil || got.Path != object(test.want) || got.Name != test.in {
					t.Errorf("Resolve(%q) = %v, %v; want %q, <nil>", test.in, got, err, object(test.want))
				}
			})
		}
	}

	t.Run("relative", func(t *testing.T) {
		t.Chdir(host)
		for _, name := range []string{"result", "./result", "sub/back"} {
			if got, err := Resolve(t.Context(), g, name); err != nil || got.Path != object("p") {
				t.Errorf("Resolve(%q) = %v, %v; want %q, <nil>", name, got, err, object("p"))
			}
		}
	})

	t.Run("default link", func(t *testing.T) {
		if got, err := Default(t.Context(), rootedStore{fakeStore{"p": "", "x": ""}, root}); err != nil || got.Path != object("p") {
			t.Errorf("Default() = %v, %v; want %q, <nil>", got, err, object("p"))
		}
	})
}

func TestDefault(t *testing.T) {
	for _, test := range []struct {
		name  string
		store fakeStore
		want  string
		err   string
	}{
		{"one", fakeStore{"p": ""}, "p", ""},
		{"top", fakeStore{"p": "q r", "q": "r", "r": ""}, "p", ""},
		{"top refers to itself", fakeStore{"p": "p q", "q": "q"}, "p", ""},
		{"two", fakeStore{"p": "q", "q": "", "r": "q"}, "", "2 objects that nothing else refers to: " + object("p").Base() + ", " + object("r").Base()},
		{"cycle", fakeStore{"p": "q", "q": "p"}, "", "no object that nothing else refers to among 2"},
		{"nothing", fakeStore{}, "", "find default profile: no store paths in it"},
	} {
		got, err := Default(t.Context(), test.store)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: Default() = %v, %v; want an error with %q", test.name, got, err, test.err)
			}
			continue
		}
		if err != nil || got.Path != object(test.want) {
			t.Errorf("%s: Default() = %v, %v; want %q, <nil>", test.name, got, err, object(test.want))
		}
	}
}

// TestOutsideStoreDir checks which store directory the end of a name shows.
func TestOutsideStoreDir(t *testing.T) {
	const object = "fiznc08nhj31nrsb1f2aa5f9syzps0gl-profile"
	for end, want := range map[string]string{
		"/opt/nix/store/" + object:                "/opt/nix/store",
		"/home/me/nix/store/" + object + "/bin/x": "/home/me/nix/store",
		"/etc/" + object:                          "",
		"/home/me":                                "",
		"/":                                       "",
	} {
		if got := (&OutsideError{end}).StoreDir(); got != want {
			t.Errorf("%q: %q; want %q", end, got, want)
		}
	}
}
