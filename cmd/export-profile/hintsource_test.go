package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs/staging"
)

// referencesOf writes the references of one store path of the golden closure, as nix path-info does without -r.
func referencesOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(storetest.File(t, "basic.path-info.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]any
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	rows = slices.DeleteFunc(rows, func(row map[string]any) bool { return row["path"] != path })
	if b, err = json.Marshal(rows); err != nil || len(rows) != 1 {
		t.Fatalf("%d paths, %v; want one", len(rows), err)
	}
	name := filepath.Join(t.TempDir(), "references")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestSourceHints checks that a hint fits the form of the source that fails.
func TestSourceHints(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	sample := storetest.GoldenSample(t)
	references := sample.WriteRegistration(t, true)
	lost := sample.Infos[0]
	if lost.Path == sample.Root {
		lost = sample.Infos[1]
	}
	remove := func(t *testing.T, name string) {
		t.Helper()
		if err := staging.RemoveAll(name); err != nil {
			t.Fatal(err)
		}
	}
	url := func(t *testing.T, dir string) string { // of the lost object's NAR
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, lost.Path.Digest()+".narinfo"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(b), "URL: ")
		name, _, _ := strings.Cut(rest, "\n")
		return name
	}
	serve := func(t *testing.T, dir string) string {
		s := httptest.NewServer(http.FileServer(http.Dir(dir)))
		t.Cleanup(s.Close)
		return s.URL
	}
	answer := func(t *testing.T, status int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		t.Cleanup(s.Close)
		return s.URL
	}
	cache := func(t *testing.T, name func(dir string) string) string {
		dir := sample.WriteCache(t, "gzip")
		remove(t, filepath.Join(dir, name(dir)))
		return dir
	}
	root := func(t *testing.T, gone string) string {
		dir := sample.WriteRoot(t)
		sample.AddDatabase(t, dir)
		remove(t, filepath.Join(dir, gone))
		return dir
	}
	tarred := func(t *testing.T, dir string) string {
		name := filepath.Join(t.TempDir(), "store.tar")
		if out, err := exec.Command("tar", "-cf", name, "-C", dir, "nix").CombinedOutput(); err != nil {
			t.Fatalf("tar: %v\n%s", err, out)
		}
		return name
	}
	narinfo := func(string) string { return lost.Path.Digest() + ".narinfo" }
	const profile = "--profile=" + string(storetest.GoldenProfile)
	const add = "add a source that has the rest with another --from"
	for _, test := range []struct {
		name string
		args func(t *testing.T) []string
		hint string // regular expression; "" for none
	}{
		{"cache directory without a narinfo", func(t *testing.T) []string {
			return []string{"--from", cache(t, narinfo), profile}
		}, `^copy the whole closure: nix copy --to file:///.*/cache PROFILE, or ` + add + `$`},
		{"cache directory without a NAR", func(t *testing.T) []string {
			return []string{"--from", cache(t, func(dir string) string { return url(t, dir) }), profile}
		}, `^copy the whole closure: nix copy --to file:///.*/cache PROFILE, or ` + add + `$`},
		{"cache directory, relative", func(t *testing.T) []string {
			t.Chdir(filepath.Dir(cache(t, narinfo)))
			return []string{"--from", "cache", profile}
		}, `^copy the whole closure: nix copy --to file:///.*/cache PROFILE, or ` + add + `$`},
		{"server without a narinfo", func(t *testing.T) []string {
			return []string{"--no-check-sigs", "--from", serve(t, cache(t, narinfo)), profile}
		}, `^` + add + `, as in --from https://cache.nixos.org$`},
		{"server without a narinfo, not trusted", func(t *testing.T) []string {
			return []string{"--from", serve(t, cache(t, narinfo)), profile}
		}, `^` + add + `, .*, and trust the signer's key with --trusted-public-key$`},
		{"server without a NAR", func(t *testing.T) []string {
			return []string{"--no-check-sigs", "--from", serve(t, cache(t, func(dir string) string { return url(t, dir) })), profile}
		}, `^add a source that has it with another --from$`},
		{"cache with a damaged NAR", func(t *testing.T) []string {
			dir := sample.WriteCache(t, "gzip")
			if err := os.WriteFile(filepath.Join(dir, url(t, dir)), []byte("<html>"), 0o644); err != nil {
				t.Fatal(err)
			}
			return []string{"--from", dir, profile}
		}, `^copy the store path again, or add a source that has it whole with another --from$`},
		{"copied store without files", func(t *testing.T) []string {
			return []string{"--from", root(t, lost.Path.Root()), profile}
		}, `^copy the whole closure: nix copy --no-check-sigs --to /.*/root PROFILE, or ` + add + `$`},
		{"store directory with references", func(t *testing.T) []string {
			dir := root(t, lost.Path.Root())
			if err := os.Rename(dir+"/nix/store", dir+"/elsewhere"); err != nil {
				t.Fatal(err)
			}
			return []string{"--from", dir + "/elsewhere", "--references", references, profile}
		}, `^copy the whole closure: cp -a \$\(nix-store -qR PROFILE\) /.*/elsewhere, or ` + add + `$`},
		{"tar with references", func(t *testing.T) []string {
			return []string{"--from", tarred(t, root(t, lost.Path.Root())), "--references", references, profile}
		}, `^put the whole closure into the tar: nix-store -qR PROFILE \| tar -czf FILE -T -$`},
		{"tar with a database", func(t *testing.T) []string {
			return []string{"--from", tarred(t, root(t, lost.Path.Root())), profile}
		}, `^put the whole closure into the tar: nix-store -qR PROFILE \| tar -czf FILE -T -$`},
		{"two sources", func(t *testing.T) []string {
			return []string{"--from", root(t, lost.Path.Root()), "--from", cache(t, narinfo), profile}
		}, `^` + add + `$`},
		{"references of other files", func(t *testing.T) []string {
			b, err := os.ReadFile(references)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join(t.TempDir(), "registration")
			other := sample.Infos[len(sample.Infos)-1].NarHash
			b = bytes.Replace(b, []byte(lost.NarHash.String()), []byte(other.String()), 1)
			if err := os.WriteFile(name, b, 0o644); err != nil {
				t.Fatal(err)
			}
			return []string{"--from", sample.WriteExport(t), "--references", name, profile}
		}, `^copy the files and write /.*/registration at the same time: nix path-info --json -r PROFILE > /.*/registration$`},
		{"references without -r", func(t *testing.T) []string {
			return []string{"--from", sample.WriteRoot(t), "--references", referencesOf(t, string(storetest.GoldenProfile)), profile}
		}, `^/.*/references lacks part of the closure, as if made without -r; write the references with: nix path-info --json -r PROFILE > /.*/references$`},
		{"references of another profile", func(t *testing.T) []string {
			return []string{"--from", sample.WriteRoot(t), "--references", referencesOf(t, string(lost.Path)), profile}
		}, `^/.*/references is about other store paths; write the references with: nix path-info --json -r PROFILE > /.*/references$`},
		{"a list of store paths for references", func(t *testing.T) []string {
			name := filepath.Join(t.TempDir(), "store-paths")
			if err := os.WriteFile(name, []byte(lost.Path+"\n"+sample.Root+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			return []string{"--from", sample.WriteRoot(t), "--references", name, profile}
		}, `^write the references with: nix path-info --json -r PROFILE > /.*/store-paths$`},
		{"another directory for references", func(t *testing.T) []string {
			return []string{"--from", sample.WriteRoot(t), "--references", t.TempDir(), profile}
		}, `^write the references with: nix path-info --json -r PROFILE > FILE$`},
		{"a directory of closureInfo for a store", func(t *testing.T) []string {
			return []string{"--from", filepath.Dir(references), profile}
		}, `^it only describes a store: --references /.*, and the store with --from$`},
		{"private server", func(t *testing.T) []string {
			return []string{"--from", answer(t, http.StatusUnauthorized), profile}
		}, `^name a file with a login with --netrc: machine 127.0.0.1 login USER password PASSWORD$`},
		{"private bucket", func(t *testing.T) []string {
			return []string{"--from", answer(t, http.StatusForbidden), profile}
		}, `^name a file with a login with --netrc: `},
		{"wrong login", func(t *testing.T) []string {
			return []string{"--from", strings.Replace(answer(t, http.StatusUnauthorized), "://", "://a:b@", 1), profile}
		}, `^127.0.0.1 refuses the login: correct it in ~/.netrc, in the file of --netrc or in the URL$`},
		{"plain server", func(t *testing.T) []string {
			return []string{"--from", strings.Replace(answer(t, http.StatusOK), "http:", "https:", 1), profile}
		}, `^the server does not speak TLS: use http:// in place of https://$`},
		{"unknown authority", func(t *testing.T) []string {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return []string{"--from", s.URL, profile}
		}, `^name the file of the certificate's authority in SSL_CERT_FILE$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append([]string{"rootfs", "--no-cache", filepath.Join(t.TempDir(), "x")}, test.args(t)...)
			status := run(t.Context(), args, terminal{out: &out, err: &errs})
			_, got, _ := strings.Cut(errs.String(), "export-profile: hint: ")
			if got, _, _ = strings.Cut(got, "\n"); status != 1 || !regexp.MustCompile(test.hint).MatchString(got) || got == "" {
				t.Errorf("%q exits %d and says\n%swant a hint that matches %q", args, status, &errs, test.hint)
			}
		})
	}
}
