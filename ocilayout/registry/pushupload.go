package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// standstill is how long a connection may accept no bytes.
const standstill = time.Minute

var errStandstill = fmt.Errorf("nothing could be sent for %v", standstill)

// upload is a place to send a blob to.
type upload struct {
	url           *url.URL
	authorization string // of the request that began the upload
}

// begin begins an upload. If from is not "", it asks the registry to mount the blob from there. If it did, the upload is nil.
func (r *repository) begin(ctx context.Context, d digest.Digest, from string) (*upload, error) {
	at := r.url(blobs, "uploads", "")
	if from != "" {
		other := r.scope
		other.Repository = from
		ctx = auth.AppendRepositoryScope(ctx, other, auth.ActionPull)
		at += fmt.Sprintf("?mount=%s&from=%s", d, from)
	}
	answer, err := r.send(ctx, http.MethodPost, at, nil)
	if err != nil {
		return nil, err
	}
	drain(answer)
	if from != "" && answer.StatusCode == http.StatusCreated {
		if named := namedDigest(answer); named != "" && named != d {
			return nil, fmt.Errorf("the registry mounted %s", named)
		}
		return nil, nil
	}
	place, err := uploadURL(answer, r.root())
	if err != nil {
		return nil, err
	}
	query := "digest=" + url.QueryEscape(d.String())
	if place.RawQuery != "" {
		query = place.RawQuery + "&" + query // as it is, since it may be signed
	}
	place.RawQuery = query
	return &upload{place, answer.Request.Header.Get("Authorization")}, nil
}

// uploadURL returns the Location of an upload. It must lead to the registry itself, since the login goes there, too.
func uploadURL(answer *http.Response, root string) (*url.URL, error) {
	location := answer.Header.Get("Location")
	if location == "" {
		return nil, fmt.Errorf("the registry sent no Location for the blob")
	}
	place, own, err := ownURL(answer, root, location)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the registry sent a Location that is no URL")
	case !own:
		return nil, fmt.Errorf("the registry wants the blob sent to another host, %q", place.Host)
	}
	return place, nil
}

// upload sends a blob in one request.
func (r *repository) upload(ctx context.Context, u *upload, d ispec.Descriptor, body io.Reader) error {
	if d.Size == 0 {
		body = http.NoBody // otherwise the length would be unknown
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, u.url.String(), body)
	if err != nil {
		return err
	}
	request.ContentLength = d.Size
	request.Header.Set("Content-Type", "application/octet-stream")
	if u.authorization != "" {
		request.Header.Set("Authorization", u.authorization)
	}
	answer, err := r.do(request)
	if err != nil {
		return sentBlob(err, d)
	}
	drain(answer)
	return nil
}

// uploadBody is the body of an upload. The transport may still read it after its request has ended.
type uploadBody struct {
	r        io.Reader
	close    func() error // closes r once
	progress func(int64)
	stall    *time.Timer

	mu   sync.Mutex
	n    int64 // bytes read
	over bool  // end was called
}

func (s *uploadBody) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 0, os.ErrClosed
	}
	s.n += int64(n)
	s.progress(int64(n))
	if err != nil {
		s.stall.Stop() // everything is sent, and the registry may take its time
	} else {
		s.stall.Reset(standstill)
	}
	return n, err
}

func (s *uploadBody) Close() error {
	s.stall.Stop()
	return s.close()
}

// end ends the upload and returns how many bytes were read. Later reads fail and do not count.
func (s *uploadBody) end() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.stall.Stop()
	return s.n
}
