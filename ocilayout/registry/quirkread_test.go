package registry

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestQuirksOfQuestions has registries whose answers to HEAD say less than they should.
func TestQuirksOfQuestions(t *testing.T) {
	const blob, manifest = "HEAD */blobs/*", "HEAD */manifests/*"
	checkQuirks(t, []quirk{
		{name: "HEAD of a blob answers 401", set: refusing(blob, 401, "UNAUTHORIZED")},
		{name: "HEAD of a blob answers 403", set: refusing(blob, 403, "DENIED")},
		{name: "HEAD of a blob answers 405", set: refusing(blob, 405, "UNSUPPORTED")},
		{name: "HEAD of a blob answers 400", set: refusing(blob, 400, "")},
		{name: "HEAD of a blob answers 501", set: refusing(blob, 501, "")},
		{name: "HEAD of a blob always answers 500", set: refusing(blob, 500, "")},
		{name: "HEAD of a blob without a length", set: header(blob, "Content-Length", ""), still: sentTwice},
		{name: "HEAD of a blob with the length 0", set: header(blob, "Content-Length", "0"), still: sentTwice},
		{name: "HEAD of a blob with another digest", set: header(blob, "Docker-Content-Digest", zeros.String())},
		{name: "HEAD of a blob with a digest of another algorithm", set: header(blob, "Docker-Content-Digest", "sha512:"+strings.Repeat("0", 128)), still: sentTwice},
		{name: "HEAD of a blob with a wrong length", set: func(f *fakeRegistry) {
			f.fault = matching(blob, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "1") })
		}},
		{name: "every blob is said to be there", set: func(f *fakeRegistry) {
			f.fault = matching(blob, func(http.ResponseWriter, *http.Request) {})
		}},
		{name: "HEAD of a blob redirects to a storage that refuses HEAD", set: func(f *fakeRegistry) {
			f.fault = either(
				matching(blob, func(w http.ResponseWriter, r *http.Request) {
					http.Redirect(w, r, "/storage", http.StatusTemporaryRedirect)
				}),
				matching("* /storage", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }),
			)
		}},
		{name: "HEAD of a manifest answers 401", set: refusing(manifest, 401, "UNAUTHORIZED")},
		{name: "HEAD of a manifest answers 405", set: refusing(manifest, 405, "UNSUPPORTED")},
		{name: "HEAD of a manifest without a length", set: header(manifest, "Content-Length", "")},
		{name: "HEAD of a manifest without a digest", set: header(manifest, "Docker-Content-Digest", "")},
	})
}

// TestQuirksOfReads has registries whose manifests and blobs come with odd headers.
func TestQuirksOfReads(t *testing.T) {
	const blob, manifest, manifests = "GET */blobs/*", "GET */manifests/*", "* */manifests/*"
	checkQuirks(t, []quirk{
		{name: "manifests without a length", set: header(manifests, "Content-Length", "")},
		{name: "manifests without a digest", set: header(manifests, "Docker-Content-Digest", "")},
		{name: "manifests with another digest", set: header(manifest, "Docker-Content-Digest", zeros.String()),
			update: "read manifest of */team/hello:v1: the registry calls it sha256:00*, but its digest is sha256:", verify: "but its digest is"},
		{name: "manifests with a digest of another algorithm", set: header(manifest, "Docker-Content-Digest", "sha512:"+strings.Repeat("0", 128))},
		{name: "manifests with a damaged digest", set: header(manifest, "Docker-Content-Digest", "sha256:../x")},
		{name: "manifests without a type", set: header(manifest, "Content-Type", "")},
		{name: "manifests of type application/json", set: header(manifest, "Content-Type", "application/json; charset=utf-8")},
		{name: "manifests of type application/octet-stream", set: header(manifest, "Content-Type", "application/octet-stream")},
		{name: "a type with a parameter", set: altering(manifest, func(_ *http.Request, answer *httptest.ResponseRecorder) {
			answer.Header().Set("Content-Type", answer.Header().Get("Content-Type")+"; charset=utf-8")
		})},
		{name: "headers in lower case", set: altering("*", func(_ *http.Request, answer *httptest.ResponseRecorder) {
			for name, values := range answer.Header() {
				delete(answer.Header(), name)
				answer.Header()[strings.ToLower(name)] = values
			}
		})},
		{name: "a page of a login portal instead of a manifest", set: func(f *fakeRegistry) {
			f.fault = matching(manifest, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte("<html>Log in</html>"))
			})
		}, update: `the registry sent "text/html", not a manifest`, verify: `the registry sent "text/html", not a manifest`},
		{name: "compressed manifests", set: altering(manifest, func(r *http.Request, answer *httptest.ResponseRecorder) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") || answer.Code != http.StatusOK {
				return
			}
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(answer.Body.Bytes())
			_ = z.Close()
			answer.Body = &b
			answer.Header().Set("Content-Encoding", "gzip")
			answer.Header().Del("Content-Length")
		})},
		{name: "layers labelled with the encoding gzip", set: header(blob, "Content-Encoding", "gzip")},
		{name: "blobs without a length", set: header(blob, "Content-Length", "")},
		{name: "a manifest is larger than its limit", set: altering(manifest, func(_ *http.Request, answer *httptest.ResponseRecorder) {
			answer.Body.Write(bytes.Repeat([]byte(" "), 33<<20))
			answer.Header().Del("Content-Length")
		}), update: "more than 32 MiB", verify: "more than 32 MiB"},
		{name: "the length of a manifest is 2^62", set: header(manifest, "Content-Length", "4611686018427387904"),
			update: "more than 32 MiB", verify: "more than 32 MiB"},
		{name: "the length of a manifest is negative", set: raw(manifest, "Content-Length: -1"), attach: "bad Content-Length", update: "bad Content-Length", verify: "bad Content-Length"},
		{name: "a manifest has two lengths", set: raw(manifest, "Content-Length: 3\r\nContent-Length: 4"), attach: "Content-Length", update: "Content-Length", verify: "Content-Length"},
		{name: "blobs at a storage that refuses Authorization", login: "me:secret", set: func(f *fakeRegistry) {
			f.login = "me:secret"
			storage := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				f.mu.Lock()
				defer f.mu.Unlock()
				if r.Header.Get("Authorization") != "" || r.Method != http.MethodGet {
					w.WriteHeader(http.StatusBadRequest)
					return
				}
				_, _ = w.Write(f.blobs["team/hello"][digest.Digest(r.URL.Query().Get("signed"))])
			}))
			f.Config.RegisterOnShutdown(storage.Close)
			f.fault = f.altered(blob, func(r *http.Request, answer *httptest.ResponseRecorder) {
				if answer.Code == http.StatusOK {
					*answer = *httptest.NewRecorder()
					answer.Code = http.StatusTemporaryRedirect
					answer.Header().Set("Location", storage.URL+"/?signed="+r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
				}
			})
		}},
		{name: "relative redirects with 302, 303 and 308", set: func(f *fakeRegistry) {
			f.fault = matching("GET */team/hello/blobs/*", func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.RawQuery {
				case "":
					http.Redirect(w, r, r.URL.Path+"?1", http.StatusFound)
				case "1":
					http.Redirect(w, r, r.URL.Path+"?2", http.StatusSeeOther)
				case "2":
					http.Redirect(w, r, r.URL.Path+"?3", http.StatusPermanentRedirect)
				default:
					f.serve(w, r)
				}
			})
		}},
	})
}
