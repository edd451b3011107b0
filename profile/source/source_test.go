package source

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// unpack makes a store directory of the golden closure, without a database.
func unpack(t *testing.T) string {
	t.Helper()
	s, err := Open(t.Context(), storetest.File(t, "basic.nix-export"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := profile.FindClosure(t.Context(), s, storetest.GoldenProfile)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "root")
	t.Cleanup(func() { _ = rootfs.RemoveAll(dir) })
	if err := rootfs.WriteDir(t.Context(), dir, c.Parts(t.Context()), rootfs.DirOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestGolden: each form of the golden closure is recognised and holds the same.
func TestGolden(t *testing.T) {
	stream := storetest.File(t, "basic.nix-export")
	registration := storetest.File(t, "basic.registration")
	for name, open := range map[string]func(t *testing.T) (profile.Store, error){
		"export stream": func(t *testing.T) (profile.Store, error) {
			return Open(t.Context(), stream, Options{})
		},
		"standard input": func(t *testing.T) (profile.Store, error) {
			f, err := os.Open(stream)
			if err != nil {
				t.Fatal(err)
			}
			return Open(t.Context(), "-", Options{Stdin: f})
		},
		"export stream with references": func(t *testing.T) (profile.Store, error) {
			return Open(t.Context(), stream, Options{References: registration})
		},
		"store without a database, with references": func(t *testing.T) (profile.Store, error) {
			return Open(t.Context(), unpack(t), Options{References: registration})
		},
		"the same, with JSON": func(t *testing.T) (profile.Store, error) {
			return Open(t.Context(), unpack(t), Options{References: storetest.File(t, "basic.path-info.json")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(t)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			storetest.Golden(t, s)
			p, err := profile.Default(t.Context(), s)
			if err != nil || p.Path != storetest.GoldenProfile {
				t.Errorf("Default() = %v, %v; want %q, <nil>", p, err, storetest.GoldenProfile)
			}
		})
	}
}

// TestContentAgainstReferences: a store whose content was changed is noticed when it is read.
func TestContentAgainstReferences(t *testing.T) {
	dir := unpack(t)
	name := filepath.Join(dir, "nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0/etc/hello/hello.conf")
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.ToUpper(string(b))), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), dir, Options{References: storetest.File(t, "basic.registration")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = storetest.List(s.Files(t.Context(), "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"))
	if err == nil || !strings.Contains(err.Error(), "was changed or damaged") {
		t.Errorf("Files of a changed object: %v; want an error", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"cache", "empty", "a/nix/store", "linked"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"cache/nix-cache-info": "StoreDir: /nix/store\n", "text": "hello", "none": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		from, references string
		want             string
		is               error
	}{
		{from: dir + "/gone", want: "no such file", is: fs.ErrNotExist},
		{from: dir + "/empty", want: "a directory without nix/store in it"},
		{from: dir + "/a", want: "", is: localstore.ErrNoDatabase},
		{from: dir + "/a/nix/store", want: "name the directory that nix/store lies in"},
		{from: dir + "/cache", want: "a binary cache"},
		{from: "https://cache.example.com", want: "a binary cache"},
		{from: dir + "/text", want: "not an export stream, but something unknown"},
		{from: dir + "/none", want: "not an export stream, but empty"},
		{from: "-", want: "standard input", is: fs.ErrInvalid},
		{from: dir + "/a", references: dir + "/gone", want: "read references", is: fs.ErrNotExist},
		{from: dir + "/a", references: dir + "/text", want: "read references"},
	} {
		s, err := Open(t.Context(), test.from, Options{References: test.references})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("Open(%q, %q) = %v; want an error with %q, %v", test.from, test.references, err, test.want, test.is)
		}
	}
}
