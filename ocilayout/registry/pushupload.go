package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/export-profile/export-profile/ocilayout"
)

// standstill is how long a connection may accept no bytes.
const standstill = time.Minute

var errStandstill = fmt.Errorf("nothing could be sent for %v", standstill)

// putBlob pushes a blob unless the repository has it. It tries to mount it before it sends it.
func (p *Push) putBlob(ctx context.Context, b ocilayout.Blob) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-p.slots }()
	what := fmt.Sprintf("push blob %s to %s", b.Digest, p.to.Name())
	from := p.mountSource(b)
	err := p.client.try(p.scoped(ctx, ""), what, func(ctx context.Context) error {
		there, err := p.repo.Blobs().Exists(ctx, b.Descriptor)
		switch {
		case err != nil:
			return err
		case there:
			p.count(func(s *Stats) { s.Present++ })
			return nil
		case from != "":
			err := p.mount(p.scoped(ctx, from), b, from) // the registry may refuse a token for both repositories
			switch status(err) {
			case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
				p.client.explain("%s: cannot mount it from %s: %v", what, from, err)
				from = "" // sending needs only the other token
			default:
				return err
			}
		}
		return p.send(ctx, b)
	})
	if refusesContent(err) {
		return &ocilayout.BlobError{Digest: b.Digest, Err: err}
	}
	return err
}

// refusesContent reports whether a registry has refused a blob in a way that may mean that its digest is wrong.
// Registries answer 400 or 422 to that, some without a code.
func refusesContent(err error) bool {
	var refused *Error
	if !errors.As(err, &refused) {
		return false
	}
	return refused.Status == http.StatusBadRequest || refused.Status == http.StatusUnprocessableEntity || hasCode(err, errcode.ErrorCodeDigestInvalid)
}

// putBytes pushes a small blob unless the repository has it.
func (p *Push) putBytes(ctx context.Context, d ispec.Descriptor, b []byte) error {
	what := fmt.Sprintf("push blob %s to %s", d.Digest, p.to.Name())
	return p.client.try(p.scoped(ctx, ""), what, func(ctx context.Context) error {
		there, err := p.repo.Blobs().Exists(ctx, d)
		if err != nil || there {
			return err
		}
		return p.repo.Blobs().Push(ctx, d, bytes.NewReader(b))
	})
}

// mount asks the registry to take a blob from another repository. If it declines, mount sends the blob.
func (p *Push) mount(ctx context.Context, b ocilayout.Blob, from string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var body *uploadBody
	err := p.repo.Mount(ctx, b.Descriptor, from, func() (_ io.ReadCloser, err error) {
		body, err = p.open(ctx, b, cancel)
		return body, err
	})
	if body != nil {
		return p.finishUpload(ctx, body, err)
	}
	if err == nil {
		p.count(func(s *Stats) { s.Mounted++ })
	}
	return err
}

func (p *Push) send(ctx context.Context, b ocilayout.Blob) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body, err := p.open(ctx, b, cancel)
	if err != nil {
		return err
	}
	defer body.Close() // Push does not close it if the upload fails to begin
	return p.finishUpload(ctx, body, p.repo.Blobs().Push(ctx, b.Descriptor, body))
}

// finishUpload counts an upload, or takes back its progress if it failed.
func (p *Push) finishUpload(ctx context.Context, body *uploadBody, err error) error {
	n := body.end()
	if err == nil {
		p.count(func(s *Stats) { s.Sent++; s.SentBytes += n })
		return nil
	}
	body.progress(-n)
	if errors.Is(context.Cause(ctx), errStandstill) {
		return errStandstill
	}
	return err
}

func (p *Push) count(f func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}

func (p *Push) open(ctx context.Context, b ocilayout.Blob, cancel context.CancelCauseFunc) (*uploadBody, error) {
	r, err := b.Open(ctx)
	if err != nil {
		return nil, err
	}
	if f, ok := r.(*os.File); ok {
		fi, err := f.Stat()
		if err == nil && fi.Size() != b.Size {
			err = fmt.Errorf("%q has %d bytes instead of %d", f.Name(), fi.Size(), b.Size)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
	}
	s := &uploadBody{r: r, close: sync.OnceValue(r.Close), progress: p.client.options.Sent}
	if s.progress == nil {
		s.progress = func(int64) {}
	}
	s.stall = time.AfterFunc(standstill, func() { cancel(errStandstill) })
	return s, nil
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
