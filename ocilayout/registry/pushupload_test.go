package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/export-profile/export-profile/ocilayout"
)

// countingBlob is a blob that counts how often it is open.
type countingBlob struct {
	io.Reader
	open *atomic.Int64
}

func (c countingBlob) Close() error { c.open.Add(-1); return nil }

// TestUploadCloses checks that each opened blob is closed once, even if its upload does not begin.
func TestUploadCloses(t *testing.T) {
	const content = "a blob"
	const from = "other"
	for _, tt := range []struct {
		name    string
		fault   func(n int64, w http.ResponseWriter, r *http.Request) bool
		mounted bool
		ok      bool
	}{
		{"sent", func(int64, http.ResponseWriter, *http.Request) bool { return false }, false, true},
		{"temporarily refused", func(n int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost && n <= 5 {
				refuse(w, http.StatusServiceUnavailable, "UNAVAILABLE")
				return true
			}
			return false
		}, false, true},
		{"refused", func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				refuse(w, http.StatusForbidden, "DENIED")
				return true
			}
			return false
		}, false, false},
		{"redirected upload", func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.Header().Set("Location", "http://registry.example.com/v2/x/blobs/uploads/1")
				w.WriteHeader(http.StatusAccepted)
				return true
			}
			return false
		}, false, false},
		{"not mounted, redirected upload", func(_ int64, w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				w.Header().Set("Location", "http://registry.example.com/v2/x/blobs/uploads/1")
				w.WriteHeader(http.StatusAccepted)
				return true
			}
			return false
		}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t)
			var posts, opened, open atomic.Int64
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPost {
					posts.Add(1)
				}
				return tt.fault(posts.Load(), w, r)
			}
			to := f.at("x")
			var other *Reference
			if tt.mounted {
				r := f.at(from)
				other = &r
			}
			p, err := client(t, Options{}).Push(t.Context(), to, other)
			if err != nil {
				t.Fatal(err)
			}
			d := ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: digest.FromString(content), Size: int64(len(content))}
			err = p.Blob(t.Context(), ocilayout.Blob{Descriptor: d, Reuse: &ocilayout.BlobSource{Descriptor: d, Open: func(context.Context) (io.ReadCloser, error) {
				opened.Add(1)
				open.Add(1)
				return countingBlob{strings.NewReader(content), &open}, nil
			}}})
			if (err == nil) != tt.ok {
				t.Errorf("Blob = %v; want success: %v", err, tt.ok)
			}
			if opened.Load() == 0 || open.Load() != 0 {
				t.Errorf("%d blobs were opened, and %d are still open (negative: closed twice)", opened.Load(), open.Load())
			}
		})
	}
}

// TestUploadRefusedContent checks that an answer that may mean a wrong digest names the blob, so that a cache can look at it again.
func TestUploadRefusedContent(t *testing.T) {
	for status, want := range map[int]bool{
		http.StatusBadRequest: true, http.StatusUnprocessableEntity: true, http.StatusForbidden: false, http.StatusRequestEntityTooLarge: false,
	} {
		f := newFake(t)
		if status != http.StatusBadRequest { // otherwise the fake refuses the digest by itself
			f.fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					refuse(w, status, "UNKNOWN")
				}
				return r.Method == http.MethodPut
			}
		}
		p, err := client(t, Options{}).Push(t.Context(), f.at("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
		d := ispec.Descriptor{MediaType: ispec.MediaTypeImageLayer, Digest: digest.FromString("a blob"), Size: 6}
		err = p.Blob(t.Context(), ocilayout.Blob{Descriptor: d, Reuse: &ocilayout.BlobSource{Descriptor: d, Open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("a blub")), nil
		}}})
		var blob *ocilayout.BlobError
		var refused *Error
		if got := errors.As(err, &blob) && blob.Digest == d.Digest; got != want || !errors.As(err, &refused) || refused.Status != status {
			t.Errorf("status %d: %v is a BlobError: %v; want %v", status, err, got, want)
		}
	}
}
