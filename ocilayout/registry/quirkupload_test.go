package registry

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestQuirksOfUploads has registries that answer oddly to what is sent.
func TestQuirksOfUploads(t *testing.T) {
	const upload, put = "PUT */blobs/*", "PUT */manifests/*"
	sent := func(pattern string, status int, code string) func(*fakeRegistry) {
		return refusing(pattern, status, code)
	}
	checkQuirks(t, []quirk{
		{name: "the Location is relative to the host", set: location(func(s string) string { return s })},
		{name: "the Location is relative to the request", set: location(func(s string) string { return s[strings.LastIndex(s, "/")+1:] })},
		{name: "the Location has a query that is signed as it stands", set: func(f *fakeRegistry) {
			const query = "_state=z%2Fa+b%20c&B=;x&a"
			f.fault = either(
				matching(upload, func(w http.ResponseWriter, r *http.Request) {
					if !strings.HasPrefix(r.URL.RawQuery, query+"&digest=sha256:") && !strings.HasPrefix(r.URL.RawQuery, query+"&digest=sha256%3A") {
						refuse(w, 400, "BLOB_UPLOAD_INVALID")
						return
					}
					_, d, _ := strings.Cut(r.URL.RawQuery, "digest=")
					r.URL.RawQuery = "digest=" + d
					f.serve(w, r)
				}),
				f.altered("POST *", func(_ *http.Request, answer *httptest.ResponseRecorder) {
					answer.Header().Set("Location", answer.Header().Get("Location")+"?"+query)
				}),
			)
		}},
		{name: "the Location has a name and a password", set: func(f *fakeRegistry) {
			host := strings.TrimPrefix(f.URL, "http://")
			f.fault = either(
				matching(upload, func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") != "" {
						refuse(w, 400, "")
						return
					}
					f.serve(w, r)
				}),
				f.altered("POST *", func(_ *http.Request, answer *httptest.ResponseRecorder) {
					answer.Header().Set("Location", "http://a:b@"+host+answer.Header().Get("Location"))
				}),
			)
		}},
		{name: "the Location is elsewhere in the registry", set: func(f *fakeRegistry) {
			f.fault = either(
				matching("PUT /artifacts-uploads/*", func(w http.ResponseWriter, r *http.Request) {
					r.URL.Path = "/v2/team/hello/blobs/uploads/1"
					f.serve(w, r)
				}),
				location2(f, func(string) string { return "/artifacts-uploads/1" }),
			)
		}},
		{name: "the Location is on another host", set: location(func(s string) string { return "https://storage.example.com" + s }),
			push: `wants the blob sent to another host, "storage.example.com"`, attach: "another host", update: "another host"},
		{name: "the Location is no URL", set: location(func(string) string { return "http://[" }), push: "Location", attach: "Location", update: "Location"},
		{name: "there is no Location", set: header("POST *", "Location", ""), push: "no Location", attach: "no Location", update: "no Location"},
		{name: "uploads begin with 200", set: succeeding("POST *", 200)},
		{name: "uploads begin with 201", set: succeeding("POST *", 201)},
		{name: "uploads end with 200", set: succeeding(upload, 200)},
		{name: "uploads end with 202", set: succeeding(upload, 202)},
		{name: "uploads end with 204", set: succeeding(upload, 204)},
		{name: "uploads have a least size of chunks", set: header("POST *", "OCI-Chunk-Min-Length", "104857600")},
		{name: "uploads only in one piece and with a length", set: func(f *fakeRegistry) {
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPatch && (r.Method != http.MethodPut || r.ContentLength >= 0 && len(r.TransferEncoding) == 0) {
					return false
				}
				refuse(w, 411, "UNSUPPORTED")
				return true
			}
		}},
		{name: "a replica that does not know the upload", set: once(upload, 404, "")},
		{name: "a token that expires before the end of an upload", set: once(upload, 401, "UNAUTHORIZED")},
		{name: "the same behind another path", set: func(f *fakeRegistry) {
			once("PUT /artifacts-uploads/*", 401, "UNAUTHORIZED")(f)
			first := fault(f.fault)
			f.fault = either(first,
				matching("PUT /artifacts-uploads/*", func(w http.ResponseWriter, r *http.Request) {
					r.URL.Path = "/v2/team/hello/blobs/uploads/1"
					f.serve(w, r)
				}),
				location2(f, func(string) string { return "/artifacts-uploads/1" }),
			)
		}},
		{name: "manifests are accepted with 200", set: succeeding(put, 200)},
		{name: "manifests are accepted with 202", set: succeeding(put, 202)},
		{name: "manifests are stored under another digest", set: func(f *fakeRegistry) {
			f.fault = matching(put, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Docker-Content-Digest", zeros.String())
				w.WriteHeader(http.StatusCreated)
			})
		},
			push: "push manifest sha256:* to */team/hello:v1: the registry stored it as sha256:00", attach: "stored it as", update: "stored it as"},
		{name: "manifests of a type that is refused", set: sent(put, 415, "MANIFEST_INVALID"),
			push: "push manifest sha256:* to */team/hello:v1: status 415 Unsupported Media Type", attach: "attach application/spdx+json*415", update: "415"},
		{name: "too large", set: func(f *fakeRegistry) {
			f.fault = matching(upload, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Server", "nginx/1.18.0")
				w.Header().Set("Content-Type", "text/html")
				w.WriteHeader(413)
				_, _ = w.Write([]byte("<html>413 Request Entity Too Large</html>"))
			})
		}, push: "push blob sha256:* to */team/hello: status 413 Request Entity Too Large", attach: "413", update: "413"},
		{name: "no pushes here", set: sent("POST *", 405, "UNSUPPORTED"), push: "405 Method Not Allowed: unsupported", attach: "405", update: "405"},
		{name: "the repository must be made first", set: sent("* /v2/team/hello/*", 404, "NAME_UNKNOWN"),
			push: "push blob * to */team/hello: status 404 Not Found: name unknown: said by the fake", attach: "404", update: "404", verify: "404"},
		{name: "an error as plain text", set: func(f *fakeRegistry) {
			f.fault = matching("POST *", func(w http.ResponseWriter, _ *http.Request) {
				http.Error(w, "quota \x1b[31mexceeded", http.StatusForbidden)
			})
		}, push: "403 Forbidden: quota ?[31mexceeded", attach: "403", update: "403"},
		{name: "an error without a code, with control characters, and long", set: func(f *fakeRegistry) {
			f.fault = matching("POST *", func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(400)
				_, _ = w.Write([]byte(`{"errors":[{"status":400,"message":"no \u001b[2J\n` + strings.Repeat("x", 4000) + `"}]}`))
			})
		}, push: "400 Bad Request: no ?[2J xxx*x…", attach: "400", update: "400"},
	})
}

