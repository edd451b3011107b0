package localstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
)

// relocated makes a root with an object p and links like those of Nix.
func relocated(t *testing.T) string {
	t.Helper()
	root, conn := newDB(t)
	sql(t, conn, add("p"))
	conn.Close()
	profiles := root + "/nix/var/nix/profiles"
	mkdir(t, profiles+"/per-user/alice")
	symlink(t, string(pathOf("p")), profiles+"/default-1-link")
	symlink(t, "default-1-link", profiles+"/default")
	symlink(t, "/nix/var/nix/profiles/default", profiles+"/per-user/alice/profile")
	symlink(t, "../../../../../../../../../../nix/var/nix/profiles/default", profiles+"/up")
	symlink(t, "/nix/var/nix/profiles/per-user", root+"/users")
	symlink(t, "/etc/passwd", root+"/passwd")
	symlink(t, "/nix/store/"+strings.Repeat("0", 32)+"-gone", root+"/gone")
	mkdir(t, root+"/home")
	write(t, root+"/file", "")
	return root
}

// TestResolve checks which names profile.Resolve finds in a relocated store.
func TestResolve(t *testing.T) {
	root, host := relocated(t), t.TempDir()
	symlink(t, root, host+"/root")
	symlink(t, root+"/nix/var/nix/profiles/default", host+"/default")
	symlink(t, string(pathOf("p"))+"/bin", host+"/result")
	symlink(t, "result", host+"/hop")
	for _, dir := range []string{root, host + "/root"} {
		s, err := Open(t.Context(), dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got, err := profile.Default(t.Context(), s); err != nil || got.Path != pathOf("p") {
			t.Errorf("Default() = %v, %v; want %q, <nil>", got, err, pathOf("p"))
		}
		for _, test := range []struct {
			name, err string
		}{
			{name: string(pathOf("p"))},
			{name: pathOf("p").Base()},
			{name: root + string(pathOf("p")) + "/bin/sh"},
			{name: "/nix/var/nix/profiles/default"},
			{name: "/nix/var/nix/profiles/per-user/alice/profile"},
			{name: "/nix/var/nix/profiles/up"},
			{name: root + "/nix/var/nix/profiles/default"},
			{name: root + "/users/alice/profile"},
			{name: host + "/root/users/alice/profile/bin"},
			{name: host + "/default"},
			{name: host + "/result"},
			{name: host + "/hop"},
			{name: root + "/passwd", err: "dangling link"},
			{name: root + "/gone", err: "is not in the store"},
			{name: root + "/nothing", err: "/nothing"},
			{name: root + "/file", err: "leads out of the store"},
			{name: root, err: "leads out of the store"},
		} {
			got, err := profile.Resolve(t.Context(), s, test.name)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("Resolve(%q) = %v, %v; want an error with %q", test.name, got, err, test.err)
				}
				continue
			}
			if err != nil || got.Path != pathOf("p") {
				t.Errorf("Resolve(%q) = %v, %v; want %q, <nil>", test.name, got, err, pathOf("p"))
			}
		}
	}
}

// TestReadlink checks that links never lead out of the root.
func TestReadlink(t *testing.T) {
	root := relocated(t)
	outside := t.TempDir()
	symlink(t, "secret", outside+"/link")
	symlink(t, outside, root+"/escape")
	symlink(t, "../../../../../../../.."+outside, root+"/climb")
	symlink(t, "loop", root+"/loop")
	s := bare(t, root)
	for _, test := range []struct {
		name, want string
		is         error
	}{
		{name: "/passwd", want: "/etc/passwd"},
		{name: "/nix/var/nix/profiles/default", want: "default-1-link"},
		{name: "/users/alice/profile", want: "/nix/var/nix/profiles/default"}, // through an absolute link that starts at the root
		{name: "/../../passwd", want: "/etc/passwd"},
		{name: "/", is: profile.ErrNoLink},
		{name: "/nix", is: profile.ErrNoLink},
		{name: "/file", is: profile.ErrNoLink},
		{name: "/nothing", is: fs.ErrNotExist},
		{name: "/nothing/below", is: fs.ErrNotExist},
		{name: "/escape/link", is: fs.ErrNotExist},
		{name: "/climb/link", is: fs.ErrNotExist},
	} {
		got, err := s.Readlink(test.name)
		if got != test.want || !errors.Is(err, test.is) {
			t.Errorf("Readlink(%q) = %q, %v; want %q, %v", test.name, got, err, test.want, test.is)
		}
	}
	for _, name := range []string{"/loop/below", "/file/below"} {
		if got, err := s.Readlink(name); err == nil {
			t.Errorf("Readlink(%q) = %q; want an error", name, got)
		}
	}
}

