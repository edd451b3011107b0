package binarycache

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
	"github.com/export-profile/export-profile/rootfs"
)

// guixLines are what `guix publish` writes, up to the signature.
const guixLines = "StorePath: /gnu/store/" + hello + "\n" +
	"URL: nar/lzip/" + hello + "\nCompression: lzip\nFileSize: 7\n" +
	"URL: nar/gzip/" + hello + "\nCompression: gzip\nFileSize: 8\n" +
	"URL: nar/" + hello + "\nCompression: none\nFileSize: 10\n" +
	"NarHash: " + aHash + "\nNarSize: 10\nReferences: " + libgree + "\n"

func TestGuixNarInfo(t *testing.T) {
	text := base64.StdEncoding.EncodeToString([]byte("(signature)"))
	line := "Signature: 1;publish.example;" + text + "\n"
	n, err := ParseNarInfo([]byte(guixLines + line))
	if err != nil {
		t.Fatal(err)
	}
	if n.URL != "nar/gzip/"+hello || n.Compression != "gzip" || n.FileSize != 8 || len(n.Others) != 2 || n.Others[1].Compression != "lzip" {
		t.Errorf("ParseNarInfo chooses %+v before %+v; want gzip before none and lzip", n.Location, n.Others)
	}
	if n.References[0] != "/gnu/store/"+libgree || n.String() != guixLines+line {
		t.Errorf("ParseNarInfo has the references %q and the text %q", n.References, n)
	}
	for _, test := range []struct{ name, in, problem string }{
		{"as it is", guixLines + line, ""},
		{"unsigned fields below", guixLines + line + "Deriver: " + libgree + ".drv\nSystem: x86_64-linux\n", ""},
		{"carriage returns", strings.ReplaceAll(guixLines+line, "\n", "\r\n"), ""},
		{"of Nix", requiredLines + "References: \n" + line, ""},
		{"version 2", guixLines + strings.Replace(line, "1;", "2;", 1), `its signature has version "2", not 1`},
		{"a long version", guixLines + "Signature: " + strings.Repeat("1", 99) + ";x;" + text + "\n", `its signature has version "11111111111111111111", not 1`},
		{"nothing", guixLines + "Signature:\n", `its signature has version "", not 1`},
		{"two parts", guixLines + "Signature: 1;" + text + "\n", "its signature is not of the form 1;host;base64"},
		{"four parts", guixLines + "Signature: 1;a;b;" + text + "\n", "its signature is not of the form 1;host;base64"},
		{"no base 64", guixLines + strings.Replace(line, text, text[1:], 1), "its signature is not base 64"},
		{"no path above", strings.Replace(guixLines, "StorePath", "Path", 1) + line + "StorePath: /gnu/store/" + hello + "\n",
			"its signature does not cover StorePath, which does not stand above it"},
		{"no hash above", strings.Replace(guixLines, "NarHash: "+aHash+"\n", "", 1) + line + "NarHash: " + aHash + "\n",
			"its signature does not cover NarHash, which does not stand above it"},
		{"no size above", strings.Replace(guixLines, "NarSize: 10\n", "", 1) + line + "NarSize: 10\n",
			"its signature does not cover NarSize, which does not stand above it"},
		{"no references", strings.Replace(guixLines, "References", "X", 1) + line,
			"its signature does not cover References, which does not stand above it"},
		{"above all", line + guixLines, "its signature does not cover StorePath, which does not stand above it"},
		{"inside a line", "X-Signature: 1;a;b\n" + guixLines + line, `its signature is not the first "Signature:" in the narinfo`},
	} {
		n, err := ParseNarInfo([]byte(test.in))
		if err != nil || n.Guix == nil || n.Guix.Problem != test.problem || n.String() != test.in {
			t.Errorf("%s: ParseNarInfo = %+v, %v; want a signature with the problem %q", test.name, n, err, test.problem)
			continue
		}
		above, _, _ := strings.Cut(test.in, "Signature:")
		if want := profile.Hash(sha256.Sum256([]byte(above))); test.problem == "" && (n.Guix.Hash != want || n.Guix.Text != "(signature)") {
			t.Errorf("%s: ParseNarInfo has the signature %+v; want one of %v", test.name, n.Guix, want)
		}
	}
}