func location2(f *fakeRegistry, change func(string) string) fault {
	return f.altered("POST *", func(_ *http.Request, answer *httptest.ResponseRecorder) {
		answer.Header().Set("Location", change(answer.Header().Get("Location")))
	})
}

// once refuses the first matching request.
func once(pattern string, status int, code string) func(*fakeRegistry) {
	return func(f *fakeRegistry) {
		refused := make(chan bool, 1)
		f.fault = func(w http.ResponseWriter, r *http.Request) bool {
			if !matches(r.Method+" "+r.URL.Path, pattern) {
				return false
			}
			select {
			case refused <- true:
				refuse(w, status, code)
				return true
			default:
				return false
			}
		}
	}
}

// TestQuirksOfMounts has registries that mount blobs in their own way. The blobs arrive in any case.
func TestQuirksOfMounts(t *testing.T) {
	mount := func(answer http.HandlerFunc) func(*fakeRegistry) fault {
		return func(*fakeRegistry) fault {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPost || r.URL.Query().Get("mount") == "" {
					return false
				}
				answer(w, r)
				return true
			}
		}
	}
	status := func(n int) func(*fakeRegistry) fault {
		return mount(func(w http.ResponseWriter, _ *http.Request) { refuse(w, n, "UNSUPPORTED") })
	}
	created := func(d digest.Digest) func(*fakeRegistry) fault {
		return mount(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Docker-Content-Digest", d.String())
			w.WriteHeader(http.StatusCreated)
		})
	}
	for _, tt := range []struct {
		name    string
		fault   func(*fakeRegistry) fault
		mounted int
		sent    int
	}{
		{"mounted", func(*fakeRegistry) fault { return func(http.ResponseWriter, *http.Request) bool { return false } }, 3, 0},
		{"202", mount(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", r.URL.Path+"1")
			w.WriteHeader(http.StatusAccepted)
		}), 0, 3},
		{"202 without a Location", mount(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) }), 0, 3},
		{"400", status(400), 0, 3},
		{"401", status(401), 0, 3},
		{"403", status(403), 0, 3},
		{"404", status(404), 0, 3},
		{"405", status(405), 0, 3},
		{"415", status(415), 0, 3},
		{"500", status(500), 0, 3},
		{"501", status(501), 0, 3},
		{"201 with another digest", created(zeros), 0, 3},
		{"201, but the blob is not there", created(""), 0, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			c := client(t, Options{})
			img := image(t, nil, "gzip", part("x", 1, 1<<16), part("y", 2, 1<<10))
			mustPush(t, c, f.at("base/hello:v1"), nil, img)
			f.fault = tt.fault(f)
			from := f.at("base/hello")
			p, err := c.Push(t.Context(), f.at("team/hello:v1"), &from)
			if err != nil {
				t.Fatal(err)
			}
			d, err := pushWith(t.Context(), t, p, img, "v1")
			stats := p.Stats()
			if err != nil || f.tag("team/hello", "v1") != d || stats.Mounted != tt.mounted || stats.Sent != tt.sent {
				t.Errorf("push = %+v, %v; want %d mounted and %d sent", stats, err, tt.mounted, tt.sent)
			}
		})
	}
}
