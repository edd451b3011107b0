package registry

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fakeRegistry implements as much of a registry as the tests need. Like a real one, it refuses blobs with a wrong digest,
// and manifests that refer to missing blobs.
type fakeRegistry struct {
	*httptest.Server
	login  string   // required NAME:PASSWORD, or "" for none
	bearer *bearer  // requires tokens, if not nil
	lists  bool     // implements the referrers API
	page   int      // how many referrers a page has, or 0 for all
	ranges bool     // supports range requests
	keeps  bool     // deletes nothing
	early  []string // tags that lists have before they are written

	mu sync.Mutex
	// fault, if not nil, is called before each request, and reports whether it has answered.
	// After the first request, change it only with mu held: a cancelled request may still be served.
	fault     func(w http.ResponseWriter, r *http.Request) bool
	blobs     map[string]map[digest.Digest][]byte // by repository
	manifests map[string]map[string][]byte        // by repository, and tag or digest
	requests  []string                            // each as METHOD path?query
	received  int64                               // bytes of uploaded blobs
}

func newFake(t *testing.T) *fakeRegistry {
	f := &fakeRegistry{blobs: make(map[string]map[digest.Digest][]byte), manifests: make(map[string]map[string][]byte)}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Server.Close)
	return f
}

// at returns a reference to a repository of the fake, with a tag or without.
func (f *fakeRegistry) at(name string) Reference {
	r, err := ParseReference(strings.TrimPrefix(strings.TrimPrefix(f.URL, "http://"), "https://") + "/" + name)
	if err != nil {
		panic(err)
	}
	return r
}

func (f *fakeRegistry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	fault := f.fault
	f.mu.Unlock()
	if fault == nil || !fault(w, r) {
		f.serve(w, r)
	}
}

