package source

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/localstore"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// form is a form of a store. write writes a sample in this form, and returns the arguments of Open.
type form struct {
	name    string
	write   func(t *testing.T, s *storetest.Sample) ([]string, Options)
	scanned bool
	server  bool
}

func single(from string, o Options) ([]string, Options) { return []string{from}, o }

// pipe returns a pipe with the content of a file.
func pipe(t *testing.T, name string) *os.File {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer w.Close()
		_, _ = w.Write(b)
	}()
	return r
}

func gzipped(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), "no-suffix")
	if err := os.WriteFile(name, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func serve(t *testing.T, dir string) string {
	t.Helper()
	s := httptest.NewServer(http.FileServer(http.Dir(dir)))
	t.Cleanup(s.Close)
	return s.URL
}

func forms() []form {
	return []form{
		{name: "export file", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteExport(t), Options{})
		}},
		{name: "export pipe", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single("-", Options{Stdin: pipe(t, s.WriteExport(t))})
		}},
		{name: "export file, gzip", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(gzipped(t, s.WriteExport(t)), Options{})
		}},
		{name: "export file with references", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteExport(t), Options{References: s.WritePathInfo(t)})
		}},
		{name: "directory with registration", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteRoot(t), Options{References: s.WriteRegistration(t, true)})
		}},
		{name: "directory with path-info", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteRoot(t), Options{References: s.WritePathInfo(t)})
		}},
		{name: "directory with exportReferencesGraph", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteRoot(t), Options{References: s.WriteRegistration(t, false)})
		}},
		{name: "directory alone", scanned: true, write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteRoot(t), Options{})
		}},
		{name: "its store directory", scanned: true, write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteRoot(t)+s.Dir.String(), Options{})
		}},
		{name: "store directory elsewhere", scanned: true, write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			root := s.WriteRoot(t)
			if err := os.Rename(root+s.Dir.String(), root+"/elsewhere"); err != nil {
				t.Fatal(err)
			}
			return single(root+"/elsewhere", Options{StoreDir: &s.Dir})
		}},
		{name: "tar with registration", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteTar(t), Options{References: s.WriteRegistration(t, true)})
		}},
		{name: "tar, gzip, pipe, with registration", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single("-", Options{Stdin: pipe(t, gzipped(t, s.WriteTar(t))), References: s.WriteRegistration(t, true)})
		}},
		{name: "tar alone", scanned: true, write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteTar(t), Options{})
		}},
		{name: "cache directory", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(s.WriteCache(t, "zstd"), Options{})
		}},
		{name: "cache directory without nix-cache-info", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			dir := s.WriteCache(t, "none")
			if err := os.Remove(dir + "/nix-cache-info"); err != nil {
				t.Fatal(err)
			}
			return single(dir, Options{})
		}},
		{name: "cache server", server: true, write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(serve(t, s.WriteCache(t, "gzip")), Options{Vouched: Nothing})
		}},
		{name: "cache server, narinfos kept", server: true, write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(serve(t, s.WriteCache(t, "none")), Options{Vouched: Nothing, NarInfoDir: t.TempDir()})
		}},
		{name: "cache server with path-info", server: true, write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			return single(serve(t, s.WriteCache(t, "none")), Options{References: s.WritePathInfo(t)})
		}},
		{name: "chain", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			cache := s.WriteCache(t, "none")
			for _, info := range s.Infos[:len(s.Infos)/2] {
				if err := os.Remove(filepath.Join(cache, info.Path.Digest()+".narinfo")); err != nil {
					t.Fatal(err)
				}
			}
			return []string{cache, s.WriteExport(t)}, Options{}
		}},
		{name: "chain of two directories and a tar with registration", write: func(t *testing.T, s *storetest.Sample) ([]string, Options) {
			first, second := s.WriteRoot(t), s.WriteRoot(t)
			for i, info := range s.Infos {
				for j, root := range []string{first, second} {
					if i%3 != j {
						if err := staging.RemoveAll(filepath.Join(root, info.Path.Root())); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			return []string{first, second, s.WriteTar(t)}, Options{References: s.WriteRegistration(t, true)}
		}},
	}
}

// TestForms checks that every form of every sample contains the same store.
func TestForms(t *testing.T) {
	for _, sample := range append(storetest.Samples(t), storetest.TinyIn(t, storeDir(t, "/gnu/store")), storetest.TinyIn(t, storeDir(t, "/opt/nix/store"))) {
		for _, f := range forms() {
			t.Run(sample.Name+sample.Dir.String()+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				sample := sample
				if (f.server || f.scanned) && sample.Name == "many" {
					sample = storetest.Many(t, 200) // every object is requested or read several times
				}
				from, o := f.write(t, sample)
				notes := 0
				if f.scanned && sample.Dir == storeDir(t, "/opt/nix/store") {
					o.StoreDir = &sample.Dir // only objects that scripts name say it
				}
				o.SpoolDir = t.TempDir()
				o.Note = func(string) { notes++ }
				s, err := Open(t.Context(), from, o)
				if err != nil {
					t.Fatal(err)
				}
				if (notes > 0) != f.scanned {
					t.Errorf("got %d notes; want any: %v", notes, f.scanned)
				}
				if f.scanned && sample.Name == "golden" {
					testScanned(t, s, sample)
				} else {
					storetest.Test(t, s, sample)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if left, _ := os.ReadDir(o.SpoolDir); len(left) > 0 {
					t.Errorf("spool directory contains %v after Close; want nothing", left)
				}
			})
		}
	}
}

// testScanned checks that scanning the golden closure finds the registered objects and hashes.
// References may differ, since a scan also finds unregistered self-references.
func testScanned(t *testing.T, s profile.Store, sample *storetest.Sample) {
	c, err := profile.FindClosure(t.Context(), s, sample.Root)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Infos) != len(sample.Infos) {
		t.Errorf("closure has %d objects; want %d", len(c.Infos), len(sample.Infos))
	}
	for i, info := range c.Infos {
		if want := sample.Infos[min(i, len(sample.Infos)-1)]; info.Path != want.Path || info.NarHash != want.NarHash || info.NarSize != want.NarSize {
			t.Errorf("Info = %+v; want %+v", info, want)
		}
	}
}