// TestLocations checks that only narinfos of Guix name several files, and that they survive formatting.
func TestLocations(t *testing.T) {
	n, err := ParseNarInfo([]byte(guixLines))
	if err != nil || n.Guix != nil || len(n.Others) != 2 {
		t.Fatalf("ParseNarInfo = %+v, %v; want two other locations and no signature", n, err)
	}
	again, err := ParseNarInfo([]byte(n.String()))
	if d := cmp.Diff(n, again); err != nil || d != "" {
		t.Errorf("ParseNarInfo(String()) = %v (-want +got):\n%s", err, d)
	}
	for _, test := range []struct{ name, in, want string }{
		{"two URLs of Nix", requiredLines + "URL: nar/y\n", "line 5: URL: given twice"},
		{"two compressions of one URL", strings.Replace(guixLines, "Compression: lzip", "Compression: lzip\nCompression: xz", 1), "line 4: Compression: given twice"},
		{"an empty second URL", strings.Replace(guixLines, "URL: nar/gzip/"+hello, "URL:", 1), "line 5: URL: empty"},
		{"17 URLs", strings.Replace(guixLines, "URL: nar/gzip", strings.Repeat("URL: x\n", 14)+"URL: nar/gzip", 1), "line 22: URL: more than 16 of them"},
		{"two signatures", guixLines + "Signature: 1\nSignature: 1\n", "line 15: Signature: given twice"},
		{"a reference twice", guixLines + "References: \n", "line 14: References: given twice"},
	} {
		if n, err := ParseNarInfo([]byte(test.in)); err == nil || err.Error() != test.want {
			t.Errorf("%s: ParseNarInfo = %+v, %v; want %s", test.name, n, err, test.want)
		}
	}
	for all, want := range map[string]string{"lzip zstd gzip": "zstd", "lzip xz": "xz", "none gzip": "gzip", "future lzip": "lzip", "future": "future", "bzip2 xz none": "none"} {
		text := requiredLines[:strings.Index(requiredLines, "URL")]
		for _, name := range strings.Fields(all) {
			text += "URL: nar/" + name + "\nCompression: " + name + "\n"
		}
		text += "NarHash: " + aHash + "\nNarSize: 10\nSignature: x\n"
		if n, err := ParseNarInfo([]byte(text)); err != nil || n.Compression != want || n.URL != "nar/"+want {
			t.Errorf("of %s, ParseNarInfo chooses %+v, %v; want %s", all, n, err, want)
		}
	}
}