// serve answers a request without the fault.
func (f *fakeRegistry) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	bearer := f.bearer
	f.mu.Unlock()
	if bearer != nil {
		if r.URL.Path == "/token" {
			bearer.serveToken(w, r)
			return
		}
		if !bearer.allows(w, r) {
			return
		}
	}
	if f.login != "" && r.Header.Get("Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(f.login)) {
		w.Header().Set("Www-Authenticate", `Basic realm="fake"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.String())
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	if repository, rest, ok := strings.Cut(path, "/blobs/"); ok {
		f.serveBlob(w, r, repository, rest)
	} else if repository, which, ok := strings.Cut(path, "/manifests/"); ok {
		f.serveManifest(w, r, repository, which)
	} else if repository, subject, ok := strings.Cut(path, "/referrers/"); ok {
		f.serveReferrers(w, r, repository, digest.Digest(subject))
	} else if repository, ok := strings.CutSuffix(path, "/tags/list"); ok {
		f.serveTags(w, r, repository)
	}
}

// serveTags lists f.early and the tags in their order, f.page of them on each page.
func (f *fakeRegistry) serveTags(w http.ResponseWriter, r *http.Request, repository string) {
	tags := slices.Clone(f.early)
	for _, tag := range slices.Sorted(maps.Keys(f.manifests[repository])) {
		if !slices.Contains(tags, tag) && !strings.Contains(tag, ":") && tag > r.URL.Query().Get("last") {
			tags = append(tags, tag)
		}
	}
	if f.page > 0 && len(tags) > f.page {
		tags = tags[:f.page]
		w.Header().Set("Link", fmt.Sprintf(`</v2/%s/tags/list?last=%s>; rel="next"`, repository, tags[f.page-1]))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"name": repository, "tags": tags})
}

// deleteManifest deletes a manifest and all tags that lead to it.
func (f *fakeRegistry) deleteManifest(w http.ResponseWriter, repository, which string) {
	b, ok := f.manifests[repository][which]
	switch {
	case f.keeps:
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED")
	case !strings.Contains(which, ":"):
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID") // as Docker's registry
	case !ok:
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
	default:
		maps.DeleteFunc(f.manifests[repository], func(_ string, other []byte) bool { return bytes.Equal(other, b) })
		w.WriteHeader(http.StatusAccepted)
	}
}

func (f *fakeRegistry) serveBlob(w http.ResponseWriter, r *http.Request, repository, rest string) {
	if f.blobs[repository] == nil {
		f.blobs[repository] = make(map[digest.Digest][]byte)
	}
	switch d := digest.Digest(r.URL.Query().Get("digest")); r.Method {
	case http.MethodHead, http.MethodGet:
		b, ok := f.blobs[repository][digest.Digest(rest)]
		if !ok {
			refuse(w, http.StatusNotFound, "BLOB_UNKNOWN")
			return
		}
		var from, last int
		switch n, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &last); {
		case !f.ranges || n == 0 || from > len(b):
		case n == 2 && last < len(b):
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, last, len(b)))
			w.Header().Set("Content-Length", fmt.Sprint(last+1-from))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[from : last+1])
			return
		case n == 1:
			w.Header().Set("Content-Length", fmt.Sprint(len(b)-from))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b[from:])
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b)
	case http.MethodPost:
		mount := digest.Digest(r.URL.Query().Get("mount"))
		if b, ok := f.blobs[r.URL.Query().Get("from")][mount]; ok {
			f.blobs[repository][mount] = b
			w.WriteHeader(http.StatusCreated)
			return
		}
		w.Header().Set("Location", "/v2/"+repository+"/blobs/uploads/1")
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		b, err := io.ReadAll(r.Body)
		f.received += int64(len(b))
		if err != nil || digest.FromBytes(b) != d {
			refuse(w, http.StatusBadRequest, "DIGEST_INVALID")
			return
		}
		f.blobs[repository][d] = b
		w.WriteHeader(http.StatusCreated)
	}
}

func (f *fakeRegistry) serveManifest(w http.ResponseWriter, r *http.Request, repository, which string) {
	if r.Method == http.MethodDelete {
		f.deleteManifest(w, repository, which)
		return
	}
	if r.Method != http.MethodPut {
		b, ok := f.manifests[repository][which]
		if !ok {
			refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
			return
		}
		var m struct{ MediaType string }
		_ = json.Unmarshal(b, &m)
		w.Header().Set("Content-Type", m.MediaType)
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(b).String())
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		_, _ = w.Write(b)
		return
	}
	b, _ := io.ReadAll(r.Body)
	var m ispec.Manifest
	_ = json.Unmarshal(b, &m)
	if m.MediaType == ispec.MediaTypeImageIndex {
		m.Config.Digest = "" // an index has no config and no layers
	} else {
		m.Layers = append(m.Layers, m.Config)
	}
	if f.lists && m.Subject != nil {
		w.Header().Set("OCI-Subject", m.Subject.Digest.String())
	}
	for _, d := range m.Layers {
		if _, ok := f.blobs[repository][d.Digest]; !ok {
			refuse(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
			return
		}
	}
	var index ispec.Index
	_ = json.Unmarshal(b, &index)
	for _, d := range index.Manifests {
		if _, ok := f.manifests[repository][d.Digest.String()]; !ok {
			refuse(w, http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN")
			return
		}
	}
	if f.manifests[repository] == nil {
		f.manifests[repository] = make(map[string][]byte)
	}
	d := digest.FromBytes(b)
	f.manifests[repository][which], f.manifests[repository][d.String()] = b, b
	w.Header().Set("Docker-Content-Digest", d.String())
	w.WriteHeader(http.StatusCreated)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"said by the fake"}]}`, code)
}

// tag returns the digest that a tag leads to, or "".
func (f *fakeRegistry) tag(repository, tag string) digest.Digest {
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.manifests[repository][tag]
	if !ok {
		return ""
	}
	return digest.FromBytes(b)
}

// put replaces the content of a blob, or deletes the blob if b is nil.
func (f *fakeRegistry) put(repository string, d digest.Digest, b []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.blobs[repository][d] = b; b == nil {
		delete(f.blobs[repository], d)
	}
}

func (f *fakeRegistry) all(repository string) map[digest.Digest][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.blobs[repository])
}

// count counts the requests since the last forget that begin with prefix.
func (f *fakeRegistry) count(prefix string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, a := range f.requests {
		if strings.HasPrefix(a, prefix) {
			n++
		}
	}
	return n
}

func (f *fakeRegistry) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests, f.received = nil, 0
}

// breakOff promises b and sends only n bytes of it.
func breakOff(w http.ResponseWriter, b []byte, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(b)))
	_, _ = io.Copy(w, bytes.NewReader(b[:n]))
	panic(http.ErrAbortHandler)
}