// TestDefault checks that the default profile is the object without referrers.
func TestDefault(t *testing.T) {
	for _, sample := range storetest.Samples(t) {
		s, err := Open(t.Context(), []string{sample.WriteExport(t)}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if p, err := profile.Default(t.Context(), s); err != nil || p.Path != sample.Root {
			t.Errorf("Default() of %s = %v, %v; want %q, <nil>", sample.Name, p, err, sample.Root)
		}
	}
}

// TestContentAgainstReferences checks that a changed object does not match its hash in a file of references.
func TestContentAgainstReferences(t *testing.T) {
	const object profile.Path = "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	sample := storetest.GoldenSample(t)
	dir := sample.WriteRoot(t)
	name := filepath.Join(dir, object.Root(), "etc/hello/hello.conf")
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
	s, err := Open(t.Context(), []string{dir}, Options{References: sample.WriteRegistration(t, true)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err = storetest.List(s.Files(t.Context(), object)); err == nil || !strings.Contains(err.Error(), "was changed or damaged") {
		t.Errorf("Files of a changed object: %v; want an error", err)
	}
}

// TestMissing checks that FindClosure reports every object that the references name and no source has.
func TestMissing(t *testing.T) {
	sample := storetest.GoldenSample(t)
	root := sample.WriteRoot(t)
	var want []profile.Path
	for _, info := range sample.Infos {
		if info.Path != sample.Root && len(want) < 2 {
			want = append(want, info.Path)
			if err := staging.RemoveAll(filepath.Join(root, info.Path.Root())); err != nil {
				t.Fatal(err)
			}
		}
	}
	tarred := filepath.Join(t.TempDir(), "tar")
	if err := exec.Command("tar", "-cf", tarred, "-C", root, ".").Run(); err != nil {
		t.Skipf("no tar: %v", err)
	}
	for _, from := range [][]string{{root}, {tarred}, {root, tarred}, {root + "/nix/store"}} {
		for _, references := range []string{sample.WriteRegistration(t, true), sample.WriteRegistration(t, false), sample.WritePathInfo(t)} {
			s, err := Open(t.Context(), from, Options{References: references})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = profile.FindClosure(t.Context(), s, sample.Root)
			var closure *profile.ClosureError
			if !errors.As(err, &closure) {
				t.Errorf("FindClosure of %q, %q: %v; want a ClosureError", from, references, err)
				continue
			}
			var got []profile.Path
			for _, m := range closure.Missing {
				got = append(got, m.Path)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("FindClosure of %q, %q: missing (-want +got):\n%s", from, references, d)
			}
		}
	}
}

// TestVouched checks which sources need signatures for each value of Vouched.
func TestVouched(t *testing.T) {
	sample := storetest.GoldenSample(t)
	dir := sample.WriteCache(t, "none")
	url := serve(t, dir)
	for _, test := range []struct {
		name string
		from []string
		o    Options
		ok   bool
	}{
		{"server", []string{url}, Options{}, false},
		{"server, all", []string{url}, Options{Vouched: All}, false},
		{"server, nothing", []string{url}, Options{Vouched: Nothing}, true},
		{"directory", []string{dir}, Options{}, true},
		{"directory, all", []string{dir}, Options{Vouched: All}, false},
		{"stream, all", []string{sample.WriteExport(t)}, Options{Vouched: All}, false},
		{"server, then directory", []string{url, dir}, Options{}, true},
		{"server with references", []string{url}, Options{References: sample.WritePathInfo(t)}, true},
		{"server with references, all", []string{url}, Options{References: sample.WritePathInfo(t), Vouched: All}, false},
		{"server with references without hashes", []string{url}, Options{References: sample.WriteRegistration(t, false)}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Open(t.Context(), test.from, test.o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			_, err = profile.FindClosure(t.Context(), s, sample.Root)
			if (err == nil) != test.ok || err != nil && !errors.Is(err, profile.ErrUntrusted) {
				t.Errorf("FindClosure = %v; want success %v, or %v", err, test.ok, profile.ErrUntrusted)
			}
		})
	}
}

// TestVouchedMachine checks that this machine's store is hashed if keys must vouch for its objects.
func TestVouchedMachine(t *testing.T) {
	for _, test := range []struct {
		o    Options
		want bool
	}{
		{Options{}, false},
		{Options{Verify: true}, true},
		{Options{Vouched: Nothing}, false},
		{Options{Vouched: All}, true},
	} {
		if got := localOptions(test.o).Verify; got != test.want {
			t.Errorf("localOptions(%+v).Verify = %v; want %v", test.o, got, test.want)
		}
	}
}

// TestOpenRefuses checks the errors for sources that are not stores.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"empty", "a/nix/store", "other"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"other/nix-cache-info": "StoreDir: gnu\n", "text": "hello", "none": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		from       []string
		references string
		want       string
		is         error
	}{
		{from: []string{dir + "/gone"}, want: "no such file", is: fs.ErrNotExist},
		{from: []string{dir + "/empty"}, want: "a directory without nix/store, gnu/store, nix-cache-info or store objects in it"},
		{from: []string{dir + "/other"}, want: "open binary cache"},
		{from: []string{dir + "/text"}, want: "not an export stream, but something unknown"},
		{from: []string{dir + "/none"}, want: "not an export stream, but empty"},
		{from: []string{"-"}, want: "standard input", is: fs.ErrInvalid},
		{from: []string{"-", "-"}, want: "standard input"},
		{from: []string{dir + "/a", dir + "/gone"}, want: "no such file", is: fs.ErrNotExist},
		{from: []string{"https://"}, want: "not a valid URL"},
		{from: []string{dir + "/a"}, references: dir + "/gone", want: "read references", is: fs.ErrNotExist},
		{from: []string{dir + "/a"}, references: dir + "/text", want: "read references"},
	} {
		s, err := Open(t.Context(), test.from, Options{References: test.references, SpoolDir: t.TempDir()})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is) {
			t.Errorf("Open(%q, %q) = %v; want an error with %q, %v", test.from, test.references, err, test.want, test.is)
		}
	}
}

// TestMachine checks that this machine's store is not scanned if it has no database.
func TestMachine(t *testing.T) {
	if _, err := os.Stat("/nix/var/nix/db/db.sqlite"); err == nil {
		t.Skip("this machine has one with a database")
	}
	if s, err := Open(t.Context(), nil, Options{}); !errors.Is(err, localstore.ErrNoDatabase) {
		t.Errorf("Open of this machine's store = %v, %v; want %v", s, err, localstore.ErrNoDatabase)
	}
}

// TestCancelled checks that Open returns the error of a cancelled context.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, w := io.Pipe()
	defer w.Close()
	defer r.Close()
	if _, err := Open(ctx, []string{storetest.File(t, "basic.nix-export")}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open, cancelled = %v; want %v", err, context.Canceled)
	}
}
