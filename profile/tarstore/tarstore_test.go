package tarstore

import (
	"archive/tar"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/references"
	"github.com/export-profile/export-profile/profile/scan"
	"github.com/export-profile/export-profile/profile/storetest"
)

type opener = func(testing.TB, []byte, Options) (*Store, error)

var openers = map[string]opener{"file": openBytes, "pipe": openPipe}

// TestGolden checks the golden closure in all forms of archives, in a file and from a pipe.
func TestGolden(t *testing.T) {
	same := func(_ testing.TB, b []byte) []byte { return b }
	for _, form := range []struct {
		name     string
		archive  func(testing.TB) []byte
		compress func(testing.TB, []byte) []byte
	}{
		{"root", func(t testing.TB) []byte { return goldenTar(t, "") }, same},
		{"absolute", func(t testing.TB) []byte { return goldenTar(t, "/") }, same},
		{"below a directory", func(t testing.TB) []byte { return goldenTar(t, "some/where/") }, same},
		{"gzip", func(t testing.TB) []byte { return goldenTar(t, "./") }, gzipped},
		{"zstd", func(t testing.TB) []byte { return goldenTar(t, "./") }, zstded},
		{"directory, PAX", func(t testing.TB) []byte { return archive(t, writeDir(t), tar.FormatPAX) }, same},
		{"directory, GNU", func(t testing.TB) []byte { return archive(t, writeDir(t), tar.FormatGNU) }, same},
		{"store directory", func(t testing.TB) []byte { return archive(t, writeDir(t)+"/nix", tar.FormatUnknown) }, same},
		{"objects", func(t testing.TB) []byte { return archive(t, writeDir(t)+"/nix/store", tar.FormatUnknown) }, same},
	} {
		for kind, open := range openers {
			t.Run(form.name+"/"+kind, func(t *testing.T) {
				b := form.compress(t, form.archive(t))
				var read atomic.Int64
				s, err := open(t, b, Options{SpoolDir: t.TempDir(), Progress: func(n int64) { read.Add(n) }})
				if err != nil {
					t.Fatal(err)
				}
				if got := read.Load(); got != int64(len(b)) {
					t.Errorf("Progress reported %d bytes; want %d", got, len(b))
				}
				storetest.Golden(t, references.Overlay(s, goldenInfos(t)))
				paths, err := s.Paths(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				scanned, err := scan.Overlay(s, paths, nil)
				if err != nil {
					t.Fatal(err)
				}
				storetest.Golden(t, scanned)
			})
		}
	}
}

// TestSamples checks all samples of package storetest as archives of an optimised store.
func TestSamples(t *testing.T) {
	for _, sample := range storetest.Samples(t) {
		t.Run(sample.Name, func(t *testing.T) {
			f, err := os.Open(sample.WriteTar(t))
			if err != nil {
				t.Fatal(err)
			}
			s, err := Open(t.Context(), f, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			storetest.Test(t, references.Overlay(s, sample.Infos), sample)
		})
	}
}

// TestSpoolIsNameless checks that the spool file of a piped archive has no name.
func TestSpoolIsNameless(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made/when/needed")
	if _, err := openPipe(t, goldenTar(t, ""), Options{SpoolDir: dir}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("while a piped tar is open, the spool directory contains %v, %v; want no named file", left, err)
	}
}

// TestInfo checks the errors of Info and Files.
func TestInfo(t *testing.T) {
	s, err := openBytes(t, pack(t, reg(objA, "a")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Info(t.Context(), pathA); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info of an object: %v; want an error other than %v", err, fs.ErrNotExist)
	}
	if _, err := s.Info(t.Context(), pathB); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Info of a missing object: %v; want %v", err, fs.ErrNotExist)
	}
	for _, p := range []profile.Path{"", "/nix/store", "/nix/store/" + "../../etc", profile.Path("/nix/store/.links")} {
		if lines, err := storetest.List(s.Files(t.Context(), p)); err == nil {
			t.Errorf("Files(%q) = %q; want an error", p, lines)
		}
	}
}

// TestLayout checks how the store in an archive is found.
func TestLayout(t *testing.T) {
	const baseA, baseB = "00000000000000000000000000000000-a", "11111111111111111111111111111111-b"
	for _, test := range []struct {
		name    string
		members []member
		paths   []profile.Path
		err     string
	}{
		{name: "root", members: []member{reg(objA, "a"), reg(objB, "b")}, paths: []profile.Path{pathA, pathB}},
		{name: "root with other things", members: []member{reg("etc/passwd", ""), special(tar.TypeChar, "dev/null"), reg(objA, "a")}, paths: []profile.Path{pathA}},
		{name: "empty store", members: []member{dir("nix/store")}},
		{name: "below a directory", members: []member{reg("x/y/"+objA, "a")}, paths: []profile.Path{pathA}},
		{name: "another store deeper down", members: []member{reg("srv/vm/"+objB, "b"), reg(objA, "a")}, paths: []profile.Path{pathA}},
		{name: "a store in an object", members: []member{reg("x/"+objA+"/"+objB, "b")}, paths: []profile.Path{pathA}},
		{name: "store directory", members: []member{reg("store/"+baseA, "a"), dir("store/.links")}, paths: []profile.Path{pathA}},
		{name: "store directory by another name", members: []member{reg("./packages/"+baseA, "a")}, paths: []profile.Path{pathA}},
		{name: "objects", members: []member{reg(baseA+"/x", "a"), reg("./"+baseB, "b")}, paths: []profile.Path{pathA, pathB}},
		{name: "files that are not objects", members: []member{
			reg(objA, "a"), reg(objA+".lock", ""), reg("nix/store/.links/x", "a"), dir("nix/store/lost+found"),
			dir(objB + ".drv.chroot"), reg(objB+".check", "a"), reg(objB+".lock", "locks something else"),
		}, paths: []profile.Path{pathA, pathB + ".lock"}},

		{name: "nothing", err: "without a store in it"},
		{name: "no store", members: []member{reg("etc/passwd", "")}, err: "without a store in it"},
		{name: "container image", members: []member{reg("oci-layout", "{}"), reg("index.json", "{}")}, err: "a container image"},
		{name: "two stores", members: []member{reg("x/"+objA, "a"), reg("y/"+objB, "b")}, err: `several stores, in "/x", "/y"`},
		{name: "two store directories", members: []member{reg("x/"+baseA, "a"), reg("y/"+baseB, "b")}, err: `several directories, "/x", "/y"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := openBytes(t, pack(t, test.members...), Options{})
			if test.err != "" {
				var format *FormatError
				if !errors.As(err, &format) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("Open() = %v; want a FormatError with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			paths, err := s.Paths(t.Context())
			if d := cmp.Diff(test.paths, paths); d != "" || err != nil {
				t.Errorf("Paths(): %v (-want +got):\n%s", err, d)
			}
		})
	}
}

// TestReadlink checks that links resolve inside the archived root.
func TestReadlink(t *testing.T) {
	const profiles = "nix/var/nix/profiles"
	s, err := openPipe(t, pack(t,
		reg(objA+"/bin/x", "a"),
		sym(profiles+"/default", "default-2-link"),
		sym(profiles+"/default-2-link", "/"+objA),
		hard(profiles+"/same", profiles+"/default"),
		sym("var", "/nix/var"),
		sym("up", "../../../nix/var/nix"),
		sym("around", "around"),
	), Options{SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, target string
		is           error
	}{
		{name: "/" + profiles + "/default", target: "default-2-link"},
		{name: "/" + profiles + "/default-2-link", target: "/" + objA},
		{name: "/" + profiles + "/same", target: "default-2-link"},
		{name: "/var/nix/profiles/default", target: "default-2-link"},
		{name: "/up/profiles/../profiles/default", target: "default-2-link"},
		{name: "/around", target: "around"},
		{name: "/around/x", is: syscall.ELOOP},
		{name: "/", is: profile.ErrNoLink},
		{name: "/nix", is: profile.ErrNoLink},
		{name: "/" + objA + "/bin/x", is: profile.ErrNoLink},
		{name: "/" + objA + "/bin/x/y", is: fs.ErrNotExist},
		{name: "/" + objA + "/bin/x/y/z", is: fs.ErrNotExist},
		{name: "/gone/x", is: fs.ErrNotExist},
	} {
		target, err := s.Readlink(test.name)
		if target != test.target || !errors.Is(err, test.is) {
			t.Errorf("Readlink(%q) = %q, %v; want %q, %v", test.name, target, err, test.target, test.is)
		}
	}
	scanned, err := scan.Overlay(s, []profile.Path{pathA}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := profile.Default(t.Context(), scanned); err != nil || p.Path != pathA {
		t.Errorf("Default() = %v, %v; want %q, <nil>", p, err, pathA)
	}
	if p, err := profile.Resolve(t.Context(), scanned, "/"+profiles+"/same"); err != nil || p.Path != pathA {
		t.Errorf("Resolve() = %v, %v; want %q, <nil>", p, err, pathA)
	}
	if _, ok := s.Inside("/nix"); ok {
		t.Error(`Inside("/nix") = true; want false`)
	}
}

// TestReadlinkWithoutRoot checks that an archive of a store directory has neither links nor a database.
func TestReadlinkWithoutRoot(t *testing.T) {
	s, err := openBytes(t, pack(t, reg("store/00000000000000000000000000000000-a", "a")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/", "/nix", "/nix/var/nix/profiles/default"} {
		if target, err := s.Readlink(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Readlink(%q) = %q, %v; want %v", name, target, err, fs.ErrNotExist)
		}
	}
	if _, err := s.Database(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Database() = %v; want %v", err, fs.ErrNotExist)
	}
	scanned, err := scan.Overlay(s, []profile.Path{pathA}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := profile.Default(t.Context(), scanned); err != nil || p.Path != pathA {
		t.Errorf("Default() = %v, %v; want %q, <nil>", p, err, pathA)
	}
}

// TestDatabase checks which files of the database are copied.
func TestDatabase(t *testing.T) {
	const db = "nix/var/nix/db/"
	store := reg(objA, "a")
	for _, test := range []struct {
		name    string
		members []member
		want    map[string]string
		is      error
		err     string
	}{
		{name: "all", members: []member{reg(db+"db.sqlite", "d"), reg(db+"db.sqlite-wal", "w"), reg(db+"db.sqlite-shm", "s"), reg(db+"db.sqlite-journal", "j"), reg(db+"schema", "10"), reg(db+"reserved", "r")},
			want: map[string]string{"db.sqlite": "d", "db.sqlite-wal": "w", "db.sqlite-journal": "j", "schema": "10"}},
		{name: "only db.sqlite", members: []member{reg(db+"db.sqlite", "d")}, want: map[string]string{"db.sqlite": "d"}},
		{name: "behind a link", members: []member{sym("nix/var", "/data"), reg("data/nix/db/db.sqlite", "d")}, want: map[string]string{"db.sqlite": "d"}},
		{name: "none", is: fs.ErrNotExist},
		{name: "only its log", members: []member{reg(db+"db.sqlite-wal", "w")}, is: fs.ErrNotExist},
		{name: "a link", members: []member{sym(db+"db.sqlite", "/etc/passwd")}, err: `"db.sqlite" is a symbolic link`},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := openBytes(t, pack(t, append(test.members, store)...), Options{})
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			name, err := s.Database(dir)
			if test.want == nil {
				if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("Database() = %q, %v; want an error with %q, %v", name, err, test.err, test.is)
				}
				return
			}
			if name != filepath.Join(dir, "db.sqlite") || err != nil {
				t.Fatalf("Database(%q) = %q, %v", dir, name, err)
			}
			got := make(map[string]string)
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				b, err := os.ReadFile(filepath.Join(dir, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				got[e.Name()] = string(b)
			}
			if d := cmp.Diff(test.want, got); d != "" {
				t.Errorf("Database() copied (-want +got):\n%s", d)
			}
		})
	}
}

// TestPrivate checks that only an uncompressed regular file, which is read in place, is not private.
func TestPrivate(t *testing.T) {
	b := goldenTar(t, "")
	for _, test := range []struct {
		name    string
		open    func(testing.TB, []byte, Options) (*Store, error)
		archive []byte
		want    bool
	}{
		{"file", openBytes, b, false},
		{"compressed file", openBytes, gzipped(t, b), true},
		{"pipe", openPipe, b, true},
	} {
		s, err := test.open(t, test.archive, Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Private(); got != test.want {
			t.Errorf("%s: Private() = %v; want %v", test.name, got, test.want)
		}
	}
}
