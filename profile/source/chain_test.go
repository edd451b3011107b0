package source

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

// TestChainStepsIn checks for each form of a source that another source steps in for a store path whose files it lacks or has damaged,
// with a note that says why, and that the files are those of a whole store.
func TestChainStepsIn(t *testing.T) {
	sample := storetest.GoldenSample(t)
	broken := profile.Path("/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0")
	file := func(root string) string { return filepath.Join(root, string(broken), "bin/hello") }
	// cache returns a binary cache in which one NAR was changed. If change returns nil, the NAR is missing.
	cache := func(t *testing.T, change func(b []byte) []byte) string {
		t.Helper()
		dir := sample.WriteCache(t, "gzip")
		name := narFile(t, dir, broken)
		b := change(readFile(t, name))
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if b != nil {
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	gone := func([]byte) []byte { return nil }
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	other := func([]byte) []byte { return pack(t, "gzip", sample.NAR(t, sample.Root)) }
	garbage := func([]byte) []byte { return []byte("<html>not found</html>") }
	// root returns a root directory with a database, in which the change was made.
	root := func(t *testing.T, change func(root string) error) string {
		t.Helper()
		dir := sample.WriteRoot(t)
		sample.AddDatabase(t, dir)
		if err := change(dir); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	refusing := func(t *testing.T, status int) string {
		dir := sample.WriteCache(t, "gzip")
		name := "/" + filepath.Base(filepath.Dir(narFile(t, dir, broken))) + "/" + filepath.Base(narFile(t, dir, broken))
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == name {
				w.WriteHeader(status)
				return
			}
			http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, test := range []struct {
		name string
		from func(t *testing.T) string
		o    Options
		why  string
	}{
		{name: "cache, no NAR", from: func(t *testing.T) string { return cache(t, gone) }, why: "no such file"},
		{name: "cache, cut NAR", from: func(t *testing.T) string { return cache(t, cut) }, why: "unexpected EOF"},
		{name: "cache, NAR of another path", from: func(t *testing.T) string { return cache(t, other) }, why: "was changed or damaged"},
		{name: "cache, no NAR but a page", from: func(t *testing.T) string { return cache(t, garbage) }, why: "invalid header"},
		{name: "server, no NAR", from: func(t *testing.T) string { return serve(t, cache(t, gone)) }, why: "status 404 Not Found"},
		{name: "server, forbidden", from: func(t *testing.T) string { return refusing(t, http.StatusForbidden) }, why: "status 403 Forbidden"},
		{name: "server, pruned", from: func(t *testing.T) string { return refusing(t, http.StatusGone) }, why: "status 410 Gone"},
		{name: "server, without a login", from: func(t *testing.T) string { return refusing(t, http.StatusUnauthorized) }, why: "status 401"},
		{name: "server, cut NAR", from: func(t *testing.T) string { return serve(t, cache(t, cut)) }, why: "unexpected EOF"},
		{name: "server, NAR of another path", from: func(t *testing.T) string { return serve(t, cache(t, other)) }, why: "was changed or damaged"},
		{name: "copied store, no files", from: func(t *testing.T) string {
			return root(t, func(root string) error { return os.Rename(root+string(broken), root+"/elsewhere") })
		}, why: "is in the database, but its files are missing"},
		{name: "copied store, a file is missing", from: func(t *testing.T) string {
			return root(t, func(root string) error { os.Chmod(filepath.Dir(file(root)), 0o755); return os.Remove(file(root)) })
		}, why: "was changed or damaged"},
		{name: "copied store, a file is cut", from: func(t *testing.T) string {
			return root(t, func(root string) error { os.Chmod(file(root), 0o644); return os.Truncate(file(root), 3) })
		}, why: "was changed or damaged"},
		{name: "copied store with references, a file has other content", from: func(t *testing.T) string {
			dir := sample.WriteRoot(t)
			os.Chmod(file(dir), 0o644)
			b := bytes.ToUpper(readFile(t, file(dir)))
			if err := os.WriteFile(file(dir), b, 0o555); err != nil {
				t.Fatal(err)
			}
			return dir
		}, o: Options{References: sample.WriteRegistration(t, true)}, why: "was changed or damaged"},
	} {
		t.Run(test.name, func(t *testing.T) {
			first := test.from(t)
			var mu sync.Mutex
			var notes []string
			o := test.o
			o.Vouched = Nothing
			o.Skipped = func(p profile.Path, err error) {
				mu.Lock()
				defer mu.Unlock()
				notes = append(notes, p.Base()+": "+err.Error())
			}
			s, err := Open(t.Context(), []string{first, storetest.File(t, "basic.nix-export")}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			storetest.Golden(t, s)
			if len(notes) != 1 || !strings.HasPrefix(notes[0], broken.Base()+": ") || !strings.Contains(notes[0], test.why) {
				t.Errorf("notes %q; want one about %s with %q", notes, broken.Base(), test.why)
			}

			// Alone, the source is an error.
			alone, err := Open(t.Context(), []string{first}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer alone.Close()
			closure, err := profile.FindClosure(t.Context(), alone, sample.Root)
			for i := 0; err == nil && i < len(closure.Infos); i++ {
				_, err = storetest.List(alone.Files(t.Context(), closure.Infos[i].Path))
			}
			if err == nil || !strings.Contains(err.Error(), test.why) && !strings.Contains(err.Error(), "1 registered in the store, but without files: "+broken.Base()) {
				t.Errorf("alone: %v; want an error with %q", err, test.why)
			}
		})
	}
}

// TestChainFetchesOnce checks that a chain fetches each NAR once, although it reads the object before it passes on its files.
func TestChainFetchesOnce(t *testing.T) {
	sample := storetest.GoldenSample(t)
	dir := sample.WriteCache(t, "gzip")
	var mu sync.Mutex
	fetched := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		fetched[r.URL.Path]++
		mu.Unlock()
		http.FileServer(http.Dir(dir)).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s, err := Open(t.Context(), []string{server.URL, storetest.File(t, "basic.nix-export")}, Options{Vouched: Nothing})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, info := range sample.Infos {
		for range 2 {
			if _, err := storetest.List(s.Files(t.Context(), info.Path)); err != nil {
				t.Error(err)
			}
		}
	}
	if len(fetched) != 1+2*len(sample.Infos) { // nix-cache-info, narinfos and NARs
		t.Errorf("fetched %d files; want %d", len(fetched), 1+2*len(sample.Infos))
	}
	for name, n := range fetched {
		if n != 1 {
			t.Errorf("fetched %q %d times; want 1", name, n)
		}
	}
}

// TestChainScanned checks that a scan finds references to store paths of the other sources,
// as in the upper store of an overlay without a database, and that a note says if it cannot.
func TestChainScanned(t *testing.T) {
	sample := storetest.GoldenSample(t)
	const hello profile.Path = "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0"
	upper := filepath.Join(t.TempDir(), "upper")
	if err := os.Mkdir(upper, 0o755); err != nil {
		t.Fatal(err)
	}
	whole := sample.WriteRoot(t)
	if err := os.Rename(whole+string(hello), filepath.Join(upper, hello.Base())); err != nil {
		t.Fatal(err)
	}
	cache := sample.WriteCache(t, "gzip")
	for _, test := range []struct {
		name  string
		from  []string
		notes int // about servers
		want  int // objects
	}{
		{"with a whole store", []string{upper, sample.WriteExport(t)}, 0, 2},
		{"behind a whole store", []string{sample.WriteExport(t), upper}, 0, 2},
		{"with a store that is scanned, too", []string{upper, whole}, 0, 2},
		{"with a cache directory", []string{upper, cache}, 0, 2},
		{"with a server", []string{upper, serve(t, cache)}, 1, 1},
		{"alone", []string{upper}, 0, 1},
	} {
		notes := 0
		s, err := Open(t.Context(), test.from, Options{Vouched: Nothing, Note: func(text string) {
			if strings.Contains(text, "a server does not list its store paths") {
				notes++
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		closure, err := profile.FindClosure(t.Context(), s, hello)
		if err != nil || len(closure.Infos) != test.want || notes != test.notes {
			t.Errorf("%s: FindClosure = %v, %v with %d notes; want %d objects and %d notes", test.name, closure, err, notes, test.want, test.notes)
		}
	}
}

// narFile returns the name of an object's NAR in a binary cache.
func narFile(t *testing.T, dir string, p profile.Path) string {
	t.Helper()
	for line := range strings.Lines(string(readFile(t, filepath.Join(dir, p.Digest()+".narinfo")))) {
		if url, ok := strings.CutPrefix(line, "URL: "); ok {
			return filepath.Join(dir, strings.TrimSpace(url))
		}
	}
	t.Fatalf("the narinfo of %q has no URL", p)
	return ""
}
