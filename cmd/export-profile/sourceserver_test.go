package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
)

// TestAllErrorsAtOnce checks that an error lists all missing paths and all bad signatures.
func TestAllErrorsAtOnce(t *testing.T) {
	s := storetest.New("wide")
	var names []string
	for _, kind := range []string{"missing", "unsigned", "forged", "strange"} {
		for i := range 12 {
			name := fmt.Sprintf("%s-%d", kind, i)
			s.Add(t, name, "", "f 0444 . "+name)
			names = append(names, name)
		}
	}
	s.Add(t, "top", strings.Join(names, " "), "d .")
	signed, key := s.Signed("signer-1")
	strange, _ := s.Signed("stranger-1")
	dir := signed.WriteCache(t, "none")
	for i, info := range signed.Infos {
		file := filepath.Join(dir, info.Path.Digest()+".narinfo")
		changed := *info
		switch kind, _, _ := strings.Cut(info.Path.Name(), "-"); kind {
		case "missing":
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			continue
		case "unsigned":
			changed.Signatures = nil
		case "forged":
			changed.Signatures = signed.Infos[(i+1)%len(signed.Infos)].Signatures
		case "strange":
			changed.Signatures = strange.Infos[i].Signatures
		}
		text := storetest.NarInfo(&changed, "nar/"+info.NarHash.Hex()+".nar", "none")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, source := range [][]string{fromFlags(serve(t, dir)), fromFlags(dir, "--require-sigs")} {
		dest := filepath.Join(t.TempDir(), "x")
		args := append([]string{"image", "oci:" + dest, "--platform=linux/amd64", "--cache=" + t.TempDir(),
			"--profile", string(s.Root), "--trusted-public-key", key}, source...)
		out, said, status := invoke(t, "", args...)
		if status != 1 || out != "" {
			t.Errorf("%q exits with %d, and prints %q; want 1, and nothing", source, status, out)
		}
		for _, name := range names {
			if !strings.Contains(said, storetest.PathOf(name).Base()) {
				t.Errorf("%q does not say %q: %s", source, name, said)
			}
		}
		if _, err := os.Lstat(dest); err == nil {
			t.Errorf("%q left %q", source, dest)
		}
	}
}

// TestLyingServer checks that a wrong answer of a server is an error, and that nothing is left behind.
func TestLyingServer(t *testing.T) {
	s, key := storetest.Tiny(t).Signed("signer-1")
	dir := s.WriteCache(t, "none")
	info, err := s.Info(t.Context(), s.Root)
	if err != nil {
		t.Fatal(err)
	}
	body := s.NAR(t, s.Root)
	whole := func(w http.ResponseWriter, b []byte) { _, _ = w.Write(b) }
	var group sync.WaitGroup
	defer group.Wait()
	for name, lie := range map[string]http.HandlerFunc{
		"short body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
			whole(w, body[:len(body)/2])
		},
		"short length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)/2))
			whole(w, body[:len(body)/2])
		},
		"body twice":     func(w http.ResponseWriter, _ *http.Request) { whole(w, append(bytes.Clone(body), body...)) },
		"other contents": func(w http.ResponseWriter, _ *http.Request) { whole(w, bytes.ToUpper(body)) },
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				whole(w, body)
			}
		},
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect to a file": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(302)
		},
		"redirect to itself":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"redirect to nowhere": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) },
		"status 404":          http.NotFound,
		"status 500":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"status 206":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206); whole(w, body) },
	} {
		for at, path := range map[string]string{"narinfo": "/" + info.Path.Digest() + ".narinfo", "NAR": "/nar/" + info.NarHash.Hex() + ".nar"} {
			group.Go(func() {
				t.Run(name+" for the "+at, func(t *testing.T) { // all at once, since they wait
					files := http.FileServer(http.Dir(dir))
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == path {
							lie(w, r)
							return
						}
						files.ServeHTTP(w, r)
					}))
					defer server.Close()
					dest := filepath.Join(t.TempDir(), "x")
					out, said, status := invoke(t, "", "image", "oci:"+dest, "--platform=linux/amd64", "--cache="+t.TempDir(), "--quiet",
						"--from", server.URL, "--profile", string(s.Root), "--trusted-public-key", key)
					if status != 1 || out != "" || !strings.HasPrefix(said, "export-profile: error: ") {
						t.Errorf("exit status %d, %q on standard output, and it says %q; want 1, nothing, and an error", status, out, said)
					}
					if left := snapshot(t, filepath.Dir(dest)); len(left) > 0 {
						t.Errorf("%d files or directories are left at the destination", len(left))
					}
				})
			})
		}
	}
}
