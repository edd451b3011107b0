package registry

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestReferrersQuirks has registries that list referrers in other ways than the specification says.
func TestReferrersQuirks(t *testing.T) {
	const list, tag = "GET */referrers/*", "GET */manifests/sha256-*"
	type listing = map[string]any
	// entries changes the listed entries, in the API or the tag.
	entries := func(pattern string, change func([]any) []any) func(*fakeRegistry) {
		return altering(pattern, func(_ *http.Request, answer *httptest.ResponseRecorder) {
			var index listing
			if json.Unmarshal(answer.Body.Bytes(), &index) != nil || index["manifests"] == nil {
				return
			}
			index["manifests"] = change(index["manifests"].([]any))
			b, _ := json.Marshal(index)
			answer.Body.Reset()
			answer.Body.Write(b)
			answer.Header().Del("Content-Length")
			answer.Header().Del("Docker-Content-Digest")
		})
	}
	each := func(pattern, field string, value any) func(*fakeRegistry) {
		return entries(pattern, func(all []any) []any {
			for _, d := range all {
				if d.(listing)[field] = value; value == nil {
					delete(d.(listing), field)
				}
			}
			return all
		})
	}
	text := func(contentType, body string) func(*fakeRegistry) {
		return func(f *fakeRegistry) {
			f.fault = matching(list, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				_, _ = w.Write([]byte(body))
			})
		}
	}
	link := func(value string) func(*fakeRegistry) { return header(list, "Link", value) }
	both := func(one, other func(*fakeRegistry)) func(*fakeRegistry) {
		return func(f *fakeRegistry) {
			one(f)
			first := f.fault
			other(f)
			f.fault = either(first, f.fault)
		}
	}
	for _, tt := range []struct {
		name   string
		lists  bool // whether it says when it gets an artifact that it lists it
		set    func(*fakeRegistry)
		err    string // of the list
		none   bool   // nothing is found
		broken string // why no document can be read
	}{
		// Without the API: the specification says 404; Artifactory 406, Quay 400 if it lacks the subject.
		{name: "404 in plain text", set: func(f *fakeRegistry) {
			f.fault = matching(list, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "404 page not found", 404) })
		}},
		{name: "400", set: refusing(list, 400, "")},
		{name: "405", set: refusing(list, 405, "UNSUPPORTED")},
		{name: "406", set: refusing(list, 406, "")},
		{name: "501", set: refusing(list, 501, "")},
		{name: "401, and the tag is there", set: refusing(list, 401, "UNAUTHORIZED")},
		{name: "403, and the tag is there", set: refusing(list, 403, "DENIED")},
		{name: "403, and there is no tag", lists: true, set: refusing(list, 403, "DENIED"), err: "status 403 Forbidden"},
		{name: "403 for both", set: both(refusing(list, 403, "DENIED"), refusing(tag, 403, "DENIED")), err: "status 403 Forbidden"},
		{name: "a page of a portal", set: text("text/html", "<html>")},
		{name: "an empty object", set: text("application/json", "{}")},
		{name: "nothing", set: text("application/json", "")},
		{name: "an empty list, and a tag", set: text(ispec.MediaTypeImageIndex, `{"manifests":[]}`)},
		{name: "a list of null, and a tag", set: text(ispec.MediaTypeImageIndex, `{"manifests":null}`)},
		{name: "the missing tag answers 403", lists: true, set: both(refusing(list, 404, ""), refusing(tag, 403, "DENIED")), none: true},
		{name: "the tag leads to an image", lists: true, set: func(f *fakeRegistry) {
			f.fault = either(matching(list, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 404, "") }),
				matching(tag, func(w http.ResponseWriter, _ *http.Request) {
					b := f.manifest("team/hello", "v1")
					w.Header().Set("Content-Type", ispec.MediaTypeImageManifest)
					_, _ = w.Write(b)
				}))
		}, none: true},
		{name: "always 500", set: refusing(list, 500, ""), err: "(7 tries): status 500"},

		// With the API.
		{name: "a list without a type", lists: true, set: header(list, "Content-Type", "")},
		{name: "a list of type application/json", lists: true, set: header(list, "Content-Type", "application/json; charset=utf-8")},
		{name: "sizes with the contents, as Harbor lists them", lists: true, set: each(list, "size", 2621)},
		{name: "no sizes", lists: true, set: each(list, "size", nil)},
		{name: "the config's type, as Harbor lists it", lists: true, set: each(list, "artifactType", ispec.MediaTypeEmptyJSON)},
		{name: "no artifact types, as go-containerregistry writes", set: each(tag, "artifactType", nil)},
		{name: "no annotations, as go-containerregistry writes", set: each(tag, "annotations", nil)},
		{name: "each entry twice", lists: true, set: entries(list, func(all []any) []any { return append(all, all...) })},
		{name: "entries without digests beside them", lists: true, set: entries(list, func(all []any) []any {
			return append(all, listing{}, listing{"digest": "sha256:../x", "size": 3}, listing{"digest": zeros, "size": -1})
		})},
		{name: "an absolute link to the same page", lists: true, set: func(f *fakeRegistry) {
			f.page = 1
			link("<" + f.URL + "/v2/team/hello/referrers/sha256:1>; rel=next")(f)
		}, err: "leads back"},

		// Lies.
		{name: "a link to itself", lists: true, set: altering(list, func(r *http.Request, answer *httptest.ResponseRecorder) {
			answer.Header().Set("Link", "<"+r.URL.Path+`>; rel="next"`)
		}), err: "a page of the list leads back to an earlier one"},
		{name: "pages without end", lists: true, set: altering(list, func(r *http.Request, answer *httptest.ResponseRecorder) {
			answer.Header().Set("Link", "<"+r.URL.Path+"?x="+r.URL.Query().Get("x")+`1>; rel="next"`)
		}), err: "more than 100 pages"},
		{name: "a link to another host", lists: true, set: link(`<http://registry.test/v2/>; rel="next"`), err: `the registry's next page is on another host, "registry.test"`},
		{name: "a link that is no URL", lists: true, set: link(`<http://[>; rel="next"`), err: "a Link that is no URL"},
		{name: "a next page that is no list", lists: true, set: both(matching2(list+"?x", "<html>"), link("<?x>; rel=next")), err: "not a manifest"},
		{name: "30,000 entries", lists: true, set: text(ispec.MediaTypeImageIndex, `{"manifests":[{}`+strings.Repeat(",{}", 30_000)+"]}"), err: "more than 10000 entries"},
		{name: "30,000 entries in the tag", set: func(f *fakeRegistry) {
			f.fault = matching(tag, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", ispec.MediaTypeImageIndex)
				_, _ = w.Write([]byte(`{"manifests":[{}` + strings.Repeat(",{}", 30_000) + "]}"))
			})
		}, err: "more than 10000 entries"},
		{name: "a list of 9 MiB", lists: true, set: text(ispec.MediaTypeImageIndex, `{"manifests":[`+strings.Repeat(" ", 9<<20)+"]}"), err: "more than 8 MiB"},
		{name: "no JSON", lists: true, set: text(ispec.MediaTypeImageIndex, `{"manifests":[`), err: "unexpected end of JSON"},
		{name: "an object for the list", lists: true, set: text(ispec.MediaTypeImageIndex, `{"manifests":{}}`), err: "instead of a list"},
		{name: "a digest that leads to nothing", lists: true, set: each(list, "digest", zeros), broken: "status 404"},
		{name: "a digest of another algorithm", lists: true, set: each(list, "digest", digest.SHA512.FromString("x")), broken: "unsupported algorithm"},
		{name: "another content", lists: true, set: altering("GET */blobs/*", func(_ *http.Request, answer *httptest.ResponseRecorder) {
			answer.Body.Reset()
			answer.Body.WriteString("{9}")
		}), broken: "its content is not what was described"},
		{name: "a longer content", lists: true, set: altering("GET */blobs/*", func(_ *http.Request, answer *httptest.ResponseRecorder) {
			answer.Body.WriteString("{9}")
			answer.Header().Del("Content-Length")
		}), broken: "its content is not what was described"},
		{name: "another manifest", lists: true, set: altering("GET */manifests/sha256:*", func(_ *http.Request, answer *httptest.ResponseRecorder) {
			answer.Body.WriteString(" ")
			answer.Header().Del("Content-Length")
		}), broken: "the registry sent digest"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newFake(t)
			f.lists = tt.lists
			c := client(t, Options{})
			subject, want := attachedTo(t, c, f, someDocuments(2)...)
			f.mu.Lock()
			tt.set(f)
			f.mu.Unlock()
			r := referrersIn(t, c, f)
			listed, err := r.List(t.Context(), subject)
			wantError(t, "List", err, tt.err)
			if tt.err != "" {
				return
			}
			if tt.none || tt.broken != "" {
				want = nil
			}
			if tt.broken == "" && !slices.Equal(digestsOf(listed), want) {
				t.Errorf("List = %v; want %v", digestsOf(listed), want)
			}
			var read []digest.Digest
			broken := 0
			err = r.Documents(t.Context(), []digest.Digest{subject}, "application/vnd.dev.sigstore.bundle", func(d Document) error {
				if d.Err != nil {
					broken++
					wantError(t, "document", d.Err, tt.broken)
					return nil
				}
				if d.ArtifactType != bundleType || d.Annotations["n"] == "" || len(d.Content) != 3 {
					t.Errorf("Documents gives %+v", d)
				}
				read = append(read, d.Digest)
				return nil
			})
			if err != nil || !slices.Equal(read, want) || (broken > 0) != (tt.broken != "") {
				t.Errorf("Documents gives %v, %d that cannot be read, %v; want %v", read, broken, err, want)
			}
		})
	}
}

// matching2 answers the second page of a list with another text.
func matching2(pattern, body string) func(*fakeRegistry) {
	pattern, query, _ := strings.Cut(pattern, "?")
	return func(f *fakeRegistry) {
		page := matching(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte(body))
		})
		f.fault = func(w http.ResponseWriter, r *http.Request) bool { return r.URL.RawQuery == query && page(w, r) }
	}
}
