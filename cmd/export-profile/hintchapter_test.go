package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log"
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
	"github.com/export-profile/export-profile/rootfs"
)

// chapterLab is a directory with sources and images, in which commands fail.
type chapterLab struct {
	*testing.T
	dir string
}

// sh runs a script in the directory, with export-profile from testscript.Main. It must succeed.
func (l chapterLab) sh(script string) {
	l.Helper()
	cmd := exec.Command("sh", "-euc", script)
	cmd.Dir = l.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func (l chapterLab) write(name, content string) {
	l.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(content), 0o644); err != nil {
		l.Fatal(err)
	}
}

// newChapterLab makes what the commands need. $GOLDEN, $CACHE and so on are as in the scripts.
func newChapterLab(t *testing.T) chapterLab {
	l := chapterLab{t, cleanUp(t, t.TempDir())}
	for name, value := range map[string]string{
		"HOME": l.dir, "XDG_CACHE_HOME": "", "NIX_PROFILE": "", "REGISTRY_AUTH_FILE": "",
		"GOLDEN": storetest.File(t, "basic.nix-export"), "CACHE": storetest.File(t, "basic.cache"), "REGISTRATION": storetest.File(t, "basic.registration"),
		"PROFILE": string(storetest.GoldenProfile), "HELLO": "/nix/store/fiznc08nhj31nrsb1f2aa5f9syzps0gl-hello-1.0",
		"LIBGREET": "/nix/store/6821dyl8slsfcylbd6mxghxdqg9f36w9-libgreet-2.1",
	} {
		t.Setenv(name, value)
	}
	golden := storetest.GoldenSample(t)
	server := func(h http.Handler, secure bool) string {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		if secure {
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s.URL
	}
	t.Setenv("SERVER", server(http.FileServer(http.Dir(storetest.File(t, "basic.cache"))), false))
	t.Setenv("PRIVATE", server(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }), false))
	t.Setenv("NOTLS", strings.Replace(os.Getenv("SERVER"), "http:", "https:", 1))
	t.Setenv("UNKNOWN", server(http.NotFoundHandler(), true))
	reg, address := newFakeRegistry(t)
	reg.fault = refusing("POST", "", 403)
	t.Setenv("REGISTRY", "docker://"+address)
	t.Setenv("ROOT", golden.WriteRoot(t))
	withDatabase := golden.WriteRoot(t)
	golden.AddDatabase(t, withDatabase)
	t.Setenv("COPY", withDatabase)
	gnu, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	guix := storetest.TinyIn(t, gnu)
	withGuix := guix.WriteRoot(t)
	guix.AddDatabase(t, withGuix)
	t.Setenv("GUIX", withGuix)
	t.Setenv("ONE", referencesOf(t, string(storetest.GoldenProfile)))
	t.Chdir(l.dir)
	lost := cleanUp(t, filepath.Join(l.dir, "lost"))
	if err := os.CopyFS(lost, os.DirFS(os.Getenv("CACHE"))); err != nil {
		t.Fatal(err)
	}
	l.sh("rm lost/nar/*")
	t.Setenv("LOST", server(http.FileServer(http.Dir(lost)), false))
	l.write("text", "hello\n")
	l.write("empty", strings.Repeat("\x00", 8))
	l.write("rsa.pem", "-----BEGIN RSA PRIVATE KEY-----\nAA==\n-----END RSA PRIVATE KEY-----\n")
	l.write("layers", "no colon\n")
	l.write("metadata.json", "{}")
	l.write("key", testKey)
	l.write("key.pub", testPublic)
	l.write("encrypted", "-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAA==\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
	l.sh(`export-profile image -q --cache c --from "$GOLDEN" oci:golden:v1
		export-profile image -q --no-cache --platform linux/arm64 --from "$GOLDEN" oci:arm
		export-profile index -q oci:both oci:golden:v1 oci:arm
		mkdir taken plain guix
		cp -a "$ROOT$PROFILE" "$ROOT$HELLO" plain
		cp -a "$GUIX"/gnu/store/* guix
		cp -a "$COPY" two && cp -a "$GUIX/gnu" two
		cp -a "$GUIX" other && cp two/nix/var/nix/db/* other/var/guix/db
		cp -a "$COPY" changed && chmod -R u+w changed && printf x >>changed$LIBGREET/share/doc/libgreet/README
		gzip -c "$GOLDEN" >golden.gz
		cp -a golden damaged
		tar -cf image.tar -C golden .`)
	// The cache says that a layer has another diffID: the record is right, as if another program had written it.
	for _, name := range filesIn(t, "c/layers-1/parts") {
		line := `{"diffID":"sha256:` + strings.Repeat("0", 64) + `","size":1024,"checked":"Ag=="}`
		l.write("c/layers-1/parts/"+name, fmt.Sprintf("%s\n%x\n", line, sha256.Sum256(fmt.Appendf(nil, "parts/%s\n%s\n", name, line))))
	}
	var largest string
	var size int64
	for _, name := range filesIn(t, "damaged/blobs/sha256") {
		if fi, err := os.Stat("damaged/blobs/sha256/" + name); err == nil && fi.Size() > size {
			largest, size = name, fi.Size()
		}
	}
	t.Setenv("HOME", "") // and so there is no cache, and no place for temporary files
	t.Setenv("TMPDIR", filepath.Join(l.dir, "text/below"))
	l.sh(`cd damaged/blobs/sha256; chmod u+w ` + largest + `; printf x | dd of=` + largest + ` bs=1 seek=40 conv=notrunc status=none`)
	return l
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestManualOfErrors checks which chapter errors of real commands name, as text and as JSON, and that every row of errorChapters is reached.
func TestManualOfErrors(t *testing.T) {
	l := newChapterLab(t)
	reached := make([]bool, len(errorChapters()))
	for _, tt := range []struct {
		line, chapter string
		status        int
	}{
		// Rows of errorChapters, in its order.
		{"image --cache own --from $GOLDEN $REGISTRY/team/hello:v1", "registries", 1},
		{"closure --profile $PROFILE --from $PRIVATE", "binary-caches", 1},
		{"closure --profile $PROFILE --from $UNKNOWN", "binary-caches", 1},
		{"closure --profile $PROFILE --from $NOTLS", "binary-caches", 1},
		{"closure --profile $PROFILE --from $SERVER", "trust", 1},
		{"closure --from guix", "store-directories", 1},
		{"closure --from $GOLDEN --store-dir /gnu/store", "store-directories", 1},
		{"closure --from two", "store-directories", 1},
		{"closure --from other", "store-directories", 1},
		{"closure --from $ROOT --references text --profile $PROFILE", "tars", 1},
		{"closure --from $ROOT --references $ONE --profile $PROFILE", "tars", 1},
		{"closure --from image.tar", "tars", 1},
		{"closure --from text", "streams", 1},
		{"closure --from empty", "streams", 1},
		{"rootfs --from changed --profile $PROFILE ./root", "trust", 1},
		{"rootfs --from $LOST --no-check-sigs --profile $PROFILE ./root", "sources", 1},
		{"closure --store-dir /opt/nowhere/store", "sources", 1},
		{"image --from $GOLDEN --max-layers 1 --layers per-path oci:x", "layers", 1},
		{"closure --from oci:both", "platforms", 1},
		{"image --from $GOLDEN --add text:$HELLO/bin/hello oci:x", "files", 1},
		{"image --cache c --verify-cache --from $GOLDEN oci:x", "local-cache", 1},
		{"cache", "local-cache", 1},
		{"closure --from golden.gz", "local-cache", 1},
		{"rootfs --from $GOLDEN ./taken", "root-filesystems", 1},

		// What the program was doing.
		{"image --from $GOLDEN --base oci:gone oci:x", "base-images", 1},
		{"image --from $GOLDEN --previous oci:text oci:x", "updates", 1},
		{"image --from $GOLDEN --user other oci:x", "files", 2},
		{"image --from $GOLDEN --layers-file layers oci:x", "layers", 1},
		{"image --from $GOLDEN --metadata metadata.json --sbom spdx oci:x", "sboms", 1},
		{"image --no-profile oci:x", "no-packages", 2},
		{"image --file text oci:x", "files", 2},
		{"image --from $GOLDEN --cache docker://127.0.0.1:1/cache oci:x", "shared-cache", 2},
		{"image --from $GOLDEN --registry-ca gone docker://127.0.0.1:1/x", "registries", 1},
		{"closure --from plain --references $REGISTRATION --profile $PROFILE", "sources", 1},
		{"closure --from oci:gone", "contents", 1},
		{"image --from $GOLDEN --attest rsa.pem oci:x", "attestations", 1},
		{"image --from $GOLDEN --attest encrypted oci:x", "attestations", 1},
		{"verify oci:gone", "damage", 1},
		{"index oci:x oci:golden:v1 oci:gone", "platforms", 1},
		{"attest --key key oci:gone", "attestations", 1},
		{"verify oci:damaged:v1", "damage", 3},
		{"verify --key key.pub oci:golden:v1", "attestations", 3},
		{"check --from $GOLDEN", "will-it-start", 3},
		{"image --check --from $GOLDEN oci:x", "will-it-start", 3},
		{"image --max-size 1 --from $GOLDEN oci:x", "differences", 3},
		{"diff --max-growth 0 --max-size 1 oci:golden:v1 oci:golden:v1", "differences", 3},

		// Others have none.
		{"image --nonsense", "", 2},
		{"image --from $GOLDEN oci:text/x", "", 1},
	} {
		for _, asJSON := range []bool{false, true} {
			args := strings.Fields(os.ExpandEnv(tt.line))
			if asJSON {
				args = slices.Insert(args, 1, "--json")
			}
			var out, said bytes.Buffer
			gotJSON, err := dispatch(t.Context(), args, terminal{out: &out, err: &said})
			if err == nil || gotJSON != asJSON {
				t.Errorf("%q: %v, JSON %t; want an error", args, err, gotJSON)
				continue
			}
			for i, row := range errorChapters() {
				if !as[*usageError](err) && row.kind(err) {
					reached[i] = true
					break
				}
			}
			newFailure(err).print(&said, asJSON)
			if !asJSON {
				_, got, _ := strings.Cut(said.String(), "\nexport-profile: see: export-profile help ")
				if got = strings.TrimSuffix(got, "\n"); got != tt.chapter || exitStatus(err) != tt.status {
					t.Errorf("%s: exit status %d and chapter %q; want %d and %q:\n%s", tt.line, exitStatus(err), got, tt.status, tt.chapter, &said)
				}
				continue
			}
			if got := failed(t, said.String()); got.Chapter != tt.chapter || got.ExitStatus != tt.status {
				t.Errorf("%q: %+v; want exit status %d and chapter %q", args, got, tt.status, tt.chapter)
			}
			if out.Len() > 0 && (tt.status != 3 || !json.Valid(out.Bytes())) {
				t.Errorf("%q prints %s; want nothing or a whole result", args, &out)
			}
		}
	}
	for i, ok := range reached {
		if !ok {
			t.Errorf("no command reaches row %d of errorChapters, with the chapter %s", i, errorChapters()[i].chapter)
		}
	}
	if _, err := os.Stat(filepath.Join(l.dir, "x")); err == nil {
		t.Error("a command that failed left an image")
	}
}

// TestManualOfCode checks that every chapter which the code gives to errors exists.
func TestManualOfCode(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range errorChapters() {
		names = append(names, row.chapter)
	}
	call := regexp.MustCompile(`\binChapter\("([^"]*)"`)
	for _, name := range files {
		for _, m := range call.FindAllStringSubmatch(readFile(t, name), -1) {
			names = append(names, m[1])
		}
	}
	if len(names) < 50 {
		t.Errorf("found %d chapters; want at least 50", len(names))
	}
	for _, name := range names {
		if !slices.Contains(chapterNames(), name) {
			t.Errorf("an error is in the chapter %q, which does not exist", name)
		}
	}
}