// TestInside checks the conversion of paths on this machine to paths below the root.
func TestInside(t *testing.T) {
	root := newRoot(t)
	link := filepath.Join(t.TempDir(), "link")
	symlink(t, root, link)
	s := bare(t, link)
	for name, want := range map[string]string{
		link: "/", link + "/nix": "/nix", root: "/", root + "/nix/store": "/nix/store",
		link + "x": "", "/": "", "/nix": "", filepath.Dir(root): "",
	} {
		if got, ok := s.Inside(name); got != want || ok != (want != "") {
			t.Errorf("Inside(%q) = %q, %v; want %q, %v", name, got, ok, want, want != "")
		}
	}
}

// TestWholeMachine checks that with root "/" everything is inside and the kernel follows links.
// It needs no store in "/".
func TestWholeMachine(t *testing.T) {
	s := &Store{root: &root{dir: "/", real: "/"}}
	dir := t.TempDir()
	symlink(t, "there", dir+"/link")
	for name, is := range map[string]error{dir: profile.ErrNoLink, "/": profile.ErrNoLink, dir + "/nothing": fs.ErrNotExist} {
		if got, err := s.Readlink(name); !errors.Is(err, is) {
			t.Errorf("Readlink(%q) = %q, %v; want %v", name, got, err, is)
		}
	}
	if got, err := s.Readlink(dir + "/link"); err != nil || got != "there" {
		t.Errorf("Readlink(%q) = %q, %v", dir+"/link", got, err)
	}
	for _, name := range []string{"/", dir, "/nix/store"} {
		if got, ok := s.Inside(name); got != name || !ok {
			t.Errorf("Inside(%q) = %q, %v; want %q, true", name, got, ok, name)
		}
	}
	// A directory with only execute permission can be traversed.
	mkdir(t, dir+"/closed")
	symlink(t, "there", dir+"/closed/link")
	os.Chmod(dir+"/closed", 0o311)
	if got, err := s.Readlink(dir + "/closed/link"); err != nil || got != "there" {
		t.Errorf("Readlink(%q) = %q, %v", dir+"/closed/link", got, err)
	}
	os.Chmod(dir+"/closed", 0o755)
}

// TestStoreIsALink checks that /nix and directories in it may be links, but not to outside the root.
func TestStoreIsALink(t *testing.T) {
	o := pathOf("p")
	for _, test := range []struct {
		name string
		make func(t *testing.T, root string)
		ok   bool
	}{
		{"nix is an absolute link inside", func(t *testing.T, root string) {
			os.Rename(root+"/nix", root+"/data")
			symlink(t, "/data", root+"/nix")
		}, true},
		{"store is a relative link inside", func(t *testing.T, root string) {
			os.Rename(root+"/nix/store", root+"/data")
			symlink(t, "../data", root+"/nix/store")
		}, true},
		{"database is a link inside", func(t *testing.T, root string) {
			os.Rename(root+"/nix/var", root+"/var")
			symlink(t, "/../var/", root+"/nix/var")
		}, true},
		{"nix is a link outside", func(t *testing.T, root string) {
			outside := t.TempDir()
			os.Rename(root+"/nix", outside+"/nix")
			symlink(t, outside+"/nix", root+"/nix")
		}, false},
		{"store is a link outside", func(t *testing.T, root string) {
			outside := filepath.Join(filepath.Dir(root), "outside")
			os.Rename(root+"/nix/store", outside)
			symlink(t, "../../outside", root+"/nix/store")
		}, false},
		{"store is a file", func(t *testing.T, root string) {
			os.RemoveAll(root + "/nix/store")
			write(t, root+"/nix/store", "")
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, conn := newDB(t)
			sql(t, conn, add("p"))
			conn.Close()
			write(t, root+string(o), "content")
			test.make(t, root)
			s, err := Open(t.Context(), root, Options{})
			if err != nil {
				if test.ok {
					t.Error(err)
				}
				return
			}
			defer s.Close()
			s.verify = false
			if got, err := lines(t, s, o); (err == nil) != test.ok {
				t.Errorf("Files = %q, %v; want success: %v", got, err, test.ok)
			}
		})
	}
}
