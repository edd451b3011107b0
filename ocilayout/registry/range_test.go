package registry

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// TestRange reads a part of a blob from registries that send it in many ways, or not at all.
func TestRange(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
	d := digest.FromBytes(content)
	const offset, length = 1000, 20_000
	want := content[offset : offset+length]
	answer := func(status int, contentRange string, body []byte) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			if contentRange != "" {
				w.Header().Set("Content-Range", contentRange)
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}
	}
	for _, tt := range []struct {
		name   string
		ranges bool
		fault  func(http.ResponseWriter, *http.Request) // of the first request, or of all if it ends with an error
		err    string
	}{
		{"usual", true, nil, ""},
		{"a registry without ranges", false, nil, "the registry sends only whole blobs"},
		{"without Content-Range", true, answer(206, "", want), ""},
		{"another range", true, answer(206, "bytes 0-19999/65536", want), `the registry sends "bytes 0-19999/65536" instead of bytes 1000-20999`},
		{"more than the range", true, answer(206, "", content[offset:]), ""},
		{"status 501", true, answer(501, "", nil), "501"},
		{"status 416", true, answer(416, "bytes */65536", nil), "416"},
		{"status 404", true, answer(404, "", nil), "404"},
		{"status 500 at first", true, answer(500, "", nil), ""},
		{"a connection that breaks", true, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "20000")
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(want[:7000])
			panic(http.ErrAbortHandler)
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			f.ranges = tt.ranges
			c := client(t, Options{})
			mustPush(t, c, f.at("x:v1"), nil, image(t, nil, "none", part("a", 1, 100)))
			f.put("x", d, content)
			failed := false
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if tt.fault == nil || failed && tt.err == "" || !strings.Contains(r.URL.Path, "/blobs/") {
					return false
				}
				failed = true
				tt.fault(w, r)
				return true
			}
			s := mustFind(t, c, f.at("x:v1"))
			f.forget()
			got, err := readRange(t, s, ispec.Descriptor{Digest: d, Size: int64(len(content))}, offset, length)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || !strings.Contains(err.Error(), "read 20000 bytes of blob "+d.String()+" of ") {
					t.Errorf("reading gives %d bytes, %v; want an error with %q", len(got), err, tt.err)
				}
				return
			}
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("reading gives %d bytes, %v; want those from %d on", len(got), err, offset)
			}
		})
	}
}

func readRange(t *testing.T, s *ocilayout.ImageSource, d ispec.Descriptor, offset, length int64) ([]byte, error) {
	t.Helper()
	r, err := s.OpenRange(t.Context(), d, offset, length)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// TestFetchChunks checks that what a node fetches by chunks is known from the TOCs alone, whose bytes are all that is read.
func TestFetchChunks(t *testing.T) {
	f := newFake(t)
	f.ranges = true
	c := client(t, Options{})
	a, b, b2 := part("a", 1, 1<<20), part("b", 2, 30_000), part("b", 3, 30_000)
	mustPush(t, c, f.at("x:v1"), nil, image(t, nil, "zstd:chunked", a, b))
	mustPush(t, c, f.at("x:v2"), nil, image(t, nil, "zstd:chunked", a, b2))
	read := func(tag string) *ocilayout.Image {
		t.Helper()
		img, err := mustFind(t, c, f.at("x:"+tag)).Read(t.Context(), ispec.Platform{OS: "linux", Architecture: "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	old, next := read("v1"), read("v2")
	f.forget()
	got, err := old.FetchChunks(t.Context(), next)
	if err != nil {
		t.Fatal(err)
	}
	if got.Contents < 10_000 || got.Contents > 31_000 || got.Ranges != 1 || got.Tables == 0 {
		t.Errorf("FetchChunks = %+v; want one range with the file that changed", got)
	}
	if n := f.count("GET "); n != 3 {
		t.Errorf("%d requests %q; want one for each TOC: two of the first image, and one of the second", n, f.requests)
	}
	f.ranges = false
	if got, err := old.FetchChunks(t.Context(), next); err == nil || !strings.Contains(err.Error(), "the registry sends only whole blobs") {
		t.Errorf("without ranges, FetchChunks = %+v, %v; want that the registry sends only whole blobs", got, err)
	}
}
