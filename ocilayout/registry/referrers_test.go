package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serveReferrers lists the manifests that have a subject. Without lists, the fake knows no such request.
func (f *fakeRegistry) serveReferrers(w http.ResponseWriter, r *http.Request, repository string, subject digest.Digest) {
	if !f.lists {
		refuse(w, http.StatusNotFound, "NOT_FOUND")
		return
	}
	index := ispec.Index{MediaType: ispec.MediaTypeImageIndex, Manifests: []ispec.Descriptor{}}
	index.SchemaVersion = 2
	for at, b := range f.manifests[repository] {
		var m ispec.Manifest
		if _ = json.Unmarshal(b, &m); m.Subject == nil || m.Subject.Digest != subject || !strings.Contains(at, ":") {
			continue
		}
		d := descriptorOf(m.MediaType, b)
		if d.Annotations, d.ArtifactType = m.Annotations, m.ArtifactType; d.ArtifactType == "" {
			d.ArtifactType = m.Config.MediaType
		}
		index.Manifests = append(index.Manifests, d)
	}
	slices.SortFunc(index.Manifests, func(a, b ispec.Descriptor) int { return strings.Compare(string(b.Digest), string(a.Digest)) })
	if n, _ := strconv.Atoi(r.URL.Query().Get("from")); f.page > 0 {
		end := min(n+f.page, len(index.Manifests))
		if end < len(index.Manifests) {
			w.Header().Set("Link", fmt.Sprintf(`<%s?from=%d>; rel="next"`, r.URL.Path, end))
		}
		index.Manifests = index.Manifests[n:end]
	}
	w.Header().Set("Content-Type", ispec.MediaTypeImageIndex)
	_ = json.NewEncoder(w).Encode(index)
}

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// attachedTo pushes an image and attaches documents to it, and returns the image's digest and the documents', sorted.
func attachedTo(t *testing.T, c *Client, f *fakeRegistry, documents ...Attachment) (subject digest.Digest, attached []digest.Digest) {
	t.Helper()
	subject, _ = mustPush(t, c, f.at("team/hello:v1"), nil, image(t, nil, "gzip", part("a", 1, 1<<10)))
	p, err := c.Push(t.Context(), f.at("team/hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	of := descriptorOf(ispec.MediaTypeImageManifest, f.manifest("team/hello", "v1"))
	for _, a := range documents {
		d, err := p.Attach(t.Context(), of, a)
		if err != nil {
			t.Fatal(err)
		}
		attached = append(attached, d.Digest)
	}
	slices.Sort(attached)
	return subject, attached
}

func someDocuments(n int) (all []Attachment) {
	for i := range n {
		all = append(all, Attachment{MediaType: bundleType, Content: fmt.Appendf(nil, "{%d}", i), Annotations: map[string]string{"n": strconv.Itoa(i)}})
	}
	return all
}

func referrersIn(t *testing.T, c *Client, f *fakeRegistry) *Referrers {
	t.Helper()
	r, err := c.Referrers(t.Context(), f.at("team/hello"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func digestsOf(all []ispec.Descriptor) (digests []digest.Digest) {
	for _, d := range all {
		digests = append(digests, d.Digest)
	}
	return digests
}

// TestReferrers checks that what is attached is listed and read: by the referrers API on one page and several, and by the referrers tag.
// A registry without the API is asked for it once.
func TestReferrers(t *testing.T) {
	for _, tt := range []struct {
		lists      bool
		page, asks int // asks counts the requests of two lists
	}{{false, 0, 3}, {true, 0, 2}, {true, 2, 6}, {true, 5, 2}} {
		f := newFake(t)
		f.lists, f.page = tt.lists, tt.page
		c := client(t, Options{})
		documents := append(someDocuments(4), Attachment{MediaType: "application/spdx+json", Content: []byte("{}")})
		subject, want := attachedTo(t, c, f, documents...)
		r := referrersIn(t, c, f)
		f.forget()
		for range 2 {
			listed, err := r.List(t.Context(), subject)
			if err != nil || !slices.Equal(digestsOf(listed), want) {
				t.Fatalf("%+v: List = %v, %v; want %v", tt, digestsOf(listed), err, want)
			}
		}
		if n := f.count("GET "); n != tt.asks {
			t.Errorf("%+v: two lists take %d requests: %q; want %d", tt, n, f.requests, tt.asks)
		}
		seen := make(map[string]string)
		err := r.Documents(t.Context(), []digest.Digest{subject, zeros}, "application/vnd.dev.sigstore.bundle", func(d Document) error {
			if d.Err != nil || d.ArtifactType != bundleType || d.Subject != subject {
				t.Errorf("%+v: Documents gives %+v", tt, d)
			}
			seen[d.Annotations["n"]] = string(d.Content)
			return nil
		})
		if err != nil || len(seen) != 4 || seen["3"] != "{3}" {
			t.Errorf("%+v: Documents gives %v, %v; want 4 bundles", tt, seen, err)
		}
		stop := errors.New("stop")
		if err := r.Documents(t.Context(), []digest.Digest{subject}, "", func(Document) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%+v: Documents = %v; want the error of the function", tt, err)
		}
	}
}

var linkTests = []struct{ header, want string }{
	{``, ""},
	{`</v2/x?n=2>; rel="next"`, "/v2/x?n=2"},
	{`</v2/x?n=2>; rel=next`, "/v2/x?n=2"},
	{`</v2/x?n=2>;REL="NEXT"`, "/v2/x?n=2"},
	{`</a>; rel="prev", </b>; title="x"; rel="next"`, "/b"},
	{`</a,b;c>; rel="next"`, "/a,b;c"},
	{`</a>`, ""},
	{`</a>; rel="nextish"`, ""},
	{`</a; rel="next"`, ""},
	{`/a; rel="next"`, ""},
	{`<>; rel="next"`, ""},
	{`<<</a>; rel="next"`, "<</a"},
}

func TestNextLink(t *testing.T) {
	for _, tt := range linkTests {
		if got := nextLink([]string{tt.header}); got != tt.want {
			t.Errorf("nextLink(%q) = %q; want %q", tt.header, got, tt.want)
		}
	}
	if got := nextLink([]string{`</a>; rel="prev"`, `</b>; rel="next"`}); got != "/b" {
		t.Errorf("nextLink of two headers = %q; want /b", got)
	}
}

// FuzzNextLink checks that parsing a Link ends, and that the target stands in the header.
func FuzzNextLink(f *testing.F) {
	for _, tt := range linkTests {
		f.Add(tt.header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := nextLink([]string{header}); !strings.Contains(header, got) || strings.Contains(got, ">") {
			t.Errorf("nextLink(%q) = %q", header, got)
		}
	})
}