// TestGuixCopy checks that a copy of a server may lack some of its files, and may have their names encoded or not.
func TestGuixCopy(t *testing.T) {
	guix, err := rootfs.ParseStoreDir("/gnu/store")
	if err != nil {
		t.Fatal(err)
	}
	sample := storetest.NewIn("copy", guix)
	p := sample.Add(t, "gtk+-3.0", "", "f 0444 . text")
	dir, _ := sample.WriteGuixCache(t, "zstd", "gzip", "none")
	check := func(what string) {
		t.Helper()
		s, err := Open(t.Context(), dir, Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Info(t.Context(), p); err != nil {
			t.Errorf("%s: Info = %v", what, err)
		}
		if lines, err := storetest.List(s.Files(t.Context(), p)); err != nil || len(lines) != 1 {
			t.Errorf("%s: Files = %q, %v; want one file", what, lines, err)
		}
	}
	check("all")
	for _, compression := range []string{"zstd", "gzip"} {
		if err := os.RemoveAll(filepath.Join(dir, "nar", compression)); err != nil {
			t.Fatal(err)
		}
		check("without " + compression)
	}
	encoded := filepath.Join(dir, "nar", url.QueryEscape(p.Base()))
	if err := os.Rename(filepath.Join(dir, "nar", p.Base()), encoded); err != nil || !strings.Contains(encoded, "%2B") {
		t.Fatal(encoded, err)
	}
	check("with an encoded name")
	// A name never leaves the cache, however it is encoded.
	outside := filepath.Join(filepath.Dir(dir), "outside")
	if err := os.Rename(encoded, outside); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"../outside", "%2e%2e/outside", "nar/..%2f..%2foutside", "%2F" + outside[1:]} {
		info, err := sample.Info(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		text := storetest.GuixNarInfo(info, "URL: "+ref+"\nCompression: none\n", storetest.NewGuixKey())
		if err := os.WriteFile(filepath.Join(dir, p.Digest()+".narinfo"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := Open(t.Context(), dir, Options{SpoolDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if lines, err := storetest.List(s.Files(t.Context(), p)); err == nil {
			t.Errorf("Files with the URL %q = %q; want an error", ref, lines)
		}
		s.Close()
	}
}

// TestGuixInfoCache checks that narinfos of Guix are kept as they are, and that damage shows.
func TestGuixInfoCache(t *testing.T) {
	sample := storetest.Tiny(t)
	text := storetest.GuixNarInfo(sample.Infos[0], "URL: nar/x\nCompression: none\nURL: nar/y\nCompression: gzip\n", storetest.NewGuixKey())
	n, err := ParseNarInfo([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := newInfoCache(t.TempDir(), "http://example.com/")
	c.put(n)
	if d := cmp.Diff(n, c.get(n.Path)); d != "" {
		t.Errorf("get (-want +got):\n%s", d)
	}
	for _, damaged := range []string{text[:len(text)-9] + "\n", strings.Replace(text, "nar/x", "nar/z", 1), text[:strings.Index(text, "Signature")]} {
		if err := os.WriteFile(c.file(n.Path), []byte(damaged), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := c.get(n.Path); got != nil {
			t.Errorf("get of %q = %+v; want none", damaged, got)
		}
		c.drop(n.Path)
		if n, err := ParseNarInfo([]byte(damaged)); err == nil && n.Guix != nil { // what a server sends like this is not kept
			c.put(n)
			if _, err := os.Stat(c.file(n.Path)); err == nil {
				t.Errorf("put keeps %q", damaged)
			}
		}
	}
}

// TestGuixKeepsAlive checks that a NAR ends although its server ends it neither by its length nor by itself:
// `guix publish` keeps the connection of a NAR without compression, unless it is asked not to.
func TestGuixKeepsAlive(t *testing.T) {
	sample := storetest.Tiny(t)
	dir, _ := sample.WriteGuixCache(t, "none")
	files := http.FileServer(http.Dir(dir))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/nar/") {
			files.ServeHTTP(w, r)
			return
		}
		b, err := os.ReadFile(filepath.Join(dir, r.URL.Path))
		if err != nil {
			t.Error(err)
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = conn.Write(append([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/x-nix-archive\r\n\r\n"), b...))
		if r.Close {
			conn.Close()
		} else {
			t.Cleanup(func() { conn.Close() })
		}
	}))
	defer server.Close()
	s, err := Open(t.Context(), server.URL, Options{SpoolDir: t.TempDir(), Attempts: 1, Stall: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := storetest.List(s.Files(t.Context(), sample.Root)); err != nil {
		t.Errorf("Files = %v", err)
	}
}

// TestGuixMissingCompression checks that a server may lack the NAR in some of the compressions, and says so by 404 alone.
func TestGuixMissingCompression(t *testing.T) {
	sample := storetest.Tiny(t)
	dir, _ := sample.WriteGuixCache(t, "zstd", "gzip", "none")
	for _, test := range []struct {
		status map[string]int // by compression
		asked  string
		want   string // of the error, or ""
	}{
		{map[string]int{"zstd": 404}, "zstd gzip", ""},
		{map[string]int{"zstd": 404, "gzip": 404}, "zstd gzip none", ""},
		{map[string]int{"zstd": 404, "gzip": 404, "none": 404}, "zstd gzip none", "nar/zstd/" + sample.Root.Base() + `": status 404`},
		{map[string]int{"zstd": 403}, "zstd", "status 403"},
		{map[string]int{"zstd": 404, "gzip": 500}, "zstd gzip", "nar/gzip/" + sample.Root.Base() + `": status 500`},
	} {
		var asked []string
		files := http.FileServer(http.Dir(dir))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if rest, ok := strings.CutPrefix(r.URL.Path, "/nar/"); ok {
				compression, _, ok := strings.Cut(rest, "/")
				if !ok {
					compression = "none"
				}
				asked = append(asked, compression)
				if status := test.status[compression]; status != 0 {
					w.WriteHeader(status)
					return
				}
			}
			files.ServeHTTP(w, r)
		}))
		s, err := Open(t.Context(), server.URL, Options{SpoolDir: t.TempDir(), Attempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		lines, err := storetest.List(s.Files(t.Context(), sample.Root))
		switch {
		case test.want == "" && (err != nil || len(lines) == 0), test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("with %v, Files = %q, %v; want %q", test.status, lines, err, test.want)
		case strings.Join(asked, " ") != test.asked:
			t.Errorf("with %v, Files asks for %q; want %s", test.status, asked, test.asked)
		}
		s.Close()
		server.Close()
	}
}
